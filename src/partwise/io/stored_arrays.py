"""Recordings in NumPy's files and as plain arrays in HDF5 and Zarr."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from partwise.exceptions import DataError, PartwiseError
from partwise.io.arrays import damaged, refuse_bomb
from partwise.io.recording_parts import Found, RecordingRequest, refuse_bin_width
from partwise.io.variables import Variable, found_in

__all__ = ["read_hdf5", "read_npy_recording", "read_npz_recording", "read_zarr_arrays"]

_DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)
#: What `scipy.sparse.save_npz` makes of a matrix.
_SPARSE_PARTS = {"format", "shape", "data", "indices", "indptr", "row", "col", "offsets"}
_ANNDATA = (
    "this is AnnData, observations x variables, which says nothing of time; save the matrix units "
    "x time as npy, or fit SeqNMF to it directly"
)


def read_npy_recording(request: RecordingRequest) -> Found:
    """Read a recording from an array that `numpy.save` wrote; mapped if it is large."""
    refuse_bin_width(request)
    if request.variable is not None:
        raise DataError(
            "an npy file has one array without a name; leave out --variable (variable=...)",
            path=request.path,
        )
    try:
        array = np.load(request.path, mmap_mode="r", allow_pickle=False)
    except _DAMAGE as error:
        raise damaged(request.path, "npy", error) from error
    return found_in([_variable("the array", array)], request, kind="npy")


def read_npz_recording(request: RecordingRequest) -> Found:
    """Read a recording from what `numpy.savez` or `scipy.sparse.save_npz` wrote."""
    import scipy.sparse as sp

    refuse_bin_width(request)
    path = request.path
    try:
        with np.load(path, allow_pickle=False) as archive:
            refuse_bomb(path, archive)
            if "format" in archive.files and "shape" in archive.files:
                matrix = sp.load_npz(path)
                if matrix.format in ("csr", "csc"):
                    matrix.check_format(full_check=True)
                what = f"sparse {matrix.dtype}"
                numeric = matrix.dtype.kind in "fiubc"
                load: Callable[[], Any] = matrix.tocsr
                variables = [Variable("the matrix", matrix.shape, what, numeric, load)]
                # rates and names that were put beside the parts of the matrix
                variables += [
                    _variable(name, archive[name])
                    for name in archive.files
                    if name not in _SPARSE_PARTS and archive[name].ndim < 2
                ]
            else:
                variables = [_variable(name, archive[name]) for name in archive.files]
            return found_in(variables, request, kind="npz")
    except _DAMAGE as error:
        if isinstance(error, PartwiseError):
            raise
        raise damaged(path, "npz", error) from error


def read_hdf5(request: RecordingRequest) -> Found:
    """Read a recording from an HDF5 file; large arrays stay on disk."""
    import h5py

    refuse_bin_width(request)
    try:
        # a cache of several chunks, because what is asked for rarely begins where a chunk does
        file = h5py.File(request.path, "r", rdcc_nbytes=2**26)
    except OSError as error:
        text = f"the HDF5 file is damaged or cut off ({error})"
        raise DataError(text, path=request.path) from error
    return _of_group(request, file, "hdf5", file.close)


def read_zarr_arrays(request: RecordingRequest) -> Found:
    """Read a recording from a Zarr array or group; large arrays stay on disk."""
    import zarr

    refuse_bin_width(request)
    try:
        root: Any = zarr.open(str(request.path), mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"this is no Zarr array or group ({error})"
        raise DataError(text, path=request.path) from error
    return _of_group(request, root, "zarr", root.store.close)


def _items(root: Any) -> list[tuple[str, Any]]:
    """Return what is in a file, at any depth, by its place."""
    if hasattr(root, "shape"):
        return [("the array", root)]
    if hasattr(root, "members"):
        return list(root.members(max_depth=None))
    items: list[tuple[str, Any]] = []
    root.visititems(lambda name, item: items.append((name, item)))  # HDF5, and zarr 2
    return items


def _of_group(
    request: RecordingRequest,
    root: Any,
    kind: str,
    close: Callable[[], None],
) -> Found:
    try:
        items = _items(root)
        if any(name == "obs" for name, _ in items) and any(name == "var" for name, _ in items):
            raise DataError(_ANNDATA, path=request.path)
        variables = [_variable(name, item) for name, item in items if hasattr(item, "shape")]
        variables += _attributes(root)
        found = found_in(variables, request, kind=kind, close=close)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        close()
        if isinstance(error, PartwiseError):
            raise
        text = f"the file is damaged or cut off ({error})"
        raise DataError(text, path=request.path) from error
    except BaseException:
        close()
        raise
    stored = next((item for name, item in items if name == found.variable), None)
    found.notes += _lost(stored)
    return found


def _lost(array: Any) -> list[str]:
    """Say that chunks of a Zarr array are not there; only who wrote it can tell why."""
    if not hasattr(array, "nchunks_initialized"):
        return []
    lost = int(array.nchunks - array.nchunks_initialized)
    if not lost:
        return []
    return [
        f"{lost} of {array.nchunks} chunks are absent and read as zeros: Zarr leaves out chunks "
        "that are all zero, but a lost file looks the same"
    ]


def _attributes(root: Any) -> list[Variable]:
    """Return single numbers among the attributes: a rate may be there."""
    found = []
    for name in root.attrs:
        value = np.asarray(root.attrs[name])
        if value.size == 1 and value.dtype.kind in "fiu":
            found.append(_variable(str(name), value))
    return found


def _variable(name: str, array: Any) -> Variable:
    dtype = np.dtype(array.dtype)
    text = dtype.kind in "US" or str(dtype) == "StringDType()" or _holds_text(dtype)
    on_disk = not isinstance(array, np.ndarray) or isinstance(array, np.memmap)
    return Variable(
        name=name,
        shape=tuple(int(side) for side in array.shape or ()),
        what="text" if text else "objects" if dtype.kind in "OV" else str(dtype),
        numeric=dtype.kind in "fiubc",
        load=lambda: np.asarray(array[()]),
        stored=array if on_disk else None,
        nbytes=int(np.prod(array.shape or (), dtype=np.int64)) * dtype.itemsize,
    )


def _holds_text(dtype: np.dtype[Any]) -> bool:
    """Whether HDF5 calls it text."""
    if dtype.kind != "O":
        return False
    import h5py

    return h5py.check_string_dtype(dtype) is not None
