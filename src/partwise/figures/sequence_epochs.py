"""Where epochs end in the panels of `factor_plot`."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes

from partwise.figures.sequence_sheet import DPI, MISSING, Model
from partwise.figures.style import FAINT, INK

__all__ = ["mark_epochs"]

#: Inches between two ends of epochs from which they are drawn; dots of a gap that can be seen.
_CLOSE, _SEEN = 0.08, 1.5
#: How far what lies in no epoch is covered.
_COVER = 0.85


def mark_epochs(axes: Axes, model: Model, width: float) -> str:
    """Draw where epochs end in the window, and return what the marks mean.

    A gap that is too narrow to be seen as such has a line in its middle, as have epochs that
    follow each other at once; so many that nothing else would be seen are only counted.
    """
    said = {}
    start, stop = model.window
    held = model.held_out if model.held_out is not None and start < model.held_out < stop else None
    gaps, inside = _gaps(model)
    if len(gaps) > width / _CLOSE:
        said[f"{inside:,} epochs"] = True
        gaps = []
    dot = (stop - start) / (width * DPI)
    for a, b in gaps:
        if b - a > _SEEN * dot:
            ends = model.seconds(a), model.seconds(b)
            axes.axvspan(*ends, color=MISSING, alpha=_COVER, linewidth=0, zorder=3)
            said["grey: in no epoch"] = True
        elif held is None or not a <= held <= b:
            middle = model.seconds((a + b) / 2)
            axes.axvline(middle, color=FAINT, linewidth=0.8, linestyle=(0, (4, 2)), zorder=3)
            said["dashed: an epoch ends"] = True
    if held is not None:
        axes.axvline(model.seconds(held), color=INK, linewidth=0.9, linestyle=(0, (1, 1)), zorder=4)
        said["dotted: held out from there"] = True
    return ", ".join(said)


def _gaps(model: Model) -> tuple[list[tuple[int, int]], int]:
    """Return what lies in the window before, between and behind epochs, and how many these are."""
    if model.epochs is None:
        return [], 0
    start, stop = model.window
    inside = [(max(a, start), min(b, stop)) for a, b in model.epochs if a < stop and b > start]
    ends = [start, *itertools.chain.from_iterable(inside), stop]
    pairs = list(zip(ends[::2], ends[1::2], strict=True))
    gaps = [(a, b) for i, (a, b) in enumerate(pairs) if a < b or 0 < i < len(pairs) - 1]
    return gaps, len(inside)
