"""scanpy's standard clusters: PCA of scaled variable genes, neighbours, Leiden.

Runs in the environment `original`: python run_scanpy.py COUNTS.h5ad OUT.npz
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import scanpy as sc

warnings.simplefilter("ignore")

GENES, COMPONENTS, NEIGHBORS, SEEDS = 2000, 50, 15, 5
RESOLUTIONS = np.round(np.geomspace(0.2, 2.0, 41), 4)


def main(counts: str, out: str) -> None:
    data = sc.read_h5ad(counts)
    sc.pp.normalize_total(data, target_sum=1e4)
    sc.pp.log1p(data)
    sc.pp.highly_variable_genes(data, n_top_genes=GENES)
    genes = np.flatnonzero(data.var["highly_variable"].to_numpy())
    data = data[:, genes].copy()
    sc.pp.scale(data, max_value=10)
    labels = np.empty((SEEDS, len(RESOLUTIONS), data.n_obs), np.int32)
    for seed in range(SEEDS):
        sc.tl.pca(data, n_comps=COMPONENTS, random_state=seed)
        sc.pp.neighbors(data, n_neighbors=NEIGHBORS, n_pcs=COMPONENTS, random_state=seed)
        for i, resolution in enumerate(RESOLUTIONS):
            sc.tl.leiden(
                data,
                resolution=float(resolution),
                flavor="igraph",
                n_iterations=2,
                directed=False,
                random_state=seed,
            )
            labels[seed, i] = data.obs["leiden"].astype(int).to_numpy()
    np.savez(out, genes=genes, labels=labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
