"""Tables as columns of text, or of numbers that may be negative or missing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.io.columns import shown
from partwise.io.locate import cell_problem
from partwise.io.sniff import Dialect, open_bytes, open_records, sniff

__all__ = ["Columns", "open_columns"]

_MISSING = ("", "NA", "N/A", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None", "none")
_LINES = "(rows are lines of the file; the header is line 1)"


@dataclass(frozen=True)
class Columns:
    """The columns of a table, by position.

    Attributes
    ----------
    header
        Their names.
    kind
        "text" or "parquet".
    bare
        Whether the file has no line of names: `header` then are made up.
    notes
        What was unusual.
    is_text
        Whether a column holds anything but numbers.
    texts
        Returns a column as text.
    numbers
        Returns columns as a matrix, rows x columns; missing values are NaN.
    """

    header: tuple[str, ...]
    kind: str
    bare: bool
    notes: tuple[str, ...]
    is_text: Callable[[int], bool]
    texts: Callable[[int], list[str]]
    numbers: Callable[[Sequence[int] | range], npt.NDArray[Any]]


def open_columns(path: Path, *, missing: str) -> Columns:
    """Open a CSV, TSV or Parquet table.

    Parameters
    ----------
    path
        The file.
    missing
        "raise" or "hide": whether an empty cell or one such as "NA" is refused where a number is
        needed.

    Returns
    -------
    Columns
        Its columns.

    Raises
    ------
    DataError
        If the file is damaged, empty or no table; names line and column.
    """
    with open(path, "rb") as file:
        parquet = file.read(4) == b"PAR1"
    return _parquet(path) if parquet else _text(path, missing)


def _parquet(path: Path) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from partwise.io.parquet import as_text

    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"the Parquet file is damaged or cut off ({error})", path=path) from error
    if table.num_rows == 0:
        raise DataError("the table has no rows", path=path)
    types = table.schema.types
    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
    wide = any(str(kind) in ("double", "int64", "uint64", "int32", "uint32") for kind in types)
    dtype = np.dtype(np.float64 if wide else np.float32)

    def numbers(positions: Sequence[int] | range) -> npt.NDArray[Any]:
        out = np.empty((table.num_rows, len(positions)), dtype)
        for k, j in enumerate(positions):
            column = table.column(j).cast("float64" if wide else "float32", safe=False)
            out[:, k] = column.to_numpy()
        return out

    return Columns(
        header=tuple(table.column_names),
        kind="parquet",
        bare=False,
        notes=(),
        is_text=lambda j: not any(test(types[j]) for test in tests),
        texts=lambda j: [
            text for part in table.column(j).chunks for text in as_text(part).to_pylist()
        ],
        numbers=numbers,
    )


def _text(path: Path, missing: str) -> Columns:
    from partwise.io.text import damage_text

    try:
        dialect = sniff(path, ())
        bare = _is_bare(dialect.header)
        table = _parsed(path, dialect, bare)
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise DataError(damage_text(error), path=path) from error
    if table.num_rows == 0:
        raise DataError("the file has a header but no rows", path=path)
    words = {}

    def column(j: int) -> npt.NDArray[np.float64] | None:
        """Return a column as numbers; None where a cell is neither one nor missing."""
        if j not in words:
            words[j] = _as_numbers(table.column(j), dialect.decimal)
        return words[j]

    def numbers(positions: Sequence[int] | range) -> npt.NDArray[Any]:
        out = np.empty((table.num_rows, len(positions)))
        for k, j in enumerate(positions):
            found = column(j)
            if found is None or (missing == "raise" and np.isnan(found).any()):
                _refuse(path, dialect, positions, missing, bare)
            out[:, k] = found
        return out

    header = tuple(f"column_{j + 1}" for j in range(len(dialect.header)))
    return Columns(
        header=header if bare else dialect.header,
        kind="text",
        bare=bare,
        notes=dialect.notes,
        # one bad cell does not make words of a column of numbers
        is_text=lambda j: column(j) is None and _mostly_words(table.column(j), dialect.decimal),
        texts=lambda j: table.column(j).to_pylist(),
        numbers=numbers,
    )


def _is_bare(header: Sequence[str]) -> bool:
    """Whether the first line is data: numbers that are not just the numbers of the columns."""
    try:
        values = [float(name.replace(",", ".")) for name in header]
    except ValueError:
        return False
    return values not in ([float(j + k) for j in range(len(values))] for k in (0, 1))


def _parsed(path: Path, dialect: Dialect, bare: bool) -> Any:
    """Return the cells as text, an Arrow table."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    n = len(dialect.header)
    names = [str(j) for j in range(n)]
    skip = dialect.header_bytes
    if bare:  # what precedes the first line: a byte order mark
        skip = 0
    stream, _ = open_bytes(path, dialect.compression)
    try:
        with stream:
            while skip > 0:
                skip -= len(stream.read(skip))
            return pa_csv.read_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    column_names=names, encoding=dialect.encoding, block_size=2**24
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=dialect.delimiter, newlines_in_values=True
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                ),
            )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise DataError("the file has a header but no rows", path=path) from error
        _refuse_ragged(path, dialect, bare)
        raise DataError(f"the text cannot be read as a table: {error}", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"the text is not {dialect.encoding} throughout; save it as UTF-8", path=path
        ) from error


def _as_numbers(cells: Any, decimal: str) -> npt.NDArray[np.float64] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pc.utf8_trim_whitespace(cells)
    if decimal == ",":
        cells = pc.replace_substring(cells, ",", ".")
    cells = pc.if_else(pc.is_in(cells, value_set=pa.array(_MISSING)), None, cells)
    try:
        values = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _mostly_words(cells: Any, decimal: str) -> bool:
    """Whether less than half of the first cells are numbers."""
    some = cells.slice(0, 200).to_pylist()
    good = sum(_problem(cell, decimal, "hide") is None for cell in some)
    return 2 * good < len(some)


def _problem(cell: str, decimal: str, missing: str) -> str | None:
    """Say why a cell is no number; None if it is one, whatever its sign."""
    if cell.strip() in _MISSING:
        if missing == "hide":
            return None
        shown_cell = f"{cell!r} is a missing value" if cell.strip() else "the cell is empty"
        return (
            f"{shown_cell}; a missing value is not zero: hide missing values from the fit with "
            "--missing hide (missing='hide'), or fill them"
        )
    problem = cell_problem(cell, decimal)
    if problem is None or "is negative" in problem:
        return None
    return problem.replace(
        "choose the feature columns by pattern", "leave the column out of the table"
    ).replace("drop the row", "give it as NaN and hide it (missing='hide')")


def _refuse(
    path: Path, dialect: Dialect, positions: Sequence[int] | range, missing: str, bare: bool
) -> NoReturn:
    """Raise for the first cell of these columns that is no number."""
    lines = _LINES if not bare else "(rows are lines of the file)"
    for line, cells, _ in open_records(path, dialect):
        for j in positions:
            problem = _problem(cells[j], dialect.decimal, missing)
            if problem and "\n" in cells[j].strip():
                problem = "a quotation mark is opened in this line and never closed"
            if problem:
                name = f"{j + 1}" if bare else dialect.header[j]
                raise DataError(f"{problem} {lines}", path=path, row=line, column=name)
    raise DataError(  # the line that would be the header
        f"the first line cannot be read as numbers: {shown(dialect.header)}", path=path, row=1
    )


def _refuse_ragged(path: Path, dialect: Dialect, bare: bool) -> None:
    """Raise for the first line that has another number of cells."""
    wanted = len(dialect.header)
    before = dialect.header_lines
    try:
        for line, cells, before in open_records(path, dialect):  # noqa: B007 (in the except)
            if len(cells) != wanted:
                first = "first line" if bare else "header"
                raise DataError(
                    f"the line has {len(cells)} cells, but the {first} has {wanted}; cells are "
                    f"missing or too many, or the file was cut off here {_LINES}",
                    path=path,
                    row=line,
                )
    except csv.Error as error:
        raise DataError(
            "a quotation mark is opened in this line and never closed", path=path, row=before + 1
        ) from error
