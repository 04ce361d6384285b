"""The Kullback-Leibler loss of `MiniBatchNMF`: start, batches, and the account at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.factorize._counts import (
    check_some,
    count_matrix,
    exponent_of_counts,
    in_scale,
    singular_start,
)
from partwise.factorize._scale import times_power
from partwise.matrix.counts import CountMatrix, CountStream
from partwise.matrix.masks import Hidden
from partwise.objectives import Penalties
from partwise.results import Status
from partwise.solvers.kl import CountOutcome, CountSettings, finish, fit_counts, lifted
from partwise.solvers.kl_stream import fit_stream
from partwise.solvers.minibatch_counts import OnlineCounts, step_counts

__all__ = ["begin_counts", "close_counts", "scaled_counts", "take_counts"]

Array = npt.NDArray[Any]


def scaled_counts(
    X: Any, hidden: Hidden, penalties: Penalties, n_threads: int
) -> tuple[CountMatrix | CountStream, Any, Penalties, int]:
    """Return the counts, the data and the penalties, divided by a power of two, and that power.

    Raises
    ------
    DataError
        If all counts are zero or hidden.
    """
    matrix = count_matrix(X, hidden, n_threads)
    check_some(matrix)
    power = exponent_of_counts(matrix)
    if power != 0:
        X = times_power(X, -power)
        matrix = count_matrix(X, hidden, n_threads)
        penalties = in_scale(penalties, power)
    return matrix, X, penalties, power


def begin_counts(
    X: Any, hidden: Hidden, k: int, init: str, rng: np.random.Generator, n_threads: int
) -> OnlineCounts:
    """Return the state before the first batch."""
    programs = singular_start(X, hidden, k, init, rng, n_threads)[1]
    empty = ~programs.any(axis=0)  # a first batch may be without counts
    if empty.any():
        programs[:, empty] = rng.exponential(size=(X.shape[1], int(empty.sum())))
    return OnlineCounts.start(programs)


def take_counts(
    state: OnlineCounts, X: Any, hidden: Hidden, penalties: Penalties, forget: float, n_threads: int
) -> float:
    """Take one batch of checked data in; return its deviance per row."""
    batch = CountMatrix(X, dtype=np.dtype(X.dtype), n_threads=n_threads, hidden=hidden)
    return step_counts(state, batch, penalties, forget)


def close_counts(
    matrix: CountMatrix | CountStream,
    state: OnlineCounts,
    penalties: Penalties,
    status: Status,
    history: list[float],
    probe: int,
) -> CountOutcome:
    """Minimise the usage for the final programs and measure how far the full solver would go."""
    n, p = matrix.shape
    k = state.programs.shape[1]
    settings = CountSettings(0.0, probe, penalties, np.ones(n))
    state.programs = lifted(state.programs, matrix.column_totals)
    programs = matrix.thin(p, k, state.programs)
    sums = state.programs.sum(axis=0, dtype=np.float64)
    even = np.divide(1.0, k * sums, out=np.zeros(k), where=sums > 0)
    usage = matrix.thin(n, k, np.outer(matrix.row_totals, even))
    outcome = finish(matrix, usage, programs, settings, k, status, history)
    solve: Any = fit_counts if isinstance(matrix, CountMatrix) else fit_stream
    ordered = settings.in_order(outcome.order)
    rng = np.random.default_rng(0)
    further = solve(matrix, outcome.usage.copy(), outcome.programs.copy(), ordered, rng)
    here, there = outcome.deviance, further.deviance
    outcome.details["relative_gap"] = max(here - there, 0.0) / here if here > 0 else 0.0
    return outcome
