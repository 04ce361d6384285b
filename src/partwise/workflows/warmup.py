"""The job behind `partwise warmup`: run every kernel once on tiny data, so that it is compiled."""

from __future__ import annotations

import time
import warnings

import numpy as np
import scipy.sparse as sp

from partwise.factorize import NMF, MiniBatchNMF
from partwise.graph import cluster_rows
from partwise.utils.random import generator

__all__ = ["warmup"]


def warmup() -> float:
    """Compile all kernels, or load them if they are compiled.

    Compiled kernels are kept on disk (in the folder that numba's `NUMBA_CACHE_DIR` names, by
    default beside the package), so only the first run after an installation compiles.

    Returns
    -------
    float
        Seconds that it took.
    """
    start = time.perf_counter()
    rng = generator(0)
    few, many = rng.random((300, 6)), rng.random((40, 300))
    sparse = sp.random(200, 100, density=0.1, format="csr", random_state=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three iterations converge nowhere
        for dtype in (np.float32, np.float64):
            for X in (few.astype(dtype), many.astype(dtype), sparse.astype(dtype)):
                for solver in ("hals", "bpp"):
                    NMF(3, solver=solver, max_iter=3, random_state=0, n_threads=2).fit_transform(X)
                MiniBatchNMF(3, batch_size=64, max_iter=3, random_state=0).fit_transform(X)
            cluster_rows(few.astype(dtype), n_neighbors=5, random_state=0)
    return time.perf_counter() - start
