"""Skewness over time of many signals, from three moments that are gathered piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "moments_of"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

#: A spread of less than so many roundings of the mean is none.
_ROUNDINGS = 64.0


@dataclass(frozen=True)
class Moments:
    """Sums of powers about the mean, one per signal; pieces add up.

    Attributes
    ----------
    count
        Frames.
    mean, second, third
        The mean, and the sums of squared and of cubed differences from it, float64.
    """

    count: int
    mean: FloatArray
    second: FloatArray
    third: FloatArray

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both pieces together (Pebay 2008, Sandia report 2008-6212)."""
        if not self.count or not other.count:
            return self if self.count else other
        a, b = float(self.count), float(other.count)
        n = a + b
        step = other.mean - self.mean
        mean = self.mean + step * (b / n)
        second = self.second + other.second + step**2 * (a * b / n)
        third = self.third + other.third + step**3 * (a * b * (a - b) / n**2)
        third = third + 3.0 * step * (a * other.second - b * self.second) / n
        return Moments(self.count + other.count, mean, second, third)

    def skewness(self, precision: float) -> FloatArray:
        """Return the third standardized moment, biased; 0 for signals that do not vary.

        Parameters
        ----------
        precision
            Spacing of the numbers in which the signals were computed: what rounding leaves of a
            constant one is no shape.
        """
        if not self.count:
            return np.zeros(self.mean.shape)
        variance = self.second / self.count
        varies = variance > (_ROUNDINGS * precision * np.abs(self.mean)) ** 2
        varies &= variance > 0
        safe = np.where(varies, variance, 1.0)
        return np.where(varies, (self.third / self.count) / (safe * np.sqrt(safe)), 0.0)


def moments_of(values: Array) -> Moments:
    """Return the moments of each column (frames x columns), in float64.

    Examples
    --------
    >>> column = np.array([[0.0], [0.0], [0.0], [4.0]])
    >>> round(float(moments_of(column).skewness(2e-16)[0]), 4)
    1.1547
    """
    count, n_columns = values.shape
    if not count:
        return Moments(0, np.zeros(n_columns), np.zeros(n_columns), np.zeros(n_columns))
    mean = values.mean(axis=0, dtype=np.float64)
    centred = values - mean
    squares = centred * centred
    second = squares.sum(axis=0)
    squares *= centred
    return Moments(count, mean, second, squares.sum(axis=0))
