"""The job behind `partwise warmup`: run every kernel once on tiny data, so that it is compiled."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp

from partwise.graph import cluster_rows, spatial
from partwise.matrix.counts import CountMatrix
from partwise.matrix.masks import Hidden, Speckle
from partwise.matrix.matrix import DataMatrix
from partwise.objectives import ElasticNet, Penalties
from partwise.sequences._fit import Settings as SequenceSettings
from partwise.sequences._fit import fit_state, random_state
from partwise.sequences._inputs import prepare
from partwise.sequences._problem import Penalty
from partwise.solvers.hals import fit_hals
from partwise.solvers.init import initialize
from partwise.solvers.kl import CountSettings, fit_counts
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
    with single_thread_blas():
        for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
            for x in (few, many, sparse):
                for hidden in (Hidden(), Hidden([Speckle(0.1)])):
                    _fit(DataMatrix(x.astype(dtype), _K, dtype=dtype, n_threads=2, hidden=hidden))
            _fit_counts(sparse.astype(dtype))
            cluster_rows(few.astype(dtype), n_neighbors=5, random_state=0)
            _fit_sequences(sparse.astype(dtype))
    spatial.warm(few[:, :2], np.arange(300, dtype=np.int32) % 3)
    return time.perf_counter() - start


def _fit(matrix: DataMatrix) -> None:
    """Run the solvers of the Frobenius loss."""
    rng = generator(0)
    for exact in (False, True):
        settings = Settings(0.0, 3, _penalties(), exact)
        fit_hals(matrix, *initialize(matrix, _K, "nndsvda", rng), settings, rng)


def _fit_counts(x: sp.csr_matrix) -> None:
    """Run the solver of the Kullback-Leibler loss."""
    matrix = CountMatrix(x, dtype=x.dtype, n_threads=2)
    rng = generator(0)
    usage, programs = (matrix.thin(rows, _K, rng.random((rows, _K))) for rows in x.shape)
    settings = CountSettings(0.0, 3, _penalties(), np.ones(x.shape[0]))
    fit_counts(matrix, usage, programs, settings, rng)


def _fit_sequences(x: sp.csr_matrix) -> None:
    """Run the solvers of sequences, with windows as wide as kernels take at once."""
    hidden = sp.random(*x.shape, density=0.01, format="csr", random_state=generator(0))
    problem = prepare(x.T, 16, mask=hidden.T, n_threads=2).problem
    for solver, weight in (("mu", 0.1), ("hals", 0.0)):
        state = random_state(problem, 8, generator(0))
        fit_state(
            problem, state, SequenceSettings(Penalty(cross=weight), max_iter=3, solver=solver)
        )


def _penalties() -> Penalties:
    none = ElasticNet.build(0.0, 0.0, _K, factor="usage")
    return Penalties(none, none)
