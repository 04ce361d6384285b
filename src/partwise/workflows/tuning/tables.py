"""The tables and the recommendation of a tuning run, from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.metrics import adjusted_rand
from partwise.workflows.tuning.rank import Admissible, admissible
from partwise.workflows.tuning.rules import (
    Choice,
    Evidence,
    adjusted_score,
    choose,
    support,
)
from partwise.workflows.tuning.stability import co_clustering
from partwise.workflows.tuning.types import (
    COMPONENT_COLUMNS,
    GRID_COLUMNS,
    PER_CLUSTER_COLUMNS,
    Recommendation,
    TuneResult,
)
from partwise.workflows.tuning.words import advice_on, rule_in_words, would_change

if TYPE_CHECKING:
    from partwise.graph import Graph
    from partwise.workflows.tuning.engine import Measured

__all__ = ["assemble"]

FloatArray = npt.NDArray[np.float64]


def assemble(run: Measured, table: pd.DataFrame, least: int) -> TuneResult:
    """Apply the rule and make the tables.

    Parameters
    ----------
    run
        What was measured.
    table
        One row per point, without the score.
    least
        Cells from which a cluster is not small.

    Returns
    -------
    TuneResult
        All of it.
    """
    grid = run.units.grid
    allowed = admissible(run.rank, grid.n_components, min(run.units.X.shape))
    evidence = _evidence(run, table, allowed)
    table = table.assign(
        score=adjusted_score(table["mean_ari"].to_numpy(), table["null_ari"].to_numpy())
    )
    table = table[[name for name in GRID_COLUMNS if name in table]]
    choice = choose(evidence)
    shares = support(evidence, run.units.seed)
    row = table.iloc[choice.point]
    n, k, r = int(row["n_components"]), int(row["n_neighbors"]), float(row["resolution"])
    labels = run.labels_at(n, k, r).astype(np.int32)
    runs = run.replicates_at(n, k, r)
    together, per_cell = co_clustering(labels, run.rows, runs)
    per_cell = run.units.kept(
        f"confidence-{n}-{k}-{r!r}", lambda: {"all": _filled(per_cell, labels, run, n, k)}
    )["all"]
    per_cluster = _per_cluster(labels, together)
    others = _alternatives(run, table, choice, shares, labels)
    confidence = shares.get(int(row["n_clusters"]), 0.0) if choice.structured else 0.0
    facts = (table, evidence, choice, allowed)
    return TuneResult(
        components=_components(run),
        grid=table,
        per_cluster=per_cluster,
        confidence=per_cell,
        labels=labels,
        recommendation=Recommendation(
            n_components=n,
            n_neighbors=k,
            resolution=r,
            n_clusters=int(row["n_clusters"]),
            rule=rule_in_words(*facts),
            confidence=confidence,
            alternatives=others,
            would_change=would_change(*facts),
            advice=advice_on(*facts, per_cluster, run.rank),
        ),
        rank=run.rank,
    )


def _evidence(run: Measured, table: pd.DataFrame, allowed: Admissible) -> Evidence:
    n = table["n_components"].to_numpy(np.int64)
    return Evidence(
        n_components=n,
        n_neighbors=table["n_neighbors"].to_numpy(np.int64),
        resolution=table["resolution"].to_numpy(np.float64),
        n_clusters=table["n_clusters"].to_numpy(np.int64),
        share_small=table["share_small"].to_numpy(np.float64),
        pairs=np.concatenate([run.agreement[m] for m in run.units.grid.n_components]),
        null=table["null_ari"].to_numpy(np.float64),
        admissible=np.isin(n, allowed.n_components),
    )


def _components(run: Measured) -> pd.DataFrame:
    """Return the measurements of the factorizations, one row per n."""
    curves = {
        name: part.set_index("rank") for name, part in run.rank.summary.groupby("curve", sort=False)
    }

    def at(curve: str, column: str, n: int) -> float:
        known = curve in curves and n in curves[curve].index
        return float(curves[curve].at[n, column]) if known else float("nan")

    spectrum = run.rank.spectrum
    rows = []
    for n in run.units.grid.n_components:
        fit = run.units.factors(n)
        inside = spectrum is not None and n <= len(spectrum)
        values = spectrum.iloc[n - 1] if spectrum is not None and inside else None
        rows.append(
            {
                "n_components": n,
                "reconstruction_error": float(fit["reconstruction_error"]),
                "relative_error": float(fit["relative_error"]),
                "held_out_error": at("held_out_error", "mean", n),
                "held_out_low": at("held_out_error", "low", n),
                "held_out_high": at("held_out_error", "high", n),
                "stability": at("matched_cosine", "mean", n),
                "cophenetic_correlation": at("cophenetic_correlation", "mean", n),
                "singular_value": np.nan if values is None else float(values["singular_value"]),
                "permuted_max": np.nan if values is None else float(values["permuted_max"]),
                "above_noise": values is not None and bool(values["above_noise"]),
            }
        )
    return pd.DataFrame(rows, columns=list(COMPONENT_COLUMNS))


def _per_cluster(labels: npt.NDArray[np.int32], together: FloatArray) -> pd.DataFrame:
    """Return how each cluster held in the replicates."""
    sizes = np.bincount(labels[labels >= 0])
    own = np.diag(together).copy()
    others = np.where(np.isnan(together), -1.0, together)
    np.fill_diagonal(others, -1.0)
    nearest = others.argmax(axis=1) if sizes.size > 1 else np.full(sizes.size, -1)
    share = others.max(axis=1) if sizes.size > 1 else np.full(sizes.size, np.nan)
    values = (np.arange(sizes.size), sizes, own, nearest, np.where(share < 0, np.nan, share))
    return pd.DataFrame(dict(zip(PER_CLUSTER_COLUMNS, values, strict=True)))


def _filled(
    per_cell: FloatArray, labels: npt.NDArray[np.int32], run: Measured, n: int, k: int
) -> FloatArray:
    """Give cells that were in no replicate the mean of their neighbours in the same cluster."""
    missing = np.isnan(per_cell) & (labels >= 0)
    if not missing.any():
        return per_cell
    means = np.array([_mean(per_cell[labels == c]) for c in range(int(labels.max(initial=-1)) + 1)])
    filled = per_cell.copy()
    filled[missing] = means[labels[missing]]
    rows = run.units.graphs(n)
    around = _around(rows.graph(k).graph, rows.node_of_row(), per_cell, labels)
    known = missing & ~np.isnan(around)
    filled[known] = around[known]
    return filled


def _around(
    graph: Graph,
    node: npt.NDArray[np.int64],
    values: FloatArray,
    labels: npt.NDArray[np.int32],
) -> FloatArray:
    """Mean of the known values of neighbouring nodes in the same cluster, for each row."""
    n = graph.n_nodes
    use = ~np.isnan(values) & (node >= 0)
    total = np.bincount(node[use], values[use], minlength=n)
    count = np.bincount(node[use], minlength=n).astype(np.float64)
    cluster = np.full(n, -1, np.int64)
    cluster[node[node >= 0]] = labels[node >= 0]
    joined = graph.to_scipy()
    joined.data = np.ones_like(joined.data)
    own = np.repeat(cluster, np.diff(graph.indptr))
    joined.data[own != cluster[graph.indices]] = 0.0
    sums, counts = joined @ total + total, joined @ count + count
    mean = np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)
    return np.where(node >= 0, mean[np.maximum(node, 0)], np.nan)


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _alternatives(
    run: Measured,
    table: pd.DataFrame,
    choice: Choice,
    shares: dict[int, float],
    labels: npt.NDArray[np.int32],
) -> pd.DataFrame:
    """Return the best point for each other number of clusters that is not excluded."""
    taken = int(table["n_clusters"].iloc[choice.point])
    counts = {int(c) for c in table["n_clusters"].iloc[choice.near]} | set(shares)
    rows: list[dict[str, Any]] = []
    for count in sorted(counts - {taken}):
        among = table[(table["n_clusters"] == count) & table["score"].notna()]
        if among.empty:
            continue
        best = among.loc[among["score"].idxmax()]
        n, k, r = int(best["n_components"]), int(best["n_neighbors"]), float(best["resolution"])
        rows.append(
            {
                "n_components": n,
                "n_neighbors": k,
                "resolution": r,
                "n_clusters": count,
                "score": float(best["score"]),
                "agreement": adjusted_rand(labels, run.labels_at(n, k, r)),
                "chosen": shares.get(count, 0.0),
            }
        )
    names = ("n_components", "n_neighbors", "resolution", "n_clusters", "score", "agreement")
    found = pd.DataFrame(rows, columns=[*names, "chosen"])
    return found.sort_values(["chosen", "score"], ascending=False, ignore_index=True)
