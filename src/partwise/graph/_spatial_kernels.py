"""Count the types around places: by distance on a grid, or by steps along a graph.

A place is a point at which one cell or several lie; its members are these cells. Each kernel visits
some places, sums the members of the places that are neighbours, and writes a row for every member,
so rows are written once and the sums have one order, whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import inline, jit

__all__ = ["NO_KERNEL", "count_linked", "count_within", "kernel_code"]

NO_KERNEL, _GAUSSIAN, _EXPONENTIAL, _LINEAR = range(4)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def kernel_code(name: str | None) -> int:
    """Return the number by which the compiled functions know a weight."""
    return (None, "gaussian", "exponential", "linear").index(name)


@inline
def _square_distance(points: FloatArray, a: Any, b: Any) -> Any:
    x = points[a, 0] - points[b, 0]
    y = points[a, 1] - points[b, 1]
    z = points[a, 2] - points[b, 2]
    return x * x + y * y + z * z


@inline
def _weight(kernel: int, bandwidth: float, square: float) -> Any:
    """Weight of a neighbour at the square root of `square`; 1 at distance zero."""
    if kernel == _GAUSSIAN:
        return np.exp(-0.5 * square / (bandwidth * bandwidth))
    if kernel == _EXPONENTIAL:
        return np.exp(-np.sqrt(square) / bandwidth)
    return max(0.0, 1.0 - np.sqrt(square) / bandwidth)


@inline
def _add_members(
    first: IntArray, types: npt.NDArray[np.int32], place: Any, weight: float, sums: FloatArray
) -> Any:
    """Add the members of a place to the sums; returns how many they are."""
    for m in range(first[place], first[place + 1]):
        sums[types[m]] += weight
    return first[place + 1] - first[place]


@inline
def _write(
    first: IntArray,
    rows: IntArray,
    types: npt.NDArray[np.int32],
    place: Any,
    include_self: bool,
    others: int,
    sums: FloatArray,
    own: FloatArray,
    out: npt.NDArray[np.float32],
    totals: npt.NDArray[np.int32],
) -> None:
    """Write a row per member of a place: the sums around it, and those at the place itself.

    Those are whole numbers and summed apart, so that leaving out the cell itself is exact.
    """
    own[:] = 0.0
    here = _add_members(first, types, place, 1.0, own)
    less = 0 if include_self else 1
    for m in range(first[place], first[place + 1]):
        row = rows[m]
        own[types[m]] -= less
        for t in range(sums.shape[0]):
            out[row, t] = sums[t] + own[t]
        own[types[m]] += less
        totals[row] = others + here - less


@jit
def count_within(
    points: FloatArray,
    bin_keys: IntArray,
    bin_first: IntArray,
    shape: IntArray,
    limit: float,
    kernel: int,
    bandwidth: float,
    first: IntArray,
    rows: IntArray,
    types: npt.NDArray[np.int32],
    include_self: bool,
    bins: IntArray,
    out: npt.NDArray[np.float32],
    totals: npt.NDArray[np.int32],
) -> None:
    """Count around the places in bins[0] ... bins[1] - 1 all that lie within a distance.

    Parameters
    ----------
    points
        Places x 3, bin by bin.
    bin_keys, bin_first
        Keys of the bins that hold places, ascending, and the first place of each (and an end).
    shape
        Number of bins along each axis; the last runs fastest in the key.
    limit
        Square of the distance; a bin is at least as wide.
    kernel, bandwidth
        How a neighbour's weight falls with distance.
    first, rows, types
        First member of each place (and an end); row and type of each member.
    include_self
        Whether a cell is its own neighbour.
    bins
        Where to begin and end.
    out, totals
        Sums of weights, cells x types, and numbers of neighbours.
    """
    sums, own = np.empty(out.shape[1]), np.empty(out.shape[1])
    ranges = np.empty((9, 2), np.int64)
    for b in range(bins[0], bins[1]):
        key = bin_keys[b]
        k = key % shape[2]
        j = (key // shape[2]) % shape[1]
        i = key // (shape[2] * shape[1])
        n_ranges = 0
        for ii in range(max(0, i - 1), min(shape[0], i + 2)):
            for jj in range(max(0, j - 1), min(shape[1], j + 2)):
                base = (ii * shape[1] + jj) * shape[2]
                low = np.searchsorted(bin_keys, base + max(0, k - 1))
                high = np.searchsorted(bin_keys, base + min(shape[2] - 1, k + 1) + 1)
                if low < high:
                    ranges[n_ranges, 0] = bin_first[low]
                    ranges[n_ranges, 1] = bin_first[high]
                    n_ranges += 1
        for p in range(bin_first[b], bin_first[b + 1]):
            sums[:] = 0.0
            others = 0
            for r in range(n_ranges):
                for q in range(ranges[r, 0], ranges[r, 1]):
                    square = _square_distance(points, p, q)
                    if square <= limit and p != q:
                        weight = 1.0 if kernel == NO_KERNEL else _weight(kernel, bandwidth, square)
                        others += _add_members(first, types, q, weight, sums)
            _write(first, rows, types, p, include_self, others, sums, own, out, totals)


@jit
def count_linked(
    points: FloatArray,
    indptr: IntArray,
    indices: npt.NDArray[np.int32],
    n_hops: int,
    limit: float,
    kernel: int,
    bandwidth: float,
    first: IntArray,
    rows: IntArray,
    types: npt.NDArray[np.int32],
    include_self: bool,
    places: IntArray,
    out: npt.NDArray[np.float32],
    totals: npt.NDArray[np.int32],
) -> None:
    """Count around places[0] ... places[1] - 1 all that a number of steps along links reaches.

    Parameters
    ----------
    points
        Places x 3.
    indptr, indices
        Links of each place, in CSR form.
    n_hops
        Number of steps.
    limit
        Square of the length beyond which a link does not count.
    kernel, bandwidth
        How a neighbour's weight falls with the distance from the start.
    first, rows, types, include_self, out, totals
        As for `count_within`.
    places
        Where to begin and end.
    """
    sums, own = np.empty(out.shape[1]), np.empty(out.shape[1])
    seen = np.full(points.shape[0], -1, np.int32)
    queue = np.empty(points.shape[0], np.int32)
    for p in range(places[0], places[1]):
        sums[:] = 0.0
        others = 0
        seen[p] = p
        queue[0] = p
        head, tail = 0, 1
        for _ in range(n_hops):
            level = tail
            while head < level:
                a = queue[head]
                head += 1
                for e in range(indptr[a], indptr[a + 1]):
                    b = indices[e]
                    if seen[b] == p or _square_distance(points, a, b) > limit:
                        continue
                    seen[b] = p
                    queue[tail] = b
                    tail += 1
                    weight = 1.0
                    if kernel != NO_KERNEL:
                        weight = _weight(kernel, bandwidth, _square_distance(points, p, b))
                    others += _add_members(first, types, b, weight, sums)
        _write(first, rows, types, p, include_self, others, sums, own, out, totals)
