"""A look at the beginning of a table, to find out what it is about before it is read."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from partwise.exceptions import DataError
from partwise.io.opening import kind_of
from partwise.io.positions import SPATIAL

__all__ = ["Peek", "peek"]

_ROWS = 1_000


@dataclass(frozen=True)
class Peek:
    """What the beginning of a table shows.

    Attributes
    ----------
    kind
        As in `Table.kind`.
    names
        Columns of the table; of AnnData, those of obs.
    features
        Of AnnData, the names of the features; empty otherwise.
    rows
        The first rows, as text, a column per name.
    spatial
        Whether AnnData has positions in obsm.
    """

    kind: str
    names: tuple[str, ...]
    features: tuple[str, ...]
    rows: pd.DataFrame
    spatial: bool = False

    def numeric(self, name: str) -> bool:
        """Whether the first values of a column are all numbers."""
        column = self.rows[name].str.strip().str.replace(",", ".", n=1, regex=False)
        return bool(pd.to_numeric(column, errors="coerce").notna().all())


def peek(path: Path, *, wanted: tuple[str, ...] = ()) -> Peek | None:
    """Look at the first rows of a table; None for a file that has no named columns.

    Parameters
    ----------
    path
        The file.
    wanted
        Names that should be there; in text, the delimiter that finds them is right.
    """
    kind = kind_of(path)
    if kind == "text":
        return _text(path, wanted)
    if kind == "parquet":
        return _parquet(path)
    if kind in ("h5ad", "zarr"):
        return _annotated(path, kind)
    return None


def _text(path: Path, wanted: tuple[str, ...]) -> Peek:
    from partwise.io.sniff import open_records, sniff
    from partwise.io.text import damage_text

    try:
        dialect = sniff(path, wanted)
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise DataError(damage_text(error), path=path) from error
    try:
        records = [cells for _, cells, _ in itertools.islice(open_records(path, dialect), _ROWS)]
    except (ValueError, OSError, csv.Error):
        records = []  # the reader says what is wrong, and where
    width = len(dialect.header)
    rows = pd.DataFrame([cells for cells in records if len(cells) == width], columns=range(width))
    return _peek("text", dialect.header, rows)


def _parquet(path: Path) -> Peek:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = tuple(file.schema_arrow.names)
        batch = next(file.iter_batches(batch_size=_ROWS), None)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the Parquet file is damaged or cut off ({error})", path=path) from error
    rows = pd.DataFrame(columns=range(len(names))) if batch is None else batch.to_pandas()
    rows.columns = range(rows.shape[1])
    return _peek("parquet", names, rows)


def _peek(kind: str, names: tuple[str, ...], rows: pd.DataFrame, **more: Any) -> Peek:
    """Keep the first of columns of one name."""
    first = {name: names.index(name) for name in names}
    chosen = rows[list(first.values())]
    texts = chosen.astype(str).where(chosen.notna().to_numpy(), "")
    texts.columns = list(first)
    return Peek(kind, tuple(first), more.pop("features", ()), texts, **more)


def _annotated(path: Path, kind: str) -> Peek | None:
    import h5py
    from anndata.io import read_elem

    try:
        if kind == "zarr":
            import zarr

            root: Any = zarr.open_group(str(path), mode="r")
        else:
            root = h5py.File(path, "r")
        if "obs" not in root or "var" not in root:
            return None  # the reader says what is wrong
        obs = root["obs"]
        names = tuple(map(str, obs.attrs.get("column-order", [])))
        rows = pd.DataFrame({j: _head(obs[name], read_elem) for j, name in enumerate(names)})
        features = tuple(map(str, read_elem(root["var"][root["var"].attrs["_index"]])))
        spatial = "obsm" in root and SPATIAL in root["obsm"]
        if kind == "h5ad":
            root.close()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError):
        return None  # the reader says what is wrong
    return _peek(kind, names, rows, features=features, spatial=spatial)


def _head(element: Any, read: Any) -> Any:
    """Return the first values of a column of obs; of a categorical, one of each."""
    if not hasattr(element, "keys"):  # a plain array: no need to read all of it
        values = np.asarray(element[:_ROWS])
        texts = [value.decode() if isinstance(value, bytes) else value for value in values]
        return pd.Series(texts).reindex(range(_ROWS))
    column = pd.Series(read(element))
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(column.cat.categories.astype(str)[:_ROWS]).reindex(range(_ROWS))
    return column.head(_ROWS).reset_index(drop=True).reindex(range(_ROWS))
