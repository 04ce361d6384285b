"""Writes .mat files of version 7.3 as MATLAB does; SciPy writes version 5 only."""

import h5py
import numpy as np

_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: today HDF5 schema 1.00 ."


def write_mat73(path, variables, *, chunks=None):
    """Write matrices, texts, empty arrays, sparse matrices (as CSC) and structs (as dict)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _write(file, name, value, chunks)
    with open(path, "r+b") as file:
        file.write(_HEADER.ljust(116) + b"\0" * 8 + b"\x00\x02IM")
    return path


def _write(group, name, value, chunks):
    if isinstance(value, dict):
        struct = group.create_group(name)
        struct.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for key, part in value.items():
            _write(struct, key, part, chunks)
    elif hasattr(value, "indptr"):
        sparse = group.create_group(name)
        sparse.attrs["MATLAB_class"] = np.bytes_(b"double")
        sparse.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        sparse["data"], sparse["ir"] = value.data, value.indices.astype(np.uint64)
        sparse["jc"] = value.indptr.astype(np.uint64)
    elif isinstance(value, str):
        letters = np.array([[ord(letter)] for letter in value], np.uint16)
        group.create_dataset(name, data=letters).attrs["MATLAB_class"] = np.bytes_(b"char")
    else:
        _write_array(group, name, np.atleast_2d(np.asarray(value)), chunks)


def _write_array(group, name, array, chunks):
    kinds = {"f8": b"double", "f4": b"single", "b1": b"logical"}
    kind = kinds.get(array.dtype.str[1:], str(array.dtype).encode())
    if array.size == 0:  # MATLAB stores the shape of what is empty
        item = group.create_dataset(name, data=np.array(array.shape, np.uint64))
        item.attrs["MATLAB_empty"] = np.uint8(1)
    elif array.dtype.kind == "c":
        parts = np.empty(array.T.shape, [("real", "f8"), ("imag", "f8")])
        parts["real"], parts["imag"] = array.T.real, array.T.imag
        item, kind = group.create_dataset(name, data=parts), b"double"
    else:
        data = np.ascontiguousarray(array.T)
        data = data.astype(np.uint8) if data.dtype == bool else data
        item = group.create_dataset(name, data=data, chunks=chunks)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
