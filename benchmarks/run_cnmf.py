"""The cnmf package from counts to programs, as its guide says; for the environment `cnmf`.

prepare, factorize with one process per core, combine, the curve over k, consensus at one k with its
figure. `--stages FILE` writes the seconds of each stage, `--golden FILE` runs it on small simulated
counts and keeps what the tests compare partwise with.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

BEGIN = time.perf_counter()
# one thread per worker process: on as many cores as workers this is what is best for it
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import anndata  # noqa: E402 - importing is part of what a user waits for
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scipy.sparse as sp  # noqa: E402

matplotlib.use("Agg")

import cnmf as package  # noqa: E402
from cnmf import cNMF  # noqa: E402
from cnmf.cnmf import load_df_from_npz  # noqa: E402


def run(counts: Path, folder: Path, args) -> tuple[cNMF, dict[str, float]]:
    """Do all steps; return the object and the seconds of each."""
    laps, last = {}, BEGIN

    def lap(name: str) -> None:
        nonlocal last
        laps[name], last = time.perf_counter() - last, time.perf_counter()

    lap("import")
    job = cNMF(output_dir=str(folder), name="run")
    job.prepare(
        str(counts),
        components=args.ranks,
        n_iter=args.replicates,
        seed=args.seed,
        num_highvar_genes=args.genes,
    )
    lap("prepare")
    if args.workers > 1:
        job.factorize_multi_process(args.workers)
    else:
        job.factorize()
    lap("factorize")
    job.combine()
    lap("combine")
    if len(args.ranks) > 1:
        job.k_selection_plot(close_fig=True)
        lap("ranks")
    job.consensus(
        args.choose, density_threshold=args.threshold, show_clustering=True,
        close_clustergram_fig=True,
    )  # fmt: skip
    lap("consensus")
    return job, laps


def more(args) -> None:
    """Form the consensus of further numbers of programs, in a folder that `run` filled."""
    job = cNMF(output_dir=str(args.output_dir), name="run")
    for k in args.more:
        job.consensus(k, density_threshold=args.threshold, show_clustering=False)
        args.choose = k
        np.savez(args.found.with_name(f"{args.found.stem}_{k}.npz"), **gather(job, args))


def gather(job: cNMF, args) -> dict[str, np.ndarray]:
    """Return what was found, from the files it wrote; they are its own, so pickle is safe."""
    k, threshold = args.choose, str(args.threshold).replace(".", "_")
    names = {
        "spectra": job.paths["consensus_spectra"] % (k, threshold),
        "usage": job.paths["consensus_usages"] % (k, threshold),
        "gene_scores": job.paths["gene_spectra_score"] % (k, threshold),
        "tpm": job.paths["gene_spectra_tpm"] % (k, threshold),
        "merged": job.paths["merged_spectra"] % k,
        "density": job.paths["local_density_cache"] % k,
    }
    found = {name: load_df_from_npz(path).to_numpy(np.float64) for name, path in names.items()}
    found["genes"] = np.loadtxt(job.paths["nmf_genes_list"], dtype=str)
    if len(args.ranks) > 1:
        stats = load_df_from_npz(job.paths["k_selection_stats"])
        for name, column in (("ranks", "k"), ("stability", "silhouette")):
            found[name] = stats[column].to_numpy(np.float64)
        found["error"] = stats["prediction_error"].to_numpy(np.float64)
    return found


def simulated(cells: int = 250, genes: int = 300, k: int = 4) -> anndata.AnnData:
    """Return small counts with k programs."""
    rng = np.random.default_rng(7)
    usage = rng.dirichlet(np.full(k, 0.3), size=cells)
    programs = rng.gamma(0.4, size=(k, genes)) * rng.gamma(0.5, size=genes)
    programs /= programs.sum(axis=1, keepdims=True)
    depth = rng.lognormal(7.3, 0.3, size=(cells, 1))
    counts = rng.poisson(depth * (usage @ programs)).astype(np.float32)
    counts = counts[:, counts.sum(axis=0) > 0]
    return anndata.AnnData(
        sp.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(cells)]),
        var=pd.DataFrame(index=[f"g{j}" for j in range(counts.shape[1])]),
    )


def golden(path: Path, args) -> None:
    """Write a small case with all that cnmf found in it."""
    args.ranks, args.choose, args.replicates, args.genes, args.workers = [3, 4, 5], 5, 12, 120, 1
    with tempfile.TemporaryDirectory() as folder:
        data = simulated()
        data.write_h5ad(Path(folder) / "counts.h5ad")
        job, _ = run(Path(folder) / "counts.h5ad", Path(folder), args)
        found = gather(job, args)
        for k in args.ranks:
            found[f"merged_{k}"] = load_df_from_npz(job.paths["merged_spectra"] % k).to_numpy()
    del found["merged"]
    counts = data.X.toarray().astype(np.uint16)
    small = {n: v if v.dtype.kind == "U" else v.astype(np.float32) for n, v in found.items()}
    np.savez_compressed(path, counts=counts, version=package.__version__, **small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path, nargs="?")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("results"))
    parser.add_argument("--ranks", type=int, nargs="+", default=list(range(5, 14)))
    parser.add_argument("--choose", type=int, default=10)
    parser.add_argument("--replicates", type=int, default=50)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stages", type=Path)
    parser.add_argument("--found", type=Path, help="npz of what was found")
    parser.add_argument("--more", type=int, nargs="+", help="consensus of these k, run already")
    parser.add_argument("--golden", type=Path)
    args = parser.parse_args()
    if args.golden:
        golden(args.golden, args)
        return
    if args.more:
        more(args)
        return
    job, laps = run(args.counts, args.output_dir, args)
    if args.stages:
        args.stages.write_text(json.dumps(laps))
    if args.found:
        np.savez(args.found, **gather(job, args))


if __name__ == "__main__":
    main()
