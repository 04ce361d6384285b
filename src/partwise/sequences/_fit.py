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
from partwise.sequences import _hals, _mu
from partwise.sequences._grams import MotifGram
from partwise.sequences._moves import normalize, recenter
from partwise.sequences._problem import Penalty, Problem, State
from partwise.sequences._timeline import Timeline
from partwise.sequences._view import View, look
from partwise.utils.interrupts import check

__all__ = ["Fitted", "Settings", "fit_state", "project", "random_state"]

Array = npt.NDArray[Any]

#: Iterations over which the change of the cost is looked at.
_WINDOW = 5
#: Iterations at least where factors compete: the cost hardly changes before they part. With lambda
#: 0.005 to 0.1 fits of the songbird recording ended after 7 or 8, all factors alike.
_LEAST = 50
#: Size of random activations at the ends of epochs against the others. With 1, 22 of 200 fits of
#: the songbird recording (lambda 0.005) kept one or two factors, with 0.01 only 2; decision 029.
_NEAR_ENDS = 0.01
#: Multiplicative iterations before coordinate descent. A random start exceeds the data many times;
#: sweeps work that off frame by frame, and leave large numbers in the last ones (decision 029).
_WARM = 1
#: Sweeps of coordinate descent per iteration, over activations and motifs; and with fixed motifs.
_SWEEPS = (4, 4)
_PROJECT_SWEEPS = 8
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
    solver
        "mu" or "hals"; the latter begins with multiplicative updates.
    """

    penalty: Penalty
    shift: bool = True
    max_iter: int = 100
    tol: float = 1e-4
    n_fixed: int = 0
    solver: str = "mu"


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
    """Return uniform random motifs and activations, scaled as in the original.

    Where only parts of a motif meet data, at the ends of epochs, activations start small: large
    ones take over a factor whose motif then fits little else.
    """
    raster = problem.raster
    timeline = raster.timeline
    largest = raster.largest or 1.0
    motifs = largest * rng.random((raster.n_units, k, timeline.n_lags))
    activations = rng.random((timeline.n_frames, k)) * timeline.active[:, None]
    activations *= largest / math.sqrt(timeline.n_used / 3)
    activations[_near_ends(timeline)] *= _NEAR_ENDS
    return State(windowed(motifs, raster.dtype), activations.astype(raster.dtype))


def _near_ends(timeline: Timeline) -> Array:
    """Return whether not all lags of what begins in a frame meet data, F."""
    frames = np.arange(timeline.n_frames)
    near: Array = ~timeline.inside | (frames > timeline.ends[timeline.owner] - timeline.n_lags)
    return near


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
    free = np.arange(state.motifs.shape[2]) >= settings.n_fixed
    least = _LEAST if settings.penalty.cross else 0
    cost: list[float] = []
    status = Status.MAX_ITER
    for iteration in range(1, settings.max_iter + 1):
        check()
        view: View | None = look(problem, state)
        assert view is not None
        _note(cost, problem.rmse(view.error), callback)
        done = iteration > least and _settled(cost, settings.tol)
        last = done or iteration == settings.max_iter
        penalty = dataclasses.replace(settings.penalty, cross=0.0) if last else settings.penalty
        hals = settings.solver == "hals" and iteration > _WARM
        _step_activations(problem, state, settings, penalty, free, view, hals)
        view = None  # of the size of the activations, as what comes next
        products = problem.raster.cross_motifs(state.activations)
        correlations = problem.correlations(state)
        _step_motifs(problem, state, penalty, free, products, correlations, hals)
        if done:
            status = Status.CONVERGED
            break
    error = problem.error(state, products, correlations)
    _note(cost, problem.rmse(error), callback)
    loadings = problem.loadings(state, products, correlations)
    seconds = time.perf_counter() - begin
    return Fitted(state, np.array(cost), error, loadings, status, len(cost) - 1, seconds)


def _note(cost: list[float], value: float, callback: Callable[[int, float], None] | None) -> None:
    """Add the cost after an iteration; the first one is that of the start."""
    cost.append(value)
    if callback is not None and len(cost) > 1:
        callback(len(cost) - 1, value)


def _step_activations(
    problem: Problem,
    state: State,
    settings: Settings,
    penalty: Penalty,
    free: Array,
    view: View,
    hals: bool,
) -> None:
    """Update the activations, recentre, share out scale; uses up the view."""
    if hals:
        _hals.update_activations(problem, state, penalty, view, free, _SWEEPS[0])
    else:
        _mu.update_activations(problem, state, penalty, view)
    if settings.shift:
        # only multiplicative updates need help to leave zero
        lift = 0.0 if hals else _LIFT * problem.raster.largest
        recenter(state, problem.raster.timeline, free, lift)
    normalize(state, free)


def _step_motifs(
    problem: Problem,
    state: State,
    penalty: Penalty,
    free: Array,
    products: Array,
    correlations: Array,
    hals: bool,
) -> None:
    """Update the motifs that are free."""
    if hals:
        _hals.update_motifs(problem, state, penalty, products, correlations, free, _SWEEPS[1])
    elif free.all():
        _mu.update_motifs(problem, state, penalty, products, correlations)
    elif free.any():
        fixed = state.motifs[:, :, ~free].copy()
        _mu.update_motifs(problem, state, penalty, products, correlations)
        state.motifs[:, :, ~free] = fixed


def project(
    problem: Problem, state: State, penalty: Penalty, max_iter: int, tol: float
) -> tuple[Status, float]:
    """Descend on activations alone, a convex problem; return why it stopped and the error.

    The error is the sum of squared errors. Data are looked at once: motifs do not change.
    """
    gram = MotifGram(state.motifs)
    above = problem.raster.cross_activations(state.motifs)
    free = np.zeros(state.motifs.shape[2], np.bool_)
    cost: list[float] = []
    status = Status.MAX_ITER
    while True:
        check()
        view = look(problem, state, gram, above)
        cost.append(problem.rmse(view.error))
        if _settled(cost, tol):
            status = Status.CONVERGED
        if status is Status.CONVERGED or len(cost) > max_iter:
            return status, view.error
        _hals.update_activations(problem, state, penalty, view, free, _PROJECT_SWEEPS)


def _settled(cost: list[float], tol: float) -> bool:
    """Whether the cost changed by less than tol per iteration, on average over a few."""
    if tol <= 0 or len(cost) <= _WINDOW:
        return False
    change = abs(cost[-1 - _WINDOW] - cost[-1])
    return change <= tol * _WINDOW * cost[-1]
