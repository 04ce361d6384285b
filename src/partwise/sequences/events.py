"""When sequences occur, and what the units do then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.sequences._inside import weighed
from partwise.sequences._timeline import check_epochs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["event_times", "triggered_average", "triggered_windows"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Numbers of a dense recording that are looked at at a time.
_AT_A_TIME = 1 << 22


def event_times(
    activations: Any,
    *,
    rate: float = 1.0,
    threshold: float | None = None,
    min_interval: float = 0.0,
    epochs: Any = None,
    motifs: Any = None,
) -> pd.DataFrame:
    """Find when each factor starts: the peaks of its activations.

    A peak is a local maximum, of a plateau the first frame. By default a peak is an event from
    six times the root mean square of the factor's activations up, or from a third or a half of the
    middle one of its three highest peaks up where six times is less or more than that; and, so
    that a single event is not joined by noise, from three times the root mean square of what is
    left without the three highest peaks (but no more than half of the highest).

    Parameters
    ----------
    activations
        K x T.
    rate
        Frames per second.
    threshold
        Least height of an event, relative to the factor's largest activation; None for the rule
        above.
    min_interval
        Least time between two events of a factor, seconds (frames if rate is 1): of peaks that are
        closer the higher one stays.
    epochs
        (start, stop) in frames: each is looked at alone, frames outside of all have no events.
    motifs
        N x K x L, if known: then an activation counts by the share of its motif's norm that lies
        within its epoch. In the last frames of an epoch, where next to nothing of a motif is left,
        activations may be many times as large as those of any event.

    Returns
    -------
    pandas.DataFrame
        `factor` (from 0), `frame`, `time` (seconds) and `amplitude`, in the order of time.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If activations are not finite or are negative.

    Notes
    -----
    The rule was chosen among some fifty by how well it finds planted events in the activations of
    fitted models: over 20 kinds of recordings that differ in noise, jitter, participation, warp,
    overlap and rate of events, the harmonic mean of precision and recall is 0.94 on average, 0.68
    where events are warped; a tenth of the largest activation, as the original's rasters have it,
    reaches 0.47, because it takes noise for events.

    Examples
    --------
    >>> import numpy as np
    >>> activations = np.zeros((2, 60))
    >>> activations[0, [10, 40]] = [2.0, 1.5]
    >>> activations[1, [24, 25, 26]] = [0.1, 0.8, 0.3]
    >>> event_times(activations, rate=30.0)[["factor", "frame"]].to_numpy().tolist()
    [[0, 10], [1, 25], [0, 40]]
    """
    import pandas as pd

    given = _checked(activations)
    rows = given if motifs is None else weighed(_motifs_of(motifs, given), given, epochs)
    if not 0 < rate < np.inf:
        raise UsageError(f"rate must be a number of frames per second above 0, not {rate!r}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"threshold must be between 0 and 1, not {threshold!r}")
    if not 0 <= min_interval < np.inf:
        raise UsageError(f"min_interval must be seconds from 0 up, not {min_interval!r}")
    pieces = check_epochs(epochs, rows.shape[1])
    # a millionth of a frame for what seconds lose in binary
    distance = max(1, int(np.ceil(min_interval * rate - 1e-6)))
    factors, frames = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for k, row in enumerate(rows):
        parts = [row[start:stop] for start, stop in pieces]
        starts = [start for start, _ in pieces]
        peaks = np.concatenate(
            [_peaks(part, distance) + at for at, part in zip(starts, parts, strict=True)]
        )
        inside = np.concatenate(parts)
        least = _least_height(inside, row[peaks]) if threshold is None else threshold * inside.max()
        frames.append(peaks[row[peaks] >= least])
        factors.append(np.full(frames[-1].size, k))
    factor, frame = np.concatenate(factors), np.concatenate(frames)
    order = np.lexsort((factor, frame))
    factor, frame = factor[order], frame[order]
    columns = {"factor": factor, "frame": frame, "time": frame / rate}
    return pd.DataFrame({**columns, "amplitude": given[factor, frame]})


def triggered_windows(
    X: Any, events: pd.DataFrame, *, before: int, after: int, epochs: Any = None
) -> FloatArray:
    """Return the recording around each event.

    Parameters
    ----------
    X
        N x T: array, sparse matrix, or a source of frames.
    events
        With a column `frame`, as from `event_times`.
    before, after
        Frames before the event, and from the event on: column `before` of a window is the event.
    epochs
        (start, stop) in frames; nothing is taken from another epoch than the event's.

    Returns
    -------
    numpy.ndarray
        Events x N x (before + after), float64; NaN where a window reaches outside.

    Raises
    ------
    UsageError, DataError
        If a parameter or the events cannot be used.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> X = np.arange(8.0).reshape(1, 8)
    >>> triggered_windows(X, pd.DataFrame({"frame": [3, 7]}), before=1, after=2)[:, 0].tolist()
    [[2.0, 3.0, 4.0], [6.0, 7.0, nan]]
    """
    n_units, n_frames = X.shape
    frame = _frames_of(events, n_frames)
    place, inside = _windows(frame, n_frames, before, after, epochs)
    found = np.full((len(frame), n_units, before + after), np.nan)
    event, column = np.nonzero(inside)
    places = place[inside]
    order = np.argsort(places, kind="stable")
    event, column, places = event[order], column[order], places[order]
    for first, block in _blocks(X, places):
        a, b = np.searchsorted(places, [first, first + block.shape[1]])
        found[event[a:b], :, column[a:b]] = _dense(block)[:, places[a:b] - first].T
    return found


def triggered_average(
    X: Any,
    events: pd.DataFrame,
    *,
    before: int,
    after: int,
    n_factors: int | None = None,
    epochs: Any = None,
) -> FloatArray:
    """Return the mean of the recording around the events of each factor.

    Each frame of the window is averaged over the events whose window has that frame, so that
    events near an end count where they can. Hidden entries (NaN) are left out. Memory is that of
    the result: windows are not held.

    Parameters
    ----------
    X
        N x T: array, sparse matrix, or a source of frames.
    events
        With columns `factor` (from 0) and `frame`, as from `event_times`.
    before, after
        Frames before the event, and from the event on: column `before` of a window is the event.
    n_factors
        Number of factors K; if None, one more than the largest in `events`.
    epochs
        (start, stop) in frames; nothing is taken from another epoch than the event's.

    Returns
    -------
    numpy.ndarray
        K x N x (before + after), float64; NaN where there is nothing to average.

    Raises
    ------
    UsageError, DataError
        If a parameter or the events cannot be used.

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> sim = simulate_sequences(3000, n_sequences=2, noise=0.0)
    >>> found = triggered_average(sim.X, sim.events, before=0, after=sim.n_lags)
    >>> found.shape, bool((found == sim.motifs.transpose(1, 0, 2)).all())
    ((2, 20, 28), True)
    """
    from scipy.sparse import csr_matrix

    n_units, n_frames = X.shape
    frame, factor = _frames_of(events, n_frames), _factors_of(events, n_factors)
    count = int(factor.max(initial=-1)) + 1 if n_factors is None else n_factors
    place, inside = _windows(frame, n_frames, before, after, epochs)
    width = before + after
    slot = (factor[:, None] * width + np.arange(width)[None, :])[inside]
    place = place[inside]
    order = np.argsort(place, kind="stable")
    place, slot = place[order], slot[order]
    total = np.zeros((count * width, n_units))
    number: Any = np.bincount(slot, minlength=count * width)[:, None].astype(np.float64)
    for first, block in _blocks(X, place):
        a, b = np.searchsorted(place, [first, first + block.shape[1]])
        where = (slot[a:b], place[a:b] - first)
        pick = csr_matrix((np.ones(b - a), where), shape=(count * width, block.shape[1]))
        values, hidden = _without_hidden(block)
        total += _dense(pick @ values.T)
        if hidden is not None:
            number = number - _dense(pick @ hidden.T)
    shape = np.broadcast_to(number, total.shape)
    mean = np.divide(total, shape, out=np.full(total.shape, np.nan), where=shape > 0)
    return np.ascontiguousarray(mean.reshape(count, width, n_units).transpose(0, 2, 1))


def _checked(activations: Any) -> FloatArray:
    rows = np.asarray(activations, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise UsageError(f"activations must be factors x frames, not of shape {rows.shape}")
    if not np.isfinite(rows).all() or rows.min() < 0:
        raise DataError("activations must be finite and not negative")
    return rows


def _motifs_of(motifs: Any, rows: FloatArray) -> Any:
    found = np.asarray(motifs)
    if found.ndim != 3 or found.shape[1] != len(rows) or not found.shape[2]:
        raise UsageError(
            f"motifs must be units x {len(rows)} factors x lags, not of shape {found.shape}"
        )
    return found


def _peaks(row: FloatArray, distance: int) -> IntArray:
    """Return local maxima of a stretch, at the first frame of plateaus, ends included."""
    from scipy.signal import find_peaks

    padded = np.concatenate(([0.0], row, [0.0]))
    _, found = find_peaks(padded, plateau_size=1, distance=distance)
    peaks: IntArray = found["left_edges"].astype(np.int64) - 1
    return peaks


def _least_height(row: FloatArray, heights: FloatArray) -> float:
    """Return the height from which peaks are events by default; `event_times` says the rule."""
    if not heights.size:
        return 0.0
    highest = np.sort(heights)[-3:]
    middle, power = float(np.median(highest)), float(row @ row)
    usual = np.clip(6.0 * np.sqrt(power / row.size), middle / 3.0, middle / 2.0)
    # what is left without the highest ones is noise, if events are that rare
    rest = np.sqrt(max(power - float(highest @ highest), 0.0) / row.size)
    return max(float(usual), min(3.0 * float(rest), float(highest[-1]) / 2.0))


def _frames_of(events: pd.DataFrame, n_frames: int) -> IntArray:
    frame = _whole_numbers(events, "frame")
    outside = np.flatnonzero((frame < 0) | (frame >= n_frames))
    if outside.size:
        raise DataError(
            f"the event at frame {frame[outside[0]]} is outside of the recording, which has "
            f"{n_frames} frames"
        )
    return frame


def _factors_of(events: pd.DataFrame, n_factors: int | None) -> IntArray:
    factor = _whole_numbers(events, "factor")
    limit = np.inf if n_factors is None else n_factors
    wrong = np.flatnonzero((factor < 0) | (factor >= limit))
    if wrong.size:
        known = "" if n_factors is None else f" to {n_factors - 1}"
        raise DataError(f"there is an event of factor {factor[wrong[0]]}; they count from 0{known}")
    return factor


def _whole_numbers(events: pd.DataFrame, name: str) -> IntArray:
    if name not in events:
        raise DataError(f"events need the column {name!r}")
    given = events[name].to_numpy()
    found: IntArray = given.astype(np.int64)
    if not np.array_equal(found, given):
        raise DataError("events need whole numbers", column=name)
    return found


def _windows(
    frame: IntArray, n_frames: int, before: int, after: int, epochs: Any
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Return the frames of each window, and which of them lie in the event's epoch."""
    if min(before, after) < 0 or before + after < 1 or int(before) + int(after) != before + after:
        raise UsageError(
            f"before and after must be numbers of frames, not {before!r} and {after!r}"
        )
    starts, stops = np.array(check_epochs(epochs, n_frames), dtype=np.int64).T
    epoch = np.searchsorted(starts, frame, side="right") - 1
    low, high = starts[np.maximum(epoch, 0)], stops[np.maximum(epoch, 0)]
    within = (epoch >= 0) & (frame < high)
    place = frame[:, None] + np.arange(-before, after)[None, :]
    inside = (place >= low[:, None]) & (place < high[:, None]) & within[:, None]
    return place, inside


def _blocks(X: Any, places: IntArray) -> Iterator[tuple[int, Any]]:
    """Yield stretches that cover the sorted places, with the first frame of each.

    They are sparse where X is; how they are cut depends on the number of units alone.
    """
    n_units, n_frames = X.shape
    step = max(1, _AT_A_TIME // n_units)
    columns = X.tocsc() if hasattr(X, "tocsc") else X
    for number in np.unique(places // step):
        first, last = int(number) * step, min(int(number + 1) * step, n_frames)
        yield first, X.frames(first, last) if hasattr(X, "frames") else columns[:, first:last]


def _dense(block: Any) -> FloatArray:
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block, dtype=np.float64)


def _without_hidden(block: Any) -> tuple[Any, Any]:
    """Return values with 0 for NaN, and ones at NaN (None if there are none)."""
    if not hasattr(block, "toarray"):
        values = np.asarray(block, dtype=np.float64)
        hidden = np.isnan(values)
        if not hidden.any():
            return values, None
        return np.where(hidden, 0.0, values), hidden.astype(np.float64)
    values = block.tocsc().astype(np.float64)
    there = np.isnan(values.data)
    if not there.any():
        return values, None
    hidden = values.copy()
    hidden.data = there.astype(np.float64)
    values.data = np.where(there, 0.0, values.data)
    return values, hidden
