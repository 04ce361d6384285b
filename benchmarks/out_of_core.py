"""A matrix on disk against the same matrix in memory: `python out_of_core.py [--rows 300000]`.

Counts-like data of 5 % non-zeros are simulated block by block and written as h5ad and as zarr the
way anndata writes them by default. Each fit runs in a process of its own, in turn in each repeat;
all have the same seed and tolerance. Measured are wall and CPU seconds of the fit and of reading
before it, the largest resident memory of the process, and the objective.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from measures import HERE

DATA = HERE / ".data"
RESULT = HERE / "results" / "out_of_core.json"
MODES = ("memory", "h5ad", "zarr")
K = 20
BLOCK = 10_000


def simulate(rows: int, columns: int, folder: Path) -> None:
    """Write `big.h5ad` and `big.zarr`: Poisson counts of rank K, 5 % of them not zero."""
    import anndata
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    programs = rng.gamma(0.3, size=(K, columns)).astype(np.float32)
    programs /= programs.sum(axis=1, keepdims=True)
    scale = None
    lengths = []
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f"big.{name}" for name in ("data", "indices")}
    with open(parts["data"], "wb") as data, open(parts["indices"], "wb") as indices:
        for first in range(0, rows, BLOCK):
            n = min(BLOCK, rows - first)
            usage = rng.dirichlet(np.full(K, 0.1), size=n) * rng.gamma(4.0, 0.25, size=(n, 1))
            rate = usage.astype(np.float32) @ programs
            if scale is None:
                scale = scale_for(rate, 0.05)
            block = sp.csr_matrix(rng.poisson(scale * rate).astype(np.float32))
            block.data.tofile(data)
            block.indices.astype(np.int32).tofile(indices)
            lengths.append(np.diff(block.indptr))
    pointer = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    X = sp.csr_matrix((rows, columns), dtype=np.float32)
    X.indptr = pointer
    X.data = np.memmap(parts["data"], np.float32, "r")
    X.indices = np.memmap(parts["indices"], np.int32, "r")
    adata = anndata.AnnData(X)
    adata.write_h5ad(folder / "big.h5ad")
    adata.write_zarr(folder / "big.zarr")
    for path in parts.values():
        path.unlink()


def scale_for(rate: np.ndarray, density: float) -> float:
    """Return the factor at which 1 - exp(-factor * rate) is `density` on average."""
    low, high = 1e-3, 1e9
    for _ in range(60):
        middle = np.sqrt(low * high)
        if float(np.mean(-np.expm1(-middle * rate))) < density:
            low = middle
        else:
            high = middle
    return low


def fit(mode: str, folder: Path, tol: float, threads: int | None) -> dict:
    """Fit in this process and return what was measured."""
    import resource
    import time

    import partwise
    from partwise.io.containers import matrix_of

    # what is compiled, or loaded from the cache, is not what is compared
    partwise.NMF(K, max_iter=2, tol=0, random_state=0, n_threads=threads).fit(small())
    begun, cpu = time.perf_counter(), time.process_time()
    if mode == "memory":
        import anndata

        X = anndata.read_h5ad(folder / "big.h5ad").X
    else:
        X = matrix_of(backed(folder / f"big.{mode}"))
    ready, used = time.perf_counter(), time.process_time()
    model = partwise.NMF(K, random_state=0, tol=tol, n_threads=threads).fit(X)
    return {
        "read": {"wall": ready - begun, "cpu": used - cpu},
        "fit": {"wall": time.perf_counter() - ready, "cpu": time.process_time() - used},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "relative_error": model.result_.relative_error,
        "loss": float(model.result_.loss[-1]),
        "iterations": model.n_iter_,
    }


def backed(path: Path):
    """Open a file as an AnnData whose X stays there."""
    import anndata

    if path.suffix == ".h5ad":
        return anndata.read_h5ad(path, backed="r")
    import zarr
    from anndata.io import sparse_dataset

    return anndata.AnnData(sparse_dataset(zarr.open_group(path, mode="r")["X"]))


def small():
    """Return a small sparse matrix, to load the kernels with."""
    import scipy.sparse as sp

    return sp.random(40_000, 200, density=0.02, format="csr", dtype=np.float32, random_state=0)


def alone(mode: str, arguments: argparse.Namespace) -> dict:
    """Run `fit` in a process of its own."""
    command = [sys.executable, __file__, "--fit", mode, "--tol", str(arguments.tol)]
    command += ["--folder", str(arguments.folder)]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs: dict[str, list[dict]]) -> dict:
    """Return medians of all repeats, and of the ratios to memory within a repeat."""
    told = {}
    for mode, records in runs.items():
        told[mode] = {
            "fit_wall": statistics.median(r["fit"]["wall"] for r in records),
            "fit_cpu": statistics.median(r["fit"]["cpu"] for r in records),
            "read_wall": statistics.median(r["read"]["wall"] for r in records),
            "peak_mb": max(r["peak_mb"] for r in records),
            "relative_error": records[0]["relative_error"],
            "iterations": records[0]["iterations"],
        }
        for what in ("wall", "cpu"):
            pairs = zip(records, runs["memory"], strict=True)
            told[mode][f"times_memory_{what}"] = statistics.median(
                r["fit"][what] / m["fit"][what] for r, m in pairs
            )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--columns", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path, default=DATA / "out_of_core")
    parser.add_argument("--fit", choices=MODES)
    arguments = parser.parse_args()
    if arguments.fit:
        print(json.dumps(fit(arguments.fit, arguments.folder, arguments.tol, arguments.threads)))
        return
    if not (arguments.folder / "big.zarr").exists():
        simulate(arguments.rows, arguments.columns, arguments.folder)
    runs: dict[str, list[dict]] = {mode: [] for mode in MODES}
    for _ in range(arguments.repeats):
        for mode in MODES:
            runs[mode].append(alone(mode, arguments))
            print(mode, json.dumps(runs[mode][-1]), flush=True)
    told = summary(runs)
    print(json.dumps(told, indent=1))
    from common import machine

    record = {"machine": machine(), "k": K, "tol": arguments.tol, "runs": runs, "summary": told}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
