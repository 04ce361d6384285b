"""Lag Grams: everything of the updates that does not touch the data, in float64.

With motifs W_l (N x K) and activations H (K x T, zero in the gaps), the model Xhat is never formed:

    G_d = sum over l - l' = d of W_l^T W_l'         What[t] = sum over d of G_d H[t + d]
    C_d = sum over t of H[t] H[t - d]^T             (Xhat H^T)_l = sum over l' of W_l' C_{l - l'}
    ||Xhat||^2 = sum of W * (Xhat H^T)

Correlations over frames go block by block through the fast Fourier transform (overlap-save), so
their cost hardly depends on L. Motifs are N x L x K with the longest lag first, activations F x K.
Source: the lag-domain form of the updates in Smaragdis, Non-negative matrix factor deconvolution
(2004); the Gram form is ours.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from partwise.utils.threads import run_tasks

__all__ = ["MotifGram", "correlate_activations", "model_times_activations"]

Array = npt.NDArray[Any]

#: Blocks of frames that one task transforms at once.
_BLOCKS = 16
#: Units of one task.
_UNITS = 100
#: Frames below which one thread does it all.
_SMALL = 16_384


def block_length(n_lags: int, n_frames: int) -> int:
    """Return the length of the transforms of blocks: long against L, short against the cache."""
    reach = 2 * n_lags - 2
    wanted = min(max(8 * n_lags, 1024), n_frames + reach)
    return int(scipy.fft.next_fast_len(max(wanted, 2 * reach + 1, 8), real=True))


class MotifGram:
    """The lag Gram G of motifs.

    Parameters
    ----------
    motifs
        N x L x K, longest lag first.

    Attributes
    ----------
    lags
        G_d for d = -(L - 1)..L - 1, (2 L - 1) x K x K.
    partial
        What coordinate descent keeps with it, once it needed it (see `_hals`).
    """

    partial: Array | None = None

    def __init__(self, motifs: Array, n_threads: int = 1) -> None:
        self.n_lags, self.k = motifs.shape[1:]
        n = int(scipy.fft.next_fast_len(2 * self.n_lags - 1, real=True))

        def task(first: int, last: int) -> Array:
            spectrum = _lag_spectrum(motifs[first:last], n)  # f x N x K
            product: Array = np.matmul(spectrum.conj().transpose(0, 2, 1), spectrum)
            return product

        power = sum(_run(task, len(motifs), n_threads, _UNITS))
        # d < 0 wraps around to the end
        lags = scipy.fft.irfft(np.asarray(power), n, axis=0)
        count = self.n_lags
        self.lags: Array = np.concatenate((lags[n - count + 1 :], lags[:count]))

    def apply(self, activations: Array, n_threads: int = 1) -> Array:
        """Return What, F x K float64: the model seen through the motifs, as if gaps were data."""
        n_frames, k = activations.shape
        reach = self.n_lags - 1
        n = block_length(self.n_lags, n_frames)
        step = n - 2 * reach
        n_blocks = -(-n_frames // step)
        # a correlation: the kernel runs backwards
        kernel = scipy.fft.rfft(self.lags[::-1], n, axis=0).transpose(0, 2, 1)
        out = np.empty((n_blocks * step, k))

        def task(first: int, last: int) -> None:
            rows = _stretch(activations, first * step - reach, last * step + reach)
            spectrum = scipy.fft.rfft(_windows(rows, last - first, step, n), axis=1)
            seen = np.matmul(spectrum.transpose(1, 0, 2), kernel)  # f x b x K
            back = scipy.fft.irfft(seen, n, axis=0)[2 * reach :]
            part = out[first * step : last * step].reshape(last - first, step, k)
            part[:] = back.transpose(1, 0, 2)

        _run(task, n_blocks, 1 if n_frames < _SMALL else n_threads)
        return out[:n_frames]


def correlate_activations(activations: Array, n_lags: int, n_threads: int = 1) -> Array:
    """Return C_d for d = 0..L - 1, L x K x K float64; C_{-d} is the transpose of C_d."""
    n_frames = len(activations)
    reach = n_lags - 1
    n = block_length(n_lags, n_frames)
    step = n - 2 * reach
    n_blocks = -(-n_frames // step)

    def task(first: int, last: int) -> Array:
        # each block's own frames against those up to L - 1 frames before them
        rows = _stretch(activations, first * step - reach, last * step)
        late = _windows(rows[reach:], last - first, step, step)
        both = _windows(rows, last - first, step, step + reach)
        a = scipy.fft.rfft(late, n, axis=1).transpose(1, 2, 0)
        b = scipy.fft.rfft(both, n, axis=1).transpose(1, 0, 2)
        product: Array = np.matmul(a, b.conj())
        return product

    total = sum(_run(task, n_blocks, 1 if n_frames < _SMALL else n_threads))
    # frame s of a block lies at s in `late` and at s + reach in `both`: lag d at d - reach
    lags = scipy.fft.irfft(np.asarray(total), n, axis=0)
    found: Array = np.take(lags, (np.arange(n_lags) - reach) % n, axis=0)
    return found


def model_times_activations(motifs: Array, correlations: Array, n_threads: int = 1) -> Array:
    """Return Xhat H^T, N x L x K float64, longest lag first, as if gaps were data.

    Parameters
    ----------
    motifs
        N x L x K.
    correlations
        What `correlate_activations` gave.
    """
    n_lags = motifs.shape[1]
    n = int(scipy.fft.next_fast_len(2 * n_lags - 1, real=True))
    # with the longest lag first, place i is lag L - 1 - i: l - l' = i' - i
    kernel = np.zeros((n, *correlations.shape[1:]))
    kernel[:n_lags] = correlations.transpose(0, 2, 1)
    kernel[n - n_lags + 1 :] = correlations[:0:-1]
    spectrum = scipy.fft.rfft(kernel, axis=0)
    found = np.empty(motifs.shape)

    def task(first: int, last: int) -> None:
        seen = np.matmul(_lag_spectrum(motifs[first:last], n), spectrum)
        found[first:last] = scipy.fft.irfft(seen, n, axis=0)[:n_lags].transpose(1, 0, 2)

    _run(task, len(motifs), n_threads, _UNITS)
    return found


def _lag_spectrum(motifs: Array, n: int) -> Array:
    """Return the transform of motifs along their lags, f x N x K."""
    by_lag = np.ascontiguousarray(motifs.transpose(1, 0, 2), dtype=np.float64)
    return np.asarray(scipy.fft.rfft(by_lag, n, axis=0))


def _stretch(rows: Array, first: int, last: int) -> Array:
    """Return the rows first..last as float64; zeros outside."""
    out = np.zeros((last - first, rows.shape[1]))
    low, high = max(first, 0), min(last, len(rows))
    out[low - first : high - first] = rows[low:high]
    return out


def _windows(rows: Array, count: int, step: int, length: int) -> Array:
    """Return overlapping pieces of rows, count x length x K, without a copy."""
    stride = rows.strides[0]
    shape = (count, length, rows.shape[1])
    strides = (step * stride, stride, rows.strides[1])
    return np.lib.stride_tricks.as_strided(rows, shape, strides, writeable=False)


def _run(task: Any, count: int, n_threads: int, size: int = _BLOCKS) -> list[Any]:
    """Run a task for each group of about `size` blocks, or units; results in order.

    Groups are even in size and number, so that two threads end together.
    """
    groups = min(2 * -(-count // (2 * size)), count)
    cuts = [count * i // groups for i in range(groups + 1)]
    return run_tasks(n_threads, [partial(task, a, b) for a, b in itertools.pairwise(cuts)])
