"""Small tables of times, as text cells; one column is enough, so there may be no delimiter."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from partwise.exceptions import DataError
from partwise.io.encodings import encoding_of, refuse_nul
from partwise.io.sniff import compression_of, open_bytes

__all__ = ["number_of", "rows_of"]

_LARGEST = 2**26


def rows_of(path: Path) -> list[list[str]]:
    """Return the cells of a CSV, TSV or Parquet table, its header first."""
    with open(path, "rb") as file:
        parquet = file.read(4) == b"PAR1"
    return _parquet_rows(path) if parquet else _text_rows(path)


def number_of(row: list[str], j: int, name: str, i: int, path: Path) -> float:
    """Return cell `j` of a row as a number; `i` is its place, from 1, and `name` its column."""
    text = row[j].strip() if j < len(row) else ""
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"{text!r} is not a number (rows count from 1)", path=path, row=i, column=name
        ) from None


def _parquet_rows(path: Path) -> list[list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the Parquet file is damaged or cut off ({error})", path=path) from error
    columns = [table.column(j).to_pylist() for j in range(table.num_columns)]
    return [
        table.column_names,
        *([str(cell) for cell in row] for row in zip(*columns, strict=True)),
    ]


def _text_rows(path: Path) -> list[list[str]]:
    """Return the cells of a small text table; it may have one column, so no delimiter."""
    try:
        stream, _ = open_bytes(path, compression_of(path))
        with stream:
            content = stream.read(_LARGEST)
    except OSError as error:
        raise DataError(
            f"the file cannot be read, it may be damaged ({error})", path=path
        ) from error
    encoding, bom, _ = encoding_of(content)
    body = content[len(bom) :]
    if not body.strip():
        raise DataError("the file is empty", path=path)
    refuse_nul(body, encoding, path)
    text = body.decode(encoding, errors="replace").strip()
    first = text.splitlines()[0]
    delimiter = next((mark for mark in ("\t", ";", ",", "|") if mark in first), ",")
    if delimiter == ";":
        text = text.replace(",", ".")
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    return [[cell.strip() for cell in row] for row in rows if row]
