"""Products of a sparse matrix with thin matrices, on blocks of rows sorted by column.

Block-CSC: rows are cut into blocks of at most 256; within a block the non-zeros are sorted by
column, each with its row inside the block as one byte. Thin matrices are flat arrays of rows that
are `stride` apart; a kernel works on the vector of elements from `offset` on. Gather (X @ thin)
keeps one row of the thin matrix in registers per column and adds to a panel that stays in the
first-level cache; scatter (X.T @ thin) keeps one row of the result. Each thin matrix is so read
once per block, not once per non-zero.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import ZERO, inlined, jit
from partwise.kernels._simd import add, fma, load, mul, splat, store
from partwise.kernels.nnls import descend, gram, pivot

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["block_csc", "gather_blocks", "scatter_blocks", "solve_blocks"]


@jit
def block_csc(
    indptr: Array,
    indices: Array,
    data: Array,
    starts: Array,
    first: int,
    last: int,
    colptr: Array,
    rows: Array,
    values: Array,
) -> None:
    """Sort the CSR rows of blocks first..last by column.

    Block b holds rows starts[b]..starts[b + 1]; colptr[b] gets its column pointers, relative to
    the block's first non-zero, `rows` and `values` its non-zeros at the places of the CSR ones.
    An entry that occurs twice is summed into its last occurrence; the others become zeros.
    """
    p = colptr.shape[1] - 1
    origin = indptr[starts[0]]
    position = np.empty(p, np.int64)
    for b in range(first, last):
        pointers = colptr[b]
        pointers[:] = 0
        base = indptr[starts[b]] - origin
        for q in range(indptr[starts[b]], indptr[starts[b + 1]]):
            pointers[indices[q] + 1] += 1
        for j in range(p):
            position[j] = base + pointers[j]
            pointers[j + 1] += pointers[j]
        for i in range(starts[b], starts[b + 1]):
            row = np.uint8(i - starts[b])
            for q in range(indptr[i], indptr[i + 1]):
                j = indices[q]
                t = position[j]
                value = data[q]
                if t > base + pointers[j] and rows[t - 1] == row:
                    value += values[t - 1]
                    values[t - 1] = 0
                rows[t] = row
                values[t] = value
                position[j] = t + 1


@inlined
def _gather(
    lanes: Lanes,
    colptr: Array,
    base: int,
    rows: Array,
    values: Array,
    thin: Array,
    stride: int,
    offset: int,
    out: Array,
) -> None:
    """Add X @ thin to `out`, which has rows of `stride`, for one block.

    Two non-zeros at a time: they lie in different rows, or the first of them is a zero.
    """
    q = base
    for j in range(colptr.shape[0] - 1):
        end = base + np.int64(colptr[j + 1])
        if q < end:
            h = load(lanes, thin, j * stride + offset)
            while q + 2 <= end:
                one = np.int64(rows[q]) * stride + offset
                two = np.int64(rows[q + 1]) * stride + offset
                x = fma(splat(lanes, out, values[q]), h, load(lanes, out, one))
                y = fma(splat(lanes, out, values[q + 1]), h, load(lanes, out, two))
                store(lanes, out, one, x)
                store(lanes, out, two, y)
                q += 2
            if q < end:
                one = np.int64(rows[q]) * stride + offset
                store(lanes, out, one, fma(splat(lanes, out, values[q]), h, load(lanes, out, one)))
                q += 1


@inlined
def _scatter(
    lanes: Lanes,
    colptr: Array,
    base: int,
    rows: Array,
    values: Array,
    thin: Array,
    begin: int,
    stride: int,
    offset: int,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Add X.T @ thin to columns first..last of `out` for the block whose rows start at `begin`."""
    q = base + np.int64(colptr[first])
    for j in range(first, last):
        end = base + np.int64(colptr[j + 1])
        if q < end:
            c = load(lanes, out, j * stride + offset)
            while q + 2 <= end:
                one = begin + np.int64(rows[q]) * stride + offset
                two = begin + np.int64(rows[q + 1]) * stride + offset
                d = mul(splat(lanes, out, values[q]), load(lanes, thin, one))
                d = fma(splat(lanes, out, values[q + 1]), load(lanes, thin, two), d)
                c = add(c, d)
                q += 2
            if q < end:
                one = begin + np.int64(rows[q]) * stride + offset
                c = fma(splat(lanes, out, values[q]), load(lanes, thin, one), c)
                q += 1
            store(lanes, out, j * stride + offset, c)


@jit
def gather_blocks(
    lanes: Lanes,
    offset: int,
    starts: Array,
    first: int,
    last: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    values: Array,
    thin: Array,
    stride: int,
    out: Array,
) -> None:
    """Write X @ thin to the rows of blocks first..last of `out`."""
    for b in range(first, last):
        panel = out[starts[b] * stride : starts[b + 1] * stride]
        _gather(lanes, colptr[b], bases[b], rows, values, thin, stride, offset, panel)


@jit
def solve_blocks(
    lanes: Lanes,
    row_lanes: Lanes,
    panels: int,
    starts: Array,
    first: int,
    last: int,
    bases: Array,
    colptr: Array,
    rows: Array,
    values: Array,
    thin: Array,
    stride: int,
    k: int,
    scaled: Array,
    inverse: Array,
    shift: Array,
    shift64: Array,
    g: Array,
    sweeps: int,
    exact: bool,
    w: Array,
    out: Array,
) -> tuple[float, int]:
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
            buffer, w, ZERO, starts[b], m, k, stride, stride, out[b],
        )  # fmt: skip
        if exact:
            total, failed = pivot(g, shift64, buffer, w, ZERO, starts[b], m, stride, stride)
            fit += total
            unsolved += failed
            out[b] = 0
            gram(row_lanes, w, starts[b], m, k, stride, out[b])
    return fit, unsolved


@jit
def scatter_blocks(
    lanes: Lanes,
    panels: int,
    starts: Array,
    bases: Array,
    colptr: Array,
    rows: Array,
    values: Array,
    thin: Array,
    stride: int,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Add X.T @ thin to columns first..last of `out`, block after block."""
    width = stride // panels
    for b in range(bases.shape[0]):
        for panel in range(panels):
            _scatter(
                lanes, colptr[b], bases[b], rows, values, thin, starts[b] * stride, stride,
                panel * width, out, first, last,
            )  # fmt: skip
