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

__all__ = [
    "LANE",
    "add",
    "div",
    "fma",
    "hsum",
    "lanes_for",
    "load",
    "max0",
    "maximum",
    "mul",
    "splat",
    "store",
    "transpose_rows",
]

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
def div(typing: Any, x: Any, y: Any) -> tuple[Any, Callable[..., Any]]:
    """Return x / y."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fdiv(args[0], args[1], flags=_FLAGS)

    return x(x, y), generate


@intrinsic
def maximum(typing: Any, x: Any, y: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the larger of x and y, element by element; y where x is NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

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


@intrinsic
def transpose_rows(
    typing: Any,
    lanes: Any,
    thin: Any,
    stride: Any,
    offset: Any,
    indices: Any,
    first: Any,
    last: Any,
    out: Any,
    at: Any,
) -> tuple[Any, Callable[..., Any]]:
    """Write 16 rows of a thin matrix, 16 columns from `offset` on, column by column to out[at:].

    The rows are indices[first], indices[first + 1], ...; those after indices[last] are repeats of
    that one. Four rounds of exchanges of halves do in registers what 256 scalar moves would.
    """
    if len(lanes) != 1:
        raise TypeError("tiles are 16 wide")
    vector = _vector(lanes, thin.dtype)
    long = ir.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        proxy: Any = cgutils.create_struct_proxy
        _, thin_v, stride_v, offset_v, indices_v, first_v, last_v, out_v, at_v = args
        source = proxy(signature.args[1])(context, builder, value=thin_v).data
        places = proxy(signature.args[4])(context, builder, value=indices_v).data
        target = proxy(signature.args[7])(context, builder, value=out_v).data
        pointer = _llvm_type(vector).as_pointer()
        align = vector.element.bitwidth // 8
        rows = []
        for u in range(LANE):
            q = builder.add(first_v, ir.Constant(long, u))
            q = builder.select(builder.icmp_signed("<", q, last_v), q, last_v)
            j = builder.sext(builder.load(builder.gep(places, [q])), long)
            start = builder.gep(source, [builder.add(builder.mul(j, stride_v), offset_v)])
            row = builder.load(builder.bitcast(start, pointer))
            row.align = align
            rows.append(row)
        for half in (8, 4, 2, 1):
            for i in range(LANE):
                if i & half == 0:
                    rows[i], rows[i + half] = _exchange(builder, rows[i], rows[i + half], half)
        for u, row in enumerate(rows):
            start = builder.gep(target, [builder.add(at_v, ir.Constant(long, LANE * u))])
            written = builder.store(row, builder.bitcast(start, pointer))
            written.align = align
        return context.get_dummy_value()

    int64 = types.int64
    signature = types.void(lanes, thin, int64, int64, indices, int64, int64, out, int64)
    return signature, generate


def _exchange(builder: Any, x: Any, y: Any, half: int) -> tuple[Any, Any]:
    """Return x and y with the off-diagonal blocks of size `half` exchanged."""
    kind = ir.VectorType(ir.IntType(32), LANE)
    low = [i if i & half == 0 else LANE + i - half for i in range(LANE)]
    high = [i + half if i & half == 0 else LANE + i for i in range(LANE)]
    return (
        builder.shuffle_vector(x, y, ir.Constant(kind, low)),
        builder.shuffle_vector(x, y, ir.Constant(kind, high)),
    )
