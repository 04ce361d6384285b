"""Matrix Market files; own reading, because scipy's may crash the process on a file cut off."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.io.arrays import bare_matrix
from partwise.io.request import Parsed, Request
from partwise.io.sniff import compression_of

__all__ = ["read_mtx"]

_FIELDS = {"real", "double", "integer", "unsigned-integer", "pattern"}
_ENTRIES = 2**20
_ORIENTATION = "rows are the rows of the file; 10x Genomics writes genes as rows: transpose if so"


class _Head(NamedTuple):
    """What the first lines say; `stored` is the number of data lines, `lines` that of the head."""

    sparse: bool
    pattern: bool
    symmetric: bool
    shape: tuple[int, int]
    stored: int
    lines: int


def read_mtx(request: Request) -> Parsed:
    """Read a Matrix Market file, plain or gzip; rows and columns as they stand in it."""
    packed = compression_of(request.path) == "gzip"
    try:
        with gzip.open(request.path) if packed else open(request.path, "rb") as file:
            head = _head(request, file)
            matrix = _sparse(request, file, head) if head.sparse else _dense(request, file, head)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the compressed file ends too early or is damaged ({error})", path=request.path
        ) from error
    return bare_matrix(request, matrix, [_ORIENTATION])


def _head(request: Request, file: Any) -> _Head:
    words = file.readline().decode("latin-1").lower().split()
    if len(words) != 5 or words[1] != "matrix" or words[2] not in ("coordinate", "array"):
        raise DataError("the first line is not that of a matrix", path=request.path, row=1)
    layout, field, symmetry = words[2:]
    if field not in _FIELDS or symmetry not in ("general", "symmetric"):
        raise DataError(
            f"the matrix is {field} and {symmetry}; real, integer or pattern, and general or "
            "symmetric, can be read",
            path=request.path,
            row=1,
        )
    lines, line = 2, file.readline()
    while line and (line.startswith(b"%") or not line.strip()):
        lines, line = lines + 1, file.readline()
    sparse = layout == "coordinate"
    try:
        sizes = [int(word) for word in line.split()]
    except ValueError:
        sizes = []
    if len(sizes) != (3 if sparse else 2) or min(sizes) < 0:
        raise DataError(
            "the line should give the numbers of rows and columns"
            + (" and entries" if sparse else ""),
            path=request.path,
            row=lines,
        )
    n, p = sizes[:2]
    symmetric = symmetry == "symmetric"
    if not sparse and (symmetric or field == "pattern"):
        raise DataError("a dense matrix must be general, real or integer", path=request.path, row=1)
    stored = sizes[2] if sparse else n * p
    return _Head(sparse, field == "pattern", symmetric, (n, p), stored, lines)


def _sparse(request: Request, file: Any, head: _Head) -> sp.csr_matrix:
    kinds: dict[str, Any] = {"row": np.int64, "column": np.int64}
    if not head.pattern:
        kinds["value"] = np.float32
    parts: list[tuple[Any, Any, Any]] = []
    for chunk in _chunks(request, file, head, kinds):
        rows, columns = chunk["row"].to_numpy() - 1, chunk["column"].to_numpy() - 1
        outside = (rows < 0) | (rows >= head.shape[0]) | (columns < 0) | (columns >= head.shape[1])
        if outside.any():
            at = sum(len(part[0]) for part in parts) + int(np.argmax(outside))
            raise DataError(
                f"entry {at + 1:,} is outside the matrix of {head.shape[0]} x {head.shape[1]}",
                path=request.path,
            )
        values = np.ones(len(rows), np.float32) if head.pattern else chunk["value"].to_numpy()
        parts.append((rows.astype(np.int32), columns.astype(np.int32), values))
    rows, columns, values = (
        np.concatenate([part[i] for part in parts] or [np.empty(0, kind)])
        for i, kind in enumerate((np.int32, np.int32, np.float32))
    )
    if head.symmetric:
        off = rows != columns
        rows, columns = np.r_[rows, columns[off]], np.r_[columns, rows[off]]
        values = np.r_[values, values[off]]
    return sp.coo_matrix((values, (rows, columns)), shape=head.shape).tocsr()


def _dense(request: Request, file: Any, head: _Head) -> Any:
    chunks = [
        chunk["value"].to_numpy() for chunk in _chunks(request, file, head, {"value": np.float32})
    ]
    return np.concatenate(chunks).reshape(head.shape, order="F")


def _chunks(
    request: Request, file: Any, head: _Head, kinds: dict[str, Any]
) -> Iterator[pd.DataFrame]:
    """Yield the data lines as columns; raise at the line where they are wrong."""
    seen = 0
    # pandas takes the number of columns from the first line: it must be right
    wrong = _wrong_line(request, head, list(kinds), first_only=True)
    if wrong is not None:
        raise wrong
    try:
        chunks = pd.read_csv(
            file,
            sep=r"\s+",
            header=None,
            names=list(kinds),
            dtype=kinds,
            index_col=False,
            chunksize=_ENTRIES,
            engine="c",
            float_precision="high",
            na_filter=False,
            quoting=3,
        )
        for chunk in chunks:
            seen += len(chunk)
            if seen > head.stored:
                break
            yield chunk
    except pd.errors.EmptyDataError:
        pass
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        unknown = DataError("the entries cannot be read as numbers", path=request.path)
        raise _wrong_line(request, head, list(kinds)) or unknown from error
    if seen != head.stored:
        raise DataError(
            f"{head.stored:,} entries were announced, but there are "
            f"{'more' if seen > head.stored else f'{seen:,}: the file was cut off'}",
            path=request.path,
        )


def _wrong_line(
    request: Request, head: _Head, names: list[str], first_only: bool = False
) -> DataError | None:
    """Return the error for the first data line that is wrong; None if there is none."""
    packed = compression_of(request.path) == "gzip"
    with gzip.open(request.path, "rb") if packed else open(request.path, "rb") as file:
        for number, line in enumerate(file, start=1):
            words = line.decode("latin-1").split()
            if number <= head.lines or not words:
                continue
            if words[-1].lower() in ("nan", "na"):
                return DataError(
                    f"{words[-1]!r} is a missing value, which is not zero: fill it or drop the row",
                    path=request.path,
                    row=number,
                )
            if not _fits(words, names):
                return DataError(
                    f"{' '.join(words)[:60]!r} should be {' '.join(names)} "
                    "(rows are lines of the file)",
                    path=request.path,
                    row=number,
                )
            if first_only:
                break
    return None


def _fits(words: list[str], names: list[str]) -> bool:
    if len(words) != len(names):
        return False
    try:
        for word, name in zip(words, names, strict=True):
            float(word) if name == "value" else int(word)
    except ValueError:
        return False
    return True
