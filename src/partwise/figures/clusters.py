"""How large the clusters are, where they lie, and what the control says."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from partwise.figures.heatmap import diagonal_order, heatmap
from partwise.figures.style import (
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    cluster_colors,
    colors_for,
    display_name,
    isolated_last,
    message_figure,
    new_figure,
    styled,
)

FloatArray = npt.NDArray[np.float64]

__all__ = ["agreement_heatmap", "cluster_sizes", "embedding"]

_FEW_BARS = 24
_MOST_BARS = 64
_LEGEND_ENTRIES = 20
_OTHERS = "all others"


@styled
def cluster_sizes(sizes: pd.Series) -> Figure:
    """Draw how many cells each cluster holds.

    Parameters
    ----------
    sizes
        Number of cells, indexed by cluster; cluster -1, the isolated cells, is grey.

    Returns
    -------
    Figure
        Bars with counts and shares for up to 24 clusters, bars alone for up to 64; beyond, the
        sizes from the largest to the smallest on a logarithmic scale, isolated cells left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import cluster_sizes
    >>> len(cluster_sizes(pd.Series([60, 40])).axes[0].patches)
    2
    """
    if sizes.empty or sizes.sum() == 0:
        return message_figure("There are no clusters to show.")
    sizes = sizes[sizes > 0]
    sizes = sizes.iloc[isolated_last(sizes.index)]
    shades = list(cluster_colors(sizes.index).values())
    names = [display_name(cluster) for cluster in sizes.index]
    counts = sizes.to_numpy(dtype=float)
    if len(counts) <= _FEW_BARS:
        return _lying_bars(names, counts, shades)
    if len(counts) <= _MOST_BARS:
        return _standing_bars(names, counts, shades)
    return _rank_curve(sizes[sizes.index >= 0].to_numpy(dtype=float))


def _lying_bars(names: list[str], counts: FloatArray, shades: list[str]) -> Figure:
    figure = new_figure(FULL_WIDTH, 0.75 + 0.23 * len(counts))
    axes = figure.add_subplot()
    places = np.arange(len(counts))
    axes.barh(places, counts, color=shades, height=0.78)
    for place, count in zip(places, counts, strict=True):
        share = 100 * count / counts.sum()
        axes.annotate(
            f"{count:,.0f}  ({share:.1f} %)" if share >= 0.05 else f"{count:,.0f}  (<0.1 %)",
            (count, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(places, names)
    axes.set_ylim(len(counts) - 0.45, -0.55)
    axes.set_xlim(0, 1.24 * counts.max())  # room for the numbers
    axes.set(ylabel="Cluster", xlabel="Cells")
    axes.tick_params(axis="y", length=0)
    _count_axis(axes, "x")
    return figure


def _standing_bars(names: list[str], counts: FloatArray, shades: list[str]) -> Figure:
    figure = new_figure(FULL_WIDTH, 2.9)
    axes = figure.add_subplot()
    places = np.arange(len(counts))
    axes.bar(places, counts, color=shades, width=0.8)
    axes.set_xticks(places, names, rotation=90, fontsize=7)
    axes.set_xlim(-0.8, len(counts) - 0.2)
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel="Cluster", ylabel="Cells")
    _count_axis(axes, "y")
    return figure


def _rank_curve(counts: FloatArray) -> Figure:
    figure = new_figure(FULL_WIDTH, 2.9)
    axes = figure.add_subplot()
    ordered = np.sort(counts)[::-1]
    axes.stairs(ordered, np.arange(len(ordered) + 1), fill=True, color=OKABE_ITO[0], baseline=0.5)
    axes.set_yscale("log")
    axes.set_xlim(0, len(ordered))
    axes.set_ylim(0.8, None)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(xlabel=f"{len(ordered):,} clusters, from the largest to the smallest", ylabel="Cells")
    return figure


def _count_axis(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


@styled
def embedding(
    points: pd.DataFrame,
    groups: pd.Series,
    *,
    group_label: str,
    colors: Mapping[Hashable, str] | None = None,
    label_groups: bool = False,
) -> Figure:
    """Draw cells in the plane, coloured by group.

    Parameters
    ----------
    points
        Two columns, one row per cell of the sample; the column names label the axes.
    groups
        Group of each cell, in the same order; categories keep theirs in the legend. Cluster -1 and
        missing groups are grey.
    group_label
        Title of the legend.
    colors
        Colour of each group; by default those of `cluster_colors` for numbers and of
        `colors_for`, commonest or first category first, for names.
    label_groups
        Also write each group's name at the median of its cells; with many groups this replaces the
        legend.

    Returns
    -------
    Figure
        One axes. Groups beyond the nineteen commonest share one grey entry of the legend, unless
        they are labelled in the plot.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import embedding
    >>> points = pd.DataFrame({"PC 1": [0.0, 1.0], "PC 2": [1.0, 0.0]})
    >>> embedding(points, pd.Series([0, 1]), group_label="Cluster").axes[0].get_xlabel()
    'PC 1'
    """
    if len(points) == 0:
        return message_figure("There are no cells to show.")
    values = pd.Series(np.asarray(groups, dtype=object))
    values = values.where(values.notna(), "unknown")
    counts = values.value_counts()
    names = _ordered(counts)
    if isinstance(groups.dtype, pd.CategoricalDtype):
        place = {name: i for i, name in enumerate(groups.cat.categories)}
        names = sorted(names, key=lambda name: place.get(name, len(place)))
    shades = dict(colors) if colors is not None else _default_colors(names)
    shades.setdefault("unknown", GREY)
    with_legend = len(names) <= _LEGEND_ENTRIES or not label_groups
    if with_legend and len(names) > _LEGEND_ENTRIES:
        rare = set(counts.index[_LEGEND_ENTRIES - 1 :])
        values = values.where(~values.isin(rare), _OTHERS)
        names = [*(name for name in names if name not in rare), _OTHERS]
        shades[_OTHERS] = GREY
    figure = new_figure(FULL_WIDTH if with_legend else 5.6, 4.6)
    axes = figure.add_subplot()
    xy = points.to_numpy(dtype=float)
    # a fixed shuffle, so that no group lies on top of the others because it comes last
    order = np.random.default_rng(0).permutation(len(xy))
    size = float(np.clip(6000.0 / len(xy), 1.2, 22.0))
    axes.scatter(
        xy[order, 0],
        xy[order, 1],
        s=size,
        c=[shades.get(name, GREY) for name in values.to_numpy()[order]],
        linewidths=0,
        alpha=0.9 if len(xy) < 3000 else 0.6,
        rasterized=True,
    )
    axes.set(xlabel=str(points.columns[0]), ylabel=str(points.columns[1]))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if label_groups:
        _write_names(axes, xy, values.to_numpy(), names)
    if with_legend:
        _point_legend(figure, names, shades, group_label)
    return figure


def _ordered(counts: pd.Series) -> list[Hashable]:
    """Clusters by number with the isolated last; names by how common they are."""
    names = list(counts.index)
    if all(isinstance(name, (int, np.integer)) for name in names):
        return sorted(names, key=lambda name: (name < 0, name))
    return names


def _default_colors(names: list[Hashable]) -> dict[Hashable, str]:
    if all(isinstance(name, (int, np.integer)) for name in names):
        return cluster_colors(names)  # type: ignore[arg-type]
    return colors_for(names)


def _write_names(axes: Axes, xy: FloatArray, groups: np.ndarray, names: list[Hashable]) -> None:
    """Write each group's name at its median, or beside it where another name is already."""
    named = [name for name in names if name not in (_OTHERS, "unknown", -1, -2)]
    small = len(named) > 24
    # places are compared in inches, the axes being about 4.8 x 4.1
    inches = np.array([4.8, 4.1]) / np.maximum(np.ptp(xy, axis=0), 1e-12)
    taken: list[FloatArray] = []
    for name in named:
        label = display_name(name, 18)
        half = np.array([0.045 * len(label) + 0.02, 0.075]) * (0.85 if small else 1.0)
        home = np.median(xy[groups == name], axis=0)
        place = _free_place(home * inches, half, taken)
        taken.append(np.concatenate([place - half, place + half]))
        axes.annotate(
            label,
            home,
            xytext=place / inches,
            ha="center",
            va="center",
            fontsize=7.5 if small else 9,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.6, foreground="white")],
        )


def _free_place(home: FloatArray, half: FloatArray, taken: list[FloatArray]) -> FloatArray:
    """Return the place nearest to `home` where a box of that half-size hits no other box."""
    for ring in (0.0, 0.12, 0.22, 0.32):
        for turn in np.arange(0.0, 2.0, 0.25) * np.pi if ring else (0.0,):
            place = home + ring * np.array([np.cos(turn), np.sin(turn)])
            box = np.concatenate([place - half, place + half])
            if not any(
                (box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken
            ):
                return place
    return home


def _point_legend(
    figure: Figure, names: list[Hashable], shades: Mapping[Hashable, str], title: str
) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=6, color=shades.get(name, GREY))
        for name in names
    ]
    # a label that starts with "_" would be left out, so the texts are set afterwards
    legend = figure.legend(
        handles, ["-"] * len(names), title=title, loc="outside right upper", alignment="left"
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(display_name(name))


@styled
def agreement_heatmap(
    contingency: pd.DataFrame,
    *,
    adjusted_rand: float,
    row_label: str = "Cluster from the raw features",
    column_label: str = "Cluster from the factors",
) -> Figure:
    """Draw two clusterings of the same cells against each other.

    A cell is contingency[a, b] / sum_b contingency[a, b]: of the cells in row cluster a, the share
    in column cluster b. Rows are grouped by the column that holds most of them.

    Parameters
    ----------
    contingency
        Number of cells, clusters of the first clustering x clusters of the second.
    adjusted_rand
        Adjusted Rand index of the two, for the title: 1 if they are equal, about 0 by chance.
    row_label, column_label
        What the two are.

    Returns
    -------
    Figure
        A heatmap.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import agreement_heatmap
    >>> figure = agreement_heatmap(pd.DataFrame([[9, 1], [0, 5]]), adjusted_rand=0.7)
    >>> figure.get_suptitle()
    'Adjusted Rand index 0.70'
    """
    if contingency.empty:
        return message_figure("There are no clusters to compare.")
    contingency = contingency.iloc[
        isolated_last(contingency.index), isolated_last(contingency.columns)
    ]
    counts = contingency.to_numpy(dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1.0)
    order = diagonal_order(shares)
    return heatmap(
        shares[order],
        [display_name(contingency.index[i]) for i in order],
        [display_name(name) for name in contingency.columns],
        scale_label="Share of the row's cells",
        row_label=row_label,
        column_label=column_label,
        top=1.0,
        title=f"Adjusted Rand index {adjusted_rand:.2f}",
    )
