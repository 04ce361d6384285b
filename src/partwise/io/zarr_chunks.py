"""Chunks of a one-dimensional Zarr array, unpacked straight into the array that is handed out.

zarr's own path costs two more copies and a round through its event loop for each chunk, more than
unpacking does. Only what is simple is read here: format 2 in a folder, one compressor or none, no
filters, native numbers. Everything else is left to zarr.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError

__all__ = ["chunk_reader"]

Reader = Callable[[int, int], npt.NDArray[Any]]


def chunk_reader(array: Any) -> Reader | None:
    """Return a function that reads elements low..high, low at the start of a chunk.

    Parameters
    ----------
    array
        A Zarr array of one dimension.

    Returns
    -------
    callable or None
        None where zarr must read the array itself.
    """
    metadata: Any = getattr(array, "metadata", None)
    if getattr(metadata, "zarr_format", None) != 2 or len(array.shape) != 1:
        return None
    try:
        from zarr.storage import LocalStore

        store, place = array.store_path.store, array.store_path.path
        codec, filters, fill = metadata.compressor, metadata.filters, metadata.fill_value
    except (ImportError, AttributeError):
        return None
    dtype = np.dtype(array.dtype)
    simple = type(store) is LocalStore and not filters and dtype.isnative and dtype.kind in "fiu"
    if not simple or fill is None or not (codec is None or hasattr(codec, "decode")):
        return None
    folder, step, n = Path(store.root) / place, int(array.chunks[0]), int(array.shape[0])

    def read(low: int, high: int) -> npt.NDArray[Any]:
        first, last = low // step, -(-min(high, n) // step)
        values = np.empty((last - first) * step, dtype)
        for i in range(first, last):  # the last chunk of a file is as long as the others
            part = values[(i - first) * step : (i - first + 1) * step]
            if (folder / str(i)).exists():
                _unpack(folder / str(i), codec, part)
            else:  # a writer leaves out chunks of zeros; who opens the matrix looks for lost ones
                part[:] = fill
        return values[: high - first * step]

    return read


def _unpack(path: Path, codec: Any, out: npt.NDArray[Any]) -> None:
    """Unpack a chunk's file into `out`, which it must fill."""
    packed = path.read_bytes()
    try:
        if getattr(codec, "codec_id", None) == "blosc":
            _check_blosc(packed)
        if codec is not None:
            codec.decode(packed, out=out)
        else:
            out[:] = np.frombuffer(packed, out.dtype, count=out.shape[0])
    except (RuntimeError, ValueError, TypeError) as error:
        raise DataError(f"the chunk is damaged or cut off ({error})", path=path) from error


def _check_blosc(packed: bytes) -> None:
    """Compare the length in the header with that of the chunk: Blosc would read past its end."""
    if len(packed) < 16 or int.from_bytes(packed[12:16], "little") != len(packed):
        raise ValueError(f"{len(packed)} bytes are not what its header says")
