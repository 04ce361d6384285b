"""The job behind `partwise warmup`: run every kernel once on tiny data, so that it is compiled."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp

from partwise.graph import cluster_rows
from partwise.matrix.matrix import DataMatrix
from partwise.objectives import ElasticNet, Penalties
from partwise.solvers.hals import fit_hals
from partwise.solvers.init import initialize
from partwise.solvers.state import Settings
from partwise.utils.random import generator
from partwise.utils.threads import single_thread_blas

__all__ = ["warmup"]

#: Components: more would compile nothing else, but for other widths of the sparse kernels.
_K = 3


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
    none = ElasticNet.build(0.0, 0.0, _K, factor="usage")
    with single_thread_blas():
        for dtype in (np.float32, np.float64):
            for x in (few, many, sparse):
                matrix = DataMatrix(x.astype(dtype), _K, dtype=np.dtype(dtype), n_threads=2)
                for exact in (False, True):
                    settings = Settings(0.0, 3, Penalties(none, none), exact)
                    fit_hals(matrix, *initialize(matrix, _K, "nndsvda", rng), settings, rng)
            cluster_rows(few.astype(dtype), n_neighbors=5, random_state=0)
    return time.perf_counter() - start
