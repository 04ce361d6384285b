"""Recordings that stay on disk: frames are read as they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.io.sources import value_dtype

__all__ = ["MemoryFrames", "StoredFrames", "frame_dtype"]

#: From here on whole numbers differ by more than one in float32, and in float64.
_EXACT32, _EXACT64 = 2**24, 2**53


def frame_dtype(dtype: np.dtype[Any], *, largest: float | None = None) -> np.dtype[Any]:
    """Return the type in which values are handed out; whole numbers stay exact.

    Parameters
    ----------
    dtype
        The type in which they are stored.
    largest
        The largest absolute value, if it is known.

    Returns
    -------
    numpy.dtype
        float64 for float64 and for whole numbers that float32 cannot hold, else float32.

    Raises
    ------
    DataError
        If they are no real numbers, or whole numbers beyond 2^53.
    """
    if dtype.kind == "c":
        raise DataError(
            "the values are complex; take their real part, or their absolute value, and save that"
        )
    if dtype.kind == "O":
        raise DataError("the array holds objects, not numbers; save a plain matrix of numbers")
    found = value_dtype(dtype.newbyteorder("="))
    if dtype.kind not in "iu":
        return found
    if largest is None:
        return np.dtype(np.float64) if dtype.itemsize > 2 else found
    if largest > _EXACT64:
        raise DataError(
            f"whole numbers up to {largest:.6g} are beyond 2^53, where they are no longer exact: "
            "an overflow, or times or addresses rather than a recording?"
        )
    return np.dtype(np.float64) if largest > _EXACT32 else found


class MemoryFrames:
    """Frames of an array in memory.

    Parameters
    ----------
    array
        N x T.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array
        largest = None
        if array.dtype.kind in "iu" and array.size:
            largest = float(max(abs(int(array.max())), abs(int(array.min()))))
        self.dtype = frame_dtype(array.dtype, largest=largest)
        self.shape = (int(array.shape[0]), int(array.shape[1]))

    def frames(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return N x (stop - start) values, a copy."""
        return self._array[:, start:stop].astype(self.dtype, order="C")


class StoredFrames:
    """Frames of anything that slices like an array: an HDF5 or Zarr array, a memory map.

    Parameters
    ----------
    array
        N x T or T x N on disk.
    time_first
        Whether its first axis is time.
    factor, offset
        Values are stored divided by the first, after the second was subtracted.
    close
        Called by `close`.
    """

    def __init__(
        self,
        array: Any,
        *,
        time_first: bool,
        factor: float = 1.0,
        offset: float = 0.0,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._array = array
        self._time_first = time_first
        self._factor, self._offset = factor, offset
        self._close = close
        sides = [int(side) for side in array.shape]
        self.shape = (sides[1], sides[0]) if time_first else (sides[0], sides[1])
        self.dtype = frame_dtype(np.dtype(array.dtype))

    def frames(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return N x (stop - start) values.

        Raises
        ------
        DataError
            If that part of the file is damaged, or whole numbers are too large to be exact.
        """
        try:
            if self._time_first:
                values = np.asarray(self._array[start:stop]).T
            else:
                values = np.asarray(self._array[:, start:stop])
        except (LookupError, OSError, RuntimeError, TypeError, ValueError, zlib.error) as error:
            raise DataError(
                f"frames {start} to {stop} cannot be read, the file may be damaged ({error})"
            ) from error
        if values.dtype.kind in "iu" and values.size:
            frame_dtype(values.dtype, largest=float(max(values.max(), -float(values.min()))))
        out = values.astype(self.dtype, order="C")
        if self._factor != 1.0:
            out *= self.dtype.type(self._factor)
        if self._offset != 0.0:
            out += self.dtype.type(self._offset)
        return out

    def close(self) -> None:
        """Release the file."""
        if self._close is not None:
            self._close()
