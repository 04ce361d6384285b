"""Multiplicative updates, regularised, in the lag-Gram form.

    H <- H * Z / (What + lambda (1 - I) Z S + l1_H + ortho_H (1 - I) H S)
    W_l <- W_l * (X H_l^T) / (Xhat H_l^T + lambda X S H_l^T (1 - I) + l1_W + ortho_W Wflat (1 - I))

S sums over the 2 L - 1 frames around; (1 - I) sums over the other factors. (X S) H_l^T equals
X (H S)_l^T, so the data are never smoothed. Source: Mackevicius et al., eLife 8, e38471 (2019).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.kernels import lag_passes
from partwise.sequences._problem import Penalty, Problem, State, apart
from partwise.sequences._timeline import Timeline
from partwise.sequences._view import View, look
from partwise.utils.threads import run_tasks

__all__ = ["update_activations", "update_motifs"]

Array = npt.NDArray[Any]

#: Added to denominators; the data are scaled so that their largest value is about one.
EPS = float(np.finfo(np.float64).eps)
#: Numbers that one task passes over; tasks depend on the data only.
_TASK = 40_000


def update_activations(
    problem: Problem, state: State, penalty: Penalty, view: View | None = None
) -> None:
    """Multiply the activations once; `view` is that of the state, and is used up."""
    view = view or look(problem, state)
    timeline, n_threads = problem.raster.timeline, problem.n_threads
    if penalty.cross:
        add_others(timeline, view.above, penalty.cross, view.below, n_threads)
    if penalty.ortho_activations:
        weight = penalty.ortho_activations
        add_others(timeline, state.activations, weight, view.below, n_threads)
    _multiply(state.activations, view.above, view.below, penalty.l1_activations, n_threads)


def update_motifs(
    problem: Problem, state: State, penalty: Penalty, products: Array, correlations: Array
) -> None:
    """Multiply the motifs once, given X H^T and the correlations of the activations."""
    bottom = problem.model_cross_motifs(state, correlations)
    if penalty.cross and penalty.cross_motifs and state.motifs.shape[2] > 1:
        smooth = np.zeros_like(state.activations)
        add_others(problem.raster.timeline, state.activations, 1.0, smooth, problem.n_threads)
        bottom += penalty.cross * problem.raster.cross_motifs(smooth)
    if penalty.ortho_motifs:
        flat = state.motifs.sum(axis=1, dtype=np.float64)
        bottom += penalty.ortho_motifs * apart(flat)[:, None, :]
    _multiply(state.motifs, products, bottom, penalty.l1_motifs, problem.n_threads)


def add_others(
    timeline: Timeline, rows: Array, weight: float, out: Array, n_threads: int = 1
) -> None:
    """Add weight * (1 - I) S rows to `out`, both F x K."""
    reach = timeline.n_lags - 1
    step = max(1, _TASK // rows.shape[1])
    lanes = [
        (begin, min(begin + step, end), start, end)
        for start, end in zip(timeline.starts - reach, timeline.ends, strict=True)
        for begin in range(start, end, step)
    ]
    table = np.array(lanes, np.int64)
    sizes = np.cumsum(table[:, 1] - table[:, 0])
    cuts = np.searchsorted(sizes, np.arange(step, sizes[-1] + step, step)) + 1
    cuts = np.unique(np.minimum(cuts, len(table)))
    firsts = np.concatenate(([0], cuts[:-1]))
    tasks = [
        partial(lag_passes.add_others, rows, table, int(a), int(b), reach, weight, out)
        for a, b in zip(firsts, cuts, strict=True)
    ]
    run_tasks(n_threads, tasks)


def _multiply(values: Array, above: Array, below: Array, added: float, n_threads: int) -> None:
    """Multiply values by above / (below + added)."""
    v, a, b = values.reshape(-1), above.reshape(-1), below.reshape(-1)
    pieces = [slice(first, first + _TASK) for first in range(0, v.size, _TASK)]
    tasks = [partial(lag_passes.multiply, v[p], a[p], b[p], added + EPS) for p in pieces]
    run_tasks(n_threads, tasks)
