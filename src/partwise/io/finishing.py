"""What all binary files have in common once their parts are found: the check, and the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.io.checks import ValueCheck, describe_value
from partwise.io.identifiers import duplicate_text, find_duplicate, identifying_columns
from partwise.io.request import Parsed, Request

__all__ = ["checked", "without_values"]

#: Rows of an array in memory that are looked at together.
_ROWS = 4096


def checked(request: Request, ids: Any, features: Sequence[str], matrix: Any, notes: Any) -> Parsed:
    """Check identifiers and values, and hold the values in memory where they fit.

    Parameters
    ----------
    request
        What was asked for.
    ids
        Identifiers, n rows.
    features
        Names of the columns of `matrix`.
    matrix
        An array, CSR, or a block source with `nbytes` unknown to it.
    notes
        What was noted so far.

    Returns
    -------
    Parsed
        What the file holds.

    Raises
    ------
    DataError
        If a value or an identifier cannot be used; rows count from 1.
    """
    path = request.path
    n, p = matrix.shape
    if n == 0 or p == 0:
        raise DataError(f"the matrix is empty: {n} rows, {p} features", path=path)
    if n < request.min_rows:
        raise DataError("the file has only one row; at least 2 are needed", path=path)
    again = _duplicates(request, ids)
    check = ValueCheck(p)
    keep = _Keep(matrix, request.memory_limit)
    with request.progress.stage(f"read {path.name}", n) as stage:
        for block in _blocks(matrix):
            bad = check.add(block)
            if bad:
                _refuse(request, bad, features)
            keep.add(block)
            stage.advance(block.shape[0])
    matrix = keep.finish()
    return Parsed(ids, tuple(features), matrix, [*notes, *again, *check.notes(features)])


def without_values(
    request: Request, ids: Any, notes: Sequence[str], coordinates: tuple[str, ...]
) -> Parsed:
    """Check identifiers of a file of which nothing else is wanted."""
    again = _duplicates(request, ids)
    nothing = np.empty((len(ids), 0), dtype=np.float32)
    return Parsed(ids, (), nothing, [*notes, *again], coordinates)


def _blocks(matrix: Any) -> Iterator[Any]:
    n = matrix.shape[0]
    if hasattr(matrix, "blocks"):
        return (block for _, block in matrix.blocks(0, n))
    return (matrix[first : first + _ROWS] for first in range(0, n, _ROWS))


class _Keep:
    """Holds the blocks of a source in memory as long as they fit."""

    def __init__(self, matrix: Any, memory_limit: int) -> None:
        self._matrix = matrix
        self._left = memory_limit
        self._parts: list[Any] = []
        self._whole: Any = None
        self._filled = 0
        self._keep = hasattr(matrix, "blocks")

    def add(self, block: Any) -> None:
        """See the next block."""
        if not self._keep:
            return
        if sp.issparse(block):
            self._left -= block.data.nbytes + block.indices.nbytes + block.indptr.nbytes
            self._parts.append(block)
        else:
            if self._whole is None:
                n, p = self._matrix.shape
                self._left -= n * p * block.dtype.itemsize
                # pages are given by the system as they are written, not now
                self._whole = np.empty((n, p) if self._left >= 0 else (0, p), block.dtype)
            if self._left >= 0:
                self._whole[self._filled : self._filled + block.shape[0]] = block
                self._filled += block.shape[0]
        self._keep = self._left >= 0
        if not self._keep:
            self._parts, self._whole = [], None

    def finish(self) -> Any:
        """Return the values in memory, or the source where they did not fit."""
        if not self._keep:
            return self._matrix
        self._matrix.close()
        return self._whole if self._whole is not None else sp.vstack(self._parts, format="csr")


def _refuse(request: Request, bad: list[tuple[int, int, float]], features: Sequence[str]) -> None:
    row, column, value = bad[0]
    text = f"{describe_value(value)} (rows count from 1)"
    if len(bad) > 1:
        listed = [f"row {i + 1}, column {features[j]!r}: {v:.6g}" for i, j, v in bad[1:]]
        text += ". Also: " + "; ".join(listed)
    raise DataError(text, path=request.path, row=row + 1, column=features[column])


def _duplicates(request: Request, ids: Any) -> list[str]:
    names, unique = identifying_columns(tuple(ids.columns))
    if names == ("row",):
        return []
    again = find_duplicate(ids, names)
    if again is None:
        return []
    first, later, times = again
    if not unique:
        return [f"{times:,} rows have the identifiers ({', '.join(names)}) of an earlier row"]
    more = f"; {times:,} rows repeat an earlier one" if times > 1 else ""
    raise DataError(
        f"{duplicate_text(ids, names, later)} is in row {first + 1} already: each cell must be "
        f"there once{more} (rows count from 1)",
        path=request.path,
        row=later + 1,
        column=names[-1],
    )
