"""Rows of a factor under the Kullback-Leibler loss, minimised to the end.

Sweeps, then projected Newton steps (Bertsekas 1982): each a non-negative quadratic problem that is
solved by block principal pivoting, with the step halved until the row's objective falls.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit
from partwise.kernels._simd import LANE, add, fma, hsum, load, mul, splat, store
from partwise.kernels.kl import descend_row
from partwise.kernels.kl_tiles import (
    expect,
    fill_counts,
    lay_out,
    log_likelihood,
    longest_row,
    terms_of,
)
from partwise.kernels.nnls import pivot_row

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["project_rows"]

#: Sweeps before the first Newton step: cheaper than such steps while the row is far from its end.
_SWEEPS = cast("int", np.int64(10))
_SAFE = cast("bool", np.bool_(False))
#: Halvings of a step, and the share of the promised decrease that it must bring.
_HALVINGS, _ARMIJO = 20, 1e-4


@inlined
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


@inlined
def _linear(s: Array, curve: Array, w: Array) -> float:
    """Return what the linear and the quadratic terms add to the objective of a row."""
    total = 0.0
    for c in range(w.shape[0]):
        total += (s[c] + 0.5 * curve[c] * w[c]) * w[c]
    return total


@inlined
def _newton(
    s: Array, curve: Array, n: Array, g: Array, row: Array, b: Array, active: Array,
    passive: Array, factor: Array, z: Array, v: Array,
) -> float:  # fmt: skip
    """Write the minimiser of the quadratic model at `row` to v; return the decrease it promises.

    -1 if it was not found.
    """
    k = row.shape[0]
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
        return -1.0
    promise = 0.0
    for c in range(k):
        promise += (n[c] - s[c] - curve[c] * row[c]) * (v[c] - row[c])
    return max(promise, 0.0)


@inlined
def _search(
    tile: Lanes, tiles: Array, count: int, width: int, x: Array, m: int, s: Array, curve: Array,
    row: Array, v: Array, f: float, needed: float, trial: Array, expected: Array, inverse: Array,
    ratio: Array, mantissa: Array, bits: Array,
) -> tuple[bool, float]:  # fmt: skip
    """Move `row` towards v by 1, 1/2, 1/4, ... until f falls by that share of `needed`.

    Returns whether it did, and f. An infinite negative `needed` takes the whole step.
    """
    k = row.shape[0]
    step = 1.0
    for _ in range(_HALVINGS):
        for c in range(k):
            trial[c] = max(row[c] + step * (v[c] - row[c]), 0.0)
        expect(tile, tiles, count, width, x, k, trial, expected, inverse, ratio)
        below = _linear(s, curve, trial) - log_likelihood(x, expected, m, mantissa, bits)
        if below <= f - step * needed:
            for c in range(k):
                row[c] = trial[c]
            return True, below
        step *= 0.5
    expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
    return False, f


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

    A row ends when a step promises less than `precision` times its counts. Returns the rows that
    did not end within `most` steps.
    """
    room = longest_row(indptr, first, last)
    tiles = np.empty(room * stride, data.dtype)
    x = np.empty(room, data.dtype)
    expected = np.empty(room, data.dtype)
    inverse = np.empty(room, data.dtype)
    ratio = np.empty(room, data.dtype)
    weighted = np.empty(room, data.dtype)
    mantissa = np.empty(64, np.float32)
    bits = mantissa.view(np.int32)
    s, curve, n = np.empty(k), np.empty(k), np.empty(k)
    b, z, v = np.empty(k), np.empty(k), np.empty(k)
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
        terms_of(i, k, stride, sums, hidden, l1, l2, scale, s, curve)
        count = lay_out(tile, indices, start, m, thin, stride, k, tiles)
        fill_counts(data, start, m, count, x)
        total = 0.0
        for q in range(m):
            total += x[q]
        for c in range(k):
            row[c] = total / (k * s[c]) if s[c] > 0 else 0.0
        expect(tile, tiles, count, width, x, k, row, expected, inverse, ratio)
        descend_row(
            tile,
            tiles,
            count,
            width,
            x,
            s,
            curve,
            k,
            _SWEEPS,
            _SAFE,
            row,
            expected,
            inverse,
            ratio,
        )
        solved = False
        f = _linear(s, curve, row) - log_likelihood(x, expected, m, mantissa, bits)
        for _ in range(most):
            _curvature(tile, tiles, count, width, k, inverse, ratio, weighted, n, g)
            promise = _newton(s, curve, n, g, row, b, active, passive, factor, z, v)
            if promise < 0:
                break
            solved = promise <= precision * total
            moved, f = _search(
                tile, tiles, count, width, x, m, s, curve, row, v, f,
                -np.inf if solved else _ARMIJO * promise, trial, expected, inverse, ratio,
                mantissa, bits,
            )  # fmt: skip
            if solved or not moved:
                break
        if not solved:
            unsolved += 1
        value[i] = log_likelihood(x, expected, m, mantissa, bits)
    return unsolved
