"""Tuning: every point of a grid on all rows, on replicates, and beside data without clusters.

Work is shared: one factorization and one search for neighbours per n, on all rows and in each
replicate. Units of work are independent, run one per thread, and are kept in a store as they end,
so that a run that died goes on where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.exceptions import UsageError
from partwise.metrics import adjusted_rand
from partwise.metrics.partitions import group_entropy, share_in_small
from partwise.utils.progress import Progress, Stage, silent
from partwise.utils.threads import resolve_threads, run_tasks
from partwise.workflows.tuning.rank import pack_rank, rank_of_rows, unpack_rank
from partwise.workflows.tuning.stability import NullCurve, pairwise_agreement
from partwise.workflows.tuning.tables import assemble
from partwise.workflows.tuning.types import Store, TuneGrid, TuneResult
from partwise.workflows.tuning.units import Arrays, Units

__all__ = ["Measured", "tune_rows"]


def tune_rows(
    X: Any,
    grid: TuneGrid | None = None,
    *,
    fov: npt.ArrayLike | None = None,
    batch: npt.ArrayLike | None = None,
    seed: int = 42,
    n_threads: int | None = None,
    progress: Progress | None = None,
    n_replicates: int = 5,
    min_cluster_size: int = 50,
    store: Store | None = None,
) -> TuneResult:
    """Measure every setting of a grid, and recommend one.

    Each point (n, k, r) is clustered as `partwise cluster -n -k -r` would with the same seed, and
    again in every replicate, which has four fifths of the rows (at most 50,000) and other seeds for
    factorization, graph and Leiden. With a the mean adjusted Rand index of pairs of replicates, and
    a0 that of data of the same covariance without clusters, cut into as many pieces, the score is
    (a - a0) / (1 - a0). How the point follows from the scores: `partwise.workflows.tuning.rules`.

    Parameters
    ----------
    X
        Cells, n x p, not negative: array or CSR matrix.
    grid
        The settings; None for the default of 100.
    fov, batch
        Field of view and batch of each row, n.
    seed
        Seed; all seeds of replicates are made from it.
    n_threads
        Threads, each with a unit of work of its own; results do not depend on it.
    progress
        Told of each unit.
    n_replicates
        R, at least 2.
    min_cluster_size
        Clusters of fewer rows are small: a partition with more than 1 % of the rows in such is
        not recommended.
    store
        Where units are kept, and looked for first. Results do not depend on it.

    Returns
    -------
    TuneResult
        The measurements and the recommendation.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If X cannot.

    Examples
    --------
    >>> from partwise.datasets import simulate_neighborhoods
    >>> sim = simulate_neighborhoods(600, seed=1)
    >>> X = sim.table[list(sim.features)].to_numpy("float32")
    >>> grid = TuneGrid(n_components=(5,), n_neighbors=(15,), resolutions=(0.1, 1.0))
    >>> tune_rows(X, grid, n_replicates=3).recommendation.n_clusters
    5
    """
    grid = grid or TuneGrid()
    groups = {"fov": _codes(fov, X, "fov"), "batch": _codes(batch, X, "batch")}
    if n_replicates < 2:
        raise UsageError(f"stability needs at least 2 replicates, not {n_replicates}")
    threads = resolve_threads(n_threads)
    units = Units(X, grid, seed, threads, store)
    total = 1 + len(grid.n_components) * (len(grid.n_neighbors) + n_replicates + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of single fits; advice says what matters
        with (progress or silent()).stage("tune", total=total) as stage:
            run = Measured(units, n_replicates, stage)
            run.measure()
    table = run.grid_table(groups, min_cluster_size)
    return assemble(run, table, min_cluster_size)


def _codes(groups: npt.ArrayLike | None, X: Any, name: str) -> npt.NDArray[np.int64] | None:
    """Return groups as numbers."""
    if groups is None:
        return None
    codes: npt.NDArray[np.int64] = pd.factorize(np.asarray(groups))[0].astype(np.int64)
    if codes.shape != (X.shape[0],):
        raise UsageError(f"{name} has {codes.size} values for {X.shape[0]} rows")
    return codes


class Measured:
    """The units of a run, measured.

    Attributes
    ----------
    units, n_replicates
        What to do.
    rank
        Measurements of n.
    points
        Per n, per k: labels and measures for each r.
    replicates
        Per n, per replicate: labels, points x rows.
    agreement
        Per n: points x R x R.
    null
        Per n: one curve.
    """

    def __init__(self, units: Units, n_replicates: int, stage: Stage) -> None:
        self.units = units
        self.n_replicates = n_replicates
        self._stage = stage
        self.points: dict[int, list[Arrays]] = {}
        self.replicates: dict[int, list[npt.NDArray[Any]]] = {}
        self.agreement: dict[int, npt.NDArray[np.float64]] = {}
        self.null: dict[int, NullCurve] = {}

    def measure(self) -> None:
        """Run all units, the longest first."""
        units, ns = self.units, self.units.grid.n_components
        replicates = range(self.n_replicates)
        self.rank = unpack_rank(units.kept("rank", self._rank))
        self._stage.advance()
        for n in ns:  # with all threads for one fit
            units.factors(n)
        tasks: list[Callable[[], Any]] = [partial(self._points, n) for n in reversed(ns)]
        tasks += [partial(self._replicate, n, b) for n in reversed(ns) for b in replicates]
        tasks += [partial(self._null, n) for n in ns]
        found = run_tasks(units.n_threads, tasks)
        self.points = dict(zip(reversed(ns), found, strict=False))
        labels = iter(found[len(ns) : -len(ns)])
        self.replicates = {n: [next(labels) for _ in replicates] for n in reversed(ns)}
        self.null = dict(zip(ns, found[-len(ns) :], strict=True))
        self.rows = [units.replicate(b).rows for b in replicates]
        pairs = run_tasks(
            units.n_threads,
            [partial(pairwise_agreement, self.rows, self.replicates[n]) for n in ns],
        )
        self.agreement = dict(zip(ns, pairs, strict=True))

    def _rank(self) -> Arrays:
        units = self.units
        return pack_rank(
            rank_of_rows(
                units.X,
                units.grid.n_components,
                n_replicates=self.n_replicates,
                seed=units.seed,
                n_threads=units.n_threads,
            )
        )

    def _points(self, n: int) -> list[Arrays]:
        return self.units.points(n, done=self._stage.advance)

    def _replicate(self, n: int, number: int) -> npt.NDArray[Any]:
        found = self.units.replicate_labels(n, number)
        self._stage.advance()
        return found

    def _null(self, n: int) -> NullCurve:
        found = self.units.null(n)
        self._stage.advance()
        return found

    def labels_at(self, n: int, k: int, r: float) -> npt.NDArray[Any]:
        """Labels of all rows at a point."""
        grid = self.units.grid
        found: npt.NDArray[Any] = self.points[n][grid.n_neighbors.index(k)]["labels"]
        return np.asarray(found[grid.resolutions.index(r)])

    def replicates_at(self, n: int, k: int, r: float) -> list[npt.NDArray[Any]]:
        """Labels of the rows of each replicate at a point."""
        grid = self.units.grid
        at = grid.n_neighbors.index(k) * len(grid.resolutions) + grid.resolutions.index(r)
        return [labels[at] for labels in self.replicates[n]]

    def grid_table(
        self, groups: dict[str, npt.NDArray[np.int64] | None], least: int
    ) -> pd.DataFrame:
        """Return one row per point; the score is added by the rule."""
        grid = self.units.grid
        tasks = [
            partial(self._rows_of, n, i, groups, least)
            for n in grid.n_components
            for i in range(len(grid.n_neighbors))
        ]
        parts = run_tasks(self.units.n_threads, tasks)
        return pd.DataFrame([row for part in parts for row in part])

    def _rows_of(
        self, n: int, i: int, groups: dict[str, npt.NDArray[np.int64] | None], least: int
    ) -> list[dict[str, Any]]:
        """Return the rows of the table for one n and k."""
        grid, found = self.units.grid, self.points[n][i]
        above = np.triu_indices(self.n_replicates, 1)
        spans = _ranges(list(found["labels"]), grid.resolutions)
        rows = []
        for j, r in enumerate(grid.resolutions):
            labels = found["labels"][j]
            sizes = np.bincount(labels[labels >= 0])
            pairs = self.agreement[n][i * len(grid.resolutions) + j][above]
            row = {
                "n_components": n,
                "n_neighbors": grid.n_neighbors[i],
                "resolution": r,
                "n_clusters": sizes.size,
                "min_cluster_size": int(sizes.min(initial=labels.size)) if sizes.size else 0,
                "max_cluster_size": int(sizes.max(initial=0)),
                "median_cluster_size": float(np.median(sizes)) if sizes.size else 0.0,
                "share_small": share_in_small(sizes, least),
                **{name: float(found[name][j]) for name in _MEASURES},
            }
            for name, codes in groups.items():
                if codes is not None:
                    row[f"{name}_entropy"] = group_entropy(labels, codes)[1]
                elif name == "fov":
                    row["fov_entropy"] = np.nan
            row["mean_ari"], row["std_ari"] = float(pairs.mean()), float(pairs.std())
            row["null_ari"] = self.null[n].at(sizes.size)
            row["range_low"], row["range_high"] = spans[j]
            rows.append(row)
        return rows


_MEASURES = ("modularity", "conductance", "silhouette")
#: Partitions at neighbouring resolutions that agree so well are the same.
_SAME = 0.9


def _ranges(
    labels: list[npt.NDArray[Any]], resolutions: tuple[float, ...]
) -> list[tuple[float, float]]:
    """Return for each resolution from where to where neighbouring partitions agree."""
    first = 0
    spans = []
    for j in range(len(labels)):
        last = j == len(labels) - 1
        if last or adjusted_rand(labels[j], labels[j + 1]) < _SAME:
            spans += [(resolutions[first], resolutions[j])] * (j + 1 - first)
            first = j + 1
    return spans
