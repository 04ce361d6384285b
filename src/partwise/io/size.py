"""How many rows a table has, found out without reading its values."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from partwise.exceptions import DataError
from partwise.io.opening import kind_of

__all__ = ["Size", "size_of"]

_PIECE = 2**22
_COUNTED = 2**31  # lines of larger files are counted in samples
_SAMPLES = 64
_UNPACKED = 2**26


class Size(NamedTuple):
    """Rows and columns of a table.

    Attributes
    ----------
    n_rows
        Rows.
    exact
        Whether they were counted or are told by the file, not estimated from a part of it.
    n_columns
        Columns of the matrix; None where only the header of a text or Parquet table tells.
    """

    n_rows: int
    exact: bool
    n_columns: int | None = None


def size_of(path: str | Path) -> Size:
    r"""Return how many rows a table has; its values are not parsed.

    Parameters
    ----------
    path
        Any file that `open_table` reads.

    Returns
    -------
    Size
        Lines of a text table are counted (each a row), in samples where the file is compressed or
        beyond 2 GB; other files tell.

    Raises
    ------
    DataError
        If the file is missing or damaged.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("fov,A\nF1,1\nF2,2\n")
    >>> size_of(path)
    Size(n_rows=2, exact=True, n_columns=None)
    """
    path = Path(path)
    kind = kind_of(path)
    try:
        return _SIZES[kind](path)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"the file is damaged or cut off ({error})", path=path) from error


def _text(path: Path) -> Size:
    from partwise.io.sniff import sniff

    dialect = sniff(path, ())
    if dialect.compression is not None:
        return _compressed(path, dialect)
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        if n_bytes <= _COUNTED:
            lines = 0
            last = b""
            while piece := file.read(_PIECE):
                lines += piece.count(b"\n")
                last = piece
            return Size(lines + (not last.endswith(b"\n")) - dialect.header_lines, True)
        counted = 0
        for start in np.linspace(0, n_bytes - _PIECE, _SAMPLES).astype(np.int64):
            file.seek(int(start))
            counted += file.read(_PIECE).count(b"\n")
    return Size(round(counted / (_SAMPLES * _PIECE) * n_bytes), False)


def _compressed(path: Path, dialect: Any) -> Size:
    """Count the lines of the beginning, and go by how much of the file that was."""
    from partwise.io.sniff import open_bytes

    stream, raw = open_bytes(path, dialect.compression)
    lines = unpacked = 0
    last = b""
    with stream:
        while unpacked < _UNPACKED and (piece := stream.read(_PIECE)):
            lines, unpacked, last = lines + piece.count(b"\n"), unpacked + len(piece), piece
        ended = unpacked < _UNPACKED
        share = 1.0 if ended else raw.tell() / path.stat().st_size
    lines += ended and not last.endswith(b"\n")
    return Size(round(lines / share) - dialect.header_lines, ended)


def _parquet(path: Path) -> Size:
    import pyarrow.parquet as pq

    return Size(pq.ParquetFile(path).metadata.num_rows, True)


def _h5ad(path: Path) -> Size:
    import h5py

    with h5py.File(path, "r") as root:
        return _annotated(root["X"])


def _zarr(path: Path) -> Size:
    import zarr

    return _annotated(zarr.open_group(str(path), mode="r")["X"])


def _annotated(x: Any) -> Size:
    n, p = x.attrs["shape"] if hasattr(x, "keys") else x.shape
    return Size(int(n), True, int(p))


def _npy(path: Path) -> Size:
    n, p = np.load(path, mmap_mode="r", allow_pickle=False).shape
    return Size(int(n), True, int(p))


def _npz(path: Path) -> Size:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "shape.npy" in names:  # what scipy.sparse.save_npz wrote
            with np.load(path, allow_pickle=False) as arrays:
                n, p = arrays["shape"]
            return Size(int(n), True, int(p))
        shapes = [shape for name in names if len(shape := _shape(archive, name)) == 2]
    n, p = max(shapes)
    return Size(n, True, p)


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        return tuple(read(member)[0])


def _mtx(path: Path) -> Size:
    with open(path, "rb") as start:
        packed = start.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        line = file.readline()
        while line.startswith(b"%") or (line and not line.strip()):
            line = file.readline()
    n, p = (int(word) for word in line.split()[:2])
    return Size(n, True, p)


_SIZES = {
    "text": _text,
    "parquet": _parquet,
    "h5ad": _h5ad,
    "zarr": _zarr,
    "npy": _npy,
    "npz": _npz,
    "mtx": _mtx,
}
