"""The heatmap that several figures are made of."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from partwise.figures.style import FULL_WIDTH, LETTER, SCALE, new_figure, text_on, wrapped

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
    digits: int = 2,
    top: float | None = None,
    title: str = "",
) -> Figure:
    """Draw a matrix as coloured cells with its row and column names.

    Parameters
    ----------
    values
        The matrix, rows x columns; the scale runs from 0 to `top`, by default the largest value.
    rows, columns
        Labels; where they would not fit only every second, third, ... is drawn.
    scale_label, row_label, column_label
        Labels of the colour bar and the axes.
    digits
        Decimals of the values written in the cells when there are few.
    title
        Title of the figure.

    Returns
    -------
    Figure
        One axes and its colour bar.
    """
    n_rows, n_columns = values.shape
    label_width = min(2.4, LETTER * max(map(len, rows), default=0))
    extra = 1.35 + (0.25 if row_label else 0.0)
    cell = float(np.clip((FULL_WIDTH - label_width - extra) / n_columns, 0.01, 0.75))
    row = min(_ROW if n_rows <= 40 else max(_SMALLEST_ROW, _ROW * 40 / n_rows), 9.5 / n_rows)
    body = max(n_rows * row, 0.9)
    upright = LETTER * max(len(line) for name in columns for line in name.split("\n")) <= cell
    if upright:
        head = 0.16 * (1 + max(name.count("\n") for name in columns))
    else:
        columns = [name.replace("\n", ", ") for name in columns]
        head = min(LETTER * max(map(len, columns)), 2.2)
    column_label = wrapped(column_label, n_columns * cell + 1.0)
    above = (0.08 + 0.16 * len(column_label.split("\n")) if column_label else 0.0) + (
        0.27 if title else 0.0
    )
    height = body + head + above + 0.22
    width = max(label_width + extra + n_columns * cell, 3.2)
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    top = float(top if top is not None else np.nanmax(values, initial=0.0)) or 1.0
    mesh = axes.pcolormesh(
        values,
        cmap=SCALE,
        vmin=0.0,
        vmax=top,
        rasterized=values.size > 3000,
        edgecolors="white" if values.size <= 900 else "none",
        linewidth=0.6 if values.size <= 900 else 0.0,
    )
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _label(axes.yaxis, rows, row, _SMALLEST_ROW * 0.98)
    _label(axes.xaxis, columns, cell, 0.02 if upright else 0.105)
    axes.tick_params(axis="x", top=True, bottom=False, labeltop=True, labelbottom=False)
    if not upright:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel(wrapped(row_label, body))
    axes.set_xlabel(column_label)
    axes.xaxis.set_label_position("top")
    length = min(body, 3.5)
    bar = figure.colorbar(
        mesh,
        ax=axes,
        label=wrapped(scale_label, length),
        fraction=float(np.clip(0.18 / (n_columns * cell), 0.03, 0.3)),
        shrink=length / body,
        aspect=length / 0.14,
        pad=0.02,
    )
    bar.outline.set_visible(False)
    if n_columns <= _ANNOTATED_COLUMNS and n_rows <= _ANNOTATED_ROWS and cell > 0.36:
        _annotate(axes, values, top, digits)
    if title:
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.02, ha="left")
    return figure


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


def _annotate(axes: Axes, values: FloatArray, top: float, digits: int) -> None:
    scale = mpl.colormaps[SCALE]
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(
                j + 0.5,
                i + 0.5,
                f"{value:.{digits}f}" if round(value, digits) > 0 else "0",
                ha="center",
                va="center",
                fontsize=7.5,
                color=text_on(scale(min(value / top, 1.0))),
            )
