"""Thin matrices: flat, aligned arrays of rows, each padded to the width the kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["aligned_zeros", "readable", "thin_rows"]

_ALIGNMENT = 64  # bytes; kernels lose a third of their speed on vectors that straddle cache lines


def aligned_zeros(size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a flat array of zeros that starts at a cache line."""
    extra = _ALIGNMENT // dtype.itemsize
    raw = np.zeros(size + extra, dtype)
    skip = (-raw.ctypes.data) % _ALIGNMENT // dtype.itemsize
    return raw[skip : skip + size]


def thin_rows(flat: npt.NDArray[Any], stride: int, k: int) -> npt.NDArray[Any]:
    """Return a flat thin matrix as a rows x k view."""
    return flat.reshape(-1, stride)[:, :k]


class _Memory:
    """The memory of an array, without its write protection."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self._owner = array  # keeps the memory alive


def readable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array for kernels that only read.

    Kernels would be compiled a second time, for seconds, for arrays that are write-protected; so
    these are passed as if they were not.
    """
    return array if array.flags.writeable else np.asarray(_Memory(array))
