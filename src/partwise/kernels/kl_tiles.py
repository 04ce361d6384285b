"""Tiles: the rows of one factor at the non-zeros of a row of counts, 16 by 16.

Laid out component by component, so that all that follows is arithmetic on contiguous vectors.
Thin matrices are flat arrays of rows of length `stride`, a multiple of 16.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined
from partwise.kernels._simd import (
    LANE,
    add,
    div,
    fma,
    hsum,
    load,
    maximum,
    mul,
    splat,
    store,
    transpose_rows,
)

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = [
    "FLOOR",
    "TILE",
    "expect",
    "fill_counts",
    "lay_out",
    "log_likelihood",
    "longest_row",
    "move_and_shares",
    "shares",
    "terms_of",
]

#: Tiles are one lane wide.
TILE = (0,)
#: Added to each expected count, so that no logarithm is of zero.
FLOOR = 1e-10


@inlined
def longest_row(indptr: Array, first: int, last: int) -> int:
    """Return the largest number of non-zeros of a row, rounded up to whole tiles."""
    longest = 1
    for i in range(first, last):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return (longest + LANE - 1) // LANE * LANE


@inlined
def lay_out(
    tile: Lanes, indices: Array, start: int, m: int, thin: Array, stride: int, k: int, tiles: Array
) -> int:
    """Write the rows of `thin` at the non-zeros start..start+m as tiles; return how many."""
    count = (m + LANE - 1) // LANE
    for t in range(count):
        for offset in range(0, k, LANE):
            transpose_rows(
                tile, thin, stride, offset, indices, start + t * LANE, start + m - 1,
                tiles, (t * stride + offset) * LANE,
            )  # fmt: skip
    return count


@inlined
def fill_counts(data: Array, start: int, m: int, count: int, x: Array) -> None:
    """Copy the counts of a row and fill its last tile with zeros."""
    for q in range(m):
        x[q] = data[start + q]
    for q in range(m, count * LANE):
        x[q] = 0


@inlined
def terms_of(
    i: int, k: int, stride: int, sums: Array, hidden: Array, l1: Array, l2: Array, scale: Array,
    s: Array, curve: Array,
) -> None:  # fmt: skip
    """Write the linear and the quadratic terms of row i."""
    for c in range(k):
        s[c] = sums[c] + l1[c] / scale[i]
        curve[c] = l2[c] / scale[i] ** 2
        if hidden.shape[0] > 0:
            s[c] = max(s[c] - hidden[i * stride + c], 0.0)


@inlined
def expect(
    tile: Lanes, tiles: Array, count: int, width: int, x: Array, k: int, w: Array,
    expected: Array, inverse: Array, ratio: Array,
) -> None:  # fmt: skip
    """Write w h, 1 / (w h) and x / (w h) of all non-zeros."""
    one = splat(tile, x, x.dtype.type(1))
    floor = splat(tile, x, x.dtype.type(FLOOR))
    for t in range(count):
        a = floor
        b = splat(tile, x, x.dtype.type(0))
        at = t * width
        c = 0
        while c + 2 <= k:
            a = fma(splat(tile, x, w[c]), load(tile, tiles, at + c * LANE), a)
            b = fma(splat(tile, x, w[c + 1]), load(tile, tiles, at + (c + 1) * LANE), b)
            c += 2
        if c < k:
            a = fma(splat(tile, x, w[c]), load(tile, tiles, at + c * LANE), a)
        a = add(a, b)
        r = div(one, a)
        store(tile, expected, t * LANE, a)
        store(tile, inverse, t * LANE, r)
        store(tile, ratio, t * LANE, mul(load(tile, x, t * LANE), r))


@inlined
def shares(
    tile: Lanes, tiles: Array, count: int, width: int, c: int, inverse: Array, ratio: Array
) -> tuple[float, float]:
    """Return N and Q of component c."""
    n = splat(tile, ratio, ratio.dtype.type(0))
    q = splat(tile, ratio, ratio.dtype.type(0))
    for t in range(count):
        h = load(tile, tiles, t * width + c * LANE)
        u = mul(h, load(tile, ratio, t * LANE))
        n = add(n, u)
        q = fma(mul(u, h), load(tile, inverse, t * LANE), q)
    return np.float64(hsum(n)), np.float64(hsum(q))


@inlined
def move_and_shares(
    tile: Lanes, tiles: Array, count: int, width: int, moved: int, by: float, c: int, x: Array,
    expected: Array, inverse: Array, ratio: Array,
) -> tuple[float, float]:  # fmt: skip
    """Take in that w[moved] changed by `by`; return N and Q of component c."""
    one = splat(tile, x, x.dtype.type(1))
    floor = splat(tile, x, x.dtype.type(FLOOR))
    step = splat(tile, x, x.dtype.type(by))
    n = splat(tile, x, x.dtype.type(0))
    q = splat(tile, x, x.dtype.type(0))
    for t in range(count):
        at = t * width
        e = fma(step, load(tile, tiles, at + moved * LANE), load(tile, expected, t * LANE))
        e = maximum(e, floor)  # rounding may leave less than nothing
        r = div(one, e)
        z = mul(load(tile, x, t * LANE), r)
        store(tile, expected, t * LANE, e)
        store(tile, inverse, t * LANE, r)
        store(tile, ratio, t * LANE, z)
        h = load(tile, tiles, at + c * LANE)
        u = mul(h, z)
        n = add(n, u)
        q = fma(mul(u, h), r, q)
    return np.float64(hsum(n)), np.float64(hsum(q))


@inlined
def log_likelihood(x: Array, expected: Array, m: int, mantissa: Array, bits: Array) -> float:
    """Return sum x log(expected); `bits` are those of `mantissa`, 32 of them.

    In float32 the logarithm is e log 2 + 2 artanh(z), z = (f - 1) / (f + 1) for a number f 2^e
    with f in [1, 2); the series to z^13 is below rounding after f is brought near 1. Written so
    that the compiler does 16 at a time.
    """
    total = 0.0
    if x.itemsize == 8:
        for i in range(m):
            total += x[i] * np.log(expected[i])
        return total
    for first in range(0, m, 32):
        n = min(32, m - first)
        part = np.float32(0)
        for i in range(n):
            mantissa[i] = expected[first + i]
        for i in range(n):
            b = bits[i]
            # from 1 / sqrt(2) to sqrt(2)
            e = (b - np.int32(0x3F3504F3)) >> np.int32(23)
            bits[i] = b - (e << np.int32(23))
            bits[32 + i] = e
        for i in range(n):
            f = mantissa[i]
            z = (f - np.float32(1)) / (f + np.float32(1))
            y = z * z
            p = np.float32(2 / 11)
            p = p * y + np.float32(2 / 9)
            p = p * y + np.float32(2 / 7)
            p = p * y + np.float32(2 / 5)
            p = p * y + np.float32(2 / 3)
            p = p * y + np.float32(2)
            part += x[first + i] * (
                np.float32(bits[32 + i]) * np.float32(0.6931471805599453) + z * p
            )
        total += np.float64(part)
    return total
