"""Settings of a clustering beside each other: the grid, and the resolutions."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    LETTER,
    OKABE_ITO,
    SCALE,
    message_figure,
    new_figure,
    styled,
    text_on,
)

__all__ = ["resolution_ranges", "tuning_grid"]

FloatArray = npt.NDArray[np.float64]

#: column of the grid -> title, whether from 0 to 1
_MEASURES = (
    ("score", "Score", True),
    ("mean_ari", "Stability", True),
    ("null_ari", "Null", True),
    ("n_clusters", "Clusters", False),
)
_KEYS = ["n_components", "n_neighbors", "resolution"]
_MARK = OKABE_ITO[3]
_MISSING = "#E4E4E4"
#: Panels with more columns than this stand in two rows.
_MANY_COLUMNS = 10
_ROW, _SMALLEST_ROW, _MOST_INCHES = 0.2, 0.135, 9.0
_BESIDE = 1.0  # inches for the row labels
#: Values that span more than this ratio stand on a logarithmic axis.
_WIDE = 8
#: From the first resolution to the last on paper.
_AXIS_INCHES = 2.3


@styled
def tuning_grid(grid: pd.DataFrame, *, recommended: tuple[int, int, float] | None = None) -> Figure:
    """Draw what was measured at every setting, as heatmaps of n and k by resolution.

    Parameters
    ----------
    grid
        One row per setting: `n_components`, `n_neighbors`, `resolution`, and of `score`,
        `mean_ari`, `null_ari` and `n_clusters` those that were measured; NaN is grey.
    recommended
        The setting (n, k, r) to frame.

    Returns
    -------
    Figure
        A heatmap per measure, the resolutions as columns, each n with each k as rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import tuning_grid
    >>> grid = pd.DataFrame({"n_components": 5, "n_neighbors": 15, "resolution": [0.1, 0.3]})
    >>> figure = tuning_grid(grid.assign(score=[0.9, 0.4]), recommended=(5, 15, 0.1))
    >>> figure.axes[0].get_title(loc="left")
    'Score'
    """
    measures = [m for m in _MEASURES if m[0] in grid and grid[m[0]].notna().any()]
    if grid.empty or not measures:
        return message_figure("There are no settings to show.")
    wide = grid.set_index(_KEYS)[[m[0] for m in measures]].unstack("resolution")
    rows = [(int(n), int(k)) for n, k in wide.index]
    columns = [float(r) for r in wide[measures[0][0]].columns]
    per_line = len(measures) if len(columns) <= _MANY_COLUMNS else min(2, len(measures))
    lines = -(-len(measures) // per_line)
    row = min(_ROW, _MOST_INCHES / lines / len(rows))
    body = max(row * len(rows), 0.55)
    cell = (FULL_WIDTH - _BESIDE - 0.12 * per_line) / per_line / len(columns)
    labels = [f"{r:g}" for r in columns]
    upright = max(map(len, labels)) * LETTER <= cell
    head = 0.3 + (0.2 if upright else LETTER * max(map(len, labels))) + 0.2
    figure = new_figure(FULL_WIDTH, lines * (body + head + 0.45) + 0.1)
    places = figure.subplots(lines, per_line, squeeze=False)
    for spare in places.flat[len(measures) :]:
        spare.remove()
    for i, (name, title, share) in enumerate(measures):
        axes = places.flat[i]
        values = wide[name].to_numpy(dtype=float)
        mesh = _cells(axes, values, title, share=share)
        _label_columns(axes, labels, cell, upright=upright)
        _label_rows(axes, rows, body / len(rows), named=i % per_line == 0)
        if cell >= 0.235 and body / len(rows) >= 0.15:
            _write(axes, values, mesh, share=share)
        _frame(axes, rows, columns, recommended)
        bar = figure.colorbar(
            mesh, ax=axes, location="bottom", aspect=14, shrink=0.9, pad=min(0.03, 0.05 / body)
        )
        _scale(bar, mesh.norm)
    return figure


def _cells(axes: Axes, values: FloatArray, title: str, *, share: bool) -> Any:
    """Draw the cells of one measure."""
    known = values[np.isfinite(values)]
    norm: Normalize = Normalize(0.0, 1.0)
    if not share:
        low, high = max(1.0, float(known.min())), max(2.0, float(known.max()))
        norm = LogNorm(low, high) if high > _WIDE * low else Normalize(min(low, high - 1), high)
    edges = values.size <= 900 and len(values) <= 80
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=mpl.colormaps[SCALE].with_extremes(bad=_MISSING),
        norm=norm,
        rasterized=values.size > 3000,
        edgecolors="white" if edges else "none",
        linewidth=0.5 if edges else 0.0,
    )
    axes.set_facecolor(_MISSING)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.set_title(title, pad=4)
    return mesh


def _label_columns(axes: Axes, labels: list[str], cell: float, *, upright: bool) -> None:
    step = 1 if upright else max(1, int(np.ceil(0.125 / cell)))
    places = range(0, len(labels), step)
    axes.set_xticks([i + 0.5 for i in places], [labels[i] for i in places])
    axes.tick_params(
        axis="x", length=0, top=False, labelsize=8, rotation=0 if upright else 90, pad=2
    )
    axes.set_xlabel("Resolution", fontsize=8, labelpad=1)


def _label_rows(axes: Axes, rows: list[tuple[int, int]], pitch: float, *, named: bool) -> None:
    """Name n where it changes, and k in each row; a line between two n."""
    firsts = [i for i, (n, _) in enumerate(rows) if i == 0 or rows[i - 1][0] != n]
    for first in firsts[1:]:
        axes.axhline(first, color="white", linewidth=2.4)
    axes.tick_params(axis="y", length=0, labelsize=8, pad=2)
    if not named:
        axes.set_yticks([])
        return
    if pitch >= _SMALLEST_ROW:
        names = [f"n={n}  k={k}" if i in set(firsts) else f"k={k}" for i, (n, k) in enumerate(rows)]
        places = list(range(len(rows)))
    else:
        step = max(1, int(np.ceil(_SMALLEST_ROW * len(firsts) / (pitch * len(rows)))))
        places = firsts[::step]
        names = [f"n={rows[i][0]}  k={rows[i][1]}…" for i in places]
    axes.set_yticks([i + 0.5 for i in places], names)


def _write(axes: Axes, values: FloatArray, mesh: Any, *, share: bool) -> None:
    """Write the values into their cells, without the zero before the point."""
    for (i, j), value in np.ndenumerate(values):
        if not np.isfinite(value) or (not share and value >= 10_000):
            continue
        text = f"{value:.2f}" if share else f"{value:.0f}"
        text = text.replace("0.", ".", 1) if share else text
        color = text_on(mesh.cmap(mesh.norm(max(value, mesh.norm.vmin))))
        text = {".00": "0", "1.00": "1", "-.00": "0"}.get(text, text)
        axes.text(j + 0.5, i + 0.52, text, ha="center", va="center", fontsize=7, color=color)


def _frame(
    axes: Axes,
    rows: list[tuple[int, int]],
    columns: list[float],
    recommended: tuple[int, int, float] | None,
) -> None:
    """Frame the recommended setting."""
    if recommended is None or recommended[:2] not in rows or recommended[2] not in columns:
        return
    corner = columns.index(recommended[2]), rows.index(recommended[:2])
    frame = Rectangle(corner, 1, 1, fill=False, edgecolor=_MARK, linewidth=2.2, clip_on=False)
    axes.add_patch(frame).set_zorder(5)


def _scale(bar: Any, norm: Normalize) -> None:
    """Label a colour bar sparsely; whole numbers for clusters."""
    bar.outline.set_visible(False)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    if high <= 1.0:
        bar.set_ticks([0.0, 0.5, 1.0])
    elif isinstance(norm, LogNorm):
        bar.set_ticks([low, round((low * high) ** 0.5), high])
        bar.ax.xaxis.set_minor_locator(NullLocator())
    else:
        bar.set_ticks(sorted({round(low), round(high)}))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))
    bar.ax.tick_params(length=2, labelsize=7.5)


@styled
def resolution_ranges(
    grid: pd.DataFrame, *, n_components: int, n_neighbors: int, resolution: float | None = None
) -> Figure:
    """Draw stability and number of clusters against the resolution, at one n and k.

    Parameters
    ----------
    grid
        One row per setting: `n_components`, `n_neighbors`, `resolution`, `n_clusters`,
        `mean_ari`, `std_ari`, `null_ari`, `range_low`, `range_high`.
    n_components, n_neighbors
        n and k to show.
    resolution
        The resolution to mark.

    Returns
    -------
    Figure
        Left the agreement of replicates (band: one standard deviation) beside that of the null;
        right the number of clusters; a thick line joins resolutions between which the partition
        holds, those with the same `range_low` and `range_high`.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import resolution_ranges
    >>> grid = pd.DataFrame({"n_components": 5, "n_neighbors": 15, "resolution": [0.1, 0.3],
    ...     "n_clusters": [4, 7], "mean_ari": [0.9, 0.6], "std_ari": 0.05, "null_ari": 0.1,
    ...     "range_low": [0.1, 0.3], "range_high": [0.1, 0.3]})
    >>> len(resolution_ranges(grid, n_components=5, n_neighbors=15).axes)
    2
    """
    at = (grid["n_components"] == n_components) & (grid["n_neighbors"] == n_neighbors)
    part = grid[at].sort_values("resolution")
    if part.empty:
        return message_figure("There are no settings to show.")
    figure = new_figure(FULL_WIDTH, 2.9)
    left, right = figure.subplots(1, 2)
    values = part["resolution"].to_numpy(dtype=float)
    _agreement(left, values, part)
    _ranges(right, values, part)
    for axes in (left, right):
        _resolution_axis(axes, values, resolution)
    return figure


def _agreement(axes: Axes, values: FloatArray, part: pd.DataFrame) -> None:
    mean, spread = (part[name].to_numpy(dtype=float) for name in ("mean_ari", "std_ari"))
    spread = np.nan_to_num(spread)
    axes.fill_between(
        values, mean - spread, np.minimum(mean + spread, 1.0), color=OKABE_ITO[0], alpha=0.2,
        linewidth=0,
    )  # fmt: skip
    axes.plot(
        values, part["null_ari"], color=GREY, marker="o", markersize=3.5, label="No clusters (null)"
    )
    axes.plot(values, mean, color=OKABE_ITO[0], marker="o", markersize=3.5, label="Replicates")
    axes.set(title="Agreement of replicates", ylabel="Adjusted Rand index")
    # room below the curves for the legend
    axes.set_ylim(-0.32, 1.06)
    axes.yaxis.set_major_locator(FixedLocator([0.0, 0.25, 0.5, 0.75, 1.0]))
    axes.legend(
        loc="lower left",
        ncols=2,
        handlelength=1.4,
        columnspacing=1.0,
        borderpad=0.1,
        frameon=True,
        edgecolor="none",
        framealpha=1.0,
    )


def _ranges(axes: Axes, values: FloatArray, part: pd.DataFrame) -> None:
    clusters = part["n_clusters"].to_numpy(dtype=float)
    axes.plot(values, clusters, color=FAINT, linewidth=0.7, linestyle=(0, (1, 2)))
    spans = part.groupby(["range_low", "range_high"], sort=False).indices.values()
    for rows in spans:
        axes.plot(
            values[rows], clusters[rows], color=OKABE_ITO[2], linewidth=6, alpha=0.4,
            solid_capstyle="round",
        )  # fmt: skip
    axes.plot(values, clusters, color=OKABE_ITO[2], marker="o", markersize=4.5, linestyle="none")
    axes.set(title="Where the partition holds", ylabel="Clusters")
    if clusters.min() > 0 and clusters.max() > 4 * _WIDE * clusters.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        room = max(1.0, 0.12 * (clusters.max() - clusters.min()))
        axes.set_ylim(max(0.0, clusters.min() - room), clusters.max() + room)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _resolution_axis(axes: Axes, values: FloatArray, marked: float | None) -> None:
    """Label the resolutions that were looked at, as far as the labels do not touch."""
    log = values[-1] > _WIDE * values[0]
    if log:
        axes.set_xscale("log")
    places = np.log(values) if log else values
    longest = max(len(f"{value:g}") for value in values)
    gap = (places[-1] - places[0]) * LETTER * (longest + 0.6) / _AXIS_INCHES
    kept: list[int] = []
    for i in sorted(range(len(values)), key=lambda i: (values[i] != marked, i)):
        if all(abs(places[i] - places[j]) >= gap for j in kept):
            kept.append(i)
    shown = [float(values[i]) for i in sorted(kept)]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.set_xlabel("Resolution")
    low, high = _view(values, log=log)
    axes.set_xlim(low, high)
    if marked is not None:
        axes.axvline(marked, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        for value, label in zip(shown, axes.get_xticklabels(), strict=True):
            if value == marked:
                label.set_fontweight("bold")


def _view(values: FloatArray, *, log: bool) -> tuple[float, float]:
    """Return from where to where resolutions are shown: ranges may reach far beyond."""
    if log or len(values) == 1:
        margin = max(1.25, (values[-1] / values[0]) ** 0.12)
        return float(values[0] / margin), float(values[-1] * margin)
    margin = 0.12 * (values[-1] - values[0])
    return float(max(0.0, values[0] - margin)), float(values[-1] + margin)
