"""ΔF/F: fluorescence relative to its running baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError

__all__ = ["Baseline"]

_Read = Callable[[int, int], npt.NDArray[Any]]


@dataclass(frozen=True)
class Baseline:
    r"""The level from which fluorescence rises, a percentile of the frames around each frame.

    .. math:: \Delta F/F_t = (F_t - B_t) / B_t

    Attributes
    ----------
    percentile
        0 to 100.
    half
        Frames to each side of a frame over which the percentile is taken (fewer at the borders of
        a stretch); None takes all frames.
    stretches
        (start, stop) of frames that follow each other; windows do not reach across their borders.
    """

    percentile: float
    half: int | None
    stretches: tuple[tuple[int, int], ...]

    def apply(self, read: _Read, start: int, stop: int, names: Sequence[str]) -> npt.NDArray[Any]:
        """Return ΔF/F of frames start..stop; NaN in, NaN out.

        Parameters
        ----------
        read
            Gives the fluorescence of frames (start, stop).
        start, stop
            Frames.
        names
            Names of the units, for messages.

        Returns
        -------
        numpy.ndarray
            N x (stop - start), of the type that `read` gives.

        Raises
        ------
        DataError
            If a baseline is not positive.
        """
        if self.half is None:
            return self._over_all(read, start, stop, names)
        parts = []
        for first, last in self.stretches:
            low, high = max(first, start), min(last, stop)
            if low < high:
                parts.append(self._running(read, (first, last), (low, high), names))
        return np.concatenate(parts, axis=1) if parts else read(start, stop)

    def _over_all(
        self, read: _Read, start: int, stop: int, names: Sequence[str]
    ) -> npt.NDArray[Any]:
        values = read(self.stretches[0][0], self.stretches[-1][1])
        with np.errstate(all="ignore"):
            level = np.full(len(values), np.nan)
            some = ~np.isnan(values).all(axis=1)
            level[some] = np.nanpercentile(values[some].astype(np.float64), self.percentile, axis=1)
        return _relative(values[:, start:stop], level[:, None], names, start)

    def _running(
        self, read: _Read, stretch: tuple[int, int], asked: tuple[int, int], names: Sequence[str]
    ) -> npt.NDArray[Any]:
        import pandas as pd

        assert self.half is not None
        start, stop = asked
        low, high = max(stretch[0], start - self.half), min(stretch[1], stop + self.half)
        values = read(low, high)
        rolling = pd.DataFrame(values.T.astype(np.float64)).rolling(
            2 * self.half + 1, center=True, min_periods=1
        )
        level = rolling.quantile(self.percentile / 100).to_numpy().T
        inner = slice(start - low, stop - low)
        return _relative(values[:, inner], level[:, inner], names, start)


def _relative(
    values: npt.NDArray[Any], level: npt.NDArray[np.float64], names: Sequence[str], start: int
) -> npt.NDArray[Any]:
    wrong = ~(level > 0) & ~(np.isnan(level) | np.isnan(values))
    if wrong.any():
        i, t = (int(at[0]) for at in np.nonzero(wrong))
        found = float(np.broadcast_to(level, values.shape)[i, t])
        raise DataError(
            f"the baseline of unit {names[i]!r} at frame {start + t} is {found:.6g}; ΔF/F needs "
            "fluorescence with a positive baseline: leave out --baseline (baseline=...) if these "
            "are ΔF/F already, or take a higher percentile"
        )
    return ((values - level) / level).astype(values.dtype)
