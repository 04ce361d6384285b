"""One-pass block coordinate descent for the Frobenius loss.

X is n x p, usage W n x k, programs H k x p (kept as p rows of k). Each iteration reads X once:
per block of rows, B = X H^T, rows of W by warm-started sweeps, then W^T W and X^T W while the rows
are in cache. H follows from those two alone, and so does the loss

    1/2 ||X - W H||^2 = 1/2 (||X||^2 - 2 <X^T W, H^T> + <W^T W, H H^T>).

Several sweeps per pass pay because the products with X dominate (Gillis & Glineur 2012). H is
extrapolated and the extrapolation withdrawn when the loss rises (Ang & Gillis 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.kernels import nnls
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem, Statistics
from partwise.results import Status
from partwise.solvers.apart import solve_apart
from partwise.solvers.balance import balance
from partwise.solvers.given import Given
from partwise.solvers.state import (
    Outcome,
    Settings,
    decrease,
    exact_problem,
    gram_of,
    projected_gradient,
    solve_programs,
)

__all__ = ["finish", "fit_hals"]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: Extrapolation: its first weight, its growth per good step and its division at a bad one.
_FIRST, _GROWTH, _DIVISOR, _MOST = 0.5, 1.05, 2.0, 0.99
#: The first steps are taken on a sample: one row in so many, within bounds; at most so many steps,
#: until the loss falls by less than this share per step.
_SAMPLE_SHARE, _SAMPLE_LEAST, _SAMPLE_MOST = 8, 8192, 65536
_SAMPLE_STEPS, _SAMPLE_DECREASE = 30, 1e-3
#: A component that died is seeded anew at most this often.
_RESEEDS = 3
#: Share of ||X||^2 below which the residual is rounding error.
_EXACT = {np.dtype(np.float32): 1e-10, np.dtype(np.float64): 1e-22}


@dataclass
class _Iterate:
    """The mutable state of an iteration; all thin matrices are flat."""

    usage: Array
    programs: Array  # the last accepted H
    ahead: Array  # H as extrapolated: what the next pass uses
    gram: npt.NDArray[np.float64]  # of `ahead`
    weight: float
    loss: float
    given: Given | None


def _sweeps(matrix: DataMatrix, k: int) -> int:
    """Return the sweeps per half step: 10, fewer where they would cost more than the products."""
    if matrix.kind == "narrow":
        return int(np.clip(round(2 + matrix.shape[1] / k), 3, 6))
    return 10


def _loss(
    matrix: DataMatrix,
    settings: Settings,
    programs: Array,
    statistics: Statistics,
    gram: npt.NDArray[np.float64],
    sums: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> float:
    """Return the objective; `gram` is H H^T, `sums` those of usage and programs."""
    value = 0.5 * (
        matrix.squared_norm
        + statistics.fill
        - 2.0 * nnls.dot64(statistics.cross, programs)
        + float(np.sum(statistics.gram * gram))
    )
    if settings.penalties.active:
        value += settings.penalties.usage.value(sums[0], np.diag(statistics.gram))
        value += settings.penalties.programs.value(sums[1], np.diag(gram))
    value += settings.constraints.overlap(gram, matrix.squared_norm)
    return max(value, 0.0)


def fit_hals(
    matrix: DataMatrix,
    usage: Array,
    programs: Array,
    settings: Settings,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> Outcome:
    """Factorize from a start.

    Parameters
    ----------
    matrix
        The data, n x p.
    usage, programs
        Flat thin start, n and p rows; overwritten.
    settings
        Tolerance, passes, penalties, exact or swept half steps.
    rng
        Seeds dead components anew.
    callback
        Called with (iteration, loss) after each pass.

    Returns
    -------
    Outcome
        The usage is the exact solution for the returned programs.
    """
    k = settings.penalties.usage.l1.shape[0]
    sweeps = _sweeps(matrix, k)
    sampled = _start_on_sample(matrix, programs, settings, sweeps)
    state = _begin(matrix, usage, programs, settings)
    history: list[float] = []
    reseeds = np.zeros(k, np.int64)
    threshold = settings.tol
    status = Status.MAX_ITER
    n_iter = 0
    while n_iter < settings.max_iter:
        n_iter += 1
        statistics = _pass(matrix, state, settings, sweeps)
        _advance(matrix, state, settings, statistics, sweeps)
        history.append(state.loss)
        if callback is not None:
            callback(n_iter, state.loss)
        _reseed(matrix, state, statistics, reseeds, rng)
        if state.loss <= 0.5 * _EXACT[matrix.dtype] * matrix.squared_norm:
            status = Status.EXACT
            break
        if decrease(history) < threshold:
            final, gradient = finish(matrix, state.usage, state.programs, settings)
            if gradient <= np.sqrt(settings.tol):
                return _outcome(state, Status.CONVERGED, history, final, n_iter, gradient, sampled)
            threshold /= 4
            state.ahead = state.programs.copy()
            state.gram = gram_of(matrix, state.ahead, k)
    final, gradient = finish(matrix, state.usage, state.programs, settings)
    return _outcome(state, status, history, final, n_iter, gradient, sampled)


def _begin(matrix: DataMatrix, usage: Array, programs: Array, settings: Settings) -> _Iterate:
    """Return the state before the first pass."""
    k = settings.penalties.usage.l1.shape[0]
    given = Given.build(matrix, settings.constraints, k)
    _blank_unseen(matrix, usage, programs, given)
    gram = gram_of(matrix, programs, k)
    return _Iterate(usage, programs, programs.copy(), gram, _FIRST, np.inf, given)


def _blank_unseen(matrix: DataMatrix, usage: Array, programs: Array, given: Given | None) -> None:
    """Start rows and columns without any observed entry from zero, where they then stay."""
    rows, columns = matrix.unseen
    usage.reshape(matrix.shape[0], -1)[rows] = 0
    flat = programs.reshape(matrix.shape[1], -1)
    flat[columns] = 0 if given is None else given.known.reshape(matrix.shape[1], -1)[columns]


def _start_on_sample(matrix: DataMatrix, programs: Array, settings: Settings, sweeps: int) -> int:
    """Take the first steps on a sample of the rows, in place; return how many.

    Early on the programs move so far that a sample tells where to as well as all rows do, at a
    fraction of the cost. Penalised fits and few rows go without.
    """
    n, p = matrix.shape
    rows = max(n // _SAMPLE_SHARE, _SAMPLE_LEAST)
    rows = min(rows, _SAMPLE_MOST)
    if not settings.sample or rows * 4 > n or settings.penalties.active:
        return 0
    k = settings.penalties.usage.l1.shape[0]
    sample = matrix.sample(rows, k)
    start = sample.thin(p, k, programs.reshape(p, matrix.stride(k))[:, :k])
    usage = sample.thin(sample.shape[0], k)
    state = _begin(sample, usage, start, settings)
    history: list[float] = []
    while len(history) < _SAMPLE_STEPS and decrease(history) > _SAMPLE_DECREASE:
        statistics = _pass(sample, state, settings, sweeps)
        _advance(sample, state, settings, statistics, sweeps)
        history.append(state.loss)
    programs[:] = state.programs
    return len(history)


def _pass(matrix: DataMatrix, state: _Iterate, settings: Settings, sweeps: int) -> Statistics:
    penalty = settings.penalties.usage
    signed = settings.constraints.signed == "usage"
    if settings.exact:
        problem = exact_problem(
            matrix, state.ahead, penalty, sweeps=sweeps, signed=signed, longer=_longer(settings)
        )
    else:
        gram = penalty.gram(state.gram)
        problem = RowProblem.build(
            gram, penalty.l1, dtype=matrix.dtype, sweeps=sweeps, signed=signed,
            longer=_longer(settings),
        )  # fmt: skip
    return matrix.sweep(state.ahead, problem, state.usage)


def _longer(settings: Settings) -> bool:
    """Tell whether steps may be longer where entries are hidden: penalties would not be scaled."""
    return not (settings.penalties.active or settings.constraints.orthogonality)


def _lengthened(matrix: DataMatrix, statistics: Statistics, programs: Array) -> Array:
    """Return H A + factor (C - H A), by which columns with hidden entries take longer steps."""
    factors = matrix.column_factors
    if statistics.observed is None or (factors == 1).all():
        return statistics.cross
    k = statistics.gram.shape[0]
    longer = statistics.cross.reshape(matrix.shape[1], -1) * factors[:, None]
    rows = programs.reshape(matrix.shape[1], -1)[:, :k] @ statistics.gram
    longer[:, :k] -= rows * (factors - 1)[:, None]
    return longer.astype(matrix.dtype).ravel()


def _advance(
    matrix: DataMatrix, state: _Iterate, settings: Settings, statistics: Statistics, sweeps: int
) -> None:
    """Update H from the statistics; keep it and go ahead, or withdraw the extrapolation."""
    penalty = settings.penalties.programs
    k = state.gram.shape[0]
    problem = RowProblem.build(
        penalty.gram(statistics.gram),
        penalty.l1,
        dtype=matrix.dtype,
        sweeps=sweeps,
        exact=settings.exact,
        signed=settings.constraints.signed == "programs",
    )
    programs = state.ahead.copy()
    cross = statistics.cross
    if _longer(settings):
        cross = _lengthened(matrix, statistics, programs)
    if settings.constraints.orthogonality:
        solve_apart(matrix, problem, cross, programs, settings.constraints, state.given)
        gram = gram_of(matrix, programs, k)
    else:
        gram = solve_programs(matrix, problem, cross, programs, state.given)
    loss = _balanced_loss(matrix, state, settings, statistics, programs, gram)
    if loss > state.loss:
        state.weight /= _DIVISOR
        state.ahead = state.programs.copy()
    else:
        step = programs - state.programs
        step *= matrix.dtype.type(state.weight)
        step += programs
        state.ahead = step if problem.signed else np.maximum(step, 0, out=step)
        state.weight = min(_MOST, state.weight * _GROWTH)
        state.programs = programs
        state.loss = loss
    state.gram = gram_of(matrix, state.ahead, k)


def _balanced_loss(
    matrix: DataMatrix,
    state: _Iterate,
    settings: Settings,
    statistics: Statistics,
    programs: Array,
    gram: npt.NDArray[np.float64],
) -> float:
    """Return the objective; where it does not rise, after moving scale between the factors.

    Then usage, programs and the programs before are changed in place.
    """
    k = gram.shape[0]
    if not settings.penalties.active:
        empty = np.zeros(0)
        return _loss(matrix, settings, programs, statistics, gram, (empty, empty))
    rows = [flat.reshape(-1, matrix.stride(k))[:, :k] for flat in (state.usage, programs)]
    sums = rows[0].sum(axis=0, dtype=np.float64), rows[1].sum(axis=0, dtype=np.float64)
    loss = _loss(matrix, settings, programs, statistics, gram, sums)
    squares = np.diag(statistics.gram), np.diag(gram)
    c, gain = balance(settings.penalties, settings.constraints.pinned(k), sums, squares)
    if loss - gain > state.loss:
        return loss
    scale = c.astype(matrix.dtype)
    rows[0] *= scale
    rows[1] /= scale
    state.programs.reshape(-1, matrix.stride(k))[:, :k] /= scale
    return loss - gain


def _reseed(
    matrix: DataMatrix,
    state: _Iterate,
    statistics: Statistics,
    reseeds: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Give each component that no row uses a new program: the mean profile, perturbed.

    Its usage is zero, so the loss does not change until the next pass.
    """
    k = reseeds.shape[0]
    dead = (np.diag(statistics.gram) == 0) | (np.diag(state.gram) == 0)
    dead &= reseeds < _RESEEDS
    if state.given is not None:
        dead &= ~state.given.entries.all(axis=0)
    if not dead.any() or dead.all():
        return
    stride = matrix.stride(k)
    profile = np.abs(statistics.cross.reshape(-1, stride)[:, :k].sum(axis=1, dtype=np.float64))
    norm = np.sqrt(np.mean(np.diag(state.gram)[~dead]))
    usage = state.usage.reshape(-1, stride)
    for t in np.flatnonzero(dead):
        column = profile * rng.exponential(size=profile.shape[0])
        if state.given is not None:
            column[state.given.entries[:, t]] = 0
        length = np.linalg.norm(column)
        if length == 0:
            continue
        column *= norm / length
        if state.given is not None:
            column += state.given.known.reshape(-1, stride)[:, t]
        for flat in (state.programs, state.ahead):
            flat.reshape(-1, stride)[:, t] = column
        usage[:, t] = 0
        reseeds[t] += 1
    state.gram = gram_of(matrix, state.ahead, k)


def finish(
    matrix: DataMatrix, usage: Array, programs: Array, settings: Settings
) -> tuple[Statistics, float]:
    """Scale the programs to sum 1 where nothing is penalised, and solve the usage exactly.

    Programs with negative entries get absolute values that sum to 1; programs with given entries
    keep their scale. Both factors are changed in place. The scale comes first, so that the usage
    belongs to the programs as they are given to the user, to the last bit.

    Returns
    -------
    tuple
        The statistics at the exact usage, and the norm of the projected gradient with respect to
        the programs relative to that of X^T W (with respect to the usage it is zero).
    """
    penalties = settings.penalties
    k = penalties.usage.l1.shape[0]
    stride = matrix.stride(k)
    if not penalties.active:
        rows = programs.reshape(-1, stride)[:, :k]
        sums = np.abs(rows).sum(axis=0, dtype=np.float64)
        free = (sums > 0) & ~settings.constraints.pinned(k)
        scale = np.where(free, sums, 1.0).astype(matrix.dtype)
        rows /= scale
        usage.reshape(-1, stride)[:, :k] *= scale
    signed = settings.constraints.signed == "usage"
    problem = exact_problem(matrix, programs, penalties.usage, signed=signed)
    statistics = matrix.sweep(programs, problem, usage)
    slope = projected_gradient(
        matrix, statistics, penalties.programs, programs, settings.constraints
    )
    norm = float(np.sqrt(nnls.dot64(statistics.seen, statistics.seen)))
    return statistics, slope / norm if norm > 0 else 0.0


def _outcome(
    state: _Iterate,
    status: Status,
    history: list[float],
    statistics: Statistics,
    n_iter: int,
    gradient: float,
    sampled: int,
) -> Outcome:
    return Outcome(
        usage=state.usage,
        programs=state.programs,
        status=status,
        loss=history,
        statistics=statistics,
        n_iter=n_iter,
        details={"projected_gradient": gradient, "steps_on_sample": float(sampled)},
    )
