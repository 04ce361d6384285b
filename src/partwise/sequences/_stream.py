"""Dense recordings that do not fit into memory: frames are read again for every product.

A pass reads the inner frames in the pieces that the dense backends work on, so that what it gives
is bit by bit what the same backend gives with all frames in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.sequences._timeline import Timeline
from partwise.sequences.sources import FrameSource

__all__ = ["Scan", "Streamed", "chunks", "scan"]

Array = npt.NDArray[Any]

#: Numbers of a recording on disk that are read at once.
_CHUNK = 4_000_000

#: What refuses bad values of a piece of the recording, and returns its hidden entries:
#: (values, hidden entries, first frame) -> hidden entries.
Check = Callable[[Any, "sp.csr_matrix | None", int], "sp.csr_matrix | None"]


class Scan(NamedTuple):
    """What one pass over a recording finds."""

    hidden: sp.csr_matrix | None
    largest: float  #: within the epochs


def chunks(source: FrameSource) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of pieces of a recording that are read at once."""
    n_units, n_frames = source.shape
    step = max(1, _CHUNK // max(n_units, 1))
    for start in range(0, n_frames, step):
        yield start, min(start + step, n_frames)


def scan(
    source: FrameSource, timeline: Timeline, hidden: sp.csr_matrix | None, check: Check
) -> Scan:
    """Look at all values once: refuse bad ones, find hidden ones and the largest."""
    columns = None if hidden is None else hidden.tocsc()
    found: list[Any] = []
    largest = 0.0
    for start, stop in chunks(source):
        part = _dense(source.frames(start, stop))
        here = None if columns is None else columns[:, start:stop].tocsr()
        here = check(part, here, start)
        if here is None:
            here = sp.csr_matrix(part.shape, dtype=bool)
        found.append(here.tocsc())
        used = np.where(timeline.inner(np.arange(start, stop)) >= 0)[0]
        values = part[:, used]
        values[here.tocsc()[:, used].nonzero()] = 0
        largest = max(largest, float(values.max(initial=0.0)))
    together = sp.hstack(found, format="csr").astype(bool)
    return Scan(together if together.nnz else None, largest)


class Streamed:
    """The inner frames of a recording on disk, F x N: sliced like an array, read when sliced.

    Parameters
    ----------
    source
        The recording, N x T.
    timeline
        Its epochs.
    hidden
        Entries that are read as zero.
    dtype
        float32 or float64.
    exponent
        Values are multiplied by two to this power.
    """

    def __init__(
        self,
        source: FrameSource,
        timeline: Timeline,
        hidden: sp.csr_matrix | None,
        dtype: np.dtype[Any],
        exponent: int,
    ) -> None:
        self._source, self._timeline = source, timeline
        self._hidden = None if hidden is None else hidden.tocsc()
        self._dtype, self._exponent = np.dtype(dtype), exponent
        self._lock = threading.Lock()  # files are read by one thread at a time
        self.shape = (timeline.n_frames, source.shape[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: slice) -> Array:
        """Return the inner frames start..stop, (stop - start) x N; zeros in the gaps."""
        first, last, _ = where.indices(self.shape[0])
        rows = np.zeros((max(last - first, 0), self.shape[1]), self._dtype)
        timeline = self._timeline
        for (start, _), begin, end in zip(
            timeline.epochs, timeline.starts, timeline.ends, strict=True
        ):
            low, high = max(first, int(begin)), min(last, int(end))
            if low < high:
                values = self._read(start + low - int(begin), start + high - int(begin))
                rows[low - first : high - first] = values.T
        return rows

    def _read(self, start: int, stop: int) -> Array:
        with self._lock:
            values = _dense(self._source.frames(start, stop)).astype(self._dtype)
        if self._hidden is not None:
            values[self._hidden[:, start:stop].nonzero()] = 0
        return np.ldexp(values, self._exponent) if self._exponent else values


def _dense(part: Any) -> Array:
    """Return frames as an array of their own."""
    return np.array(part.toarray() if sp.issparse(part) else part)
