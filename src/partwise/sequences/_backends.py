"""Which way of holding the data is the fastest."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.sequences._dense import DirectRaster, FourierRaster, transform_length
from partwise.sequences._raster import Raster, SparseRaster
from partwise.sequences._stream import Streamed
from partwise.sequences._timeline import Timeline

__all__ = ["BACKENDS", "check_backend", "choose", "make_raster"]

BACKENDS = ("auto", "sparse", "fft", "direct")

#: Time against that of one number of dense data times one lag in a large matrix product, measured
#: on one core (decision 029): a non-zero times one lag; a number of dense data, transformed; a
#: number of a transform of a motif.
_SPARSE, _DATA, _MOTIF = 1.5, 9.0, 80.0


def choose(n_units: int, n_frames: int, nnz: int, n_lags: int) -> str:
    """Return the backend with the least estimated work per factor and iteration.

    Parameters
    ----------
    n_units, n_frames, nnz
        Size of the data, and how many of them are not zero.
    n_lags
        L.
    """
    size = float(n_units) * n_frames
    work = {
        "sparse": _SPARSE * nnz * n_lags,
        "fft": _DATA * size + _MOTIF * n_units * transform_length(n_lags, n_frames),
        "direct": size * n_lags,
    }
    return min(work, key=lambda name: work[name])


def make_raster(
    x: Any,
    timeline: Timeline,
    *,
    dtype: np.dtype[Any],
    backend: str,
    n_threads: int,
) -> Raster:
    """Return data in the form that a backend wants.

    A sparse matrix is never made dense, unless a dense backend is asked for by name.
    """
    check_backend(backend)
    if isinstance(x, Streamed):
        n_frames, n_units = x.shape
        if backend == "auto":
            backend = choose(n_units, n_frames, n_units * n_frames, timeline.n_lags)
        kind = DirectRaster if backend == "direct" else FourierRaster
        return kind(x, timeline, dtype, n_threads)
    sparse = sp.issparse(x)
    if backend == "auto":
        nnz = int(x.nnz) if sparse else int(np.count_nonzero(x))
        backend = "sparse" if sparse else choose(x.shape[0], x.shape[1], nnz, timeline.n_lags)
    if backend == "sparse":
        return SparseRaster(sp.csr_matrix(x), timeline, dtype, n_threads)
    dense = x.toarray() if sparse else x
    kind = FourierRaster if backend == "fft" else DirectRaster
    return kind(dense, timeline, dtype, n_threads)


def check_backend(backend: str) -> None:
    """Refuse a backend that does not exist."""
    if backend not in BACKENDS:
        raise UsageError(f"backend must be one of {', '.join(BACKENDS)}; not {backend!r}")
