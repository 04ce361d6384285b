"""Entries that are hidden, or count less than others, in the pass over the data.

An entry of weight w has the deficit d = 1 - w, 1 where it is hidden. Deficits are kept as the
sparse kernels keep non-zeros: blocks of at most 256 rows, sorted by column in each. A pass takes
an entry for w x + d y, where y is what the factors had there before; the part d y is made here,
block by block, and never kept. Thin matrices are padded to `stride` as the sparse kernels need it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import ZERO, inlined, jit
from partwise.kernels._simd import hsum, load, mul
from partwise.kernels.nnls import descend
from partwise.kernels.sparse import _gather, _scatter

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["drop_hidden", "fill_blocks", "scatter_fills", "solve_held", "weigh_dense"]


@jit
def weigh_dense(x: Array, indptr: Array, columns: Array, deficits: Array, weighted: bool) -> float:
    """Multiply the entries of `x` by their weights, in place; the hidden become 0.

    Returns sum of w x^2 - (w x)^2.
    """
    excess = 0.0
    for i in range(x.shape[0]):
        for q in range(indptr[i], indptr[i + 1]):
            j = columns[q]
            if not weighted or deficits[q] >= 1:
                x[i, j] = 0
            else:
                d = np.float64(deficits[q])
                value = np.float64(x[i, j])
                excess += (1.0 - d) * d * value * value
                x[i, j] = value * (1.0 - d)
    return excess


@jit
def drop_hidden(
    x_indptr: Array,
    x_columns: Array,
    x: Array,
    indptr: Array,
    columns: Array,
    deficits: Array,
    weighted: bool,
    p: int,
    out_indptr: Array,
    out_columns: Array,
    out: Array,
) -> float:
    """Copy CSR rows without the hidden entries, the others times their weights.

    Returns sum of w x^2 - (w x)^2.
    """
    deficit = np.zeros(p, x.dtype)
    excess = 0.0
    count = 0
    for i in range(x_indptr.shape[0] - 1):
        for q in range(indptr[i], indptr[i + 1]):
            deficit[columns[q]] = deficits[q] if weighted else 1
        for q in range(x_indptr[i], x_indptr[i + 1]):
            d = np.float64(deficit[x_columns[q]])
            if d < 1.0:
                value = np.float64(x[q])
                excess += (1.0 - d) * d * value * value
                out_columns[count] = x_columns[q]
                out[count] = value * (1.0 - d)
                count += 1
        for q in range(indptr[i], indptr[i + 1]):
            deficit[columns[q]] = 0
        out_indptr[i + 1] = count
    return excess


@inlined
def _products(
    lanes: Lanes,
    panels: int,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    stride: int,
    w: Array,
    first: int,
    last: int,
    out: Array,
    sums: Array,
) -> None:
    """Write d (w . h_j) of the entries of columns first..last of one block to `out`.

    `w` holds the block's rows. sums[j] grows by the sum of d (w . h_j)^2 over column j.
    """
    width = stride // panels
    for j in range(first, last):
        begin = np.int64(colptr[j])
        end = np.int64(colptr[j + 1])
        if begin == end:
            continue
        for panel in range(panels):
            offset = panel * width
            h = load(lanes, thin, j * stride + offset)
            for q in range(begin, end):
                y = hsum(mul(h, load(lanes, w, np.int64(rows[q]) * stride + offset)))
                if panel == 0:
                    out[q] = y
                else:
                    out[q] += y
        total = 0.0
        if weighted:
            for q in range(begin, end):
                y = out[q]
                out[q] = deficits[q] * y
                total += np.float64(out[q]) * np.float64(y)
        else:
            for q in range(begin, end):
                total += np.float64(out[q]) * np.float64(out[q])
        sums[j] += total


@inlined
def _padded(
    w: Array, first: int, m: int, stride_w: int, k: int, stride: int, buffer: Array
) -> None:
    """Copy rows first..first+m of `w` to rows of `stride`; the padding of `buffer` stays."""
    for i in range(m):
        at = (first + i) * stride_w
        for t in range(k):
            buffer[i * stride + t] = w[at + t]


@inlined
def _largest(starts: Array, colptr: Array, first: int, last: int) -> tuple[int, int]:
    """Return the most rows and the most entries of blocks first..last."""
    height = 0
    most = 0
    for b in range(first, last):
        height = max(height, starts[b + 1] - starts[b])
        most = max(most, int(colptr[b, colptr.shape[1] - 1]))
    return height, most


@inlined
def _lengthen(
    gram: Array, factors: Array, first: int, w: Array, m: int, k: int, stride: int, b: Array
) -> None:
    """Turn each right-hand side b into w G + factor (b - w G); rows `first` on have `factors`."""
    for i in range(m):
        longer = factors[first + i]
        drag = longer - b.dtype.type(1)
        at = i * stride
        for t in range(k):
            b[at + t] *= longer
        for u in range(k):
            value = drag * w[at + u]
            if value != 0:
                for t in range(k):
                    b[at + t] -= value * gram[u, t]


@inlined
def _fill_block(
    lanes: Lanes,
    panels: int,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    stride: int,
    k: int,
    gram: Array,
    factors: Array,
    first: int,
    m: int,
    b: Array,
    w: Array,
    stride_w: int,
    old: Array,
    values: Array,
    unused: Array,
    buffer: Array,
) -> None:
    """Write b + (d * (W H)) @ thin of one block, whose m rows begin at `first`, to `buffer`."""
    width = stride // panels
    _padded(w, first, m, stride_w, k, stride, old)
    _padded(b, first, m, stride_w, k, stride, buffer)
    _products(
        lanes, panels, colptr, rows, deficits, weighted, thin, stride, old,
        ZERO, colptr.shape[0] - 1, values, unused,
    )  # fmt: skip
    for panel in range(panels):
        _gather(lanes, colptr, ZERO, rows, values, thin, stride, panel * width, buffer)
    if factors.shape[0] > 0:
        _lengthen(gram, factors, first, old, m, k, stride, buffer)


@jit
def solve_held(
    lanes: Lanes,
    row_lanes: Lanes,
    panels: int,
    starts: Array,
    first: int,
    last: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    stride: int,
    k: int,
    scaled: Array,
    inverse: Array,
    shift: Array,
    sweeps: int,
    gram: Array,
    factors: Array,
    b: Array,
    w: Array,
    stride_w: int,
    out: Array,
) -> None:
    """Sweep the rows of blocks first..last of `w`; their Gram matrices to `out`.

    `b` is (weight * X) @ thin with rows of `stride_w`, as `w` has them. `factors`, one per row or
    none at all, make the step from where a row is longer; `gram` is then that of `thin`.
    """
    p = colptr.shape[1] - 1
    height, most = _largest(starts, colptr, first, last)
    buffer = np.zeros(height * stride, w.dtype)
    old = np.zeros(height * stride, w.dtype)
    values = np.empty(most, w.dtype)
    unused = np.zeros(p)
    for block in range(first, last):
        m = starts[block + 1] - starts[block]
        end = bases[block] + np.int64(colptr[block, p])
        _fill_block(
            lanes, panels, colptr[block], rows[bases[block] : end], deficits[bases[block] : end],
            weighted, thin, stride, k, gram, factors, starts[block], m, b, w, stride_w,
            old, values, unused, buffer,
        )  # fmt: skip
        descend(
            row_lanes, scaled, inverse, shift, sweeps,
            buffer, w, ZERO, starts[block], m, k, stride, stride_w, out[block],
        )  # fmt: skip


@jit
def fill_blocks(
    lanes: Lanes,
    panels: int,
    starts: Array,
    first: int,
    last: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    stride: int,
    k: int,
    gram: Array,
    factors: Array,
    b: Array,
    w: Array,
    stride_w: int,
) -> None:
    """Do what `solve_held` does to `b` before it sweeps, in place."""
    p = colptr.shape[1] - 1
    height, most = _largest(starts, colptr, first, last)
    buffer = np.zeros(height * stride, w.dtype)
    old = np.zeros(height * stride, w.dtype)
    values = np.empty(most, w.dtype)
    unused = np.zeros(p)
    for block in range(first, last):
        m = starts[block + 1] - starts[block]
        end = bases[block] + np.int64(colptr[block, p])
        _fill_block(
            lanes, panels, colptr[block], rows[bases[block] : end], deficits[bases[block] : end],
            weighted, thin, stride, k, gram, factors, starts[block], m, b, w, stride_w,
            old, values, unused, buffer,
        )  # fmt: skip
        for i in range(m):
            at = (starts[block] + i) * stride_w
            for t in range(k):
                b[at + t] = buffer[i * stride + t]


@jit
def scatter_fills(
    lanes: Lanes,
    panels: int,
    starts: Array,
    begin: int,
    end: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    deficits: Array,
    weighted: bool,
    thin: Array,
    stride: int,
    k: int,
    w: Array,
    stride_w: int,
    out: Array,
    sums: Array,
    first: int,
    last: int,
) -> None:
    """Add (d * (W H))^T W of blocks begin..end to columns first..last of `out` (rows of `stride`).

    sums[j] grows by the sum of d (w . h_j)^2 over column j.
    """
    p = colptr.shape[1] - 1
    width = stride // panels
    height, most = _largest(starts, colptr, begin, end)
    old = np.zeros(height * stride, w.dtype)
    values = np.empty(most, w.dtype)
    for block in range(begin, end):
        stop = bases[block] + np.int64(colptr[block, p])
        here = rows[bases[block] : stop]
        _padded(w, starts[block], starts[block + 1] - starts[block], stride_w, k, stride, old)
        _products(
            lanes, panels, colptr[block], here, deficits[bases[block] : stop], weighted, thin,
            stride, old, first, last, values, sums,
        )  # fmt: skip
        for panel in range(panels):
            _scatter(
                lanes, colptr[block], ZERO, here, values, old, ZERO, stride, panel * width,
                out, first, last,
            )  # fmt: skip
