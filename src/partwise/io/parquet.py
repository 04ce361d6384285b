"""Parquet tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from partwise.exceptions import DataError
from partwise.io.columns import Columns, choose_columns, shown
from partwise.io.finishing import checked, without_values
from partwise.io.identifiers import Identifiers, row_numbers
from partwise.io.request import Parsed, Request
from partwise.io.sources import ParquetSource

__all__ = ["read_parquet"]

_ROWS = 2**16


def read_parquet(request: Request) -> Parsed:
    """Read a Parquet table; row groups are streamed where the values exceed the memory limit."""
    path = request.path
    try:
        # page checksums are verified where the writer put them
        file = pq.ParquetFile(path, page_checksum_verification=True)
        columns = choose_columns(
            file.schema_arrow.names,
            path=path,
            id_columns=request.id_columns,
            features=request.features,
            metadata=request.metadata,
            coordinates=request.coordinates,
        )
        _refuse_text(file, columns, request)
        ids, notes = _identifiers(file, columns)
        notes = [*columns.notes, *notes]
        if not columns.features:
            return without_values(request, ids, notes, columns.coordinates)
        source = ParquetSource(file, columns.feature_names, request.n_threads > 1)
        found = checked(request, ids, columns.feature_names, source, notes)
        return found._replace(coordinates=columns.coordinates)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"the Parquet file is damaged or cut off ({error})", path=path) from error


def _refuse_text(file: Any, columns: Columns, request: Request) -> None:
    schema = file.schema_arrow
    numbers = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
    wrong = [
        name
        for name in columns.feature_names
        if not any(test(schema.field(name).type) for test in numbers)
    ]
    if wrong:
        raise DataError(
            f"the column holds {schema.field(wrong[0]).type}, not numbers (so do {len(wrong)} in "
            f"all: {shown(wrong)}); choose the features by pattern, or name it an identifier",
            path=request.path,
            column=wrong[0],
        )


def _identifiers(file: Any, columns: Columns) -> tuple[Any, list[str]]:
    if not columns.ids:
        return row_numbers(file.metadata.num_rows), []
    names = list(columns.id_names)
    ids = Identifiers(names, columns.coordinates)
    for batch in file.iter_batches(batch_size=_ROWS, columns=names):
        ids.add([as_text(batch.column(name)) for name in names])
    return ids.finish()


def as_text(array: Any) -> Any:
    """Return an Arrow array as text (or as a dictionary of text); null becomes empty text."""
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    return array.cast(pa.string()).fill_null("")
