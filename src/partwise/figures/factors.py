"""What the factors are made of and who uses them."""

from __future__ import annotations

import re

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
    OKABE_ITO,
    display_name,
    elide,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["loss_curve", "programs_heatmap", "usage_by_cluster"]


@styled
def programs_heatmap(
    programs: pd.DataFrame,
    *,
    explained: npt.ArrayLike | None = None,
    max_features: int = 60,
    feature_label: str = "",
) -> Figure:
    """Draw which features make up each factor.

    A cell is programs[j, f] / sum_j programs[j, f]: the share of feature j in factor f, so a column
    sums to 1. Features are grouped by the factor in which their share is largest.

    Parameters
    ----------
    programs
        Non-negative weights, features x factors.
    explained
        Share of the data's sum of squares that each factor explains, written under its name.
    max_features
        With more features, those with the largest shares are shown, as many from each factor.
    feature_label
        What the features are, e.g. "Cell type in the neighbourhood".

    Returns
    -------
    Figure
        A heatmap, features x factors.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import programs_heatmap
    >>> figure = programs_heatmap(pd.DataFrame({"F1": [2.0, 0.0]}, index=["B cell", "T cell"]))
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['B cell', 'T cell']
    """
    if programs.empty:
        return message_figure("There are no factors to show.")
    weights = programs.to_numpy(dtype=float)
    totals = weights.sum(axis=0)
    shares = weights / np.where(totals > 0, totals, 1.0)
    kept = _top_features(shares, max_features)
    order = kept[diagonal_order(shares[kept])]
    names = [_factor_name(name) for name in programs.columns]
    if explained is not None:
        names = [
            f"{name}\n{_percent(share)}"
            for name, share in zip(names, np.asarray(explained, dtype=float), strict=True)
        ]
    label = feature_label
    if len(kept) < len(shares):
        label = f"{label or 'Features'}: {len(kept)} of {len(shares):,}, largest shares"
    return heatmap(
        shares[order],
        [elide(programs.index[i]) for i in order],
        names,
        scale_label="Share of the factor",
        row_label=label,
        column_label="Factor, and share of the data it explains" if explained is not None else "",
    )


@styled
def usage_by_cluster(mean_usage: pd.DataFrame) -> Figure:
    """Draw how much the cells of each cluster use each factor.

    A cell is mean_usage[c, f] / max_c mean_usage[c, f], so that factors of different scale can be
    compared; clusters are grouped by the factor they use most.

    Parameters
    ----------
    mean_usage
        Mean usage, clusters x factors; the index holds the clusters' numbers.

    Returns
    -------
    Figure
        A heatmap, clusters x factors.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import usage_by_cluster
    >>> figure = usage_by_cluster(pd.DataFrame({"F1": [0.5, 2.0], "F2": [1.0, 0.0]}))
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['1', '0']
    """
    if mean_usage.empty:
        return message_figure("There are no clusters to show.")
    values = mean_usage.to_numpy(dtype=float)
    largest = values.max(axis=0)
    relative = values / np.where(largest > 0, largest, 1.0)
    order = diagonal_order(relative)
    return heatmap(
        relative[order],
        [display_name(mean_usage.index[i]) for i in order],
        [_factor_name(name) for name in mean_usage.columns],
        scale_label="Mean usage relative to the cluster that uses it most",
        row_label="Cluster",
        top=1.0,
    )


@styled
def loss_curve(
    loss: npt.ArrayLike,
    *,
    label: str = "Loss",
    tol: float | None = None,
    converged: bool | None = None,
) -> Figure:
    """Draw how the factorization approached its end.

    Left the loss after each iteration; right its relative change, (L[t-1] - L[t]) / L[t-1], on a
    logarithmic scale, beside the tolerance at which it may stop.

    Parameters
    ----------
    loss
        Value after each iteration.
    label
        What the value is, with its unit if it has one.
    tol
        Tolerance on the relative change.
    converged
        Written above the curve if known.

    Returns
    -------
    Figure
        Two axes, or one if there are fewer than three values.

    Examples
    --------
    >>> from partwise.figures import loss_curve
    >>> len(loss_curve([3.0, 2.0, 1.9, 1.89], tol=1e-2).axes)
    2
    """
    values = np.asarray(loss, dtype=float).ravel()
    if values.size == 0:
        return message_figure("No loss was recorded.")
    iterations = np.arange(1, values.size + 1)
    change = np.abs(np.diff(values)) / np.maximum(np.abs(values[:-1]), 1e-300)
    moving = change > 0
    both = values.size >= 3 and bool(moving.any())
    figure = new_figure(FULL_WIDTH if both else FULL_WIDTH / 2, 2.6)
    left, *right = figure.subplots(1, 1 + both, squeeze=False)[0]
    left.set_ylabel(label)
    if converged is not None:
        left.set_title("Converged" if converged else "Not converged")
    _curve(left, iterations, values)
    if values.min() > 0 and values.max() > 100 * values.min():
        left.set_yscale("log")
    if both:
        axes = right[0]
        axes.set_ylabel("Relative change of the loss")
        _curve(axes, iterations[1:][moving], change[moving])
        if change[moving].max() > 10 * change[moving].min():
            axes.set_yscale("log")
        if tol:
            _tolerance(axes, tol)
    return figure


def _curve(axes: Axes, iterations: npt.NDArray[np.int_], values: npt.NDArray[np.float64]) -> None:
    marker = "o" if values.size <= 30 else None
    axes.plot(iterations, values, color=OKABE_ITO[0], lw=1.6, marker=marker, markersize=3.0)
    axes.set_xlabel("Iteration")
    if values.size == 1:
        axes.set_xticks(iterations)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _tolerance(axes: Axes, tol: float) -> None:
    axes.axhline(tol, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
    # low on the left, where a curve that falls to the right does not come
    axes.annotate(
        f"tolerance {tol:g}",
        (0.0, tol),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        color=FAINT,
        fontsize=8,
    )


def _factor_name(name: object) -> str:
    """Return the label of a factor; `NMF_factor_3`, its column in our files, is too wide."""
    ours = re.fullmatch(r"NMF_factor_(\d+)", str(name))
    return f"Factor {ours[1]}" if ours else elide(name, 24)


def _top_features(shares: npt.NDArray[np.float64], wanted: int) -> npt.NDArray[np.intp]:
    """Return the features to show: the first by their best rank within any factor."""
    if shares.shape[0] <= wanted:
        return np.arange(shares.shape[0])
    ranks = (-shares).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable").min(axis=1)
    return np.sort(np.lexsort((-shares.max(axis=1), ranks))[:wanted])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"
