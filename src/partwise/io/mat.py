"""MATLAB files: version 5 (and 7) through scipy, version 7.3 through h5py."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from partwise.exceptions import DataError, PartwiseError
from partwise.io.mat_tags import check_length, check_tags
from partwise.io.recording_parts import Found, RecordingRequest, refuse_bin_width
from partwise.io.variables import Variable, found_in

__all__ = ["read_mat5", "read_mat73"]

#: MATLAB's classes of plain numbers.
_NUMBERS = {
    *("double", "single", "logical", "sparse"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_PLAIN = {
    "cell": "cell array",
    "char": "text",
    "function": "function",
    "function_handle": "function",
    "object": "MATLAB object",
    "opaque": "MATLAB object (table, string, datetime, ...)",
    "struct": "struct",
}
_OLD = "save it again in MATLAB with save(name, '-v7'), or in Octave with save -v7"
_DAMAGE = (
    *(ValueError, TypeError, OSError, EOFError, KeyError, IndexError),
    *(zlib.error, NotImplementedError, OverflowError, UnicodeDecodeError),
)


def read_mat5(request: RecordingRequest) -> Found:
    """Read a recording from a .mat file of version 5 or 7."""
    import scipy.io

    refuse_bin_width(request)
    path = request.path

    def load(name: str) -> Callable[[], Any]:
        return lambda: _loaded(request, name)

    try:
        check_length(path)
        contents = scipy.io.whosmat(str(path))
    except (*_DAMAGE, scipy.io.matlab.MatReadError) as error:
        raise _damaged(request, error) from error
    variables = [
        Variable(
            name=name,
            shape=tuple(int(side) for side in shape),
            what=_PLAIN.get(kind, kind),
            numeric=kind in _NUMBERS,
            load=load(name),
        )
        for name, shape, kind in contents
        if not name.startswith("__")
    ]
    return found_in(variables, request, kind="mat")


def _loaded(request: RecordingRequest, name: str) -> Any:
    import scipy.io

    try:
        check_tags(request.path, name)
        found = scipy.io.loadmat(str(request.path), variable_names=[name])[name]
    except (*_DAMAGE, scipy.io.matlab.MatReadError) as error:
        raise _damaged(request, error) from error
    if hasattr(found, "tocsr"):
        return found.tocsr()
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _damaged(request: RecordingRequest, error: Exception) -> DataError:
    return DataError(
        f"the .mat file is damaged or cut off ({type(error).__name__}: {error}); copy it again, or "
        f"{_OLD}",
        path=request.path,
    )


def read_mat73(request: RecordingRequest) -> Found:
    """Read a recording from a .mat file of version 7.3, an HDF5 file; large ones stay on disk."""
    import h5py

    refuse_bin_width(request)
    try:
        # a cache of several chunks, because what is asked for rarely begins where a chunk does
        file = h5py.File(request.path, "r", rdcc_nbytes=2**26)
    except OSError as error:
        raise _damaged(request, error) from error
    try:
        variables = [_variable(name, file[name]) for name in file if not name.startswith("#")]
        return found_in(variables, request, kind="mat73", close=file.close)
    except (OSError, RuntimeError, KeyError) as error:
        file.close()
        if isinstance(error, PartwiseError):
            raise
        raise _damaged(request, error) from error
    except BaseException:
        file.close()
        raise


def _variable(name: str, item: Any) -> Variable:
    """Describe one variable; MATLAB's axes are in reverse order in the file."""
    attributes = {key: item.attrs[key] for key in item.attrs}
    kind = attributes.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if "MATLAB_sparse" in attributes:
        return _sparse(name, item, int(attributes["MATLAB_sparse"]), kind)
    if not getattr(item, "shape", None):  # a group, a named type, nothing
        return Variable(name, (1, 1), _PLAIN.get(kind, kind or "group"), False, lambda: None)
    if attributes.get("MATLAB_empty", 0):  # its shape is what it holds
        shape = tuple(int(side) for side in np.asarray(item[()]).ravel())
        numeric = kind in _NUMBERS
        return Variable(name, shape, _PLAIN.get(kind, kind), numeric, lambda: np.zeros(shape))
    plain = item.dtype.kind in "fiub" or item.dtype.names == ("real", "imag")
    return Variable(
        name=name,
        shape=tuple(int(side) for side in item.shape[::-1]),
        what=_PLAIN.get(kind, kind or str(item.dtype)),
        numeric=plain and (kind in _NUMBERS or not kind) and not item.dtype.hasobject,
        load=lambda: _array(item),
        stored=item if item.dtype.names is None else None,
        reversed=True,
        nbytes=int(item.size) * item.dtype.itemsize,
    )


def _array(item: Any) -> Any:
    values = np.asarray(item[()])
    if values.dtype.names == ("real", "imag"):
        values = values["real"] + 1j * values["imag"]
    return values.T


def _sparse(name: str, group: Any, n_rows: int, kind: str) -> Variable:
    """Describe a sparse matrix, which MATLAB stores by columns: data, ir, jc."""
    n_columns = int(group["jc"].shape[0]) - 1

    def load() -> Any:
        import scipy.sparse as sp

        rows = group["ir"][()] if "ir" in group else np.empty(0, np.int64)
        values = group["data"][()] if "data" in group else np.empty(0)
        parts = (values, rows.astype(np.int64), group["jc"][()].astype(np.int64))
        try:
            matrix = sp.csc_matrix(parts, shape=(n_rows, n_columns))
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise DataError(f"the sparse matrix {name!r} is damaged ({error})") from error
        return matrix.tocsr()

    return Variable(name, (n_rows, n_columns), f"sparse {kind}", True, load)
