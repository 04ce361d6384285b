"""The only place that names numba's options.

`fastmath` is limited to flags that keep NaN and infinity: sums may be reassociated and products
fused, nothing is assumed about the values.

Every kernel is inlined into those that call it. Otherwise the code of a kernel that two others
call would exist twice, each optimised in its own surroundings, with sums in another order; which
of the two runs depends on what was loaded first, and so bits would depend on the history of the
process and of its cache.

A function that only kernels call gets no entry from Python: through it the function would be
inlined, optimised and stored once more, for nothing. A literal number as argument would make a
version of its own: kernels pass `ZERO` and the like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numba.extending
import numpy as np

__all__ = ["ZERO", "inlined", "intrinsic", "jit"]

#: What kernels pass instead of literals.
ZERO = cast("int", np.int64(0))

_P = ParamSpec("_P")
_R = TypeVar("_R")

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "forceinline": True,
    "no_cfunc_wrapper": True,
    "fastmath": {"contract", "reassoc", "nsz"},
}
_INLINED: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}


def jit(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a module-level function on its first call; the machine code is cached on disk."""
    return cast("Callable[_P, _R]", numba.njit(**_OPTIONS)(function))


def inlined(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function that only kernels call."""
    return cast("Callable[_P, _R]", numba.njit(**_INLINED)(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make an instruction of the compiled code; its value has no type outside of it."""
    return numba.extending.intrinsic(function)
