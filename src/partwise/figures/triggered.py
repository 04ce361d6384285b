"""The recording around the events of factors: its mean, and single events of single units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from partwise.exceptions import UsageError
from partwise.figures.rasters import Frames, bin_edges, unmasked
from partwise.figures.sequence_sheet import factor_colors
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    INK,
    display_name,
    message_figure,
    new_figure,
    styled,
)
from partwise.sequences._timeline import check_epochs

__all__ = ["triggered_rasters"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Spans = tuple[tuple[int, int], ...]

#: Factors beside each other; with more of them than that in all, means only.
_COLUMNS, _WITH_RASTERS = 5, 10
#: Strongest events that are averaged, and that are drawn one by one; units of these.
_AVERAGED, _SINGLE, _UNITS = 500, 12, 6
#: Rows of an image of all units.
_ROWS = 300
_MISSING = "#DCDCDC"


@styled
def triggered_rasters(
    data: npt.ArrayLike | sp.spmatrix | sp.sparray | Frames,
    events: pd.DataFrame,
    *,
    before: int,
    after: int,
    order: npt.ArrayLike | None = None,
    rate: float | None = None,
    names: Sequence[str] | None = None,
    epochs: Any = None,
) -> Figure:
    """Draw the recording around the events of each factor.

    Above the mean over events (the 500 strongest if there are more), all units; below, for up to 10
    factors, single events of the units with the highest means, in the order of their peaks, events
    in the order of time.

    Parameters
    ----------
    data
        Units x frames: array, scipy sparse, or an object with `shape` and `frames(start, stop)`.
    events
        One row per event: `factor` from 0, `frame`, and, if there is one, `amplitude`, by which
        events are chosen where there are more than are drawn.
    before, after
        Frames before the event, and frames from the event on.
    order
        Units from top to bottom, as `sort_neurons` gives them; those left out are not drawn.
    rate
        Frames per second; without it time is in frames.
    names
        Names of the factors; by default 1, 2, ... up to the last one with an event. Those without
        are shown as such.
    epochs
        (start, stop) in frames: what lies in another epoch than the event is grey.

    Returns
    -------
    Figure
        Axes labelled "mean" and "events", a pair per factor.

    Raises
    ------
    UsageError
        If the window has no frames, a factor of the events does not exist, or epochs cannot be.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from partwise.figures import triggered_rasters
    >>> X = np.eye(4, 60)
    >>> events = pd.DataFrame({"factor": [0, 0], "frame": [10, 30]})
    >>> figure = triggered_rasters(X, events, before=5, after=10)
    >>> [axes.get_label() for axes in figure.axes]
    ['mean', 'events']
    """
    if not (before >= 0 and after > 0):
        raise UsageError(f"before must be 0 or more and after 1 or more, not {before} and {after}")
    recording: Any = unmasked(data)
    if sp.issparse(recording):
        recording = recording.tocsc()
    elif not hasattr(recording, "frames"):
        recording = np.asarray(recording)
    factor = events["factor"].to_numpy(dtype=np.intp) if len(events) else np.empty(0, np.intp)
    count = int(factor.max(initial=-1)) + 1 if names is None else len(names)
    if factor.size and not 0 <= factor.min() <= factor.max() < count:
        raise UsageError(f"events name factors outside of 0 to {count - 1}")
    if not len(events) or 0 in recording.shape:
        return message_figure("There are no events to show.")
    spans = check_epochs(epochs, recording.shape[1])
    units = np.arange(recording.shape[0]) if order is None else np.asarray(order, dtype=np.intp)
    figure, panels = _panels(count)
    lags = (-before / (rate or 1.0), after / (rate or 1.0))
    for k, (top, low) in enumerate(panels):
        own = events[factor == k]
        title = str(k + 1) if names is None else display_name(names[k], 14)
        color = factor_colors(count)[k]
        part = f"{_AVERAGED} of " if len(own) > _AVERAGED else ""
        found = f"{part}{len(own):,} event{'s' if len(own) != 1 else ''}"
        top.set_title(f"{title}: {found}", fontsize=8.5, color=color if len(own) else FAINT, pad=3)
        if not len(own):
            _empty((top, low))
            continue
        ends = (before, after)
        mean = _mean(recording, _strongest(own, _AVERAGED), ends, spans)[units]
        _draw_mean(top, mean, color, lags)
        if low is not None:
            shown = _leading(mean)
            frames = np.sort(_strongest(own, _SINGLE))
            windows = np.stack(
                [_window(recording, f, ends, spans)[units[shown]] for f in frames], 1
            )
            _draw_events(low, windows, shown, lags)
        bottom = low or top
        bottom.set_xlabel("s" if rate is not None else "frames", labelpad=1)
    panels[0][0].set_ylabel("Units, mean")
    if panels[0][1] is not None:
        panels[0][1].set_ylabel("Units x events")
    return figure


def _panels(count: int) -> tuple[Figure, list[tuple[Axes, Axes | None]]]:
    """Return a figure with a column per factor, in several lines if there are many."""
    columns = min(_COLUMNS, count)
    lines = -(-count // columns)
    both = count <= _WITH_RASTERS
    width = FULL_WIDTH if columns > 2 else 2.2 + 1.6 * columns
    figure = new_figure(width, lines * (3.9 if both else 1.55 if lines <= 5 else 1.3))
    grid = figure.add_gridspec((1 + both) * lines, columns)
    made: list[tuple[Axes, Axes | None]] = []
    for k in range(count):
        line, column = divmod(k, columns)
        top = figure.add_subplot(grid[(1 + both) * line, column], label="mean")
        low = figure.add_subplot(grid[2 * line + 1, column], label="events") if both else None
        made.append((top, low))
    return figure, made


def _strongest(events: pd.DataFrame, most: int) -> IntArray:
    if "amplitude" in events and len(events) > most:
        events = events.nlargest(most, "amplitude")
    frames: IntArray = events["frame"].to_numpy(dtype=np.intp)[:most]
    return frames


def _window(data: Any, frame: int, ends: tuple[int, int], spans: Spans) -> FloatArray:
    """Return the frames around an event, dense; NaN outside of its epoch."""
    before, after = ends
    low, high = next(((a, b) for a, b in spans if a <= frame < b), (frame, frame))
    start, stop = max(low, frame - before), min(high, frame + after)
    window = np.full((data.shape[0], before + after), np.nan)
    if start < stop:
        part = data.frames(start, stop) if hasattr(data, "frames") else data[:, start:stop]
        part = part.toarray() if sp.issparse(part) else np.asarray(part)
        window[:, start - frame + before : stop - frame + before] = part
    return window


def _mean(data: Any, frames: IntArray, ends: tuple[int, int], spans: Spans) -> FloatArray:
    """Return the mean over events of what is known, units x lags; NaN if nothing is."""
    total = np.zeros((data.shape[0], sum(ends)))
    count = np.zeros_like(total)
    for frame in frames:
        window = _window(data, int(frame), ends, spans)
        known = ~np.isnan(window)
        total += np.where(known, window, 0.0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _leading(mean: FloatArray) -> IntArray:
    """Return the units with the highest peaks, in the order of these."""
    peaks = np.nan_to_num(mean).max(axis=1)
    best = np.argsort(-peaks, kind="stable")[:_UNITS]
    best = best[peaks[best] > 0] if (peaks > 0).any() else best
    when = np.nan_to_num(mean[best]).argmax(axis=1)
    return np.asarray(best[np.argsort(when, kind="stable")])


def _draw_mean(axes: Axes, mean: FloatArray, color: str, lags: tuple[float, float]) -> None:
    edges = bin_edges(len(mean), _ROWS)
    known = ~np.isnan(mean)
    total = np.add.reduceat(np.where(known, mean, 0.0), edges[:-1], axis=0)
    count = np.add.reduceat(known.astype(float), edges[:-1], axis=0)
    binned = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    _image(axes, binned, color, (*lags, len(mean), 0))
    axes.set_yticks([0.5, len(mean) - 0.5] if len(mean) > 1 else [0.5])
    axes.set_yticklabels(["1", f"{len(mean):,}"] if len(mean) > 1 else ["1"])
    _lag_axis(axes, lags)


def _draw_events(axes: Axes, windows: Array, units: IntArray, lags: tuple[float, float]) -> None:
    """Draw units x events x lags, the events of a unit below each other."""
    n, events, width = windows.shape
    _image(axes, windows.reshape(n * events, width), INK, (*lags, n * events, 0))
    for i in range(1, n):
        axes.axhline(i * events, color=FAINT, linewidth=0.5)
    axes.set_yticks([(i + 0.5) * events for i in range(n)], [f"{unit + 1:,}" for unit in units])
    axes.tick_params(axis="y", length=0)
    _lag_axis(axes, lags)


def _image(
    axes: Axes, values: FloatArray, color: str, extent: tuple[float, float, float, float]
) -> None:
    """Draw from white at 0 to the colour at the largest value; what is missing is grey."""
    positive = values[values > 0]
    top = float(np.quantile(positive, 0.98)) if positive.size else 1.0
    strength = np.clip(np.nan_to_num(values / top), 0, 1)[..., None]
    dots = 1 - strength * (1 - np.array(to_rgb(color)))
    dots[np.isnan(values)] = to_rgb(_MISSING)
    axes.imshow(dots, extent=extent, aspect="auto", interpolation="nearest", origin="upper")


def _lag_axis(axes: Axes, lags: tuple[float, float]) -> None:
    axes.axvline(0.0, color=FAINT, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set_xlim(lags)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=7.5, pad=1.5)


def _empty(panels: tuple[Axes, Axes | None]) -> None:
    panels[0].set(xticks=[], yticks=[])
    panels[0].spines[:].set_color("#DDDDDD")
    if panels[1] is not None:
        panels[1].set_axis_off()
    panels[0].text(
        0.5, 0.5, "no events", transform=panels[0].transAxes, ha="center", va="center",
        color=FAINT, fontsize=8,
    )  # fmt: skip
