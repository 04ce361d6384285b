"""Tables out: CSV and Parquet, whole or not at all, a range of rows at a time."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from partwise.exceptions import UsageError
from partwise.io.csv_text import TextColumn, cell_text
from partwise.utils.atomic import atomic_path
from partwise.utils.threads import resolve_threads, run_tasks

__all__ = ["write_csv", "write_parquet"]

_ROWS = 2**16
_CELLS = 2**22
_GROUP_ROWS = 2**18
_PACKED = {".gz": "gzip", ".zst": "zstd"}


def write_csv(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    identifiers: Collection[str] = (),
    delimiter: str = ",",
    chunk_rows: int | None = None,
    n_threads: int | None = None,
) -> tuple[str, ...]:
    """Write columns as delimited text (UTF-8, a header, lines ending in a line feed).

    Numbers are written with the fewest digits that give the same number back when read as the same
    type; NaN and missing values are empty cells. Text is quoted only where it must be. Cells that a
    spreadsheet would run as a formula (they start with = + - @, a tab or a carriage return, and are
    no numbers) get an apostrophe in front. In the columns named in `identifiers` only those do
    that could call something: they start with = @ or a control character, or with + or - and have
    ( | or !; all others come back exactly as they were read.

    Parameters
    ----------
    path
        Where; compressed if the name ends in .gz or .zst.
    columns
        Name to values, all of one length: arrays, lists, pandas columns or categoricals.
    identifiers
        Names of the columns whose values come from the input's own identifiers.
    delimiter
        One character.
    chunk_rows
        Rows of text to hold at a time; never changes the file.
    n_threads
        Threads that format numbers; never changes the file.

    Returns
    -------
    tuple of str
        What should be known, such as cells that were made harmless.

    Raises
    ------
    UsageError
        If the columns differ in length.
    ResourceError
        If the disk is full or not ours to write; an earlier file at `path` stays whole.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> write_csv(path, {"cell": ["a", "b,c"], "value": np.float32([0.1, 2])})
    ()
    >>> print(path.read_text(), end="")
    cell,value
    a,0.1
    "b,c",2
    """
    n = _length(columns)
    texts = {
        name: TextColumn(values, identifier=name in identifiers, delimiter=delimiter)
        for name, values in columns.items()
    }
    header = delimiter.join(
        cell_text(name, identifier=name in identifiers, delimiter=delimiter) for name in columns
    )
    threads = resolve_threads(n_threads)
    compression = _PACKED.get(Path(path).suffix.lower())
    with (
        atomic_path(path) as temporary,
        pa.output_stream(str(temporary), compression=compression) as stream,
    ):
        stream.write(header.encode() + b"\n")
        held = chunk_rows or 2 * threads * _ROWS
        # the text of a job must stay far below the 2 GiB that 32-bit offsets can address
        rows = max(1, min(_ROWS, -(-held // threads), _CELLS // len(columns)))
        jobs = [
            partial(_lines, list(texts.values()), delimiter, first, min(first + rows, n))
            for first in range(0, n, rows)
        ]
        # few at a time, so that little text is held
        some = max(threads, held // rows)
        for first in range(0, len(jobs), some):
            for lines in run_tasks(threads, jobs[first : first + some]):
                stream.write(lines)
    pa.default_memory_pool().release_unused()
    return tuple(
        f"{text.changed:,} {'value' if text.changed == 1 else 'values'} of column {name!r} begin "
        "like a formula and were given an apostrophe in front"
        for name, text in texts.items()
        if text.changed
    )


def write_parquet(
    path: str | os.PathLike[str], columns: Mapping[str, Any], *, chunk_rows: int | None = None
) -> tuple[str, ...]:
    """Write columns as Parquet (zstd, with checksums), names and values exactly as they are.

    Parameters
    ----------
    path
        Where.
    columns
        Name to values, all of one length: arrays, lists, pandas columns or categoricals.
    chunk_rows
        Rows per row group.

    Returns
    -------
    tuple of str
        What should be known; empty, as nothing is changed.

    Raises
    ------
    UsageError
        If the columns differ in length.
    ResourceError
        If the disk is full or not ours to write; an earlier file at `path` stays whole.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.parquet"
    >>> write_parquet(path, {"cell": ["=a", "b"], "value": np.float32([0.1, 2])})
    ()
    >>> pd.read_parquet(path)["cell"].tolist()
    ['=a', 'b']
    """
    n = _length(columns)
    with atomic_path(path) as temporary:
        writer = None
        try:
            for batch in _batches(columns, n, chunk_rows or _GROUP_ROWS):
                if writer is None:
                    writer = pq.ParquetWriter(
                        temporary, batch.schema, compression="zstd", write_page_checksum=True
                    )
                writer.write_batch(batch)
        finally:
            if writer is not None:
                writer.close()
    return ()


def _length(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"the columns differ in length: {lengths}")
    if not lengths:
        raise UsageError("there are no columns to write")
    return next(iter(lengths.values()))


def _lines(columns: Sequence[TextColumn], delimiter: str, start: int, stop: int) -> Any:
    """Return rows start..stop as the bytes of whole lines."""
    texts = [column.text(start, stop) for column in columns]
    texts[-1] = pc.binary_join_element_wise(texts[-1], "", "\n")
    # one array of text is one run of bytes with offsets: exactly the lines, one after another
    joined = pc.binary_join_element_wise(*texts, delimiter) if len(texts) > 1 else texts[0]
    offsets = np.frombuffer(joined.buffers()[1], dtype=np.int32)
    first, last = offsets[joined.offset], offsets[joined.offset + len(joined)]
    return memoryview(joined.buffers()[2])[first:last]


def _batches(columns: Mapping[str, Any], n: int, rows: int) -> Iterator[pa.RecordBatch]:
    for first in range(0, max(n, 1), rows):
        last = min(first + rows, n)
        arrays = [_arrow(values, first, last) for values in columns.values()]
        yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _arrow(values: Any, start: int, stop: int) -> pa.Array:
    if isinstance(values, pd.Series):
        values = values.array
    part = values[start:stop]
    if isinstance(part, pa.Array):
        return part
    array = pa.array(part)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
