"""What the model says where there are no data: in the gaps between epochs, and at hidden entries.

Lag Grams count every inner frame and every unit. Entries that are not data have to be taken out
again: the model's values there, pushed through the same two products as the data, are subtracted
from the denominators of the updates, and their squares from the error. So hidden entries are left
out exactly, not imputed, and their values cannot influence anything.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.sequences._gap_grams import activation_gram, motif_gram, pays
from partwise.sequences._raster import Entries, Windows
from partwise.sequences._timeline import Timeline
from partwise.utils.threads import run_tasks

__all__ = ["Missing", "Unseen"]

Array = npt.NDArray[Any]

#: Numbers in the windows of gaps that are copied at once.
_ROOM = 4_000_000
#: Multiplications below which one thread does the work at once; columns of one task.
_SMALL = 2_000_000
_COLUMNS = 64


class Missing:
    """Which inner entries are not data.

    Parameters
    ----------
    timeline
        Epochs and gaps.
    hidden
        Hidden entries over the inner frames, N x F; None if there are none.
    n_threads
        Threads at most.
    """

    def __init__(self, timeline: Timeline, hidden: sp.csr_matrix | None, n_threads: int) -> None:
        self.timeline, self.n_threads = timeline, n_threads
        #: gap frames, (epochs + 1) x (L - 1)
        firsts = np.concatenate(([0], timeline.ends))
        self.gaps: Array = firsts[:, None] + np.arange(timeline.n_lags - 1)[None, :]
        self.entries: Entries | None = None
        self.order: Array = np.empty(0, np.int64)
        if hidden is not None and hidden.nnz:
            # numbered by unit, so that the order by frame can be read off
            numbers = np.arange(hidden.nnz, dtype=np.float64)
            hidden.sort_indices()
            numbered = sp.csr_matrix((numbers, hidden.indices, hidden.indptr), shape=hidden.shape)
            self.entries = Entries(numbered, np.dtype(np.float64))
            self.order = self.entries.frame_values.astype(np.int64)

    @property
    def n_hidden(self) -> int:
        """Hidden entries."""
        return 0 if self.entries is None else self.entries.nnz

    @property
    def empty(self) -> bool:
        """Whether nothing has to be taken out."""
        return self.gaps.size == 0 and self.entries is None

    def model(self, motifs: Array, activations: Array) -> Unseen:
        """Return what motifs and activations predict where there are no data."""
        return Unseen(self, motifs, activations)


class Unseen:
    """The model's values where there are no data, float64."""

    def __init__(self, missing: Missing, motifs: Array, activations: Array) -> None:
        self._missing = missing
        n, n_lags, k = motifs.shape
        self._windows = Windows(n_lags, k, np.dtype(np.float64))
        self._motifs = motifs.astype(np.float64, copy=False).reshape(n, -1)
        self._rows = activations
        #: groups of gaps whose windows are copied together; kept if it is only one
        self._groups: list[Array] = []
        self._kept: Array | None = None
        self._around: Array | None = None
        self._behind: Array | None = None
        self._gaps: Array = np.zeros((0, n))
        if pays(n, len(missing.gaps), n_lags, k):
            self._around = self._frames_around(missing.gaps)
        else:
            self._predict_gaps()
        self._values: Array | None = None
        if missing.entries is not None:
            self._activations = activations.astype(np.float64, copy=False)
            self._values = missing.entries.predict(
                self._motifs.reshape(motifs.shape), self._activations, self._windows,
                missing.n_threads,
            )  # fmt: skip

    def _predict_gaps(self) -> None:
        """Set the model's values in the gaps, gap frames x N."""
        gaps = self._missing.gaps
        self._groups = _groups(gaps, self._windows.size)
        if len(self._groups) == 1:
            self._kept = self._gap_windows(gaps)
        parts = [self._product(self._starts(some), self._motifs.T) for some in self._groups]
        if parts:
            self._gaps = np.concatenate(parts)

    def _through_gaps(self, around: Array) -> Array:
        """Return the gaps' values seen through the motifs, from Grams; as `around`."""
        if self._behind is None:
            windows = self._windows
            gram = motif_gram(self._motifs.reshape(-1, windows.n_lags, windows.k))
            self._behind = (around.reshape(len(around), -1) @ gram).reshape(around.shape)
        return self._behind

    @property
    def square(self) -> float:
        """Sum of squares of the values."""
        total = float(np.vdot(self._gaps, self._gaps))
        if self._around is not None:
            total += float(np.vdot(self._around, self._through_gaps(self._around)))
        if self._values is not None:
            total += float(self._values @ self._values)
        return total

    def leave_activations(self, seen: Array) -> None:
        """Take from What (F x K) what the values added to it."""
        missing, windows = self._missing, self._windows
        n_lags, k = windows.n_lags, windows.k
        done = 0
        for gaps in self._groups:
            count, length = gaps.shape
            values = self._gaps[done : done + gaps.size]
            rows = self._product(values, self._motifs).reshape(count, length, n_lags, k)
            around = np.zeros((count, 2 * length, k))
            for i in range(length):
                around[:, i : i + n_lags] += rows[:, i]
            _take_away(seen, gaps, around)
            done += gaps.size
        if self._around is not None:
            _take_away(seen, missing.gaps, self._through_gaps(self._around))
        if self._values is not None and missing.entries is not None:
            motifs = self._motifs.reshape(-1, n_lags, k)
            values = self._values[missing.order]
            seen -= missing.entries.spread(motifs, windows, missing.n_threads, values)

    def leave_motifs(self, seen: Array) -> None:
        """Take from Xhat H^T (N x L x K) what the values added to it."""
        missing, windows = self._missing, self._windows
        done = 0
        for gaps in self._groups:
            values = self._gaps[done : done + gaps.size]
            seen -= self._product(values.T, self._starts(gaps)).reshape(seen.shape)
            done += gaps.size
        if self._around is not None:
            gram = activation_gram(self._around, windows.n_lags)
            seen -= self._product(self._motifs, gram).reshape(seen.shape)
        if self._values is not None and missing.entries is not None:
            entries = missing.entries
            seen -= entries.collect(self._activations, windows, missing.n_threads, self._values)

    def _product(self, a: Array, b: Array) -> Array:
        """Return a @ b; some columns at a time, which threads share, if it is large."""
        if a.size * b.shape[1] < _SMALL:
            return np.asarray(a @ b)
        out = np.empty((a.shape[0], b.shape[1]))

        def task(first: int) -> None:
            np.matmul(a, b[:, first : first + _COLUMNS], out=out[:, first : first + _COLUMNS])

        tasks = [partial(task, first) for first in range(0, b.shape[1], _COLUMNS)]
        run_tasks(self._missing.n_threads, tasks)
        return out

    def _starts(self, gaps: Array) -> Array:
        return self._gap_windows(gaps) if self._kept is None else self._kept

    def _frames_around(self, gaps: Array) -> Array:
        """Return the activations in some gaps and as far before them, gaps x (2 L - 2) x K."""
        length = gaps.shape[1]
        frames = gaps[:, :1] - length + np.arange(2 * length)
        around: Array = self._rows[np.maximum(frames, 0)].astype(np.float64)
        around[frames < 0] = 0
        return around

    def _gap_windows(self, gaps: Array) -> Array:
        """Return the windows of the activations in some gaps, gap frames x L K."""
        around = self._frames_around(gaps)
        shape = (*gaps.shape, self._windows.size)
        strides = around.strides
        view = np.lib.stride_tricks.as_strided(around, shape, strides)
        return np.asarray(view.reshape(-1, self._windows.size))


def _take_away(seen: Array, gaps: Array, around: Array) -> None:
    """Subtract what was found for the frames around gaps."""
    length = gaps.shape[1]
    frames = (gaps[:, :1] - length + np.arange(2 * length)).reshape(-1)
    inside = frames >= 0
    # gaps may be nearer to each other than their windows are long
    np.subtract.at(seen, frames[inside], around.reshape(len(frames), -1)[inside])


def _groups(gaps: Array, size: int) -> list[Array]:
    """Cut gaps into groups whose windows have a bounded size."""
    if not gaps.size:
        return []
    some = max(1, _ROOM // (gaps.shape[1] * size))
    return [gaps[first : first + some] for first in range(0, len(gaps), some)]
