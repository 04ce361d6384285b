"""Dense data of a fit: products with all lags, or blocks through the Fourier transform.

Both give what `SparseRaster` gives. The direct way costs 2 N F K L flops per product, as matrix
products with all lags; the transform about 8 N F K, whatever L is, with those of the data kept.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from partwise.sequences._grams import block_length
from partwise.sequences._stream import Streamed
from partwise.sequences._timeline import Timeline
from partwise.utils.threads import run_tasks

__all__ = ["DirectRaster", "FourierRaster", "transform_length"]

Array = npt.NDArray[Any]

#: Frames of one task of the direct way, and of one of its products; they depend on the data only.
_LANE_FRAMES = 4096
_PIECE = 512
#: Blocks of one task of the transform.
_BLOCKS = 8
#: Frames below which one thread does it all.
_SMALL = 8_192


class _DenseRaster:
    """What the two have in common.

    Parameters
    ----------
    x
        N x T, non-negative; or frames that are read when they are needed.
    timeline
        Its epochs.
    dtype
        float32 or float64.
    n_threads
        Threads at most.
    """

    name = "dense"

    def __init__(
        self, x: Array | Streamed, timeline: Timeline, dtype: np.dtype[Any], n_threads: int
    ) -> None:
        self.timeline, self.dtype = timeline, np.dtype(dtype)
        self._n_threads = 1 if timeline.n_frames < _SMALL else n_threads
        self.total, self.largest = 0.0, 0.0
        rows: Array | Streamed
        if isinstance(x, Streamed):
            rows = x
        else:
            rows = np.ascontiguousarray(timeline.take(x.T), dtype=self.dtype)
        self.n_units = int(rows.shape[1])
        for first, last in self._lanes():
            part = rows[first:last]
            self.total += float(np.einsum("tn,tn->", part, part, dtype=np.float64))
            self.largest = max(self.largest, float(part.max(initial=0.0)))
        self._keep(rows)

    def _lanes(self) -> list[tuple[int, int]]:
        n = self.timeline.n_frames
        return [(a, min(a + _LANE_FRAMES, n)) for a in range(0, n, _LANE_FRAMES)]

    def _keep(self, rows: Array | Streamed) -> None:
        """Store the inner frames, F x N."""
        raise NotImplementedError


class DirectRaster(_DenseRaster):
    """Dense data as they are: one matrix product with all lags at once per piece of frames."""

    name = "direct"

    def _keep(self, rows: Array | Streamed) -> None:
        self._rows = rows

    def cross_activations(self, motifs: Array) -> Array:
        """Return Z, F x K; see `Raster`."""
        n_lags, k = motifs.shape[1:]
        flat = motifs.reshape(self.n_units, -1)
        reach = n_lags - 1

        def lane(first: int, last: int) -> Array:
            # row s + i gets what the data of frame s say of a start i - (L - 1) frames later
            out = np.zeros((last - first + reach, k), self.dtype)
            rows = self._rows[first:last]
            for begin in range(0, last - first, _PIECE):
                piece = rows[begin : begin + _PIECE]
                parts = (piece @ flat).reshape(-1, n_lags, k)
                for i in range(n_lags):
                    out[begin + i : begin + i + len(piece)] += parts[:, i]
            return out

        found = run_tasks(self._n_threads, [partial(lane, a, b) for a, b in self._lanes()])
        total = np.zeros((self.timeline.n_frames + reach, k), self.dtype)
        for (first, last), part in zip(self._lanes(), found, strict=True):
            total[first : last + reach] += part
        z = total[reach:]
        z[~self.timeline.active] = 0
        return z

    def cross_motifs(self, activations: Array) -> Array:
        """Return A, N x L x K; see `Raster`."""
        n_lags, k = self.timeline.n_lags, activations.shape[1]
        framed = np.zeros((n_lags - 1 + len(activations), k), self.dtype)
        framed[n_lags - 1 :] = activations
        step = framed.strides[0]
        shape = (len(activations), n_lags * k)
        windows = np.lib.stride_tricks.as_strided(framed, shape, (step, framed.itemsize))

        def lane(first: int, last: int) -> Array:
            found = np.zeros((self.n_units, n_lags * k), self.dtype)
            rows = self._rows[first:last]
            for begin in range(first, last, _PIECE):
                end = min(begin + _PIECE, last)
                starts = np.ascontiguousarray(windows[begin:end])
                found += rows[begin - first : end - first].T @ starts
            return found

        parts = run_tasks(self._n_threads, [partial(lane, a, b) for a, b in self._lanes()])
        total: Array = sum(parts[1:], parts[0]).reshape(self.n_units, n_lags, k)
        return total


class FourierRaster(_DenseRaster):
    """Dense data as transforms of overlapping blocks of frames: the cost is that of one lag."""

    name = "fft"

    def _keep(self, rows: Array | Streamed) -> None:
        n_frames = len(rows)
        # transforms of about four windows: long ones would fill the cache, short ones overlap more
        self._n = transform_length(self.timeline.n_lags, n_frames)
        self._step = self._n - (self.timeline.n_lags - 1)
        self._count = -(-n_frames // self._step)
        self._rows = rows
        #: block x frequency x unit; None if they are made again each time
        self._kept: Array | None = None
        if not isinstance(rows, Streamed):
            kind = np.complex64 if self.dtype == np.float32 else np.complex128
            kept = np.empty((self._count, self._n // 2 + 1, self.n_units), kind)
            for first, last in self._tasks():
                kept[first:last] = self._blocks(first, last)
            self._kept = kept
            self._rows = rows[:0]  # no longer needed

    def _blocks(self, first: int, last: int) -> Array:
        """Return the transforms of some blocks, block x frequency x unit."""
        if self._kept is not None:
            return self._kept[first:last]
        rows = self._rows[first * self._step : (last - 1) * self._step + self._n]
        padded = np.zeros(((last - 1 - first) * self._step + self._n, self.n_units), self.dtype)
        padded[: len(rows)] = rows
        places = [b * self._step for b in range(last - first)]
        return np.stack([scipy.fft.rfft(padded[p : p + self._n], axis=0) for p in places])

    def cross_activations(self, motifs: Array) -> Array:
        """Return Z, F x K; see `Raster`."""
        _n_lags, k = motifs.shape[1:]
        by_lag = np.ascontiguousarray(motifs.transpose(1, 0, 2)[::-1])
        kernel = scipy.fft.rfft(by_lag, self._n, axis=0).conj()  # f x N x K
        z = np.empty((self._count * self._step, k), self.dtype)

        def task(first: int, last: int) -> None:
            seen = np.matmul(self._blocks(first, last).transpose(1, 0, 2), kernel)  # f x b x K
            back = scipy.fft.irfft(seen, self._n, axis=0)[: self._step]
            part = z[first * self._step : last * self._step].reshape(last - first, self._step, k)
            part[:] = back.transpose(1, 0, 2)

        run_tasks(self._n_threads, [partial(task, a, b) for a, b in self._tasks()])
        z = z[: self.timeline.n_frames]
        z[~self.timeline.active] = 0
        return np.maximum(z, 0, out=z)

    def cross_motifs(self, activations: Array) -> Array:
        """Return A, N x L x K; see `Raster`."""
        n_lags, k = self.timeline.n_lags, activations.shape[1]
        padded = np.zeros((self._count * self._step, k), self.dtype)
        padded[: len(activations)] = activations
        starts = padded.reshape(self._count, self._step, k)

        def task(first: int, last: int) -> Array:
            h = scipy.fft.rfft(starts[first:last], self._n, axis=1).conj()  # b x f x K
            x = self._blocks(first, last).transpose(1, 2, 0)  # f x N x b
            product: Array = np.matmul(x, h.transpose(1, 0, 2))
            return product

        parts = run_tasks(self._n_threads, [partial(task, a, b) for a, b in self._tasks()])
        found = scipy.fft.irfft(sum(parts[1:], parts[0]), self._n, axis=0)[:n_lags][::-1]
        found = np.ascontiguousarray(found.transpose(1, 0, 2))
        products: Array = np.maximum(found, 0, out=found)
        return products

    def _tasks(self) -> list[tuple[int, int]]:
        n = self._count
        return [(a, min(a + _BLOCKS, n)) for a in range(0, n, _BLOCKS)]


def transform_length(n_lags: int, n_frames: int) -> int:
    """Return the length of the transforms of blocks of data."""
    longest = int(scipy.fft.next_fast_len(max(512, 4 * (n_lags - 1)), real=True))
    return min(block_length(n_lags, n_frames), longest)
