"""Distinct rows with their multiplicities.

Neighbourhood tables repeat rows by the thousand: identical rows are nearest neighbours of each
other at distance zero, and a neighbour graph of all cells falls apart into one piece per row value.
The distinct rows, each with the number of cells it stands for, carry the same information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import helper, jit

__all__ = ["DistinctRows", "distinct_rows"]


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of a matrix, in the order in which they first appear.

    Attributes
    ----------
    rows
        Index of the first row of each kind, m, increasing.
    inverse
        For each of the n rows, its kind: ``X[rows][inverse]`` equals X.
    multiplicity
        How many rows are of each kind, m.
    """

    rows: npt.NDArray[np.int64]
    inverse: npt.NDArray[np.int32]
    multiplicity: npt.NDArray[np.int64]

    @property
    def n_distinct(self) -> int:
        """Number of distinct rows, m."""
        return int(self.rows.shape[0])


@helper
def _row_hash(bits: npt.NDArray[Any], values: npt.NDArray[Any], row: int) -> Any:
    """Mix the words of one row into 64 bits; -0.0 counts as 0.0."""
    h = np.uint64(0x9E3779B97F4A7C15)
    for j in range(bits.shape[1]):
        word = np.uint64(0) if values[row, j] == 0 else np.uint64(bits[row, j])
        h = (h ^ word) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
    h *= np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(32))


@jit
def _group_rows(
    bits: npt.NDArray[Any],
    values: npt.NDArray[Any],
    table: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    inverse: npt.NDArray[np.int32],
    multiplicity: npt.NDArray[np.int64],
) -> int:
    """Number the distinct rows by first appearance with an open-addressing hash table."""
    n, p = bits.shape
    mask = np.uint64(table.shape[0] - 1)
    found = 0
    for i in range(n):
        slot = _row_hash(bits, values, i) & mask
        while True:
            kind = table[slot]
            if kind < 0:
                table[slot] = found
                rows[found] = i
                inverse[i] = found
                multiplicity[found] = 1
                found += 1
                break
            first = rows[kind]
            same = True
            for j in range(p):
                if values[first, j] != values[i, j]:
                    same = False
                    break
            if same:
                inverse[i] = kind
                multiplicity[kind] += 1
                break
            slot = (slot + np.uint64(1)) & mask
    return found


def distinct_rows(X: npt.ArrayLike) -> DistinctRows:
    """Find the distinct rows of a matrix and how often each occurs.

    Two rows are the same if all their values are equal; -0.0 equals 0.0. One pass with a hash
    table: linear time, and the numbering depends on the rows alone.

    Parameters
    ----------
    X
        Finite values, n x p; float32 and float64 are compared as they are, other types as float64.

    Returns
    -------
    DistinctRows
        First row of each kind, kind of each row, and multiplicities.

    Examples
    --------
    >>> import numpy as np
    >>> found = distinct_rows(np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]]))
    >>> found.rows.tolist(), found.inverse.tolist(), found.multiplicity.tolist()
    ([0, 1], [0, 1, 0], [2, 1])
    """
    values = np.asarray(X)
    if values.dtype != np.float32:
        values = values.astype(np.float64, copy=False)
    n = values.shape[0]
    values = np.ascontiguousarray(values)
    bits = values.view(np.uint32 if values.dtype == np.float32 else np.uint64)
    table_size = 16
    while table_size < 2 * n:
        table_size *= 2
    rows = np.empty(n, dtype=np.int64)
    inverse = np.empty(n, dtype=np.int32)
    multiplicity = np.empty(n, dtype=np.int64)
    table = np.full(table_size, -1, dtype=np.int32)
    found = _group_rows(bits, values, table, rows, inverse, multiplicity)
    del table
    if found < n:
        rows, multiplicity = rows[:found].copy(), multiplicity[:found].copy()
    return DistinctRows(rows, inverse, multiplicity)
