"""Exact rows where entries are hidden or count less: each has a Gram matrix of its own."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit
from partwise.kernels.held import _largest
from partwise.kernels.nnls import _solve_passive, pivot_row

Array: TypeAlias = npt.NDArray[Any]

__all__ = ["solve_exactly"]

#: Where a row's Gram matrix comes from a difference, a diagonal below this share of the whole is
#: rounding.
_DEAD = 1e-10
#: To the ridge of a row comes this share of what its hidden entries would add to it. Where fewer
#: entries are observed than there are programs, those are then preferred that are large in them.
_WHOLE = 0.1


@inlined
def _by_row(
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    m: int,
    pointers: Array,
    columns: Array,
    values: Array,
) -> None:
    """Sort the entries of one block by row: pointers (m + 1), columns and deficits."""
    p = colptr.shape[0] - 1
    pointers[:] = 0
    for q in range(np.int64(colptr[p])):
        pointers[np.int64(rows[q]) + 2] += 1
    for i in range(m):
        pointers[i + 2] += pointers[i + 1]
    for j in range(p):
        for q in range(np.int64(colptr[j]), np.int64(colptr[j + 1])):
            row = np.int64(rows[q]) + 1
            at = pointers[row]
            columns[at] = j
            values[at] = np.float64(deficits[q]) if weighted else 1.0
            pointers[row] = at + 1


@inlined
def _add_square(g: Array, h: Array, weight: float) -> None:
    """Add weight h h^T to the upper triangle of `g`."""
    for t in range(h.shape[0]):
        value = weight * h[t]
        if value != 0.0:
            for u in range(t, h.shape[0]):
                g[t, u] += value * h[u]


@inlined
def _row_gram(
    gram: Array,
    penalty: Array,
    thin: Array,
    columns: Array,
    values: Array,
    share: float,
    g: Array,
    ridge: Array,
) -> None:
    """Write the Gram matrix of one row to `g`, and what was added to its diagonal to `ridge`.

    Where most entries are hidden it is a sum over the others; else those of the hidden entries are
    taken from `gram`, that of all. A component without any observed entry gets a diagonal of 1
    and zeros beside it: its usage will be 0.
    """
    p, k = thin.shape
    direct = 2 * columns.shape[0] > p
    if direct:
        g[:] = 0.0
        c = 0
        for j in range(p):
            weight = 1.0
            if c < columns.shape[0] and columns[c] == j:
                weight = 1.0 - values[c]
                c += 1
            if weight > 0.0:
                _add_square(g, thin[j], weight)
    else:
        for t in range(k):
            for u in range(k):
                g[t, u] = gram[t, u]
        for c in range(columns.shape[0]):
            _add_square(g, thin[columns[c]], -values[c])
    for t in range(k):
        for u in range(t):
            g[t, u] = g[u, t]
    for t in range(k):
        least = 0.0 if direct else _DEAD * gram[t, t]
        dead = g[t, t] <= least
        if dead:
            for u in range(k):
                g[t, u] = 0.0
                g[u, t] = 0.0
        ridge[t] = share * (g[t, t] + _WHOLE * max(gram[t, t] - g[t, t], 0.0))
        if dead and penalty[t, t] <= 0.0:
            ridge[t] = 1.0
    for t in range(k):
        for u in range(k):
            g[t, u] += penalty[t, u]
        g[t, t] += ridge[t]


@inlined
def _least_squares(
    g: Array,
    ridge: Array,
    b: Array,
    passive: Array,
    factor: Array,
    z: Array,
    rest: Array,
    w: Array,
) -> None:
    """Solve (g - ridge) w = b by two steps with g, the second one on what the first one leaves."""
    k = b.shape[0]
    for t in range(k):
        passive[t] = t
        rest[t] = b[t]
        w[t] = 0.0
    for step in range(2):
        _solve_passive(g, rest, passive, k, factor, z)
        for t in range(k):
            w[t] += z[t]
        if step == 0:
            for t in range(k):
                rest[t] = b[t] + ridge[t] * w[t]
                for u in range(k):
                    rest[t] -= g[t, u] * w[u]


@jit
def solve_exactly(
    starts: Array,
    first: int,
    last: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    gram: Array,
    penalty: Array,
    share: float,
    signed: bool,
    shift: Array,
    b: Array,
    stride_b: int,
    w: Array,
    stride_w: int,
) -> tuple[float, int]:
    """Solve the rows of blocks first..last of `w` exactly, each with its own Gram matrix.

    They may be negative if `signed`.

    `thin` is p x k, float64, and `gram` its Gram matrix; `b` is (weight * X) @ thin. Returns (by
    how much the rows lower twice the objective, rows unsolved).
    """
    p, k = thin.shape
    height, most = _largest(starts, colptr, first, last)
    pointers = np.empty(height + 2, np.int64)
    columns = np.empty(most, np.int32)
    values = np.empty(most)
    g = np.empty((k, k))
    ridge = np.empty(k)
    row = np.empty(k)
    solution = np.empty(k)
    rest = np.empty(k)
    z = np.empty(k)
    active = np.empty(k, np.int8)
    passive = np.empty(k, np.int64)
    factor = np.empty((k, k))
    fit = 0.0
    unsolved = 0
    for block in range(first, last):
        m = starts[block + 1] - starts[block]
        stop = bases[block] + np.int64(colptr[block, p])
        _by_row(
            colptr[block], rows[bases[block] : stop], deficits[bases[block] : stop], weighted, m,
            pointers, columns, values,
        )  # fmt: skip
        for i in range(m):
            a, e = pointers[i], pointers[i + 1]
            _row_gram(gram, penalty, thin, columns[a:e], values[a:e], share, g, ridge)
            at = (starts[block] + i) * stride_w
            largest = 0.0
            for t in range(k):
                row[t] = np.float64(b[(starts[block] + i) * stride_b + t]) - shift[t]
                if ridge[t] == g[t, t]:
                    row[t] = 0.0 if signed else min(row[t], 0.0)
                largest = max(largest, abs(row[t]))
                active[t] = 1 if w[at + t] > 0 else 0
            solved = True
            if signed:
                _least_squares(g, ridge, row, passive, factor, z, rest, solution)
            else:
                solved = pivot_row(g, row, 1e-13 * largest, active, passive, factor, z, solution)
            if solved:
                for t in range(k):
                    w[at + t] = solution[t]
            else:
                unsolved += 1
            for t in range(k):
                value = np.float64(w[at + t])
                gain = row[t] + ridge[t] * value
                if signed:
                    gain += row[t]
                    for u in range(k):
                        gain -= g[t, u] * np.float64(w[at + u])
                fit += gain * value
    return fit, unsolved
