"""What `--tune` of nmf-leiden-clustering recommends: its calls, its settings, its rule.

Stability at the middle n and k for each r: neighbours and Leiden again with each of five seeds, the
mean adjusted Rand index of all pairs. The recommendation is the first row of the grid, in the order
n, k, at the most stable r, whose smallest cluster has 50 cells. Left out, for they decide nothing:
the rows of the grid after that one, and the same graph built again for each r. Runs in the
environment `original`; writes JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import anndata
import numpy as np
import scanpy as sc
from sklearn.decomposition import MiniBatchNMF
from sklearn.metrics import adjusted_rand_score

from run_original import read

N, K, R = (5, 8, 10, 12, 15), (10, 15, 20, 30), (0.1, 0.3, 0.5, 0.8, 1.0)
SEEDS = (42, 123, 456, 789, 1011)
LEAST = 50


def factorize(X, n: int, seed: int):
    init = "nndsvda" if n <= min(X.shape) else "random"
    model = MiniBatchNMF(
        n_components=n, batch_size=1024, max_iter=200, random_state=seed, init=init
    )
    usage = model.fit_transform(np.clip(X, 0, None)).astype(np.float32)
    return usage, float(np.linalg.norm(X - usage @ model.components_))


def graph(usage, neighbors: int, seed: int):
    cells = anndata.AnnData(usage)
    cells.obsm["X_nmf"] = usage
    sc.pp.neighbors(cells, n_neighbors=neighbors, use_rep="X_nmf", method="umap", random_state=seed)
    return cells


def leiden(cells, resolution: float, seed: int):
    sc.tl.leiden(
        cells, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2,
        directed=False,
    )  # fmt: skip
    return cells.obs["leiden"].to_numpy().astype(int)


def recommend(X, seed: int) -> dict:
    fits = {n: factorize(X, n, seed) for n in N}
    errors = [fits[n][1] for n in N]
    drops = -np.diff(errors)
    usage = fits[N[len(N) // 2]][0]
    graphs = [graph(usage, K[len(K) // 2], s) for s in SEEDS]
    stability = {}
    for r in R:
        runs = [leiden(cells, r, s) for cells, s in zip(graphs, SEEDS, strict=True)]
        pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(runs, 2)]
        stability[r] = float(np.mean(pairs))
    best = max(R, key=lambda r: stability[r])
    found = {"stability": {str(r): value for r, value in stability.items()}, "errors": errors}
    found["elbow"] = int(N[1 + int(np.argmax(drops))])
    for n, k in itertools.product(N, K):
        labels = leiden(graph(fits[n][0], k, seed), best, seed)
        sizes = np.bincount(labels)
        if sizes.min() >= LEAST:
            point = {"n_components": n, "n_neighbors": k, "resolution": best}
            return found | point | {"n_clusters": int(sizes.size), "labels": labels.tolist()}
    return found | {"n_clusters": 0, "labels": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    _, X, _ = read(asked.table, 100_000)
    asked.out.write_text(json.dumps(recommend(X, asked.seed)))


if __name__ == "__main__":
    main()
