"""Bare matrices: NumPy's files, which name neither rows nor columns."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.io.columns import match_features, shown
from partwise.io.finishing import checked
from partwise.io.identifiers import row_numbers
from partwise.io.request import Parsed, Request
from partwise.io.sources import DenseSource, value_dtype

__all__ = ["bare_matrix", "damaged", "read_npy", "read_npz", "refuse_bomb"]

#: Under these names an array in an npz file is taken for the matrix if there are several.
_NAMES = ("X", "x", "matrix", "arr_0", "data")
_DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)


def read_npy(request: Request) -> Parsed:
    """Read one array that `numpy.save` wrote; mapped, not loaded, if it is large."""
    try:
        array = np.load(request.path, mmap_mode="r", allow_pickle=False)
    except _DAMAGE as error:
        raise damaged(request.path, "npy", error) from error
    return bare_matrix(request, array)


def read_npz(request: Request) -> Parsed:
    """Read what `scipy.sparse.save_npz` or `numpy.savez` wrote."""
    try:
        with np.load(request.path, allow_pickle=False) as archive:
            refuse_bomb(request.path, archive)
            if "format" in archive.files and "shape" in archive.files:
                matrix = _load_sparse(request, archive)
            else:
                matrix = _pick(request, archive)
    except _DAMAGE as error:
        raise damaged(request.path, "npz", error) from error
    return bare_matrix(request, matrix)


def bare_matrix(request: Request, matrix: Any, notes: list[str] | None = None) -> Parsed:
    """Check a matrix that came without names; rows are numbered from 0, features from 1."""
    if request.id_columns or request.metadata:
        name = "id_columns" if request.id_columns else shown(tuple(request.metadata))
        raise UsageError(
            f"{request.path}: this kind of file has no identifier columns; leave out {name}"
        )
    if matrix.ndim != 2:
        raise DataError(
            f"the array has {matrix.ndim} dimensions; a matrix with rows and columns is needed",
            path=request.path,
        )
    n, p = matrix.shape
    names = [f"feature_{j + 1}" for j in range(p)]
    columns = None
    if request.features is not None:
        columns = np.array(match_features(names, request.features, path=request.path))
        names = [names[j] for j in columns]
    try:
        dtype = value_dtype(matrix.dtype)
    except DataError as error:
        raise DataError(str(error), path=request.path) from None
    if sp.issparse(matrix):
        matrix = sp.csr_matrix(matrix, dtype=dtype)
        if columns is not None:
            matrix = matrix[:, columns]
    elif isinstance(matrix, np.memmap):
        matrix = DenseSource(matrix, columns)
    else:
        matrix = np.ascontiguousarray(
            matrix if columns is None else matrix[:, columns], dtype=dtype
        )
    return checked(request, row_numbers(n), names, matrix, notes or [])


def _load_sparse(request: Request, archive: Any) -> Any:
    matrix = sp.load_npz(request.path)
    if matrix.format in ("csr", "csc"):
        matrix.check_format(full_check=True)
    return matrix


def _pick(request: Request, archive: Any) -> Any:
    shapes = {name: archive[name].ndim for name in archive.files if archive[name].ndim == 2}
    name = next((name for name in _NAMES if name in shapes), None)
    if len(shapes) == 1:
        name = next(iter(shapes))
    if name is None:
        raise DataError(
            f"the file should hold one matrix; it has the arrays {', '.join(archive.files)}",
            path=request.path,
        )
    return archive[name]


def refuse_bomb(path: Path, archive: Any) -> None:
    """Refuse arrays whose header promises more than is stored for them."""
    for member in archive.zip.infolist():
        with archive.zip.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                continue
            shape, _, dtype = read(file)
            promised = dtype.itemsize
            for side in shape:
                promised *= side
            if promised > member.file_size:
                raise DataError(
                    f"the array {member.filename!r} should have {promised:,} bytes but has "
                    f"{member.file_size:,}: the file is damaged",
                    path=path,
                )


def damaged(path: Path, kind: str, error: Exception) -> DataError:
    """Return the error that says what NumPy's means."""
    if isinstance(error, DataError):
        return error
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return DataError(
            f"the {kind} file holds Python objects, which could run code when loaded; save plain "
            "numbers",
            path=path,
        )
    return DataError(f"the {kind} file is damaged or cut off ({error})", path=path)
