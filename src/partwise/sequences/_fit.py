"""The iteration: activations, recentring, scale, motifs; and when it ends."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.results import Status
from partwise.sequences import _mu
from partwise.sequences._moves import normalize, recenter
from partwise.sequences._problem import Penalty, Problem, State
from partwise.utils.interrupts import check

__all__ = ["Fitted", "Settings", "fit_state", "project", "random_state"]

Array = npt.NDArray[Any]

#: Iterations over which the change of the cost is looked at.
_WINDOW = 5
#: What is added to motifs after recentring, against the largest value of the data.
_LIFT = 1e-6


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes
    ----------
    penalty
        What is added to the loss.
    shift
        Whether motifs are recentred in each iteration.
    max_iter, tol
        When to stop: tol is the relative change of the cost per iteration.
    n_fixed
        The first motifs, which stay as they are.
    """

    penalty: Penalty
    shift: bool = True
    max_iter: int = 100
    tol: float = 1e-4
    n_fixed: int = 0


@dataclass(frozen=True)
class Fitted:
    """What a fit ends with; factors in the order of the start."""

    state: State
    cost: npt.NDArray[np.float64]
    error: float
    loadings: npt.NDArray[np.float64]
    status: Status
    n_iter: int
    seconds: float


def random_state(problem: Problem, k: int, rng: np.random.Generator) -> State:
    """Return uniform random motifs and activations, scaled as in the original."""
    raster = problem.raster
    timeline = raster.timeline
    largest = raster.largest or 1.0
    motifs = largest * rng.random((raster.n_units, k, timeline.n_lags))
    activations = rng.random((timeline.n_frames, k)) * timeline.active[:, None]
    activations *= largest / math.sqrt(timeline.n_used / 3)
    return State(windowed(motifs, raster.dtype), activations.astype(raster.dtype))


def windowed(motifs: Array, dtype: np.dtype[Any]) -> Array:
    """Return motifs (N x K x L) as N x L x K with the longest lag first."""
    return np.ascontiguousarray(motifs.transpose(0, 2, 1)[:, ::-1], dtype=dtype)


def natural(motifs: Array) -> Array:
    """Return motifs N x L x K, longest lag first, as N x K x L."""
    return np.ascontiguousarray(motifs[:, ::-1].transpose(0, 2, 1))


def fit_state(
    problem: Problem,
    state: State,
    settings: Settings,
    callback: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Run the updates from a start, which is changed in place.

    The last iteration is done without the cross-orthogonality term, as in the original: so the
    motifs that it selected are fitted once without its pull.
    """
    begin = time.perf_counter()
    k = state.motifs.shape[2]
    free = np.arange(k) >= settings.n_fixed
    products = problem.raster.cross_motifs(state.activations)
    error = problem.error(state, products, problem.correlations(state))
    cost = [problem.rmse(error)]
    status = Status.MAX_ITER
    for iteration in range(1, settings.max_iter + 1):
        check()
        done = _settled(cost, settings.tol)
        last = done or iteration == settings.max_iter
        penalty = dataclasses.replace(settings.penalty, cross=0.0) if last else settings.penalty
        products, error = _iterate(problem, state, settings, penalty, free)
        cost.append(problem.rmse(error))
        if callback is not None:
            callback(iteration, cost[-1])
        if done:
            status = Status.CONVERGED
            break
    return Fitted(
        state,
        np.array(cost),
        error,
        problem.loadings(state, products),
        status,
        len(cost) - 1,
        time.perf_counter() - begin,
    )


def _iterate(
    problem: Problem, state: State, settings: Settings, penalty: Penalty, free: Array
) -> tuple[Array, float]:
    """Update everything once; return X H^T and the sum of squared errors."""
    _mu.update_activations(problem, state, penalty)
    if settings.shift:
        recenter(state, problem.raster.timeline, free, _LIFT * problem.raster.largest)
    normalize(state, free)
    products = problem.raster.cross_motifs(state.activations)
    correlations = problem.correlations(state)
    if free.all():
        _mu.update_motifs(problem, state, penalty, products, correlations)
    elif free.any():
        fixed = state.motifs[:, :, ~free].copy()
        _mu.update_motifs(problem, state, penalty, products, correlations)
        state.motifs[:, :, ~free] = fixed
    return products, problem.error(state, products, correlations)


def project(
    problem: Problem, state: State, penalty: Penalty, max_iter: int, tol: float
) -> tuple[Status, float]:
    """Update activations alone; return why it stopped and the sum of squared errors."""
    cost: list[float] = []
    status, error = Status.MAX_ITER, problem.raster.total
    for _ in range(max_iter):
        check()
        _mu.update_activations(problem, state, penalty)
        products = problem.raster.cross_motifs(state.activations)
        error = problem.error(state, products, problem.correlations(state))
        cost.append(problem.rmse(error))
        if _settled(cost, tol):
            status = Status.CONVERGED
            break
    return status, error


def _settled(cost: list[float], tol: float) -> bool:
    """Whether the cost changed by less than tol per iteration, on average over a few."""
    if tol <= 0 or len(cost) <= _WINDOW:
        return False
    change = abs(cost[-1 - _WINDOW] - cost[-1])
    return change <= tol * _WINDOW * cost[-1]
