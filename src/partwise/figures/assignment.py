"""New cells in known clusters: how many in each beside before, and how sure that is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    INK,
    cluster_colors,
    display_name,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["assignment_confidence", "cluster_shares"]

FloatArray = npt.NDArray[np.float64]


@styled
def cluster_shares(counts: pd.DataFrame) -> Figure:
    """Draw the share of the cells in each cluster, known cells beside new ones.

    Parameters
    ----------
    counts
        Number of cells, one row per cluster, two columns: known (drawn in grey) and new (in the
        colour of the cluster).

    Returns
    -------
    Figure
        Two bars per cluster.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import cluster_shares
    >>> len(cluster_shares(pd.DataFrame({"known": [60, 40], "new": [5, 15]})).axes[0].patches)
    4
    """
    if counts.empty or counts.to_numpy().sum() == 0:
        return message_figure("There are no clusters to show.")
    values = counts.to_numpy(dtype=float)
    totals = values.sum(axis=0)
    shares = values / np.where(totals > 0, totals, 1.0)
    row = 0.34 if len(counts) <= 12 else 0.25
    figure = new_figure(FULL_WIDTH, 1.0 + row * len(counts))
    axes = figure.add_subplot()
    places = np.arange(len(counts))
    shades = list(cluster_colors([int(cluster) for cluster in counts.index]).values())
    axes.barh(places - 0.2, shares[:, 0], height=0.36, color=GREY)
    axes.barh(places + 0.2, shares[:, 1], height=0.36, color=shades)
    for place, (known, new) in enumerate(shares):
        axes.annotate(
            f"{100 * known:.1f} → {100 * new:.1f} %",
            (max(known, new), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(0, 1.2 * float(shares.max()))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlabel="Share of the cells")
    _cluster_axis(axes, counts.index)
    figure.legend(
        handles=[Patch(color=GREY), Patch(color=shades[0])],
        labels=[
            f"{display_name(name)} ({total:,.0f} cells)"
            for name, total in zip(counts.columns, totals, strict=True)
        ],
        loc="outside upper left",
        ncols=2,
    )
    return figure


@styled
def assignment_confidence(summary: pd.DataFrame) -> Figure:
    """Draw how sure the clusters of new cells are: median, middle half, and 5 to 95 %.

    Parameters
    ----------
    summary
        One row per cluster, columns `q05`, `q25`, `median`, `q75`, `q95` (of the confidence) and
        `unseen`, the share of its cells that are unlike all known ones; NaN where it has no cells.

    Returns
    -------
    Figure
        One row per cluster.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import assignment_confidence
    >>> row = {"q05": 0.5, "q25": 0.8, "median": 0.9, "q75": 1.0, "q95": 1.0, "unseen": 0.01}
    >>> assignment_confidence(pd.DataFrame([row])).axes[0].get_ylabel()
    'Cluster'
    """
    if summary.empty:
        return message_figure("There are no clusters to show.")
    row = 0.3 if len(summary) <= 12 else 0.22
    figure = new_figure(FULL_WIDTH, 0.9 + row * len(summary))
    axes = figure.add_subplot()
    places = np.arange(len(summary))
    shades = list(cluster_colors([int(cluster) for cluster in summary.index]).values())
    axes.hlines(places, summary["q05"], summary["q95"], color=shades, lw=1.2)
    axes.hlines(places, summary["q25"], summary["q75"], color=shades, lw=5)
    axes.plot(summary["median"], places, "o", color=INK, ms=3.4, zorder=3)
    axes.set_xlim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="Share of the vote for the cell's cluster")
    _cluster_axis(axes, summary.index)
    axes.annotate(
        "unlike known cells",
        (1.02, 1.0),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        color=FAINT,
        fontsize=8,
    )
    for place, share in enumerate(summary["unseen"]):
        axes.annotate(
            "no cells" if np.isnan(share) else f"{100 * share:.1f} %",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
            fontsize=8,
        )
    return figure


def _cluster_axis(axes: Axes, clusters: pd.Index) -> None:
    axes.set_yticks(np.arange(len(clusters)), [display_name(cluster) for cluster in clusters])
    axes.set_ylim(len(clusters) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("Cluster")
