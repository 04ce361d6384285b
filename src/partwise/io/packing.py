"""Values as JSON and plain arrays, and back; nothing in a file can name code to run."""

from __future__ import annotations

import dataclasses
import importlib
import io
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from partwise.exceptions import UsageError
from partwise.results import Status

__all__ = ["Packer", "Unpacker", "array_bytes", "array_from_bytes"]

#: Records that a model may hold: name -> module. No other class is ever made from a file.
_RECORDS = {
    "Consensus": "partwise.factorize._consensus_record",
    "Factorization": "partwise.results",
    "Online": "partwise.solvers.minibatch",
    "OnlineCounts": "partwise.solvers.minibatch_counts",
}
_ARRAY_NAME = re.compile(r"[A-Za-z0-9_]{1,80}")
_DEEPEST = 20


class Packer:
    """Turns values into JSON; the arrays found on the way gather in `arrays`."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def pack(self, value: Any, name: str) -> Any:
        """Return `value` as JSON types; `name` says where it belongs.

        Raises
        ------
        UsageError
            If the value is of a kind that cannot be saved.
        """
        if isinstance(value, Status):
            return {"$status": value.name}
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | np.integer):
            return int(value)
        if isinstance(value, float | np.floating):
            number = float(value)
            return number if math.isfinite(number) else {"$float": str(number)}
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        if isinstance(value, list | tuple):
            items = [self.pack(item, f"{name}_{i}") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, Mapping):
            return {"$map": {str(k): self.pack(v, f"{name}_{k}") for k, v in value.items()}}
        kind = type(value).__name__
        if dataclasses.is_dataclass(value) and type(value).__module__ == _RECORDS.get(kind):
            fields = {
                field.name: self.pack(getattr(value, field.name), f"{name}_{field.name}")
                for field in dataclasses.fields(value)
            }
            return {"$record": kind, "fields": fields}
        raise UsageError(f"{name} is a {kind}, which cannot be saved")

    def _array(self, value: np.ndarray, name: str) -> Any:
        if value.dtype.kind in "OU" and value.ndim == 1:
            return {"$names": [str(item) for item in value]}
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise UsageError(f"{name} is an array of {value.dtype}, which cannot be saved")
        for key, known in self.arrays.items():
            if known is value:
                return {"$array": key}
        key = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_")[:70] or "array"
        while key in self.arrays:
            key += "_"
        self.arrays[key] = value
        return {"$array": key}


class Unpacker:
    """Turns JSON back into values; `array` gives the array of a name.

    Anything that is not what `Packer` writes is a ValueError.
    """

    def __init__(self, array: Callable[[str], np.ndarray]) -> None:
        self._array = array

    def unpack(self, packed: Any, depth: int = 0) -> Any:
        """Return the value."""
        if depth > _DEEPEST:
            raise ValueError("the values are nested too deeply")
        if packed is None or isinstance(packed, bool | int | float | str):
            return packed
        if isinstance(packed, list):
            return [self.unpack(item, depth + 1) for item in packed]
        if not isinstance(packed, dict) or not packed:
            raise ValueError("an unknown kind of value")
        (kind, content), *more = packed.items()
        if kind == "$record":
            return self._record(content, dict(more), depth)
        if more:
            raise ValueError("an unknown kind of value")
        return self._special(kind, content, depth)

    def _special(self, kind: str, content: Any, depth: int) -> Any:
        if kind == "$array" and isinstance(content, str) and _ARRAY_NAME.fullmatch(content):
            return self._array(content)
        if kind == "$float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind == "$status" and isinstance(content, str):
            return Status[content]
        if kind == "$tuple" and isinstance(content, list):
            return tuple(self.unpack(item, depth + 1) for item in content)
        if kind == "$map" and isinstance(content, dict):
            return {key: self.unpack(value, depth + 1) for key, value in content.items()}
        if kind == "$names" and isinstance(content, list):
            if not all(isinstance(item, str) for item in content):
                raise ValueError("names that are not text")
            return np.array(content, dtype=object)
        raise ValueError(f"an unknown kind of value: {kind!r}")

    def _record(self, kind: Any, more: dict[str, Any], depth: int) -> Any:
        if not isinstance(kind, str) or kind not in _RECORDS or list(more) != ["fields"]:
            raise ValueError(f"an unknown record: {kind!r}")
        cls = getattr(importlib.import_module(_RECORDS[kind]), kind)
        fields = {name: self.unpack(value, depth + 1) for name, value in more["fields"].items()}
        known = {field.name for field in dataclasses.fields(cls)}
        if not set(fields) <= known:
            raise ValueError(f"unknown fields of {kind}: {sorted(set(fields) - known)}")
        return cls(**fields)


def array_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes) -> np.ndarray:
    """Return the array in the bytes of an npy file; sizes are believed only if they fit."""
    buffer = io.BytesIO(data)
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise ValueError("an unknown version of the npy format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or fortran:
        raise ValueError(f"an array of {dtype}")
    offset = buffer.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - offset or min(shape, default=0) < 0:
        raise ValueError("an array whose size does not fit its data")
    values = np.frombuffer(data, dtype, offset=offset).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=True)
