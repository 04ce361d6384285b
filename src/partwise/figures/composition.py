"""What groups of cells are made of: stacked bars for few groups, other pictures for many."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from partwise.figures.heatmap import diagonal_order, heatmap
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    colors_for,
    display_name,
    isolated_last,
    message_figure,
    new_figure,
    styled,
    wrapped,
)

__all__ = ["composition"]

FloatArray = npt.NDArray[np.float64]

_MOST_SEGMENTS = 12  # colours that can be told apart in a bar
_BAR_HEIGHTS = ((16, 0.23), (40, 0.19), (64, 0.155))  # inches, for up to so many bars
_MOST_BARS = _BAR_HEIGHTS[-1][0]  # bars that can have a name each
_MOST_COLUMNS = 300  # columns that can be drawn


@styled
def composition(
    counts: pd.DataFrame,
    *,
    group_label: str,
    part_label: str,
    colors: Mapping[Hashable, str] | None = None,
) -> Figure:
    """Draw what share of each group's cells belongs to each part.

    Up to 64 groups of up to 12 parts are stacked bars with the number of cells at their ends. With
    more groups (fields of view, say) the bars become thin columns, sorted by what they are made of
    and without names; beyond 300, neighbours in this order are averaged. With more parts, a
    heatmap of parts x groups.

    Parameters
    ----------
    counts
        Number of cells, groups x parts.
    group_label, part_label
        What the two are, e.g. "Cluster" and "Cell type".
    colors
        Colour of each part; by default those of `colors_for`.

    Returns
    -------
    Figure
        One axes with a legend or a colour bar.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import composition
    >>> counts = pd.DataFrame({"B cell": [8, 1], "T cell": [2, 3]})
    >>> figure = composition(counts, group_label="Cluster", part_label="Cell type")
    >>> len(figure.axes[0].patches)
    4
    """
    counts = counts.iloc[isolated_last(counts.index), isolated_last(counts.columns)]
    counts = counts.loc[counts.sum(axis=1) > 0]
    if counts.empty:
        return message_figure("There are no cells to show.")
    totals = counts.sum(axis=1).to_numpy(dtype=float)
    shares = counts.to_numpy(dtype=float) / totals[:, None]
    few_groups = len(counts) <= _MOST_BARS
    if counts.shape[1] > _MOST_SEGMENTS:
        return _as_heatmap(counts, shares, group_label, part_label, few_groups)
    shades = dict(colors) if colors is not None else colors_for(counts.columns)
    parts = [(display_name(part), shades.get(part, GREY)) for part in counts.columns]
    if few_groups:
        return _bars(counts.index, shares, totals, parts, (group_label, part_label))
    return _columns(shares, parts, (group_label, part_label))


def _bars(
    groups: pd.Index,
    shares: FloatArray,
    totals: FloatArray,
    parts: list[tuple[str, str]],
    labels: tuple[str, str],
) -> Figure:
    row = next(height for most, height in _BAR_HEIGHTS if len(groups) <= most)
    figure = new_figure(FULL_WIDTH, max(0.85 + row * len(groups), 0.7 + 0.19 * len(parts)))
    axes = figure.add_subplot()
    places = np.arange(len(groups))
    left = np.zeros(len(groups))
    for share, (_, color) in zip(shares.T, parts, strict=True):
        axes.barh(places, share, left=left, color=color, height=0.8, edgecolor="white", lw=0.4)
        left += share
    size = 8 if row > 0.16 else 7
    for place, total in zip(places, totals, strict=True):
        axes.annotate(
            f"{total:,.0f}", (1.01, place), va="center", annotation_clip=False, fontsize=size
        )
    axes.annotate(
        "Cells",
        (1.01, 1.0),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        color=FAINT,
        fontsize=size,
    )
    axes.set_yticks(places, [display_name(group) for group in groups], fontsize=size)
    spare = max(0, 3 - len(groups)) / 2  # so that a bar alone is not as high as the legend
    axes.set_ylim(len(groups) - 0.5 + spare, -0.5 - spare)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(ylabel=wrapped(labels[0], row * max(3, len(groups))), xlabel="Share of the cells")
    _legend(figure, parts, labels[1])
    return figure


def _columns(shares: FloatArray, parts: list[tuple[str, str]], labels: tuple[str, str]) -> Figure:
    """Draw one thin column per group, sorted, as one polygon per part."""
    sorted_shares, note = _sorted_and_binned(shares)
    figure = new_figure(FULL_WIDTH, 3.0)
    axes = figure.add_subplot()
    edges = np.linspace(0, len(shares), len(sorted_shares) + 1)
    lower = np.zeros(len(sorted_shares))
    for share, (_, color) in zip(sorted_shares.T, parts, strict=True):
        upper = lower + share
        axes.stairs(upper, edges, baseline=lower, fill=True, color=color, lw=0)
        lower = upper
    axes.set_xlim(0, len(shares))
    axes.set_ylim(0, 1)
    axes.set_xticks([])  # places in this order are not names of groups
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel=f"{labels[0]}: {len(shares):,}, {note}", ylabel="Share of the cells")
    _legend(figure, parts, labels[1])
    return figure


def _as_heatmap(
    counts: pd.DataFrame, shares: FloatArray, group_label: str, part_label: str, few_groups: bool
) -> Figure:
    names = [display_name(group) for group in counts.index]
    column_label = group_label
    if not few_groups:
        shares, note = _sorted_and_binned(shares)
        names = [""] * len(shares)
        column_label = f"{group_label}: {len(counts):,}, {note}"
    parts = shares.T
    order = diagonal_order(parts) if few_groups else np.arange(len(parts))
    return heatmap(
        parts[order],
        [display_name(counts.columns[i]) for i in order],
        names,
        scale_label="Share of the column's cells",
        row_label=part_label,
        column_label=column_label,
    )


def _sorted_and_binned(shares: FloatArray) -> tuple[FloatArray, str]:
    """Sort groups by their main part and its share, then average neighbours to few columns."""
    ordered = shares[diagonal_order(shares)]
    if len(ordered) <= _MOST_COLUMNS:
        return ordered, "sorted by composition"
    bins = np.array_split(ordered, _MOST_COLUMNS)
    return (
        np.stack([part.mean(axis=0) for part in bins]),
        "sorted by composition, neighbours averaged",
    )


def _legend(figure: Figure, parts: list[tuple[str, str]], title: str) -> None:
    handles = [Patch(color=color) for _, color in parts]
    # a label that starts with "_" would be left out, so the texts are set afterwards
    legend = figure.legend(
        handles,
        ["-"] * len(parts),
        title=title,
        loc="outside right upper",
        alignment="left",
        handlelength=1.0,
        handleheight=1.0,
    )
    for text, (name, _) in zip(legend.get_texts(), parts, strict=True):
        text.set_text(name)
