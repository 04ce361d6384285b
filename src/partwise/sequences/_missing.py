"""What the model says where there are no data: in the gaps between epochs, and at hidden entries.

Lag Grams count every inner frame and every unit. Entries that are not data have to be taken out
again: the model's values there, pushed through the same two products as the data, are subtracted
from the denominators of the updates, and their squares from the error. So hidden entries are left
out exactly, not imputed, and their values cannot influence anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.sequences._raster import Entries, Windows
from partwise.sequences._timeline import Timeline

__all__ = ["Missing", "Unseen"]

Array = npt.NDArray[Any]

#: Numbers in the windows of gaps that are copied at once.
_ROOM = 4_000_000


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
        return Unseen(self, motifs.astype(np.float64), activations.astype(np.float64))


class Unseen:
    """The model's values where there are no data, float64."""

    def __init__(self, missing: Missing, motifs: Array, activations: Array) -> None:
        self._missing = missing
        self._windows = Windows(motifs.shape[1], motifs.shape[2], np.dtype(np.float64))
        self._activations = activations
        self._values: Array | None = None
        flat = motifs.reshape(len(motifs), -1)
        parts = [windows @ flat.T for _, windows in self._gap_windows(activations)]
        self._gaps = np.concatenate(parts) if parts else np.zeros((0, len(motifs)))
        if missing.entries is not None:
            self._values = missing.entries.predict(
                motifs, activations, self._windows, missing.n_threads
            )

    @property
    def square(self) -> float:
        """Sum of squares of the values."""
        total = float(np.vdot(self._gaps, self._gaps))
        if self._values is not None:
            total += float(self._values @ self._values)
        return total

    def cross_activations(self, motifs: Array) -> Array:
        """Return what the values add to What, F x K."""
        missing, windows = self._missing, self._windows
        timeline = missing.timeline
        motifs = motifs.astype(np.float64)
        flat = motifs.reshape(len(motifs), -1)
        buffer = windows.buffer(timeline.n_frames)
        view = self._all_windows(buffer)
        at = 0
        for gaps, _ in self._gap_windows(None):
            rows = (self._gaps[at : at + gaps.size] @ flat).reshape(*gaps.shape, -1)
            for i in range(gaps.shape[1]):
                # windows of one place in the gap of each epoch never overlap
                view[gaps[:, i]] += rows[:, i]
            at += gaps.size
        lead = (windows.n_lags - 1) * windows.k
        size = timeline.n_frames * windows.k
        total: Array = buffer[lead : lead + size].reshape(timeline.n_frames, windows.k)
        if self._values is not None and missing.entries is not None:
            values = self._values[missing.order]
            total = total + missing.entries.spread(motifs, windows, missing.n_threads, values)
        return total

    def cross_motifs(self, activations: Array) -> Array:
        """Return what the values add to Xhat H^T, N x L x K."""
        missing, windows = self._missing, self._windows
        activations = activations.astype(np.float64)
        total = np.zeros((self._gaps.shape[1], windows.size))
        at = 0
        for gaps, starts in self._gap_windows(activations):
            total += self._gaps[at : at + gaps.size].T @ starts
            at += gaps.size
        found: Array = total.reshape(-1, windows.n_lags, windows.k)
        if self._values is not None and missing.entries is not None:
            entries = missing.entries
            found = found + entries.collect(activations, windows, missing.n_threads, self._values)
        return found

    def _gap_windows(self, activations: Array | None) -> Any:
        """Yield (gap frames of some epochs, the activations' windows there)."""
        gaps = self._missing.gaps
        if not gaps.size:
            return
        framed = None if activations is None else self._windows.framed(activations)
        some = max(1, _ROOM // (gaps.shape[1] * self._windows.size))
        for first in range(0, len(gaps), some):
            part = gaps[first : first + some]
            rows = None if framed is None else self._all_windows(framed)[part.reshape(-1)]
            yield part, rows

    def _all_windows(self, buffer: Array) -> Array:
        """Return a view of a buffer that has a row per frame: its window."""
        windows = self._windows
        shape = (self._missing.timeline.n_frames, windows.size)
        strides = (windows.k * buffer.itemsize, buffer.itemsize)
        return np.lib.stride_tricks.as_strided(buffer, shape, strides)
