"""Skewness of motifs and of their rotated copies on one recording, piece by piece.

The ends of an epoch are joined: lag l of frame t reads frame t + l, counted around the epoch. So a
row of a motif that is rotated by r frames sees all the frames of its unit that it saw before, and
no null has more or fewer frames at the edges than the motif itself.

Hidden entries are set to the mean of what is observed of their unit. As the mean of a unit adds a
constant to what a motif sees, they add nothing beyond that constant. Then the second and the third
moment of independent units are sums over the observed entries, which rotating a row leaves as they
are, wherever the gaps lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.sequences._backends import make_raster
from partwise.sequences._skewness import Moments, moments_of
from partwise.sequences._timeline import Timeline
from partwise.utils.threads import run_tasks, single_thread_blas

__all__ = ["Pieces", "Rotations", "rotated", "skewness_of"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Frames of a piece, and at least so many times the lags: each reads L - 1 frames more.
_PIECE, _TIMES_LAGS = 16_384, 16
#: Motifs of a task, at most; and numbers in them, which bounds the memory.
_MOTIFS, _NUMBERS = 64, 2**22
#: Share of numbers in a sparse piece, hidden ones included, from which it is held dense.
_DENSE = 0.1


@dataclass(frozen=True)
class Rotations:
    """Rotated copies of one factor's motif.

    Attributes
    ----------
    motif
        The rows that are not all zero, n x L.
    units
        Which units they are, n.
    lags
        By how many frames each row is rotated in each copy, copies x n; zeros are the motif itself.
    """

    motif: Array
    units: IntArray
    lags: npt.NDArray[np.int32]

    def cut(self) -> list[Rotations]:
        """Return the copies in parts that one task takes; the parts depend on the data only."""
        size = max(1, min(_MOTIFS, _NUMBERS // max(1, self.motif.size)))
        firsts = range(0, len(self.lags), size)
        return [Rotations(self.motif, self.units, self.lags[i : i + size]) for i in firsts]


class Pieces:
    """A recording in pieces: frames whose products are wanted, and the L - 1 behind them.

    Parameters
    ----------
    X
        N x T: array, sparse matrix or source of frames.
    epochs
        (start, stop) in frames.
    n_lags
        L.
    hidden
        Hidden entries, N x T; None if there are none.

    Attributes
    ----------
    dtype, precision
        float64 if X is, else float32; the spacing of such numbers at 1.
    """

    def __init__(
        self,
        X: Any,
        epochs: Sequence[tuple[int, int]],
        n_lags: int,
        hidden: sp.csr_matrix | None = None,
    ) -> None:
        self._X = X.tocsc() if sp.issparse(X) else X
        self._hidden = None if hidden is None else hidden.tocsc()
        kind = np.float64 if X.dtype == np.float64 else np.float32
        self.dtype = np.dtype(kind)
        self.precision = float(np.finfo(kind).eps)
        self._halo = n_lags - 1
        longest = max(_PIECE, _TIMES_LAGS * n_lags)
        self._plan = _plan(epochs, longest)
        self._means = None if hidden is None else self._observed_means(epochs, longest)

    def __len__(self) -> int:
        return len(self._plan)

    def read(self, piece: int) -> tuple[Any, BoolArray]:
        """Return frames (N x f, array or CSR matrix), and at which of them products are wanted."""
        frames, wanted = [], []
        for start, length, first, count in self._plan[piece]:
            frames.append(start + np.arange(first, first + count + self._halo) % length)
            wanted.append(np.arange(count + self._halo) < count)
        block, hidden = self._block(np.concatenate(frames))
        if hidden is None or self._means is None:
            return block, np.concatenate(wanted)
        some = _observed_later(hidden, self._halo + 1)
        return _filled(block, hidden, self._means), np.concatenate(wanted) & some

    def _block(self, frames: IntArray) -> tuple[Any, sp.csc_matrix | None]:
        """Return frames, checked, with zeros at hidden entries; and these."""
        block = _frames(self._X, frames)
        hidden = None if self._hidden is None else self._hidden[:, frames]
        if hidden is not None:
            block = _blanked(block, hidden)
        _check(block)
        return (block if block.dtype == self.dtype else block.astype(self.dtype)), hidden

    def _observed_means(self, epochs: Sequence[tuple[int, int]], longest: int) -> FloatArray:
        """Return the mean of what is observed of each unit, 0 where nothing is."""
        total, count = np.zeros(self._X.shape[0]), np.zeros(self._X.shape[0])
        for start, stop in epochs:
            for first in range(start, stop, longest):
                block, hidden = self._block(np.arange(first, min(first + longest, stop)))
                total += np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
                gone = 0 if hidden is None else np.asarray(hidden.sum(axis=1)).ravel()
                count += block.shape[1] - gone
        if not count.any():
            raise DataError("all entries of the recording are hidden: there is nothing to test on")
        return total / np.maximum(count, 1.0)


def _plan(epochs: Sequence[tuple[int, int]], longest: int) -> list[list[tuple[int, int, int, int]]]:
    """Return pieces of at most `longest` frames: each (start and length of epoch, first, count)."""
    pieces: list[list[tuple[int, int, int, int]]] = [[]]
    room = longest
    for start, stop in epochs:
        length, first = stop - start, 0
        while first < length:
            if room == 0:
                pieces.append([])
                room = longest
            count = min(room, length - first)
            pieces[-1].append((start, length, first, count))
            first, room = first + count, room - count
    return pieces


def _frames(X: Any, frames: IntArray) -> Any:
    """Return some frames, which come in runs of neighbours."""
    if isinstance(X, np.ndarray):
        return X[:, frames]
    if sp.issparse(X):
        return X[:, frames].tocsr()
    cuts = np.flatnonzero(np.diff(frames) != 1) + 1
    runs = np.split(frames, cuts)
    parts = [X.frames(int(run[0]), int(run[-1]) + 1) for run in runs]
    return sp.hstack(parts, "csr") if sp.issparse(parts[0]) else np.concatenate(parts, axis=1)


def _blanked(block: Any, hidden: sp.csc_matrix) -> Any:
    """Return frames of their own with zeros at hidden entries, not stored if they are sparse."""
    if not sp.issparse(block):
        block = np.array(block)
        block[hidden.nonzero()] = 0
        return block
    table = block.tocoo()
    inside = np.asarray(hidden[table.row, table.col]).reshape(-1)
    kept = (table.data[~inside], (table.row[~inside], table.col[~inside]))
    return sp.csr_matrix(kept, shape=block.shape)


def _filled(block: Any, hidden: sp.csc_matrix, means: FloatArray) -> Any:
    """Return frames, zero at hidden entries, with the mean of the unit there."""
    rows, columns = hidden.nonzero()
    values = means[rows].astype(block.dtype)
    if sp.issparse(block):
        if block.nnz + len(rows) <= _DENSE * block.shape[0] * block.shape[1]:
            return (block + sp.csr_matrix((values, (rows, columns)), shape=block.shape)).tocsr()
        block = block.toarray()
    block[rows, columns] = values
    return block


def _observed_later(hidden: sp.csc_matrix, n_lags: int) -> BoolArray:
    """Return at which frames something is observed there or in the L - 1 frames behind."""
    n_units, n_frames = hidden.shape
    gone = np.asarray(hidden.sum(axis=0)).ravel() == n_units
    total = np.concatenate(([0], np.cumsum(gone)))
    ends = np.minimum(np.arange(n_frames) + n_lags, n_frames)
    found: BoolArray = total[ends] - total[:-1] < n_lags
    return found


def _check(block: Any) -> None:
    values = block.data if sp.issparse(block) else block
    # NaN is not above 0 either
    if values.size and not (float(values.min()) >= 0 and float(values.max()) < np.inf):
        raise DataError(
            "the recording has values that are negative, NaN or infinite: clip, fill or drop them, "
            "or hide them (mask, or missing='hide' for NaN)"
        )


def rotated(rotations: Rotations) -> Array:
    """Return the motifs, n x L x copies, longest lag first, as products with data take them.

    Row i of copy b is moved lags[b, i] frames later; what leaves at the end comes in at the start.
    """
    motif = rotations.motif
    n, n_lags = motif.shape
    twice = np.concatenate((motif, motif), axis=1)
    starts = np.lib.stride_tricks.sliding_window_view(twice, n_lags, axis=1)[:, :, ::-1]
    copies = starts[np.arange(n)[:, None], n_lags - rotations.lags.T]
    return np.ascontiguousarray(copies.transpose(0, 2, 1))


def skewness_of(pieces: Pieces, rotations: Sequence[Rotations], n_threads: int) -> list[FloatArray]:
    """Return the skewness over time of the data seen through each copy, per set of copies.

    Only three moments are kept of what a motif sees of a piece.

    Parameters
    ----------
    pieces
        The recording.
    rotations
        The copies, of several factors.
    n_threads
        Threads, each with a part of the copies; the bits do not depend on it.
    """
    parts = [(i, part) for i, whole in enumerate(rotations) for part in whole.cut()]
    totals: list[Moments | None] = [None] * len(parts)
    with single_thread_blas():
        for piece in range(len(pieces)):
            block, wanted = pieces.read(piece)
            tasks = [partial(_moments, block, wanted, part) for _, part in parts]
            for i, found in enumerate(run_tasks(n_threads, tasks)):
                before = totals[i]
                totals[i] = found if before is None else before + found
    values: list[list[FloatArray]] = [[] for _ in rotations]
    for (i, _), moments in zip(parts, totals, strict=True):
        if moments is not None:
            values[i].append(moments.skewness(pieces.precision))
    return [np.concatenate(found) if found else np.zeros(0) for found in values]


def _moments(block: Any, wanted: BoolArray, rotations: Rotations) -> Moments:
    rows = block if len(rotations.units) == block.shape[0] else block[rotations.units]
    motifs = rotated(rotations).astype(block.dtype, copy=False)
    n_frames, n_lags = rows.shape[1], motifs.shape[1]
    timeline = Timeline(((0, n_frames),), n_frames, n_lags)
    raster = make_raster(rows, timeline, dtype=block.dtype, backend="auto", n_threads=1)
    seen = raster.cross_activations(motifs)  # of the gaps around the frames, too
    first = int(timeline.starts[0])
    return moments_of(seen[first : first + n_frames][wanted])
