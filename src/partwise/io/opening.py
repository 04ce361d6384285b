"""`open_table`: one door for every kind of file."""

from __future__ import annotations

import gzip
import importlib
import os
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.io.request import Parsed, Request
from partwise.io.table import Table
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads

__all__ = ["MEMORY_LIMIT", "kind_of", "open_table", "stem_of"]

#: Values up to this many bytes are held in memory; beyond, they are read from disk when needed.
MEMORY_LIMIT = 2**28

_MAGIC = {
    b"PAR1": "parquet",
    b"\x89HDF\r\n\x1a\n": "h5ad",
    b"\x93NUMPY": "npy",
    b"%%MatrixMarket": "mtx",
}
_REFUSED = {
    b"%PDF": "this is a PDF document, not a table; save the table it shows as CSV",
    b"\xd0\xcf\x11\xe0": "this is an old Excel workbook; save the sheet as CSV",
    b"\xfd7zXZ\x00": "the file is compressed by xz; unpack it, or use gzip or zstd",
    b"MATLAB": "this is a MATLAB file; save the table as CSV, or the matrix as npy",
    b"ARROW1": "this is an Arrow (Feather) file; save the table as Parquet",
}
_ZARR = ("zarr.json", ".zgroup", ".zmetadata")
_COMPRESSED = re.compile(r"\.(gz|zst|zstd|bz2|bgz)$", re.IGNORECASE)
_KNOWN = re.compile(
    r"\.(csv|tsv|tab|txt|parquet|pq|h5ad|zarr|npy|npz|mtx|mat|nwb|h5|hdf5)$", re.IGNORECASE
)


def open_table(
    path: str | os.PathLike[str],
    *,
    id_columns: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    layer: str | None = None,
    metadata: Sequence[str] = (),
    coordinates: Sequence[str] | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    chunk_rows: int | None = None,
    min_rows: int = 2,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Table:
    r"""Open a table of non-negative values, whatever kind of file it is in.

    Parameters
    ----------
    path
        CSV or TSV (plain, gzip, zstd, bzip2; delimiter, decimal mark and encoding are found out),
        Parquet, h5ad, AnnData in Zarr, npy, npz (an array or what `scipy.sparse.save_npz` wrote),
        Matrix Market. What it is shows in its first bytes, not in its name.
    id_columns
        Names of the columns that identify a row; `("fov", "label", "cell_meta_cluster")` by
        default. All other columns are features. In h5ad and Zarr they are columns of obs, and
        the names of the observations come first, as `cell`, where one of the three is not there.
        Files without names get `row`, counted from 0.
    features
        Glob patterns such as `"CD*"`: only the columns that match one are features, in the order of
        the file. An empty sequence: none, the identifiers alone.
    layer
        Layer of an h5ad or Zarr file to read in place of X.
    metadata
        Names of further columns that describe a row and are no features: they join the
        identifiers, whichever these are.
    coordinates
        Names of the columns that say where a cell is: they join the identifiers, as float64. If
        None, columns with a usual name (`centroid-0`, `centroid-1`; `x`, `y`; ...) beside `fov` and
        `label` are taken. In h5ad and Zarr also `"spatial"`, the positions in obsm, which become
        `spatial-0`, `spatial-1`; None means none there.
    spool_dir
        Folder for parsed rows that exceed `memory_limit`; the system's temporary folder by default.
        The file there has no name and is gone when the table is closed or the process ends.
    memory_limit
        Bytes of values that may be held in memory.
    chunk_rows
        Rows of a text file to parse at a time, fewer where they are wide; chosen by the
        width of the table if None. Never changes the result.
    min_rows
        Least number of rows, 1 or 2; fewer are an error.
    n_threads
        Threads for parsing; never changes the result.
    progress
        Who is told how far reading is.

    Returns
    -------
    Table
        Identifiers, feature names, values and notes. Close it, or use it in a `with` statement.

    Raises
    ------
    DataError
        If the file is missing, damaged or holds what cannot be used; names row and column.
    ResourceError
        If memory or disk do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "cells.tsv"
    >>> _ = path.write_text("sample\tA\tB\nS1\t1\t0\nS2\t0\t2\n")
    >>> with open_table(path, id_columns=["sample"]) as table:
    ...     print(table.matrix)
    [[1. 0.]
     [0. 2.]]
    """
    path = Path(path)
    if isinstance(id_columns, str):
        id_columns = (id_columns,)
    if isinstance(features, str):
        features = (features,)
    if memory_limit < 0:
        raise UsageError(f"memory_limit must be 0 or more bytes, not {memory_limit}")
    if min_rows not in (1, 2):
        raise UsageError(f"min_rows must be 1 or 2, not {min_rows}")
    if chunk_rows is not None and chunk_rows < 1:
        raise UsageError(f"chunk_rows must be 1 or more, not {chunk_rows}")
    request = Request(
        path=path,
        id_columns=id_columns,
        features=features,
        spool_dir=None if spool_dir is None else Path(spool_dir),
        memory_limit=memory_limit,
        n_threads=resolve_threads(n_threads),
        progress=progress or silent(),
        chunk_rows=chunk_rows,
        layer=layer,
        min_rows=min_rows,
        metadata=(metadata,) if isinstance(metadata, str) else tuple(metadata),
        coordinates=(coordinates,) if isinstance(coordinates, str) else coordinates,
    )
    try:
        kind = kind_of(path)
        if layer is not None and kind not in ("h5ad", "zarr"):
            raise UsageError(f"{path} has no layers; only AnnData (h5ad, zarr) has")
        parsed = _reader(kind)(request)
        _release_arrow()
    except MemoryError as error:
        raise ResourceError(
            f"{path}: not enough memory to read the table; choose fewer columns (features=...)"
        ) from error
    except PermissionError as error:
        raise ResourceError(f"{path}: permission to read was denied") from error
    return Table(
        path=path,
        name=stem_of(path),
        kind=kind,
        ids=parsed.ids,
        features=parsed.features,
        matrix=parsed.matrix,
        notes=tuple(parsed.notes),
        coordinates=parsed.coordinates,
        _close=getattr(parsed.matrix, "close", None),
    )


def _release_arrow() -> None:
    """Give back to the system what reading took: the later stages need it."""
    library = sys.modules.get("pyarrow")
    if library is not None:
        library.default_memory_pool().release_unused()


def stem_of(path: Path) -> str:
    """Return a file's name without what says its format: `a.b.csv.gz` gives `a.b`.

    Examples
    --------
    >>> stem_of(Path("results/cells.v2.csv.gz"))
    'cells.v2'
    """
    name = _COMPRESSED.sub("", path.name)
    return _KNOWN.sub("", name) or path.name


def _reader(kind: str) -> Callable[[Request], Parsed]:
    """Return the reader of a kind of file; what it imports is loaded only then."""
    module, name = {
        "text": ("text", "read_text"),
        "parquet": ("parquet", "read_parquet"),
        "h5ad": ("annotated", "read_h5ad"),
        "zarr": ("annotated", "read_zarr"),
        "npy": ("arrays", "read_npy"),
        "npz": ("arrays", "read_npz"),
        "mtx": ("mtx", "read_mtx"),
    }[kind]
    reader: Callable[[Request], Parsed] = getattr(
        importlib.import_module(f"partwise.io.{module}"), name
    )
    return reader


def kind_of(path: Path) -> str:
    """Return what a file is, by its first bytes; its name does not count.

    Returns
    -------
    str
        "text", "parquet", "h5ad", "zarr", "npy", "npz" or "mtx".

    Raises
    ------
    DataError
        If there is no such file, or it is of a kind that cannot be read.
    """
    if not path.exists():
        raise DataError("there is no such file", path=path)
    if path.is_dir():
        if any((path / name).is_file() for name in _ZARR):
            return "zarr"
        raise DataError("this is a folder; name a file in it", path=path)
    with open(path, "rb") as file:
        start = file.read(64)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    for magic, text in _REFUSED.items():
        if start.startswith(magic):
            raise DataError(text, path=path)
    if start.startswith(b"\x1f\x8b") and _starts_as_mtx(path):
        return "mtx"
    return "text"


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise DataError(
            f"the file is a damaged or cut off zip or npz file ({error})", path=path
        ) from error
    if any(name in _ZARR for name in names):
        raise DataError("this is a zipped Zarr folder; unpack it first", path=path)
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if any(name.startswith("xl/") for name in names):
        raise DataError("this is an Excel workbook; save the sheet as CSV", path=path)
    raise DataError("this is a zip file; unpack it first", path=path)


def _starts_as_mtx(path: Path) -> bool:
    try:
        with gzip.open(path) as file:
            return file.read(14) == b"%%MatrixMarket"
    except (OSError, EOFError):
        return False  # the reader of text says what is wrong with it
