"""Stretches of a recording: lists of epochs or trials, windows around events."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io.clock import Clock
from partwise.io.columns import shown
from partwise.io.small_tables import number_of, rows_of

__all__ = ["check_epochs", "epochs_between", "read_epochs", "within"]

Epochs = list[tuple[int, int]]
_Numbers = npt.NDArray[np.float64]

_COLUMN = re.compile(
    r"(?P<role>start|begin|onset|from|stop|end|offset|to|time|event|frame|t)s?"
    r"[ _]*[(\[]?(?P<unit>s|secs?|seconds?|ms|milliseconds?|frames?|bins?|times?)?[)\]]?",
    re.IGNORECASE,
)
_STARTS = ("start", "begin", "onset", "from")
_STOPS = ("stop", "end", "offset", "to")
_EVENTS = ("event", "time", "t", "frame", *_STARTS)


def within(epochs: Epochs, stretches: Epochs | None) -> Epochs:
    """Return epochs cut where there are gaps: their parts within the stretches without one."""
    if stretches is None:
        return epochs
    parts = [(max(a, c), min(b, d)) for a, b in epochs for c, d in stretches]
    return [(start, stop) for start, stop in parts if start < stop]


def check_epochs(epochs: Sequence[tuple[int, int]], *, n_frames: int) -> Epochs:
    """Return epochs in order, as ints.

    Parameters
    ----------
    epochs
        Pairs (start, stop) of frames, stop excluded.
    n_frames
        Frames of the recording.

    Returns
    -------
    list of (start, stop)
        Sorted by their start.

    Raises
    ------
    UsageError
        If one is no pair of whole numbers, is empty, leaves the recording or overlaps another.
    """
    pairs: Epochs = []
    for epoch in epochs:
        values = np.asarray(epoch)
        if values.shape != (2,) or values.dtype.kind not in "iu":
            raise UsageError(f"an epoch must be a pair of frames (start, stop), not {epoch!r}")
        pairs.append((int(values[0]), int(values[1])))
    if not pairs:
        raise UsageError("there is no epoch: leave epochs out to use the whole recording")
    problem = _problem(sorted(pairs), n_frames)
    if problem:
        raise UsageError(problem)
    return sorted(pairs)


def _problem(pairs: Epochs, n_frames: int) -> str | None:
    for start, stop in pairs:
        if start >= stop:
            return f"the epoch {start} to {stop} is empty: its stop must be after its start"
        if start < 0 or stop > n_frames:
            return f"the epoch {start} to {stop} leaves the recording, frames 0 to {n_frames}"
    for (a, b), (c, d) in itertools.pairwise(pairs):
        if c < b:
            return f"the epochs {a} to {b} and {c} to {d} overlap (frames)"
    return None


def read_epochs(
    path: str | os.PathLike[str],
    *,
    rate: float | None,
    n_frames: int,
    start: float = 0.0,
    align: tuple[float, float] | None = None,
    unit: str = "auto",
    times: npt.NDArray[np.float64] | None = None,
) -> Epochs:
    r"""Read a list of epochs or trials, or of events with a window around each.

    Parameters
    ----------
    path
        CSV, TSV or Parquet with a column for the start and one for the stop, or, with `align`, one
        for the event. They are found by name: `start` and `stop` (or `begin`, `onset`, `from`;
        `end`, `offset`, `to`), `time` or `event`; with a unit if they have one: `start_s`,
        `stop_ms`, `start_frame`, `event_time`. Frames count from 0; the stop is excluded.
    rate
        Frames per second.
    n_frames
        Frames of the recording, T.
    start
        Seconds on the table's clock at frame 0.
    align
        Seconds before and after each event: epochs are these windows, equally long. Those that
        leave the recording are left out with a warning.
    unit
        "seconds" or "frames" for columns whose names do not say; "auto" takes them for seconds if
        any is not whole, for frames if there is no rate or seconds would lie beyond the end.
    times
        (T,) seconds of each frame, if frames are missing between them.

    Returns
    -------
    list of (start, stop)
        Frames, sorted by their start.

    Raises
    ------
    DataError
        If columns are missing, a value is no number, seconds and frames cannot be told apart, or
        epochs are empty, leave the recording or overlap.
    UsageError
        If times are in seconds and there is no rate.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "trials.csv"
    >>> _ = path.write_text("start_s,stop_s\n0.0,1.5\n2.0,3.5\n")
    >>> read_epochs(path, rate=30, n_frames=666)
    [(0, 45), (60, 105)]
    """
    path = Path(path)
    if unit not in ("auto", "seconds", "frames"):
        raise UsageError(f"unit must be 'auto', 'seconds' or 'frames', not {unit!r}")
    if align is not None and not (min(align) >= 0 and 0 < sum(align) < np.inf):
        raise UsageError(f"align must be seconds before and after, 0 or more, not {align}")
    columns = _columns(path)
    clock = Clock(n_frames, rate, start, times)
    if align is not None:
        name, given = _named(columns, _EVENTS, path, "event")
        events = _frames(columns[name], name, given, clock, unit, path)
        return _windows(events, clock, align, path)
    first, first_unit = _named(columns, _STARTS, path, "start")
    last, last_unit = _named(columns, _STOPS, path, "stop")
    if (first_unit is None) != (last_unit is None):
        first_unit = last_unit = first_unit or last_unit
    both = np.concatenate([columns[first], columns[last]])
    kind = _unit(both, first, first_unit, clock, unit, path)
    starts = _frames(columns[first], first, first_unit, clock, kind, path)
    stops = _frames(columns[last], last, last_unit, clock, kind, path)
    pairs = list(zip(starts.tolist(), stops.tolist(), strict=True))
    return _checked(pairs, n_frames, path)


def epochs_between(
    intervals: _Numbers,
    *,
    rate: float | None,
    n_frames: int,
    start: float,
    times: _Numbers | None,
    align: tuple[float, float] | None,
    path: Path,
    name: str,
) -> Epochs:
    """Return epochs of intervals in seconds, E x 2, that a file has as its table `name`.

    Parameters
    ----------
    intervals
        (E, 2) start and stop, seconds.
    rate, n_frames, start, times, align
        As in `read_epochs`; windows are around the starts.
    path, name
        Where they stand, for messages.

    Returns
    -------
    list of (start, stop)
        Frames, sorted by their start.

    Raises
    ------
    DataError
        If they are empty, leave the recording or overlap.
    """
    clock = Clock(n_frames, rate, start, times)
    if not np.isfinite(intervals).all():
        raise DataError(f"a time of {name} is missing", path=path)
    starts, stops = clock.frames(intervals[:, 0]), clock.frames(intervals[:, 1])
    if align is not None:
        return _windows(starts, clock, align, path)
    return _checked(list(zip(starts.tolist(), stops.tolist(), strict=True)), n_frames, path)


def _checked(pairs: Epochs, n_frames: int, path: Path) -> Epochs:
    """Return pairs in order, if they can be epochs."""
    for row, pair in enumerate(pairs, start=1):
        problem = _problem([pair], n_frames)
        if problem:
            raise DataError(f"{problem} (rows count from 1)", path=path, row=row)
    problem = _problem(sorted(pairs), n_frames)
    if problem:
        raise DataError(f"{problem}: no frame may be in two epochs", path=path)
    return sorted(pairs)


def _windows(
    events: npt.NDArray[np.int64], clock: Clock, align: tuple[float, float], path: Path
) -> Epochs:
    """Return equally long windows around events, of those that have one within the recording."""
    if clock.rate is None:
        raise UsageError("align is in seconds: give the frames per second as --rate (rate=...)")
    before, after = (round(seconds * clock.rate) for seconds in align)
    if before + after < 1:
        raise UsageError(f"align: {align} seconds are not one frame at {clock.rate:g} Hz")
    pairs = sorted((int(at) - before, int(at) + after) for at in events)
    inside = [(a, b) for a, b in pairs if a >= 0 and b <= clock.n_frames]
    if not inside:
        raise DataError(f"none of {len(pairs)} windows lies within the recording", path=path)
    if len(inside) < len(pairs):
        warnings.warn(
            f"{path}: {len(pairs) - len(inside)} of {len(pairs)} windows leave the recording and "
            "were left out",
            PartwiseWarning,
            stacklevel=3,
        )
    problem = _problem(inside, clock.n_frames)
    if problem:
        raise DataError(f"{problem}: take a shorter window (align), or leave events out", path=path)
    return inside


def _named(
    columns: dict[str, _Numbers], roles: Sequence[str], path: Path, what: str
) -> tuple[str, str | None]:
    """Return the column of a role, the first of the roles that is there, and its unit."""
    for role in roles:
        for name in columns:
            match = _COLUMN.fullmatch(name.strip())
            if match and match["role"].lower() == role:
                return name, _unit_of(match)
    hint = (
        ""
        if what != "start" or not any(map(_is_event, columns))
        else ("; for windows around events give seconds before and after (align)")
    )
    example = {"event": "time_s or event_frame", "start": "start_s or start_frame"}.get(
        what, "stop_s or stop_frame"
    )
    raise DataError(
        f"there is no column for the {what} (such as {example}); the table has "
        f"{shown(list(columns))}{hint}",
        path=path,
    )


def _is_event(name: str) -> bool:
    match = _COLUMN.fullmatch(name.strip())
    return match is not None and match["role"].lower() in _EVENTS[:4]


def _unit_of(match: re.Match[str]) -> str | None:
    """Return "seconds", "milliseconds", "frames" or None, as the name of a column says."""
    text, role = (match["unit"] or "").lower(), match["role"].lower()
    if text.startswith(("frame", "bin")) or (role == "frame" and not text):
        return "frames"
    if text.startswith("m"):
        return "milliseconds"
    return "seconds" if text or role in ("time", "t") else None


def _unit(
    values: _Numbers, name: str, given: str | None, clock: Clock, wanted: str, path: Path
) -> str:
    """Return the unit of a column: what its name says, else what was asked, else what fits."""
    if given is not None:
        return given
    if wanted != "auto":
        return wanted
    if not np.all(values == np.rint(values)):
        return "seconds"
    if clock.rate is None or values.max(initial=0) > clock.start + clock.n_frames / clock.rate + 1:
        return "frames"
    raise DataError(
        "whole numbers that may be seconds or frames: name the columns start_s and stop_s, or "
        "start_frame and stop_frame",
        path=path,
        column=name,
    )


def _frames(
    values: _Numbers, name: str, given: str | None, clock: Clock, wanted: str, path: Path
) -> npt.NDArray[np.int64]:
    unit = wanted if wanted == "milliseconds" else _unit(values, name, given, clock, wanted, path)
    bad = np.flatnonzero(~np.isfinite(values))
    if unit == "frames" and not bad.size:
        bad = np.flatnonzero(values != np.rint(values))
    if bad.size:
        what = "a whole number of frames" if unit == "frames" else "a time in seconds"
        raise DataError(
            f"{values[bad[0]]:.9g} is not {what} (rows count from 1)",
            path=path,
            row=int(bad[0]) + 1,
            column=name,
        )
    if unit == "frames":
        return values.astype(np.int64)
    return clock.frames(values / 1000 if unit == "milliseconds" else values)


def _columns(path: Path) -> dict[str, _Numbers]:
    """Return the columns of a small table of numbers that have one of the names we look for."""
    if not path.is_file():
        raise DataError("there is no such file", path=path)
    rows = rows_of(path)
    header, body = rows[0], rows[1:]
    if not body:
        raise DataError("the table has a header but no rows", path=path)
    columns: dict[str, _Numbers] = {}
    for j, name in enumerate(header):
        if _COLUMN.fullmatch(name.strip()):
            values = [number_of(row, j, name, i, path) for i, row in enumerate(body, start=1)]
            columns[name] = np.array(values, dtype=np.float64)
    if not columns:
        raise DataError(
            f"there is no column named start and stop, time or event; the table has "
            f"{shown(header)}; its first line must hold the names of the columns",
            path=path,
        )
    return columns
