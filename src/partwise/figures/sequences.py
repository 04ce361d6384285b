"""Motifs, activations and data of a sequence model in one picture.

Left the motifs, a tile per factor; above the recording their activations, and what was recorded
beside it; units run in one order through motifs and data, so that a sequence is a diagonal in both.
The arrangement is that of Mackevicius et al., Unsupervised discovery of temporal sequences in
high-dimensional datasets, with applications to neuroscience, eLife 8:e38471 (2019), figure 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from matplotlib.figure import Figure

from partwise.exceptions import UsageError
from partwise.figures.rasters import Frames, unmasked
from partwise.figures.sequence_panels import (
    draw_activations,
    draw_center,
    draw_factors,
    draw_motifs,
    draw_side,
    draw_strip,
)
from partwise.figures.sequence_sheet import DPI, Model, sheet_for
from partwise.figures.style import elide, message_figure, styled
from partwise.sequences._timeline import check_epochs

__all__ = ["factor_plot", "titled"]

_TITLE = 0.3  # inches


@styled
def factor_plot(
    motifs: npt.ArrayLike,
    activations: npt.ArrayLike,
    data: npt.ArrayLike | sp.spmatrix | sp.sparray | Frames | None = None,
    *,
    rate: float | None = None,
    side: Mapping[str, tuple[npt.ArrayLike, float]] | None = None,
    order: npt.ArrayLike | None = None,
    window: tuple[int | None, int | None] = (None, None),
    significant: Sequence[bool] | npt.NDArray[np.bool_] | None = None,
    names: Sequence[str] | Sequence[int] | None = None,
    loadings: npt.ArrayLike | None = None,
    epochs: Any = None,
    held_out: int | None = None,
) -> Figure:
    """Draw motifs left, activations above, and data or reconstruction in the centre.

    The reconstruction, Xhat[n, t] = sum_k sum_l W[n, k, l] H[k, t - l], is coloured by factor and
    formed inside the window only. Recordings with more units or frames than the picture has dots
    are binned; the figure says how. In the row of a factor its activations are shown by the share
    of its motif that lies within their epoch. Empty factors have no room of their own: a line names
    them.

    Parameters
    ----------
    motifs
        W, units x factors x lags.
    activations
        H, factors x frames.
    data
        X, units x frames: array, scipy sparse (stays sparse), or an object with `shape` and
        `frames(start, stop)`. NaN, and what a masked array masks, is grey. Without data the
        reconstruction is drawn.
    rate
        Frames per second; without it time is in frames.
    side
        Label -> (values, samples per second, or per frame if there is no `rate`) of what was
        recorded beside the data, aligned at its first sample: a vector, or channels x samples
        such as a spectrogram.
    order
        Units from top to bottom, as `sort_neurons` gives them; those left out are not drawn.
    window
        First frame drawn and the one behind the last; None for that of the recording.
    significant
        Whether each factor is significant: those have a star, the others are pale.
    names
        Names of the factors; by default 1, 2, ... Whole numbers from 1 up say which of a larger
        number of factors these are, and give them their colours.
    loadings
        Share of the data's sum of squares that each factor explains, drawn as bars.
    epochs
        (start, stop) in frames, as the fit had them: motifs of the reconstruction end where an
        epoch does, a dashed line shows where the next one follows at once, and what lies in none
        is grey.
    held_out
        First frame of what was held out from the fit, marked by a line.

    Returns
    -------
    Figure
        Axes labelled "motifs", "strip" (all lags together: the colour of the factor in which the
        unit is strongest), "center", "activations", one "side" per side channel, and "factors",
        the names and loadings. `titled` puts a title above.

    Raises
    ------
    UsageError
        If shapes do not fit, or the window has no frames.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import factor_plot
    >>> W, H = np.ones((5, 2, 3)), np.eye(2, 40)
    >>> [axes.get_label() for axes in factor_plot(W, H, rate=10.0).axes]
    ['motifs', 'strip', 'center', 'activations', 'factors']
    """
    model = _check(motifs, activations, data, order, window, rate, significant, names)
    shares = _checked_loadings(loadings, model.k)
    spans = _checked_epochs(epochs, model)
    model = dataclasses.replace(model, epochs=spans, held_out=held_out).without_empty()
    if 0 in (model.k, len(model.order), model.activations.shape[1]):
        return message_figure("There are no factors, units or frames to show.")
    channels = [(label, np.asarray(v), float(per)) for label, (v, per) in (side or {}).items()]
    sheet = sheet_for(
        model,
        [0.45 if values.ndim == 1 else 0.8 for _, values, _ in channels],
        loadings=shares is not None,
    )
    # each panel has its place, so there is no layout engine
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=DPI)
    draw_motifs(figure, sheet, model)
    draw_strip(figure, sheet, model)
    draw_center(figure, sheet, model, unmasked(data))
    bottom = sheet.BOTTOM + sheet.data + sheet.BAND
    for (label, values, per), height in reversed(list(zip(channels, sheet.sides, strict=True))):
        axes = sheet.axes(figure, sheet.center_left, bottom, (sheet.center, height))
        draw_side(axes, model, label, values, per, sheet)
        bottom += height + sheet.AIR
    bottom += sheet.note
    draw_activations(figure, sheet, model, bottom)
    draw_factors(figure, sheet, model, bottom, None if shares is None else shares[model.places])
    return figure


def _checked_loadings(loadings: npt.ArrayLike | None, k: int) -> npt.NDArray[np.float64] | None:
    if loadings is None:
        return None
    shares = np.asarray(loadings, dtype=float)
    if shares.shape != (k,):
        raise UsageError(f"loadings has {shares.size} entries for {k} factors")
    return shares


def _checked_epochs(epochs: Any, model: Model) -> tuple[tuple[int, int], ...] | None:
    n_frames = model.activations.shape[1]
    return None if epochs is None or not n_frames else check_epochs(epochs, n_frames)


def _check(
    motifs: npt.ArrayLike,
    activations: npt.ArrayLike,
    data: Any,
    order: npt.ArrayLike | None,
    window: tuple[int | None, int | None],
    rate: float | None,
    significant: Any,
    names: Sequence[str] | Sequence[int] | None,
) -> Model:
    W, H = np.asarray(motifs), np.asarray(activations)
    if W.ndim != 3 or H.ndim != 2 or W.shape[1] != H.shape[0]:
        raise UsageError(
            "motifs must be units x factors x lags and activations factors x frames; they are "
            f"{' x '.join(map(str, W.shape))} and {' x '.join(map(str, H.shape))}"
        )
    if data is not None and tuple(np.shape(data)) != (W.shape[0], H.shape[1]):
        raise UsageError(
            f"the data are {' x '.join(map(str, np.shape(data)))}, but motifs and activations are "
            f"of {W.shape[0]} units and {H.shape[1]} frames"
        )
    if rate is not None and not rate > 0:
        raise UsageError(f"rate must be positive, not {rate}")
    rows = np.arange(W.shape[0]) if order is None else np.asarray(order, dtype=np.intp)
    if rows.ndim != 1 or (rows.size and not 0 <= rows.min() <= rows.max() < W.shape[0]):
        raise UsageError(f"order must hold numbers of units from 0 to {W.shape[0] - 1}")
    first, last = window[0] or 0, H.shape[1] if window[1] is None else window[1]
    if H.shape[1] and not 0 <= first < last <= H.shape[1]:
        raise UsageError(
            f"the window from frame {first} to {last} is empty or outside of the recording, which "
            f"has {H.shape[1]} frames"
        )
    for what, values in (("significant", significant), ("names", names)):
        if values is not None and len(values) != H.shape[0]:
            raise UsageError(f"{what} has {len(values)} entries for {H.shape[0]} factors")
    labels = [str(k + 1) for k in range(H.shape[0])] if names is None else list(map(str, names))
    stars = None if significant is None else np.asarray(significant, dtype=bool)
    numbers = places = np.arange(H.shape[0])
    if names is not None and all(isinstance(name, int | np.integer) for name in names):
        numbers = np.array([int(name) - 1 for name in names], dtype=np.intp)
        if numbers.min(initial=0) < 0 or len(set(labels)) < len(labels):
            raise UsageError(f"names must be texts, or different numbers from 1 up, not {names}")
    return Model(W, H, rows, (first, last), rate, labels, stars, order is not None, numbers, places)


@styled
def titled(figure: Figure, title: str) -> Figure:
    """Put a title above what `factor_plot` drew; the figure grows by its height.

    Parameters
    ----------
    figure
        The figure, whose panels keep their sizes.
    title
        One line.

    Returns
    -------
    Figure
        The same figure.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.figures import factor_plot, titled
    >>> figure = factor_plot(np.ones((5, 2, 3)), np.eye(2, 40))
    >>> titled(figure, "Bird 7").get_suptitle()
    'Bird 7'
    """
    width, height = figure.get_size_inches()
    grown = height + _TITLE
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, box.y0 * height / grown, box.width, box.height * height / grown))
    figure.set_size_inches(width, grown)
    left = 0.1 / width
    figure.suptitle(
        elide(title, 64), x=left, y=1 - 0.06 / grown, ha="left", va="top", fontsize=10.5,
        fontweight="bold",
    )  # fmt: skip
    return figure
