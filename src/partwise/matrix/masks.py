"""Which entries are hidden, and which count less: from a mask, weights, and NaN in the data.

An entry with weight w has the deficit d = 1 - w; hidden entries have d = 1. Only entries with a
deficit are listed, a few rows at a time, whatever the mask is made of.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.kernels import held
from partwise.kernels.speckle import hidden_columns
from partwise.matrix.thin import readable
from partwise.utils.threads import run_tasks

__all__ = [
    "Deficits",
    "Hidden",
    "Listed",
    "Source",
    "Speckle",
    "balanced",
    "none_of",
    "without_hidden",
]

Array = npt.NDArray[Any]

#: Entries of the data that are looked at together.
_CELLS = 2**21
_RANGE = 2**32


@dataclass(frozen=True)
class Speckle:
    """A random mask that is never stored: each entry is hidden with the same probability.

    Whether entry (i, j) is hidden follows from a hash of the seed, i and j alone. Entries whose
    hash falls into [fold * fraction, (fold + 1) * fraction) of its range are hidden, so that the
    folds 0, 1, ... of one seed never share an entry: each is held out once.

    Parameters
    ----------
    fraction : float
        Share of the entries to hide, above 0 and below 1.
    seed : int
        From 0 up; another seed gives another mask.
    fold : int
        Which part is hidden, from 0 to floor(1 / fraction) - 1.

    Raises
    ------
    UsageError
        If a value is out of its range.

    Notes
    -----
    Held-out entries spread over the whole matrix ("speckled") leave every row and column partly
    seen, so that both factors are known where the error is measured: Wold (1978), Technometrics 20.

    Examples
    --------
    >>> mask = Speckle(0.1, seed=1)
    >>> indptr, columns = mask.rows(0, 1000, 50)
    >>> 0.08 < columns.size / 50_000 < 0.12
    True
    """

    fraction: float
    seed: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        if (
            isinstance(self.fraction, bool)
            or not isinstance(self.fraction, numbers.Real)
            or not 0 < self.fraction < 1
        ):
            raise UsageError(
                f"fraction must be a number above 0 and below 1, not {self.fraction!r}"
            )
        for name in ("seed", "fold"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
                raise UsageError(f"{name} must be a whole number from 0 up, not {value!r}")
        if self.seed >= 2**63:
            raise UsageError(f"seed must be below 2**63, not {self.seed}")
        if self.fold >= self.n_folds:
            raise UsageError(
                f"fold must be from 0 to {self.n_folds - 1} for the fraction {self.fraction}, "
                f"not {self.fold}"
            )

    @property
    def n_folds(self) -> int:
        """Return the number of disjoint folds of this fraction."""
        return int(1 / self.fraction + 1e-9)

    def rows(
        self, start: int, stop: int, n_columns: int, *, n_threads: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return (indptr, columns) of the hidden entries of rows start..stop, as in a CSR matrix.

        Parameters
        ----------
        start, stop : int
            Rows, counted in the whole data.
        n_columns : int
            Columns of the data.
        n_threads : int
            Threads.

        Returns
        -------
        tuple of ndarrays
            int64, stop - start + 1, and int32, sorted within each row.
        """
        width = int(self.fraction * _RANGE)
        width = max(1, min(width, _RANGE // self.n_folds))
        step = max(1, _CELLS // max(1, n_columns))
        edges = [*range(start, stop, step), stop]
        tasks = [
            partial(hidden_columns, self.seed, a, b, n_columns, self.fold * width, width)
            for a, b in pairwise(edges)
        ]
        parts = run_tasks(n_threads, tasks)
        return _joined([part[0] for part in parts]), _concatenated([part[1] for part in parts])


class Deficits(NamedTuple):
    """The entries of some rows that do not count fully, row by row as in a CSR matrix.

    Attributes
    ----------
    indptr, columns
        int64 and int32; columns are sorted within a row and occur once.
    values
        1 - weight, in the type of the factors; None if all are hidden.
    """

    indptr: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    values: Array | None

    def part(self, first: int, last: int) -> Deficits:
        """Return those of rows first..last."""
        a, b = int(self.indptr[first]), int(self.indptr[last])
        return Deficits(
            self.indptr[first : last + 1] - a,
            self.columns[a:b],
            None if self.values is None else self.values[a:b],
        )

    def given(self, dtype: np.dtype[Any]) -> tuple[Array, bool]:
        """Return the values as kernels take them, and whether there are any."""
        if self.values is None:
            return np.empty(0, dtype), False
        return self.values, True


class Source(Protocol):
    """Anything that lists deficits for blocks of the data."""

    def of(self, block: Any, start: int, *, n_threads: int = 1) -> Deficits | None:
        """Return the deficits of the block whose first row is `start`; None if it has none."""
        ...


class Hidden:
    """Where entries are hidden, by NaN in the data, masks and weights.

    Parameters
    ----------
    masks
        Each a Speckle, a bool array, or a CSR matrix whose stored entries are hidden (sorted, each
        once); checked before. An entry is hidden if any of them says so.
    weights
        Array of the shape of the data, checked before; its largest value counts as 1.
    offset
        Row of the masks and weights that belongs to row 0 of the data.
    """

    def __init__(
        self, masks: Sequence[Any] = (), weights: Array | None = None, *, offset: int = 0
    ) -> None:
        self._masks = tuple(masks)
        self._weights = weights
        self._largest = 1.0 if weights is None else float(weights.max())
        self._offset = offset

    def shifted(self, rows: int) -> Hidden:
        """Return the same for data that begin `rows` further down."""
        other = copy.copy(self)
        other._offset = self._offset + rows
        return other

    def of(self, block: Any, start: int, *, n_threads: int = 1) -> Deficits | None:
        """Return the deficits of the block whose first row is `start`; None if it has none."""
        m, p = block.shape
        missing = _has_nan(block)
        if not missing and self._weights is None:
            if not self._masks:
                return None
            found = self.listed(start, start + m, p, n_threads=n_threads)
        else:
            step = max(1, _CELLS // max(1, p))
            starts = range(0, m, step)
            found = _stacked(
                [self._looked_at(block[a : a + step], start + a, missing) for a in starts]
            )
        return found if found.columns.size else None

    def listed(self, start: int, stop: int, p: int, *, n_threads: int = 1) -> Deficits:
        """Return what the masks hide of rows start..stop, NaN and weights aside."""
        start, stop = start + self._offset, stop + self._offset
        if len(self._masks) == 1 and isinstance(self._masks[0], Speckle):
            return Deficits(*self._masks[0].rows(start, stop, p, n_threads=n_threads), None)
        if len(self._masks) == 1 and sp.issparse(self._masks[0]):
            part = self._masks[0][start:stop]
            return Deficits(part.indptr.astype(np.int64), part.indices.astype(np.int32), None)
        step = max(1, _CELLS // max(1, p))
        starts = range(start, stop, step)
        return _stacked([_from_dense(self._picture(a, min(stop, a + step), p)) for a in starts])

    def _picture(self, start: int, stop: int, p: int) -> npt.NDArray[np.bool_]:
        """Return a bool array of what the masks hide of rows start..stop of the masks."""
        hidden = np.zeros((stop - start, p), bool)
        for mask in self._masks:
            if isinstance(mask, Speckle):
                indptr, columns = mask.rows(start, stop, p)
                hidden[_row_numbers(indptr), columns] = True
            elif sp.issparse(mask):
                part = mask[start:stop]
                hidden[_row_numbers(part.indptr), part.indices] = True
            else:
                hidden |= mask[start:stop]
        return hidden

    def _looked_at(self, block: Any, start: int, missing: bool) -> Deficits:
        """Return the deficits of a few rows, from a dense picture of them."""
        m, p = block.shape
        start += self._offset
        hidden = self._picture(start, start + m, p)
        if missing and sp.issparse(block):
            nan = np.isnan(block.data)
            hidden[_row_numbers(block.indptr)[nan], block.indices[nan]] = True
        elif missing:
            hidden |= np.isnan(block)
        if self._weights is None:
            return _from_dense(hidden)
        weights = np.asarray(self._weights[start : start + m], np.float64) / self._largest
        deficits = np.where(hidden, 1.0, 1.0 - weights).astype(block.dtype)
        return _from_dense(deficits > 0)._replace(values=deficits[deficits > 0])


class Listed:
    """Deficits that are kept, for data in memory that are a selection of other data."""

    def __init__(self, parts: list[Deficits]) -> None:
        self._all = _stacked(parts)

    def of(self, block: Any, start: int, *, n_threads: int = 1) -> Deficits | None:
        """Return the deficits of the block whose first row is `start`; None if it has none."""
        found = self._all.part(start, start + block.shape[0])
        return found if found.columns.size else None


def none_of(rows: int) -> Deficits:
    """Return the deficits of rows that have none."""
    return Deficits(np.zeros(rows + 1, np.int64), np.empty(0, np.int32), None)


def without_hidden(block: Any, deficits: Deficits) -> tuple[Any, float]:
    """Return the block times its weights, and the sum of w x^2 - (w x)^2.

    Hidden entries are zeros in a dense block and are not in a sparse one, whatever they were.
    """
    values, weighted = deficits.given(block.dtype)
    indptr, columns = readable(deficits.indptr), readable(deficits.columns)
    if not sp.issparse(block):
        x = np.array(block, order="C")
        return x, held.weigh_dense(x, indptr, columns, values, weighted)
    x_indptr = np.asarray(block.indptr, np.int64)
    first, last = int(x_indptr[0]), int(x_indptr[-1])
    out = np.empty(last - first, block.dtype)
    out_columns = np.empty(last - first, np.int32)
    out_indptr = np.zeros(x_indptr.shape[0], np.int64)
    excess = held.drop_hidden(
        readable(x_indptr), readable(np.asarray(block.indices, np.int32)), readable(block.data),
        indptr, columns, values, weighted, block.shape[1], out_indptr, out_columns, out,
    )  # fmt: skip
    kept = int(out_indptr[-1])
    parts = (out[:kept], out_columns[:kept], out_indptr)
    return sp.csr_matrix(parts, shape=block.shape), excess


def balanced(block: Any, deficits: Deficits) -> tuple[Any, npt.NDArray[np.float64]]:
    """Return the block times the square roots of its weights, and those roots, dense."""
    root = np.ones(block.shape)
    values = np.ones(1) if deficits.values is None else deficits.values.astype(np.float64)
    root[_row_numbers(deficits.indptr), deficits.columns] = np.sqrt(1.0 - values)
    seen, _ = without_hidden(block, deficits)
    dense = (seen.toarray() if sp.issparse(seen) else seen).astype(np.float64)
    return np.divide(dense, root, out=np.zeros_like(dense), where=root > 0), root


def _has_nan(block: Any) -> bool:
    values = block.data if sp.issparse(block) else block
    return bool(values.size) and bool(np.isnan(values.min()))


def _row_numbers(indptr: Array) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _from_dense(hidden: npt.NDArray[np.bool_]) -> Deficits:
    counts = np.count_nonzero(hidden, axis=1)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Deficits(indptr, np.nonzero(hidden)[1].astype(np.int32), None)


def _joined(pointers: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the row pointers of blocks that are put one below the other."""
    counts = [np.diff(pointer) for pointer in pointers]
    return np.concatenate([[0], np.cumsum(_concatenated(counts))]).astype(np.int64)


def _concatenated(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _stacked(parts: list[Deficits]) -> Deficits:
    values = [part.values for part in parts if part.values is not None]
    if values and len(values) < len(parts):
        dtype = values[0].dtype
        values = [
            np.ones(part.columns.size, dtype) if part.values is None else part.values
            for part in parts
        ]
    return Deficits(
        _joined([part.indptr for part in parts]),
        _concatenated([part.columns for part in parts]),
        _concatenated(values) if values else None,
    )
