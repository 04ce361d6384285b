"""Vectors as values inside compiled code.

A vector has `16 * len(lanes)` elements, where `lanes` is a tuple of zeros that travels through the
kernels as an ordinary argument: its length is part of its type, so that one source compiles to
kernels of width 16, 32, 48, 64, ... The type of the elements is that of the array they come from.
LLVM cuts wide vectors into the registers that the processor has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from partwise.kernels._jit import intrinsic

__all__ = ["LANE", "add", "fma", "hsum", "lanes_for", "load", "max0", "mul", "splat", "store"]

#: Elements per lane.
LANE = 16

# Products may be fused and sums reassociated; NaN and infinity keep their meaning.
_FLAGS = ("contract", "reassoc", "nsz")


def lanes_for(width: int) -> tuple[int, ...]:
    """Return the token for vectors that hold at least `width` elements."""
    return (0,) * max(1, -(-width // LANE))


class VectorType(types.Type):
    """Numba's view of an LLVM vector."""

    def __init__(self, element: types.Float, width: int) -> None:
        self.element = element
        self.width = width
        super().__init__(name=f"vector({element}, {width})")


_register: Any = register_model


@_register(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: VectorType) -> None:
        super().__init__(manager, fe_type, _llvm_type(fe_type))  # type: ignore[no-untyped-call]


def _llvm_type(vector: VectorType) -> ir.VectorType:
    scalar = ir.FloatType() if vector.element == types.float32 else ir.DoubleType()
    return ir.VectorType(scalar, vector.width)


def _vector(lanes: Any, element: Any) -> VectorType:
    return VectorType(element, LANE * len(lanes))


def _address(context: Any, builder: Any, signature: Any, args: Any, vector: VectorType) -> Any:
    proxy: Any = cgutils.create_struct_proxy
    array = proxy(signature.args[1])(context, builder, value=args[1])
    pointer = builder.gep(array.data, [args[2]])
    return builder.bitcast(pointer, _llvm_type(vector).as_pointer())


@intrinsic
def load(typing: Any, lanes: Any, array: Any, start: Any) -> tuple[Any, Callable[..., Any]]:
    """Read the vector at array[start:]; `array` is one-dimensional and contiguous."""
    vector = _vector(lanes, array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_address(context, builder, signature, args, vector))
        value.align = vector.element.bitwidth // 8
        return value

    return vector(lanes, array, types.int64), generate


@intrinsic
def store(
    typing: Any, lanes: Any, array: Any, start: Any, value: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write a vector to array[start:]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        written = builder.store(args[3], _address(context, builder, signature, args, value))
        written.align = value.element.bitwidth // 8
        return context.get_dummy_value()

    return types.void(lanes, array, types.int64, value), generate


@intrinsic
def splat(typing: Any, lanes: Any, array: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Return a vector with `value` everywhere; `array` gives the type of the elements."""
    vector = _vector(lanes, array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _llvm_type(vector)
        empty = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(empty, args[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.width), [0] * vector.width)
        return builder.shuffle_vector(first, empty, zeros)

    return vector(lanes, array, vector.element), generate


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> tuple[Any, Callable[..., Any]]:
    """Return x * y + z."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.fmul(args[0], args[1], flags=_FLAGS)
        return builder.fadd(product, args[2], flags=_FLAGS)

    return x(x, y, z), generate


@intrinsic
def add(typing: Any, x: Any, y: Any) -> tuple[Any, Callable[..., Any]]:
    """Return x + y."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], args[1], flags=_FLAGS)

    return x(x, y), generate


@intrinsic
def mul(typing: Any, x: Any, y: Any) -> tuple[Any, Callable[..., Any]]:
    """Return x * y."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], args[1], flags=_FLAGS)

    return x(x, y), generate


@intrinsic
def max0(typing: Any, x: Any) -> tuple[Any, Callable[..., Any]]:
    """Return max(x, 0), element by element."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(_llvm_type(x), None)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return x(x), generate


@intrinsic
def hsum(typing: Any, x: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the sum of the elements."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _llvm_type(x)
        letter = "f32" if x.element == types.float32 else "f64"
        insert: Any = cgutils.get_or_insert_function
        function = insert(
            builder.module,
            ir.FunctionType(kind.element, [kind.element, kind]),
            f"llvm.vector.reduce.fadd.v{x.width}{letter}",
        )
        return builder.call(function, [ir.Constant(kind.element, 0.0), args[0]], fastmath=_FLAGS)

    return x.element(x), generate
