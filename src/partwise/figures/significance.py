"""Which factors are sequences: the statistic of each beside its nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from partwise.exceptions import UsageError
from partwise.figures.sequence_sheet import factor_colors
from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    display_name,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["significance_plot"]

FloatArray = npt.NDArray[np.float64]

_NULL = "#CFCFCF"
#: A statistic so many times beyond its nulls makes the axis logarithmic.
_FAR = 6.0
_BINS = 60


@styled
def significance_plot(
    statistic: npt.ArrayLike,
    null: Sequence[npt.ArrayLike] | npt.NDArray[Any],
    pvalues: npt.ArrayLike,
    significant: npt.ArrayLike,
    excluded: Sequence[str] | Sequence[bool] | npt.NDArray[Any],
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw the statistic of each factor beside those of its null motifs.

    Parameters
    ----------
    statistic
        Skewness of the data seen through each motif, K.
    null
        That of the null motifs, an array per factor; NaN is left out.
    pvalues, significant
        p-value of each factor, and whether it is significant, K.
    excluded
        Why a factor was not tested, "" if it was; or whether it was not.
    names
        Names of the factors; by default 1, 2, ...

    Returns
    -------
    Figure
        A row per factor: its nulls as a histogram, its statistic as a line, and p. Significant
        factors have their colour and a star.

    Raises
    ------
    UsageError
        If the arguments are not of one number of factors.

    Examples
    --------
    >>> from partwise.figures import significance_plot
    >>> nulls = [[0.5, 1.0, 1.5], [0.2, 0.4, 0.9]]
    >>> figure = significance_plot([4.0, 0.1], nulls, [0.25, 1.0], [True, False], ["", ""])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['1', '2']
    """
    observed = np.asarray(statistic, dtype=float)
    k = len(observed)
    nulls = [np.asarray(values, dtype=float).ravel() for values in null]
    nulls = [values[np.isfinite(values)] for values in nulls]
    p, stars = np.asarray(pvalues, dtype=float), np.asarray(significant, dtype=bool)
    reasons = [str(r) if isinstance(r, str) else "not tested" if r else "" for r in excluded]
    labels = [str(i + 1) for i in range(k)] if names is None else [display_name(n) for n in names]
    if {k} != {len(nulls), len(p), len(stars), len(reasons), len(labels)}:
        raise UsageError("statistic, null, pvalues, significant, excluded and names differ in size")
    if k == 0:
        return message_figure("There are no factors to show.")
    row = 0.3 if k <= 15 else 0.2
    figure = new_figure(FULL_WIDTH, 0.75 + row * max(k, 2))
    axes = figure.add_subplot()
    tested = np.array([not reason for reason in reasons])
    edges = _statistic_axis(
        axes, observed[tested], [v for v, t in zip(nulls, tested, strict=True) if t]
    )
    for i, color in enumerate(factor_colors(k)):
        if reasons[i]:
            _beside(axes, i, reasons[i], right=False)
            continue
        if len(nulls[i]):
            heights = np.histogram(nulls[i], edges)[0]
            heights = 0.8 * heights / max(1, heights.max())
            axes.stairs(i + 0.4 - heights, edges, baseline=i + 0.4, fill=True, color=_NULL)
        axes.vlines(
            observed[i], i - 0.38, i + 0.4, color=color if stars[i] else FAINT, linewidth=2.4
        )
        _beside(axes, i, f"p = {p[i]:.2g}{'  ★' if stars[i] else ''}", bold=bool(stars[i]))
    axes.set_yticks(range(k), labels, fontsize=8.5 if k <= 15 else 7.5)
    axes.set(ylim=(k - 0.45, -0.55), ylabel="Factor", title="Statistic beside null motifs (grey)")
    axes.set_xlabel("Skewness of the data seen through the motif")
    axes.tick_params(axis="y", length=0)
    return figure


def _statistic_axis(axes: Axes, observed: FloatArray, nulls: Sequence[FloatArray]) -> FloatArray:
    """Set the scale, logarithmic where statistics lie far out, and return the bins of nulls."""
    drawn = np.concatenate([observed[np.isfinite(observed)], *nulls])
    if drawn.size == 0:
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        return np.linspace(0, 1, 2)
    low, high = min(0.0, float(drawn.min())), max(float(drawn.max()), 1e-9)
    beyond = float(np.quantile(np.concatenate(nulls), 0.99)) if any(map(len, nulls)) else high
    linear = max(beyond, 0.05)
    if high <= _FAR * linear:
        air = 0.03 * (high - low)
        axes.set_xlim(low - air * (low < 0), high + air)
        return np.linspace(low, high + 1e-12, _BINS + 1)
    axes.set_xscale("symlog", linthresh=linear, linscale=1.5)
    axes.set_xlim(1.1 * low, 1.4 * high)
    axes.xaxis.set_major_locator(
        SymmetricalLogLocator(base=10, linthresh=linear, subs=(1.0, 2.0, 5.0))
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return np.concatenate(
        [np.linspace(low, linear, _BINS), np.geomspace(linear, high * (1 + 1e-12), _BINS)[1:]]
    )


def _beside(axes: Axes, i: int, text: str, *, right: bool = True, bold: bool = False) -> None:
    axes.annotate(
        text,
        (1.0 if right else 0.0, i),
        xycoords=("axes fraction", "data"),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        fontweight="bold" if bold else "normal",
        color=None if bold else FAINT,
        annotation_clip=False,
    )
