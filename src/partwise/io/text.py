"""Text tables: one pass over the file, into float32 rows and small identifiers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from partwise.exceptions import DataError
from partwise.io import locate
from partwise.io.checks import ValueCheck
from partwise.io.columns import DEFAULT_ID_COLUMNS, Columns, choose_columns
from partwise.io.encodings import encoding_note, single_byte_encoding
from partwise.io.identifiers import (
    Identifiers,
    duplicate_text,
    find_duplicate,
    identifying_columns,
    row_numbers,
)
from partwise.io.request import Parsed, Request
from partwise.io.sniff import Dialect, decimal_comma, open_bytes, sniff
from partwise.io.spool import Spool

__all__ = ["damage_text", "read_text"]

_BLOCK = 2**19
_LARGEST_BLOCK = 2**26
_SMALLEST_BLOCK = 2**15
_ENOUGH = 2**21  # more at a time is no faster, and several blocks are held at once


class _BadValueError(Exception):
    """A block holds a value that cannot be used."""


def read_text(request: Request, block_bytes: int | None = None) -> Parsed:
    """Read a delimited text table: CSV or TSV, plain or compressed (gzip, zstd, bzip2).

    Parameters
    ----------
    request
        What to read.
    block_bytes
        Bytes parsed at a time; chosen by the width of the table if None. Never changes the result.

    Returns
    -------
    Parsed
        What the file holds.

    Raises
    ------
    DataError
        If the file cannot be used; names row and column.
    """
    path = request.path
    wanted = DEFAULT_ID_COLUMNS if request.id_columns is None else request.id_columns
    wanted = (*wanted, *(request.coordinates or ()))
    try:
        dialect = sniff(path, wanted)
        columns = choose_columns(
            dialect.header,
            path=path,
            id_columns=request.id_columns,
            features=request.features,
            metadata=request.metadata,
            coordinates=request.coordinates,
        )
        block = block_bytes or _block_bytes(dialect.record_bytes, request.chunk_rows)
        reader = _Reader(request, columns, block)
        dialect = _read_until_right(reader, dialect)
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise DataError(damage_text(error), path=path) from error
    ids, notes = _identified(reader, dialect)
    notes = [*dialect.notes, *columns.notes, *notes, *reader.check.notes(columns.feature_names)]
    return Parsed(ids, columns.feature_names, reader.finish(), notes, columns.coordinates)


def _block_bytes(record_bytes: int, chunk_rows: int | None) -> int:
    """Return how many bytes to parse at a time; records differ in length, so some must fit."""
    if chunk_rows is None:
        return min(max(_BLOCK, 64 * record_bytes), _LARGEST_BLOCK)
    wanted = max(_SMALLEST_BLOCK, max(chunk_rows, 16) * record_bytes)
    return min(wanted, max(_ENOUGH, 16 * record_bytes), _LARGEST_BLOCK)


def _read_until_right(reader: _Reader, dialect: Dialect) -> Dialect:
    """Read with the sniffed dialect; where later lines show another, read again with that."""
    while True:
        try:
            reader.read(dialect)
            return dialect
        except (pa.ArrowInvalid, UnicodeDecodeError, _BadValueError) as error:
            if "straddling" in str(error) and reader.block_bytes < _LARGEST_BLOCK:
                reader.block_bytes *= 4  # a line was longer than a block
            else:
                dialect = _mended(reader, dialect, error)


def _mended(reader: _Reader, dialect: Dialect, error: Exception) -> Dialect:
    """Return the dialect that explains why reading failed; raise where none does."""
    path = reader.path
    if dialect.compression is not None:
        _unpack(path, dialect)  # damage makes nonsense of the text, and is what should be told
    try:
        found = locate.faults(path, dialect, reader.columns)
    except UnicodeDecodeError as undecodable:
        return _other_encoding(path, dialect, undecodable.object)
    if not found:
        raise DataError(f"the text cannot be read as a table: {error}", path=path) from error
    first = found[0]
    comma = first.column is not None and decimal_comma(first.text)
    if comma and dialect.decimal == "." and not dialect.points:
        note = f"numbers have a decimal comma (such as {first.text.strip()})"
        notes = (*dialect.notes, note)
        return dataclasses.replace(dialect, decimal=",", points=True, notes=notes)
    return locate.raise_faults(path, found)


def _unpack(path: Path, dialect: Dialect) -> None:
    """Read a compressed file to its end, where its checksum stands."""
    stream, _ = open_bytes(path, dialect.compression)
    with stream:
        while stream.read(_BLOCK):
            pass


def _other_encoding(path: Path, dialect: Dialect, chunk: bytes) -> Dialect:
    """Return the dialect with an encoding that has the bytes of `chunk`."""
    if dialect.encoding == "utf-8" and not dialect.ascii:
        line, byte = locate.undecodable(path, dialect)
        raise DataError(
            f"the byte 0x{byte:02X} is not UTF-8, as the text before it is: two encodings were "
            "mixed, or the file is damaged (rows are lines of the file; the header is line 1)",
            path=path,
            row=line,
        )
    if dialect.encoding.startswith("utf-16"):
        raise DataError(f"the text is damaged: it is not {dialect.encoding} throughout", path=path)
    # every byte is a letter in Latin-1, so this ends
    name = single_byte_encoding(chunk) if dialect.encoding == "utf-8" else "latin-1"
    kept = [note for note in dialect.notes if note != encoding_note("cp1252")]
    return dataclasses.replace(dialect, encoding=name, notes=(*kept, encoding_note(name)))


def damage_text(error: OSError) -> str:
    """Say what is wrong with a file that cannot be read to its end."""
    text = str(error)
    if "runcated" in text:
        return (
            "the compressed file ends too early: it was cut off while it was copied or written; "
            "fetch or make it again"
        )
    return f"the file cannot be read to its end, it may be damaged ({text})"


def _identified(reader: _Reader, dialect: Dialect) -> tuple[pd.DataFrame, list[str]]:
    """Return the identifiers after the checks that need all rows."""
    path, n = reader.path, reader.check.n_rows
    if n == 0:
        raise DataError("the file has a header but no rows", path=path)
    if n < reader.min_rows:
        raise DataError("the file has only one row; at least 2 are needed", path=path)
    if not reader.columns.ids:
        return row_numbers(n), []
    if reader.ids.find("\0"):
        locate.raise_faults(path, locate.faults(path, dialect, reader.columns))
    ids, notes = reader.ids.finish()
    names, unique = identifying_columns(reader.columns.id_names)
    again = find_duplicate(ids, names)
    if again is None:
        return ids, notes
    first, later, times = again
    if not unique:
        notes.append(f"{times:,} rows share their identifiers ({', '.join(names)}) with an earlier")
        return ids, notes
    lines = locate.lines_of_rows(path, dialect, (first, later))
    more = f"; {times:,} rows repeat an earlier one" if times > 1 else ""
    raise DataError(
        f"{duplicate_text(ids, names, later)} is in line {lines[0]} already: each cell must be "
        f"there once{more} (rows are lines of the file; the header is line 1)",
        path=path,
        row=lines[1],
        column=names[-1],
    )


class _Reader:
    """One pass over a text file with a given dialect."""

    def __init__(self, request: Request, columns: Columns, block_bytes: int) -> None:
        self.path = request.path
        self.min_rows = request.min_rows
        self.columns = columns
        self._request = request
        self.block_bytes = block_bytes
        self._clear()

    def _clear(self, compression: str | None = None) -> None:
        p = len(self.columns.features)
        # a value takes a character and a delimiter at least; no text shrinks more than 1100-fold
        most = self.path.stat().st_size * (2 if compression is None else 2200)
        limit, folder = self._request.memory_limit, self._request.spool_dir
        self.spool = Spool(p, limit, most, folder) if p else None
        self.check = ValueCheck(p)
        self.ids = Identifiers(self.columns.id_names, self.columns.coordinates)

    def finish(self) -> Any:
        """Return the values."""
        if self.spool is None:
            return np.empty((self.check.n_rows, 0), dtype=np.float32)
        return self.spool.finish()

    def read(self, dialect: Dialect) -> None:
        """Parse the file; afterwards `spool`, `check` and `ids` hold all of it."""
        self._clear(dialect.compression)
        size = max(1, self.path.stat().st_size // 2**20)
        stream, raw = open_bytes(self.path, dialect.compression)
        try:
            with stream, self._request.progress.stage(f"read {self.path.name} (MB)", size) as stage:
                skip = dialect.header_bytes
                while skip > 0:
                    skip -= len(stream.read(skip))
                shown = 0
                for batch in self._batches(stream, dialect):
                    self._take(batch)
                    done = min(size, raw.tell() // 2**20)
                    stage.advance(done - shown)
                    shown = done
        except BaseException:
            if self.spool is not None:
                self.spool.close()
            raise

    def _batches(self, stream: Any, dialect: Dialect) -> Any:
        # positions as names: the file's own may repeat in columns that are not read
        names = [str(j) for j in range(len(dialect.header))]
        ids = {str(j): self.ids.read_type(dialect.header[j]) for j in self.columns.ids}
        values = {str(j): pa.float32() for j in self.columns.features}
        try:
            return pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    use_threads=self._request.n_threads > 1,
                    block_size=self.block_bytes,
                    column_names=names,
                    encoding=dialect.encoding,
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=dialect.delimiter, newlines_in_values=True
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=ids | values,
                    include_columns=[*ids, *values],
                    null_values=[],
                    strings_can_be_null=False,
                    decimal_point=dialect.decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return []
            raise

    def _take(self, batch: pa.RecordBatch) -> None:
        n_ids = len(self.columns.ids)
        if self.spool is None:
            self.check.n_rows += batch.num_rows
        else:
            rows = self.spool.room(batch.num_rows)
            for j in range(rows.shape[1]):
                rows[:, j] = batch.column(n_ids + j).to_numpy()
            with np.errstate(invalid="ignore"):
                if self.check.add(rows):
                    raise _BadValueError
        self.ids.add([batch.column(j) for j in range(n_ids)])
