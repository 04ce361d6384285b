"""Passes over activations that would be several in NumPy, each with a copy of its own."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import jit

Array: TypeAlias = npt.NDArray[Any]

__all__ = ["add_others", "multiply"]


@jit
def add_others(
    rows: Array, lanes: Array, first: int, last: int, reach: int, weight: float, out: Array
) -> None:
    """Add weight * (sum over the other columns of the smoothed rows) to `out`, lanes first..last.

    A lane is (begin, stop, start, end): the rows begin..stop of the epoch start..end. Smoothed rows
    are sums over the rows of the epoch within `reach` of each: a running sum per column, so that
    one pass does whatever `reach` is.
    """
    k = rows.shape[1]
    sums = np.empty(k)
    for lane in range(first, last):
        begin, stop, start, end = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2], lanes[lane, 3]
        sums[:] = 0
        for s in range(max(start, begin - reach), min(end, begin + reach)):
            for j in range(k):
                sums[j] += rows[s, j]
        for t in range(begin, stop):
            comes, goes = t + reach, t - reach - 1
            if comes < end:
                for j in range(k):
                    sums[j] += rows[comes, j]
            if goes >= start and t > begin:
                for j in range(k):
                    sums[j] -= rows[goes, j]
            total = 0.0
            for j in range(k):
                total += max(sums[j], 0.0)
            for j in range(k):
                # differences of sums of non-negative numbers; rounding must not make them negative
                out[t, j] += weight * max(total - max(sums[j], 0.0), 0.0)


@jit
def multiply(values: Array, above: Array, below: Array, added: float) -> None:
    """Multiply values by above / (below + added); `below` counts as zero where it is negative."""
    for i in range(values.size):
        bottom = max(below[i], 0.0) + added
        values[i] = values.dtype.type(values[i] * (above[i] / bottom))
