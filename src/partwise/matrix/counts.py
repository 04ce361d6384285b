"""Sparse counts by rows and by columns, for the Kullback-Leibler loss.

Both factors are solved row by row of their own, from the non-zeros alone; so the data are held
twice, as CSR and as the CSR of the transpose. From a block source the rows come panel by panel,
and only the sums that a multiplicative step needs are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.kernels import kl
from partwise.kernels._simd import LANE
from partwise.kernels.kl_project import project_rows
from partwise.matrix.masks import Source, without_hidden
from partwise.matrix.sources import BlockSource
from partwise.matrix.thin import aligned_zeros, readable, thin_rows
from partwise.utils.threads import run_tasks

__all__ = ["CountMatrix", "CountStream", "Terms", "stride_of"]

Array = npt.NDArray[Any]

#: Non-zeros times components below which threads cost more than they bring.
_SMALL = 200_000
#: A panel of a stream has at most so many cells, zeros included, and rows.
_PANEL_CELLS, _PANEL_ROWS = 2**26, 2**15
#: Most rounds in which row and column effects of the rank-one model are fitted to each other, and
#: the share of the deviance by which a round must lower it to be followed by another.
_ROUNDS, _STILL = 300, 1e-5
#: Rows of each run of a sample.
_RUN = 256


def stride_of(k: int) -> int:
    """Return the distance between the rows of thin matrices of k columns."""
    return -(-k // LANE) * LANE


@dataclass(frozen=True)
class Terms:
    """What is added to the likelihood of each row w of a factor: l1 w / s + l2/2 ||w / s||^2.

    Attributes
    ----------
    l1, l2
        Weights per component, k.
    scale
        s, one number per row: the row's size factor, 1 where there is none.
    """

    l1: npt.NDArray[np.float64]
    l2: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]


class _Side:
    """Counts in rows, and what each row leaves out of the sums."""

    def __init__(self, x: sp.csr_matrix, deficits: sp.csr_matrix | None, dtype: Any) -> None:
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self._indptr = np.asarray(x.indptr, np.int64)
        self._indices = readable(np.require(x.indices, np.int32, ["C", "A"]))
        self._data = readable(np.require(x.data, dtype, ["C", "A"]))
        self._deficits = deficits
        self._none = np.zeros(0, dtype)

    def _run(self, work: Any, k: int, n_threads: int) -> list[Any]:
        """Call work(first, last) for ranges of rows with as many non-zeros each."""
        rows, nnz = self.shape[0], int(self._indptr[-1])
        if nnz * k < _SMALL:
            n_threads = 1
        # a row without non-zeros costs something too
        cost = self._indptr + 8 * np.arange(rows + 1)
        marks = np.linspace(0, cost[-1], 8 * n_threads + 1)[1:-1]
        edges = np.unique([0, *np.searchsorted(cost, marks).tolist(), rows])
        return run_tasks(n_threads, [partial(work, int(a), int(b)) for a, b in pairwise(edges)])

    def hidden(self, other: Array, k: int) -> Array:
        """Return what hidden entries add to the sums of each row: deficits @ other, flat."""
        if self._deficits is None:
            return self._none
        stride = stride_of(k)
        out = np.zeros((self.shape[0], stride), self._data.dtype)
        out[:, :k] = self._deficits @ thin_rows(other, stride, k)
        return out.ravel()

    def _sums(self, other: Array, k: int) -> npt.NDArray[np.float64]:
        sums: npt.NDArray[np.float64] = thin_rows(other, stride_of(k), k).sum(0, dtype=np.float64)
        return sums

    def solve(
        self, other: Array, k: int, terms: Terms, factor: Array, *, sweeps: int, safe: bool,
        measure: bool, n_threads: int,
    ) -> float:  # fmt: skip
        """Sweep over the rows of `factor`, in place; return sum x log(w h) where measured."""
        value = np.zeros(self.shape[0])
        sums, hidden = self._sums(other, k), self.hidden(other, k)

        def work(first: int, last: int) -> None:
            kl.solve_rows(
                kl.TILE, self._indptr, self._indices, self._data, first, last, other,
                stride_of(k), k, sums, hidden, terms.l1, terms.l2, terms.scale, sweeps, safe,
                measure, factor, value,
            )  # fmt: skip

        self._run(work, k, n_threads)
        return float(value.sum())

    def project(
        self, other: Array, k: int, terms: Terms, factor: Array, *, most: int, precision: float,
        n_threads: int,
    ) -> tuple[float, int]:  # fmt: skip
        """Minimise over the rows of `factor`; return sum x log(w h) and the rows unsolved."""
        value = np.zeros(self.shape[0])
        sums, hidden = self._sums(other, k), self.hidden(other, k)

        def work(first: int, last: int) -> int:
            return project_rows(
                kl.TILE, self._indptr, self._indices, self._data, first, last, other,
                stride_of(k), k, sums, hidden, terms.l1, terms.l2, terms.scale, most, precision,
                factor, value,
            )  # fmt: skip

        unsolved = sum(self._run(work, k, n_threads))
        return float(value.sum()), unsolved

    def shares(self, other: Array, k: int, factor: Array, n_threads: int) -> tuple[Array, float]:
        """Return N = sum_q x_q h_q / (w h_q) of each row, flat, and sum x log(w h)."""
        value = np.zeros(self.shape[0])
        out = np.zeros(self.shape[0] * stride_of(k), self._data.dtype)

        def work(first: int, last: int) -> None:
            kl.share_rows(
                kl.TILE, self._indptr, self._indices, self._data, first, last, other,
                stride_of(k), k, factor, out, value,
            )  # fmt: skip

        self._run(work, k, n_threads)
        return out, float(value.sum())


class _Counts:
    """What counts in memory and counts on disk share."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    n_threads: int
    total: float
    nonzeros: int
    constant: float
    seen: float
    rows_hidden: npt.NDArray[np.bool_]
    hidden_in_columns: npt.NDArray[np.int64]
    row_totals: npt.NDArray[np.float64]
    column_totals: npt.NDArray[np.float64]

    def stride(self, k: int) -> int:
        """Return the distance between the rows of thin matrices of k columns."""
        return stride_of(k)

    def thin(self, rows: int, k: int, values: Array | None = None) -> Array:
        """Return a flat thin matrix of `rows` rows, zero or with the given values (rows x k)."""
        flat = aligned_zeros(rows * stride_of(k), self.dtype)
        if values is not None:
            flat.reshape(rows, -1)[:, :k] = values
        return flat

    @property
    def unseen(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which rows and which columns are hidden as a whole."""
        return self.rows_hidden, self.hidden_in_columns == self.shape[0]

    def independent(self) -> float:
        """Return the deviance of the best rank-one model, row totals times column totals.

        Hidden entries are taken to be spread evenly.
        """
        logs = _entropy(self.row_totals) + _entropy(self.column_totals) - _entropy(self.total)
        if self.seen > 0:
            logs -= self.total * float(np.log(self.seen))
        return self._null(self.constant + self.total - logs)

    def _null(self, deviance: float) -> float:
        """Return a deviance, or the rounding error of its sums: a fit of rank one has no less."""
        return max(deviance, 16.0 * float(np.finfo(self.dtype).eps) * self.total)


class CountMatrix(_Counts):
    """Counts in memory, by rows and by columns.

    Parameters
    ----------
    x
        Dense array or CSR matrix, n x p, non-negative where it is seen; validated before.
    dtype
        Type of the data and the factors.
    n_threads
        Threads for each pass.
    hidden
        Which entries are hidden or count less.
    start
        Row of the whole data that row 0 of `x` is.

    Attributes
    ----------
    rows, columns
        The two sides.
    total, nonzeros
        Sum and number of the counts above zero.
    row_totals, column_totals
        Sums of the rows and the columns, float64.
    constant
        sum x log x - x.
    seen
        Share of the entries that count, by their weights.
    rows_hidden, hidden_in_columns
        Which rows are hidden as a whole; how many entries of each column are.
    """

    def __init__(
        self,
        x: Any,
        *,
        dtype: np.dtype[Any],
        n_threads: int,
        hidden: Source | None = None,
        start: int = 0,
    ) -> None:
        self.shape = (int(x.shape[0]), int(x.shape[1]))
        self.dtype = np.dtype(dtype)
        self.n_threads = n_threads
        self._rank_one: float | None = None
        deficits = None if hidden is None else hidden.of(x, start, n_threads=n_threads)
        self.deficits, across = None, None
        if deficits is not None:
            x, _ = without_hidden(x, deficits)
            ones = np.ones(deficits.columns.shape[0], self.dtype)
            values = ones if deficits.values is None else deficits.values
            parts = (values, deficits.columns, deficits.indptr)
            self.deficits = sp.csr_matrix(parts, shape=self.shape)
            across = self.deficits.T.tocsr()
        x = _canonical(x)
        self.rows = _Side(x, self.deficits, self.dtype)
        self.columns = _Side(x.T.tocsr(), across, self.dtype)
        data = x.data.astype(np.float64)
        self.total = float(data.sum())
        self.nonzeros = int(data.shape[0])
        self.row_totals = np.asarray(x.sum(axis=1, dtype=np.float64)).ravel()
        self.column_totals = np.asarray(x.sum(axis=0, dtype=np.float64)).ravel()
        self.constant = float(np.sum(data * np.log(data)) - data.sum())
        cells = max(1, self.shape[0] * self.shape[1])
        self.seen = 1.0
        self.rows_hidden = np.zeros(self.shape[0], bool)
        self.hidden_in_columns = np.zeros(self.shape[1], np.int64)
        if self.deficits is not None:
            whole = self.deficits == 1
            self.rows_hidden = np.diff(whole.indptr) == self.shape[1]
            self.hidden_in_columns += np.bincount(whole.indices, minlength=self.shape[1])
            self.seen -= float(self.deficits.data.sum(dtype=np.float64)) / cells
        if self.deficits is not None and deficits is not None and deficits.values is not None:
            # `x` is weight times count, and its logarithm that of both
            part = x.multiply(self.deficits).tocoo()
            y = np.asarray(x[part.row, part.col], np.float64).ravel()
            self.constant -= float(np.sum(y * np.log1p(-part.data.astype(np.float64) / y)))

    def independent(self) -> float:
        """Return the deviance of the best rank-one model, row effects times column effects."""
        if self.deficits is None:
            return super().independent()
        if self._rank_one is None:  # asked for in every iteration
            self._rank_one = self._null(self._row_and_column_effects(self.deficits))
        return self._rank_one

    def _row_and_column_effects(self, deficits: sp.csr_matrix) -> float:
        """Return the deviance of row and column effects that are fitted to each other."""
        rows, columns = self.row_totals.copy(), self.column_totals / max(self.total, 1e-300)
        deviance = np.inf
        for _ in range(_ROUNDS):
            seen = columns.sum() - deficits @ columns
            rows = np.divide(self.row_totals, seen, out=np.zeros_like(rows), where=seen > 0)
            seen = rows.sum() - deficits.T @ rows
            columns = np.divide(
                self.column_totals, seen, out=np.zeros_like(columns), where=seen > 0
            )
            logs = _cross_entropy(self.row_totals, rows)
            logs += _cross_entropy(self.column_totals, columns)
            before, deviance = deviance, self.constant + self.total - logs
            if before - deviance <= _STILL * deviance:
                break
        return deviance

    def panels(self) -> Iterator[tuple[int, CountMatrix]]:
        """Yield (0, self): the one panel that there is."""
        yield 0, self

    def expected_total(self, usage: Array, programs: Array, k: int) -> float:
        """Return the sum of usage @ programs over the entries that count."""
        stride = stride_of(k)
        w, h = thin_rows(usage, stride, k), thin_rows(programs, stride, k)
        total = float(w.sum(axis=0, dtype=np.float64) @ h.sum(axis=0, dtype=np.float64))
        if self.deficits is not None:
            hidden = thin_rows(self.rows.hidden(programs, k), stride, k)
            total -= float(np.einsum("nk,nk->", w, hidden, dtype=np.float64))
        return total


class CountStream(_Counts):
    """Counts that are read panel by panel in each pass; attributes as in `CountMatrix`."""

    def __init__(
        self,
        source: BlockSource,
        *,
        dtype: np.dtype[Any],
        n_threads: int,
        hidden: Source | None = None,
    ) -> None:
        self.shape = (int(source.shape[0]), int(source.shape[1]))
        self.dtype = np.dtype(dtype)
        self.n_threads = n_threads
        self._source = source
        self._hidden = hidden
        n, p = self.shape
        rows = max(256, min(_PANEL_CELLS // max(1, p), _PANEL_ROWS) // 256 * 256)
        self._edges = [*range(0, n, rows), n]
        self.row_totals = np.zeros(n)
        self.column_totals = np.zeros(p)
        self.rows_hidden, self.hidden_in_columns = np.zeros(n, bool), np.zeros(p, np.int64)
        self.total, self.constant, self.nonzeros, self.seen = 0.0, 0.0, 0, 0.0
        for start, panel in self.panels():
            self.row_totals[start : start + panel.shape[0]] = panel.row_totals
            self.column_totals += panel.column_totals
            self.rows_hidden[start : start + panel.shape[0]] = panel.rows_hidden
            self.hidden_in_columns += panel.hidden_in_columns
            self.total += panel.total
            self.nonzeros += panel.nonzeros
            self.constant += panel.constant
            self.seen += panel.seen * panel.shape[0] / n

    def panels(self) -> Iterator[tuple[int, CountMatrix]]:
        """Yield (first row, counts of a panel), the next one being read meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="partwise-read") as reader:
            bounds = list(pairwise(self._edges))
            ahead = reader.submit(self._read, *bounds[0])
            for i, (start, _) in enumerate(bounds):
                block = ahead.result()
                if i + 1 < len(bounds):
                    ahead = reader.submit(self._read, *bounds[i + 1])
                yield start, self._counts(block, start)

    def sample(self, rows: int) -> CountMatrix:
        """Return about `rows` rows in memory: runs of 256, evenly spread over the data."""
        n = self.shape[0]
        starts = np.linspace(0, n - _RUN, max(1, rows // _RUN)).astype(np.int64)
        parts = []
        for start in starts.tolist():
            block = self._read(start, start + _RUN)
            deficits = None if self._hidden is None else self._hidden.of(block, start)
            parts.append(block if deficits is None else without_hidden(block, deficits)[0])
        x = sp.vstack([_canonical(part) for part in parts], "csr")
        return CountMatrix(x, dtype=self.dtype, n_threads=self.n_threads)

    def _counts(self, block: Any, start: int) -> CountMatrix:
        return CountMatrix(
            block, dtype=self.dtype, n_threads=self.n_threads, hidden=self._hidden, start=start
        )

    def _read(self, start: int, stop: int) -> Any:
        blocks = [block for _, block in self._source.blocks(start, stop)]
        if len(blocks) == 1:
            return blocks[0]
        return sp.vstack(blocks, "csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)


def _canonical(x: Any) -> sp.csr_matrix:
    """Return counts as CSR, each entry once and none of them zero."""
    x = sp.csr_matrix(x)
    if x.has_canonical_format and not (x.data == 0).any():
        return x
    x = x.copy()
    x.sum_duplicates()
    x.eliminate_zeros()
    return x


def _entropy(values: Any) -> float:
    """Return the sum of v log v."""
    return _cross_entropy(np.asarray(values, np.float64), np.asarray(values, np.float64))


def _cross_entropy(counts: Array, means: Array) -> float:
    """Return the sum of x log m."""
    logs = np.log(means, out=np.zeros_like(means), where=means > 0)
    return float(np.sum(counts * logs))
