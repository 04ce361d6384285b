"""The heatmap that several figures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from partwise.figures.style import (
    FULL_WIDTH,
    LETTER,
    SCALE,
    SIGNED_SCALE,
    new_figure,
    text_on,
    wrapped,
)

__all__ = ["diagonal_order", "heatmap"]

FloatArray = npt.NDArray[np.float64]

_ANNOTATED_COLUMNS = 12
_ANNOTATED_ROWS = 40
_ROW = 0.235  # inches
_SMALLEST_ROW = 0.135  # inches: the height of the smallest tick label


def diagonal_order(values: FloatArray) -> npt.NDArray[np.intp]:
    """Order rows by the column that is largest in them, then by how large, so blocks appear."""
    if values.shape[1] == 0:
        return np.arange(values.shape[0])
    best = values.argmax(axis=1)
    return np.lexsort((-values.max(axis=1), best))


def heatmap(
    values: FloatArray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    scale_label: str,
    row_label: str = "",
    column_label: str = "",
    top: float | None = None,
    title: str = "",
    signed: bool = False,
) -> Figure:
    """Draw a matrix as coloured cells with its row and column names.

    Parameters
    ----------
    values
        The matrix, rows x columns. Small matrices have their values written in the cells.
    rows, columns
        Labels; where they would not fit only every second, third, ... is drawn.
    scale_label, row_label, column_label
        Labels of the colour bar and the axes.
    top
        End of the colour scale, which begins at 0; by default the largest value.
    title
        Title of the figure.
    signed
        Whether the scale runs from -top to top, white at 0.

    Returns
    -------
    Figure
        One axes and its colour bar.
    """
    size = _measure(rows, columns, row_label)
    if not size.upright:
        columns = [name.replace("\n", ", ") for name in columns]
    column_label = wrapped(column_label, len(columns) * size.cell + 1.0)
    figure = new_figure(size.width, size.height(columns, column_label, title))
    axes = figure.add_subplot()
    top = float(top if top is not None else np.nanmax(np.abs(values), initial=0.0)) or 1.0
    with_edges = values.size <= 900
    mesh = axes.pcolormesh(
        values,
        cmap=SIGNED_SCALE if signed else SCALE,
        vmin=-top if signed else 0.0,
        vmax=top,
        rasterized=values.size > 3000,
        edgecolors="white" if with_edges else "none",
        linewidth=0.6 if with_edges else 0.0,
    )
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    _label(axes.yaxis, rows, size.row, _SMALLEST_ROW * 0.98)
    _label(axes.xaxis, columns, size.cell, 0.02 if size.upright else 0.105)
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    if not size.upright:
        axes.tick_params(axis="x", rotation=90)
    axes.set(xlabel=column_label, ylabel=wrapped(row_label, size.body))
    axes.xaxis.set_label_position("top")
    _color_bar(figure, axes, mesh, scale_label, size)
    if max(len(columns) / _ANNOTATED_COLUMNS, len(rows) / _ANNOTATED_ROWS) <= 1 < size.cell / 0.36:
        _annotate(axes, values, mesh, signed)
    if title:
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.02, ha="left")
    return figure


@dataclass(frozen=True)
class _Size:
    """Sizes in inches: of a cell, of all rows together, and of the figure."""

    row: float
    cell: float
    body: float
    width: float
    cells_width: float
    upright: bool

    def height(self, columns: Sequence[str], column_label: str, title: str) -> float:
        """Return the height of the figure: the rows and what stands above them."""
        if self.upright:
            head = 0.16 * (1 + max(name.count("\n") for name in columns))
        else:
            head = min(LETTER * max(map(len, columns)), 2.2)
        if column_label:
            head += 0.08 + 0.16 * (1 + column_label.count("\n"))
        return self.body + head + 0.22 + (0.27 if title else 0.0)


def _measure(rows: Sequence[str], columns: Sequence[str], row_label: str) -> _Size:
    n_rows, n_columns = len(rows), len(columns)
    beside = min(2.4, LETTER * max(map(len, rows))) + 1.35 + (0.25 if row_label else 0.0)
    cell = float(np.clip((FULL_WIDTH - beside) / n_columns, 0.01, 0.75))
    row = min(_ROW if n_rows <= 40 else max(_SMALLEST_ROW, _ROW * 40 / n_rows), 9.5 / n_rows)
    longest = max(len(line) for name in columns for line in name.split("\n"))
    return _Size(
        row=row,
        cell=cell,
        body=max(n_rows * row, 0.9),
        width=max(beside + n_columns * cell, 3.2),
        cells_width=n_columns * cell,
        upright=LETTER * longest <= cell,
    )


def _color_bar(figure: Figure, axes: Axes, mesh: ScalarMappable, label: str, size: _Size) -> None:
    """Add a colour bar of constant width, not longer than it needs to be."""
    length = min(size.body, 3.5)
    bar = figure.colorbar(
        mesh,
        ax=axes,
        label=wrapped(label, length),
        fraction=float(np.clip(0.18 / size.cells_width, 0.03, 0.3)),
        shrink=length / size.body,
        aspect=length / 0.14,
        pad=0.02,
    )
    bar.outline.set_visible(False)


def _label(axis: object, names: Sequence[str], pitch: float, needed: float) -> None:
    """Put names at the cells' centres, skipping as many as do not fit at `pitch` inches."""
    step = max(1, int(np.ceil(needed / pitch)))
    places = range(0, len(names), step)
    small = pitch * step < 0.18
    axis.set_ticks(  # type: ignore[attr-defined]
        [i + 0.5 for i in places],
        [names[i] for i in places],
        **({"fontsize": 7.0} if small else {}),
    )


def _annotate(axes: Axes, values: FloatArray, mesh: ScalarMappable, signed: bool) -> None:
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(
                j + 0.5,
                i + 0.5,
                _text(value, signed),
                ha="center",
                va="center",
                fontsize=7.5,
                color=text_on(mesh.to_rgba(np.asarray(value))),
            )


def _text(value: float, signed: bool) -> str:
    if round(value, 1 if signed else 2) == 0 or (value < 0 and not signed):
        return "0"
    return f"{value:+.1f}" if signed else f"{value:.2f}"
