"""Some rows of a table, wherever its values are; `tune_sample.choose_rows` says which."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.io.opening import MEMORY_LIMIT

if TYPE_CHECKING:
    from partwise.io import Table

__all__ = ["SampledSource", "take_rows", "take_table"]

Rows = npt.NDArray[np.int64]


def take_rows(matrix: Any, rows: Rows, *, memory_limit: int = MEMORY_LIMIT) -> Any:
    """Return some rows of a matrix.

    Parameters
    ----------
    matrix
        Array, CSR matrix or block source, n x p.
    rows
        Row numbers, increasing.
    memory_limit
        Bytes up to which the rows of a block source are brought into memory.

    Returns
    -------
    array, CSR matrix or SampledSource
        Of the same kind; the rows of a block source are an array (or a CSR matrix) where they fit
        into the limit, and are read in one pass.
    """
    if not hasattr(matrix, "blocks"):
        return matrix[rows]
    source = SampledSource(matrix, rows)
    p, size = source.shape[1], source.dtype.itemsize
    parts, used, sparse = [], 0, False
    for _, block in source.blocks(0, len(rows)):
        sparse = sp.issparse(block)
        used += block.nnz * (size + 4) if sparse else block.shape[0] * p * size
        if used > memory_limit:
            return source
        parts.append(block)
    return sp.vstack(parts, format="csr") if sparse else np.concatenate(parts)


def take_table(table: Table, rows: Rows) -> Table:
    """Return a table with some of its rows, which must be closed by closing `table`."""
    ids = table.ids.iloc[rows].reset_index(drop=True)
    return dataclasses.replace(table, ids=ids, matrix=take_rows(table.matrix, rows), _close=None)


class SampledSource:
    """A block source with some of the rows of another.

    Parameters
    ----------
    source
        The other.
    rows
        Row numbers in it, increasing.
    """

    def __init__(self, source: Any, rows: Rows) -> None:
        self._source = source
        self._rows = rows
        self.shape = (len(rows), int(source.shape[1]))
        self.dtype = source.dtype

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        start, stop = max(0, start), min(stop, len(self._rows))
        if start >= stop:
            return
        first, last = int(self._rows[start]), int(self._rows[stop - 1]) + 1
        done = start
        for place, block in self._source.blocks(first, last):
            until = int(np.searchsorted(self._rows, place + block.shape[0]))
            until = min(until, stop)
            if until > done:
                yield done, block[self._rows[done:until] - place]
                done = until
