"""One pass over a dense matrix with few columns, 64 rows at a time.

Rows are turned into columns, so that the product with the programs, the sweeps, the Gram matrix
and the cross-product are all vector operations on data that stay in the first-level cache.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import ZERO, inlined, jit
from partwise.kernels._simd import LANE, fma, hsum, load, splat, store
from partwise.kernels.nnls import _add_gram, _sweep, pivot

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["multiply_rows", "solve_rows"]


@inlined
def _columns(x: Array, first: int, m: int, height: int, out: Array) -> None:
    """Write rows first..first+m of `x` to `out`, column by column, zeros below."""
    p = x.shape[1]
    for i in range(m):
        for j in range(p):
            out[j * height + i] = x[first + i, j]
    for i in range(m, height):
        for j in range(p):
            out[j * height + i] = 0


@inlined
def _add_cross(rows: Lanes, x: Array, w: Array, p: int, k: int, out: Array) -> None:
    """Add x w^T, p x k, to the flat float64 `out`."""
    height = LANE * len(rows)
    zero = splat(rows, x, x.dtype.type(0))
    for j in range(p):
        a = load(rows, x, j * height)
        for t in range(k):
            out[j * k + t] += hsum(fma(a, load(rows, w, t * height), zero))


@jit
def solve_rows(
    row_lanes: Lanes,
    x: Array,
    first: int,
    last: int,
    programs: Array,
    scaled: Array,
    inverse: Array,
    shift: Array,
    shift64: Array,
    g: Array,
    sweeps: int,
    exact: bool,
    w: Array,
    gram_out: Array,
    cross_out: Array,
) -> tuple[float, int]:
    """Update rows first..last of `w` (flat, k apart); add w^T w and x^T w to the outputs.

    `programs` is flat, p x k. Returns (sum of (b - shift) w where exact, rows unsolved).
    """
    p = x.shape[1]
    k = inverse.shape[0]
    height = LANE * len(row_lanes)
    xt = np.empty(p * height, w.dtype)
    bt = np.empty(k * height, w.dtype)
    wt = np.empty(k * height, w.dtype)
    b = np.empty(k * height, w.dtype)
    b64 = np.empty(k * height)
    fit = 0.0
    unsolved = 0
    for start in range(first, last, height):
        m = min(height, last - start)
        _columns(x, start, m, height, xt)
        for t in range(k):
            total = splat(row_lanes, w, -shift[t])
            for j in range(p):
                a = load(row_lanes, xt, j * height)
                total = fma(splat(row_lanes, w, programs[j * k + t]), a, total)
            store(row_lanes, b, t * height, total)
            for i in range(m):
                bt[t * height + i] = b[t * height + i] * inverse[t]
                wt[t * height + i] = w[(start + i) * k + t]
            for i in range(m, height):
                bt[t * height + i] = 0
                wt[t * height + i] = 0
        for _ in range(sweeps):
            _sweep(row_lanes, scaled, bt, wt, k)
        for i in range(m):
            for t in range(k):
                w[(start + i) * k + t] = wt[t * height + i]
        if exact:
            # In float64: rounding of B would be blown up along directions in which programs are
            # linearly dependent, as they are when there are more components than features.
            for i in range(m):
                for t in range(k):
                    value = 0.0
                    for j in range(p):
                        value += np.float64(x[start + i, j]) * np.float64(programs[j * k + t])
                    b64[i * k + t] = value
            total64, failed = pivot(g, shift64, b64, w, ZERO, start, m, k, k)
            fit += total64
            unsolved += failed
            for t in range(k):
                for i in range(m):
                    wt[t * height + i] = w[(start + i) * k + t]
        _add_gram(row_lanes, wt, k, gram_out)
        _add_cross(row_lanes, xt, wt, p, k, cross_out)
    return fit, unsolved


@jit
def multiply_rows(x: Array, first: int, last: int, thin: Array, k: int, out: Array) -> None:
    """Write x @ thin (flat, k apart) to rows first..last of `out`."""
    p = x.shape[1]
    for i in range(first, last):
        for t in range(k):
            out[i * k + t] = 0
        for j in range(p):
            value = x[i, j]
            for t in range(k):
                out[i * k + t] += value * thin[j * k + t]
