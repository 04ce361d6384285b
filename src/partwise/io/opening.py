"""`open_table`: one door for every kind of file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.io.table import Table
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads

__all__ = ["MEMORY_LIMIT", "kind_of", "open_table", "stem_of"]

#: Values up to this many bytes are held in memory; beyond, they are read from disk when needed.
MEMORY_LIMIT = 2**28

_COMPRESSED = re.compile(r"\.(gz|zst|zstd|bz2|bgz)$", re.IGNORECASE)
_KNOWN = re.compile(r"\.(csv|tsv|tab|txt|parquet|pq|h5ad|zarr|npy|npz|mtx)$", re.IGNORECASE)


def open_table(
    path: str | os.PathLike[str],
    *,
    id_columns: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Table:
    """Open a table of non-negative values, whatever kind of file it is in.

    Parameters
    ----------
    path
        CSV or TSV (plain, gzip, zstd, bzip2; delimiter, decimal mark and encoding are found out).
    id_columns
        Names of the columns that identify a row; `("fov", "label", "cell_meta_cluster")` by
        default. All other columns are features.
    features
        Glob patterns such as `"CD*"`: only the columns that match one are features, in the order of
        the file.
    spool_dir
        Folder for parsed rows that exceed `memory_limit`; the system's temporary folder by default.
        The file there has no name and is gone when the table is closed or the process ends.
    memory_limit
        Bytes of values that may be held in memory.
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
    >>> path = Path(tempfile.mkdtemp()) / "cells.tsv"
    >>> _ = path.write_text("sample\\tA\\tB\\nS1\\t1\\t0\\nS2\\t0\\t2\\n")
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
    threads = resolve_threads(n_threads)
    kind = kind_of(path)
    from partwise.io.text import read_text

    try:
        parsed = read_text(
            path,
            id_columns=id_columns,
            features=features,
            spool_dir=None if spool_dir is None else Path(spool_dir),
            memory_limit=memory_limit,
            n_threads=threads,
            progress=progress or silent(),
        )
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
        _close=getattr(parsed.matrix, "close", None),
    )


def stem_of(path: Path) -> str:
    """Return a file's name without what says its format: `a.b.csv.gz` gives `a.b`.

    Examples
    --------
    >>> stem_of(Path("results/cells.v2.csv.gz"))
    'cells.v2'
    """
    name = _COMPRESSED.sub("", path.name)
    return _KNOWN.sub("", name) or path.name


def kind_of(path: Path) -> str:
    """Return what a file is by its first bytes, and by its name only where these do not tell."""
    if not path.exists():
        raise DataError("there is no such file", path=path)
    if path.is_dir():
        raise DataError("this is a folder; give the file in it", path=path)
    return "text"
