"""Programs one by one: their leading features, what they explain, where they are used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from partwise.figures.heatmap import heatmap
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    SCALE,
    elide,
    message_figure,
    new_figure,
    styled,
)

__all__ = [
    "coverage_bars",
    "explained_bars",
    "fit_histogram",
    "leading_features",
    "leading_heatmap",
    "program_name",
    "usage_maps",
]

_MOST_PROGRAMS = 40
#: Values beyond this quantile share the last colour, so that one cell does not set the scale.
_TOP_QUANTILE = 0.99


def program_name(name: object) -> str:
    """Return the label of a program: `program_3`, its column in our files, is "Program 3"."""
    text = str(name)
    if text.startswith("program_") and text[8:].isdigit():
        return f"Program {text[8:]}"
    return elide(text, 24)


@styled
def leading_features(top: pd.DataFrame, *, feature: str = "feature") -> Figure:
    """Draw the leading features of each program as bars, one panel per program.

    Parameters
    ----------
    top
        Columns program, rank, the feature, and weight: what `top_features` returns.
    feature
        Name of the column of features.

    Returns
    -------
    Figure
        One axes per program, up to 40 of them; bars are weights relative to the program's largest.

    Examples
    --------
    >>> import pandas as pd
    >>> top = pd.DataFrame({"program": ["program_1"], "rank": 1, "feature": "A", "weight": 2.0})
    >>> leading_features(top).axes[0].get_title(loc="left")
    'Program 1'
    """
    groups = list(top.groupby("program", sort=False))[:_MOST_PROGRAMS]
    if not groups:
        return message_figure("There are no programs to show.")
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    most = max(len(part) for _, part in groups)
    figure = new_figure(FULL_WIDTH, rows * (0.42 + 0.15 * most) + 0.2)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, part) in zip(panels, groups, strict=False):
        weight = part["weight"].to_numpy(float)
        places = np.arange(len(part))
        axes.barh(places, weight / (weight.max(initial=0.0) or 1.0), color=OKABE_ITO[0], height=0.8)
        labels = [elide(text, 16) for text in part[feature]]
        axes.set_yticks(places, labels, fontsize=7.5)
        axes.set_ylim(most - 0.4, -0.6)
        axes.set_xlim(0, 1.0)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(program_name(name), fontsize=9)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    return figure


@styled
def leading_heatmap(
    programs: pd.DataFrame, *, explained: npt.ArrayLike | None = None, max_features: int = 60
) -> Figure:
    """Draw the leading features of all programs in all programs.

    A cell is h_ij / max_j h_ij: the weight relative to the largest of its program, so that a
    program of few features does not pale the others.

    Parameters
    ----------
    programs
        Non-negative weights, features x programs.
    explained
        Share of the data that each program explains, written under its name.
    max_features
        As many of each program are shown, its largest, that all fit into this number of rows; at
        least one of each.

    Returns
    -------
    Figure
        A heatmap, features x programs.

    Examples
    --------
    >>> import pandas as pd
    >>> H = pd.DataFrame({"program_1": [2.0, 1.0], "program_2": [0.0, 3.0]}, index=["A", "B"])
    >>> [text.get_text() for text in leading_heatmap(H).axes[0].get_yticklabels()]
    ['A', 'B']
    """
    if programs.empty:
        return message_figure("There are no programs to show.")
    weights = programs.to_numpy(dtype=float)
    largest = weights.max(axis=0)
    relative = weights / np.where(largest > 0, largest, 1.0)
    each = max(1, max_features // weights.shape[1])
    chosen: dict[int, None] = {}
    for column in relative.T:
        best = np.argsort(-column, kind="stable")[:each]
        chosen.update(dict.fromkeys(int(i) for i in best if column[i] > 0))
    order = list(chosen)
    if not order:
        return message_figure("All weights are zero.")
    names = [program_name(name) for name in programs.columns]
    if explained is not None:
        shares = np.asarray(explained, dtype=float)
        names = [f"{n}\n{100 * share:.1f} %" for n, share in zip(names, shares, strict=True)]
    count = f"{each} " if each > 1 else ""
    label = f"The {count}largest of each program" if len(order) < len(weights) else ""
    return heatmap(
        relative[order],
        [elide(programs.index[i]) for i in order],
        names,
        scale_label="Weight relative to the largest of the program",
        row_label=label,
        top=1.0,
    )


@styled
def explained_bars(explained: npt.ArrayLike, *, label: str = "Share of the data") -> Figure:
    """Draw which share of the data each program explains.

    Parameters
    ----------
    explained
        Share of ||X||^2 of each program, in their order.
    label
        What the share is of.

    Returns
    -------
    Figure
        Bars, one per program.

    Examples
    --------
    >>> len(explained_bars([0.5, 0.2]).axes[0].patches)
    2
    """
    shares = 100 * np.asarray(explained, float).ravel()
    if shares.size == 0:
        return message_figure("There are no programs to show.")
    figure = new_figure(FULL_WIDTH, 2.4)
    axes = figure.add_subplot()
    places = np.arange(1, len(shares) + 1)
    axes.bar(places, shares, color=OKABE_ITO[0], width=0.8)
    axes.set(xlabel="Program", ylabel=label, xlim=(0.4, len(shares) + 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    if len(shares) <= 25:
        for place, share in zip(places.tolist(), shares.tolist(), strict=True):
            _above(axes, place, share, f"{share:.1f}" if share < 9.95 else f"{share:.0f}")
        axes.set_ylim(0, 1.12 * max(shares.max(), 1e-9))
    return figure


@styled
def coverage_bars(covered: npt.ArrayLike, *, least: float | None = None) -> Figure:
    """Draw which share of each program's weight is on features that new data have.

    Parameters
    ----------
    covered
        Shares from 0 to 1, in the order of the programs.
    least
        The share that was asked for.

    Returns
    -------
    Figure
        Bars, one per program; those below `least` are red.

    Examples
    --------
    >>> len(coverage_bars([1.0, 0.4], least=0.5).axes[0].patches)
    2
    """
    shares = 100 * np.asarray(covered, float).ravel()
    if shares.size == 0:
        return message_figure("There are no programs to show.")
    figure = new_figure(FULL_WIDTH, 2.2)
    axes = figure.add_subplot()
    places = np.arange(1, len(shares) + 1)
    low = shares < 100 * (least or 0.0)
    axes.bar(places, shares, color=np.where(low, OKABE_ITO[3], OKABE_ITO[0]).tolist(), width=0.8)
    axes.set(xlabel="Program", ylabel="Weight covered", ylim=(0, 108))
    axes.set_xlim(0.4, len(shares) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    if least:
        axes.axhline(100 * least, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
    return figure


@styled
def usage_maps(points: pd.DataFrame, usage: pd.DataFrame) -> Figure:
    """Draw the usage of each program by cells in the plane, one panel per program.

    Parameters
    ----------
    points
        Two columns, one row per cell; the column names label the axes.
    usage
        Usage, cells x programs, in the same order.

    Returns
    -------
    Figure
        One axes per program, up to 40 of them, each with its own scale from dark to bright: its
        ends stand above it, 0 and the 99th percentile of the usage. Cells with more lie on top.

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"UMAP 1": [0.0, 1.0], "UMAP 2": [1.0, 0.0]})
    >>> len(usage_maps(points, pd.DataFrame({"program_1": [0.0, 2.0]})).axes)
    1
    """
    names = list(usage.columns)[:_MOST_PROGRAMS]
    if len(points) == 0 or not names:
        return message_figure("There are no cells to show.")
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    side = FULL_WIDTH / columns if columns > 1 else 4.2
    figure = new_figure(columns * side, rows * (0.92 * side) + 0.25)
    xy = points.to_numpy(dtype=float)
    size = float(np.clip(2500.0 / len(xy), 0.6, 14.0))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        top = _map(axes, xy, usage[name].to_numpy(dtype=float), size)
        axes.set_title(program_name(name), fontsize=9)
        axes.set_title(f"0 to {top:.3g}", loc="right", fontsize=7, fontweight="normal")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel(str(points.columns[0]), fontsize=8.5)
    figure.supylabel(str(points.columns[1]), fontsize=8.5)
    return figure


def _map(
    axes: Axes, xy: npt.NDArray[np.float64], value: npt.NDArray[np.float64], s: float
) -> float:
    """Draw one program; return the usage at which its scale ends."""
    finite = np.isfinite(value)
    used = value[finite & (value > 0)]
    top = float(np.quantile(used, _TOP_QUANTILE)) if used.size else 1.0
    order = np.argsort(value, kind="stable")
    order = order[finite[order]]
    lost = xy[~finite]
    axes.scatter(lost[:, 0], lost[:, 1], s=s, c=GREY, linewidths=0, rasterized=True)
    axes.scatter(
        xy[order, 0],
        xy[order, 1],
        s=s,
        c=value[order],
        cmap=SCALE,
        vmin=0.0,
        vmax=top or 1.0,
        linewidths=0,
        rasterized=True,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return top or 1.0


def _above(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(
        text, (x, y), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7.5
    )


@styled
def fit_histogram(fit: npt.ArrayLike) -> Figure:
    """Draw how well rows are fitted.

    Parameters
    ----------
    fit
        Share of each row's sum of squares that is explained; at most 1.

    Returns
    -------
    Figure
        A histogram with the median marked.

    Examples
    --------
    >>> fit_histogram([0.2, 0.4, 0.9]).axes[0].get_ylabel()
    'Rows'
    """
    values = np.asarray(fit, float).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return message_figure("There are no rows to show.")
    figure = new_figure(FULL_WIDTH, 2.4)
    axes = figure.add_subplot()
    low = min(0.0, float(values.min()))
    counts, *_ = axes.hist(values, bins=np.linspace(low, 1.0, 51).tolist(), color=OKABE_ITO[0])
    axes.set_ylim(0, 1.15 * float(np.max(counts)))  # room for the text
    middle = float(np.median(values))
    axes.axvline(middle, color=OKABE_ITO[3], linewidth=1.2)
    axes.annotate(
        f"median {middle:.2f}",
        (middle, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -9),
        textcoords="offset points",
        fontsize=8,
    )
    axes.set(xlabel="Share of a row that is explained", ylabel="Rows", xlim=(low, 1.0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure
