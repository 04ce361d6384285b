"""Frames inside: epochs one behind the other, with a gap of L - 1 frames around each.

In the gaps the data are zero, and what the model says of them is taken out again (see `_missing`).
A motif may begin in the gap before an epoch: a sequence that was under way when the recording
began. No lag reaches over a gap from one epoch into the next, so that products over all frames at
once are those of the single epochs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = ["Timeline", "check_epochs"]

Array = npt.NDArray[Any]

#: Room behind the last frame for a chunk that begins in it, elements.
ROOM = 256


def check_epochs(epochs: Any, n_frames: int) -> tuple[tuple[int, int], ...]:
    """Return epochs as (start, stop) frames in the order of time; all frames if there are none.

    Raises
    ------
    UsageError
        If an epoch is empty, reaches outside the recording or overlaps the next one.
    """
    if epochs is None:
        return ((0, n_frames),)
    pairs = np.asarray(epochs)
    if pairs.ndim != 2 or pairs.shape[1:] != (2,) or not len(pairs):
        raise UsageError("epochs must be pairs of frames: [(start, stop), ...]")
    if not np.array_equal(pairs, pairs.astype(np.int64)):
        raise UsageError("epochs must be whole numbers of frames")
    found = sorted((int(start), int(stop)) for start, stop in pairs)
    for start, stop in found:
        if not 0 <= start < stop <= n_frames:
            raise UsageError(
                f"the epoch from frame {start} to {stop} is empty or outside of the recording, "
                f"which has {n_frames} frames"
            )
    for (_, stop), (start, _) in itertools.pairwise(found):
        if start < stop:
            raise UsageError(f"two epochs overlap: one ends at {stop}, the next begins at {start}")
    return tuple(found)


class Timeline:
    """Which frame of the recording lies where inside.

    Attributes
    ----------
    epochs
        (start, stop) in frames of the recording.
    n_lags
        L.
    n_recorded
        Frames of the recording, T.
    n_frames
        Frames inside, gaps included, F.
    inside
        Whether a frame belongs to an epoch, F.
    active
        Whether a motif may begin in a frame, F: all but the gap behind the last epoch.
    """

    def __init__(self, epochs: Sequence[tuple[int, int]], n_recorded: int, n_lags: int) -> None:
        self.epochs = tuple(epochs)
        self.n_lags = n_lags
        self.n_recorded = n_recorded
        lengths = np.array([stop - start for start, stop in self.epochs], np.int64)
        self.lengths = lengths
        reach = n_lags - 1
        #: first inner frame of each epoch, and the one behind its last
        self.starts: Array = reach + np.concatenate(([0], np.cumsum(lengths + reach)[:-1]))
        self.ends: Array = self.starts + lengths
        self.n_used = int(lengths.sum())
        self.n_frames = self.n_used + (len(lengths) + 1) * reach
        self.active: Array = np.arange(self.n_frames) < self.ends[-1]
        self.inside: Array = self.active.copy()
        #: the epoch to which what begins in a frame belongs
        self.owner: Array = np.full(self.n_frames, -1, np.int64)
        for e, (start, end) in enumerate(zip(self.starts, self.ends, strict=True)):
            self.inside[start - reach : start] = False
            self.owner[start - reach : end] = e

    @property
    def whole(self) -> bool:
        """Whether one epoch covers the recording: then frames have the same number inside."""
        return self.epochs == ((0, self.n_recorded),)

    def inner(self, frames: Array) -> Array:
        """Return inner numbers of frames of the recording, -1 for frames outside of all epochs."""
        if self.whole:
            return frames + (self.n_lags - 1)
        firsts = np.array([start for start, _ in self.epochs], np.int64)
        stops = np.array([stop for _, stop in self.epochs], np.int64)
        epoch = np.searchsorted(firsts, frames, side="right") - 1
        safe = np.maximum(epoch, 0)
        found = frames - firsts[safe] + self.starts[safe]
        found[(epoch < 0) | (frames >= stops[safe])] = -1
        return found

    def take(self, rows: Array) -> Array:
        """Return rows of the recording (T x anything) as inner rows; zeros in the gaps."""
        inner = np.zeros((self.n_frames, *rows.shape[1:]), rows.dtype)
        for (start, stop), at in zip(self.epochs, self.starts, strict=True):
            inner[at : at + stop - start] = rows[start:stop]
        return inner

    def give(self, inner: Array) -> Array:
        """Return inner rows as rows of the recording; zeros outside of the epochs."""
        rows = np.zeros((self.n_recorded, *inner.shape[1:]), inner.dtype)
        for (start, stop), at in zip(self.epochs, self.starts, strict=True):
            rows[start:stop] = inner[at : at + stop - start]
        return rows

    def before(self, inner: Array) -> Array:
        """Return the rows of the gap before each epoch, epochs x (L - 1) x anything."""
        return inner[self.starts[:, None] - (self.n_lags - 1) + np.arange(self.n_lags - 1)]

    def moved(self, column: Array, by: int) -> Array:
        """Return a column with what begins in a frame `by` frames earlier, inside its epoch."""
        source = np.arange(self.n_frames) + by
        safe = np.clip(source, 0, self.n_frames - 1)
        found = np.where(self.owner[safe] == self.owner, column[safe], 0)
        found[(source != safe) | ~self.active] = 0
        return found

    def smooth(self, rows: Array) -> Array:
        """Return sums over the 2 L - 1 frames around each frame, float64.

        An epoch ends where the next one's gap begins. Running sums, so one pass whatever L is.
        """
        reach = self.n_lags
        total = np.zeros((self.n_frames + 1, *rows.shape[1:]))
        np.cumsum(rows, axis=0, dtype=np.float64, out=total[1:])
        smoothed = np.zeros((self.n_frames, *rows.shape[1:]))
        for start, end in zip(self.starts - (reach - 1), self.ends, strict=True):
            here = np.arange(start, end)
            last = np.minimum(here + reach, end)
            first = np.maximum(here - reach + 1, start)
            smoothed[start:end] = total[last] - total[first]
        # differences of running sums of non-negative numbers; rounding must not make them negative
        return np.maximum(smoothed, 0.0, out=smoothed)
