"""Do the clusters find what is known to be there? ARI against planted and sorted cell types.

python benchmarks/recovery.py [--quick]; the environment `original` is needed for scanpy's part.
"""

from __future__ import annotations

import argparse
import subprocess
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression

import partwise as pw
from common import RESULTS, python_of, write_json
from data import DATA, source
from measures import HERE, machine
from partwise.graph import cluster_rows, connectivities, leiden, neighbors
from partwise.graph.representation import clustering_space
from partwise.metrics import adjusted_rand

SEEDS = range(5)
FLAGS = {"n_neighbors": 15, "resolution": 0.1}  # the defaults of `partwise cluster`
MATCHED = (8, 9, 10, 11, 12)  # numbers of clusters at which partwise and scanpy are compared
RANK = 50  # as many programs as scanpy takes principal components
RESOLUTIONS = np.round(np.geomspace(0.1, 2.0, 61), 4)


def fit(X: Any, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, pw.NMF]:
    model = pw.NMF(k, random_state=seed)
    usage = model.fit_transform(X)
    return clustering_space(usage, model.components_), usage, model


def planted(mode: str, n: int, k: int) -> list[dict[str, Any]]:
    """Cluster a simulated table with the default flags; the raw features beside it."""
    rows = []
    for seed in SEEDS:
        cells = pw.simulate_neighborhoods(n, mode=mode, seed=seed)
        X = cells.table[list(cells.features)].to_numpy("float32")
        space, _, model = fit(X, k, 42)
        found = cluster_rows(space, random_state=42, **FLAGS).clustering
        raw = cluster_rows(X, random_state=42, **FLAGS).clustering
        row = {
            "seed": seed,
            "clusters": found.n_clusters,
            "ari": adjusted_rand(found.labels, cells.planted),
            "clusters_raw": raw.n_clusters,
            "ari_raw": adjusted_rand(raw.labels, cells.planted),
        }
        if mode == "discrete":
            row["ari_supervised"] = supervised(X, np.asarray(cells.planted))
        if mode == "anchored":
            row["cosine_least"] = least_cosine(model.components_, cells.programs.to_numpy())
        rows.append(row)
    return rows


def supervised(X: np.ndarray, types: np.ndarray) -> float:
    """ARI of multinomial logistic regression, trained on every other row, on the rest."""
    model = LogisticRegression(max_iter=500).fit(X[::2], types[::2])
    return adjusted_rand(model.predict(X[1::2]), types[1::2])


def least_cosine(programs: np.ndarray, truth: np.ndarray) -> float:
    """Smallest cosine between a planted program and the factor matched to it."""
    if truth.shape[1] != programs.shape[1]:
        truth = truth.T
    cosines = (truth / np.linalg.norm(truth, axis=1, keepdims=True)) @ (
        programs / np.linalg.norm(programs, axis=1, keepdims=True)
    ).T
    return float(cosines[linear_sum_assignment(-cosines)].min())


def sorted_types(folder: Path) -> dict[str, Any]:
    """FACS-sorted PBMCs: our clusters and scanpy's, at equal numbers of clusters."""
    out = folder / "scanpy_facs.npz"
    counts = source("pbmc_facs.h5ad")
    subprocess.run([python_of("original"), HERE / "run_scanpy.py", counts, out], check=True)
    stored = np.load(out)
    data = anndata.read_h5ad(counts)
    types = data.obs["celltype"].astype(str).to_numpy()
    X = sp.csr_matrix(data.X, dtype=np.float32)
    X = sp.diags((1e4 / np.asarray(X.sum(1)).ravel()).astype(np.float32)) @ X
    X = unit_variance(X.tocsr()[:, stored["genes"]].log1p())
    ours: dict[int, list[list[float]]] = {k: [] for k in MATCHED}
    scanpy: dict[int, list[list[float]]] = {k: [] for k in MATCHED}
    for seed in SEEDS:
        space, _, _ = fit(X, RANK, seed)
        graph = connectivities(neighbors(space, FLAGS["n_neighbors"], random_state=seed))
        mine = [leiden(graph, float(r), random_state=seed).labels for r in RESOLUTIONS]
        for target, labels in ((ours, mine), (scanpy, stored["labels"][seed])):
            for k in MATCHED:
                hits = [adjusted_rand(x, types) for x in labels if x.max() + 1 == k]
                target[k].append(hits)
    return {"partwise": _means(ours), "scanpy": _means(scanpy), "rank": RANK}


def unit_variance(X: sp.csr_matrix) -> sp.csr_matrix:
    """Scale genes to unit variance, values above 10 clipped: scanpy's `scale` without centring."""
    mean = np.asarray(X.mean(axis=0)).ravel()
    deviation = np.sqrt(np.asarray(X.power(2).mean(axis=0)).ravel() - mean**2)
    scaled = (X @ sp.diags((1.0 / np.maximum(deviation, 1e-6)).astype(np.float32))).tocsr()
    scaled.data = np.minimum(scaled.data, 10.0)
    return scaled


def _means(found: dict[int, list[list[float]]]) -> dict[str, Any]:
    """Mean over the resolutions that give k clusters, then over the seeds that have any."""
    table = {}
    for k, seeds in found.items():
        means = [float(np.mean(hits)) for hits in seeds if hits]
        table[str(k)] = {
            "ari": float(np.mean(means)) if means else None,
            "seeds": len(means),
            "resolutions": sum(len(hits) for hits in seeds),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 cells at most, no scanpy")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    large = 20_000 if quick else 200_000
    cases = [("original", 10_000, 10), ("original", large, 10), ("discrete", 20_000, 10)]
    cases += [("discrete", large, 10)] if not quick else []
    cases += [("anchored", 20_000, 6)]
    result: dict[str, Any] = {"flags": FLAGS, "planted": {}}
    for mode, n, k in cases:
        rows = planted(mode, n, k)
        result["planted"][f"{mode} {n} n={k}"] = rows
        print(f"{mode}, {n:,} cells, n={k}")
        for key in rows[0]:
            values = [row[key] for row in rows]
            print(f"  {key:15s} " + " ".join(f"{value:.3f}" for value in values))
    if not quick:
        DATA.mkdir(exist_ok=True)
        result["facs"] = sorted_types(DATA)
        for k in MATCHED:
            row = {who: result["facs"][who][str(k)] for who in ("partwise", "scanpy")}
            print(f"facs, {k} clusters: {row}")
        result["machine"] = machine()
        write_json(RESULTS / "recovery.json", result)


if __name__ == "__main__":
    main()
