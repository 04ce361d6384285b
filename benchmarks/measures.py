"""What every comparison measures: error, agreement, the random start, the machine.

Needs numpy and scipy only, so that every environment can import it.
"""

from __future__ import annotations

import datetime
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

HERE = Path(__file__).resolve().parent
#: if more than this share of the processor is in use when a run starts, its times are doubtful
BUSY = 0.15


def relative_error(X, usage, programs, block: int = 8192) -> float:
    """Return ||X - usage @ programs|| / ||X|| in float64, whatever the inputs' precision.

    Dense X: the residual itself, block by block. Sparse X: ||X||^2 - 2<X, WH> + <W'W, HH'>, which
    never makes X dense and in float64 keeps at least seven digits of the errors met here.
    """
    W = np.asarray(usage, dtype=np.float64)
    H = np.ascontiguousarray(programs, dtype=np.float64)
    norm = squared = 0.0
    for start in range(0, X.shape[0], block):
        w = W[start : start + block]
        part = X[start : start + block].astype(np.float64)
        if sp.issparse(part):
            norm += float(part.data @ part.data)
            squared += float(part.data @ part.data) - 2.0 * float(np.sum((part @ H.T) * w))
        else:
            norm += float(np.sum(part * part))
            squared += float(np.sum((part - w @ H) ** 2))
    if sp.issparse(X):
        squared += float(np.sum((W.T @ W) * (H @ H.T)))
    return float(np.sqrt(max(squared, 0.0) / norm))


def deviance(X, usage, programs) -> float:
    """Return sum x log(x / wh) - x + wh in float64; X is sparse."""
    X = sp.csr_matrix(X)
    W = np.asarray(usage, dtype=np.float64)
    H = np.ascontiguousarray(np.asarray(programs, dtype=np.float64).T)
    total = float(W.sum(axis=0) @ H.sum(axis=0))
    for start in range(0, X.shape[0], 256):
        part = X[start : start + 256].tocoo()
        x = part.data.astype(np.float64)
        wh = np.einsum("qk,qk->q", W[start + part.row], H[part.col])
        total += float(np.sum(x * np.log(x / np.maximum(wh, 1e-10)) - x))
    return total


def random_start(shape: tuple[int, int], mean: float, k: int, seed: int):
    """Return (W0, H0), float32: |normal| times sqrt(mean of X / k), as scikit-learn's random."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(mean / k)
    W0 = scale * np.abs(rng.standard_normal((shape[0], k), dtype=np.float32))
    H0 = scale * np.abs(rng.standard_normal((k, shape[1]), dtype=np.float32))
    return W0.astype(np.float32), H0.astype(np.float32)


def adjusted_rand(a, b) -> float:
    """Return the adjusted Rand index of two labelings, from their contingency table."""
    first, second = (np.unique(np.asarray(x), return_inverse=True)[1] for x in (a, b))
    ones = np.ones(len(first), dtype=np.int64)
    table = sp.coo_matrix((ones, (first, second))).tocsr()

    def pairs(counts) -> float:
        counts = np.asarray(counts, dtype=np.float64).ravel()
        return float(np.sum(counts * (counts - 1) / 2))

    both, rows, columns = pairs(table.data), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / pairs([len(first)])
    top = (rows + columns) / 2
    return 1.0 if top == expected else (both - expected) / (top - expected)


def load_matrix(path: str | Path):
    """Load a data set written by data.py: CSR from .npz, an array from .npy."""
    return sp.load_npz(path).tocsr() if str(path).endswith(".npz") else np.load(path)


def git_state() -> str:
    """Return the commit, with "+changes" if tracked files differ from it."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=HERE, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    # results are written while a comparison runs, so they do not count as changes
    changed = git("status", "--porcelain", "-uno", "--", "..", ":!results", ":!../docs")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+changes" if changed else "")


def processor_in_use(seconds: float = 2.0) -> float:
    """Return the share of the processor that all programs used during some seconds (Linux)."""

    def ticks() -> tuple[int, int]:
        values = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(values), values[3] + values[4]  # all, idle or waiting for a disk

    total, idle = ticks()
    time.sleep(seconds)
    later_total, later_idle = ticks()
    return 1 - (later_idle - idle) / max(later_total - total, 1)


def machine() -> dict:
    """Return what a reader needs to judge the times: processor, cores, load, versions, commit."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, f": {model}").split(":", 1)[1].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    in_use = processor_in_use()
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9, 1),
        "python": sys.version.split()[0],
        "system": platform.system(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git_state(),
        "processor_in_use_at_start": round(in_use, 3),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "busy_at_start": in_use > BUSY,
    }


def peak_memory_mb() -> float:
    """Return this process's peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
