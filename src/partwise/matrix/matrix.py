"""The data of a fit, behind the few verbs that a factorization needs.

The rows are cut into panels by shape alone. In memory the panels are made once; from a block
source each pass reads, re-blocks and lays them out anew, with the next one being read meanwhile.
Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.matrix.held import HeldPanel
from partwise.matrix.levels import even_levels, factors_of
from partwise.matrix.masks import Hidden, Listed, Source, balanced, none_of, without_hidden
from partwise.matrix.panels import NARROW, Panel, make_panel, stride_for
from partwise.matrix.problem import RowProblem, Statistics
from partwise.matrix.rows import rows_between
from partwise.matrix.signed import EXACT_STEPS, least_squares, ridge_inverse
from partwise.matrix.sources import BlockSource
from partwise.matrix.thin import aligned_zeros
from partwise.utils.threads import run_tasks

__all__ = ["DataMatrix"]

Array = npt.NDArray[Any]

#: A panel holds at most this many cells of the matrix, zeros included.
_SPARSE_ROWS = 2**17
#: Rows of each run of a sample.
_RUN = 256
#: Cells whose residual is formed at a time.
_RESIDUAL_CELLS = 2**19
#: Rows of one task of a least-squares solve.
_SIGNED_ROWS = 4096
_CELLS = {"sparse": 2**26, "narrow": 2**24, "wide": 2**24}


def _panel_edges(n: int, p: int, kind: str) -> list[int]:
    """Return the first rows of the panels, and n; whole blocks of 256 rows but for the last."""
    most = max(256, _CELLS[kind] // max(1, p) // 256 * 256)
    if kind == "sparse":  # X^T W is summed in the type of the data within a panel
        most = min(most, _SPARSE_ROWS)
    count = max(1, -(-n // most))
    rows = max(1, -(-n // count))
    rows = -(-rows // 256) * 256
    return [*range(0, n, rows), n]


class _Moments(NamedTuple):
    """What one look at all data says of them."""

    squared_norm: float
    total: float
    deficit: float
    unseen_rows: npt.NDArray[np.bool_]
    unseen_columns: npt.NDArray[np.bool_]
    column_factors: npt.NDArray[np.float64]


class DataMatrix:
    """A matrix of observations x features that a solver can sweep over.

    Parameters
    ----------
    x
        Dense array, CSR matrix, or block source; validated before.
    k
        Number of components; with the shape it decides the layout of dense data.
    dtype
        Type of the data and the factors.
    n_threads
        Threads for each pass.
    hidden
        Which entries are hidden or count less; NaN is hidden in any case. All sums are then over
        the observed entries, by weight.
    """

    def __init__(
        self,
        x: Any,
        k: int,
        *,
        dtype: np.dtype[Any],
        n_threads: int,
        hidden: Source | None = None,
    ) -> None:
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self.dtype = np.dtype(dtype)
        self.n_threads = n_threads
        #: These are the data of the user times 2^-exponent.
        self.exponent = 0
        self._x = x
        self._hidden = Hidden() if hidden is None else hidden
        self._streamed = not (sp.issparse(x) or isinstance(x, np.ndarray))
        self.kind = self._kind(k)
        self._edges = _panel_edges(*self.shape, self.kind)
        self._kept: list[Panel | HeldPanel] | None = None
        if not self._streamed:
            self._kept = [
                self._panel(rows_between(x, a, b) if len(self._edges) > 2 else x, a)
                for a, b in zip(self._edges[:-1], self._edges[1:], strict=True)
            ]

    def _panel(self, block: Any, start: int) -> Panel | HeldPanel:
        """Lay out a block of rows."""
        deficits = self._hidden.of(block, start, n_threads=self.n_threads)
        if deficits is None:
            return make_panel(block, self.kind, self.dtype, self.n_threads)
        seen, excess = without_hidden(block, deficits)
        inner = make_panel(seen, self.kind, self.dtype, self.n_threads)
        return HeldPanel(inner, self.kind, deficits, excess, self.dtype, self.n_threads)

    def sample(self, rows: int, k: int) -> DataMatrix:
        """Return about `rows` rows in memory: runs of 256, evenly spread over the data."""
        n = self.shape[0]
        runs = max(1, rows // _RUN)
        starts = np.linspace(0, n - _RUN, runs).astype(np.int64)
        parts = [self._rows(int(a), int(a) + _RUN) for a in starts]
        hidden = [self._hidden.of(part, int(a)) for part, a in zip(parts, starts, strict=True)]
        x = sp.vstack(parts, "csr") if self.kind == "sparse" else np.concatenate(parts)
        listed = Listed([none_of(_RUN) if part is None else part for part in hidden])
        return DataMatrix(x, k, dtype=self.dtype, n_threads=self.n_threads, hidden=listed)

    def _kind(self, k: int) -> str:
        probe = next(iter(self._x.blocks(0, 1)))[1] if self._streamed else self._x
        if sp.issparse(probe):
            return "sparse"
        return "narrow" if self.shape[1] <= NARROW and k <= NARROW else "wide"

    def stride(self, k: int) -> int:
        """Return the distance between the rows of thin matrices of k columns."""
        return stride_for(self.kind, k)

    def thin(self, rows: int, k: int, values: Array | None = None) -> Array:
        """Return a flat thin matrix of `rows` rows, zero or with the given values (rows x k)."""
        stride = self.stride(k)
        flat = aligned_zeros(rows * stride, self.dtype)
        if values is not None:
            flat.reshape(rows, stride)[:, :k] = values
        return flat

    def panels(self) -> Iterator[tuple[int, Panel | HeldPanel]]:
        """Yield (first row, panel)."""
        if self._kept is not None:
            yield from zip(self._edges[:-1], self._kept, strict=True)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="partwise-read") as reader:
            bounds = list(zip(self._edges[:-1], self._edges[1:], strict=True))
            ahead = reader.submit(self._read, *bounds[0])
            for i, (start, _) in enumerate(bounds):
                block = ahead.result()
                if i + 1 < len(bounds):
                    ahead = reader.submit(self._read, *bounds[i + 1])
                yield start, self._panel(block, start)

    def _rows(self, start: int, stop: int) -> Any:
        """Return rows start..stop of the data, wherever they are."""
        if self._streamed:
            return self._read(start, stop)
        return rows_between(self._x, start, stop)

    def _read(self, start: int, stop: int) -> Any:
        """Return rows start..stop of the source as one block."""
        source: BlockSource = self._x
        if self.kind == "sparse":
            blocks = [block for _, block in source.blocks(start, stop)]
            return blocks[0] if len(blocks) == 1 else sp.vstack(blocks, "csr")
        rows: Array | None = None
        for first, block in source.blocks(start, stop):
            if block.shape[0] == stop - start:
                return block
            if rows is None:
                rows = np.empty((stop - start, block.shape[1]), block.dtype)
            rows[first - start : first - start + block.shape[0]] = block
        return rows

    @cached_property
    def _moments(self) -> _Moments:
        n, p = self.shape
        norms, totals, deficit, largest = 0.0, 0.0, 0.0, 0.0
        rows, hidden, weights = np.zeros(n, bool), np.zeros(p, np.int64), np.zeros(p)
        for start, panel in self.panels():
            norms += panel.squared_norm
            totals += panel.total
            if isinstance(panel, HeldPanel):
                deficit += panel.deficit
                rows[start : start + panel.shape[0]] = panel.unseen_rows
                hidden += panel.hidden_of_column
                levels = panel.levels
            else:
                levels = even_levels(panel.shape[0], p)
            largest += float(levels.largest.sum())
            weights += levels.columns
        factors = factors_of(weights / max(largest, np.finfo(float).tiny), np.ones(p))
        return _Moments(norms, totals, deficit, rows, hidden == n, factors)

    @property
    def squared_norm(self) -> float:
        """||X||^2 over the observed entries, float64."""
        return self._moments.squared_norm

    @property
    def mean(self) -> float:
        """Mean of the observed entries, zeros included."""
        return self._moments.total / max(self.observed, np.finfo(float).tiny)

    @property
    def observed(self) -> float:
        """How many entries are observed; a weighted entry counts for its weight."""
        return self.shape[0] * self.shape[1] - self._moments.deficit

    @property
    def unseen(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """The rows and the columns all of whose entries are hidden."""
        return self._moments.unseen_rows, self._moments.unseen_columns

    @property
    def column_factors(self) -> npt.NDArray[np.float64]:
        """By how much longer the steps of the programs of each column may be."""
        return self._moments.column_factors

    def sweep(self, programs: Array, problem: RowProblem, usage: Array) -> Statistics:
        """Solve the rows of `usage` given `programs` (p rows), in place; one pass over the data."""
        k = problem.gram.shape[0]
        stride = self.stride(k)
        gram = np.zeros((k, k))
        fit, unsolved, fill = 0.0, 0, 0.0
        unseen = 0
        filled: Array | None = None
        # The fused kernel for narrow data sums in float64 itself; other panels add to an array of
        # the data's type, and several of them are summed in float64.
        narrow = self.kind == "narrow"
        several = len(self._edges) > 2 and not narrow
        out = np.zeros(self.shape[1] * stride) if narrow else self.thin(self.shape[1], k)
        sums = np.zeros(out.shape[0]) if several else out
        for start, panel in self.panels():
            rows = usage[start * stride : (start + panel.shape[0]) * stride]
            if isinstance(panel, HeldPanel):
                held = panel.sweep(programs, problem, rows, out, self.n_threads)
                part, more, left = held.gram, held.fit, held.unsolved
                fill += held.fill
                unseen += int(panel.unseen_rows.sum())
                filled = held.filled.astype(np.float64) if filled is None else filled + held.filled
            elif problem.signed:
                part, more, left = self._sweep_signed(panel, programs, problem, rows, out)
            else:
                part, more, left = panel.sweep(programs, problem, rows, out, self.n_threads)
                # At the solution (G + ridge) w = b - shift wherever w > 0.
                more += float(problem.ridge @ np.diag(part))
            gram += part
            fit += more
            unsolved += left
            if several:
                sums += out
                out[:] = 0
        if filled is None:
            return Statistics(gram, sums, fit, unsolved)
        return Statistics(
            gram, (sums + filled).astype(sums.dtype), fit, unsolved, fill, sums, unseen
        )

    def _sweep_signed(
        self, panel: Panel, programs: Array, problem: RowProblem, rows: Array, out: Array
    ) -> tuple[npt.NDArray[np.float64], float, int]:
        """Do what `panel.sweep` does for rows that may be negative."""
        k = problem.gram.shape[0]
        if problem.exact:
            rows[:] = 0  # so that the solution depends on nothing but the data and the programs
        right = self.thin(panel.shape[0], k)
        panel.multiply(programs, k, right, self.n_threads)
        b, w = (flat.reshape(-1, self.stride(k))[:, :k] for flat in (right, rows))
        inverse = ridge_inverse(problem.gram, self.dtype)
        steps = EXACT_STEPS if problem.exact else 1

        def solve(start: int) -> tuple[npt.NDArray[np.float64], float]:
            tile = slice(start, start + _SIGNED_ROWS)
            stored = least_squares(problem.gram, inverse, b[tile], w[tile], steps=steps)
            gain = np.sum((2.0 * b[tile] - stored @ problem.gram) * stored)
            return stored.T @ stored, float(gain)

        tasks = [partial(solve, start) for start in range(0, panel.shape[0], _SIGNED_ROWS)]
        done = run_tasks(self.n_threads, tasks)
        panel.multiply_transposed(rows, k, out, self.n_threads)
        gram: npt.NDArray[np.float64] = np.sum([part for part, _ in done], axis=0)
        return gram, sum(gain for _, gain in done), 0

    def residual(self, usage: Array, programs: Array, k: int) -> float:
        """Return ||X - usage @ programs||^2 over observed entries, one by one in float64."""
        stride = self.stride(k)
        n, p = self.shape
        h = programs.reshape(p, stride)[:, :k].T.astype(np.float64)
        rows = max(1, _RESIDUAL_CELLS // p)

        def part(start: int) -> float:
            stop = min(n, start + rows)
            x = self._rows(start, stop)
            w = usage[start * stride : stop * stride].reshape(-1, stride)[:, :k]
            y = w.astype(np.float64) @ h
            deficits = self._hidden.of(x, start)
            if deficits is not None:
                x, root = balanced(x, deficits)
                y *= root
            gap = (x.toarray() if sp.issparse(x) else x) - y
            return float(np.sum(gap * gap))

        tasks = [partial(part, start) for start in range(0, n, rows)]
        return float(sum(run_tasks(1 if self._streamed else self.n_threads, tasks)))

    def multiply(self, thin: Array, k: int) -> Array:
        """Return X @ thin; both flat."""
        stride = self.stride(k)
        out = self.thin(self.shape[0], k)
        for start, panel in self.panels():
            rows = out[start * stride : (start + panel.shape[0]) * stride]
            panel.multiply(thin, k, rows, self.n_threads)
        return out

    def products(self, thin: Array, k: int) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows of X @ thin), flat, in an array that is used again."""
        stride = self.stride(k)
        most = max(b - a for a, b in pairwise(self._edges))
        out = aligned_zeros(most * stride, self.dtype)
        for start, panel in self.panels():
            rows = out[: panel.shape[0] * stride]
            rows[:] = 0
            panel.multiply(thin, k, rows, self.n_threads)
            yield start, rows

    def multiply_normal(self, thin: Array, k: int) -> Array:
        """Return X^T @ (X @ thin), both flat, in one pass over the data."""
        stride = self.stride(k)
        out = self.thin(self.shape[1], k)
        for _, panel in self.panels():
            rows = aligned_zeros(panel.shape[0] * stride, self.dtype)
            panel.multiply(thin, k, rows, self.n_threads)
            panel.multiply_transposed(rows, k, out, self.n_threads)
        return out

    def multiply_transposed(self, thin: Array, k: int) -> Array:
        """Return X^T @ thin; both flat."""
        stride = self.stride(k)
        out = self.thin(self.shape[1], k)
        for start, panel in self.panels():
            rows = thin[start * stride : (start + panel.shape[0]) * stride]
            panel.multiply_transposed(rows, k, out, self.n_threads)
        return out
