"""Fractions of patients in groups: a dot per patient, and the differences with their intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    INK,
    colors_for,
    display_name,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["group_fractions"]

FloatArray = npt.NDArray[np.float64]

_LANE = 0.115  # inches for the patients of one group
_MARKS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_SIGNIFICANT = 0.05


@styled
def group_fractions(
    fractions: pd.DataFrame,
    groups: Sequence[str],
    *,
    fdr: Sequence[float],
    difference: pd.DataFrame | None = None,
    part_label: str = "Cluster",
    group_label: str = "Group",
) -> Figure:
    """Draw the share of each part in each patient, a lane of dots per group.

    Shares are on the scale of their square roots, on which rare parts can be seen beside common
    ones; a bar marks the mean of a group. Beside them, where there are two groups, the difference
    of the means with its interval.

    Parameters
    ----------
    fractions
        Shares, patients x parts.
    groups
        Group of each patient.
    fdr
        Adjusted p-value of each part; values of at most 0.05 are bold.
    difference
        Columns `difference`, `low`, `high`, one row per part; None leaves them out.
    part_label, group_label
        What parts and groups are.

    Returns
    -------
    Figure
        One row per part.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import group_fractions
    >>> shares = pd.DataFrame({0: [0.2, 0.3, 0.6, 0.7], 1: [0.8, 0.7, 0.4, 0.3]})
    >>> figure = group_fractions(shares, ["A", "A", "B", "B"], fdr=[0.3, 0.3])
    >>> len(figure.axes)
    1
    """
    if fractions.empty:
        return message_figure("There are no patients to compare.")
    names = sorted(set(groups))
    n_parts = fractions.shape[1]
    row = max(0.26, 0.1 + _LANE * len(names)) * (1.4 if n_parts <= 6 else 1.0)  # inches
    longest = max(len(display_name(name, 20)) for name in names)
    columns = max(1, min(len(names), int(FULL_WIDTH / (0.07 * (longest + 16)))))
    figure = new_figure(FULL_WIDTH, 1.1 + 0.2 * -(-len(names) // columns) + row * n_parts)
    if difference is None:
        left = figure.add_subplot()
    else:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        _intervals(right, difference, names)
    shades = colors_for(names)
    members = np.asarray([str(group) for group in groups], dtype=object)
    for lane, name in enumerate(names):
        offset = (lane - (len(names) - 1) / 2) * _LANE / row
        shares = fractions.to_numpy(dtype=float)[members == name]
        _lane(left, shares, offset, _LANE / row, shades[name])
    left.set_yticks(np.arange(n_parts), [display_name(part) for part in fractions.columns])
    left.set_ylim(n_parts - 0.5, -0.5)
    left.set(ylabel=part_label, xlabel="Share of a patient's cells; bar: mean of a group")
    left.tick_params(axis="y", length=0)
    _root_axis(left, float(fractions.to_numpy().max()))
    for place in range(n_parts):
        if place % 2:
            for axes in figure.axes:
                axes.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", zorder=0, lw=0)
    _adjusted(figure.axes[-1], fdr)
    _legend(figure, members, shades, group_label, columns)
    return figure


def _lane(axes: Axes, shares: FloatArray, offset: float, height: float, color: str) -> None:
    """Draw the dots of one group in all rows; a fixed scatter keeps equal shares apart."""
    count, n_parts = shares.shape
    shift = (np.arange(count) * 0.618) % 1.0 - 0.5
    for part in range(n_parts):
        axes.scatter(
            np.sqrt(shares[:, part]),
            part + offset + 0.55 * height * shift,
            s=float(np.clip(260 / count, 4, 13)),
            color=color,
            alpha=0.75,
            linewidths=0,
            zorder=3,
        )
        mean = float(np.sqrt(shares[:, part].mean()))
        axes.plot(
            [mean, mean],
            [part + offset - 0.48 * height, part + offset + 0.48 * height],
            color=INK,
            lw=1.4,
            zorder=4,
        )


def _root_axis(axes: Axes, largest: float) -> None:
    top = min(1.0, largest * 1.08 + 0.002)
    marks = [mark for mark in _MARKS if mark <= top]
    if len(marks) < 3:
        marks = [0.0, largest / 4, largest]
    axes.set_xticks(np.sqrt(marks), [f"{100 * mark:.3g} %" for mark in marks])
    axes.set_xlim(-0.02 * np.sqrt(top), np.sqrt(top) * 1.02)


def _intervals(axes: Axes, difference: pd.DataFrame, names: Sequence[str]) -> None:
    middle, low, high = (
        difference[name].to_numpy(dtype=float) for name in ("difference", "low", "high")
    )
    places = np.arange(len(middle))
    axes.axvline(0, color=GREY, lw=0.8, zorder=1)
    axes.hlines(places, low, high, color=FAINT, lw=1.2, zorder=2)
    axes.plot(middle, places, "o", color=INK, ms=3.6, zorder=3)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
    )
    second, first = display_name(names[1], 14), display_name(names[0], 14)
    axes.set_xlabel(f"{second} minus {first},\npercentage points")


def _adjusted(axes: Axes, fdr: Sequence[float]) -> None:
    """Write the adjusted p-values at the right of the rows."""
    axes.annotate(
        "FDR",
        (1.02, 1.0),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        color=FAINT,
        fontsize=8,
    )
    for place, value in enumerate(fdr):
        axes.annotate(
            "<0.001" if value < 0.001 else f"{value:.3f}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
            fontsize=8,
            fontweight="bold" if value <= _SIGNIFICANT else "normal",
        )


def _legend(
    figure: Figure,
    members: npt.NDArray[np.object_],
    shades: Mapping[Hashable, str],
    title: str,
    columns: int,
) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=5, color=shade)
        for shade in shades.values()
    ]
    # a label that starts with "_" would be left out, so the texts are set afterwards
    legend = figure.legend(
        handles,
        ["-"] * len(shades),
        title=display_name(title),
        loc="outside upper left",
        ncols=columns,
        alignment="left",
    )
    for text, name in zip(legend.get_texts(), shades, strict=True):
        text.set_text(f"{display_name(name, 20)} ({int((members == name).sum())} patients)")
