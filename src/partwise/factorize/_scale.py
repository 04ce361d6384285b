"""Data far from 1 are scaled by a power of two, so that their squares neither overflow nor vanish.

A power of two changes no digit: the fit is that of the data as they are. Data of an ordinary
scale are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.matrix.masks import Source, without_hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.sources import Block, BlockSource

__all__ = ["exponent_of", "exponent_of_block", "exponent_of_gram", "in_units", "times_power"]

Array = npt.NDArray[Any]

#: Data are scaled if their typical size lies outside 2^-r to 2^r.
_RANGE = {"float32": 30, "float64": 300}


def exponent_of(matrix: DataMatrix) -> int:
    """Return the power of two of the typical observed size of the data; 0 if it is ordinary."""
    cells = max(1, matrix.shape[0] * matrix.shape[1])
    size = float(np.sqrt(matrix.squared_norm / cells))
    if size == 0 or not np.isfinite(size):  # float64 whose squares under- or overflow
        size = abs(matrix.mean)
    return _even(size, matrix.dtype)


def exponent_of_gram(gram: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> int:
    """Return the same from W^T W of usage that belongs to programs of size 1."""
    return _even(float(np.sqrt(np.diag(gram).max())), dtype)


def exponent_of_block(X: Any, hidden: Source) -> int:
    """Return the same from the first rows of checked data, without a pass over all of them.

    Hidden entries, which may be anything, are left out.
    """
    n = min(256, X.shape[0])
    first = X[:n] if isinstance(X, np.ndarray) or sp.issparse(X) else next(iter(X.blocks(0, n)))[1]
    deficits = hidden.of(first, 0)
    if deficits is not None:
        first, _ = without_hidden(first, deficits)
    values = np.abs(first.data if sp.issparse(first) else first)
    values = values[np.isfinite(values)]
    return _even(float(values.max(initial=0)), X.dtype)


def _even(size: float, dtype: np.dtype[Any]) -> int:
    """Return an even exponent, so that square roots of the scale are powers of two as well."""
    if size == 0 or not np.isfinite(size):
        return 0
    power = int(np.frexp(size)[1])
    return 0 if abs(power) <= _RANGE[np.dtype(dtype).name] else power + power % 2


def times_power(X: Any, power: int) -> Any:
    """Return X * 2^power, of the kind that X is."""
    if power == 0:
        return X
    if isinstance(X, np.ndarray):
        return _ldexp(X, power)
    if sp.issparse(X):
        return type(X)((_ldexp(X.data, power), X.indices, X.indptr), shape=X.shape)
    return _ScaledSource(X, power)


class _ScaledSource:
    """A block source times a power of two."""

    def __init__(self, source: BlockSource, power: int) -> None:
        self.shape, self.dtype = source.shape, source.dtype
        self._source, self._power = source, power

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        """Yield the source's blocks, scaled."""
        for first, block in self._source.blocks(start, stop):
            yield first, times_power(block, self._power)


def _ldexp(values: Array, power: int) -> Array:
    """Return values * 2^power; hidden values may overflow."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled: Array = np.ldexp(values, np.int32(power))
    return scaled


def in_units(
    callback: Callable[[int, float], None] | None, power: int
) -> Callable[[int, float], None] | None:
    """Return a callback that hears of the loss of the data as they were, 2^(2 power) times it."""
    if callback is None or power == 0:
        return callback
    return lambda step, loss: callback(step, float(np.ldexp(loss, 2 * power)))
