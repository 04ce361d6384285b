"""Clusters beside what else is known of the cells: batches, patients, measurements, features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from partwise.figures.heatmap import diagonal_order, heatmap
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    SCALE,
    display_name,
    elide,
    isolated_last,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["cluster_profiles", "embedding_values", "entropy_by_cluster", "values_by_cluster"]

_MOST_NAMED = 64  # clusters that can have a name each
_MOST_ROWS = 60  # features of a heatmap
_STRONGEST = 3.0  # end of a scale of standard deviations or doublings


@styled
def embedding_values(points: pd.DataFrame, values: pd.Series, *, label: str) -> Figure:
    """Draw cells in the plane, coloured by a number.

    Parameters
    ----------
    points
        Two columns, one row per cell of the sample; the column names label the axes.
    values
        Number of each cell, in the same order; missing ones are grey.
    label
        What the number is.

    Returns
    -------
    Figure
        One axes and its colour bar, whose ends are the 1st and the 99th percentile.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import embedding_values
    >>> points = pd.DataFrame({"PC 1": [0.0, 1.0], "PC 2": [1.0, 0.0]})
    >>> figure = embedding_values(points, pd.Series([1.5, 2.5]), label="area")
    >>> figure.axes[1].get_ylabel()
    'area'
    """
    if len(points) == 0:
        return message_figure("There are no cells to show.")
    xy = points.to_numpy(dtype=float)
    numbers = values.to_numpy(dtype=float)
    known = np.isfinite(numbers)
    figure = new_figure(FULL_WIDTH, 4.6)
    axes = figure.add_subplot()
    size = float(np.clip(6000.0 / len(xy), 1.2, 22.0))
    alpha = 0.9 if len(xy) < 3000 else 0.6
    axes.scatter(
        xy[~known, 0], xy[~known, 1], s=size, c=GREY, alpha=alpha, linewidths=0, rasterized=True
    )
    # a fixed shuffle, so that no value lies on top of the others because it comes last
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    low, high = np.quantile(numbers[known], [0.01, 0.99]) if known.any() else (0.0, 1.0)
    cloud = axes.scatter(
        xy[order, 0],
        xy[order, 1],
        s=size,
        c=numbers[order],
        cmap=SCALE,
        vmin=low,
        vmax=high if high > low else low + 1.0,
        alpha=alpha,
        linewidths=0,
        rasterized=True,
    )
    axes.set(xlabel=str(points.columns[0]), ylabel=str(points.columns[1]))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    bar = figure.colorbar(cloud, ax=axes, label=elide(label), shrink=0.7, aspect=24, extend="both")
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    bar.outline.set_visible(False)
    return figure


@styled
def entropy_by_cluster(entropy: pd.Series, *, overall: float, label: str) -> Figure:
    """Draw how evenly the values of a column are mixed in each cluster.

    Parameters
    ----------
    entropy
        Normalised entropy, 0 (one value only) to 1 (all equally common), indexed by cluster.
    overall
        The same of all cells: what a cluster reaches that is a random sample of them.
    label
        Name of the column.

    Returns
    -------
    Figure
        Points for up to 64 clusters, else a histogram; a line marks `overall`.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import entropy_by_cluster
    >>> figure = entropy_by_cluster(pd.Series([0.2, 0.9]), overall=0.95, label="batch")
    >>> figure.axes[0].get_xlabel()
    'Normalised entropy of batch'
    """
    if entropy.empty:
        return message_figure("There are no clusters to show.")
    name = f"Normalised entropy of {elide(label)}"
    if len(entropy) > _MOST_NAMED:
        figure = new_figure(FULL_WIDTH, 2.6)
        axes = figure.add_subplot()
        axes.hist(entropy.to_numpy(dtype=float), bins=40, range=(0, 1), color=OKABE_ITO[0])
        axes.set_ylabel("Clusters")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        figure, axes = _rows_of(entropy.index)
        places = np.arange(len(entropy))
        axes.hlines(places, 0, entropy.to_numpy(dtype=float), color=GREY, lw=1.2)
        axes.plot(entropy.to_numpy(dtype=float), places, "o", ms=5, color=OKABE_ITO[0])
    axes.axvline(overall, color=FAINT, lw=1.0, ls=(0, (4, 2)))
    axes.annotate(
        "all cells",
        (overall, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right" if overall > 0.6 else "left",
        fontsize=8,
        color=FAINT,
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(name)
    return figure


@styled
def values_by_cluster(quantiles: pd.DataFrame, *, label: str) -> Figure:
    """Draw how a number is distributed in each cluster.

    Parameters
    ----------
    quantiles
        One row per cluster, columns 0.05, 0.25, 0.5, 0.75, 0.95; clusters without a number are
        left out.
    label
        What the number is.

    Returns
    -------
    Figure
        For each cluster the median, the middle half and the middle nine tenths.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import values_by_cluster
    >>> quantiles = pd.DataFrame([[1, 2, 3, 4, 5.0]], columns=[0.05, 0.25, 0.5, 0.75, 0.95])
    >>> values_by_cluster(quantiles, label="area").axes[0].get_xlabel()
    'area: median, middle half, middle nine tenths'
    """
    quantiles = quantiles.dropna().head(_MOST_NAMED)
    if quantiles.empty:
        return message_figure("There are no values to show.")
    figure, axes = _rows_of(quantiles.index)
    places = np.arange(len(quantiles))
    low, first, median, third, high = (quantiles[q].to_numpy() for q in quantiles.columns)
    axes.hlines(places, low, high, color=GREY, lw=1.4)
    axes.hlines(places, first, third, color=OKABE_ITO[0], lw=4.5)
    axes.plot(median, places, "o", ms=4.5, mfc="white", mec=OKABE_ITO[0])
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"{elide(label)}: median, middle half, middle nine tenths")
    return figure


def _rows_of(clusters: pd.Index) -> tuple[Figure, Axes]:
    """Return a figure with a named row per cluster."""
    row = 0.21 if len(clusters) <= 24 else 0.15
    figure = new_figure(FULL_WIDTH, 0.8 + row * max(2, len(clusters)))
    axes = figure.add_subplot()
    names = [display_name(cluster) for cluster in clusters]
    axes.set_yticks(np.arange(len(clusters)), names, fontsize=8.5 if row > 0.16 else 7)
    axes.set_ylim(len(clusters) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("Cluster")
    return figure, axes


@styled
def cluster_profiles(scores: pd.DataFrame, *, scale_label: str, column_label: str) -> Figure:
    """Draw what clusters have more and less of than all cells.

    Parameters
    ----------
    scores
        Clusters x features, 0 where a cluster is like all cells: standard deviations or doublings.
    scale_label
        What the numbers are.
    column_label
        What the features are.

    Returns
    -------
    Figure
        A heatmap of features x clusters whose scale ends at 3 either side, or where the values do.
        Features stand beside the cluster that has most of them. Of more than 60 features the
        strongest few of each cluster are shown.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import cluster_profiles
    >>> scores = pd.DataFrame({"B cell": [1.5, -1.0], "T cell": [-0.5, 0.2]})
    >>> figure = cluster_profiles(scores, scale_label="SD", column_label="Cell type")
    >>> figure.axes[0].get_xlabel()
    'Cluster'
    """
    scores = scores.iloc[isolated_last(scores.index)]
    if scores.empty or scores.shape[1] == 0:
        return message_figure("There are no clusters to show.")
    total = scores.shape[1]
    if total > _MOST_ROWS:
        scores = scores.iloc[:, _strongest(scores.to_numpy(dtype=float))]
    values = scores.to_numpy(dtype=float)
    order = diagonal_order(values.T)
    strongest = float(np.nanmax(np.abs(values), initial=0.0))
    shown = "" if total <= _MOST_ROWS else f" ({scores.shape[1]} of {total:,})"
    return heatmap(
        values.T[order],
        [display_name(scores.columns[i]) for i in order],
        [display_name(cluster) for cluster in scores.index],
        scale_label=scale_label,
        row_label=f"{column_label}{shown}",
        column_label="Cluster",
        top=min(strongest, _STRONGEST) or 1.0,
        signed=True,
    )


def _strongest(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the columns that are largest in some row, the same number for each row, sorted."""
    ranked = np.argsort(-values, axis=1, kind="stable")
    chosen: dict[int, None] = {}
    for place in range(ranked.shape[1]):
        for column in ranked[:, place]:
            if len(chosen) >= _MOST_ROWS:
                return np.array(sorted(chosen))
            chosen.setdefault(int(column))
    return np.array(sorted(chosen))
