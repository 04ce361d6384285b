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

from partwise.kernels._jit import jit
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
from partwise.kernels.nnls import pivot_row

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["FLOOR", "TILE", "project_rows", "share_rows", "solve_rows"]

#: Tiles are one lane wide.
TILE = (0,)
#: Sweeps before the first Newton step: cheaper than such steps while the row is far from its end.
_SWEEPS = 10
#: Added to each expected count, so that no logarithm is of zero.
FLOOR = 1e-10


@jit
def _expect(
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


@jit
def _shares(
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


@jit
def _move_and_shares(
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


@jit
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


@jit
def _descend(
    tile: Lanes, tiles: Array, count: int, width: int, x: Array, s: Array, l2: Array, k: int,
    sweeps: int, safe: bool, w: Array, expected: Array, inverse: Array, ratio: Array,
) -> None:  # fmt: skip
    """Do sweeps of coordinate descent on one row, keeping `expected` up to date between moves."""
    moved, by = 0, 0.0
    for _ in range(sweeps):
        for c in range(k):
            if by != 0.0:
                n, q = _move_and_shares(
                    tile, tiles, count, width, moved, by, c, x, expected, inverse, ratio
                )
            else:
                n, q = _shares(tile, tiles, count, width, c, inverse, ratio)
            old = np.float64(w[c])
            w[c] = _step(old, n, q, s[c], l2[c], safe)
            moved, by = c, np.float64(w[c]) - old
    if by != 0.0:
        _move_and_shares(tile, tiles, count, width, moved, by, 0, x, expected, inverse, ratio)


@jit
def _log_likelihood(x: Array, expected: Array, m: int, mantissa: Array, bits: Array) -> float:
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


@jit
def _lay_out(
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


@jit
def _longest(indptr: Array, first: int, last: int) -> int:
    """Return the largest number of non-zeros of a row, rounded up to whole tiles."""
    longest = 1
    for i in range(first, last):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return (longest + LANE - 1) // LANE * LANE


@jit
def _terms(
    i: int, k: int, stride: int, sums: Array, hidden: Array, l1: Array, l2: Array, scale: Array,
    s: Array, curve: Array,
) -> None:  # fmt: skip
    """Write the linear and the quadratic terms of row i."""
    for c in range(k):
        s[c] = sums[c] + l1[c] / scale[i]
        curve[c] = l2[c] / scale[i] ** 2
        if hidden.shape[0] > 0:
            s[c] = max(s[c] - hidden[i * stride + c], 0.0)


@jit
def _counts(data: Array, start: int, m: int, count: int, x: Array) -> None:
    """Copy the counts of a row and fill its last tile with zeros."""
    for q in range(m):
        x[q] = data[start + q]
    for q in range(m, count * LANE):
        x[q] = 0


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
    room = _longest(indptr, first, last)
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
        _terms(i, k, stride, sums, hidden, l1, l2, scale, s, curve)
        count = _lay_out(tile, indices, start, m, thin, stride, k, tiles)
        _counts(data, start, m, count, x)
        _expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        _descend(
            tile, tiles, count, width, x, s, curve, k, sweeps, safe, row,
            expected, inverse, ratio,
        )  # fmt: skip
        if measure:  # from the start: the moves leave rounding errors behind
            _expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
            value[i] = _log_likelihood(x, expected, m, mantissa, bits)


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
    room = _longest(indptr, first, last)
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
        count = _lay_out(tile, indices, start, m, thin, stride, k, tiles)
        _counts(data, start, m, count, x)
        row = w[i * stride : i * stride + k]
        _expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        for c in range(k):
            out[i * stride + c] = _shares(tile, tiles, count, width, c, inverse, ratio)[0]
        value[i] = _log_likelihood(x, expected, m, mantissa, bits)


@jit
def _curvature(
    tile: Lanes, tiles: Array, count: int, width: int, k: int, inverse: Array, ratio: Array,
    weighted: Array, n: Array, g: Array,
) -> None:  # fmt: skip
    """Write N and the second derivatives of -sum x log(w h)."""
    for c in range(k):
        share = splat(tile, ratio, ratio.dtype.type(0))
        for t in range(count):
            u = mul(load(tile, tiles, t * width + c * LANE), load(tile, ratio, t * LANE))
            share = add(share, u)
            store(tile, weighted, t * LANE, mul(u, load(tile, inverse, t * LANE)))
        n[c] = hsum(share)
        for d in range(c, k):
            total = splat(tile, ratio, ratio.dtype.type(0))
            for t in range(count):
                h = load(tile, tiles, t * width + d * LANE)
                total = fma(h, load(tile, weighted, t * LANE), total)
            g[c, d] = hsum(total)
            g[d, c] = g[c, d]


@jit
def project_rows(
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
    most: int,
    precision: float,
    w: Array,
    value: Array,
) -> int:
    """Minimise rows first..last of `w` from one start, the same for the same row of data.

    Sweeps, then projected Newton steps, each a non-negative quadratic problem that is solved by
    block principal pivoting, with the step halved until f falls. A row ends when a step promises
    less than `precision` times its counts. Returns the rows that did not end within `most` steps.
    """
    room = _longest(indptr, first, last)
    tiles = np.empty(room * stride, data.dtype)
    x = np.empty(room, data.dtype)
    expected = np.empty(room, data.dtype)
    inverse = np.empty(room, data.dtype)
    ratio = np.empty(room, data.dtype)
    weighted = np.empty(room, data.dtype)
    mantissa = np.empty(64, np.float32)
    bits = mantissa.view(np.int32)
    s, curve, n, b, z, v = (
        np.empty(k),
        np.empty(k),
        np.empty(k),
        np.empty(k),
        np.empty(k),
        np.empty(k),
    )
    g, factor = np.empty((k, k)), np.empty((k, k))
    active, passive = np.empty(k, np.int8), np.empty(k, np.int64)
    trial = np.empty(k, data.dtype)
    width = stride * LANE
    unsolved = 0
    for i in range(first, last):
        start = indptr[i]
        m = indptr[i + 1] - start
        row = w[i * stride : i * stride + k]
        value[i] = 0.0
        row[:] = 0
        if m == 0:
            continue
        _terms(i, k, stride, sums, hidden, l1, l2, scale, s, curve)
        count = _lay_out(tile, indices, start, m, thin, stride, k, tiles)
        _counts(data, start, m, count, x)
        total = 0.0
        for q in range(m):
            total += x[q]
        for c in range(k):
            row[c] = total / (k * s[c]) if s[c] > 0 else 0.0
        _expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        _descend(
            tile, tiles, count, width, x, s, curve, k, _SWEEPS, False, row, expected, inverse, ratio
        )
        solved = False
        f = -_log_likelihood(x, expected, m, mantissa, bits)
        for c in range(k):
            f += (s[c] + 0.5 * curve[c] * row[c]) * row[c]
        for _ in range(most):
            _curvature(tile, tiles, count, width, k, inverse, ratio, weighted, n, g)
            promise = 0.0
            largest = 0.0
            for c in range(k):
                # bounded from below: the quadratic problem is then strictly convex
                g[c, c] = g[c, c] * (1 + 1e-7) + curve[c] if g[c, c] + curve[c] > 0 else 1.0
                active[c] = 1 if row[c] > 0 else 0
            for c in range(k):
                b[c] = n[c] - s[c] - curve[c] * row[c]
                for d in range(k):
                    b[c] += g[c, d] * row[d]
                largest = max(largest, abs(b[c]))
            if not pivot_row(g, b, 1e-13 * largest, active, passive, factor, z, v):
                break
            for c in range(k):
                promise += (n[c] - s[c] - curve[c] * row[c]) * (v[c] - row[c])
            last_step = promise <= precision * total
            step = 1.0
            accepted = False
            for _ in range(20):
                for c in range(k):
                    trial[c] = max(row[c] + step * (v[c] - row[c]), 0.0)
                _expect(tile, tiles, count, width, x, k, trial, expected, inverse, ratio)
                below = -_log_likelihood(x, expected, m, mantissa, bits)
                for c in range(k):
                    below += (s[c] + 0.5 * curve[c] * trial[c]) * trial[c]
                if last_step or below <= f - 1e-4 * step * promise:
                    accepted = True
                    break
                step *= 0.5
            if accepted:
                row[:] = trial
                f = below
            else:
                _expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
            if last_step or not accepted:
                solved = last_step
                break
        if not solved:
            unsolved += 1
        value[i] = _log_likelihood(x, expected, m, mantissa, bits)
    return unsolved
