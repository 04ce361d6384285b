"""Factorization of counts: Kullback-Leibler (Poisson) loss.

X is n x p, usage W n x k, programs H k x p (kept as p rows of k). The loss is the deviance

    D = sum_ij x log(x / (w h)) - x + w h,

of which the zeros of X enter through the column sums of the factors alone. In memory each factor
is swept row by row by coordinate descent with the curvature of the moment, both are extrapolated,
and an extrapolation is withdrawn when the loss rises; should it rise without one, the next step is
one that cannot raise it. From a block source one pass per iteration sweeps the usage and collects
what a multiplicative step of the programs needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.counts import CountMatrix, CountStream, Terms
from partwise.matrix.thin import thin_rows
from partwise.objectives import ElasticNet, Penalties
from partwise.results import Status
from partwise.solvers.state import decrease

__all__ = [
    "CountOutcome",
    "CountSettings",
    "ahead",
    "finish",
    "fit_counts",
    "lifted",
    "penalty_of",
    "project",
    "reseed",
    "slope_of",
]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: Sweeps over each row per half step.
SWEEPS = 2
#: Extrapolation: its first weight, its growth per good step and its division at a bad one.
FIRST, GROWTH, DIVISOR, MOST = 0.5, 1.05, 2.0, 0.95
#: Newton steps per row of the exact usage, and the promise at which they end, per count.
_STEPS, _PRECISION = 60, {"float32": 1e-5, "float64": 1e-9}
#: Share of the rank-one deviance below which the residual is rounding error.
EXACT = {"float32": 1e-6, "float64": 1e-11}
#: Least share of an even program that a feature gets where only multiplication moves it.
_LEAST = 1e-3


@dataclass(frozen=True)
class CountSettings:
    """What governs an iteration.

    Attributes
    ----------
    tol
        Relative decrease of the loss per iteration at which it may stop.
    max_iter
        Iterations.
    penalties
        Elastic net of both factors.
    sizes
        Size factor of each row, n: the usage is fitted times these, and penalised without.
    """

    tol: float
    max_iter: int
    penalties: Penalties
    sizes: npt.NDArray[np.float64]

    def usage_terms(self, first: int, count: int) -> Terms:
        """Return what is added to the likelihood of some rows of the usage."""
        penalty = self.penalties.usage
        return Terms(penalty.l1, penalty.l2, self.sizes[first : first + count])

    def in_order(self, order: npt.NDArray[np.intp]) -> CountSettings:
        """Return the settings for components in another order."""
        usage, programs = self.penalties.usage, self.penalties.programs
        penalties = replace(
            self.penalties,
            usage=ElasticNet(usage.l1[order], usage.l2[order]),
            programs=ElasticNet(programs.l1[order], programs.l2[order]),
        )
        return replace(self, penalties=penalties)

    def program_terms(self, p: int) -> Terms:
        """Return what is added to the likelihood of each column of the programs."""
        penalty = self.penalties.programs
        return Terms(penalty.l1, penalty.l2, np.ones(p))


@dataclass
class CountOutcome:
    """Where a solver ended. `usage` (times the size factors) and `programs` are flat and thin.

    `deviance` is that of the factors as they are, without penalties; `made` the counts that each
    program makes, `order` where in the fit each program was.
    """

    usage: Array
    programs: Array
    status: Status
    loss: list[float]
    deviance: float
    made: npt.NDArray[np.float64]
    order: npt.NDArray[np.intp]
    n_iter: int
    details: dict[str, float] = field(default_factory=dict)


def penalty_of(
    matrix: Any, settings: CountSettings, usage: Array, programs: Array, k: int
) -> float:
    """Return the value of the penalties."""
    if not settings.penalties.active:
        return 0.0
    stride = matrix.stride(k)
    w = thin_rows(usage, stride, k).astype(np.float64) / settings.sizes[:, None]
    h = thin_rows(programs, stride, k).astype(np.float64)
    return settings.penalties.usage.value(
        w.sum(axis=0), np.square(w).sum(axis=0)
    ) + settings.penalties.programs.value(h.sum(axis=0), np.square(h).sum(axis=0))


def ahead(new: Array, old: Array, weight: float) -> Array:
    """Return new + weight (new - old), not below zero."""
    step = new - old
    step *= new.dtype.type(weight)
    step += new
    np.maximum(step, 0, out=step)
    return step


def lifted(programs: Array, totals: npt.NDArray[np.float64]) -> Array:
    """Return programs (p x k) of which none is zero in a feature that has counts.

    Multiplicative steps never leave zero, so that a feature that was not seen before, or a zero of
    the start, would stay what it is. Each program has at least a thousandth of what it would have
    if it were spread like all counts, `totals` being those of the features.
    """
    share = totals / max(float(totals.sum()), np.finfo(float).tiny)
    least = _LEAST * np.outer(share, programs.sum(axis=0, dtype=np.float64))
    raised: Array = np.maximum(programs, least.astype(programs.dtype))
    return raised


def fit_counts(
    matrix: CountMatrix,
    usage: Array,
    programs: Array,
    settings: CountSettings,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> CountOutcome:
    """Factorize counts in memory from a start.

    Parameters
    ----------
    matrix
        The counts, n x p.
    usage, programs
        Flat thin start, n and p rows; the usage times the size factors.
    settings
        Tolerance, iterations, penalties, size factors.
    rng
        Seeds dead components anew.
    callback
        Called with (iteration, loss) after each iteration.

    Returns
    -------
    CountOutcome
        The usage is the minimiser for the returned programs.
    """
    k = settings.penalties.usage.l1.shape[0]
    history: list[float] = []
    status = Status.MAX_ITER
    threshold = settings.tol
    reseed(matrix, (usage,), (programs,), rng, k)
    for state in _iterate(matrix, usage, programs, settings, k):
        usage, programs = state.usage, state.programs
        history.append(state.loss)
        if callback is not None:
            callback(len(history), state.loss)
        if not settings.penalties.active:  # a penalty may well want a program to be zero
            reseed(
                matrix, (state.usage, state.usage_ahead), (state.programs, state.programs_ahead),
                rng, k,
            )  # fmt: skip
        if state.loss <= EXACT[matrix.dtype.name] * matrix.independent():
            status = Status.EXACT
            break
        if state.stuck or decrease(history) < threshold:
            final = finish(matrix, usage, programs, settings, k, Status.CONVERGED, history)
            if state.stuck or final.details["projected_gradient"] <= np.sqrt(settings.tol):
                return final
            threshold /= 4
        if len(history) >= settings.max_iter:
            break
    return finish(matrix, usage, programs, settings, k, status, history)


@dataclass
class _State:
    """The last accepted factors, and where the next iteration starts."""

    usage: Array
    programs: Array
    usage_ahead: Array
    programs_ahead: Array
    loss: float = np.inf
    weight: float = FIRST
    caution: int = 0  # 0 extrapolates, 1 does not, 2 takes steps that cannot raise the loss

    @property
    def stuck(self) -> bool:
        """Whether not even the most careful step lowered the loss: rounding is all that is left."""
        return self.caution > 2


def reseed(
    matrix: Any,
    usages: tuple[Array, ...],
    programs: tuple[Array, ...],
    rng: np.random.Generator,
    k: int,
) -> None:
    """Give components whose program is zero a new one, in place; unused, so the loss stays."""
    stride = matrix.stride(k)
    dead = ~thin_rows(programs[0], stride, k).any(axis=0)
    for t in np.flatnonzero(dead):
        column = matrix.column_totals * rng.exponential(size=matrix.shape[1])
        for flat in programs:
            thin_rows(flat, stride, k)[:, t] = column / max(column.sum(), 1e-300)
        for flat in usages:
            thin_rows(flat, stride, k)[:, t] = 0


def _iterate(
    matrix: CountMatrix, usage: Array, programs: Array, settings: CountSettings, k: int
) -> Any:
    """Yield the state after each iteration, for ever."""
    n, p = matrix.shape
    row_terms, column_terms = settings.usage_terms(0, n), settings.program_terms(p)
    state = _State(usage, programs, usage, programs)
    while True:
        safe = state.caution == 2
        w, h = state.usage_ahead.copy(), state.programs_ahead.copy()
        step: dict[str, Any] = {"sweeps": SWEEPS, "safe": safe, "n_threads": matrix.n_threads}
        matrix.rows.solve(h, k, row_terms, w, measure=False, **step)
        if state.caution == 0 and np.isfinite(state.loss):
            w = ahead(w, state.usage, state.weight)
        likelihood = matrix.columns.solve(w, k, column_terms, h, measure=True, **step)
        loss = matrix.constant - likelihood + matrix.expected_total(w, h, k)
        loss = max(loss, 0.0) + penalty_of(matrix, settings, w, h, k)
        if loss <= state.loss:
            state.programs_ahead = ahead(h, state.programs, state.weight)
            state.usage_ahead = w
            state.usage, state.programs, state.loss = w, h, loss
            state.weight = min(MOST, state.weight * GROWTH)
            state.caution = 0
        else:
            state.usage_ahead, state.programs_ahead = state.usage, state.programs
            if state.caution == 0:
                state.weight /= DIVISOR
            state.caution += 1
        yield state


def project(
    matrix: CountMatrix, programs: Array, settings: CountSettings, k: int, first: int = 0
) -> tuple[Array, float]:
    """Return the usage (flat, times the size factors) that minimises the loss, and the deviance.

    Rows whose minimum is not certain within the steps allowed (their programs are all but
    linearly dependent) keep the best that was found.
    """
    n = matrix.shape[0]
    usage = matrix.thin(n, k)
    likelihood, _ = matrix.rows.project(
        programs, k, settings.usage_terms(first, n), usage, most=_STEPS,
        precision=_PRECISION[matrix.dtype.name], n_threads=matrix.n_threads,
    )  # fmt: skip
    deviance = matrix.constant - likelihood + matrix.expected_total(usage, programs, k)
    return usage, max(deviance, 0.0)


def finish(
    matrix: CountMatrix | CountStream,
    usage: Array,
    programs: Array,
    settings: CountSettings,
    k: int,
    status: Status,
    history: list[float],
) -> CountOutcome:
    """Scale and sort the programs, then minimise over the usage.

    In this order the usage is, to the last bit, what `project` gives for the same programs. They
    sum to 1 where nothing is penalised, and are sorted by the counts that they make.
    """
    stride = matrix.stride(k)
    order = np.arange(k)
    if not settings.penalties.uneven:  # weights of their own stay with their components
        order = np.argsort(-_made(usage, programs, stride, k), kind="stable")
    rows = thin_rows(programs, stride, k)[:, order]
    if not settings.penalties.active:
        sums = rows.sum(axis=0, dtype=np.float64)
        rows /= np.where(sums > 0, sums, 1.0).astype(matrix.dtype)
    programs = matrix.thin(matrix.shape[1], k, rows)
    settings = settings.in_order(order)
    usage = matrix.thin(matrix.shape[0], k)
    shares = np.zeros((2, matrix.shape[1], k))
    deviance = 0.0
    for start, panel in matrix.panels():
        w, part = project(panel, programs, settings, k, start)
        usage[start * stride : start * stride + w.shape[0]] = w
        deviance += part
        shares[0] += thin_rows(panel.columns.shares(w, k, programs, matrix.n_threads)[0], stride, k)
        shares[1] += thin_rows(w, stride, k).sum(axis=0, dtype=np.float64)
        if panel.deficits is not None:
            shares[1] -= thin_rows(panel.columns.hidden(w, k), stride, k)
    details = {"projected_gradient": slope_of(matrix, programs, shares, settings, k)}
    made = _made(usage, programs, stride, k)
    return CountOutcome(
        usage, programs, status, history, deviance, made, order, len(history), details
    )


def _made(usage: Array, programs: Array, stride: int, k: int) -> npt.NDArray[np.float64]:
    """Return the counts that each program makes."""
    w, h = thin_rows(usage, stride, k), thin_rows(programs, stride, k)
    made: npt.NDArray[np.float64] = w.sum(axis=0, dtype=np.float64) * h.sum(
        axis=0, dtype=np.float64
    )
    return made


def slope_of(
    matrix: Any,
    programs: Array,
    shares: npt.NDArray[np.float64],
    settings: CountSettings,
    k: int,
) -> float:
    """Return sum |h dD/dh| over all entries of the programs, as a share of the counts."""
    h = thin_rows(programs, matrix.stride(k), k).astype(np.float64)
    penalty = settings.penalties.programs
    slope = shares[1] - shares[0] + penalty.l1 + penalty.l2 * h
    return float(np.sum(np.abs(h * slope)) / max(matrix.total, np.finfo(float).tiny))
