"""A panel some of whose entries are hidden or count less than others."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from partwise.kernels import held, held_rows, nnls, sparse
from partwise.kernels._simd import LANE, lanes_for
from partwise.matrix.levels import levels_of
from partwise.matrix.masks import Deficits
from partwise.matrix.panels import _BLOCK, _MAX_LANES, NarrowPanel, Panel, _ranges, stride_for
from partwise.matrix.problem import RowProblem, symmetric
from partwise.matrix.signed import RIDGE, least_squares, ridge_inverse
from partwise.matrix.thin import aligned_zeros
from partwise.utils.threads import run_tasks

__all__ = ["HeldPanel", "HeldSums"]

Array = npt.NDArray[Any]

#: Blocks whose fills are summed in the type of the data.
_GROUP = 64
#: Multiplications below which threads cost more than they bring.
_SMALL = 400_000


class HeldSums(NamedTuple):
    """What a sweep over a panel with hidden entries leaves behind.

    Attributes
    ----------
    gram
        W^T W.
    fit
        By how much exact rows lower twice the objective.
    unsolved
        Rows whose exact solution was not found.
    fill
        Sum of d (w h)^2.
    filled
        (d * (W H))^T W, p rows of `stride`.
    """

    gram: npt.NDArray[np.float64]
    fit: float
    unsolved: int
    fill: float
    filled: Array


class HeldPanel:
    """A panel of the weighted data, hidden entries zero, and the deficits of its entries.

    The rows minimise sum w (x - y)^2 by way of sum (w x + d y0 - y)^2, d = 1 - w, which lies above
    it and touches it at y = y0, the product as it was before: so rows share one Gram matrix.
    Exact rows have a Gram matrix each.

    Parameters
    ----------
    inner
        Panel of the weighted data.
    kind
        Its kind.
    deficits
        Of its entries.
    excess
        Sum of w x^2 - (w x)^2.
    dtype, n_threads
        As for panels.
    """

    def __init__(
        self,
        inner: Panel,
        kind: str,
        deficits: Deficits,
        excess: float,
        dtype: np.dtype[Any],
        n_threads: int,
    ) -> None:
        self.shape = inner.shape
        self.squared_norm = inner.squared_norm + excess
        self.total = inner.total
        self._inner = inner
        self._kind = kind
        self._dtype = dtype
        self._lay_out(deficits, n_threads)
        n, p = inner.shape
        hidden = np.ones(deficits.columns.size, bool)
        self.deficit = float(deficits.columns.size)
        if deficits.values is not None:
            hidden = deficits.values == 1
            self.deficit = float(np.sum(deficits.values, dtype=np.float64))
        rows = np.repeat(np.arange(n), np.diff(deficits.indptr))
        #: rows without any observed entry, and how many entries of each column are hidden
        self.unseen_rows = np.bincount(rows[hidden], minlength=n) == p
        self.hidden_of_column = np.bincount(deficits.columns[hidden], minlength=p)
        self.levels = levels_of(deficits, rows, self.shape)
        self._longer = self.levels.row_factors.astype(dtype)
        self._uneven = bool((self.levels.largest < 1).any())

    def _lay_out(self, deficits: Deficits, n_threads: int) -> None:
        """Sort the deficits by column in blocks of rows."""
        n, p = self.shape
        count = max(1, -(-n // _BLOCK))
        if count > 1:
            count += -count % 4
        self._starts = np.linspace(0, n, min(count, n) + 1).astype(np.int64)
        blocks = self._starts.shape[0] - 1
        size = deficits.columns.size
        self._bases = deficits.indptr[self._starts[:-1]].copy()
        self._colptr = np.empty((blocks, p + 1), np.int32)
        self._rows = np.empty(size, np.uint8)
        self._weighted = deficits.values is not None
        given = np.ones(size, self._dtype) if deficits.values is None else deficits.values
        values = np.empty(size, self._dtype)
        fill = partial(sparse.block_csc, deficits.indptr, deficits.columns, given, self._starts)
        run_tasks(
            n_threads,
            [
                partial(fill, a, b, self._colptr, self._rows, values)
                for a, b in _ranges(blocks, 4 * n_threads)
            ],
        )
        self._values = values if self._weighted else np.empty(0, self._dtype)

    def _plan(self, k: int) -> tuple[int, int, tuple[int, ...]]:
        """Return the stride, the number of turns and the lanes of each."""
        stride = stride_for("sparse", k)
        turns = -(-stride // (LANE * _MAX_LANES))
        return stride, turns, lanes_for(stride // turns)

    def _layout(self) -> tuple[Array, Array, Array, Array, bool]:
        return self._bases, self._colptr, self._rows, self._values, self._weighted

    def _threads(self, k: int, n_threads: int) -> int:
        n, p = self.shape
        return 1 if min(self._rows.shape[0], n * p) * k < _SMALL else n_threads

    def sweep(
        self, programs: Array, problem: RowProblem, w: Array, out: Array, n_threads: int
    ) -> HeldSums:
        """Solve the rows; add (weight * X)^T W to `out`."""
        k = problem.gram.shape[0]
        stride = stride_for(self._kind, k)
        b = aligned_zeros(self.shape[0] * stride, self._dtype)
        self._inner.multiply(programs, k, b, n_threads)
        padded = self._padded(programs, stride, k)
        fit, unsolved = 0.0, 0
        if problem.signed and not problem.exact:
            grams = self._solve_signed(problem, padded, b, w, stride, n_threads)
        elif not problem.signed:
            grams = self._solve(problem, padded, b, w, stride, n_threads)
        if problem.exact:
            grams, fit, unsolved = self._solve_exactly(problem, programs, b, w, stride, n_threads)
        self._inner.multiply_transposed(w, k, out, n_threads)
        fill, filled = self._fill(padded, w, stride, k, n_threads)
        gram = symmetric(grams.sum(axis=0))
        if problem.longer and self._uneven:
            thin = programs.reshape(-1, stride)[:, :k].astype(np.float64)
            less = self._weighted_gram(w, stride, k, n_threads) - gram
            filled.reshape(-1, stride)[:, :k] += thin @ less
            fill += float(np.sum(less * (thin.T @ thin)))
            gram += less
        return HeldSums(gram, fit, unsolved, fill, filled)

    def multiply(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Write (weight * X) @ thin to `out`."""
        self._inner.multiply(thin, k, out, n_threads)

    def multiply_transposed(self, thin: Array, k: int, out: Array, n_threads: int) -> None:
        """Add (weight * X)^T @ thin to `out`."""
        self._inner.multiply_transposed(thin, k, out, n_threads)

    def _weighted_gram(
        self, w: Array, stride: int, k: int, n_threads: int
    ) -> npt.NDArray[np.float64]:
        """Return W^T R W, with the largest weight of each row in R."""
        root = np.sqrt(self.levels.largest).astype(self._dtype)
        scaled = (w.reshape(-1, stride) * root[:, None]).ravel()
        grams = np.zeros((self._bases.shape[0], k, k))

        def add(block: int) -> None:
            first, last = int(self._starts[block]), int(self._starts[block + 1])
            nnls.gram(nnls.ROW_LANES, scaled, first, last - first, k, stride, grams[block])

        run_tasks(n_threads, [partial(add, block) for block in range(grams.shape[0])])
        return symmetric(grams.sum(axis=0))

    def _padded(self, programs: Array, stride: int, k: int) -> Array:
        """Return the programs with rows as wide as the kernels read."""
        wide = self._plan(k)[0]
        if wide == stride:
            return programs
        flat = aligned_zeros(self.shape[1] * wide, self._dtype)
        flat.reshape(-1, wide)[:, :k] = programs.reshape(-1, stride)[:, :k]
        return flat

    def _solve(
        self,
        problem: RowProblem,
        padded: Array,
        b: Array,
        w: Array,
        stride: int,
        n_threads: int,
    ) -> Array:
        """Fill and sweep the rows; return the Gram matrices of the blocks."""
        k = problem.gram.shape[0]
        wide, turns, lanes = self._plan(k)
        blocks = self._bases.shape[0]
        grams = np.zeros((blocks, k, k))
        gram = problem.gram.astype(self._dtype)
        factors = self._longer if problem.longer and not problem.exact else self._longer[:0]

        def solve(first: int, last: int) -> None:
            held.solve_held(
                lanes, nnls.ROW_LANES, turns, self._starts, first, last, *self._layout(), padded,
                wide, k, problem.scaled, problem.inverse, problem.shift_low, problem.sweeps,
                gram, factors, b, w, stride, grams,
            )  # fmt: skip

        tasks = [partial(solve, a, e) for a, e in _ranges(blocks, 4 * n_threads)]
        run_tasks(self._threads(k, n_threads), tasks)
        return grams

    def _solve_signed(
        self,
        problem: RowProblem,
        padded: Array,
        b: Array,
        w: Array,
        stride: int,
        n_threads: int,
    ) -> Array:
        """Fill the rows and solve them by least squares; return the Gram matrices of the blocks."""
        k = problem.gram.shape[0]
        wide, turns, lanes = self._plan(k)
        grams = np.zeros((self._bases.shape[0], k, k))
        gram = problem.gram.astype(self._dtype)
        inverse = ridge_inverse(problem.gram, self._dtype)
        factors = self._longer if problem.longer else self._longer[:0]

        def solve(block: int) -> None:
            held.fill_blocks(
                lanes, turns, self._starts, block, block + 1, *self._layout(), padded, wide, k,
                gram, factors, b, w, stride,
            )  # fmt: skip
            rows = slice(int(self._starts[block]), int(self._starts[block + 1]))
            right, left = (flat.reshape(-1, stride)[rows, :k] for flat in (b, w))
            stored = least_squares(problem.gram, inverse, right, left, steps=1)
            grams[block] = stored.T @ stored

        run_tasks(n_threads, [partial(solve, block) for block in range(grams.shape[0])])
        return grams

    def _solve_exactly(
        self,
        problem: RowProblem,
        programs: Array,
        b: Array,
        w: Array,
        stride: int,
        n_threads: int,
    ) -> tuple[Array, float, int]:
        """Solve each row with its own Gram matrix, from the support that it has."""
        k = problem.gram.shape[0]
        thin = np.ascontiguousarray(programs.reshape(-1, stride)[:, :k].astype(np.float64))
        gram = thin.T @ thin
        penalty, share = _penalty(problem, gram)
        if problem.signed:
            share = RIDGE[self._dtype.name]
        stride_b = stride
        if isinstance(self._inner, NarrowPanel):
            # In float64, for programs that are linearly dependent, as with fewer features than
            # components: see the kernel of this layout.
            b, stride_b = self._inner.multiply64(thin).ravel(), k
        grams = np.zeros((self._bases.shape[0], k, k))
        # one kernel, in float64, serves factors of either type
        b, exact = b.astype(np.float64, copy=False), w.astype(np.float64)
        deficits = self._values.astype(np.float64, copy=False)

        def solve(block: int) -> tuple[float, int]:
            done: tuple[float, int] = held_rows.solve_exactly(
                self._starts, block, block + 1, self._bases, self._colptr, self._rows, deficits,
                self._weighted, thin, gram, penalty, share, problem.signed, problem.shift,
                b, stride_b, exact, stride,
            )  # fmt: skip
            first, last = int(self._starts[block]), int(self._starts[block + 1])
            w[first * stride : last * stride] = exact[first * stride : last * stride]
            nnls.gram(nnls.ROW_LANES, w, first, last - first, k, stride, grams[block])
            return done

        done = run_tasks(n_threads, [partial(solve, block) for block in range(grams.shape[0])])
        return grams, sum(f for f, _ in done), sum(u for _, u in done)

    def _fill(
        self, padded: Array, w: Array, stride: int, k: int, n_threads: int
    ) -> tuple[float, Array]:
        """Return sum of d (w h)^2 and (d * (W H))^T W; columns are divided, blocks in order."""
        wide, turns, lanes = self._plan(k)
        p = self.shape[1]
        blocks = self._bases.shape[0]
        n_threads = self._threads(k, n_threads)
        sums = np.zeros(p)
        several = blocks > _GROUP
        out = aligned_zeros(p * wide, self._dtype)
        total = np.zeros(p * wide) if several else out
        for begin in range(0, blocks, _GROUP):
            end = min(blocks, begin + _GROUP)
            task = partial(
                held.scatter_fills, lanes, turns, self._starts, begin, end, *self._layout(),
                padded, wide, k, w, stride, out, sums,
            )  # fmt: skip
            parts = 1 if n_threads == 1 else 2 * n_threads
            run_tasks(n_threads, [partial(task, a, e) for a, e in _ranges(p, parts)])
            if several:
                total += out
                out[:] = 0
        filled = total.reshape(p, wide)[:, :k]
        if wide != stride:
            return float(sums.sum()), np.ascontiguousarray(filled).ravel()
        return float(sums.sum()), total


def _penalty(problem: RowProblem, gram: Array) -> tuple[Array, float]:
    """Return what penalties added to the Gram matrix, and the share of the ridge."""
    added = np.diag(problem.ridge)
    penalty = problem.gram - added - gram
    size = np.sqrt(np.outer(np.diag(problem.gram), np.diag(problem.gram)))
    penalty[np.abs(penalty) <= 1e-12 * size] = 0.0
    diagonal = np.diag(problem.gram) - problem.ridge
    alive = diagonal > 0
    share = float(np.max(problem.ridge[alive] / diagonal[alive])) if alive.any() else 0.0
    return np.ascontiguousarray(penalty), share
