"""Masks from a hash: whether an entry is hidden follows from the seed, its row and its column.

Nothing is stored, and any rows can be asked for in any order. A 64-bit mixer turns (seed, row) into
two 32-bit keys; two rounds of multiplication and shifting, a bijection of the 32-bit numbers, turn
a column and those keys into the number that is compared with the bounds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit

Array: TypeAlias = npt.NDArray[Any]

__all__ = ["hidden_columns"]

#: Columns that are hashed at a time.
_CHUNK = 256


@inlined
def _mix64(x: Any) -> Any:
    """Return a 64-bit number in which every bit depends on all bits of `x`."""
    x = np.uint64(x)
    x = np.uint64(x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = np.uint64(x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint64(x ^ (x >> np.uint64(31)))


@inlined
def _hash_columns(first: int, count: int, one: Any, two: Any, out: Array) -> None:
    """Write the numbers of columns first..first+count of a row with keys `one`, `two`."""
    for i in range(count):
        # each step is cut to 32 bits: numba multiplies 32-bit numbers in 64
        x = np.uint32(np.uint32(first + i) * np.uint32(0x9E3779B1) + np.uint32(one))
        x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        x = np.uint32(x ^ (x >> np.uint32(16)) ^ np.uint32(two))
        x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
        x = np.uint32((x ^ (x >> np.uint32(12))) * np.uint32(0x297A2D39))
        out[i] = np.uint32(x ^ (x >> np.uint32(15)))


@jit
def hidden_columns(
    seed: int, first: int, last: int, p: int, low: int, width: int
) -> tuple[Array, Array]:
    """Return (indptr, columns) of the entries of rows first..last whose number is in the bounds.

    The bounds are low <= number < low + width.
    """
    indptr = np.zeros(last - first + 1, np.int64)
    share = width / 4294967296.0
    room = np.int64((last - first) * p * share * 1.05) + 2 * p + 64
    columns = np.empty(room, np.int32)
    numbers = np.empty(_CHUNK, np.uint32)
    count = 0
    origin = np.uint32(low)
    span = np.uint64(width)
    start = _mix64(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    for i in range(first, last):
        key = _mix64(start + np.uint64(i) * np.uint64(0x9E3779B97F4A7C15))
        one = np.uint32(key)
        two = np.uint32(key >> np.uint64(32))
        if count + p > room:
            room = 2 * room + p
            grown = np.empty(room, np.int32)
            for c in range(count):
                grown[c] = columns[c]
            columns = grown
        for j in range(0, p, _CHUNK):
            m = min(_CHUNK, p - j)
            _hash_columns(j, m, one, two, numbers)
            for c in range(m):
                columns[count] = j + c
                count += 1 if np.uint64(np.uint32(numbers[c] - origin)) < span else 0
        indptr[i - first + 1] = count
    return indptr, columns[:count].copy()
