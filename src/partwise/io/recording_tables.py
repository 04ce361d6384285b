"""Recordings as tables: a row per frame or a row per unit, with or without a column of times."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.io.clock import read_clock
from partwise.io.columns import shown
from partwise.io.number_columns import Columns, open_columns
from partwise.io.recording_parts import Found, RecordingRequest, refuse_bin_width
from partwise.io.spike_tables import read_spike_table, spike_columns

__all__ = ["read_recording_table"]

_TIME = re.compile(
    r"(t|times?|time[ _]?stamps?|seconds?|sec)[ _]*"
    r"[(\[]?(s|secs?|seconds?|ms|milliseconds?)?[)\]]?",
    re.IGNORECASE,
)
_FRAME = re.compile(r"(frame|bin|sample|index)(s|_?(number|index|id|no))?", re.IGNORECASE)
_TRIAL = re.compile(r"(trial|epoch)(s|_?(number|index|id|no))?", re.IGNORECASE)
_UNIT = re.compile(
    r"(unit|neuron|cell|roi|cluster|channel)(s|_?(name|id|label|number))?|name|id", re.I
)
_NO_NAME = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")


@dataclass
class _Roles:
    """Which columns of a table with a row per frame are what."""

    units: list[int]
    time: int | None = None
    trial: int | None = None
    index: tuple[int, ...] = ()


def read_recording_table(request: RecordingRequest) -> Found:
    """Read a recording from CSV, TSV or Parquet.

    A table with a column for the unit and one for the time holds spike times. Others have a row per
    frame, or per unit where the first column has the units' names; what is neither said by
    `layout` nor by names is taken as a row per frame.
    """
    if request.variable is not None:
        raise DataError(
            "a table has no variables to choose from; leave out --variable (variable=...)",
            path=request.path,
        )
    columns = open_columns(request.path, missing=request.missing)
    if spike_columns(columns.header) is not None and request.layout == "auto":
        return read_spike_table(request, columns)
    refuse_bin_width(request)
    if columns.bare:
        return _bare(request, columns)
    if _by_units(request, columns):
        return _units_by_time(request, columns)
    return _time_by_units(request, columns)


def _bare(request: RecordingRequest, columns: Columns) -> Found:
    """Return a matrix whose file has no line of names."""
    values = columns.numbers(range(len(columns.header)))
    turned = request.layout == "time-by-units"
    taken = "time x units" if turned else "units x time"
    note = f"the first line has numbers, no names: taken as a matrix, {taken}"
    found = Found(values.T if turned else values, columns.kind, notes=[*columns.notes, note])
    found.layout = "time-by-units" if turned else "units-by-time"
    return found


def _by_units(request: RecordingRequest, columns: Columns) -> bool:
    """Whether a table has a row per unit."""
    if request.layout != "auto":
        return request.layout == "units-by-time"
    if any(_TIME.fullmatch(name) or _FRAME.fullmatch(name) for name in columns.header):
        return False
    return columns.is_text(0)


def _units_by_time(request: RecordingRequest, columns: Columns) -> Found:
    header = columns.header
    named = bool(_UNIT.fullmatch(header[0]) or _NO_NAME.fullmatch(header[0]) or columns.is_text(0))
    frames = range(1 if named else 0, len(header))
    _refuse_text(columns, frames, request, "a row per unit needs a number per frame")
    found = Found(columns.numbers(frames), columns.kind, notes=list(columns.notes))
    if named:
        found.names = tuple(columns.texts(0))
    times = _as_times([header[j] for j in frames])
    if times is not None and len(times) > 1:
        clock, epochs = read_clock(times, path=request.path)
        _set_clock(found, clock.rate, clock.start, clock.times, epochs)
        found.notes.append(f"{clock.rate:g} frames per second, from the names of the columns")
    return found


def _as_times(names: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return what stands over the columns as times, if these are not just numbers of frames."""
    try:
        times = np.array([float(name) for name in names])
    except ValueError:
        return None
    whole = np.all(times == np.rint(times))
    return None if whole or np.any(np.diff(times) <= 0) else times


def _time_by_units(request: RecordingRequest, columns: Columns) -> Found:
    roles = _roles(columns, request)
    header = columns.header
    names = tuple(header[j] for j in roles.units)
    for name, times in Counter(names).items():
        if times > 1:
            raise DataError(
                f"{times} columns have this name; each unit needs one of its own",
                path=request.path,
                column=name,
            )
    _refuse_text(columns, roles.units, request, "a row per frame needs a number per unit")
    found = Found(columns.numbers(roles.units).T, columns.kind, names, notes=list(columns.notes))
    found.layout = "time-by-units"
    for j in roles.index:
        found.notes.append(f"column {j + 1} ({header[j]!r}) numbers the rows: left out")
    if roles.time is not None:
        _take_time(found, columns, roles.time, request)
    if roles.trial is not None:
        _take_trials(found, columns, roles.trial)
    return found


def _roles(columns: Columns, request: RecordingRequest) -> _Roles:
    """Return what each column is: the time, the trial, a number of the row, or a unit."""
    roles = _Roles([])
    index = []
    for j, name in enumerate(columns.header):
        if roles.time is None and _TIME.fullmatch(name):
            roles.time = j
        elif roles.trial is None and _TRIAL.fullmatch(name):
            roles.trial = j
        elif _FRAME.fullmatch(name) or (_NO_NAME.fullmatch(name) and (name or j == 0)):
            index.append(j)
        else:
            roles.units.append(j)
    roles.index = tuple(index)
    if not roles.units:
        raise DataError(
            f"there is no column of a unit; the table has {shown(columns.header)}",
            path=request.path,
        )
    return roles


def _take_time(found: Found, columns: Columns, j: int, request: RecordingRequest) -> None:
    """Set rate, start and gaps from the column of times."""
    name = columns.header[j]
    _refuse_text(columns, [j], request, "times must be numbers")
    times = columns.numbers([j])[:, 0].astype(np.float64)
    if len(times) < 2:
        return
    match = _TIME.fullmatch(name)
    if match is not None and (match[2] or "").lower().startswith("m"):
        times = times / 1000
    clock, epochs = read_clock(times, path=request.path, column=name)
    _set_clock(found, clock.rate, clock.start, clock.times, epochs)
    found.notes.append(f"{clock.rate:g} frames per second, from column {name!r}")


def _set_clock(
    found: Found,
    rate: float | None,
    start: float,
    times: npt.NDArray[np.float64] | None,
    epochs: list[tuple[int, int]] | None,
) -> None:
    found.rate, found.start, found.times, found.epochs = rate, start, times, epochs
    if epochs is not None:
        found.notes.append(
            f"frames are missing at {len(epochs) - 1} places: the stretches between are epochs, "
            "and no sequence reaches across"
        )


def _take_trials(found: Found, columns: Columns, j: int) -> None:
    """Make an epoch of each run of rows of one trial, cut further where frames are missing."""
    from partwise.io.epochs import within

    trials = np.asarray(columns.texts(j), dtype=object)
    borders = [0, *(np.flatnonzero(trials[1:] != trials[:-1]) + 1).tolist(), len(trials)]
    runs = list(itertools.pairwise(borders))
    found.epochs = within(runs, found.epochs)
    found.notes.append(
        f"{len(runs)} epochs, from column {columns.header[j]!r}: no sequence reaches across"
    )


def _refuse_text(
    columns: Columns, wanted: Sequence[int] | range, request: RecordingRequest, need: str
) -> None:
    wrong: list[Any] = [columns.header[j] for j in wanted if columns.is_text(j)]
    if wrong:
        raise DataError(
            f"the column holds text (so do {len(wrong)} in all: {shown(wrong)}), but {need}; leave "
            "such columns out of the table, or say how it lies with --layout (layout=...)",
            path=request.path,
            column=wrong[0],
        )
