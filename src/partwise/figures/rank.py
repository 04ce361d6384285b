"""Curves over ranks, and the rank that they speak for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    ScalarFormatter,
)

from partwise.figures.style import (
    FAINT,
    FULL_WIDTH,
    GREY,
    OKABE_ITO,
    message_figure,
    new_figure,
    styled,
)

__all__ = ["rank_curves"]

#: curve -> how it is called and its colour
_CURVES = {
    "held_out_error": ("Held-out error", OKABE_ITO[0]),
    "training_error": ("Training error", OKABE_ITO[3]),
    "matched_cosine": ("Matched cosine", OKABE_ITO[2]),
    "cophenetic_correlation": ("Cophenetic correlation", OKABE_ITO[5]),
    "dispersion": ("Dispersion", OKABE_ITO[1]),
}
_STABILITY = ("matched_cosine", "cophenetic_correlation", "dispersion")
#: Ranks that span more than this ratio stand on a logarithmic axis.
_WIDE = 8
#: Labels that fit below an axis.
_MOST_TICKS = 14


@styled
def rank_curves(
    summary: pd.DataFrame, *, recommended: int | None = None, spectrum: pd.DataFrame | None = None
) -> Figure:
    """Draw error, stability and spectrum against the rank.

    Parameters
    ----------
    summary
        `curve`, `rank`, `mean`, `low`, `high`, as in `RankSelection.summary`; intervals that are
        missing are not drawn.
    recommended
        The rank to mark.
    spectrum
        `component`, `singular_value`, `permuted_max`, as in `RankSelection.spectrum`.

    Returns
    -------
    Figure
        A panel for each of: held-out error, training error, stability, spectrum; those without
        data are left out. A dashed line and a bold number mark the recommended rank.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import rank_curves
    >>> summary = pd.DataFrame({"curve": "held_out_error", "rank": [2, 3], "mean": [0.5, 0.4]})
    >>> rank_curves(summary.assign(low=None, high=None), recommended=3).axes[0].get_ylabel()
    'Relative error'
    """
    present = set(summary["curve"])
    panels: list[Callable[[Axes], None]] = []
    if "held_out_error" in present:
        panels.append(
            lambda axes: _errors(axes, summary, "held_out_error", "Error, hidden entries")
        )
    if "training_error" in present:
        panels.append(lambda axes: _errors(axes, summary, "training_error", "Error, all entries"))
    if present & set(_STABILITY):
        panels.append(lambda axes: _stability(axes, summary))
    if not panels and spectrum is None:
        return message_figure("There are no ranks to show.")
    n_panels = len(panels) + (spectrum is not None)
    columns = min(2, n_panels)
    rows = -(-n_panels // columns)
    figure = new_figure(FULL_WIDTH, 0.35 + 2.55 * rows)
    grid = figure.add_gridspec(rows, columns)
    places = [grid[i // columns, i % columns] for i in range(n_panels)]
    for draw, place in zip(panels, places, strict=False):
        axes = figure.add_subplot(place)
        draw(axes)
        _rank_axis(axes, np.unique(summary["rank"].to_numpy(dtype=int)), recommended)
    if spectrum is not None:
        _spectrum(figure.add_subplot(places[-1]), spectrum, recommended)
    return figure


def _errors(axes: Axes, summary: pd.DataFrame, curve: str, title: str) -> None:
    _draw(axes, summary, curve)
    axes.set(title=title, ylabel="Relative error")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    part = summary[summary["curve"] == curve].sort_values("rank")
    means = part["mean"].to_numpy(dtype=float)
    # beyond the best rank the error may rise without bound; what leads to the best rank counts
    best = int(np.argmin(means))
    low, high = means[best], means[: best + 1].max()
    room = high - low
    if room > 0 and means.max() > high + 0.5 * room:
        top = high + 0.5 * room
        axes.set_ylim(low - 0.12 * (top - low), top)
        axes.annotate(
            f"up to {means.max():.3g}",
            (1.0, 1.0),
            xycoords="axes fraction",
            xytext=(-2, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=FAINT,
        )


def _stability(axes: Axes, summary: pd.DataFrame) -> None:
    for curve in _STABILITY:
        _draw(axes, summary, curve)
    axes.set(title="Agreement of different starts", ylabel="1 is full agreement")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    low = min(axes.get_ylim()[0], 0.9)
    low = max(0.0, low)
    # room below the curves for the legend, so that it hides none of them
    axes.set_ylim(low - 0.55 * (1.0 - low), 1.0 + 0.06 * (1.0 - low))
    axes.yaxis.set_major_locator(FixedLocator([t for t in axes.get_yticks() if low <= t <= 1.0]))
    axes.legend(loc="lower left", handlelength=1.4)


def _draw(axes: Axes, summary: pd.DataFrame, curve: str) -> None:
    """Draw the mean as a line and the interval as a band."""
    name, color = _CURVES[curve]
    part = summary[summary["curve"] == curve].sort_values("rank")
    part = part[part["mean"].notna()]
    if part.empty:
        return
    ranks = part["rank"].to_numpy(dtype=float)
    low, high = (part[side].to_numpy(dtype=float) for side in ("low", "high"))
    if np.isfinite(low).any():
        axes.fill_between(ranks, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(
        ranks, part["mean"], color=color, marker="o", markersize=3.5, linewidth=1.4, label=name
    )


def _rank_axis(axes: Axes, ranks: np.ndarray, recommended: int | None) -> None:
    """Label ranks that were looked at, the recommended one in bold with a line."""
    log = ranks[-1] > _WIDE * ranks[0]
    if log:
        axes.set_xscale("log")
    shown = _apart(ranks, recommended, log=log)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("Rank")
    if recommended is not None:
        _mark(axes, recommended)
        for rank, label in zip(shown, axes.get_xticklabels(), strict=True):
            if rank == recommended:
                label.set_fontweight("bold")


def _apart(ranks: np.ndarray, recommended: int | None, *, log: bool) -> list[int]:
    """Return ranks whose labels do not touch, the recommended one among them."""
    places = np.log(ranks) if log else ranks.astype(float)
    gap = (places[-1] - places[0]) / _MOST_TICKS
    order = sorted(range(len(ranks)), key=lambda i: (ranks[i] != recommended, i))
    kept: list[int] = []
    for i in order:
        if all(abs(places[i] - places[j]) >= gap for j in kept):
            kept.append(i)
    return [int(ranks[i]) for i in sorted(kept)]


def _mark(axes: Axes, recommended: int) -> None:
    axes.axvline(recommended, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)


def _spectrum(axes: Axes, spectrum: pd.DataFrame, recommended: int | None) -> None:
    components = spectrum["component"].to_numpy(dtype=int)
    axes.plot(
        components,
        spectrum["permuted_max"],
        color=GREY,
        linewidth=1.4,
        label="Columns permuted",
    )
    axes.plot(
        components,
        spectrum["singular_value"],
        color=OKABE_ITO[4],
        marker="o",
        markersize=3,
        linewidth=1.2,
        label="Data",
    )
    # the first value, the mean profile, is far above all others
    shown = spectrum[["singular_value", "permuted_max"]].to_numpy(dtype=float)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.set_ylim(0.85 * max(shown.min(), 1e-12 * shown.max()), 1.2 * shown.max())
    axes.set(title="Spectrum", xlabel="Component", ylabel="Singular value")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if recommended is not None and recommended <= components[-1]:
        _mark(axes, recommended)
    axes.legend(loc="upper right", handlelength=1.4)
