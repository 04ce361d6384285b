"""Spike times into bins: a sparse raster, never a dense one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["epoch_frames", "spike_raster", "spike_units"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Part of a bin by which a time may miss an edge and still lie on it: seconds are rarely exact in
#: binary, and 0.3 / 0.1 is less than 3.
_SLACK = 1e-6


def spike_raster(
    spike_times: Any,
    *,
    bin_width: float,
    start: float | None = None,
    stop: float | None = None,
    units: Sequence[Hashable] | None = None,
    epochs: Any = None,
    outside: str = "raise",
) -> sp.csr_matrix:
    """Count spikes in bins.

    Bin j holds the spikes of start + j * bin_width <= time < start + (j + 1) * bin_width, and the
    last one those at `stop` too, as in `numpy.histogram`. A time within a millionth of a bin of an
    edge is on the edge. If `stop` lies within a bin, that bin is the last one. The order of the
    times does not matter. Memory is that of the spikes.

    Parameters
    ----------
    spike_times
        Times in seconds: a sequence with an array per unit, a mapping from unit to array, or a
        table with the columns `unit` and `time`.
    bin_width
        Seconds per bin; the rate of the raster is 1 / bin_width.
    start
        Where the first bin begins, seconds; 0 if None.
    stop
        Where the recording ends, seconds; if None, the bin of the last spike is the last.
    units
        Units of the rows, in order; those without spikes have empty rows, spikes of others are
        left out. If None, those of `spike_units`.
    epochs
        (start, stop) in seconds; bins that are not wholly within one stay empty (see
        `epoch_frames`). All of the recording if None.
    outside
        What to do with spikes before `start`, after `stop` or outside of the epochs: "raise" or
        "drop".

    Returns
    -------
    scipy.sparse.csr_matrix
        Counts, units x bins, float32.

    Raises
    ------
    DataError
        If a time is not a finite number, or lies outside and is not to be dropped, or there is
        neither a spike nor a `stop`.
    UsageError
        If a parameter cannot be used.

    Examples
    --------
    >>> raster = spike_raster([[0.05, 0.32, 0.38], [0.1]], bin_width=0.1)
    >>> raster.toarray().astype(int)
    array([[1, 0, 0, 2],
           [0, 1, 0, 0]])
    """
    from scipy.sparse import coo_matrix

    if not 0 < bin_width < np.inf:
        raise UsageError(f"bin_width must be a number of seconds above 0, not {bin_width!r}")
    if outside not in ("raise", "drop"):
        raise UsageError(f"outside must be 'raise' or 'drop', not {outside!r}")
    begin = 0.0 if start is None else float(start)
    names, rows, times = _flat(spike_times, units)
    n_bins = _number_of_bins(times, bin_width, begin, stop)
    place = _edges_passed(times, bin_width, begin)
    frame = np.floor(place).astype(np.int64)
    inside = (frame >= 0) & (frame < n_bins)
    if stop is not None:
        in_time = times <= stop + _SLACK * bin_width
        frame[in_time & (frame == n_bins)] = n_bins - 1  # the last bin has both its edges
        inside = in_time & (frame >= 0)
    if epochs is not None:
        held = np.zeros(n_bins, dtype=bool)
        for first, last in epoch_frames(epochs, bin_width=bin_width, start=begin):
            held[max(first, 0) : max(last, 0)] = True
        inside &= held[np.clip(frame, 0, n_bins - 1)]
    if outside == "raise" and not inside.all():
        _refuse(names, rows, times, inside, epochs is not None)
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    where = rows[inside], frame[inside].astype(np.int32)
    return coo_matrix((ones, where), shape=(len(names), n_bins)).tocsr()


def spike_units(spike_times: Any) -> list[Hashable]:
    """Return the units of spike times, in the order of the rows of their raster.

    Parameters
    ----------
    spike_times
        As for `spike_raster`.

    Returns
    -------
    list
        Numbers from 0 for a sequence, the keys of a mapping, the sorted units of a table.

    Examples
    --------
    >>> spike_units({"b": [0.1], "a": []})
    ['b', 'a']
    """
    if _is_table(spike_times):
        import pandas as pd

        found: list[Hashable] = pd.unique(_column(spike_times, "unit")).tolist()
        try:
            return sorted(found)  # type: ignore[type-var]
        except TypeError:
            raise DataError(
                "units are of kinds that have no order; give units=[...]", column="unit"
            ) from None
    if isinstance(spike_times, Mapping):
        return list(spike_times)
    return list(range(len(_sequence(spike_times))))


def epoch_frames(
    epochs: Iterable[tuple[float, float]], *, bin_width: float, start: float = 0.0
) -> list[tuple[int, int]]:
    """Return epochs in seconds as frames of a raster: the bins that lie wholly within.

    Parameters
    ----------
    epochs
        (start, stop) in seconds.
    bin_width
        Seconds per bin.
    start
        Where the first bin begins, seconds.

    Returns
    -------
    list of (start, stop)
        First frame, and the frame after the last one, of each epoch that holds a whole bin.

    Raises
    ------
    UsageError
        If an epoch is not a pair of finite numbers, or ends before it begins.

    Examples
    --------
    >>> epoch_frames([(0.0, 0.5), (0.62, 1.0)], bin_width=0.1)
    [(0, 5), (7, 10)]
    """
    pairs = np.asarray(list(epochs), dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise UsageError("epochs must be pairs of seconds: [(start, stop), ...]")
    backward = np.flatnonzero(pairs[:, 1] <= pairs[:, 0])
    if backward.size:
        first, last = pairs[backward[0]]
        raise UsageError(f"the epoch from {first:g} to {last:g} s is empty")
    frames = _edges_passed(pairs, bin_width, start)
    whole = zip(np.ceil(frames[:, 0]), np.floor(frames[:, 1]), strict=True)
    return [(int(first), int(last)) for first, last in whole if first < last]


def _edges_passed(times: FloatArray, bin_width: float, start: float) -> FloatArray:
    """Return times in bins from the start; whole numbers where they lie on an edge."""
    place = (times - start) / bin_width
    edge = np.rint(place)
    return np.where(np.abs(place - edge) <= _SLACK, edge, place)


def _number_of_bins(times: FloatArray, bin_width: float, start: float, stop: float | None) -> int:
    if stop is None:
        if not times.size:
            raise DataError("there is no spike; give stop=... for the length of the recording")
        place = np.floor(_edges_passed(times.max(keepdims=True), bin_width, start)[0]) + 1
    else:
        if not start < stop < np.inf:
            raise UsageError(f"stop must be later than start, {start:g} s, not {stop!r}")
        place = np.ceil(_edges_passed(np.array([stop]), bin_width, start)[0])
    if place < 1:
        raise DataError(f"all spikes are before start, {start:g} s; give an earlier start")
    if place > np.iinfo(np.int32).max:
        raise UsageError(
            f"{place:.3g} bins are too many: are the times in seconds, and is bin_width "
            f"({bin_width:g} s) right?"
        )
    return int(place)


def _flat(
    spike_times: Any, units: Sequence[Hashable] | None
) -> tuple[list[Hashable], IntArray, FloatArray]:
    """Return the units, and the row and the time of each of their spikes."""
    names = spike_units(spike_times) if units is None else list(units)
    if len(set(names)) != len(names):
        raise UsageError("units must be given once each")
    row_of = {name: row for row, name in enumerate(names)}
    if _is_table(spike_times):
        labels, times = _column(spike_times, "unit"), _times(_column(spike_times, "time"), None)
        import pandas as pd

        codes, found = pd.factorize(labels)
        if (codes < 0).any():
            raise DataError("there is a spike without a unit", column="unit")
        rows = np.array([row_of.get(name, -1) for name in found.tolist()], np.int64)[codes]
        return names, rows[rows >= 0], times[rows >= 0]
    given = (
        spike_times if isinstance(spike_times, Mapping) else dict(enumerate(_sequence(spike_times)))
    )
    parts = {name: _times(times, name) for name, times in given.items() if name in row_of}
    rows = np.repeat([row_of[name] for name in parts], [part.size for part in parts.values()])
    times = np.concatenate([np.empty(0), *parts.values()])
    return names, rows.astype(np.int64), times


def _is_table(spike_times: Any) -> bool:
    return hasattr(spike_times, "columns") and hasattr(spike_times, "iloc")


def _column(table: Any, name: str) -> Any:
    if name not in table.columns:
        raise DataError(
            f"a table of spikes needs the columns 'unit' and 'time'; there are "
            f"{', '.join(map(repr, table.columns))}"
        )
    return table[name].to_numpy()


def _sequence(spike_times: Any) -> Any:
    if isinstance(spike_times, (str, bytes)) or not hasattr(spike_times, "__len__"):
        raise UsageError(
            "spike times must be a sequence with an array per unit, a mapping from unit to array "
            f"or a table, not {type(spike_times).__name__}"
        )
    return spike_times


def _times(given: Any, unit: Hashable) -> FloatArray:
    of = "" if unit is None else f" of unit {unit!r}"
    try:
        times = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"the spike times{of} are not numbers") from None
    if times.ndim != 1:
        raise DataError(
            f"the spike times{of} must have one axis, not {times.ndim}: give one array per unit"
        )
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise DataError(f"spike {bad[0]}{of} (from 0) is {times[bad[0]]}, not a time")
    return times


def _refuse(
    names: list[Hashable], rows: IntArray, times: FloatArray, inside: Any, with_epochs: bool
) -> None:
    first = int(np.flatnonzero(~inside)[0])
    count = int(np.count_nonzero(~inside))
    limits = "start, stop and epochs" if with_epochs else "start and stop"
    spikes = "1 spike is" if count == 1 else f"{count:,} spikes are"
    raise DataError(
        f"{spikes} outside of the recording, the first at {times[first]:g} s of unit "
        f"{names[rows[first]]!r}: change {limits} (seconds), or leave them out with outside='drop'"
    )
