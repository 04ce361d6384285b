"""What a reader of recordings is asked for and what it finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError

__all__ = ["Found", "RecordingRequest", "dimensions", "refuse_bin_width"]


@dataclass(frozen=True)
class RecordingRequest:
    """The parameters of `open_recording`, checked."""

    path: Path
    variable: str | None = None
    rate: float | None = None
    bin_width: float | None = None
    layout: str = "auto"
    epochs: str | os.PathLike[str] | Sequence[tuple[int, int]] | None = None
    align: tuple[float, float] | None = None
    baseline: float | None = None
    baseline_window: float | None = None
    negative: str = "raise"
    missing: str = "raise"
    memory_limit: int = 2**28


@dataclass
class Found:
    """A recording as it stands in its file, units x time; nothing of it was judged yet.

    Attributes
    ----------
    data
        N x T: an array, a sparse matrix, or a source of frames where it stays on disk.
    kind
        What the file is.
    names
        Names of the N units; None if the file has none.
    rate
        Frames per second; None if the file does not say.
    start
        Seconds on the file's clock at frame 0.
    times
        Seconds of each frame, where frames are missing between them; else None.
    epochs
        Stretches without a gap, where there are gaps.
    intervals
        Lists of (start, stop) in seconds that the file has by name.
    side
        Other matrices of the same time: name to (matrix, rate).
    variable
        Name under which the data stand in the file.
    layout
        "units-by-time" or "time-by-units": how the data stood there.
    notes
        What should be known.
    close
        Releases the file.
    """

    data: Any
    kind: str
    names: tuple[str, ...] | None = None
    rate: float | None = None
    start: float = 0.0
    times: npt.NDArray[np.float64] | None = None
    epochs: list[tuple[int, int]] | None = None
    intervals: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    side: dict[str, tuple[npt.NDArray[Any], float | None]] = field(default_factory=dict)
    variable: str | None = None
    layout: str = "units-by-time"
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] | None = None


def dimensions(shape: Sequence[int]) -> str:
    """Return a shape as text.

    Examples
    --------
    >>> dimensions((75, 666))
    '75 x 666'
    """
    return " x ".join(str(side) for side in shape) if len(shape) else "one number"


def refuse_bin_width(request: RecordingRequest) -> None:
    """Raise if a width of bins was given for what are no spike times."""
    if request.bin_width is not None:
        raise DataError(
            "bin_width is for spike times, but these are values per frame; leave it out, and give "
            "the frames per second as --rate (rate=...)",
            path=request.path,
        )
