"""The panels of `factor_plot`."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from partwise.exceptions import UsageError
from partwise.figures.rasters import (
    bin_data,
    bin_edges,
    bin_largest,
    bin_reconstruction,
    dot_note,
)
from partwise.figures.sequence_epochs import mark_epochs
from partwise.figures.sequence_sheet import DPI, GAP, MISSING, Model, Sheet
from partwise.figures.style import (
    FAINT,
    INK,
    LETTER,
    display_name,
    elide,
    wrapped,
)
from partwise.sequences._inside import weighed

__all__ = [
    "draw_activations",
    "draw_center",
    "draw_factors",
    "draw_motifs",
    "draw_side",
    "draw_strip",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_FRAME = "#D0D0D0"
#: Single weak entries are drawn a little darker than in proportion.
_GAMMA = 0.75
#: Where more than this share of the dots holds a high activation their means are drawn instead.
_CROWDED, _HIGH = 0.3, 0.2
_NARROW = 0.15  # inches of a tile
_SIDE_SCALE = "magma"
#: Values beyond this quantile of those above zero share the darkest colour.
_TOP_QUANTILE = 0.98
_SMALLEST_LABEL = 0.115  # inches per line
_NOTE_LETTER = 0.055  # inches


def draw_motifs(figure: Figure, sheet: Sheet, model: Model) -> None:
    """Draw a tile per factor, units x lags, each scaled to its own strongest weights."""
    axes = sheet.axes(figure, sheet.left, Sheet.BOTTOM, (sheet.motifs, sheet.data))
    axes.set_label("motifs")
    n, k, n_lags = len(model.order), model.k, model.motifs.shape[2]
    tile = sheet.tile(k)
    rows = bin_edges(n, _dots(sheet.data))
    lags = bin_edges(n_lags, _dots(tile))
    for i, color in enumerate(model.colors):
        left = i * (1 + GAP)
        weights = bin_largest(bin_largest(model.motifs[model.order, i], lags, axis=1), rows, axis=0)
        if not model.empty[i]:
            image = _tinted(weights / _top(weights), color)
            _image(axes, image, (left, left + 1, n, 0))
        if tile < _NARROW:  # frames would outshine what is in them
            axes.plot((left, left + 1), (0, 0), color=color, linewidth=2.0, clip_on=False)
            axes.axvline(left + 1 + GAP / 2, color=_FRAME, linewidth=0.4)
        else:
            edge = _FRAME if model.empty[i] else color
            frame = Rectangle((left, 0), 1, n, facecolor="none", edgecolor=edge, linewidth=0.7)
            axes.add_patch(frame).set_clip_on(False)
        if model.empty[i]:
            axes.text(
                left + 0.5,
                n / 2,
                "empty",
                rotation=90 if tile < 0.5 else 0,
                ha="center",
                va="center",
                color=FAINT,
                fontsize=7.5 if tile >= 0.11 else 6,
            )
    axes.set(xlim=(0, k + GAP * (k - 1)), ylim=(n, 0))
    axes.spines[:].set_visible(False)
    _unit_axis(axes, n, sorted_=model.sorted)
    _lag_axis(axes, model, tile)
    _tile_names(axes, model, tile)


def draw_strip(figure: Figure, sheet: Sheet, model: Model) -> None:
    """Draw all lags together: each unit in the colour of the factor in which it is strongest."""
    left = sheet.left + sheet.motifs + Sheet.AIR
    axes = sheet.axes(figure, left, Sheet.BOTTOM, (Sheet.STRIP, sheet.data))
    axes.set_label("strip")
    # as `sort_neurons` does: the factor of a unit is that of its largest norm over the lags
    norms = np.linalg.norm(model.motifs[model.order].astype(np.float64), axis=2)
    edges = bin_edges(len(norms), _dots(sheet.data))
    norms = np.add.reduceat(norms, edges[:-1], axis=0) / np.diff(edges)[:, None]
    best = norms.argmax(axis=1)
    largest = norms.max(axis=0)
    shares = norms / np.where(largest > 0, largest, 1.0)
    colors = np.array([to_rgb(color) for color in model.colors])[best]
    strength = shares[np.arange(len(best)), best, None] ** 0.5
    _image(axes, (1 - strength * (1 - colors))[:, None], (0, 1, len(model.order), 0))
    axes.set_axis_off()


def draw_center(figure: Figure, sheet: Sheet, model: Model, data: Any) -> None:
    """Draw data in ink, or without data the reconstruction in the colours of the factors."""
    axes = sheet.axes(figure, sheet.center_left, Sheet.BOTTOM, (sheet.center, sheet.data))
    axes.set_label("center")
    n, (start, stop) = len(model.order), model.window
    size = (_dots(sheet.data), _dots(sheet.center))
    if data is None:
        parts = bin_reconstruction(
            model.motifs, model.activations, model.order, model.window, size, model.epochs
        )
        image = _blended(parts, model.colors)
        rows, columns = n / image.shape[0], (stop - start) / image.shape[1]
        note = dot_note(rows, columns, largest=False)
    else:
        if not (sp.issparse(data) or hasattr(data, "frames")):
            data = np.asarray(data)
        picture = bin_data(data, model.order, model.window, size)
        values = picture.values
        known = values[np.isfinite(values)]
        low = max(0.0, float(np.quantile(known, 0.01))) if known.size else 0.0
        top = _top(known - low)
        gamma = _GAMMA if picture.largest else 1.0
        image = _tinted(((values - low).clip(0) / top) ** gamma, INK)
        note = dot_note(picture.rows, picture.frames, largest=picture.largest)
    _image(axes, image, (model.seconds(start), model.seconds(stop), n, 0))
    mark_epochs(axes, model, sheet.center)
    axes.set_title("Reconstruction" if data is None else "Data", fontsize=9, pad=4)
    axes.set_title(note, loc="right", fontsize=7.5, color=FAINT, fontweight="normal", pad=4)
    _bare(axes)
    axes.set_yticks([])
    _time_axis(axes, model, sheet.center)
    axes.set_xlabel("Frame" if model.rate is None else "Time (s)")


def draw_side(
    axes: Axes, model: Model, label: str, values: Array, per: float, sheet: Sheet
) -> None:
    """Draw what was recorded beside the data, by its own clock, on the time axis of the data."""
    axes.set_label("side")
    if not (per > 0 and values.ndim in (1, 2)):
        raise UsageError(
            f"the side channel {label!r} must be a vector or channels x samples with a positive "
            f"rate; it has {values.ndim} axes and the rate {per}"
        )
    begin, end = (model.seconds(frame) * per for frame in model.window)
    first, last = int(np.floor(begin)), min(int(np.ceil(end)), values.shape[-1])
    scale = ""
    if first >= last:
        _say(axes, "not recorded in this window")
    elif values.ndim == 1:
        edges = bin_edges(last - first, _dots(sheet.center))
        centers = (first + (edges[:-1] + edges[1:]) / 2) / per
        means = np.add.reduceat(values[first:last].astype(float), edges[:-1]) / np.diff(edges)
        axes.plot(centers, means, color=INK, linewidth=0.8)
        if np.isfinite(means).any():
            scale = f"\n{np.nanmin(means):.3g} to {np.nanmax(means):.3g}"
    else:
        size = (_dots(axes.get_position().height * sheet.height), _dots(sheet.center))
        rows = np.arange(values.shape[0])[::-1]
        picture = bin_data(values, rows, (first, last), size, how="mean")
        known = picture.values[np.isfinite(picture.values)]
        low, high = np.quantile(known, [0.01, 0.995]) if known.size else (0.0, 1.0)
        dots = mpl.colormaps[_SIDE_SCALE].with_extremes(bad=MISSING)(
            np.ma.masked_invalid((picture.values - low) / (high - low or 1.0))
        )
        _image(axes, dots, (first / per, last / per, 0, len(rows)))
    _bare(axes)
    axes.set_xlim(begin / per, end / per)
    axes.set_xticks([])
    axes.set_yticks([])
    text = wrapped(display_name(label, 60), sheet.motifs) + scale
    axes.annotate(
        text,
        (0, 0.5),
        xycoords="axes fraction",
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
    )


def draw_activations(figure: Figure, sheet: Sheet, model: Model, bottom: float) -> None:
    """Draw a row per factor, relative to its largest activation in the whole recording.

    Each counts by what of its motif lies within its epoch: at the ends the largest may be noise.
    """
    axes = sheet.axes(figure, sheet.center_left, bottom, (sheet.center, sheet.activations))
    axes.set_label("activations")
    start, stop = model.window
    edges = bin_edges(stop - start, _dots(sheet.center))
    rows = weighed(model.motifs, model.activations, model.epochs)
    part = rows[:, start:stop]
    inside, whole = bin_largest(part, edges, axis=1), rows.max(axis=1)
    note = ""
    high = inside > _HIGH * whole[:, None]
    if high.sum() > _CROWDED * high.shape[1] * np.count_nonzero(~model.empty):
        inside = np.add.reduceat(part, edges[:-1], axis=1, dtype=np.float64) / np.diff(edges)
        whole = inside.max(axis=1)
        note = dot_note(1, (stop - start) / inside.shape[1], largest=False)
    for k, color in enumerate(model.colors):
        base = k + 0.94
        axes.axhline(base, color=_FRAME, linewidth=0.6, zorder=0)
        values = inside[k] / (whole[k] if whole[k] > 0 else 1.0)
        if model.empty[k] or not values.any():
            continue
        changes = np.flatnonzero(np.diff(values, prepend=-1.0))
        changes = np.append(changes, len(values))
        heights = np.append(values[changes[:-1]], 0.0)
        axes.fill_between(
            model.seconds(1) * (start + edges[changes]),
            base,
            base - 0.88 * heights,
            step="post",
            color=color,
            linewidth=0.5,
        )
    if not inside.any():
        _say(axes, "no factor is active in this window")
    note = "; ".join(filter(None, (mark_epochs(axes, model, sheet.center), note)))
    axes.set_title("Activations", fontsize=9, pad=4)
    axes.set_title(note, loc="right", fontsize=7.5, color=FAINT, fontweight="normal", pad=4)
    _bare(axes)
    axes.set_xlim(model.seconds(start), model.seconds(stop))
    axes.set_xticks([])
    axes.set(ylim=(model.k, 0), yticks=[])
    if model.note:
        axes.annotate(
            elide(model.note, int(sheet.center / _NOTE_LETTER)),
            (0, 0),
            xycoords="axes fraction",
            xytext=(0, -2),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color=FAINT,
        )


def draw_factors(
    figure: Figure, sheet: Sheet, model: Model, bottom: float, loadings: FloatArray | None
) -> None:
    """Name the rows of the activations and draw what each factor explains."""
    width = sheet.motifs + Sheet.STRIP + Sheet.AIR
    axes = sheet.axes(figure, sheet.left, bottom, (width, sheet.activations))
    axes.set_label("factors")
    row = sheet.activations / model.k
    step = _step(_SMALLEST_LABEL / row)
    labels = model.labels
    size = 8.5 if row >= 0.15 else 7
    for k in range(0, model.k, step):
        pale = model.pale[k]
        color = FAINT if pale else model.colors[k]
        axes.text(
            width, k + 0.6, labels[k], ha="right", va="center", fontsize=size, color=color,
            fontweight="normal" if pale else "bold",
        )  # fmt: skip
    axes.set(xlim=(0, width), ylim=(model.k, 0))
    axes.set_axis_off()
    if loadings is None:
        return
    shares = loadings
    right = width - LETTER * max(map(len, labels)) - 0.12
    longest = max(0.2, right - 0.4)
    lengths = longest * np.nan_to_num(shares) / (np.nanmax(shares, initial=0.0) or 1.0)
    axes.barh(
        np.arange(model.k) + 0.6,
        lengths,
        left=right - lengths,
        height=min(0.62, 0.12 / row),
        color=model.colors,
    )
    for k in range(0, model.k, step):
        if np.isfinite(shares[k]) and not model.empty[k]:
            percent = f"{100 * shares[k]:.{0 if shares[k] >= 0.0995 else 1}f} %"
            percent = "< 0.1 %" if 0 < shares[k] < 0.0005 else percent
            axes.text(
                right - lengths[k] - 0.04, k + 0.6, percent, ha="right", va="center",
                fontsize=min(size, 7.5), color=INK,
            )  # fmt: skip
    axes.text(right, -0.04 / row, "Loading", ha="right", va="bottom", fontsize=8.5)


def _tile_names(axes: Axes, model: Model, tile: float) -> None:
    heads = model.heads
    step = _step((0.075 * max(map(len, heads)) + 0.03) / (tile * (1 + GAP)))
    for k in range(0, model.k, step):
        pale = model.pale[k]
        axes.annotate(
            heads[k],
            (k * (1 + GAP) + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8.5 if tile >= 0.2 else 7,
            fontweight="normal" if pale else "bold",
            color=FAINT if pale else model.colors[k],
        )


def _lag_axis(axes: Axes, model: Model, tile: float) -> None:
    """Label each tile from lag 0 to its end, or, where that does not fit, say it once."""
    end = model.seconds(model.motifs.shape[2])
    unit = "frames" if model.rate is None else "s"
    if tile >= 0.5:
        lefts = [k * (1 + GAP) for k in range(model.k)]
        axes.set_xticks(
            [x for left in lefts for x in (left, left + 1)], ["0", f"{end:.3g}"] * model.k
        )
        for i, label in enumerate(axes.get_xticklabels()):
            label.set_horizontalalignment("right" if i % 2 else "left")
        axes.set_xlabel(f"Lag ({unit})")
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"Lag, 0 to {end:.3g} {unit}", labelpad=6)


def _unit_axis(axes: Axes, n: int, *, sorted_: bool) -> None:
    places = [int(t) for t in MaxNLocator(5, integer=True).tick_values(1, n) if 1 < t < 0.94 * n]
    places = sorted({1, n, *(t for t in places if t > 0.06 * n)})
    axes.set_yticks([place - 0.5 for place in places], [f"{place:,}" for place in places])
    axes.tick_params(axis="y", length=2, pad=1, labelsize=8)
    axes.set_ylabel("Units, sorted" if sorted_ else "Units", labelpad=1)


def _time_axis(axes: Axes, model: Model, width: float) -> None:
    """Put as many times below the axes as fit; the last must not leave the figure."""
    start, stop = model.seconds(model.window[0]), model.seconds(model.window[1])
    most = int(width / (LETTER * len(f"{stop:,.0f}") + 0.32))
    ticks = np.asarray(MaxNLocator(max(2, min(7, most))).tick_values(start, stop))
    ticks = ticks[(ticks >= start) & (ticks <= stop)]
    axes.set_xlim(start, stop)
    axes.set_xticks(ticks, [f"{tick:,.9g}" for tick in ticks])
    for tick, label in zip(ticks.tolist(), axes.get_xticklabels(), strict=True):
        if tick > stop - 0.02 * (stop - start):
            label.set_horizontalalignment("right")


def _bare(axes: Axes) -> None:
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=2.5)


def _say(axes: Axes, text: str) -> None:
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=8
    )


def _step(needed: float) -> int:
    """Return the first of 1, 2, 5, 10, 20, 50, ... that is not below `needed`."""
    steps: list[int] = [step * 10**power for power in range(9) for step in (1, 2, 5)]
    return next(step for step in steps if step >= needed)


def _dots(inches: float) -> int:
    return max(1, int(inches * DPI))


def _top(values: Array) -> float:
    """Return where a scale ends that begins at 0: one strong entry must not pale the others."""
    positive = values[values > 0]
    return float(np.quantile(positive, _TOP_QUANTILE)) if positive.size else 1.0


def _tinted(values: Array, color: str) -> FloatArray:
    """Return an image that runs from white at 0 to the colour at 1; what is missing is grey."""
    strength = np.clip(np.nan_to_num(values), 0, 1)[..., None]
    image: FloatArray = 1 - strength * (1 - np.array(to_rgb(color)))
    image[np.isnan(values)] = to_rgb(MISSING)
    return image


def _blended(parts: FloatArray, colors: list[str]) -> FloatArray:
    """Return an image of factors together: the strength is their sum, the hue their mean."""
    total = parts.sum(axis=0)
    strength = np.clip(total / _top(total), 0, 1)
    hues = np.array([to_rgb(color) for color in colors])
    mixed = np.tensordot(parts, 1 - hues, axes=(0, 0)) / np.where(total > 0, total, 1.0)[..., None]
    image: FloatArray = 1 - strength[..., None] * mixed
    return image


def _image(axes: Axes, dots: Array, extent: tuple[float, float, float, float]) -> None:
    axes.imshow(dots, extent=extent, aspect="auto", interpolation="nearest", origin="upper")
