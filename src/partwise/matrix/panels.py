"""Panels: some thousand rows of the data, in the layout that their kernels read.

A panel answers three calls: `sweep` (solve the rows of W, return W^T W, X^T W), `multiply`
(X @ thin) and `multiply_transposed` (X^T @ thin). Work is cut into tasks whose order of summation
depends on the data alone, so that the same bits come out for any number of threads.
"""

from __future__ import annotations

from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.kernels import narrow, nnls, sparse
from partwise.kernels._simd import LANE, lanes_for
from partwise.matrix.problem import RowProblem, symmetric
from partwise.matrix.thin import aligned_zeros, readable, thin_rows
from partwise.utils.threads import run_tasks

__all__ = ["NARROW", "NarrowPanel", "Panel", "SparsePanel", "WidePanel", "make_panel", "stride_for"]

Array = npt.NDArray[Any]

#: Dense data with at most this many columns, and at most as many components, go row by row
#: through one fused kernel; wider data go through BLAS.
NARROW = 64
#: Vectors of the sparse kernels have at most this many lanes; wider thin matrices go in turns.
_MAX_LANES = 8
#: Rows of a block of the sparse layout: a row inside a block is one byte.
_BLOCK = 256
#: Rows of a partial sum of the fused kernel for narrow data.
_LANE_ROWS = 16384
#: Tiles of the products through BLAS.
_TILE_ROWS, _TILE_COLUMNS = 128, 1024
#: Multiplications below which threads cost more than they bring.
_SMALL = 400_000


class Panel(Protocol):
    """What each layout can do. `w` and `out` are flat thin matrices of the panel's own rows."""

    shape: tuple[int, int]

    @property
    def squared_norm(self) -> float:
        """Sum of the squared values, float64."""
        ...

    @property
    def total(self) -> float:
        """Sum of the values, float64."""
        ...

    def sweep(
        self, programs: Array, problem: RowProblem, w: Array, out: Array, n_threads: int
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Solve the rows; add X^T W to `out`; return W^T W, the fit and the unsolved rows."""
        ...

    def multiply(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Write X @ thin to `out`."""
        ...

    def multiply_transposed(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Add X^T @ thin to `out`."""
        ...


def _ranges(size: int, count: int) -> list[tuple[int, int]]:
    """Cut 0..size into at most `count` even ranges."""
    edges = np.linspace(0, size, min(count, size) + 1).astype(np.int64)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def stride_for(kind: str, k: int) -> int:
    """Return the distance between the rows of thin matrices of k columns."""
    if kind != "sparse":
        return k
    width = LANE
    while width < min(k, LANE * _MAX_LANES):
        width *= 2  # LLVM handles widths that are no power of two at half the speed
    return -(-k // width) * width


class SparsePanel:
    """Non-zeros of a CSR matrix in blocks of up to 256 rows, sorted by column in each."""

    def __init__(self, x: sp.csr_matrix, dtype: np.dtype[Any], n_threads: int) -> None:
        n, p = x.shape
        self.shape = (n, p)
        indptr = np.asarray(x.indptr, np.int64)
        count = max(1, -(-n // _BLOCK))
        if count > 1:
            count += -count % 4  # an even load for a few threads
        self._starts = np.linspace(0, n, min(count, n) + 1).astype(np.int64)
        blocks = self._starts.shape[0] - 1
        self._bases = indptr[self._starts[:-1]] - indptr[0]
        nnz = int(indptr[-1] - indptr[0])
        self._colptr = np.empty((blocks, p + 1), np.int32)
        self._rows = np.empty(nnz, np.uint8)
        self._values = aligned_zeros(nnz, dtype)
        indices = np.asarray(x.indices, np.int32)
        data = np.asarray(x.data, dtype)
        fill = partial(sparse.block_csc, indptr, indices, data, self._starts)
        run_tasks(
            n_threads,
            [
                partial(fill, a, b, self._colptr, self._rows, self._values)
                for a, b in _ranges(blocks, 4 * n_threads)
            ],
        )

    @cached_property
    def squared_norm(self) -> float:
        """Sum of the squared values, float64."""
        return float(nnls.dot64(self._values, self._values))

    @cached_property
    def total(self) -> float:
        """Sum of the values, float64."""
        return float(np.sum(self._values, dtype=np.float64))

    def _plan(self, k: int) -> tuple[int, int, tuple[int, ...]]:
        """Return the stride, the number of turns and the lanes of each."""
        stride = stride_for("sparse", k)
        turns = -(-stride // (LANE * _MAX_LANES))
        return stride, turns, lanes_for(stride // turns)

    def _threads(self, k: int, n_threads: int) -> int:
        return 1 if self._values.shape[0] * k < _SMALL else n_threads

    def sweep(
        self, programs: Array, problem: RowProblem, w: Array, out: Array, n_threads: int
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Solve the rows; add X^T W to `out`; return W^T W, the fit and the unsolved rows."""
        k = problem.gram.shape[0]
        stride, turns, lanes = self._plan(k)
        blocks = self._bases.shape[0]
        n_threads = self._threads(k, n_threads)
        grams = np.zeros((blocks, k, k))

        def solve(first: int, last: int) -> tuple[float, int]:
            return sparse.solve_blocks(
                lanes, nnls.ROW_LANES, turns, self._starts, first, last, self._bases, self._colptr,
                self._rows, self._values, programs, stride, k, problem.scaled, problem.inverse,
                problem.shift_low, problem.shift, problem.gram, problem.sweeps, problem.exact,
                w, grams,
            )  # fmt: skip

        # One task a block where rows are solved exactly: the sum of their fits is then in order.
        parts = blocks if problem.exact else 4 * n_threads
        done = run_tasks(n_threads, [partial(solve, a, b) for a, b in _ranges(blocks, parts)])
        self.multiply_transposed(w, k, out, n_threads)
        return symmetric(grams.sum(axis=0)), sum(f for f, _ in done), sum(u for _, u in done)

    def multiply(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Write X @ thin to `out`."""
        stride, turns, lanes = self._plan(k)
        out[:] = 0
        for turn in range(turns):
            task = partial(sparse.gather_blocks, lanes, turn * stride // turns, self._starts)
            rest = (self._bases, self._colptr, self._rows, self._values, thin, stride, out)
            ranges = _ranges(self._bases.shape[0], 4 * n_threads)
            run_tasks(self._threads(k, n_threads), [partial(task, a, b, *rest) for a, b in ranges])

    def multiply_transposed(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Add X^T @ thin to `out`; each tile of columns walks the blocks in order."""
        stride, turns, lanes = self._plan(k)
        n_threads = self._threads(k, n_threads)
        task = partial(
            sparse.scatter_blocks, lanes, turns, self._starts, self._bases, self._colptr,
            self._rows, self._values, thin, stride, out,
        )  # fmt: skip
        run_tasks(n_threads, [partial(task, a, b) for a, b in self._tiles(n_threads)])

    def _tiles(self, n_threads: int) -> list[tuple[int, int]]:
        """Cut the columns into two tiles a thread with as many non-zeros each."""
        if n_threads == 1:
            return [(0, self.shape[1])]
        share = np.linspace(0, self._rows.shape[0], 2 * n_threads + 1)[1:-1]
        edges = [0, *np.searchsorted(self._column_ends, share).tolist(), self.shape[1]]
        return [(a, b) for a, b in pairwise(edges) if a < b]

    @cached_property
    def _column_ends(self) -> npt.NDArray[np.int64]:
        ends: npt.NDArray[np.int64] = self._colptr[:, 1:].sum(axis=0, dtype=np.int64)
        return ends


class _DensePanel:
    """What the two dense layouts share."""

    def __init__(self, x: Array, dtype: np.dtype[Any]) -> None:
        # Rows one after another, each number at an address that is a multiple of its size: BLAS
        # takes other paths, which round otherwise, for other storage.
        self._x = readable(np.require(x, dtype, ["C", "A"]))
        self.shape = (int(x.shape[0]), int(x.shape[1]))

    @cached_property
    def squared_norm(self) -> float:
        """Sum of the squared values, float64."""
        rows = max(1, 2**18 // max(1, self.shape[1]))
        parts = (self._x[i : i + rows].ravel() for i in range(0, self.shape[0], rows))
        return float(sum(nnls.dot64(part, part) for part in parts))

    @cached_property
    def total(self) -> float:
        """Sum of the values, float64."""
        return float(np.sum(self._x, dtype=np.float64))


class NarrowPanel(_DensePanel):
    """Dense rows with few columns, through one fused kernel."""

    def sweep(
        self, programs: Array, problem: RowProblem, w: Array, out: Array, n_threads: int
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Solve the rows; add X^T W to `out`; return W^T W, the fit and the unsolved rows."""
        n, p = self.shape
        k = problem.gram.shape[0]
        edges = _ranges(n, -(-n // _LANE_ROWS))
        grams = np.zeros((len(edges), k, k))
        crosses = np.zeros((len(edges), p * k))

        def solve(lane: int) -> tuple[float, int]:
            first, last = edges[lane]
            return narrow.solve_rows(
                nnls.ROW_LANES, self._x, first, last, programs, problem.scaled, problem.inverse,
                problem.shift_low, problem.shift, problem.gram, problem.sweeps, problem.exact,
                w, grams[lane], crosses[lane],
            )  # fmt: skip

        n_threads = 1 if n * p * k < _SMALL else n_threads
        done = run_tasks(n_threads, [partial(solve, lane) for lane in range(len(edges))])
        out += crosses.sum(axis=0)
        return symmetric(grams.sum(axis=0)), sum(f for f, _ in done), sum(u for _, u in done)

    def multiply(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Write X @ thin to `out`."""
        run_tasks(
            n_threads,
            [
                partial(narrow.multiply_rows, self._x, a, b, thin, k, out)
                for a, b in _ranges(self.shape[0], 4 * n_threads)
            ],
        )

    def multiply64(self, thin: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return X @ thin (p x k), multiplied and summed in float64."""
        parts = _ranges(self.shape[0], -(-self.shape[0] // _LANE_ROWS))
        return np.concatenate([self._x[a:b].astype(np.float64) @ thin for a, b in parts])

    def multiply_transposed(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Add X^T @ thin to `out`."""
        rows = thin.reshape(-1, k)
        for a, b in _ranges(self.shape[0], -(-self.shape[0] // _LANE_ROWS)):
            out.reshape(-1, k)[...] += self._x[a:b].T @ rows[a:b]


class WidePanel(_DensePanel):
    """Dense rows with many columns: products through BLAS, in tiles, one thread in each."""

    def sweep(
        self, programs: Array, problem: RowProblem, w: Array, out: Array, n_threads: int
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Solve the rows; add X^T W to `out`; return W^T W, the fit and the unsolved rows."""
        k = problem.gram.shape[0]
        tiles = _ranges(self.shape[0], -(-self.shape[0] // _TILE_ROWS))
        grams = np.zeros((len(tiles), k, k))

        def solve(tile: int) -> tuple[float, int]:
            first, last = tiles[tile]
            b = (self._x[first:last] @ thin_rows(programs, k, k)).ravel()
            nnls.descend(
                nnls.ROW_LANES, problem.scaled, problem.inverse, problem.shift_low,
                problem.sweeps, b, w, 0, first, last - first, k, k, k, grams[tile],
            )  # fmt: skip
            if not problem.exact:
                return 0.0, 0
            done: tuple[float, int] = nnls.pivot(
                problem.gram, problem.shift, b, w, 0, first, last - first, k, k
            )
            grams[tile] = 0
            nnls.gram(nnls.ROW_LANES, w, first, last - first, k, k, grams[tile])
            return done

        done = run_tasks(n_threads, [partial(solve, tile) for tile in range(len(tiles))])
        self.multiply_transposed(w, k, out, n_threads)
        return symmetric(grams.sum(axis=0)), sum(f for f, _ in done), sum(u for _, u in done)

    def multiply(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Write X @ thin to `out`."""
        rows, columns = thin_rows(out, k, k), thin_rows(thin, k, k)

        def product(first: int, last: int) -> None:
            rows[first:last] = self._x[first:last] @ columns

        tiles = _ranges(self.shape[0], -(-self.shape[0] // _TILE_ROWS))
        run_tasks(n_threads, [partial(product, a, b) for a, b in tiles])

    def multiply_transposed(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Add X^T @ thin to `out`."""
        rows, columns = thin_rows(thin, k, k), thin_rows(out, k, k)

        def product(first: int, last: int) -> None:
            columns[first:last] += self._x[:, first:last].T @ rows

        tiles = _ranges(self.shape[1], -(-self.shape[1] // _TILE_COLUMNS))
        run_tasks(n_threads, [partial(product, a, b) for a, b in tiles])


def make_panel(x: Any, kind: str, dtype: np.dtype[Any], n_threads: int) -> Panel:
    """Return the panel of one kind ("sparse", "narrow", "wide") for a block of rows."""
    if kind == "sparse":
        return SparsePanel(x, dtype, n_threads)
    return NarrowPanel(x, dtype) if kind == "narrow" else WidePanel(x, dtype)
