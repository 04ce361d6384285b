"""How should cells be compared, and what should become of small clusters? ARI with niches.

python benchmarks/metric.py; some minutes. Cells of simulated tissue are thinned by field of view,
so that density differs up to fivefold, and counted within a radius.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

import partwise as pw
from common import RESULTS, write_json
from measures import machine
from partwise.datasets import simulate_tissue
from partwise.graph import cluster_rows, neighborhood_table
from partwise.graph.representation import clustering_space, usage_shares
from partwise.metrics import adjusted_rand
from partwise.workflows import ClusterOptions
from partwise.workflows.clustering.prepare import divide_by_group, group_means
from partwise.workflows.clustering.small import settle_small

SEEDS = range(5)
N_NICHES, N_TYPES, N_FOVS, RADIUS = 6, 12, 20, 80.0
FEW_FOVS = 3  # large ones, each of which holds all niches
FLAGS = {"n_neighbors": 15, "resolution": 0.1}
FINE = 0.5  # a resolution at which small clusters appear


def tissue(
    seed: int, noise: float, n_fovs: int = N_FOVS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts within the radius, fields of view and niches of thinned tissue."""
    made = simulate_tissue(
        24_000, n_fovs=n_fovs, n_niches=N_NICHES, n_types=N_TYPES, noise=noise, seed=seed
    )
    rng = np.random.default_rng(seed)
    fov = pd.factorize(made.cells["fov"])[0]
    kept = rng.random(len(fov)) < rng.uniform(0.2, 1.0, n_fovs)[fov]
    cells = made.cells[kept]
    found = neighborhood_table(
        cells[["centroid-0", "centroid-1"]].to_numpy(),
        cells["cell_meta_cluster"].to_numpy(),
        fov=cells["fov"].to_numpy(),
        radius=RADIUS,
    )
    niche = made.truth["niche"].to_numpy()[kept]
    return np.asarray(found.counts, np.float32), fov[kept], niche


def labels_of(space: np.ndarray, metric: str = "euclidean", r: float = 0.1) -> np.ndarray:
    flags = {**FLAGS, "resolution": r}
    return cluster_rows(space, metric=metric, random_state=42, **flags).clustering.labels


def rows_of_usage(W: np.ndarray) -> np.ndarray:
    """Usage divided by its row sums as it is: what the original's successor compares."""
    totals = W.sum(axis=1, keepdims=True)
    return W / np.where(totals > 0, totals, 1)


def spaces(W: np.ndarray, H: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    return {
        "amounts": (clustering_space(W, H), "euclidean"),
        "shares": (clustering_space(*usage_shares(W, H)), "euclidean"),
        "cosine": (clustering_space(W, H), "cosine"),
        "usage over row sums, cosine": (rows_of_usage(W), "cosine"),
    }


def compare(seed: int, noise: float) -> dict[str, Any]:
    X, fov, niche = tissue(seed, noise)
    model = pw.NMF(N_NICHES, random_state=42)
    W, H = model.fit_transform(X), model.components_
    scale = 10.0 ** np.random.default_rng(seed).uniform(-1, 1, N_NICHES)
    scaled = spaces(W / scale, H * scale[:, None])
    row: dict[str, Any] = {"seed": seed, "noise": noise, "cells": len(X)}
    for name, (space, metric) in spaces(W, H).items():
        found = labels_of(space, metric)
        row[f"ari, {name}"] = adjusted_rand(found, niche)
        row[f"same after rescaling, {name}"] = adjusted_rand(found, labels_of(*scaled[name]))
    row.update(stained("20 fovs", X, fov, niche, seed))
    row.update(stained("3 fovs", *tissue(seed, noise, FEW_FOVS), seed))
    row.update(small(clustering_space(*usage_shares(W, H)), niche))
    return row


def stained(
    name: str, X: np.ndarray, fov: np.ndarray, niche: np.ndarray, seed: int
) -> dict[str, float]:
    """Each feature is scaled by field of view, as uneven staining does; then divided by means."""
    n_fovs = int(fov.max()) + 1
    factors = np.random.default_rng(seed).lognormal(0.0, 0.7, (n_fovs, X.shape[1]))
    Y = (X * factors[fov]).astype(np.float32)
    codes = fov.astype(np.int64)
    row = {}
    for case, values in (("even", X), ("stained", Y)):
        divided = divide_by_group(values, codes, group_means(values, codes, n_fovs))
        for how, matrix in (("as it is", values), ("by fov", divided)):
            model = pw.NMF(N_NICHES, random_state=42)
            W = model.fit_transform(matrix)
            space = clustering_space(*usage_shares(W, model.components_))
            row[f"ari, {name} {case}, {how}"] = adjusted_rand(labels_of(space), niche)
    return row


def small(space: np.ndarray, niche: np.ndarray) -> dict[str, float]:
    """A fine clustering, its clusters below one per cent settled in both ways."""
    flags = {**FLAGS, "resolution": FINE}
    found = cluster_rows(space, random_state=42, **flags).clustering
    row = {"clusters, fine": found.n_clusters, "ari, fine": adjusted_rand(found.labels, niche)}
    options = ClusterOptions(min_cluster_size="1%")
    for action in ("reassign", "mark"):
        done, moved = settle_small(space, found, replace(options, small=action))
        row[f"clusters, {action}"] = done.n_clusters
        row[f"ari, {action}"] = adjusted_rand(done.labels, niche)
        if action == "reassign" and moved is not None and moved.n_cells:
            # of the cells that moved: is their new cluster one of their niche?
            commonest = pd.crosstab(done.labels, niche).idxmax(axis=1)
            cells = found.labels >= (found.sizes >= moved.least).sum()
            right = commonest.loc[done.labels[cells]].to_numpy() == niche[cells]
            row["moved"], row["moved to their niche"] = int(cells.sum()), float(right.mean())
    return row


def main() -> None:
    warnings.simplefilter("ignore")
    rows = [compare(seed, noise) for noise in (0.1, 0.4) for seed in SEEDS]
    for noise in (0.1, 0.4):
        print(f"noise {noise}: median of {len(SEEDS)} seeds (smallest, largest)")
        mine = pd.DataFrame([row for row in rows if row["noise"] == noise])
        for name in mine.columns[2:]:
            values = mine[name].dropna()
            print(f"  {name:45s} {values.median():.3f} ({values.min():.3f}, {values.max():.3f})")
    write_json(RESULTS / "metric.json", {"rows": rows, "machine": machine()})


if __name__ == "__main__":
    main()
