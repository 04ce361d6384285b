"""What solvers share: settings, the state of an iteration, and the updates of the programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.kernels import nnls
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RIDGE, RowProblem, Statistics, symmetric
from partwise.objectives import Constraints, ElasticNet, Penalties
from partwise.results import Status
from partwise.solvers.given import Given, solve_signed
from partwise.utils.threads import run_tasks

__all__ = [
    "Outcome",
    "Settings",
    "decrease",
    "exact_problem",
    "gram_of",
    "projected_gradient",
    "residual",
    "solve_programs",
]

Array = npt.NDArray[Any]

#: Share of ||X||^2 below which the residual is not taken from a difference of sums.
_LOST = {"float32": 1e-4, "float64": 1e-11}
#: Iterations over which the decrease of the loss is averaged.
_WINDOW = 3
#: Rows of one task of an update of the programs.
_ROWS = 2048


@dataclass(frozen=True)
class Settings:
    """What governs an iteration.

    Attributes
    ----------
    tol
        Relative decrease of the loss per iteration below which the gradient is looked at.
    max_iter
        Passes over the data.
    penalties
        Elastic net of both factors.
    exact
        Whether each half step is solved exactly (block principal pivoting) instead of by sweeps.
    sample
        Whether the first steps on many rows are taken on a sample of them.
    constraints
        Given programs, and which factor may be negative.
    """

    tol: float
    max_iter: int
    penalties: Penalties
    exact: bool = False
    sample: bool = True
    constraints: Constraints = field(default_factory=Constraints)


@dataclass
class Outcome:
    """Where a solver ended. `usage` and `programs` are flat thin matrices."""

    usage: Array
    programs: Array
    status: Status
    loss: list[float]
    statistics: Statistics
    n_iter: int
    details: dict[str, float] = field(default_factory=dict)


def solve_programs(
    matrix: DataMatrix,
    problem: RowProblem,
    cross: Array,
    programs: Array,
    given: Given | None = None,
) -> npt.NDArray[np.float64]:
    """Update all programs in place from G = W^T W and B = X^T W; return H H^T (k x k).

    Entries that are given stay as they are.
    """
    k = problem.gram.shape[0]
    p = matrix.shape[1]
    stride = matrix.stride(k)
    if problem.signed:
        rows, right = (flat.reshape(p, stride)[:, :k] for flat in (programs, cross))
        return solve_signed(problem, right, rows, None if given is None else given.entries)
    low = cross.astype(matrix.dtype) if cross.dtype != matrix.dtype else cross
    edges = [*range(0, p, _ROWS), p]
    grams = np.zeros((len(edges) - 1, k, k))

    def solve(task: int) -> None:
        first, count = edges[task], edges[task + 1] - edges[task]
        if given is not None:
            given.descend(problem, cross, programs, (first, count), grams[task])
            return
        nnls.descend(
            nnls.ROW_LANES, problem.scaled, problem.inverse, problem.shift_low, problem.sweeps,
            low, programs, first, first, count, k, stride, stride, grams[task],
        )  # fmt: skip
        if problem.exact:
            nnls.pivot(
                problem.gram, problem.shift, cross, programs, first, first, count, stride, stride
            )
            grams[task] = 0
            nnls.gram(nnls.ROW_LANES, programs, first, count, k, stride, grams[task])

    run_tasks(matrix.n_threads, [partial(solve, task) for task in range(len(edges) - 1)])
    return symmetric(grams.sum(axis=0))


def exact_problem(
    matrix: DataMatrix,
    programs: Array,
    penalty: ElasticNet,
    *,
    sweeps: int = 2,
    signed: bool = False,
    longer: bool = False,
) -> RowProblem:
    """Return the problem of the rows of the usage, which may be `signed`, to be solved exactly.

    The Gram matrix is formed in float64 from the programs as they are.
    """
    k = penalty.l1.shape[0]
    rows = programs.reshape(-1, matrix.stride(k))[:, :k].astype(np.float64)
    return RowProblem.build(
        penalty.gram(rows.T @ rows),
        penalty.l1,
        dtype=matrix.dtype,
        sweeps=sweeps,
        exact=True,
        ridge=RIDGE["float64"] if matrix.kind == "narrow" else 0.0,
        signed=signed,
        longer=longer,
    )


def decrease(history: list[float]) -> float:
    """Return the relative decrease per iteration, averaged over the last few."""
    if len(history) <= _WINDOW:
        return np.inf
    before, now = history[-1 - _WINDOW], history[-1]
    return (before - now) / (_WINDOW * max(before, np.finfo(float).tiny))


def gram_of(matrix: DataMatrix, thin: Array, k: int) -> npt.NDArray[np.float64]:
    """Return thin^T thin, k x k, float64."""
    stride = matrix.stride(k)
    rows = thin.shape[0] // stride
    edges = [*range(0, rows, _ROWS), rows]
    grams = np.zeros((len(edges) - 1, k, k))
    for i, (a, b) in enumerate(pairwise(edges)):
        nnls.gram(nnls.ROW_LANES, thin, a, b - a, k, stride, grams[i])
    return symmetric(grams.sum(axis=0))


def projected_gradient(
    matrix: DataMatrix,
    statistics: Statistics,
    penalty: ElasticNet,
    programs: Array,
    constraints: Constraints,
) -> float:
    """Return the norm of the projected gradient of the loss with respect to the programs.

    The gradient is H^T W^T W - X^T W + penalty; where a program is zero only its negative part
    counts, unless programs may be negative, and where it is given nothing does.
    """
    k = statistics.gram.shape[0]
    stride = matrix.stride(k)
    gram = penalty.gram(statistics.gram)
    if constraints.orthogonality:
        gram = gram + constraints.slope(gram_of(matrix, programs, k), matrix.squared_norm)
    rows = programs.reshape(-1, stride)[:, :k]
    cross = statistics.cross.reshape(-1, stride)[:, :k]
    given = None if constraints.fixed is None else constraints.given(k, matrix.shape[1])
    total = 0.0
    for start in range(0, rows.shape[0], _ROWS):
        part = rows[start : start + _ROWS].astype(np.float64)
        slope = part @ gram - cross[start : start + _ROWS] + penalty.l1
        if constraints.signed != "programs":
            slope[(part == 0) & (slope > 0)] = 0.0
        if given is not None:
            slope[given[start : start + _ROWS]] = 0.0
        total += float(np.sum(slope * slope))
    return float(np.sqrt(total))


def residual(
    matrix: DataMatrix, statistics: Statistics, usage: Array, programs: Array, penalties: Penalties
) -> float:
    """Return ||X - W H||^2 after a pass that solved W exactly for these programs.

    From the sums of the pass; where the difference of those loses its digits, entry by entry.
    """
    norm = matrix.squared_norm
    k = statistics.gram.shape[0]
    if statistics.unsolved == 0 and not penalties.usage.active:
        rest = norm - statistics.fit
    else:
        product = float(np.sum(statistics.gram * gram_of(matrix, programs, k)))
        rest = norm + statistics.fill - 2.0 * nnls.dot64(statistics.cross, programs) + product
    if rest < _LOST[matrix.dtype.name] * norm:
        return matrix.residual(usage, programs, k)
    return rest
