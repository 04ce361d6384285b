"""Values are checked once, when a file is opened, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from partwise.io.columns import shown

__all__ = ["MAX_PLACES", "ValueCheck", "describe_value"]

Block = Any  # an array or CSR

#: How many offending places an error lists.
MAX_PLACES = 5


def describe_value(value: float) -> str:
    """Say what is wrong with a value, as the start of a message."""
    if np.isnan(value):
        return "the value is missing (NaN); a missing value is not zero: fill it or drop the row"
    if np.isinf(value):
        return "the value is infinite"
    return f"{value:.6g} is negative; values must be 0 or more: shift, clip or leave it out"


class ValueCheck:
    """Sees every block once; finds what cannot be used and counts what should be known.

    Parameters
    ----------
    n_features
        Columns of the blocks.
    """

    def __init__(self, n_features: int) -> None:
        self.n_rows = 0
        self.zero_rows = 0
        self.first_zero_row: int | None = None
        self._low = np.full(n_features, np.inf)
        self._high = np.full(n_features, -np.inf)

    def add(self, block: Block) -> list[tuple[int, int, float]]:
        """Look at the next rows.

        Returns
        -------
        list
            Up to `MAX_PLACES` (row, column, value) that are NaN, infinite or negative; rows count
            from the first row of all. Empty if all is well.
        """
        if block.shape[0] == 0:
            return []
        low, high = self._sparse_range(block) if sp.issparse(block) else _range(block)
        # NaN fails both comparisons
        if not (np.all(low >= 0) and np.all(high < np.inf)):
            return self._places(block)
        np.minimum(self._low, low, out=self._low)
        np.maximum(self._high, high, out=self._high)
        largest = _largest_per_row(block)
        zero = np.flatnonzero(largest == 0)
        if zero.size:
            if self.first_zero_row is None:
                self.first_zero_row = self.n_rows + int(zero[0])
            self.zero_rows += int(zero.size)
        self.n_rows += block.shape[0]
        return []

    def notes(self, features: Sequence[str]) -> list[str]:
        """Return what was allowed but should be known."""
        notes = []
        if self.zero_rows:
            first = (self.first_zero_row or 0) + 1
            rows = "row is" if self.zero_rows == 1 else "rows are"
            notes.append(f"{self.zero_rows:,} {rows} all zero (first: data row {first:,})")
        zero = [name for name, high in zip(features, self._high, strict=True) if high == 0]
        if zero:
            notes.append(f"all-zero {'column' if len(zero) == 1 else 'columns'}: {shown(zero)}")
        constant = [
            name
            for name, low, high in zip(features, self._low, self._high, strict=True)
            if low == high > 0
        ]
        if constant:
            columns = "column" if len(constant) == 1 else "columns"
            notes.append(f"{columns} with one value in all rows: {shown(constant)}")
        return notes

    def _sparse_range(self, block: Block) -> tuple[Any, Any]:
        """Return the least and largest value of each column; NaN where there is one."""
        n, p = block.shape
        data = block.data
        if data.size and not (data.min() >= 0 and data.max() < np.inf):
            return np.array([np.nan]), np.array([np.nan])
        stored = np.bincount(block.indices[data > 0], minlength=p)
        low = np.zeros(p)
        high = np.where(stored > 0, np.inf, 0.0)
        # only columns that are positive in every row can be constant
        full = np.flatnonzero((stored >= n) & (self._low > 0))
        high[stored > 0] = np.finfo(np.float64).max  # "some positive value", never equal to low
        if full.size:
            dense = block[:, full].toarray()
            low[full], high[full] = dense.min(axis=0), dense.max(axis=0)
        return low, high

    def _places(self, block: Block) -> list[tuple[int, int, float]]:
        if sp.issparse(block):
            bad = np.flatnonzero(~((block.data >= 0) & (block.data < np.inf)))[:MAX_PLACES]
            rows = np.searchsorted(block.indptr, bad, side="right") - 1
            columns, values = block.indices[bad], block.data[bad]
        else:
            at = np.argwhere(~((block >= 0) & (block < np.inf)))[:MAX_PLACES]
            rows, columns = at[:, 0], at[:, 1]
            values = block[rows, columns]
        return [
            (self.n_rows + int(i), int(j), float(v))
            for i, j, v in zip(rows, columns, values, strict=True)
        ]


def _range(block: Block) -> tuple[Any, Any]:
    return block.min(axis=0), block.max(axis=0)


def _largest_per_row(block: Block) -> Any:
    if not sp.issparse(block):
        return block.max(axis=1)
    filled = np.zeros(block.shape[0], dtype=np.int64)
    positive = np.flatnonzero(block.data > 0)
    rows = np.searchsorted(block.indptr, positive, side="right") - 1
    filled[rows] = 1
    return filled
