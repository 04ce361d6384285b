"""Compile the kernels of this room: the one place in it that names numba's options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["jit"]

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function on plain arrays, cached on disk, without the interpreter's lock."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))
