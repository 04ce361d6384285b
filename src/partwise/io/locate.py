"""Where a text table is wrong; runs only once something is known to be wrong."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from partwise.exceptions import DataError
from partwise.io.checks import MAX_PLACES, describe_value
from partwise.io.columns import Columns, shown
from partwise.io.sniff import Dialect, decimal_comma, open_bytes, open_records

__all__ = ["Fault", "faults", "lines_of_rows", "raise_faults", "undecodable"]

_LARGEST = float(np.finfo(np.float32).max)
_NO_NUMBER = "is not a number"
_MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "."}


@dataclass(frozen=True)
class Fault:
    """One place that cannot be used; `column` is None where the whole line is wrong."""

    line: int
    column: str | None
    text: str
    problem: str


def faults(path: Path, dialect: Dialect, columns: Columns, limit: int = MAX_PLACES) -> list[Fault]:
    """Return the first places of a text table that cannot be used, in the order of the file."""
    found: list[Fault] = []
    width = len(dialect.header)
    last = dialect.header_lines
    try:
        for line, cells, last in open_records(path, dialect):
            if len(cells) != width:
                found.append(_ragged(line, last, cells, columns, dialect))
            else:
                found.extend(_in_record(line, cells, columns, dialect))
            if len(found) >= limit:
                break
    except csv.Error:
        found.append(_unclosed(last + 1))
    return found[:limit]


def _in_record(line: int, cells: list[str], columns: Columns, dialect: Dialect) -> Iterator[Fault]:
    """Yield the cells of one line that cannot be used."""
    for j in columns.ids:
        if "\0" in cells[j]:
            yield Fault(line, columns.header[j], cells[j], "the cell has a NUL byte")
    if dialect.decimal == "." and _all_numbers(cells, columns.features):
        return
    for j in columns.features:
        problem = cell_problem(cells[j], dialect.decimal)
        if problem:
            yield Fault(line, columns.header[j], cells[j], problem)


def _all_numbers(cells: list[str], positions: Iterable[int]) -> bool:
    """Whether all cells are plainly values that can be used; quick, as most lines are sound."""
    texts = [cells[j] for j in positions]
    try:
        return all(0.0 <= float(text) <= _LARGEST and "_" not in text for text in texts)
    except ValueError:
        return False


def cell_problem(cell: str, decimal: str = ".") -> str | None:
    """Say why a cell is no value that can be used; None if it is one."""
    text = cell.strip()
    plain = text.replace(",", ".", 1) if decimal == "," and "." not in text else text
    if decimal == "," and "." in text:
        return f"{cell!r} has a decimal point, but other numbers have a decimal comma"
    if not text:
        return "the cell is empty; a missing value is not zero: fill it or drop the row"
    value = _number(plain)
    if text.lower() in _MISSING or (value is not None and math.isnan(value)):
        return f"{cell!r} is a missing value, which is not zero: fill it or drop the row"
    if value is None:
        if decimal_comma(text):
            return f"{cell!r} has a decimal comma, but other numbers have a decimal point"
        return f"{cell!r} {_NO_NUMBER}; correct it, or choose the feature columns by pattern"
    if math.isinf(value):
        return f"{cell!r} is infinite"
    if abs(value) > _LARGEST:
        return f"{cell!r} is larger than a 32-bit number can hold ({_LARGEST:.3g}): rescale"
    if value < 0:
        return describe_value(value).replace(f"{value:.6g}", f"{cell!r}", 1)
    return None


def _number(text: str) -> float | None:
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _unclosed(line: int) -> Fault:
    return Fault(line, None, "", "a quotation mark is opened in this line and never closed")


def _ragged(line: int, last: int, cells: list[str], columns: Columns, dialect: Dialect) -> Fault:
    have, want = len(cells), len(dialect.header)
    text = dialect.delimiter.join(cells)
    problem = f"the line has {have} cells, but the header has {want}"
    if any("\0" in cell for cell in cells):
        return Fault(line, None, text, "the line has a NUL byte: the file is damaged")
    if last > line and have < want:
        return Fault(line, None, text, f"{problem}: a quotation mark opened here is not closed")
    if have == want + 1 and not cells[-1].strip():
        problem += "; the line ends in a delimiter"
    elif have == want + 1:
        problem += (
            "; if every line has one more, the first column may be row names without a name "
            "(in R: write with col.names = NA, or row.names = FALSE)"
        )
    elif dialect.delimiter == "," and have >= want + max(2, len(columns.features) // 2):
        problem += (
            "; decimal commas cannot be told from commas between columns: save the table with "
            "decimal points, or with semicolons between the columns"
        )
    elif have < want:
        problem += "; cells are missing, or the file was cut off here"
    return Fault(line, None, text, problem)


def lines_of_rows(path: Path, dialect: Dialect, rows: Iterable[int]) -> list[int]:
    """Return the lines of the file at which the given data rows (from 0) begin."""
    wanted = list(rows)
    lines: dict[int, int] = {}
    for row, (line, _, _) in enumerate(open_records(path, dialect)):
        if row in wanted:
            lines[row] = line
            if len(lines) == len(set(wanted)):
                break
    return [lines[row] for row in wanted]


def undecodable(path: Path, dialect: Dialect) -> tuple[int, int]:
    """Return the line and the value of the first byte that is not in the file's encoding."""
    stream, _ = open_bytes(path, dialect.compression)
    with stream:
        line = 0
        for line, text in enumerate(io.BufferedReader(stream), start=1):
            try:
                text.decode(dialect.encoding)
            except UnicodeDecodeError as error:
                return line, text[error.start]
    return line, 0


def raise_faults(path: Path, found: list[Fault]) -> NoReturn:
    """Raise the error for the first fault; it lists the others."""
    first, *others = found
    names = _of_text(found)
    if names:
        held = "the column holds" if len(names) == 1 else f"the columns {shown(names)} hold"
        raise DataError(
            f"{held} text, such as {_short(first.text)}, and cannot be features: keep what "
            "describes rows beside the identifiers (--id-columns, id_columns=...), or choose the "
            "features (--features, features=...)",
            path=path,
            row=first.line,
            column=first.column,
        )
    text = f"{first.problem} (rows are lines of the file; the header is line 1)"
    if others:
        listed = "; ".join(
            f"row {fault.line}"
            + (f", column {fault.column!r}: {_short(fault.text)}" if fault.column else "")
            for fault in others
        )
        more = " (the search stopped there)" if len(found) >= MAX_PLACES else ""
        text += f". Also: {listed}{more}"
    raise DataError(text, path=path, row=first.line, column=first.column)


def _of_text(found: list[Fault]) -> list[str]:
    """Return the columns that are to blame if nothing but words in them was found to be wrong."""
    names = [fault.column for fault in found if fault.column and _NO_NUMBER in fault.problem]
    columns = list(dict.fromkeys(names))
    often = all(names.count(name) > 1 for name in columns)
    return columns if len(names) == len(found) >= MAX_PLACES and often else []


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:30] + "...")
