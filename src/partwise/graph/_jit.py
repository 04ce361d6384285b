"""Compile the kernels of this room: the one place in it that names numba's options.

Unlike those of `partwise.kernels`, these kernels compare what they compute: a neighbour with a box,
a gain with zero. Their products must not be fused nor their sums reordered, or two ways to the
same number would differ in the last bit and an exact search would not be exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

__all__ = ["helper", "inline", "jit"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
_HELPER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}


def jit(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function on plain arrays on its first call; the machine code is cached on disk."""
    return cast("Callable[_P, _R]", numba.njit(**_OPTIONS)(function))


def helper(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function that only kernels call: it gets no entry from Python."""
    return cast("Callable[_P, _R]", numba.njit(**_HELPER)(function))


def inline(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a small helper that LLVM should inline into its callers."""
    return cast("Callable[_P, _R]", numba.njit(**_HELPER, forceinline=True)(function))
