"""Sparse data of a fit, and the two products that touch them.

Everything else that the updates need are lag Grams, which are small (see `_grams`). Two products:

    Z[t]  = sum over l of W_l^T x[t + l]         (F x K)     data seen through the motifs
    A_l   = sum over t of x[t] H[t - l]^T        (N x K)     data that follow each start by l frames

Motifs are N x L x K with the longest lag first, activations F x K, over the inner frames of a
`Timeline`.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.kernels import lags
from partwise.kernels._simd import LANE, lanes_for
from partwise.matrix.thin import aligned_zeros
from partwise.sequences._timeline import ROOM, Timeline
from partwise.utils.threads import run_tasks

__all__ = ["Raster", "SparseRaster", "Windows"]

Array = npt.NDArray[Any]

#: Non-zero times window elements below which one thread does the work at once.
_SMALL = 2_000_000
#: Frames of a task; lanes depend on the data only.
_LANE_FRAMES = 2048
#: Bytes of activations that units share while they stay in the second-level cache.
_TILE_BYTES = 262_144


class Raster(Protocol):
    """What the updates ask of data, whatever they lie in."""

    timeline: Timeline
    n_units: int
    dtype: np.dtype[Any]
    total: float  #: sum of squares of the observed entries
    largest: float
    name: str

    def cross_activations(self, motifs: Array) -> Array:
        """Return Z, F x K, zero in the gaps; `motifs` is N x L x K, longest lag first."""
        ...

    def cross_motifs(self, activations: Array) -> Array:
        """Return A, N x L x K, longest lag first; `activations` is F x K."""
        ...


class Windows:
    """Chunks of a window: how wide, how many, for K numbers per frame and L frames."""

    def __init__(self, n_lags: int, k: int, dtype: np.dtype[Any]) -> None:
        self.n_lags, self.k, self.dtype = n_lags, k, np.dtype(dtype)
        size = n_lags * k
        widest = 128 if self.dtype == np.float32 else 64
        width = min(widest, -(-size // LANE) * LANE)
        self.lanes = lanes_for(width)
        self.width = width
        self.n_chunks = -(-size // width)
        self.size = size

    def chunks(self, motifs: Array) -> Array:
        """Return motifs (N x L x K) as chunks: chunk c of unit n at row c N + n, flat."""
        n = motifs.shape[0]
        flat = aligned_zeros(self.n_chunks * n * self.width, self.dtype)
        view = flat.reshape(self.n_chunks, n, self.width)
        source = motifs.reshape(n, self.size)
        for c in range(self.n_chunks):
            piece = source[:, c * self.width : (c + 1) * self.width]
            view[c, :, : piece.shape[1]] = piece
        return flat

    def buffer(self, n_frames: int) -> Array:
        """Return room for the windows of frames 0..n_frames - 1, flat zeros."""
        return aligned_zeros((n_frames + self.n_lags - 1) * self.k + ROOM, self.dtype)

    def framed(self, activations: Array) -> Array:
        """Return activations (F x K) in a buffer whose element s K begins the window of s."""
        buffer = self.buffer(len(activations))
        lead = (self.n_lags - 1) * self.k
        buffer[lead : lead + activations.size] = activations.reshape(-1)
        return buffer


class Entries:
    """Entries of a raster by frame and by unit: int32 numbers, int64 pointers."""

    def __init__(self, matrix: sp.csr_matrix, dtype: np.dtype[Any]) -> None:
        if not matrix.has_canonical_format:
            matrix = matrix.copy()  # its arrays may be the caller's
            matrix.sum_duplicates()
        by_frame = matrix.tocsc()  # of sorted rows: sorted columns
        self.shape = matrix.shape
        self.nnz = int(matrix.nnz)
        self.unit_ptr = matrix.indptr.astype(np.int64)
        self.frames = matrix.indices.astype(np.int32, copy=False)
        self.values = matrix.data.astype(dtype, copy=False)
        self.frame_ptr = by_frame.indptr.astype(np.int64)
        self.units = by_frame.indices.astype(np.int32, copy=False)
        self.frame_values = by_frame.data.astype(dtype, copy=False)
        self._frame_lanes = _lanes(self.shape[1], _LANE_FRAMES)
        self._unit_lanes = _balanced(self.unit_ptr, 16)

    def spread(
        self, motifs: Array, windows: Windows, n_threads: int, values: Array | None = None
    ) -> Array:
        """Return sum over entries of value * window of motifs, F x K (gaps not cleared)."""
        data = self.frame_values if values is None else values
        n, n_frames, k = self.shape[0], self.shape[1], windows.k
        chunks = windows.chunks(motifs)
        lead = windows.n_lags - 1

        def lane(first: int, last: int) -> Array:
            out = windows.buffer(last - first)
            lags.spread(
                windows.lanes, self.frame_ptr, self.units, data, chunks, n, windows.n_chunks,
                first, last, k, out,
            )  # fmt: skip
            return out

        threads = self._threads(windows, n_threads)
        parts = run_tasks(threads, [partial(lane, a, b) for a, b in self._frame_lanes])
        if len(parts) == 1:
            return parts[0][lead * k : (lead + n_frames) * k].reshape(n_frames, k)
        total = np.zeros((n_frames + lead) * k, windows.dtype)
        for (first, last), part in zip(self._frame_lanes, parts, strict=True):
            size = (last - first + lead) * k
            total[first * k : first * k + size] += part[:size]
        return total[lead * k :].reshape(n_frames, k)

    def collect(
        self, activations: Array, windows: Windows, n_threads: int, values: Array | None = None
    ) -> Array:
        """Return sum over entries of value * window of activations, N x L x K."""
        data = self.values if values is None else values
        framed = windows.framed(activations)
        tile = max(256, _TILE_BYTES // (windows.k * windows.dtype.itemsize))
        row = windows.n_chunks * windows.width

        def lane(first: int, last: int) -> Array:
            out = aligned_zeros((last - first) * row, windows.dtype)
            lags.collect(
                windows.lanes, self.unit_ptr, self.frames, data, framed, windows.n_chunks,
                first, last, tile, windows.k, out,
            )  # fmt: skip
            return out.reshape(-1, row)[:, : windows.size]

        if self.nnz * windows.size < _SMALL:  # the same bits, because units do not meet
            return lane(0, self.shape[0]).reshape(self.shape[0], windows.n_lags, windows.k)
        parts = run_tasks(n_threads, [partial(lane, a, b) for a, b in self._unit_lanes])
        return np.concatenate(parts).reshape(self.shape[0], windows.n_lags, windows.k)

    def predict(self, motifs: Array, activations: Array, windows: Windows, n_threads: int) -> Array:
        """Return the model's values of the entries, in the order of `values`."""
        out = np.empty(self.nnz, windows.dtype)
        chunks, framed = windows.chunks(motifs), windows.framed(activations)

        def lane(first: int, last: int) -> None:
            lags.predict(
                windows.lanes, self.unit_ptr, self.frames, framed, chunks, self.shape[0],
                windows.n_chunks, first, last, windows.k, out,
            )  # fmt: skip

        threads = self._threads(windows, n_threads)
        run_tasks(threads, [partial(lane, a, b) for a, b in self._unit_lanes])
        return out

    def _threads(self, windows: Windows, n_threads: int) -> int:
        return 1 if self.nnz * windows.size < _SMALL else n_threads


class SparseRaster:
    """Spikes: cost in proportion to the non-zeros, never densified.

    Parameters
    ----------
    x
        N x T, non-negative.
    timeline
        Its epochs.
    dtype
        float32 or float64.
    n_threads
        Threads at most.
    """

    name = "sparse"

    def __init__(
        self, x: sp.csr_matrix, timeline: Timeline, dtype: np.dtype[Any], n_threads: int
    ) -> None:
        self.timeline, self.dtype, self._n_threads = timeline, np.dtype(dtype), n_threads
        self.n_units = int(x.shape[0])
        self.entries = Entries(inner_entries(x, timeline), self.dtype)
        values = self.entries.values.astype(np.float64)
        self.total = float(values @ values)
        self.largest = float(values.max(initial=0.0))

    def cross_activations(self, motifs: Array) -> Array:
        """Return Z; see `Raster`."""
        windows = Windows(motifs.shape[1], motifs.shape[2], self.dtype)
        z = self.entries.spread(motifs, windows, self._n_threads)
        z[~self.timeline.active] = 0
        return z

    def cross_motifs(self, activations: Array) -> Array:
        """Return A; see `Raster`."""
        windows = Windows(self.timeline.n_lags, activations.shape[1], self.dtype)
        return self.entries.collect(activations, windows, self._n_threads)


def inner_entries(x: sp.csr_matrix, timeline: Timeline) -> sp.csr_matrix:
    """Return a matrix over the recording as one over the inner frames."""
    if timeline.whole:
        shape = (x.shape[0], timeline.n_frames)
        return sp.csr_matrix((x.data, timeline.inner(x.indices), x.indptr), shape=shape)
    table = x.tocoo()
    frames = timeline.inner(table.col.astype(np.int64))
    kept = frames >= 0
    inside = (table.data[kept], (table.row[kept], frames[kept]))
    return sp.coo_matrix(inside, shape=(x.shape[0], timeline.n_frames)).tocsr()


def _lanes(n: int, size: int) -> list[tuple[int, int]]:
    """Cut 0..n into pieces of `size`."""
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def _balanced(pointers: Array, n_lanes: int) -> list[tuple[int, int]]:
    """Cut rows into at most `n_lanes` ranges with about as many entries each."""
    n = len(pointers) - 1
    aims = np.linspace(0, pointers[-1], min(n_lanes, n) + 1)[1:-1]
    cuts = np.unique(np.concatenate(([0], np.searchsorted(pointers, aims, side="left"), [n])))
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
