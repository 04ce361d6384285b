"""The row solvers of `nnls` for rows in which some entries are given and stay as they are.

`free` holds 1 where an entry is fitted and 0 where it is given, `known` the given entries and 0
elsewhere; both are flat thin matrices like the rows themselves. A coordinate becomes
free * max(0, ...) + known, which is the given value to the last bit.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit
from partwise.kernels._simd import LANE, fma, load, max0, splat, store
from partwise.kernels.nnls import _active_set_row, _add_gram, _pivot_row, _transpose_in

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["descend_given", "pivot_given"]

#: Right-hand side of an entry that the exact solver must leave at zero: nothing outweighs it.
_NEVER = -1e300


@inlined
def _sweep_given(
    rows: Lanes, scaled: Array, b: Array, w: Array, free: Array, known: Array, k: int
) -> None:
    """Do one sweep over the free coordinates of all rows in `w`."""
    height = LANE * len(rows)
    for t in range(k):
        x = load(rows, b, t * height)
        for u in range(k):
            x = fma(splat(rows, b, scaled[t, u]), load(rows, w, u * height), x)
        at = t * height
        store(rows, w, at, fma(load(rows, free, at), max0(x), load(rows, known, at)))


@jit
def descend_given(
    rows: Lanes,
    scaled: Array,
    inverse: Array,
    shift: Array,
    sweeps: int,
    b: Array,
    w: Array,
    free: Array,
    known: Array,
    first: int,
    count: int,
    k: int,
    stride: int,
    out: Array,
) -> None:
    """Do `sweeps` sweeps on rows first..first+count of `w`; add their Gram matrix to `out`."""
    height = LANE * len(rows)
    bt = np.empty(k * height, b.dtype)
    wt = np.empty(k * height, b.dtype)
    ft = np.empty(k * height, b.dtype)
    ht = np.empty(k * height, b.dtype)
    one = np.ones(k, b.dtype)
    zero = np.zeros(k, b.dtype)
    for start in range(0, count, height):
        m = min(height, count - start)
        at = first + start
        _transpose_in(b, at, m, stride, k, inverse, shift, height, bt)
        _transpose_in(w, at, m, stride, k, one, zero, height, wt)
        _transpose_in(free, at, m, stride, k, one, zero, height, ft)
        _transpose_in(known, at, m, stride, k, one, zero, height, ht)
        for _ in range(sweeps):
            _sweep_given(rows, scaled, bt, wt, ft, ht, k)
        for i in range(m):
            for t in range(k):
                w[(at + i) * stride + t] = wt[t * height + i]
        _add_gram(rows, wt, k, out)


@jit
def pivot_given(
    g: Array, shift: Array, b: Array, w: Array, free: Array, first: int, count: int, stride: int
) -> None:
    """Solve the free entries of rows first..first+count of `w` exactly, given the others.

    A row that is not solved within the permitted exchanges stays as it was.
    """
    k = g.shape[0]
    row = np.empty(k)
    solution = np.empty(k)
    z = np.empty(k)
    active = np.empty(k, np.int8)
    passive = np.empty(k, np.int64)
    factor = np.empty((k, k))
    for i in range(first, first + count):
        at = i * stride
        largest = 0.0
        for t in range(k):
            active[t] = 0
            if free[at + t] > 0:
                row[t] = np.float64(b[at + t]) - shift[t]
                for u in range(k):
                    if free[at + u] == 0:
                        row[t] -= g[t, u] * np.float64(w[at + u])
                largest = max(largest, abs(row[t]))
                if w[at + t] > 0:
                    active[t] = 1
            else:
                row[t] = _NEVER
        solved = _pivot_row(g, row, 1e-13 * largest, active, passive, factor, z, solution)
        if not solved:
            solved = _active_set_row(g, row, 1e-13 * largest, active, passive, factor, z, solution)
        if solved:
            for t in range(k):
                if free[at + t] > 0:
                    w[at + t] = solution[t]
