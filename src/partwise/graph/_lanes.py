"""Instructions on sixteen values at once, beside those of `partwise.kernels._simd`.

Squares are not fused into sums: the results are those of the plain loops, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from partwise.kernels._jit import intrinsic

__all__ = ["add_square_difference", "add_square_gap", "first_bit", "not_above"]


@intrinsic
def add_square_difference(
    typing: Any, x: Any, y: Any, total: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return total + (x - y)^2."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        gap = builder.fsub(args[0], args[1])
        return builder.fadd(args[2], builder.fmul(gap, gap))

    return x(x, y, total), generate


@intrinsic
def add_square_gap(
    typing: Any, low: Any, high: Any, x: Any, total: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return total + the square of how far x is outside of low..high."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        below = builder.fsub(args[0], args[2])
        above = builder.fsub(args[2], args[1])
        gap = builder.select(builder.fcmp_ordered(">", below, above), below, above)
        zero = ir.Constant(gap.type, None)
        gap = builder.select(builder.fcmp_ordered(">", gap, zero), gap, zero)
        return builder.fadd(args[3], builder.fmul(gap, gap))

    return total(low, high, x, total), generate


@intrinsic
def not_above(typing: Any, x: Any, y: Any) -> tuple[Any, Callable[..., Any]]:
    """Return a whole number whose bit j says whether x[j] <= y[j]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = builder.fcmp_ordered("<=", args[0], args[1])
        bits = builder.bitcast(mask, ir.IntType(x.width))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(x, y), generate


@intrinsic
def first_bit(typing: Any, bits: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the position of the lowest bit that is set, of a number other than zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate
