"""Products of a spike raster with lagged windows: what convolutional factorization asks of data.

A window is the L frames that a motif spans, K numbers each, in one row of memory; its frames run
from the longest lag to lag 0, so that the window of activations that explain a value at frame s is
a contiguous piece of the frame-by-frame activations: frames s - L + 1 to s. Buffers of frames begin
L - 1 frames early, so that the window of frame s starts at element s * K, and end with room for a
whole chunk. A window is worked on in chunks of `16 * len(lanes)` elements that stay in registers
while the non-zeros of a frame (spread) or of a unit (collect) pass by.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import jit
from partwise.kernels._simd import fma, hsum, load, splat, store

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["collect", "predict", "spread"]

#: Frames whose windows stay in the fast cache while the units pass by.
_TILE = 1024


@jit
def spread(
    lanes: Lanes,
    indptr: Array,
    units: Array,
    values: Array,
    motifs: Array,
    n_units: int,
    n_chunks: int,
    first: int,
    last: int,
    k: int,
    out: Array,
) -> None:
    """Add x[n, s] * window of motifs of n to the window of s, for the frames s in first..last.

    `indptr`, `units` and `values` list the non-zeros of each frame; `motifs` holds chunk c of unit
    n at row c * n_units + n; element 0 of `out` is the first one of the window of frame `first`.
    """
    width = 16 * len(lanes)
    for begin in range(first, last, _TILE):
        end = min(begin + _TILE, last)
        for c in range(n_chunks):
            for s in range(begin, end):
                low, high = np.int64(indptr[s]), np.int64(indptr[s + 1])
                if low < high:
                    at = (s - first) * k + c * width
                    total = load(lanes, out, at)
                    for p in range(low, high):
                        row = (c * n_units + np.int64(units[p])) * width
                        total = fma(splat(lanes, out, values[p]), load(lanes, motifs, row), total)
                    store(lanes, out, at, total)


@jit
def collect(
    lanes: Lanes,
    indptr: Array,
    frames: Array,
    values: Array,
    activations: Array,
    n_chunks: int,
    first: int,
    last: int,
    tile: int,
    k: int,
    out: Array,
) -> None:
    """Write sum over s of x[n, s] * window of s to row n of `out`, for the units n in first..last.

    `indptr`, `frames` and `values` list the non-zeros of each unit in the order of time; all units
    pass over `tile` frames before the next ones are read. Rows of `out` have n_chunks chunks; row 0
    is that of unit `first`.
    """
    width = 16 * len(lanes)
    where = np.empty(last - first, np.int64)
    for n in range(first, last):
        where[n - first] = indptr[n]
    out[:] = 0
    n_frames = 0
    for n in range(first, last):
        if indptr[n] < indptr[n + 1]:
            n_frames = max(n_frames, int(frames[indptr[n + 1] - 1]) + 1)
    for begin in range(0, n_frames, tile):
        for n in range(first, last):
            low, high, stop = where[n - first], where[n - first], np.int64(indptr[n + 1])
            while high < stop and frames[high] < begin + tile:
                high += 1
            where[n - first] = high
            if low < high:
                for c in range(n_chunks):
                    at = ((n - first) * n_chunks + c) * width
                    total = load(lanes, out, at)
                    for p in range(low, high):
                        window = load(lanes, activations, np.int64(frames[p]) * k + c * width)
                        total = fma(splat(lanes, out, values[p]), window, total)
                    store(lanes, out, at, total)


@jit
def predict(
    lanes: Lanes,
    indptr: Array,
    frames: Array,
    activations: Array,
    motifs: Array,
    n_units: int,
    n_chunks: int,
    first: int,
    last: int,
    k: int,
    out: Array,
) -> None:
    """Write the model's value of the listed entries of the units first..last to their places.

    The motifs' chunks lie as for `spread`; they are zero behind the window's end.
    """
    width = 16 * len(lanes)
    for n in range(first, last):
        for p in range(np.int64(indptr[n]), np.int64(indptr[n + 1])):
            at = np.int64(frames[p]) * k
            total = splat(lanes, out, out.dtype.type(0))
            for c in range(n_chunks):
                motif = load(lanes, motifs, (c * n_units + n) * width)
                total = fma(motif, load(lanes, activations, at + c * width), total)
            out[p] = hsum(total)
