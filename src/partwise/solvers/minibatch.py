"""Mini-batch factorization: the one-pass sweep with the statistics forgotten bit by bit.

Per batch of rows: solve its usage exactly for the current programs, fold W^T W and X^T W into
running averages, and update the programs from those (Mairal et al. 2010; Lefevre et al. 2011 for
the forgetting). Nothing but k x k and p x k numbers is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.objectives import Penalties
from partwise.solvers.state import exact_problem, residual, solve_programs

__all__ = ["Online", "step"]

Array = npt.NDArray[Any]

_SWEEPS = 3


@dataclass
class Online:
    """What a mini-batch fit carries from batch to batch.

    Attributes
    ----------
    programs
        p x k.
    gram, cross
        Running sums of W^T W (k x k) and X^T W (p x k), float64.
    steps
        Batches seen.
    """

    programs: Array
    gram: npt.NDArray[np.float64]
    cross: npt.NDArray[np.float64]
    steps: int = 0

    @classmethod
    def start(cls, programs: Array) -> Online:
        """Begin from programs, p x k."""
        p, k = programs.shape
        return cls(programs.copy(), np.zeros((k, k)), np.zeros((p, k)))

    def scaled(self, power: int) -> Online:
        """Return the state for data times 2^power."""
        if power == 0:
            return self
        gram, cross = np.ldexp(self.gram, 2 * power), np.ldexp(self.cross, 2 * power)
        return Online(self.programs, gram, cross, self.steps)

    def as_given(self, programs: Array, order: npt.NDArray[np.intp]) -> Online:
        """Return the state in the order and scale in which the user gets the programs, p x k."""
        before = self.programs[:, order].sum(axis=0, dtype=np.float64)
        after = programs.sum(axis=0, dtype=np.float64)
        scale = np.divide(before, after, out=np.ones_like(before), where=after > 0)
        gram = self.gram[np.ix_(order, order)] * np.outer(scale, scale)
        return Online(programs.copy(), gram, self.cross[:, order] * scale, self.steps)


def step(state: Online, batch: DataMatrix, penalties: Penalties, forget: float) -> float:
    """Take one batch in; return its loss per row at the programs it came to.

    `forget` is the weight of the past: 1 keeps all, 0 keeps the last batch alone.
    """
    p, k = state.programs.shape
    stride = batch.stride(k)
    programs = batch.thin(p, k, state.programs)
    usage = batch.thin(batch.shape[0], k)
    statistics = batch.sweep(programs, exact_problem(batch, programs, penalties.usage), usage)
    loss = 0.5 * residual(batch, statistics, usage, programs, penalties) / batch.shape[0]
    state.steps += 1
    if not statistics.gram.any():
        return loss  # nothing was used: there is nothing to learn, and no reason to forget
    state.gram = forget * state.gram + statistics.gram
    cross = statistics.cross.reshape(p, stride)[:, :k]
    state.cross = forget * state.cross + cross
    problem = RowProblem.build(
        penalties.programs.gram(state.gram),
        penalties.programs.l1,
        dtype=batch.dtype,
        sweeps=_SWEEPS,
    )
    solve_programs(batch, problem, batch.thin(p, k, state.cross), programs)
    used = np.diag(state.gram) > 0
    state.programs[:, used] = programs.reshape(p, stride)[:, :k][:, used]
    return loss
