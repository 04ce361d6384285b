"""The consensus of many fits: who found what, and how stable each rank is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator

from partwise.figures.heatmap import diagonal_order, heatmap
from partwise.figures.programs import program_name
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    SCALE,
    display_name,
    message_figure,
    new_figure,
    palette,
    styled,
)

__all__ = ["clustergram", "overdispersion", "stability_error", "usage_by_group"]

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]

#: Replicate programs that are drawn; of more, evenly many of each cluster.
_MOST = 1500
#: Programs whose numbers are written beside the map.
_MOST_NAMES = 30


@styled
def clustergram(
    replicates: npt.NDArray[np.floating[Any]],
    cluster: Labels,
    *,
    local_density: npt.NDArray[np.floating[Any]] | None = None,
    density_threshold: float | None = None,
) -> Figure:
    """Draw the distances between the programs of all fits, by the program they count towards.

    Blocks that are dark on the diagonal and bright elsewhere are programs that many fits found.

    Parameters
    ----------
    replicates
        Programs of all fits, scaled to length 1, m x p.
    cluster
        The program that each counts towards, from 0; -1 for those that were left out, which are
        not drawn.
    local_density
        Mean distance of each to its nearest neighbours; drawn as a histogram.
    density_threshold
        From where on they were left out; marked in the histogram.

    Returns
    -------
    Figure
        The map, two strips of the programs' colours, the scale, and the histogram.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import clustergram
    >>> figure = clustergram(np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1]))
    >>> np.asarray(figure.axes[0].images[0].get_array()).round(2)[0].tolist()
    [0.0, 0.0, 1.41, 1.41]
    """
    cluster = np.asarray(cluster)
    drawn = _some_of_each(cluster)
    if drawn.size == 0:
        return message_figure("No replicate program was kept.")
    distances = _distances(np.asarray(replicates, np.float64)[drawn])
    order = _order(distances, cluster[drawn])
    labels = cluster[drawn][order]
    figure = new_figure(FULL_WIDTH, 4.5)
    grid = figure.add_gridspec(
        2, 3, width_ratios=[0.16, 4.1, 2.3], height_ratios=[0.16, 4.1], wspace=0.01, hspace=0.01
    )
    axes = figure.add_subplot(grid[1, 1])
    image = axes.imshow(
        distances[np.ix_(order, order)],
        cmap=SCALE,
        vmin=0.0,
        aspect="auto",
        interpolation="nearest",
        interpolation_stage="data",  # colours of pixels, not of all entries: a tenth of the memory
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    _strips(figure, grid, labels)
    side = grid[:, 2].subgridspec(2, 1, height_ratios=[2.3, 1.9])
    kept = int(np.sum(cluster >= 0))
    note = f"{drawn.size:,} of {kept:,} programs of all fits" if drawn.size < kept else ""
    bar = figure.colorbar(
        image, ax=axes, location="bottom", fraction=0.045, pad=0.02, label="Euclidean distance"
    )
    bar.outline.set_visible(False)
    if note:
        axes.set_title(note, fontsize=8, loc="right", fontweight="normal")
    if local_density is not None:
        _histogram(
            figure.add_subplot(side[0]), np.asarray(local_density, np.float64), density_threshold
        )
    return figure


@styled
def stability_error(
    ranks: npt.ArrayLike,
    stability: npt.ArrayLike,
    error: npt.ArrayLike,
    *,
    chosen: int | None = None,
) -> Figure:
    """Draw stability and error of the consensus against the number of programs.

    Parameters
    ----------
    ranks
        Numbers of programs k.
    stability
        Mean silhouette of the programs of all fits at each k.
    error
        Relative error of the consensus at each k.
    chosen
        The k to mark.

    Returns
    -------
    Figure
        Two panels.

    Examples
    --------
    >>> from partwise.figures import stability_error
    >>> figure = stability_error([5, 6], [0.9, 0.8], [0.5, 0.4], chosen=5)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Stability', 'Error']
    """
    k = np.asarray(ranks, float).ravel()
    if k.size == 0:
        return message_figure("There are no ranks to show.")
    figure = new_figure(FULL_WIDTH, 2.7)
    left, right = figure.subplots(1, 2)
    _curve(left, k, np.asarray(stability, float), chosen, OKABE_ITO[2])
    left.set(title="Stability", ylabel="Mean silhouette; 1 is best")
    _curve(right, k, np.asarray(error, float), chosen, OKABE_ITO[0])
    right.set(title="Error", ylabel="||X - W H|| / ||X||")
    return figure


def _curve(axes: Axes, k: FloatArray, values: FloatArray, chosen: int | None, color: str) -> None:
    axes.plot(k, values, color=color, marker="o", markersize=4.0, linewidth=1.5)
    axes.set_xlabel("Number of programs k")
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if k.size == 1:
        axes.set_xticks(k)
    room = 0.08 * float(np.ptp(values)) or 0.05 * abs(float(values[0])) or 0.1
    axes.set_ylim(values.min() - room, values.max() + room)
    if chosen is not None:
        axes.axvline(chosen, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)


def _some_of_each(cluster: Labels) -> npt.NDArray[np.intp]:
    """Return which replicate programs are drawn: those that were kept, thinned where too many."""
    kept = np.flatnonzero(cluster >= 0)
    if kept.size <= _MOST:
        return kept
    parts = []
    for t in np.unique(cluster[kept]):
        members = kept[cluster[kept] == t]
        count = max(1, round(_MOST * members.size / kept.size))
        parts.append(members[np.linspace(0, members.size - 1, count).astype(np.intp)])
    return np.concatenate(parts)


def _distances(rows: FloatArray) -> FloatArray:
    distances: FloatArray = rows @ rows.T
    distances *= -2.0
    distances += 2.0
    np.fill_diagonal(distances, 0.0)
    np.maximum(distances, 0.0, out=distances)
    return np.sqrt(distances, out=distances)


def _order(distances: FloatArray, labels: Labels) -> npt.NDArray[np.intp]:
    """Return the rows by cluster, and within one by the leaves of an average linkage."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    parts = []
    for t in np.unique(labels):
        members = np.flatnonzero(labels == t)
        if members.size > 2:
            inside = distances[np.ix_(members, members)]
            members = members[leaves_list(linkage(squareform(inside, checks=False), "average"))]
        parts.append(members)
    return np.concatenate(parts)


def _strips(figure: Figure, grid: GridSpec, labels: Labels) -> None:
    """Draw the colours of the programs above and beside the map, with their numbers."""
    present = np.unique(labels)
    shades = ListedColormap([to_rgb(shade) for shade in palette(int(present.max()) + 1)])
    centres = [float(np.flatnonzero(labels == t).mean()) for t in present]
    names = [str(int(t) + 1) for t in present] if present.size <= _MOST_NAMES else []
    style: dict[str, Any] = {"cmap": shades, "vmin": -0.5, "vmax": shades.N - 0.5}
    for place, values in ((grid[0, 1], labels[None, :]), (grid[1, 0], labels[:, None])):
        axes = figure.add_subplot(place)
        axes.imshow(values, aspect="auto", interpolation="nearest", **style)
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
        if names and values.shape[0] == 1:
            axes.xaxis.tick_top()
            axes.set_xticks(centres, names)
        elif names:
            axes.set_yticks(centres, names)
            axes.set_ylabel("Program")
        axes.tick_params(length=0)


def _histogram(axes: Axes, density: FloatArray, threshold: float | None) -> None:
    finite = density[np.isfinite(density)]
    shown = threshold if threshold is not None and threshold < 2.0 else None
    top = max(float(finite.max(initial=0.0)), 1.2 * (shown or 0.0), 0.1)
    bins = np.linspace(0.0, top, 41).tolist()
    kept = finite if shown is None else finite[finite < shown]
    axes.hist(kept, bins=bins, color=OKABE_ITO[0])
    if shown is not None:
        out = finite[finite >= shown]
        axes.hist(out, bins=bins, color=GREY)
        axes.axvline(shown, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            f"left out: {density.size - kept.size:,}\nof {density.size:,}",
            (shown, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=FAINT,
        )
    axes.set_yscale("log")
    axes.set_ylim(0.7, None)
    axes.set(xlabel="Mean distance to the\nnearest neighbours", title="Local density")
    axes.set_ylabel("Programs of all fits")
    axes.xaxis.set_major_locator(MaxNLocator(4))


@styled
def usage_by_group(mean_shares: pd.DataFrame, *, group_label: str = "Group") -> Figure:
    """Draw the mean share of each program in groups of observations.

    Parameters
    ----------
    mean_shares
        Groups x programs, a row sums to at most 1.
    group_label
        What the groups are.

    Returns
    -------
    Figure
        A heatmap; groups stand by the program that they use most.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import usage_by_group
    >>> mean = pd.DataFrame({"program_1": [0.1, 0.9], "program_2": [0.9, 0.1]}, index=["T", "B"])
    >>> [text.get_text() for text in usage_by_group(mean).axes[0].get_yticklabels()]
    ['B', 'T']
    """
    if mean_shares.empty:
        return message_figure("There are no groups to show.")
    values = mean_shares.to_numpy(dtype=float)
    order = diagonal_order(values)
    return heatmap(
        values[order],
        [display_name(mean_shares.index[i]) for i in order],
        [program_name(name) for name in mean_shares.columns],
        scale_label="Mean share of the usage",
        row_label=group_label,
    )


@styled
def overdispersion(
    mean: npt.ArrayLike, fano: npt.ArrayLike, expected: npt.ArrayLike, selected: npt.ArrayLike
) -> Figure:
    """Draw the Fano factor of genes against their mean, with what is expected, on log scales.

    Parameters
    ----------
    mean, fano, expected
        Mean, variance / mean, and the Fano factor expected at that mean, of each gene.
    selected
        Whether each gene was chosen.

    Returns
    -------
    Figure
        A cloud of genes and the expected curve.

    Examples
    --------
    >>> from partwise.figures import overdispersion
    >>> figure = overdispersion([1.0, 2.0], [1.0, 9.0], [2.0, 3.0], [False, True])
    >>> figure.axes[0].get_xscale()
    'log'
    """
    x, y, line = (np.asarray(values, float) for values in (mean, fano, expected))
    chosen = np.asarray(selected, bool)
    there = (x > 0) & (y > 0)
    if not there.any():
        return message_figure("No gene is expressed.")
    figure = new_figure(0.62 * FULL_WIDTH, 3.2)
    axes = figure.add_subplot()
    for which, color, label in (
        (there & ~chosen, GREY, f"others, {int((there & ~chosen).sum()):,}"),
        (there & chosen, OKABE_ITO[0], f"chosen, {int((there & chosen).sum()):,}"),
    ):
        axes.scatter(x[which], y[which], s=3, color=color, linewidths=0, label=label)
    order = np.argsort(x[there])
    axes.plot(x[there][order], line[there][order], color=OKABE_ITO[3], label="expected")
    axes.set(xscale="log", yscale="log", xlabel="Mean per million", ylabel="Variance / mean")
    axes.legend(loc="upper left", markerscale=2.5)
    return figure
