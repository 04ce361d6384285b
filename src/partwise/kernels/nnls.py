"""Non-negative least squares for many rows with one Gram matrix.

Each row w minimises 1/2 w G w^T - b w^T + shift w^T over w >= 0. Two methods:

- `descend`: sweeps of coordinate descent (HALS) over 64 rows at once, stored column by column, so
  that each step is one vector operation. With S = -G / diag(G) (diagonal 0) and the scaled
  right-hand side, a coordinate becomes max(0, b_t + sum_u S_tu w_u).
- `pivot`: block principal pivoting (Kim & Park 2011), exact, one row at a time in float64, started
  from the support that the row already has; where its exchanges do not end, as they may not when
  programs are linearly dependent, the active-set method of Lawson & Hanson (1974).

Thin matrices are flat arrays of rows of length `stride`, of which the first k are used.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit
from partwise.kernels._simd import LANE, add, fma, hsum, load, max0, splat, store

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["ROW_LANES", "descend", "dot64", "gram", "pivot", "pivot_row"]

#: Rows that are solved at once: 16 * len(ROW_LANES).
ROW_LANES = (0, 0, 0, 0)


@inlined
def _transpose_in(
    source: Array,
    first: int,
    count: int,
    stride: int,
    k: int,
    scale: Array,
    shift: Array,
    height: int,
    out: Array,
) -> None:
    """Write (source - shift) * scale of `count` rows to `out`, column by column; the rest is 0."""
    for t in range(k):
        at = t * height
        for i in range(count):
            out[at + i] = (source[(first + i) * stride + t] - shift[t]) * scale[t]
        for i in range(count, height):
            out[at + i] = 0


@inlined
def _sweep(rows: Lanes, scaled: Array, b: Array, w: Array, k: int) -> None:
    """Do one sweep over the coordinates of all rows in `w`."""
    height = LANE * len(rows)
    for t in range(k):
        x = load(rows, b, t * height)
        y = splat(rows, b, b.dtype.type(0))
        u = 0
        while u + 2 <= k:
            x = fma(splat(rows, b, scaled[t, u]), load(rows, w, u * height), x)
            y = fma(splat(rows, b, scaled[t, u + 1]), load(rows, w, (u + 1) * height), y)
            u += 2
        if u < k:
            x = fma(splat(rows, b, scaled[t, u]), load(rows, w, u * height), x)
        store(rows, w, t * height, max0(add(x, y)))


@inlined
def _add_gram(rows: Lanes, w: Array, k: int, out: Array) -> None:
    """Add the upper triangle of w w^T (k x k) to the float64 `out`."""
    height = LANE * len(rows)
    for t in range(k):
        x = load(rows, w, t * height)
        for u in range(t, k):
            y = load(rows, w, u * height)
            out[t, u] += hsum(fma(x, y, splat(rows, w, w.dtype.type(0))))


@jit
def descend(
    rows: Lanes,
    scaled: Array,
    inverse: Array,
    shift: Array,
    sweeps: int,
    b: Array,
    w: Array,
    first_b: int,
    first: int,
    count: int,
    k: int,
    stride_b: int,
    stride: int,
    out: Array,
) -> None:
    """Do `sweeps` sweeps on rows first..first+count of `w`; add their Gram matrix to `out`.

    `b` is read from its row `first_b` on; it and `w` may have different strides.
    """
    height = LANE * len(rows)
    bt = np.empty(k * height, b.dtype)
    wt = np.empty(k * height, b.dtype)
    one = np.ones(k, b.dtype)
    zero = np.zeros(k, b.dtype)
    for start in range(0, count, height):
        m = min(height, count - start)
        _transpose_in(b, first_b + start, m, stride_b, k, inverse, shift, height, bt)
        _transpose_in(w, first + start, m, stride, k, one, zero, height, wt)
        for _ in range(sweeps):
            _sweep(rows, scaled, bt, wt, k)
        for i in range(m):
            at = (first + start + i) * stride
            for t in range(k):
                w[at + t] = wt[t * height + i]
        _add_gram(rows, wt, k, out)


@jit
def gram(rows: Lanes, w: Array, first: int, count: int, k: int, stride: int, out: Array) -> None:
    """Add the upper triangle of w^T w over rows first..first+count to the float64 `out`."""
    height = LANE * len(rows)
    wt = np.empty(k * height, w.dtype)
    one = np.ones(k, w.dtype)
    zero = np.zeros(k, w.dtype)
    for start in range(0, count, height):
        m = min(height, count - start)
        _transpose_in(w, first + start, m, stride, k, one, zero, height, wt)
        _add_gram(rows, wt, k, out)


@inlined
def _solve_passive(g: Array, b: Array, passive: Array, size: int, factor: Array, z: Array) -> None:
    """Solve G z = b on the `size` passive coordinates by Cholesky's factorization."""
    for a in range(size):
        for c in range(a + 1):
            total = g[passive[a], passive[c]]
            for d in range(c):
                total -= factor[a, d] * factor[c, d]
            if a == c:
                factor[a, a] = np.sqrt(max(total, 1e-300))
            else:
                factor[a, c] = total / factor[c, c]
    for a in range(size):
        total = b[passive[a]]
        for d in range(a):
            total -= factor[a, d] * z[d]
        z[a] = total / factor[a, a]
    for a in range(size - 1, -1, -1):
        total = z[a]
        for d in range(a + 1, size):
            total -= factor[d, a] * z[d]
        z[a] = total / factor[a, a]


@inlined
def _pivot_row(
    g: Array,
    b: Array,
    tolerance: float,
    active: Array,
    passive: Array,
    factor: Array,
    z: Array,
    w: Array,
) -> bool:
    """Solve one row; `active` holds 1 where a coordinate is passive (may be positive)."""
    k = b.shape[0]
    chances = 3
    fewest = k + 1
    for _ in range(5 * k + 20):
        size = 0
        for t in range(k):
            if active[t]:
                passive[size] = t
                size += 1
        _solve_passive(g, b, passive, size, factor, z)
        for t in range(k):
            w[t] = 0.0
        for a in range(size):
            w[passive[a]] = z[a]
        wrong = 0
        last = -1
        for t in range(k):
            if active[t]:
                bad = w[t] < 0.0
            else:
                slope = -b[t]
                for a in range(size):
                    slope += g[t, passive[a]] * z[a]
                bad = slope < -tolerance
            if bad:
                wrong += 1
                last = t
                active[t] += 2
        if wrong == 0:
            return True
        if wrong < fewest:
            fewest = wrong
            chances = 3
            single = False
        else:
            chances -= 1
            single = chances < 0
        for t in range(k):
            if active[t] >= 2:
                active[t] -= 2
                if not single or t == last:
                    active[t] = 1 - active[t]
    return False


@inlined
def _active_set_row(
    g: Array,
    b: Array,
    tolerance: float,
    active: Array,
    passive: Array,
    factor: Array,
    z: Array,
    w: Array,
) -> bool:
    """Solve one row by Lawson and Hanson's active-set method: slower, and always ends."""
    k = b.shape[0]
    w[:] = 0.0
    active[:] = 0
    for _ in range(10 * k + 20):
        size = 0
        for t in range(k):
            if active[t] == 1:
                passive[size] = t
                size += 1
        chosen = -1
        steepest = tolerance
        for t in range(k):
            if active[t] == 0:
                slope = b[t]
                for a in range(size):
                    slope -= g[t, passive[a]] * w[passive[a]]
                if slope > steepest:
                    steepest = slope
                    chosen = t
        if chosen < 0:
            return True
        active[chosen] = 1
        for _ in range(k + 1):  # each round but the last frees a coordinate
            size = 0
            for t in range(k):
                if active[t] == 1:
                    passive[size] = t
                    size += 1
            _solve_passive(g, b, passive, size, factor, z)
            step = 1.0
            for a in range(size):
                if z[a] <= 0.0:
                    before = w[passive[a]]
                    step = min(step, before / (before - z[a]) if before > 0.0 else 0.0)
            for a in range(size):
                t = passive[a]
                w[t] = max(w[t] + step * (z[a] - w[t]), 0.0)
                if z[a] <= 0.0 and w[t] <= 1e-14 * abs(z[a]):
                    w[t] = 0.0
                    # -1: rounding alone made it look useful; it is not tried again
                    active[t] = -1 if t == chosen else 0
            if step == 1.0:
                break
    return False


@inlined
def pivot_row(
    g: Array,
    b: Array,
    tolerance: float,
    active: Array,
    passive: Array,
    factor: Array,
    z: Array,
    w: Array,
) -> bool:
    """Solve one row exactly into `w`, from the support in `active`; tell whether it was solved.

    `passive`, `factor` (k x k) and `z` are room to work in.
    """
    if _pivot_row(g, b, tolerance, active, passive, factor, z, w):
        return True
    return _active_set_row(g, b, tolerance, active, passive, factor, z, w)


@jit
def pivot(
    g: Array,
    shift: Array,
    b: Array,
    w: Array,
    first_b: int,
    first: int,
    count: int,
    stride_b: int,
    stride: int,
) -> tuple[float, int]:
    """Solve rows first..first+count of `w` exactly; return (sum of (b - shift) w, rows unsolved).

    `g` is k x k float64 and positive definite. The start is the support of `w`; a row that is not
    solved within the permitted exchanges stays as it was.
    """
    k = g.shape[0]
    row = np.empty(k)
    solution = np.empty(k)
    z = np.empty(k)
    active = np.empty(k, np.int8)
    passive = np.empty(k, np.int64)
    factor = np.empty((k, k))
    total = 0.0
    unsolved = 0
    for i in range(count):
        largest = 0.0
        for t in range(k):
            row[t] = np.float64(b[(first_b + i) * stride_b + t]) - shift[t]
            largest = max(largest, abs(row[t]))
            active[t] = 1 if w[(first + i) * stride + t] > 0 else 0
        at = (first + i) * stride
        if pivot_row(g, row, 1e-13 * largest, active, passive, factor, z, solution):
            for t in range(k):
                w[at + t] = solution[t]
        else:
            unsolved += 1
        for t in range(k):
            total += row[t] * np.float64(w[at + t])
    return total, unsolved


@jit
def dot64(x: Array, y: Array) -> float:
    """Return the inner product of two flat arrays, summed in float64."""
    total = 0.0
    for i in range(x.shape[0]):
        total += np.float64(x[i]) * np.float64(y[i])
    return total
