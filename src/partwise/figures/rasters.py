"""Recordings made small enough to draw: frames and units are binned to the dots of a picture.

Nothing larger than the picture and one block of frames is ever held: sparse data are binned by
their non-zeros, files are read in blocks, and a reconstruction is formed from binned activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = [
    "Frames",
    "Picture",
    "bin_activations",
    "bin_data",
    "bin_edges",
    "bin_largest",
    "bin_reconstruction",
    "dot_note",
    "unmasked",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
How = Literal["mean", "largest", "auto"]

#: Numbers of a block of dense data.
_BLOCK = 4_000_000
#: With a larger share of the dots filled the largest of each says little, the mean more.
_FULL = 0.3


class Frames(Protocol):
    """A recording that is read in pieces: features x frames."""

    @property
    def shape(self) -> tuple[int, int]:
        """Features and frames."""
        ...

    def frames(self, start: int, stop: int, /) -> Any:
        """Return frames start to stop - 1, an array or a sparse matrix."""
        ...


@dataclass(frozen=True)
class Picture:
    """Binned data.

    Attributes
    ----------
    values
        Dots, rows x columns; NaN where all is missing.
    largest
        Whether a dot is the largest of its entries; otherwise it is their mean.
    rows, frames
        Units and frames per dot.
    """

    values: FloatArray
    largest: bool
    rows: float
    frames: float


def unmasked(data: Any) -> Any:
    """Return a masked array as one with NaN where it is masked, all else as it is."""
    if isinstance(data, np.ma.MaskedArray):
        return np.ma.filled(data.astype(np.float64), np.nan)
    return data


def dot_note(rows: float, frames: float, *, largest: bool) -> str:
    """Say what a dot of so many units and frames stands for; nothing if it is a single entry.

    Examples
    --------
    >>> dot_note(1.0, 12.5, largest=True), dot_note(1.0, 1.0, largest=True)
    ('dot: largest of 12 frames', '')
    """
    of = [
        f"{count:,.{0 if count >= 10 or count == int(count) else 1}f} {what}"
        for count, what in ((rows, "units"), (frames, "frames"))
        if count > 1
    ]
    return f"dot: {'largest' if largest else 'mean'} of {' x '.join(of)}" if of else ""


def bin_edges(count: int, most: int) -> IntArray:
    """Return the edges of `count` places in at most `most` bins of about equal width.

    Examples
    --------
    >>> bin_edges(10, 4).tolist(), bin_edges(3, 100).tolist()
    ([0, 2, 5, 7, 10], [0, 1, 2, 3])
    """
    bins = max(1, min(count, most))
    return np.arange(bins + 1, dtype=np.intp) * count // bins


def bin_data(
    data: Any, order: IntArray, window: tuple[int, int], size: tuple[int, int], *, how: How = "auto"
) -> Picture:
    """Bin the frames of a window and the units in an order.

    Parameters
    ----------
    data
        Features x frames: array, scipy sparse matrix, or anything with `shape` and
        `frames(start, stop)`. NaN is missing.
    order
        Features from top to bottom; those left out are not drawn.
    window
        First frame and the one behind the last.
    size
        The most rows and columns.
    how
        "largest" or "mean" of what falls on a dot; "auto" takes the largest, so that single spikes
        are seen, unless more than 30 % of the dots would be filled.

    Returns
    -------
    Picture
        At most `size` dots.
    """
    rows, columns = bin_edges(len(order), size[0]), bin_edges(window[1] - window[0], size[1])
    shape = (len(rows) - 1, len(columns) - 1)
    top = np.full(shape, -np.inf)
    total, count = np.zeros(shape), np.zeros(shape)
    for start, stop, block in _blocks(data, window, columns):
        part = slice(start, stop)
        local = columns[start : stop + 1] - columns[start]
        add = _add_sparse if sp.issparse(block) else _add_dense
        add(block, order, rows, local, (top[:, part], total[:, part], count[:, part]))
    missing = count == 0
    single = len(order) == shape[0] and window[1] - window[0] == shape[1]
    filled = float(np.mean(np.abs(top[~missing]) > 0)) if not missing.all() else 0.0
    largest = how == "largest" or (how == "auto" and (single or filled <= _FULL))
    values = top if largest else total / np.maximum(count, 1)
    return Picture(
        np.where(missing, np.nan, values),
        largest=largest,
        rows=len(order) / shape[0],
        frames=(window[1] - window[0]) / shape[1],
    )


def _blocks(
    data: Any, window: tuple[int, int], columns: IntArray
) -> Iterator[tuple[int, int, Any]]:
    """Yield (first bin, bin behind the last, their frames); sparse data come in one block."""
    start, stop = window
    if sp.issparse(data):
        yield 0, len(columns) - 1, data.tocsr()[:, start:stop]
        return
    read = data.frames if hasattr(data, "frames") else lambda a, b: data[:, a:b]
    width = float(np.mean(np.diff(columns)))
    step = max(1, int(_BLOCK / (max(1, data.shape[0]) * width)))
    for first in range(0, len(columns) - 1, step):
        last = min(first + step, len(columns) - 1)
        yield first, last, read(int(start + columns[first]), int(start + columns[last]))


def _add_dense(
    block: Any, order: IntArray, rows: IntArray, columns: IntArray, to: tuple[Array, Array, Array]
) -> None:
    """Add a dense block to the largest, the sum and the number of the entries of each dot."""
    part = np.asarray(block)[order]
    known = ~np.isnan(part)
    top, total, count = to
    for out, values, reduce in (
        (top, np.where(known, part, -np.inf), np.maximum),
        (total, np.where(known, part, 0).astype(np.float64, copy=False), np.add),
        (count, known.astype(np.float64), np.add),
    ):
        along = reduce.reduceat(values, columns[:-1], axis=1)
        out[...] = reduce.reduceat(along, rows[:-1], axis=0)


def _add_sparse(
    block: Any, order: IntArray, rows: IntArray, columns: IntArray, to: tuple[Array, Array, Array]
) -> None:
    """Add a sparse block: only its non-zeros are touched."""
    top, total, count = to
    row_bin = np.full(block.shape[0], -1, dtype=np.intp)
    row_bin[order] = np.repeat(np.arange(len(rows) - 1), np.diff(rows))
    column_bin = np.repeat(np.arange(len(columns) - 1), np.diff(columns))
    entries = block.tocoo()
    at = row_bin[entries.row]
    drawn = at >= 0
    flat = at[drawn] * top.shape[1] + column_bin[entries.col[drawn]]
    values = entries.data[drawn].astype(np.float64)
    missing = np.isnan(values)
    count[...] = np.diff(rows)[:, None] * np.diff(columns)[None, :]
    count -= np.bincount(flat[missing], minlength=top.size).reshape(top.shape)
    flat, values = flat[~missing], values[~missing]
    total[...] = np.bincount(flat, values, minlength=top.size).reshape(top.shape)
    present = np.bincount(flat, minlength=top.size).reshape(top.shape)
    largest = np.full(top.size, -np.inf)
    np.maximum.at(largest, flat, values)
    # where not every entry of a dot is stored, one of them is zero
    stored = largest.reshape(top.shape)
    top[...] = np.where(present < count, np.maximum(stored, 0.0), stored)


def bin_largest(values: Array, edges: IntArray, *, axis: int) -> Array:
    """Return the largest of each bin along an axis."""
    return np.maximum.reduceat(values, edges[:-1], axis=axis)


def bin_activations(
    activations: Array,
    window: tuple[int, int],
    columns: IntArray,
    n_lags: int,
    epochs: Sequence[tuple[int, int]] | None = None,
) -> FloatArray:
    """Return mean over the frames t of each bin of activations[k, t - l], K x L x bins.

    Averages and lags commute, so a reconstruction can be binned before it is formed. No lag reaches
    from one epoch into the next, and frames outside of all are zero.
    """
    start, stop = window
    widths = np.diff(columns)
    lags = np.arange(n_lags)[:, None]
    found = np.zeros((len(activations), n_lags, len(widths)))
    for low, high in ((0, activations.shape[1]),) if epochs is None else epochs:
        first, last = max(low, start), min(high, stop)
        if first >= last:
            continue
        begin = max(low, start - n_lags + 1)
        part = np.asarray(activations[:, begin:last], dtype=np.float64)
        a = int(np.searchsorted(columns, first - start, side="right")) - 1
        b = int(np.searchsorted(columns, last - start, side="left"))
        if (widths == 1).all():
            at = np.arange(first, last) - lags - begin
            found[:, :, a:b] += np.where(at >= 0, part[:, np.maximum(at, 0)], 0.0)
            continue
        sums = np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0)))
        edges = np.clip(start + columns[a : b + 1], first, last)
        at = np.maximum(edges - lags - begin, 0)
        # differences of sums may end a rounding error below zero
        found[:, :, a:b] += np.maximum(np.diff(sums[:, at], axis=2), 0.0)
    return found / widths


def bin_reconstruction(
    motifs: Array,
    activations: Array,
    order: IntArray,
    window: tuple[int, int],
    size: tuple[int, int],
    epochs: Sequence[tuple[int, int]] | None = None,
) -> FloatArray:
    """Return the mean of each factor's part of the model on each dot, K x rows x columns.

    Parameters
    ----------
    motifs, activations
        N x K x L and K x T.
    order, window, size
        As in `bin_data`.
    epochs
        (start, stop) in frames that no motif leaves; None for one of all frames.
    """
    rows, columns = bin_edges(len(order), size[0]), bin_edges(window[1] - window[0], size[1])
    drawn = np.asarray(motifs, dtype=np.float64)[order]
    weights = np.add.reduceat(drawn, rows[:-1], axis=0) / np.diff(rows)[:, None, None]
    shifted = bin_activations(activations, window, columns, motifs.shape[2], epochs)
    return np.stack([weights[:, k] @ shifted[k] for k in range(motifs.shape[1])])
