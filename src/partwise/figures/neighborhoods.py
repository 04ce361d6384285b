"""How many neighbours cells have, and of which types."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from partwise.figures.heatmap import heatmap
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    INK,
    OKABE_ITO,
    display_name,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["fov_neighbors", "neighbor_histogram", "type_neighborhoods"]

_BINS = 60
_NAMED_FOVS = 30


@styled
def neighbor_histogram(n_neighbors: npt.NDArray[np.integer]) -> Figure:
    """Draw how many cells have how many neighbours.

    Parameters
    ----------
    n_neighbors
        Number of neighbours of each cell, n.

    Returns
    -------
    Figure
        Bars, one per number where these are few; the mean as a line.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import neighbor_histogram
    >>> len(neighbor_histogram(np.array([0, 1, 1, 3])).axes[0].patches)
    4
    """
    if n_neighbors.size == 0:
        return message_figure("There are no cells to show.")
    low, high = int(n_neighbors.min()), int(n_neighbors.max())
    step = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, high + step + 1, step)
    counts, _ = np.histogram(n_neighbors, edges)
    figure = new_figure(FULL_WIDTH, 2.7)
    axes = figure.add_subplot()
    axes.bar(edges[:-1] + (step - 1) / 2, counts, width=0.92 * step, color=OKABE_ITO[0])
    mean = float(n_neighbors.mean())
    axes.axvline(mean, color=INK, linewidth=1.0, linestyle="--")
    axes.annotate(
        f"mean {mean:,.1f}",
        (mean, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8.5,
    )
    axes.set_ylim(0, 1.12 * counts.max())
    room = max(0.0, 5 - len(counts))  # a bar or two should not fill the width
    axes.set_xlim(low - 0.7 * step - room, edges[-2] + (step - 1) + 0.7 * step + room)
    axes.set(xlabel="Neighbours", ylabel="Cells")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure


@styled
def fov_neighbors(table: pd.DataFrame) -> Figure:
    """Draw the number of neighbours in each field of view.

    Parameters
    ----------
    table
        Columns `low`, `median` and `high` (any three levels, in this order), indexed by field of
        view.

    Returns
    -------
    Figure
        A dot and a line per field of view; named for up to 30, else ordered by the median.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import fov_neighbors
    >>> table = pd.DataFrame({"low": [1], "median": [2], "high": [4]}, index=["F1"])
    >>> fov_neighbors(table).axes[0].get_xlabel()
    'Neighbours'
    """
    if table.empty:
        return message_figure("There are no fields of view to show.")
    low, median, high = (table[name].to_numpy(dtype=float) for name in ("low", "median", "high"))
    if len(table) <= _NAMED_FOVS:
        figure = new_figure(FULL_WIDTH, 0.7 + 0.2 * len(table))
        axes = figure.add_subplot()
        places = np.arange(len(table))
        axes.hlines(places, low, high, color=FAINT, linewidth=1.2)
        axes.plot(median, places, "o", color=OKABE_ITO[0], markersize=5)
        axes.set_yticks(places, [display_name(str(name)) for name in table.index])
        axes.set_ylim(len(table) - 0.4, -0.6)
        # beside two or three lines the words would not fit, nor are they needed
        axes.set(xlabel="Neighbours", ylabel="Field of view" if len(table) > 3 else "")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlim(left=min(0.0, low.min()))
        axes.tick_params(axis="y", length=0)
        return figure
    order = np.argsort(median, kind="stable")
    figure = new_figure(FULL_WIDTH, 2.8)
    axes = figure.add_subplot()
    places = np.arange(len(table))
    axes.fill_between(places, low[order], high[order], color=FAINT, alpha=0.3, linewidth=0)
    axes.plot(places, median[order], color=OKABE_ITO[0], linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, len(table) - 1)
    axes.set(xlabel=f"{len(table):,} fields of view, by their median", ylabel="Neighbours")
    return figure


@styled
def type_neighborhoods(shares: pd.DataFrame) -> Figure:
    """Draw what lies around the cells of each type.

    Parameters
    ----------
    shares
        Mean share of each type (columns) around the cells of each type (rows).

    Returns
    -------
    Figure
        A heatmap; types are in the order of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import type_neighborhoods
    >>> shares = pd.DataFrame([[0.7, 0.3], [0.2, 0.8]], index=["A", "B"], columns=["A", "B"])
    >>> len(type_neighborhoods(shares).axes)
    2
    """
    if shares.empty:
        return message_figure("There are no types to show.")
    return heatmap(
        shares.to_numpy(dtype=float),
        [display_name(str(name)) for name in shares.index],
        [display_name(str(name)) for name in shares.columns],
        scale_label="Mean share of the neighbours",
        row_label="Around a cell of",
        column_label="lie cells of",
    )
