"""Skewness of motifs and of their rotated copies on one recording, piece by piece.

The ends of an epoch are joined: lag l of frame t reads frame t + l, counted around the epoch. So a
row of a motif that is rotated by r frames sees all the frames of its unit that it saw before, and
no null has more or fewer frames at the edges than the motif itself.
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

    Attributes
    ----------
    dtype, precision
        float64 if X is, else float32; the spacing of such numbers at 1.
    """

    def __init__(self, X: Any, epochs: Sequence[tuple[int, int]], n_lags: int) -> None:
        self._X = X.tocsc() if sp.issparse(X) else X
        kind = np.float64 if X.dtype == np.float64 else np.float32
        self.dtype = np.dtype(kind)
        self.precision = float(np.finfo(kind).eps)
        self._halo = n_lags - 1
        self._plan = _plan(epochs, max(_PIECE, _TIMES_LAGS * n_lags))

    def __len__(self) -> int:
        return len(self._plan)

    def read(self, piece: int) -> tuple[Any, BoolArray]:
        """Return frames (N x f, array or CSR matrix), and at which of them products are wanted."""
        frames, wanted = [], []
        for start, length, first, count in self._plan[piece]:
            frames.append(start + np.arange(first, first + count + self._halo) % length)
            wanted.append(np.arange(count + self._halo) < count)
        block = _frames(self._X, np.concatenate(frames))
        _check(block)
        if block.dtype != self.dtype:
            block = block.astype(self.dtype)
        return block, np.concatenate(wanted)


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


def _check(block: Any) -> None:
    values = block.data if sp.issparse(block) else block
    # NaN is not above 0 either
    if values.size and not (float(values.min()) >= 0 and float(values.max()) < np.inf):
        raise DataError(
            "the recording has values that are negative, NaN or infinite: clip, fill or drop them"
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
