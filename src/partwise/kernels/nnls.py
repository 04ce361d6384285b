"""Non-negative least squares for many rows with one Gram matrix.

Each row w minimises 1/2 w G w^T - b w^T + shift w^T over w >= 0. Two methods:

- `descend`: sweeps of coordinate descent (HALS) over 64 rows at once, stored column by column, so
  that each step is one vector operation. With S = -G / diag(G) (diagonal 0) and the scaled
  right-hand side, a coordinate becomes max(0, b_t + sum_u S_tu w_u).
- `pivot`: block principal pivoting (Kim & Park 2011), exact, one row at a time in float64, started
  from the support that the row already has.

Thin matrices are flat arrays of rows of length `stride`, of which the first k are used.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._jit import jit
from partwise.kernels._simd import LANE, add, fma, hsum, load, max0, splat, store

__all__ = ["ROW_LANES", "cross", "descend", "dot64", "gram", "pivot", "projected_gradient"]

#: Rows that are solved at once: 16 * len(ROW_LANES).
ROW_LANES = (0, 0, 0, 0)


@jit
def _transpose_in(source, first, count, stride, k, scale, shift, height, out):  # type: ignore[no-untyped-def]
    """Write (source - shift) * scale of `count` rows to `out`, column by column; the rest is 0."""
    for t in range(k):
        at = t * height
        for i in range(count):
            out[at + i] = (source[(first + i) * stride + t] - shift[t]) * scale[t]
        for i in range(count, height):
            out[at + i] = 0


@jit
def _sweep(rows, scaled, b, w, k):  # type: ignore[no-untyped-def]
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


@jit
def _add_gram(rows, w, k, out):  # type: ignore[no-untyped-def]
    """Add the upper triangle of w w^T (k x k) to the float64 `out`."""
    height = LANE * len(rows)
    for t in range(k):
        x = load(rows, w, t * height)
        for u in range(t, k):
            y = load(rows, w, u * height)
            out[t, u] += hsum(fma(x, y, splat(rows, w, w.dtype.type(0))))


@jit
def descend(
    rows, scaled, inverse, shift, sweeps, b, w, first_b, first, count, k, stride_b, stride, out
):  # type: ignore[no-untyped-def]
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
def gram(rows, w, first, count, k, stride, out):  # type: ignore[no-untyped-def]
    """Add the upper triangle of w^T w over rows first..first+count to the float64 `out`."""
    height = LANE * len(rows)
    wt = np.empty(k * height, w.dtype)
    one = np.ones(k, w.dtype)
    zero = np.zeros(k, w.dtype)
    for start in range(0, count, height):
        m = min(height, count - start)
        _transpose_in(w, first + start, m, stride, k, one, zero, height, wt)
        _add_gram(rows, wt, k, out)


@jit
def _solve_passive(g, b, passive, size, factor, z):  # type: ignore[no-untyped-def]
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


@jit
def _pivot_row(g, b, tolerance, active, passive, factor, z, w):  # type: ignore[no-untyped-def]
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


@jit
def pivot(g, shift, b, w, first_b, first, count, stride_b, stride):  # type: ignore[no-untyped-def]
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
        if _pivot_row(g, row, 1e-12 * largest, active, passive, factor, z, solution):
            for t in range(k):
                w[at + t] = solution[t]
        else:
            unsolved += 1
        for t in range(k):
            total += row[t] * np.float64(w[at + t])
    return total, unsolved


@jit
def projected_gradient(g, shift, b, w, count, k, stride_b, stride):  # type: ignore[no-untyped-def]
    """Return the squared norm of the projected gradient w G - b + shift over all rows, float64."""
    total = 0.0
    for i in range(count):
        for t in range(k):
            slope = shift[t] - np.float64(b[i * stride_b + t])
            for u in range(k):
                slope += g[t, u] * np.float64(w[i * stride + u])
            if w[i * stride + t] > 0 or slope < 0:
                total += slope * slope
    return total


@jit
def cross(x, y, count, k, stride_x, stride_y, out):  # type: ignore[no-untyped-def]
    """Add sum over rows of x_t y_t to the float64 `out`, component by component."""
    for i in range(count):
        for t in range(k):
            out[t] += np.float64(x[i * stride_x + t]) * np.float64(y[i * stride_y + t])


@jit
def dot64(x, y):  # type: ignore[no-untyped-def]
    """Return the inner product of two flat arrays, summed in float64."""
    total = 0.0
    for i in range(x.shape[0]):
        total += np.float64(x[i]) * np.float64(y[i])
    return total
