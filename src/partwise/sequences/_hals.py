"""Coordinate descent (HALS) in the lag-Gram form, without the cross terms of the penalties.

Given the gradient at the present state, sweeps over the activations need only the lag Gram of the
motifs, sweeps over the motifs only the correlations of the activations: each number in turn is
brought to its best value. Entries that are not data take part as if the data there were what the
model says at the start of the update (expectation-maximisation): the gradient is that of the
observed entries, the Grams are those of all, which bounds the loss from above, so that a sweep
cannot raise it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.kernels import lag_descent
from partwise.matrix.thin import aligned_zeros
from partwise.sequences._gap_grams import pair_grams
from partwise.sequences._grams import MotifGram
from partwise.sequences._problem import Penalty, Problem, State
from partwise.sequences._raster import Windows
from partwise.sequences._timeline import ROOM, Timeline
from partwise.sequences._view import View
from partwise.utils.threads import run_tasks

__all__ = ["sweep_activations", "sweep_motifs", "update_activations", "update_motifs"]

Array = npt.NDArray[Any]

#: Frames of one task at least; tasks depend on the data only.
_BLOCK = 1024
#: Sum of squares of a motif, against that of the largest, below which it counts as empty.
_EMPTY = 1e-30
#: Numbers of the Grams of pairs of lags at most.
_LARGEST = 20_000_000
#: Units of one task.
_UNITS = 16
#: Numbers of a problem below which one thread does it all.
_SMALL = 100_000


def update_activations(
    problem: Problem, state: State, penalty: Penalty, view: View, free: Array, sweeps: int
) -> int:
    """Descend on the activations; the view is that of the state, and is used up.

    Penalties count at activations of norm one, for the factors that are free to change their scale:
    l1_motifs |W_k|_1 ||H_k|| + l1_activations |H_k|_1 / ||H_k||. The first is bounded from above by
    a square of H_k; of the second, that part is taken at its slope which keeps the scale.
    """
    gradient = view.below
    gradient -= view.above
    ridge = None
    if penalty.l1_activations or (penalty.l1_motifs and free.any()):
        norm = np.sqrt(np.einsum("tk,tk->k", state.activations, state.activations, dtype=float))
        norm[norm == 0] = 1.0
        mass = state.activations.sum(axis=0, dtype=np.float64)
        ridge = penalty.l1_motifs * state.motifs.sum(axis=(0, 1), dtype=np.float64) / norm * free
        slope = ridge - penalty.l1_activations * mass / norm**3 * free
        gradient += slope * state.activations
        gradient += penalty.l1_activations / np.where(free, norm, 1.0)
    return sweep_activations(
        problem.raster.timeline,
        state,
        view.gram,
        gradient,
        ridge=ridge,
        sweeps=sweeps,
        n_threads=problem.n_threads,
    )


def update_motifs(
    problem: Problem,
    state: State,
    penalty: Penalty,
    products: Array,
    correlations: Array,
    free: Array,
    sweeps: int,
) -> int:
    """Descend on the motifs, given X H^T and the correlations of the activations."""
    gradient = problem.model_cross_motifs(state, correlations)
    gradient -= products
    gradient += penalty.l1_motifs
    return sweep_motifs(
        state, correlations, gradient, free=free, sweeps=sweeps, n_threads=problem.n_threads
    )


def sweep_activations(
    timeline: Timeline,
    state: State,
    gram: MotifGram,
    gradient: Array,
    *,
    ridge: Array | None = None,
    sweeps: int = 1,
    n_threads: int = 1,
) -> int:
    """Descend on the activations; return how many times one was changed.

    Parameters
    ----------
    timeline, state
        Frames; motifs and activations, which are changed.
    gram
        The lag Gram of the motifs.
    gradient
        F x K, at the state, penalties included.
    ridge
        Curvature that the penalties add, K.
    sweeps
        Over each block of frames at most.
    n_threads
        Threads at most. Blocks of one colour are a block apart, so that their windows are apart.
    """
    n_lags, k = gram.n_lags, gram.k
    n_frames = timeline.n_frames
    dtype = state.activations.dtype
    windows = Windows(2 * n_lags - 1, k, dtype)
    lead = (n_lags - 1) * k
    more = np.zeros(k) if ridge is None else np.ascontiguousarray(ridge, np.float64)
    rows = _rows(gram, windows, more)
    if gram.partial is None:
        gram.partial = _partial_gram(state.motifs)
    near_ends = gram.partial
    buffer = aligned_zeros(n_frames * k + 2 * lead + ROOM, dtype)
    buffer[lead : lead + n_frames * k].reshape(n_frames, k)[:] = gradient
    values = state.activations.reshape(-1)

    def task(first: int, last: int) -> int:
        return lag_descent.descend_activations(
            windows.lanes, rows, more, near_ends, timeline.starts, timeline.ends,
            windows.n_chunks, n_lags, first, last, sweeps, buffer, values,
        )  # fmt: skip

    threads = 1 if n_frames * k < _SMALL else n_threads
    blocks = _blocks(int(timeline.ends[-1]), windows)
    changed = 0
    for colour in (0, 1):
        changed += sum(run_tasks(threads, [partial(task, a, b) for a, b in blocks[colour::2]]))
    return changed


def _rows(gram: MotifGram, windows: Windows, ridge: Array) -> Array:
    """Return what one of each factor adds to the gradient around, K rows of chunks, flat."""
    k, factors = gram.k, np.arange(gram.k)
    lead = (gram.n_lags - 1) * k
    flat = aligned_zeros(k * windows.n_chunks * windows.width, windows.dtype)
    rows = flat.reshape(k, -1)
    rows[:, : windows.size] = gram.lags[::-1].transpose(2, 0, 1).reshape(k, -1)
    rows[factors, lead + factors] += ridge
    square = gram.lags[gram.n_lags - 1, factors, factors]
    rows[square < _EMPTY * square.max()] = 0
    return flat


def _partial_gram(motifs: Array) -> Array:
    """Return Grams of pairs of lags, summed over earlier ones: [l, l'] has (l - m, l' - m), m >= 0.

    L x L x K x K. With it the ends of epochs are exact; where it would be too large, the values
    behind the ends are filled in like hidden ones, which only takes more iterations.
    """
    _, n_lags, k = motifs.shape
    if n_lags == 1 or (n_lags * k) ** 2 > _LARGEST:
        return np.zeros((0, 0, k, k))
    return pair_grams(motifs)


def _blocks(n_frames: int, windows: Windows) -> list[tuple[int, int]]:
    """Cut frames into blocks that reach no further than their neighbour."""
    size = max(_BLOCK, windows.n_lags + windows.width // windows.k + 1)
    return [(first, min(first + size, n_frames)) for first in range(0, n_frames, size)]


def sweep_motifs(
    state: State,
    correlations: Array,
    gradient: Array,
    *,
    free: Array,
    sweeps: int = 1,
    n_threads: int = 1,
) -> int:
    """Descend on the motifs; return how many times a number was changed.

    Parameters
    ----------
    state
        Motifs, which are changed, and activations.
    correlations
        C of the activations, L x K x K.
    gradient
        N x L x K, at the state, penalties included.
    free
        Which factors may change, K.
    sweeps
        Over each unit at most.
    n_threads
        Threads at most.
    """
    n, n_lags, k = state.motifs.shape
    dtype = state.motifs.dtype
    windows = Windows(n_lags, k, dtype)
    row = windows.n_chunks * windows.width
    both = np.concatenate((correlations[:0:-1].transpose(0, 2, 1), correlations))
    stride = (2 * n_lags - 1) * k
    rows = aligned_zeros(k * stride + windows.width, dtype)
    rows[: k * stride].reshape(k, stride)[:] = both.transpose(2, 0, 1).reshape(k, stride)
    buffer = aligned_zeros(n * row, dtype)
    buffer.reshape(n, row)[:, : windows.size] = gradient.reshape(n, -1)
    values = state.motifs.reshape(-1)
    flags = np.ascontiguousarray(free, dtype=np.bool_)

    def task(first: int, last: int) -> int:
        return lag_descent.descend_motifs(
            windows.lanes, rows, stride, windows.n_chunks, n_lags, k, flags, first, last, sweeps,
            buffer, values,
        )  # fmt: skip

    threads = 1 if n * windows.size < _SMALL else n_threads
    pieces = [(a, min(a + _UNITS, n)) for a in range(0, n, _UNITS)]
    return sum(run_tasks(threads, [partial(task, a, b) for a, b in pieces]))
