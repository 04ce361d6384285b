"""How much of the variance the leading components explain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["variance_curve"]

#: Components that are drawn: the rest of a long spectrum is flat.
_MOST = 60
_FEW = 24


@styled
def variance_curve(
    shares: npt.NDArray[np.float64], *, reached: Mapping[float, int | None] | None = None
) -> Figure:
    """Draw the share of the variance by component, and how it adds up.

    Parameters
    ----------
    shares
        Share of the variance of each component, from the largest.
    reached
        Share of the variance -> components that reach it; None where those that are known do not.

    Returns
    -------
    Figure
        Bars of the shares and a line of their sum over at most 60 components, with a mark where
        each of the given shares is reached.

    Examples
    --------
    >>> from partwise.figures import variance_curve
    >>> figure = variance_curve(np.array([0.8, 0.15, 0.05]), reached={0.9: 2})
    >>> len(figure.axes[0].patches)
    3
    """
    if not shares.size or not shares.sum() > 0:
        return message_figure("The values do not vary.")
    marks = {share: k for share, k in (reached or {}).items() if k is not None}
    drawn = min(len(shares), _MOST, max(8, *(k + 4 for k in marks.values()), 8))
    places = np.arange(1, drawn + 1)
    total = np.cumsum(shares)[:drawn]
    figure = new_figure(FULL_WIDTH, 2.7)
    axes = figure.add_subplot()
    axes.bar(places, shares[:drawn], color=GREY, width=0.7, label="Each component")
    few = drawn <= _FEW
    axes.plot(
        places,
        total,
        color=OKABE_ITO[0],
        lw=1.6,
        marker="o" if few else "",
        ms=4,
        label="All up to it",
    )
    in_order = sorted((item for item in marks.items() if item[1] <= drawn), key=lambda m: m[1])
    for step, (share, k) in enumerate(in_order):
        axes.plot([k, k], [0, total[k - 1]], color=FAINT, lw=0.8, ls=(0, (3, 2)))
        axes.annotate(  # each at a height of its own, for they may be close to each other
            f"{100 * share:g} %: {k}",
            (k, 0.72 - 0.15 * step),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=8,
            path_effects=[withStroke(linewidth=2.6, foreground="white")],
        )
    axes.set_xlim(0.3, drawn + 0.9)
    axes.set_ylim(0, 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(12 if few else 8, integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="Component", ylabel="Share of the variance")
    figure.legend(loc="outside upper right", ncols=2)
    return figure
