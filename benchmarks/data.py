"""Make the data sets of the benchmarks in benchmarks/.data: `python benchmarks/data.py [NAME ...]`.

pbmc3k and depmap come from files in $PARTWISE_DATA_DIR; the others are simulated from a fixed seed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

DATA = Path(__file__).resolve().parent / ".data"
DEPMAP = "depmap23q2_rank50_centered_gene_effect_1095x2732.parquet"


def source(name: str) -> Path:
    """Return the path of a file that cannot be simulated."""
    folder = os.environ.get("PARTWISE_DATA_DIR")
    if not folder or not (Path(folder) / name).exists():
        raise SystemExit(f"set PARTWISE_DATA_DIR to the folder that holds {name}")
    return Path(folder) / name


def log_normalise(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return log(1 + counts per 10,000) as float32 CSR."""
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    scale = np.divide(1e4, totals, out=np.zeros_like(totals), where=totals > 0)
    X = sp.csr_matrix(counts, dtype=np.float64, copy=True)
    X.data = np.log1p(X.data * np.repeat(scale, np.diff(X.indptr)))
    X.sort_indices()
    return X.astype(np.float32)


def simulate_sparse(n: int, p: int, density: float, rank: int = 20, seed: int = 7):
    """Return log-normalised Poisson counts whose rates have `rank` planted programs.

    Usage is Dirichlet(0.2), programs are gamma(0.3) per gene times a log-normal abundance, depths
    are log-normal. One factor on all rates, found by bisection on a sample, sets the density.
    """
    rng = np.random.default_rng(seed)
    usage = rng.dirichlet(np.full(rank, 0.2), size=n)
    programs = rng.gamma(0.3, size=(rank, p)) * rng.lognormal(0.0, 1.0, size=p)
    programs /= programs.sum(axis=1, keepdims=True)
    usage *= rng.lognormal(0.0, 0.4, size=(n, 1))
    sample = usage[:2000] @ programs
    low, high = 0.0, 10.0 * p
    for _ in range(60):
        factor = (low + high) / 2
        too_dense = np.mean(-np.expm1(-factor * sample)) > density
        low, high = (low, factor) if too_dense else (factor, high)
    blocks = [
        sp.csr_matrix(rng.poisson(factor * (usage[i : i + 4096] @ programs)), dtype=np.float32)
        for i in range(0, n, 4096)
    ]
    return log_normalise(sp.vstack(blocks, format="csr"))


def make_pbmc3k(path: Path) -> None:
    sp.save_npz(path, log_normalise(sp.load_npz(source("pbmc3k.npz"))), compressed=False)


def make_counts(path: Path) -> None:
    X = sp.csr_matrix(sp.load_npz(source("pbmc3k.npz")), dtype=np.float32)
    X.sort_indices()
    sp.save_npz(path, X, compressed=False)


def make_depmap(path: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(source(DEPMAP)).select_dtypes("number")
    X = frame.to_numpy(np.float32)
    np.save(path, np.ascontiguousarray(X - X.min(axis=0)))


def make_sparse(path: Path, n: int, p: int, density: float) -> None:
    sp.save_npz(path, simulate_sparse(n, p, density), compressed=False)


def make_tiny_counts(path: Path) -> None:
    rng = np.random.default_rng(3)
    means = rng.gamma(0.3, size=(1_000, 6)) @ rng.gamma(0.3, size=(6, 300))
    sp.save_npz(path, sp.csr_matrix(rng.poisson(means), dtype=np.float32), compressed=False)


def make_table(path: Path, n: int) -> None:
    """Write the neighbourhood table of n cells, and its features as float32 beside it."""
    from partwise.datasets import simulate_neighborhoods

    frame = simulate_neighborhoods(n, n_fovs=10, seed=42).table
    temporary = path.with_suffix(".part")
    frame.to_csv(temporary, index=False)
    np.save(path.with_suffix(".npy"), np.ascontiguousarray(frame.iloc[:, 3:].to_numpy(np.float32)))
    temporary.replace(path)


SETS: dict[str, tuple[str, Callable[..., None], tuple]] = {
    "pbmc3k": ("pbmc3k.npz", make_pbmc3k, ()),
    "pbmc3k counts": ("pbmc3k_counts.npz", make_counts, ()),
    "depmap": ("depmap.npy", make_depmap, ()),
    "sparse100k": ("sparse100k.npz", make_sparse, (100_000, 2_000, 0.05)),
    "table200k": ("table200k.csv", make_table, (200_000,)),
    "table1200k": ("table1200k.csv", make_table, (1_200_000,)),
    "tiny_sparse": ("tiny_sparse.npz", make_sparse, (1_500, 400, 0.05)),
    "tiny_counts": ("tiny_counts.npz", make_tiny_counts, ()),
    "tiny_table": ("tiny_table.csv", make_table, (3_000,)),
}


def ensure(name: str) -> Path:
    """Return the file of a data set, made on first use; for a table, its CSV."""
    file, make, arguments = SETS[name]
    path = DATA / file
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        print(f"making {path.name}", flush=True)
        make(path, *arguments)
    return path


def matrix_path(name: str) -> Path:
    """Return the file that load_matrix reads."""
    path = ensure(name)
    return path.with_suffix(".npy") if path.suffix == ".csv" else path


def load_features(table: Path):
    """Return a table's features, float32."""
    return np.load(table.with_suffix(".npy"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*SETS, []], help="all of them by default")
    for name in parser.parse_args().names or SETS:
        path = ensure(name)
        print(f"{name}: {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
