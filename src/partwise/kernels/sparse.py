"""Products of a sparse matrix with thin matrices, on blocks of rows sorted by column.

Block-CSC: rows are cut into blocks of at most 256; within a block the non-zeros are sorted by
column, each with its row inside the block as one byte. Thin matrices are flat arrays of rows that
are `stride` apart; a kernel works on the vector of elements from `offset` on. Gather (X @ thin)
keeps one row of the thin matrix in registers per column and adds to a panel that stays in the
first-level cache; scatter (X.T @ thin) keeps one row of the result. Each thin matrix is so read
once per block, not once per non-zero.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._jit import jit
from partwise.kernels._simd import fma, load, splat, store
from partwise.kernels.nnls import descend, gram, pivot

__all__ = ["block_csc", "gather_blocks", "scatter_blocks", "solve_blocks"]


@jit
def block_csc(indptr, indices, data, starts, first, last, colptr, rows, values):  # type: ignore[no-untyped-def]
    """Sort the CSR rows of blocks first..last by column.

    Block b holds rows starts[b]..starts[b + 1]; colptr[b] gets its column pointers, relative to
    the block's first non-zero, `rows` and `values` its non-zeros at the places of the CSR ones.
    """
    p = colptr.shape[1] - 1
    origin = indptr[starts[0]]
    position = np.empty(p, np.int64)
    for b in range(first, last):
        pointers = colptr[b]
        pointers[:] = 0
        base = indptr[starts[b]]
        for q in range(base, indptr[starts[b + 1]]):
            pointers[indices[q] + 1] += 1
        for j in range(p):
            pointers[j + 1] += pointers[j]
            position[j] = base - origin + pointers[j]
        for i in range(starts[b], starts[b + 1]):
            for q in range(indptr[i], indptr[i + 1]):
                t = position[indices[q]]
                rows[t] = i - starts[b]
                values[t] = data[q]
                position[indices[q]] += 1


@jit
def _gather(lanes, colptr, base, rows, values, thin, stride, offset, out):  # type: ignore[no-untyped-def]
    """Add X @ thin to `out`, which has rows of `stride`, for one block."""
    q = base
    for j in range(colptr.shape[0] - 1):
        end = base + np.int64(colptr[j + 1])
        if q < end:
            h = load(lanes, thin, j * stride + offset)
            while q < end:
                at = np.int64(rows[q]) * stride + offset
                store(lanes, out, at, fma(splat(lanes, out, values[q]), h, load(lanes, out, at)))
                q += 1


@jit
def gather_blocks(
    lanes, offset, starts, first, last, bases, colptr, rows, values, thin, stride, out
):  # type: ignore[no-untyped-def]
    """Write X @ thin to the rows of blocks first..last of `out`."""
    for b in range(first, last):
        panel = out[starts[b] * stride : starts[b + 1] * stride]
        _gather(lanes, colptr[b], bases[b], rows, values, thin, stride, offset, panel)


@jit
def solve_blocks(
    lanes,
    row_lanes,
    panels,
    starts,
    first,
    last,
    bases,
    colptr,
    rows,
    values,
    thin,
    stride,
    k,
    scaled,
    inverse,
    shift,
    shift64,
    g,
    sweeps,
    exact,
    w,
    out,
):  # type: ignore[no-untyped-def]
    """Gather and solve blocks first..last: update their rows of `w`, its Gram matrix in out[b].

    Returns (sum of (b - shift) w where exact, rows unsolved).
    """
    height = 0
    for b in range(first, last):
        height = max(height, starts[b + 1] - starts[b])
    buffer = np.empty(height * stride, w.dtype)
    width = stride // panels
    fit = 0.0
    unsolved = 0
    for b in range(first, last):
        m = starts[b + 1] - starts[b]
        buffer[: m * stride] = 0
        for panel in range(panels):
            _gather(lanes, colptr[b], bases[b], rows, values, thin, stride, panel * width, buffer)
        descend(
            row_lanes, scaled, inverse, shift, sweeps,
            buffer, w, 0, starts[b], m, k, stride, stride, out[b],
        )  # fmt: skip
        if exact:
            total, failed = pivot(g, shift64, buffer, w, 0, starts[b], m, stride, stride)
            fit += total
            unsolved += failed
            out[b] = 0
            gram(row_lanes, w, starts[b], m, k, stride, out[b])
    return fit, unsolved


@jit
def scatter_blocks(
    lanes, panels, starts, bases, colptr, rows, values, thin, stride, out, first, last
):  # type: ignore[no-untyped-def]
    """Add X.T @ thin to columns first..last of `out`, block after block."""
    width = stride // panels
    for b in range(bases.shape[0]):
        begin = starts[b] * stride
        for panel in range(panels):
            offset = panel * width
            q = bases[b] + np.int64(colptr[b, first])
            for j in range(first, last):
                end = bases[b] + np.int64(colptr[b, j + 1])
                if q < end:
                    c = load(lanes, out, j * stride + offset)
                    while q < end:
                        at = begin + np.int64(rows[q]) * stride + offset
                        c = fma(splat(lanes, out, values[q]), load(lanes, thin, at), c)
                        q += 1
                    store(lanes, out, j * stride + offset, c)
