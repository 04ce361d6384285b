"""Neurodata Without Borders: spike times of sorted units, fluorescence of regions of interest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise.exceptions import DataError, PartwiseError
from partwise.io.clock import read_clock
from partwise.io.frames import StoredFrames
from partwise.io.recording_parts import Found, RecordingRequest, dimensions, refuse_bin_width
from partwise.io.spike_tables import bin_spikes
from partwise.utils.optional import require

__all__ = ["read_nwb"]

_UNITS = "units"


def read_nwb(request: RecordingRequest) -> Found:
    """Read a recording from an NWB file: its units, or one of its ROI response series.

    Names in `variable`: "units" for the spike times, else the name of the series. Traces that are
    large stay on disk.
    """
    pynwb = require("pynwb", "nwb")
    path = request.path
    try:
        io = pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the NWB file is damaged or cut off ({error})", path=path) from error
    try:
        session = io.read()
        found = _read(request, session, io.close)
    except PartwiseError:
        io.close()
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        io.close()
        raise DataError(
            f"the NWB file is damaged, or not as pynwb writes it ({type(error).__name__}: {error})",
            path=path,
        ) from error
    except BaseException:
        io.close()
        raise
    if found.close is None:
        io.close()
    return found


def _read(request: RecordingRequest, session: Any, close: Callable[[], None]) -> Found:
    series = _series(session)
    has_spikes = session.units is not None and "spike_times" in session.units.colnames
    name = _chosen(request, has_spikes, series, session)
    if name == _UNITS:
        names = [str(unit) for unit in session.units.id[:]]
        times = [session.units.get_unit_spike_times(i) for i in range(len(names))]
        spikes = {
            unit: np.asarray(values, dtype=np.float64)
            for unit, values in zip(names, times, strict=True)
        }
        if len(spikes) < len(names):
            raise DataError("two units have one id; each needs its own", path=request.path)
        found = bin_spikes(request, spikes, kind="nwb", variable=_UNITS)
    else:
        refuse_bin_width(request)
        found = _traces(request, series[name], name, close)
    found.intervals = _intervals(session)
    return found


def _series(session: Any) -> dict[str, Any]:
    """Return the ROI response series; by their name, with that of their container if it is twice.

    "RoiResponseSeries" is the name that the standard proposes, so it may well be there twice.
    """
    kind = require("pynwb.ophys", "nwb").RoiResponseSeries
    found = [item for item in session.objects.values() if isinstance(item, kind)]
    names = [item.name for item in found]
    return {
        item.name if names.count(item.name) == 1 else f"{item.parent.name}/{item.name}": item
        for item in found
    }


def _chosen(
    request: RecordingRequest, has_spikes: bool, series: dict[str, Any], session: Any
) -> str:
    """Return the name of what is to be read."""
    texts = {
        name: f"{name} (fluorescence, {dimensions(item.data.shape[::-1])})"
        for name, item in series.items()
    }
    if has_spikes:
        texts[_UNITS] = f"{_UNITS} (spike times of {len(session.units)} units)"
    there = ", ".join(texts.values()) or "neither spike times of units nor ROI response series"
    if request.variable is not None:
        if request.variable not in texts:
            raise DataError(
                f"there is no {request.variable!r} in the file; it has {there}", path=request.path
            )
        return request.variable
    if len(texts) != 1:
        text = f"the file has {there}"
        if texts:
            text += "; choose one by its name with --variable (variable=...)"
        raise DataError(text, path=request.path)
    return next(iter(texts))


def _traces(request: RecordingRequest, series: Any, name: str, close: Callable[[], None]) -> Found:
    """Return fluorescence, which stands in the file as time x regions."""
    array = series.data
    if len(array.shape) != 2:
        raise DataError(
            f"{name!r} is {dimensions(array.shape)}, but time x regions is needed",
            path=request.path,
        )
    factor = 1.0 if series.conversion is None else float(series.conversion)
    offset = float(getattr(series, "offset", None) or 0.0)
    stored = StoredFrames(array, time_first=True, factor=factor, offset=offset, close=close)
    n_units, n_frames = stored.shape
    stays = n_units * n_frames * stored.dtype.itemsize > request.memory_limit
    data: Any = stored if stays else stored.frames(0, n_frames)
    found = Found(data, "nwb", _regions(series), variable=name)
    found.close = close if stays else None
    found.layout = "time-by-units"
    if series.rate is not None:
        found.rate = float(series.rate)
        found.start = float(series.starting_time or 0.0)
    elif series.timestamps is not None and n_frames > 1:
        times = np.asarray(series.timestamps[:], dtype=np.float64)
        clock, found.epochs = read_clock(times, path=request.path, column="timestamps")
        found.rate, found.start, found.times = clock.rate, clock.start, clock.times
        if found.epochs is not None:
            found.notes.append(
                f"frames are missing at {len(found.epochs) - 1} places: the stretches between are "
                "epochs, and no sequence reaches across"
            )
    if found.rate is not None:
        found.notes.append(f"{found.rate:g} frames per second, from {name} in the file")
    return found


def _regions(series: Any) -> tuple[str, ...] | None:
    """Return the ids of the regions of interest."""
    if series.rois is None:
        return None
    ids = np.asarray(series.rois.table.id[:])[np.asarray(series.rois.data[:], dtype=np.intp)]
    return tuple(str(region) for region in ids)


def _intervals(session: Any) -> dict[str, Any]:
    """Return the start and stop times of trials, epochs and other intervals, by name."""
    tables = dict(session.intervals.items()) if session.intervals else {}
    for name in ("trials", "epochs"):
        if getattr(session, name, None) is not None:
            tables[name] = getattr(session, name)
    return {
        str(name): np.column_stack([table["start_time"][:], table["stop_time"][:]])
        for name, table in tables.items()
    }
