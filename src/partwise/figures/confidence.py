"""How surely the cells of a cluster stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from partwise.figures.style import (
    FULL_WIDTH,
    OKABE_ITO,
    cluster_colors,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["cluster_confidence"]

_FEW_BARS, _MOST_BARS = 24, 64


@styled
def cluster_confidence(per_cluster: pd.DataFrame) -> Figure:
    """Draw how surely the cells of each cluster stay together.

    Parameters
    ----------
    per_cluster
        `cluster`, `size`, `confidence` (0 to 1), and, to be named beside the bars,
        `nearest_cluster` and `nearest_share`.

    Returns
    -------
    Figure
        Bars with sizes for up to 24 clusters, bars alone for up to 64; beyond, a point per cluster
        by its size.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import cluster_confidence
    >>> table = pd.DataFrame({"cluster": [0, 1], "size": [60, 40], "confidence": [0.9, 0.7]})
    >>> len(cluster_confidence(table).axes[0].patches)
    2
    """
    if per_cluster.empty:
        return message_figure("There are no clusters to show.")
    n = len(per_cluster)
    if n <= _FEW_BARS:
        return _lying_bars(per_cluster)
    figure = new_figure(FULL_WIDTH, 2.9)
    axes = figure.add_subplot()
    axes.set_ylim(0, 1.03)
    confidence = per_cluster["confidence"].to_numpy(dtype=float)
    if n <= _MOST_BARS:
        names = [str(int(cluster)) for cluster in per_cluster["cluster"]]
        shades = list(cluster_colors(per_cluster["cluster"]).values())
        axes.bar(np.arange(n), np.nan_to_num(confidence), color=shades, width=0.8)
        axes.set_xticks(np.arange(n), names, rotation=90, fontsize=7)
        axes.set_xlim(-0.8, n - 0.2)
        axes.tick_params(axis="x", length=0)
        axes.set(xlabel="Cluster", ylabel="Confidence")
        return figure
    axes.plot(
        per_cluster["size"], confidence, "o", color=OKABE_ITO[0], markersize=4, alpha=0.6,
        markeredgewidth=0,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(xlabel=f"Cells of the cluster ({n:,} clusters)", ylabel="Confidence")
    return figure


def _lying_bars(per_cluster: pd.DataFrame) -> Figure:
    """Draw a bar for each of a few clusters, and what there is to say beside it."""
    n = len(per_cluster)
    figure = new_figure(FULL_WIDTH, 0.75 + 0.23 * n)
    axes = figure.add_subplot()
    confidence = np.nan_to_num(per_cluster["confidence"].to_numpy(dtype=float))
    shades = list(cluster_colors(per_cluster["cluster"]).values())
    axes.barh(np.arange(n), confidence, color=shades, height=0.78)
    for place, text in enumerate(_notes(per_cluster)):
        axes.text(1.02, place, text, va="center", fontsize=8)
    axes.set_yticks(np.arange(n), [str(int(cluster)) for cluster in per_cluster["cluster"]])
    axes.set_ylim(n - 0.45, -0.55)
    axes.set_xlim(0, 1.75)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.set_ylabel("Cluster")
    axes.set_xlabel("Confidence", loc="left")
    axes.spines["bottom"].set_bounds(0, 1)
    axes.tick_params(axis="y", length=0)
    return figure


def _notes(per_cluster: pd.DataFrame) -> Sequence[str]:
    """Return what stands beside each bar: confidence, size, and with whom cells are mixed up."""
    notes = []
    for row in per_cluster.to_dict("records"):
        text = f"{row['confidence']:.2f}   {row['size']:,.0f} cells"
        near = row.get("nearest_cluster", -1)
        if near == near and near >= 0 and row["nearest_share"] >= 0.005:
            text += f", {row['nearest_share']:.0%} with {near:.0f}"
        notes.append(text)
    return notes
