"""Spike times: a table with a unit and a time in each row, into bins, never a dense raster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.io.columns import shown
from partwise.io.number_columns import Columns
from partwise.io.recording_parts import Found, RecordingRequest

__all__ = ["bin_spikes", "read_spike_table", "spike_columns"]

_UNIT = re.compile(r"(unit|neuron|cell|cluster)(s|_?(name|id|label|number|index))?", re.IGNORECASE)
_TIME = re.compile(
    r"(spike[ _]?)?(t|times?|time[ _]?stamps?|seconds?)[ _]*"
    r"[(\[]?(s|secs?|seconds?|ms|milliseconds?|us|samples?|frames?)?[)\]]?",
    re.IGNORECASE,
)


def spike_columns(header: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of the columns of the unit and of the time, or None.

    Examples
    --------
    >>> spike_columns(["unit", "time_s"])
    (0, 1)
    >>> spike_columns(["time", "unit_1", "unit_2"]) is None
    True
    """
    units = [j for j, name in enumerate(header) if _UNIT.fullmatch(name)]
    times = [j for j, name in enumerate(header) if _TIME.fullmatch(name)]
    return (units[0], times[0]) if len(units) == 1 and len(times) == 1 else None


def read_spike_table(request: RecordingRequest, columns: Columns) -> Found:
    """Read spike times from a table that has a column for the unit and one for the time."""
    places = spike_columns(columns.header)
    assert places is not None
    unit, time = places
    name = columns.header[time]
    match = _TIME.fullmatch(name)
    written = (match[3] or "").lower() if match is not None else ""
    if written.startswith(("sample", "frame")):
        raise DataError(
            "spike times are needed in seconds; divide the numbers of the samples by their rate",
            path=request.path,
            column=name,
        )
    times = columns.numbers([time])[:, 0].astype(np.float64)
    scale = 1e-6 if written == "us" else 1e-3 if written.startswith("m") else 1.0
    labels = columns.texts(unit)
    empty = [row for row, label in enumerate(labels, start=1) if not label.strip()]
    if empty:
        raise DataError(
            "the spike has no unit (rows count from 1, after the header)",
            path=request.path,
            row=empty[0],
            column=columns.header[unit],
        )
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise DataError(
            "the spike has no time (rows count from 1, after the header)",
            path=request.path,
            row=int(bad[0]) + 1,
            column=name,
        )
    found = bin_spikes(request, _by_unit(labels, times * scale), kind=columns.kind)
    rest = [other for j, other in enumerate(columns.header) if j not in places]
    found.notes[:0] = columns.notes
    if rest:
        found.notes.append(f"columns {shown(rest)} were left out: only unit and time count")
    return found


def _by_unit(
    labels: Sequence[str], times: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the times of each unit, units in the order of their first row."""
    import pandas as pd

    codes, names = pd.factorize(np.asarray(labels, dtype=object))
    order = np.argsort(codes, kind="stable")
    borders = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {str(name): times[order[borders[i] : borders[i + 1]]] for i, name in enumerate(names)}


def bin_spikes(
    request: RecordingRequest, spikes: dict[str, Any], *, kind: str, variable: str | None = None
) -> Found:
    """Return spike counts in bins of `request.bin_width` seconds, N x T CSR.

    Parameters
    ----------
    request
        What was asked for.
    spikes
        Times in seconds by the unit's name; units without spikes stay.
    kind, variable
        What the file is, and the name of the spikes there.

    Returns
    -------
    Found
        The counts; frame 0 begins at 0 seconds.

    Raises
    ------
    DataError
        If there is no spike, or one before 0.
    UsageError
        If there is no width of bins, or a rate in its place.
    """
    from partwise.sequences.spikes import spike_raster

    path = request.path
    if request.rate is not None:
        raise UsageError(
            f"{path}: spike times have no rate; give the width of the bins in seconds with "
            f"--bin-width (bin_width={1 / request.rate:.6g})"
        )
    if request.bin_width is None:
        raise UsageError(
            f"{path}: these are spike times; give the width of the bins in seconds with "
            "--bin-width (bin_width=...)"
        )
    if not any(len(times) for times in spikes.values()):
        raise DataError("there is no spike", path=path)
    first = min(float(np.min(times)) for times in spikes.values() if len(times))
    last = max(float(np.max(times)) for times in spikes.values() if len(times))
    if first < 0:
        raise DataError(
            f"a spike is at {first:.6g} s, before the recording begins; add what makes the first "
            "time 0 or more to all times",
            path=path,
        )
    data = spike_raster(spikes, bin_width=request.bin_width)
    found = Found(data, kind, tuple(spikes), 1 / request.bin_width, variable=variable)
    n = sum(len(times) for times in spikes.values())
    found.notes.append(f"{n:,} spikes of {len(spikes)} units in bins of {request.bin_width:g} s")
    if first > 0.5 * last:
        found.notes.append(
            f"the first spike is at {first:.6g} s; epochs can leave out the time before"
        )
    return found
