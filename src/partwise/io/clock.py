"""Which frame a second is, and where frames are missing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError

__all__ = ["Clock", "read_clock"]

_Numbers = npt.NDArray[np.float64]

#: A step this many times the usual one is a gap.
_GAP = 1.5


@dataclass(frozen=True)
class Clock:
    """Which frame a second is.

    Attributes
    ----------
    n_frames
        Frames of the recording.
    rate
        Frames per second; None if unknown.
    start
        Seconds at frame 0.
    times
        Seconds of each frame, where some are missing between them; None if all are there.
    """

    n_frames: int
    rate: float | None
    start: float = 0.0
    times: _Numbers | None = None

    def frames(self, seconds: _Numbers) -> npt.NDArray[np.int64]:
        """Return the nearest frames to times in seconds."""
        if self.rate is None:
            raise UsageError(
                "times in seconds need the frames per second: give --rate (rate=...), or give "
                "frames in columns named start_frame and stop_frame"
            )
        if self.times is not None:  # frames that were lost are not counted
            return np.searchsorted(self.times, seconds - 0.5 / self.rate).astype(np.int64)
        return np.rint((seconds - self.start) * self.rate).astype(np.int64)


def read_clock(
    times: _Numbers, *, path: Path, column: str | None = None
) -> tuple[Clock, list[tuple[int, int]] | None]:
    """Return the clock that the times of the frames show, and the stretches without a gap.

    Parameters
    ----------
    times
        (T,) seconds of each frame.
    path, column
        Where they stand, for messages.

    Returns
    -------
    Clock
        With the mean rate of the steps that are no gaps.
    list of (start, stop) or None
        The stretches, if there is a gap: a step of more than 1.5 times the usual one.

    Raises
    ------
    DataError
        If times do not increase, or have no usual step.
    """
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise DataError(
            "the time is missing or infinite (rows count from 1)",
            path=path,
            row=int(bad[0]) + 1,
            column=column,
        )
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if back.size:
        row = int(back[0]) + 1
        raise DataError(
            f"times must increase, but {times[row]:.9g} follows {times[row - 1]:.9g} (rows count "
            "from 1); sort the table by time, and let each frame stand there once",
            path=path,
            row=row + 1,
            column=column,
        )
    usual = float(np.median(steps))
    gaps = steps > _GAP * usual
    if np.any(steps < usual / _GAP) or gaps.sum() > 0.1 * len(steps):
        raise DataError(
            f"frames are not evenly spaced: steps from {steps.min():.6g} to {steps.max():.6g} "
            f"seconds (the usual one is {usual:.6g}); resample the recording to one rate",
            path=path,
            column=column,
        )
    rate = float(f"{1 / np.mean(steps[~gaps]):.9g}")
    if not gaps.any():
        return Clock(len(times), rate, float(times[0])), None
    borders = [0, *(np.flatnonzero(gaps) + 1).tolist(), len(times)]
    epochs = list(itertools.pairwise(borders))
    return Clock(len(times), rate, float(times[0]), times), epochs
