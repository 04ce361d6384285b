"""Factorization of counts that are read panel by panel: one pass per iteration.

Each pass sweeps over the usage of a panel, then collects the shares of its counts, of which the sum
over the panels gives a multiplicative step of the programs (Lee & Seung 2001), extrapolated as in
memory. The first steps are taken in memory, on a sample of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.counts import CountStream
from partwise.matrix.thin import thin_rows
from partwise.results import Status
from partwise.solvers.kl import (
    DIVISOR,
    EXACT,
    FIRST,
    GROWTH,
    MOST,
    SWEEPS,
    CountOutcome,
    CountSettings,
    ahead,
    finish,
    fit_counts,
    lifted,
    penalty_of,
    reseed,
    slope_of,
)
from partwise.solvers.state import decrease

__all__ = ["fit_stream"]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: The first steps on a stream are taken on this many of its rows, in memory.
_SAMPLE_ROWS, _SAMPLE_STEPS, _SAMPLE_DECREASE = 16384, 60, 1e-4
#: Extrapolation takes at most so much of a step's result away: what is zero remains zero.
_SHRINK = np.float32(0.1)
#: Fewer rows need no sample.
_SAMPLE_FROM = 4096


def fit_stream(
    matrix: CountStream,
    usage: Array,
    programs: Array,
    settings: CountSettings,
    rng: np.random.Generator,
    callback: Callback | None = None,
) -> CountOutcome:
    """Factorize counts that are read panel by panel; parameters as in `fit_counts`.

    One pass per iteration: sweeps over the usage of each panel, then the shares of its counts, of
    which the sum over the panels gives a multiplicative step of the programs, extrapolated as in
    memory. The first steps are taken in memory, on a sample of the rows.
    """
    k = settings.penalties.usage.l1.shape[0]
    programs = _start_on_sample(matrix, programs, settings, rng)
    reseed(matrix, (), (programs,), rng, k)
    rows = lifted(thin_rows(programs, matrix.stride(k), k), matrix.column_totals)
    programs = matrix.thin(matrix.shape[1], k, rows)
    accepted, weight = programs, FIRST
    usage_ahead = _spread(matrix, programs, settings, k)
    history: list[float] = []
    best, caution = np.inf, 0
    status = Status.MAX_ITER
    threshold, seen = settings.tol, np.zeros((2, matrix.shape[1], k))
    while len(history) < settings.max_iter:
        w = usage_ahead.copy()
        loss, shares = _pass(matrix, w, programs, settings, k, safe=caution > 1)
        loss += penalty_of(matrix, settings, w, programs, k)
        if loss <= best:
            best, caution, usage_ahead = loss, 0, w
            accepted, seen = programs, shares
            stepped = _multiply(matrix, w, programs, shares, settings, k)
            programs = np.maximum(ahead(stepped, accepted, weight), stepped * _SHRINK)
            weight = min(MOST, weight * GROWTH)
        else:
            # back to the last good programs: one plain step from there
            caution += 1
            weight /= DIVISOR
            _, shares = _pass(matrix, usage_ahead, accepted, settings, k, safe=True)
            programs = _multiply(matrix, usage_ahead, accepted, shares, settings, k)
        history.append(best)
        if callback is not None:
            callback(len(history), best)
        if best <= EXACT[matrix.dtype.name] * matrix.independent():
            status = Status.EXACT
            break
        if caution > 2:
            status = Status.CONVERGED
            break
        if decrease(history) < threshold:
            if slope_of(matrix, accepted, seen, settings, k) <= np.sqrt(settings.tol):
                status = Status.CONVERGED
                break
            threshold /= 4
    return finish(matrix, usage_ahead, accepted, settings, k, status, history)


def _start_on_sample(
    matrix: CountStream, programs: Array, settings: CountSettings, rng: np.random.Generator
) -> Array:
    """Return programs fitted to a sample of the rows."""
    k = settings.penalties.usage.l1.shape[0]
    n = matrix.shape[0]
    if n < _SAMPLE_FROM or settings.penalties.active:
        return programs
    sample = matrix.sample(min(_SAMPLE_ROWS, n // 4))
    if sample.total <= 0:
        return programs
    start = CountSettings(
        _SAMPLE_DECREASE, _SAMPLE_STEPS, settings.penalties, np.ones(sample.shape[0])
    )
    usage = _spread(sample, programs, start, k)
    outcome = fit_counts(sample, usage, programs, start, rng)
    return outcome.programs


def _spread(matrix: Any, programs: Array, settings: CountSettings, k: int) -> Array:
    """Return a usage that gives each row its total, evenly over the programs."""
    sums = thin_rows(programs, matrix.stride(k), k).sum(axis=0, dtype=np.float64)
    even = np.divide(1.0, k * sums, out=np.zeros(k), where=sums > 0)
    usage: Array = matrix.thin(matrix.shape[0], k, np.outer(matrix.row_totals, even))
    return usage


def _pass(
    matrix: CountStream,
    usage: Array,
    programs: Array,
    settings: CountSettings,
    k: int,
    *,
    safe: bool,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Sweep over the usage, in place; return the deviance and the shares of the programs.

    The shares are N (p x k) and, behind them, the sums of the usage that each column sees.
    """
    stride = matrix.stride(k)
    p = matrix.shape[1]
    shares = np.zeros((2, p, k))
    deviance = 0.0
    for start, panel in matrix.panels():
        rows = panel.shape[0]
        w = usage[start * stride : (start + rows) * stride]
        panel.rows.solve(
            programs, k, settings.usage_terms(start, rows), w, sweeps=SWEEPS, safe=safe,
            measure=False, n_threads=matrix.n_threads,
        )  # fmt: skip
        part, likelihood = panel.columns.shares(w, k, programs, matrix.n_threads)
        shares[0] += thin_rows(part, stride, k)
        shares[1] += thin_rows(w, stride, k).sum(axis=0, dtype=np.float64)
        if panel.deficits is not None:
            shares[1] -= thin_rows(panel.columns.hidden(w, k), stride, k)
        deviance += panel.constant - likelihood + panel.expected_total(w, programs, k)
    return max(deviance, 0.0), shares


def _multiply(
    matrix: CountStream,
    usage: Array,
    programs: Array,
    shares: npt.NDArray[np.float64],
    settings: CountSettings,
    k: int,
) -> Array:
    """Return the programs after a multiplicative step, which cannot raise the loss."""
    h = thin_rows(programs, matrix.stride(k), k).astype(np.float64)
    penalty = settings.penalties.programs
    pull = shares[1] + penalty.l1 + penalty.l2 * h
    factor = np.divide(shares[0], pull, out=np.zeros_like(pull), where=pull > 0)
    return matrix.thin(matrix.shape[1], k, h * factor)
