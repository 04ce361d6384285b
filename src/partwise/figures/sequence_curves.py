"""Curves of sequence models: over lambda, over the number of factors, over iterations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    OKABE_ITO,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["cost_curve", "k_curves", "lambda_sweep"]

_TRAINING, _HELD_OUT, _PENALTY = OKABE_ITO[3], OKABE_ITO[0], OKABE_ITO[2]
_BAND = "#CFCFCF"
#: Labels that fit below a wide, a narrow axis.
_TICKS, _FEW_TICKS = 16, 10


@styled
def lambda_sweep(
    table: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    crossover: float | None = None,
    interval: tuple[float, float] | None = None,
    recommended: float | None = None,
) -> Figure:
    """Draw what the penalty lambda costs and what it buys.

    Above both costs, each rescaled so that 0 and 1 are its 10th and 90th percentile, and where they
    cross; below the power of the model and the number of factors that are left. Lines are means
    over repeats, dots and thin lines the repeats.

    Parameters
    ----------
    table
        One row per fit, as in `LambdaSelection.table`: `lambda_`, `repeat`, `power`,
        `power_held_out`, `n_factors`.
    curves
        The rescaled costs, as in `LambdaSelection.curves`: `lambda_`, `repeat`, `reconstruction`,
        `penalty`.
    crossover
        The lambda at which the costs cross; NaN or None if they do not.
    interval
        Its lowest and highest over repeats.
    recommended
        The lambda to begin with.

    Returns
    -------
    Figure
        Three axes: costs, power, factors.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import lambda_sweep
    >>> sweep = pd.DataFrame({"lambda_": [1e-3, 1e-2], "repeat": 0})
    >>> table = sweep.assign(power=[0.5, 0.4], power_held_out=[0.3, 0.3], n_factors=[5, 2])
    >>> curves = sweep.assign(reconstruction=[0.0, 1.0], penalty=[1.0, 0.0])
    >>> figure = lambda_sweep(table, curves, crossover=3e-3)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Costs, rescaled', 'Power', 'Factors']
    """
    if table.empty or curves.empty:
        return message_figure("There are no values of lambda to show.")
    figure = new_figure(FULL_WIDTH, 4.9)
    grid = figure.add_gridspec(2, 2, height_ratios=(1.15, 1))
    costs = figure.add_subplot(grid[0, :])
    power, factors = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    for column, color, name in (
        ("reconstruction", _TRAINING, "Reconstruction error"),
        ("penalty", _PENALTY, "Factors that repeat each other (x-ortho penalty)"),
    ):
        _repeats(costs, curves, "lambda_", column, color, name)
    for column, color, name in (
        ("power", _TRAINING, "Data fitted"),
        ("power_held_out", _HELD_OUT, "Held out"),
    ):
        _repeats(power, table, "lambda_", column, color, name)
    _repeats(factors, table, "lambda_", "n_factors", OKABE_ITO[7], "")
    costs.set(title="Costs, rescaled", ylabel="0 and 1: 10th, 90th percentile")
    power.set(title="Power", ylabel="Share explained")
    factors.set(title="Factors", ylabel="With a loading above 1 %", ylim=(0, None))
    factors.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axes in (costs, power, factors):
        axes.set_xscale("log")
        axes.set_xlabel("λ")
        _mark_lambda(axes, crossover, interval, recommended, named=axes is costs)
    for axes in (costs, power):
        _legend_above(axes)
    return figure


def _mark_lambda(
    axes: Axes,
    crossover: float | None,
    interval: tuple[float, float] | None,
    recommended: float | None,
    *,
    named: bool,
) -> None:
    """Mark the crossover with its interval, and the value to begin with."""
    if interval is not None and np.isfinite(interval).all() and interval[0] < interval[1]:
        axes.axvspan(*interval, color=_BAND, alpha=0.45, linewidth=0, zorder=0)
    for value, what, style in (
        (crossover, "crossover", (0, (4, 3))),
        (recommended, "recommended", "solid"),
    ):
        if value is None or not np.isfinite(value):
            continue
        axes.axvline(value, color=FAINT, linewidth=0.9, linestyle=style, zorder=0)
        if named:
            left = what == "crossover" and (recommended is None or not recommended < value)
            axes.annotate(
                f"{what} {value:.2g}",
                (value, 0.03),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if left else 4, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=8,
                color=FAINT,
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
            )


@styled
def k_curves(table: pd.DataFrame, *, recommended: int | None = None) -> Figure:
    """Draw what speaks for a number of factors.

    Parameters
    ----------
    table
        One row per measurement, as in `KSelection.table`: `k` and `measure`, which is "pair" (with
        `dissimilarity`), "cv" (with `train_error` and `test_error`) or "fit" (with `power` and
        `power_held_out`). Measures that are missing are not drawn.
    recommended
        The number of factors to mark.

    Returns
    -------
    Figure
        A panel each for the dissimilarity of pairs of starts with its median, the errors on entries
        that were fitted and hidden, and the power on data that were fitted and held out. A line and
        a bold number mark the recommended number.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import k_curves
    >>> table = pd.DataFrame({"measure": "pair", "k": [2, 2, 3], "dissimilarity": [0.1, 0.2, 0.4]})
    >>> k_curves(table, recommended=2).axes[0].get_title(loc="left")
    'Different starts'
    """
    kinds = {
        "pair": ("Different starts", "Dissimilarity", (("dissimilarity", _PENALTY, "Median"),)),
        "cv": (
            "Hidden entries",
            "Relative error",
            (("test_error", _HELD_OUT, "Hidden"), ("train_error", _TRAINING, "Fitted")),
        ),
        "fit": (
            "Power",
            "Share explained",
            (("power_held_out", _HELD_OUT, "Held out"), ("power", _TRAINING, "Data fitted")),
        ),
    }
    present = [kind for kind in kinds if len(table) and (table["measure"] == kind).any()]
    if not present:
        return message_figure("There are no numbers of factors to show.")
    wide = len(present) == 1
    figure = new_figure(FULL_WIDTH if not wide else 4.6, 2.75)
    for axes, kind in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        title, label, lines = kinds[kind]
        part = table[table["measure"] == kind]
        for column, color, name in lines:
            if column in part and part[column].notna().any():
                _repeats(
                    axes,
                    part,
                    "k",
                    column,
                    color,
                    name,
                    middle="median" if kind == "pair" else "mean",
                )
        axes.set_ylabel(label)
        axes.set_title(title, pad=19)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        _count_axis(axes, np.unique(part["k"].to_numpy(dtype=int)), recommended, wide=wide)
        _legend_above(axes, left=True)
    return figure


def _count_axis(
    axes: Axes, counts: npt.NDArray[Any], recommended: int | None, *, wide: bool
) -> None:
    """Label numbers of factors that were looked at, the recommended one in bold with a line."""
    most = _TICKS if wide else _FEW_TICKS
    gap = max(1.0, (counts[-1] - counts[0]) / most)
    shown: list[int] = []
    for count in sorted(counts.tolist(), key=lambda count: (count != recommended, count)):
        if all(abs(count - other) >= gap for other in shown):
            shown.append(count)
    axes.xaxis.set_major_locator(FixedLocator(sorted(shown)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Factors")
    if recommended is None:
        return
    axes.axvline(recommended, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    for count, label in zip(sorted(shown), axes.get_xticklabels(), strict=True):
        if count == recommended:
            label.set_fontweight("bold")


def _repeats(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    color: str,
    name: str,
    *,
    middle: str = "mean",
) -> None:
    """Draw single measurements as dots and their middle as a line."""
    known = table[table[y].notna()]
    if known.empty:
        return
    groups = known.groupby(x)[y]
    center = groups.agg(middle)
    if int(groups.size().max()) > 1:
        axes.plot(
            known[x], known[y], "o", color=color, markersize=2.6, alpha=0.35, markeredgewidth=0
        )
    axes.plot(
        center.index, center, "-o", color=color, markersize=3.6, linewidth=1.5, label=name, zorder=3
    )


def _legend_above(axes: Axes, *, left: bool = False) -> None:
    """Put the legend where it hides nothing: above the axes, below or right of the title."""
    axes.legend(
        loc="lower left" if left else "lower right",
        bbox_to_anchor=(-0.02 if left else 1.0, 0.985),
        ncols=2,
        handlelength=1.2,
        columnspacing=0.9,
        borderaxespad=0.2,
        handletextpad=0.4,
        fontsize=7.5,
    )


@styled
def cost_curve(cost: npt.ArrayLike, *, label: str = "Error (RMSE)") -> Figure:
    """Draw how the error fell; entry 0 is that of the start.

    Parameters
    ----------
    cost
        Error of the start and after each iteration.
    label
        What the values are.

    Returns
    -------
    Figure
        One axes. Where the start is far above the rest its value is written instead.

    Examples
    --------
    >>> from partwise.figures import cost_curve
    >>> cost_curve([3.0, 0.2, 0.1]).axes[0].get_xlabel()
    'Iteration'
    """
    values = np.asarray(cost, dtype=float).ravel()
    if not np.isfinite(values).any():
        return message_figure("No error was recorded.")
    figure = new_figure(0.6 * FULL_WIDTH, 2.5)
    axes = figure.add_subplot()
    axes.plot(np.arange(len(values)), values, color=_HELD_OUT, linewidth=1.5)
    axes.plot(len(values) - 1, values[-1], "o", color=_HELD_OUT, markersize=4)
    rest = values[1:][np.isfinite(values[1:])]
    if rest.size:
        low, high = float(rest.min()), float(rest.max())
        room = max(high - low, 0.02 * high, 1e-300)
        if values[0] > high + room:
            axes.set_ylim(low - 0.08 * room, high + 0.12 * room)
            axes.text(
                0.99,
                0.97,
                f"start: {values[0]:.3g}\nend: {values[-1]:.4g}",
                transform=axes.transAxes,
                ha="right",
                va="top",
                fontsize=8,
                color=FAINT,
            )
    axes.set(xlabel="Iteration", ylabel=label, xlim=(0, max(1, len(values) - 1) * 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure
