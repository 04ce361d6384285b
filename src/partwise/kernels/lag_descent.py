"""Coordinate descent on activations and on motifs, through their lag Grams.

One number is brought to its best value, not below zero, while all others stay; what that changes of
the gradient is one row of the Gram times the change, and a contiguous piece of memory: the frames,
or the lags, around it. So a number that does not change costs one comparison, and the data are
never looked at. Source: hierarchical alternating least squares, Cichocki & Phan, IEICE Trans.
Fundam. E92-A (2009), taken to the lag domain.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import inlined, jit
from partwise.kernels._simd import fma, load, splat, store

Array: TypeAlias = npt.NDArray[Any]
Lanes: TypeAlias = tuple[int, ...]

__all__ = ["descend_activations", "descend_motifs"]

#: Share of a motif's sum of squares that must lie within the epoch for its activation to grow: of
#: less, the data say next to nothing, and what they say would be multiplied by a large number.
_LEAST = 1e-2


@inlined
def _common(partial: Array, start: int, end: int, t: int, s: int, j: int, q: int) -> float:
    """Return the inner product of motif j begun at t and motif q begun at s, over start..end."""
    n_lags = partial.shape[0]
    last = min(end - 1, min(t, s) + n_lags - 1)
    early = start - 1
    if last < max(start, t, s):
        return 0.0
    found = partial[last - t, last - s, j, q]
    if early >= max(t, s):
        found -= partial[early - t, early - s, j, q]
    return float(found)


@inlined
def _add_near_ends(
    partial: Array, start: int, end: int, t: int, j: int, step: float, gradient: Array
) -> None:
    """Add step times the row of activation (t, j) near the ends of its epoch to the gradient."""
    n_lags, k = partial.shape[0], partial.shape[2]
    for s in range(max(t, start) - n_lags + 1, min(t + n_lags, end)):
        for q in range(k):
            change = step * _common(partial, start, end, t, s, j, q)
            gradient[(s + n_lags - 1) * k + q] += gradient.dtype.type(change)


@jit
def descend_activations(
    lanes: Lanes,
    gram: Array,
    ridge: Array,
    partial: Array,
    starts: Array,
    ends: Array,
    n_chunks: int,
    n_lags: int,
    first: int,
    last: int,
    sweeps: int,
    gradient: Array,
    values: Array,
) -> int:
    """Descend on the activations of the frames first..last; return how many were changed.

    Row j of `gram` (n_chunks chunks) is what a unit of factor j adds to the gradient of the 2 L - 1
    frames around, `ridge` (K) its part that the penalties add. `gradient` begins (L - 1) K elements
    early, so that the frames around t start at element t K; it is kept up to date. Near the ends of
    the epochs starts..ends only some lags meet data: `partial` has at [l, l'] the sum over m of the
    Grams of the lags l - m and l' - m, L x L x K x K. If it is empty, all lags count everywhere.
    """
    width = 16 * len(lanes)
    row = n_chunks * width
    k = len(ridge)
    lead = (n_lags - 1) * k
    zero = values.dtype.type(0)
    changed = 0
    for _ in range(sweeps):
        before = changed
        epoch = np.searchsorted(ends, first, side="right")
        for t in range(first, last):
            while t >= ends[epoch]:
                epoch += 1
            start, end = starts[epoch], ends[epoch]
            cut = len(partial) > 0 and (t < start or t > end - n_lags)
            for j in range(k):
                at = t * k + j
                value, slope = values[at], gradient[lead + at]
                if value > zero or slope < zero:
                    curvature = gram[j * row + lead + j]
                    known = True
                    if cut and curvature > zero:
                        seen = _common(partial, start, end, t, t, j, j)
                        known = seen >= _LEAST * partial[-1, -1, j, j]
                        curvature = gram.dtype.type(seen + ridge[j])
                    new = value
                    if curvature > zero:
                        new = max(value - slope / curvature, zero)
                    elif slope > zero:
                        new = zero
                    if not known:
                        new = min(new, value)
                    step = new - value
                    if step != zero:
                        changed += 1
                        values[at] = new
                        if cut:
                            _add_near_ends(partial, start, end, t, j, step, gradient)
                            gradient[lead + at] += gradient.dtype.type(step * ridge[j])
                        else:
                            steps = splat(lanes, gradient, step)
                            for c in range(n_chunks):
                                place = t * k + c * width
                                piece = load(lanes, gram, j * row + c * width)
                                total = fma(steps, piece, load(lanes, gradient, place))
                                store(lanes, gradient, place, total)
        if changed == before:
            break
    return changed


@jit
def descend_motifs(
    lanes: Lanes,
    gram: Array,
    stride: int,
    n_chunks: int,
    n_lags: int,
    k: int,
    free: Array,
    first: int,
    last: int,
    sweeps: int,
    gradient: Array,
    values: Array,
) -> int:
    """Descend on the motifs of the units first..last; return how many numbers were changed.

    Row j of `gram`, `stride` elements long, is the correlation of activation j with all of them
    over the lags -(L - 1)..L - 1, and behind that room for a chunk. A unit has n_lags x k numbers
    in `values`, and n_chunks chunks in `gradient`. Factors that are not `free` stay.
    """
    width = 16 * len(lanes)
    row = n_chunks * width
    size = n_lags * k
    zero = values.dtype.type(0)
    changed = 0
    for n in range(first, last):
        for _ in range(sweeps):
            before = changed
            for j in range(k):
                curvature = gram[j * stride + (n_lags - 1) * k + j]
                if free[j] and curvature > zero:
                    for i in range(n_lags):
                        at = i * k + j
                        value, slope = values[n * size + at], gradient[n * row + at]
                        if value > zero or slope < zero:
                            new = max(value - slope / curvature, zero)
                            step = new - value
                            if step != zero:
                                changed += 1
                                values[n * size + at] = new
                                steps = splat(lanes, gradient, step)
                                begin = j * stride + (n_lags - 1 - i) * k
                                for c in range(n_chunks):
                                    place = n * row + c * width
                                    piece = load(lanes, gram, begin + c * width)
                                    total = fma(steps, piece, load(lanes, gradient, place))
                                    store(lanes, gradient, place, total)
            if changed == before:
                break
    return changed
