"""Samples of cells: the same share of every stratum (field of view, batch, patient), by seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.io.opening import MEMORY_LIMIT
from partwise.utils.random import generator

if TYPE_CHECKING:
    from partwise.io import Table

__all__ = ["SampledSource", "shares", "strata_of", "stratified_rows", "take_rows", "take_table"]

Rows = npt.NDArray[np.int64]


def strata_of(column: pd.Series) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the stratum of each row and the names of the strata, in the order of their names.

    A missing name, or an empty one, is a stratum of its own.

    Examples
    --------
    >>> codes, names = strata_of(pd.Series(["b", "a", None, "b"]))
    >>> codes.tolist(), names
    ([2, 1, 0, 2], ['', 'a', 'b'])
    """
    codes, found = pd.factorize(column, use_na_sentinel=False)
    texts = ["" if pd.isna(name) else str(name) for name in found]
    names = sorted(set(texts))
    place = {name: i for i, name in enumerate(names)}
    rank = np.array([place[text] for text in texts], np.int64)
    return rank[codes], names


def shares(counts: npt.NDArray[np.int64], n_rows: int) -> npt.NDArray[np.int64]:
    """Divide a number of rows among strata, in proportion to how many rows they have.

    Every stratum that has rows gets one at least; what rounding leaves goes to the largest
    remainders, ties to the first (Hamilton's method).

    Parameters
    ----------
    counts
        Rows of each stratum.
    n_rows
        Rows to draw in all.

    Returns
    -------
    numpy.ndarray
        Rows to draw of each stratum. Their sum is `n_rows`, unless there are more strata than that
        or fewer rows.

    Examples
    --------
    >>> shares(np.array([60, 30, 1]), 10).tolist()
    [6, 3, 1]
    """
    counts = np.asarray(counts, np.int64)
    if n_rows >= counts.sum():
        return counts.copy()
    given = np.zeros_like(counts)
    open_ = counts > 0
    while True:  # what falls below one row gets one, and the others share the rest
        left = max(0, n_rows - int(given[~open_].sum()))
        exact = np.where(open_, counts * (left / max(1, int(counts[open_].sum()))), 0.0)
        few = open_ & (exact < 1.0)
        if not few.any():
            break
        given[few] = 1
        open_ &= ~few
    given[open_] = np.floor(exact[open_]).astype(np.int64)
    missing = n_rows - int(given.sum())
    if missing > 0 and open_.any():
        order = np.argsort(-np.where(open_, exact - given, -1.0), kind="stable")
        given[order[:missing]] += 1
    return given


def stratified_rows(column: pd.Series, n_rows: int, *, seed: int) -> Rows:
    """Draw rows without replacement, the same share of every stratum.

    Parameters
    ----------
    column
        Stratum of each row, n. Their order and type do not matter, only their names.
    n_rows
        Rows to draw, see `shares`.
    seed
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        Numbers of the drawn rows, in the order of the table.

    Raises
    ------
    UsageError
        If no row is asked for.

    Examples
    --------
    >>> column = pd.Series(["a", "b"] * 50)
    >>> rows = stratified_rows(column, 10, seed=0)
    >>> len(rows), column[rows].value_counts().tolist()
    (10, [5, 5])
    """
    if n_rows < 1:
        raise UsageError(f"a sample has 1 row or more, not {n_rows}")
    codes, names = strata_of(column)
    counts = np.bincount(codes, minlength=len(names))
    wanted = shares(counts, n_rows)
    rng = generator(seed)
    by_stratum = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    drawn = [
        rows if few == len(rows) else rng.choice(rows, size=few, replace=False, shuffle=False)
        for rows, few in zip(by_stratum, wanted, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


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
