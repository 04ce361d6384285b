"""Cells where they lie in the tissue: a panel per field of view, clusters in their colours.

Coordinates are those of images: rows go down, and both axes have one scale. Where cells are as many
as dots of the picture, each dot takes the commonest cluster of the cells in it, so that none hides
another; otherwise each cell is a point about as large as the space it has.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    cluster_colors,
    display_name,
    elide,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["TissuePanel", "cluster_places", "tissue_maps"]

FloatArray = npt.NDArray[np.float64]

_DOTS_PER_INCH = 160  # of the pictures in a report
_BACKGROUND = "#E4E4E4"
_PALE = 0.72  # mean of the channels


@dataclass(frozen=True)
class TissuePanel:
    """One field of view.

    Attributes
    ----------
    title
        Its name.
    note
        A line beneath the name; may be empty.
    xy
        Horizontal and vertical position of each cell, n x 2; the vertical one grows downwards.
    labels
        Cluster of each cell, n; negative ones are grey.
    """

    title: str
    note: str
    xy: FloatArray
    labels: npt.NDArray[np.int32]


@styled
def tissue_maps(
    panels: Sequence[TissuePanel],
    *,
    group_label: str = "Cluster",
) -> Figure:
    """Draw fields of view, each cell in the colour of its cluster.

    Parameters
    ----------
    panels
        The fields of view, at least one.
    group_label
        Title of the legend.

    Returns
    -------
    Figure
        A panel per field of view, with one legend. There are 22 colours: of clusters that have the
        same one, the first (which is the largest, as clusters are numbered) keeps it, the others
        are grey.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import TissuePanel, tissue_maps
    >>> xy = np.random.default_rng(0).random((50, 2))
    >>> panel = TissuePanel("FOV 1", "", xy, np.zeros(50, int))
    >>> tissue_maps([panel]).axes[0].get_title(loc="left")
    'FOV 1'
    """
    if not panels:
        return message_figure("There are no fields of view to show.")
    present = np.unique(np.concatenate([panel.labels for panel in panels]))
    clusters = [int(label) for label in present if label >= 0]
    shades: dict[Hashable, str] = {**cluster_colors(clusters)}
    owner = {shades[c]: c for c in reversed(clusters)}
    coloured = [c for c in clusters if owner[shades[c]] == c]
    shades = {c: shades[c] if owner[shades[c]] == c else GREY for c in clusters}
    columns = _columns(len(panels))
    least = 0.5 + 0.176 * (len(coloured) + 2)  # the legend
    figure, grid = _grid(len(panels), columns, FULL_WIDTH - 1.3, _shape(panels), least)
    for panel, axes in zip(panels, grid, strict=True):
        _draw(axes, panel, shades, columns)
        _title(axes, panel, columns)
    entries: list[tuple[str, str]] = [(display_name(c), str(shades[c])) for c in coloured]
    if len(coloured) < len(clusters):
        others = len(clusters) - len(coloured)
        entries.append(("1 other" if others == 1 else f"{others} others", GREY))
    if (present < 0).any():
        entries.append(("none", GREY))
    _legend(figure, entries, group_label)
    return figure


@styled
def cluster_places(panels: Sequence[tuple[int, TissuePanel]]) -> Figure:
    """Draw one field of view per cluster, its cells in colour and all others in grey.

    This tells any number of clusters apart, because each has a panel of its own.

    Parameters
    ----------
    panels
        Cluster, and a field of view to show it in.

    Returns
    -------
    Figure
        A panel per cluster.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import TissuePanel, cluster_places
    >>> xy = np.random.default_rng(0).random((50, 2))
    >>> panel = TissuePanel("FOV 1", "", xy, np.zeros(50, int))
    >>> cluster_places([(0, panel)]).axes[0].get_title(loc="left")
    'Cluster 0'
    """
    if not panels:
        return message_figure("There are no clusters to show.")
    columns = min(len(panels), 4 if len(panels) <= 12 else 6)
    shape = _shape([panel for _, panel in panels])
    figure, grid = _grid(len(panels), columns, FULL_WIDTH, shape, 0.0)
    colors = cluster_colors([cluster for cluster, _ in panels])
    for (cluster, panel), axes in zip(panels, grid, strict=True):
        shades: dict[Hashable, str] = dict.fromkeys(map(int, np.unique(panel.labels)), _BACKGROUND)
        shades[cluster] = _strong(str(colors[cluster]))
        _draw(axes, panel, shades, columns, on_top=cluster)
        lines = [f"Cluster {cluster}", elide(panel.title, _letters(columns))]
        axes.set_title(lines[0], fontsize=8.5 if columns <= 4 else 7.5, pad=14 - columns)
        axes.annotate(
            lines[1],
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=7 if columns <= 4 else 6,
            color=FAINT,
        )
    return figure


def _strong(color: str) -> str:
    """Return a colour that stands out from the grey of the others: pale ones are darkened."""
    channels = np.array(to_rgb(color))
    return color if channels.mean() < _PALE else to_hex(tuple(0.7 * channels))


def _columns(count: int) -> int:
    return next(columns for most, columns in ((1, 1), (4, 2), (9, 3), (10**9, 4)) if count <= most)


def _letters(columns: int) -> int:
    """Letters of a small title that fit above a panel."""
    return {1: 60, 2: 34, 3: 22, 4: 22}.get(columns, 17)


def _shape(panels: Sequence[TissuePanel]) -> float:
    """Return height over width of the panels: that of the median field of view, in bounds."""
    shapes = []
    for panel in panels:
        width, height = np.maximum(np.ptp(panel.xy, axis=0), 1e-12) if len(panel.xy) else (1, 1)
        shapes.append(height / width)
    return float(np.clip(np.median(shapes), 0.4, 2.0))


def _grid(
    count: int, columns: int, width: float, shape: float, least: float
) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    side = min(width / columns - 0.16, 5.6)
    figure = new_figure(FULL_WIDTH, min(40.0, max(least, rows * (side * shape + 0.4) + 0.1)))
    made = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in made[count:]:
        axes.set_axis_off()
    return figure, list(made[:count])


def _title(axes: Axes, panel: TissuePanel, columns: int) -> None:
    letters = _letters(columns)
    axes.set_title(elide(panel.title, letters), fontsize=9 if columns <= 3 else 8, pad=14)
    if panel.note:
        axes.annotate(
            elide(panel.note, letters + 8),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7.5 if columns <= 3 else 6.5,
            color=FAINT,
        )


def _draw(
    axes: Axes,
    panel: TissuePanel,
    shades: Mapping[Hashable, str],
    columns: int,
    *,
    on_top: int | None = None,
) -> None:
    """Draw the cells of a field of view."""
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#CCCCCC")
    xy = panel.xy
    if not len(xy):
        return
    low, high = xy.min(axis=0), xy.max(axis=0)
    span = np.where(high > low, high - low, max(1.0, float((high - low).max())))
    inches = (FULL_WIDTH - 0.6) / columns * min(1.0, 5.6 / FULL_WIDTH * columns)
    scale = inches / float(span.max())  # inches per unit
    area = float(np.prod(span * scale))
    per_cell = np.sqrt(max(area, 1e-6) / len(xy))  # inches: the side of the space that a cell has
    margin = 0.02 * float(span.max())
    axes.set_xlim(low[0] - margin, low[0] + span[0] + margin)
    axes.set_ylim(low[1] + span[1] + margin, low[1] - margin)  # rows of an image go down
    if per_cell * _DOTS_PER_INCH < 2.0:
        _as_image(axes, panel, shades, (low, low + span), scale, on_top)
        return
    colors = np.array([to_rgb(shades.get(int(c), GREY)) for c in range(-2, 1 + _top(panel.labels))])
    order = np.arange(len(xy))
    if on_top is not None:  # the others first
        order = np.argsort(panel.labels == on_top, kind="stable")
    axes.scatter(
        xy[order, 0],
        xy[order, 1],
        s=float(np.clip((0.95 * 72 * per_cell) ** 2, 0.25, 30.0)),
        c=colors[np.maximum(panel.labels[order], -2) + 2],
        linewidths=0,
        rasterized=True,
    )


def _top(labels: npt.NDArray[np.int32]) -> int:
    return int(labels.max(initial=0))


def _as_image(
    axes: Axes,
    panel: TissuePanel,
    shades: Mapping[Hashable, str],
    box: tuple[FloatArray, FloatArray],
    scale: float,
    on_top: int | None,
) -> None:
    """Draw each dot in the colour of the commonest cluster in it."""
    (low, high), n = box, len(panel.xy)
    # about three cells to a dot, so that few dots stay empty, but no dot finer than the picture
    side = max(1.5 / _DOTS_PER_INCH, float(np.sqrt(3.0 * np.prod((high - low) * scale) / n)))
    dots = np.maximum(1, np.ceil((high - low) * scale / side)).astype(np.int64)
    place = np.minimum(((panel.xy - low) / (high - low) * dots).astype(np.int64), dots - 1)
    dot = place[:, 1] * dots[0] + place[:, 0]
    labels = np.maximum(panel.labels, -1).astype(np.int64) + 1
    if on_top is not None:
        labels = (panel.labels == on_top).astype(np.int64)
    width = int(labels.max()) + 1
    kinds, counts = np.unique(dot * width + labels, return_counts=True)
    # of the kinds in a dot the commonest comes last, ties to the lower label
    order = np.lexsort((-(kinds % width), counts, kinds // width))
    last = np.flatnonzero(np.diff(np.append((kinds // width)[order], -1)))
    chosen = kinds[order][last]
    names = [-1, *range(width - 1)] if on_top is None else [None, on_top]
    table = np.array(
        [to_rgb(_BACKGROUND if name is None else shades.get(name, GREY)) for name in names]
    )
    image = np.ones((int(dots[1]), int(dots[0]), 3))
    image.reshape(-1, 3)[chosen // width] = table[chosen % width]
    axes.imshow(
        image,
        extent=(low[0], high[0], high[1], low[1]),
        interpolation="nearest",
        aspect="equal",
    )
    margin = 0.02 * float((high - low).max())
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(high[1] + margin, low[1] - margin)


def _legend(figure: Figure, entries: Sequence[tuple[str, str]], title: str) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=6, color=color) for _, color in entries
    ]
    # a label that starts with "_" would be left out, so the texts are set afterwards
    legend = figure.legend(
        handles, ["-"] * len(entries), title=title, loc="outside right upper", alignment="left"
    )
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(name)
