"""How a text table is written: compression, encoding, delimiter, decimal mark, header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from partwise.exceptions import DataError
from partwise.io.encodings import encoding_of, refuse_nul

__all__ = ["Dialect", "compression_of", "open_bytes", "open_records", "sniff"]

_SAMPLE = 2**20
_LARGEST_SAMPLE = 2**26
_SAMPLE_RECORDS = 200
_DELIMITERS = (",", ";", "\t", "|")
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_Record = tuple[int, list[str]]  # line, cells
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes
    ----------
    compression
        "gzip", "zstd", "bz2" or None.
    encoding
        A name that Python knows.
    delimiter, decimal
        One character each.
    header
        Names of the columns, surrounding blanks removed.
    header_bytes, header_lines
        Length of what precedes the first data row, after decompression.
    record_bytes
        Length of the longest line in the sample.
    ascii
        Whether the sample does not show the encoding, because it has only ASCII.
    points
        Whether any feature-like cell of the sample has a decimal point.
    notes
        What was unusual.
    """

    compression: str | None
    encoding: str
    delimiter: str
    decimal: str
    header: tuple[str, ...]
    header_bytes: int
    header_lines: int
    record_bytes: int
    ascii: bool
    points: bool
    notes: tuple[str, ...] = ()


def compression_of(path: Path) -> str | None:
    """Return the compression that the first bytes of a file show; its name does not count."""
    with open(path, "rb") as file:
        start = file.read(4)
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def open_bytes(path: Path, compression: str | None) -> tuple[Any, Any]:
    """Return a stream of a file's bytes after decompression, and the raw file beneath it."""
    raw = pa.OSFile(str(path))
    return (raw if compression is None else pa.CompressedInputStream(raw, compression)), raw


def open_records(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str], int]]:
    """Yield (first line, cells, last line) of each record after the header, slowly but exactly.

    Lines count from 1, the header included; empty lines are passed over.
    """
    stream, _ = open_bytes(path, dialect.compression)
    with stream:
        _skip(stream, dialect.header_bytes)
        text = io.TextIOWrapper(io.BufferedReader(stream), dialect.encoding, newline="")
        reader = csv.reader(text, delimiter=dialect.delimiter)
        before = 0
        for cells in reader:
            if cells:
                yield (
                    dialect.header_lines + before + 1,
                    cells,
                    dialect.header_lines + reader.line_num,
                )
            before = reader.line_num


def _skip(stream: Any, n: int) -> None:
    while n > 0:
        n -= len(stream.read(min(n, _SAMPLE)))


def sniff(path: Path, wanted: Sequence[str]) -> Dialect:
    """Find out how a text table is written.

    Parameters
    ----------
    path
        The file.
    wanted
        Names of columns that should be there; the delimiter that finds them is right.

    Returns
    -------
    Dialect
        How to read it.

    Raises
    ------
    DataError
        If the file is empty, not text, has no delimiter, or its numbers can be read in two ways.
    """
    compression = compression_of(path)
    sample, ended = _read_sample(path, compression)
    encoding, bom, notes = encoding_of(sample)
    body = sample[len(bom) :]
    if not body.strip():
        raise DataError("the file is empty", path=path)
    refuse_nul(body, encoding, path)
    text = codecs.getincrementaldecoder(encoding)().decode(body)
    lines = _whole_lines(text, ended)
    if not lines:
        raise DataError(
            f"no line ends within the first {len(sample):,} bytes: this is not a table", path=path
        )
    delimiter = _delimiter(lines, wanted, path)
    records, header_lines = _records(lines, delimiter)
    header = tuple(name.strip() for name in records[0][1])
    header_text = "".join(lines[:header_lines])
    decimal, points, more = _decimal(records[1:], delimiter, header, set(wanted), path)
    return Dialect(
        compression=compression,
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        header=header,
        header_bytes=len(bom) + len(header_text.encode(encoding)),
        header_lines=header_lines,
        record_bytes=max(len(line) for line in lines),
        ascii=encoding == "utf-8" and body.isascii(),
        points=points,
        notes=(*notes, *more),
    )


def _read_sample(path: Path, compression: str | None) -> tuple[bytes, bool]:
    """Return the first bytes, enough for a few lines, and whether that is all of the file."""
    stream, _ = open_bytes(path, compression)
    with stream:
        sample = b""
        while len(sample) < _LARGEST_SAMPLE:
            more = stream.read(_SAMPLE)
            if not more:
                return sample, True
            sample += more
            if sample.count(b"\n") + sample.count(b"\r") >= 8:
                break
    return sample, False


def _whole_lines(text: str, ended: bool) -> list[str]:
    """Return the lines with their ends, without a last one that the sample may have cut."""
    lines = list(io.StringIO(text, newline=""))
    if not ended and lines:
        lines.pop()
    return lines


def _records(lines: Sequence[str], delimiter: str) -> tuple[list[_Record], int]:
    """Return the first records, each with its line, and the line on which the header ends."""
    reader = csv.reader(iter(lines), delimiter=delimiter)
    records: list[_Record] = []
    header_lines = before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not cells or (not records and not "".join(cells).strip()):
                continue
            records.append((line, cells))
            if len(records) == 1:
                header_lines = reader.line_num
            if len(records) > _SAMPLE_RECORDS:
                break
    except csv.Error:  # an endless quotation: what came before it is sample enough
        pass
    return records or [(1, [""])], header_lines


def _delimiter(lines: Sequence[str], wanted: Sequence[str], path: Path) -> str:
    def score(delimiter: str) -> tuple[int, int, int]:
        records, _ = _records(lines, delimiter)
        names = [name.strip() for name in records[0][1]]
        same = sum(len(cells) == len(names) for _, cells in records)
        return sum(name in names for name in wanted), len(names), same

    scores = {delimiter: score(delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
    if scores[best][1] < 2:
        first = next((line for line in lines if line.strip()), "").rstrip("\r\n")
        shown = first if len(first) <= 60 else first[:60] + "..."
        spaces = " It seems to separate columns by blanks." if " " in first else ""
        raise DataError(
            f"no delimiter found: the first line {shown!r} has one column whether split at comma, "
            f"semicolon, tab or vertical bar.{spaces} Save the table with commas or tabs between "
            "the columns",
            path=path,
            row=1,
        )
    return best


def _decimal(
    records: Sequence[_Record],
    delimiter: str,
    header: Sequence[str],
    ids: set[str],
    path: Path,
) -> tuple[str, bool, list[str]]:
    """Return the decimal mark, whether points were seen, and notes."""
    number = _looks_numeric(records, header, ids)
    cells = [
        (line, j, cell.strip())
        for line, record in records
        for j, cell in enumerate(record)
        if j < len(header) and number(j)
    ]
    commas = [place for place in cells if _DECIMAL_COMMA.fullmatch(place[2])]
    points = [place for place in cells if "." in place[2]]
    if not commas:
        return ".", bool(points), []
    line, j, text = commas[0]
    if points:
        problem = (
            f"{text!r} has a comma, but {points[0][2]!r} (column {header[points[0][1]]!r}) has a "
            "point: use one decimal mark and no thousands separators"
        )
    elif all(_THOUSANDS.fullmatch(cell) for _, _, cell in commas):
        problem = (
            f"{text!r} can be read with a decimal comma or with a thousands separator; save the "
            "numbers with a decimal point and no thousands separators"
        )
    else:
        name = _DELIMITER_NAMES[delimiter]
        note = f"numbers have a decimal comma (such as {text}); columns are separated by {name}"
        return ",", False, [note]
    problem += " (rows are lines of the file; the header is line 1)"
    raise DataError(problem, path=path, row=line, column=header[j])


def _looks_numeric(
    records: Sequence[_Record], header: Sequence[str], ids: set[str]
) -> Callable[[int], bool]:
    """Return a test for columns that are no identifiers and hold no words in the sample."""
    words = {
        j
        for _, record in records
        for j, cell in enumerate(record)
        if any(c.isalpha() and c not in "eE" for c in cell)
    }
    return lambda j: header[j] not in ids and j not in words


def decimal_comma(text: str) -> bool:
    """Whether a cell can only be a number with a decimal comma."""
    text = text.strip()
    return bool(_DECIMAL_COMMA.fullmatch(text)) and not _THOUSANDS.fullmatch(text)
