"""What `factor_plot` draws, its colours, and how large its panels are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from partwise.figures.style import FULL_WIDTH, GREY, LETTER, OKABE_ITO, display_name

__all__ = ["DPI", "GAP", "MISSING", "Model", "Sheet", "factor_colors", "sheet_for"]

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]

#: Dots per inch of the pictures in a report; recordings are binned to these.
DPI = 160
#: Gap between two tiles, as a share of a tile.
GAP = 0.16
#: What is missing.
MISSING = "#DCDCDC"
#: Height of the smallest row that can be named, inches.
_ROW = 0.118
#: Further hues and depths, as the lighter versions of `palette` are too pale for a raster.
_MORE = (
    "#7B3FA0", "#6FB52E", "#003F62", "#F28C7B", "#17A5A0", "#753400", "#8C8CE6",
    "#C1123F", "#1E6B2E", "#B08A5A", "#E05FD0", "#6E7F8F", "#4F4C15", "#70435C",
)  # fmt: skip
#: Most of the light that a factor's colour may send back, 0 to 1.
_LIGHTEST = 0.64
#: Letters of names that stand above tiles.
_SHORT = 2
#: Strength of the colour of a factor that is not significant.
_PALE = 0.48


def factor_colors(count: int) -> list[str]:
    """Return the colours of factors, each of which can be seen on white; the 23rd is the first.

    Examples
    --------
    >>> from partwise.figures import factor_colors
    >>> factor_colors(2)
    ['#0072B2', '#E69F00']
    """
    shades = [*(_strong(color) for color in OKABE_ITO), *_MORE]
    return [shades[i % len(shades)] for i in range(count)]


def _strong(color: str) -> str:
    """Return the colour, darkened until it stands out from white."""
    rgb = np.array(to_rgb(color))
    while rgb @ (0.2126, 0.7152, 0.0722) > _LIGHTEST:
        rgb = 0.97 * rgb
    return to_hex(tuple(rgb)).upper()


@dataclass(frozen=True)
class Model:
    """What is drawn, checked."""

    motifs: Array  # N x K x L
    activations: Array  # K x T
    order: IntArray
    window: tuple[int, int]
    rate: float | None
    names: list[str]
    significant: npt.NDArray[np.bool_] | None
    sorted: bool
    numbers: IntArray  # which of all factors these are, from 0
    places: IntArray  # which of those given these are, from 0
    epochs: tuple[tuple[int, int], ...] | None = None
    held_out: int | None = None
    note: str = ""  # about factors that are not drawn

    @property
    def k(self) -> int:
        """Number of factors."""
        return int(self.motifs.shape[1])

    @functools.cached_property
    def empty(self) -> npt.NDArray[np.bool_]:
        """Whether each factor has no motif or never starts."""
        return ~np.logical_and(self.motifs.any(axis=(0, 2)), self.activations.any(axis=1))

    @functools.cached_property
    def pale(self) -> npt.NDArray[np.bool_]:
        """Whether each factor is empty or known to be not significant."""
        return (
            self.empty if self.significant is None else np.logical_or(self.empty, ~self.significant)
        )

    @functools.cached_property
    def colors(self) -> list[str]:
        """Colour of each factor: pale if it is not significant, grey if it is empty."""
        shades = [factor_colors(int(number) + 1)[-1] for number in self.numbers]
        for k in range(self.k):
            if self.empty[k]:
                shades[k] = GREY
            elif self.pale[k]:
                shades[k] = to_hex(tuple(1 - _PALE * (1 - np.array(to_rgb(shades[k])))))
        return shades

    @functools.cached_property
    def heads(self) -> list[str]:
        """What stands above the tiles: names if they are short, otherwise numbers."""
        if max(map(len, self.names)) <= _SHORT:
            return self.names
        return [str(number + 1) for number in self.numbers]

    @functools.cached_property
    def labels(self) -> list[str]:
        """What stands beside the activations: number, name and significance."""
        labels = []
        for k, (head, name) in enumerate(zip(self.heads, self.names, strict=True)):
            label = name if head == name else f"{head}  {display_name(name, 16)}"
            if self.empty[k]:
                label += "  empty"
            elif self.significant is not None:
                label += "  ★" if self.significant[k] else "  n.s."
            labels.append(label)
        return labels

    def without_empty(self) -> Model:
        """Return the model of the factors that are not empty, with a note on those that are.

        Where all are empty, all stay.
        """
        kept, empty = np.flatnonzero(~self.empty), np.flatnonzero(self.empty)
        if not len(kept) or not len(empty):
            return self
        which = _ranges(self.numbers[empty] + 1)
        if self.names != [str(number + 1) for number in self.numbers]:
            which = ", ".join(display_name(self.names[i], 16) for i in empty)
        factors = "factor" if len(empty) == 1 else "factors"
        return dataclasses.replace(
            self,
            motifs=self.motifs[:, kept],
            activations=self.activations[kept],
            names=[self.names[i] for i in kept],
            significant=None if self.significant is None else self.significant[kept],
            numbers=self.numbers[kept],
            places=self.places[kept],
            note=f"{len(empty)} empty {factors}: {which}",
        )

    def seconds(self, frame: float) -> float:
        """Return the time at which a frame begins; the frame itself if there is no rate."""
        return frame / (self.rate or 1.0)


def _ranges(numbers: IntArray) -> str:
    """Return ascending numbers as text, three or more in a row as a range.

    Examples
    --------
    >>> _ranges(np.array([2, 5, 6, 8, 9, 10]))
    '2, 5, 6, 8-10'
    """
    parts = []
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts += [str(number) for number in run]
    return ", ".join(parts)


@dataclass(frozen=True)
class Sheet:
    """Sizes in inches, and where panels lie."""

    width: float
    height: float
    left: float
    motifs: float
    center: float
    data: float
    activations: float
    sides: tuple[float, ...]
    note: float

    RIGHT, BOTTOM, TOP, BAND, STRIP, AIR, NOTE = 0.14, 0.5, 0.28, 0.24, 0.09, 0.07, 0.16

    def axes(self, figure: Figure, left: float, bottom: float, size: tuple[float, float]) -> Axes:
        """Add axes of a size at a place, in inches from the lower left corner."""
        box = (left / self.width, bottom / self.height, size[0] / self.width, size[1] / self.height)
        return figure.add_axes(box)

    @property
    def center_left(self) -> float:
        """Where the recording begins."""
        return self.width - self.RIGHT - self.center

    def tile(self, k: int) -> float:
        """Return the width of each of k tiles."""
        return self.motifs / (k + GAP * (k - 1))


def sheet_for(model: Model, sides: Sequence[float], *, loadings: bool) -> Sheet:
    """Return sizes for as many factors, units and side channels as there are.

    Parameters
    ----------
    model
        What is drawn.
    sides
        Heights of the side channels, inches.
    loadings
        Whether bars stand beside the names of the factors.
    """
    k, n = model.k, len(model.order)
    left = 0.28 + 0.058 * len(f"{n:,}")
    beside = LETTER * max(map(len, model.labels)) + (1.05 if loadings else 0.0)
    motifs = float(np.clip(0.25 * k, 1.1, 2.5 if k <= 25 else 2.9))
    motifs = max(motifs, min(beside, 2.9))
    center = FULL_WIDTH - left - motifs - Sheet.STRIP - 2 * Sheet.AIR - Sheet.RIGHT
    data = float(np.clip(0.85 + 0.028 * n, 1.0, 3.7))
    activations = float(max(min(0.175 * k, 2.6), min(_ROW * k, 4.8), 0.4))
    channels = sum(sides) + Sheet.AIR * len(sides)
    note = Sheet.NOTE if model.note else 0.0
    height = Sheet.BOTTOM + data + Sheet.BAND + channels + note + activations + Sheet.TOP
    return Sheet(FULL_WIDTH, height, left, motifs, center, data, activations, tuple(sides), note)
