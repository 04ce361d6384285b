"""The public calls that nmf-leiden-clustering makes, in its order and with its settings.

Chunked pandas, MiniBatchNMF (nndsvda), scanpy's neighbours (pynndescent) and scanpy's Leiden
(igraph, 2 iterations), two CSV files. Left out, in its favour: its logging of each mini-batch.
Runs in the environment `original`; `--stages FILE` writes the seconds of each stage.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

BEGIN = time.perf_counter()

import anndata  # noqa: E402 - importing is part of what a user waits for
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scanpy as sc  # noqa: E402
from sklearn.decomposition import MiniBatchNMF  # noqa: E402


def read(path: str, chunksize: int):
    """Return the first three columns and, as float32, all others."""
    ids, values = [], []
    for chunk in pd.read_csv(path, chunksize=chunksize, low_memory=False):
        ids.append(chunk[chunk.columns[:3]].copy())
        features = list(chunk.columns[3:])
        values.append(chunk[features].to_numpy().astype(np.float32))
    return pd.concat(ids, ignore_index=True), np.vstack(values), features


def factorize(X, n: int, batch_size: int, seed: int):
    model = MiniBatchNMF(
        n_components=n, batch_size=batch_size, max_iter=200, random_state=seed, init="nndsvda"
    )
    usage = model.fit_transform(np.clip(X, 0, None))
    return usage.astype(np.float32), model.components_.astype(np.float32)


def cluster(usage, neighbors: int, resolution: float, seed: int, lap):
    data = anndata.AnnData(usage)
    data.obsm["X_nmf"] = usage
    sc.pp.neighbors(data, n_neighbors=neighbors, use_rep="X_nmf", method="umap", random_state=seed)
    lap("neighbors")
    sc.tl.leiden(
        data,
        resolution=resolution,
        random_state=seed,
        flavor="igraph",
        n_iterations=2,
        directed=False,
    )
    lap("leiden")
    return data.obs["leiden"].to_numpy().astype(int)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", type=Path)
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("results"))
    parser.add_argument("-n", "--n-components", type=int, default=10)
    parser.add_argument("-r", "--resolution", type=float, default=0.1)
    parser.add_argument("-b", "--batch-size", type=int, default=1024)
    parser.add_argument("-k", "--n-neighbors", type=int, default=15)
    parser.add_argument("-c", "--chunksize", type=int, default=100_000)
    parser.add_argument("-s", "--seed", type=int, default=42)
    parser.add_argument("--stages", type=Path)
    args = parser.parse_args()
    laps, last = {}, BEGIN

    def lap(name: str) -> None:
        nonlocal last
        laps[name], last = time.perf_counter() - last, time.perf_counter()

    lap("import")
    ids, X, features = read(args.input, args.chunksize)
    lap("read")
    usage, programs = factorize(X, args.n_components, args.batch_size, args.seed)
    lap("nmf")
    labels = cluster(usage, args.n_neighbors, args.resolution, args.seed, lap)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    factors = [f"NMF_factor_{i + 1}" for i in range(usage.shape[1])]
    table = ids.copy()
    table["leiden_cluster"] = labels
    for i, name in enumerate(factors):
        table[name] = usage[:, i]
    stem = args.output_dir / args.input.stem
    table.to_csv(f"{stem}_nmf_leiden_clusters.csv", index=False)
    basis = pd.DataFrame(programs.T, index=pd.Index(features, name="cell_type"), columns=factors)
    basis.to_csv(f"{stem}_nmf_basis_H.csv")
    lap("write")
    if args.stages:
        args.stages.write_text(json.dumps(laps))


if __name__ == "__main__":
    main()
