"""Rows of a factor under the Kullback-Leibler loss, from the non-zeros alone.

A row w with counts x at the columns q of the other factor (rows h_q, with column sums s) has

    f(w) = s w - sum_q x_q log(w h_q) + l1 w + l2/2 w w.

The rows h_q are first laid out as tiles of 16 non-zeros, component by component, so that all that
follows is arithmetic on contiguous vectors. In coordinate c, with the others fixed, the expected
share N(v) = sum_q x_q h_qc / (w h_q) is a sum of terms x / (b + v), so that 1 / N is concave in v.
Newton's method on 1 / N(v) = 1 / s therefore steps by (s - N) N / (s Q), Q = -N': from below it
never passes the minimum and goes farther than Newton's method on N; from above it may pass it, by
less. Where `safe`, a step down is the one of expectation maximisation, w N / s, which cannot
raise f. With l2 the same bound on N gives a quadratic equation for the step d, (s' + l2 d) (1 +
d Q / N) = N with s' = s + l2 v, whose root does not pass the minimum from below, either.

Thin matrices are flat arrays of rows of length `stride`, a multiple of 16.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import ZERO, inlined, jit
from partwise.kernels._simd import LANE
from partwise.kernels.kl_tiles import (
    FLOOR,
    TILE,
    expect,
    fill_counts,
    lay_out,
    log_likelihood,
    longest_row,
    move_and_shares,
    shares,
    terms_of,
)

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["FLOOR", "TILE", "descend_row", "share_rows", "solve_rows"]


@inlined
def _step(old: float, n: float, q: float, s: float, l2: float, safe: bool) -> float:
    """Return the new value of a coordinate with share n and curvature q."""
    pull = s + l2 * old
    if pull <= 0:
        return old  # the other factor has nothing there
    if n <= 0 or q <= 0:
        return 0.0
    gap = n - pull
    linear = q * (pull / n) + l2
    new: float = old + 2.0 * gap / (linear + np.sqrt(linear * linear + 4.0 * l2 * (q / n) * gap))
    if safe and pull > n:
        new = max(new, old * n / pull)
    return max(new, 0.0)


@inlined
def descend_row(
    tile: Lanes, tiles: Array, count: int, width: int, x: Array, s: Array, l2: Array, k: int,
    sweeps: int, safe: bool, w: Array, expected: Array, inverse: Array, ratio: Array,
) -> None:  # fmt: skip
    """Do sweeps of coordinate descent on one row, keeping `expected` up to date between moves."""
    moved, by = ZERO, 0.0
    for _ in range(sweeps):
        for c in range(k):
            if by != 0.0:
                n, q = move_and_shares(
                    tile, tiles, count, width, moved, by, c, x, expected, inverse, ratio
                )
            else:
                n, q = shares(tile, tiles, count, width, c, inverse, ratio)
            old = np.float64(w[c])
            w[c] = _step(old, n, q, s[c], l2[c], safe)
            moved, by = c, np.float64(w[c]) - old
    if by != 0.0:
        move_and_shares(tile, tiles, count, width, moved, by, ZERO, x, expected, inverse, ratio)


@jit
def solve_rows(
    tile: Lanes,
    indptr: Array,
    indices: Array,
    data: Array,
    first: int,
    last: int,
    thin: Array,
    stride: int,
    k: int,
    sums: Array,
    hidden: Array,
    l1: Array,
    l2: Array,
    scale: Array,
    sweeps: int,
    safe: bool,
    measure: bool,
    w: Array,
    value: Array,
) -> None:
    """Do sweeps on rows first..last of `w`; where `measure`, value[i] = sum x log(w h) of row i.

    `sums` are the column sums of `thin`; where entries are hidden, `hidden` has what they add to
    them, row by row (its length is 0 otherwise). The penalties of row i are those of
    w / scale[i].
    """
    room = longest_row(indptr, first, last)
    tiles = np.empty(room * stride, data.dtype)
    x = np.empty(room, data.dtype)
    expected = np.empty(room, data.dtype)
    inverse = np.empty(room, data.dtype)
    ratio = np.empty(room, data.dtype)
    mantissa = np.empty(64, np.float32)
    bits = mantissa.view(np.int32)
    s = np.empty(k)
    curve = np.empty(k)
    width = stride * LANE
    for i in range(first, last):
        start = indptr[i]
        m = indptr[i + 1] - start
        row = w[i * stride : i * stride + k]
        value[i] = 0.0
        if m == 0:
            row[:] = 0
            continue
        terms_of(i, k, stride, sums, hidden, l1, l2, scale, s, curve)
        count = lay_out(tile, indices, start, m, thin, stride, k, tiles)
        fill_counts(data, start, m, count, x)
        expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        descend_row(
            tile, tiles, count, width, x, s, curve, k, sweeps, safe, row,
            expected, inverse, ratio,
        )  # fmt: skip
        if measure:  # from the start: the moves leave rounding errors behind
            expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
            value[i] = log_likelihood(x, expected, m, mantissa, bits)


@jit
def share_rows(
    tile: Lanes,
    indptr: Array,
    indices: Array,
    data: Array,
    first: int,
    last: int,
    thin: Array,
    stride: int,
    k: int,
    w: Array,
    out: Array,
    value: Array,
) -> None:
    """Write N = sum_q x_q h_q / (w h_q) of rows first..last to `out`; value as in `solve_rows`."""
    room = longest_row(indptr, first, last)
    tiles = np.empty(room * stride, data.dtype)
    x = np.empty(room, data.dtype)
    expected = np.empty(room, data.dtype)
    inverse = np.empty(room, data.dtype)
    ratio = np.empty(room, data.dtype)
    mantissa = np.empty(64, np.float32)
    bits = mantissa.view(np.int32)
    width = stride * LANE
    for i in range(first, last):
        start = indptr[i]
        m = indptr[i + 1] - start
        value[i] = 0.0
        out[i * stride : (i + 1) * stride] = 0
        if m == 0:
            continue
        count = lay_out(tile, indices, start, m, thin, stride, k, tiles)
        fill_counts(data, start, m, count, x)
        row = w[i * stride : i * stride + k]
        expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        for c in range(k):
            out[i * stride + c] = shares(tile, tiles, count, width, c, inverse, ratio)[0]
        value[i] = log_likelihood(x, expected, m, mantissa, bits)
