"""From where a solver ended to what the user gets: the order and the record of the fit."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise import __version__
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.results import Factorization
from partwise.solvers.state import Outcome, Settings, residual

__all__ = ["in_order", "programs_in_order", "record", "usage_in_order"]

Array = npt.NDArray[Any]

#: Rows that are put in order together.
_ROWS = 2**15


def in_order(
    matrix: DataMatrix, outcome: Outcome, given: int = 0
) -> tuple[Array, Array, npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return usage (n x k), programs (k x p), the share of ||X||^2 that each explains, the order.

    At the exact usage <X, w_t h_t> sums over the programs to ||X||^2 - ||X - W H||^2; programs are
    sorted by it, the first ones (`given`) staying where they are.
    """
    programs, explained, order = programs_in_order(matrix, outcome, given)
    usage = thin_rows(outcome.usage, matrix.stride(order.shape[0]), order.shape[0])
    return usage[:, order], programs, explained, order


def programs_in_order(
    matrix: DataMatrix, outcome: Outcome, given: int = 0
) -> tuple[Array, npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return what `in_order` does, without the usage."""
    k = outcome.statistics.gram.shape[0]
    stride = matrix.stride(k)
    programs = thin_rows(outcome.programs, stride, k)
    cross = thin_rows(outcome.statistics.seen, stride, k)
    explained = np.einsum("pk,pk->k", cross, programs, dtype=np.float64)
    explained /= max(matrix.squared_norm, np.finfo(float).tiny)
    order = np.arange(k)
    order[given:] = given + np.argsort(-explained[given:], kind="stable")
    return np.ascontiguousarray(programs[:, order].T), explained[order], order


def usage_in_order(matrix: DataMatrix, usage: Array, order: npt.NDArray[np.intp]) -> Array:
    """Return the flat usage as n x k in the order of the programs.

    Where rows are not padded, in place: it is the largest array of a fit.
    """
    k = order.shape[0]
    rows = thin_rows(usage, matrix.stride(k), k)
    if matrix.stride(k) != k:
        return rows[:, order]
    for start in range(0, rows.shape[0], _ROWS):
        rows[start : start + _ROWS] = rows[start : start + _ROWS, order]
    return rows


def record(
    matrix: DataMatrix,
    outcome: Outcome,
    settings: Settings,
    programs: Array,
    explained: npt.NDArray[np.float64],
    estimator: Any,
    wall_time: float,
) -> Factorization:
    """Return the record of a fit; the usage stays with the caller."""
    norm = matrix.squared_norm
    rest = residual(matrix, outcome.statistics, outcome.usage, outcome.programs, settings.penalties)
    seed = estimator.random_state
    return Factorization(
        usage=None,
        programs=programs,
        status=outcome.status,
        loss=np.asarray(outcome.loss, np.float64),
        relative_error=float(np.sqrt(rest / norm)) if norm > 0 else 0.0,
        explained=explained,
        n_iter=outcome.n_iter,
        seed=int(seed) if isinstance(seed, numbers.Integral) else None,
        solver=_solver(estimator),
        wall_time=wall_time,
        version=__version__,
        details=outcome.details,
    )


def _solver(estimator: Any) -> str:
    """Return the solver that "auto" stands for, and the name of estimators without a choice."""
    name = str(getattr(estimator, "solver", "minibatch"))
    return "hals" if name == "auto" else name
