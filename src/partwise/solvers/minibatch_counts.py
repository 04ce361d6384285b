"""Mini-batch factorization of counts: online expectation maximisation (Cappe & Moulines 2009).

Per batch of rows: minimise its usage for the current programs, split its counts over the programs
in proportion to their expectations, and fold what each program made, and how much it was used,
into running sums; the programs are the ratios of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.counts import CountMatrix
from partwise.matrix.thin import thin_rows
from partwise.objectives import Penalties
from partwise.solvers.kl import CountSettings, lifted, project

__all__ = ["OnlineCounts", "step_counts"]

Array = npt.NDArray[Any]


@dataclass
class OnlineCounts:
    """What a mini-batch fit of counts carries from batch to batch.

    Attributes
    ----------
    programs
        p x k.
    made
        Running sums of the counts of each feature that each program made, p x k, float64.
    used
        Running sums of the usage of each program over the rows in which the feature was seen,
        p x k, float64.
    steps
        Batches seen.
    """

    programs: Array
    made: npt.NDArray[np.float64]
    used: npt.NDArray[np.float64]
    steps: int = 0

    @classmethod
    def start(cls, programs: Array) -> OnlineCounts:
        """Begin from programs, p x k."""
        return cls(programs.copy(), np.zeros(programs.shape), np.zeros(programs.shape))

    def scaled(self, power: int) -> OnlineCounts:
        """Return the state for data times 2^power."""
        if power == 0:
            return self
        made, used = np.ldexp(self.made, power), np.ldexp(self.used, power)
        return OnlineCounts(self.programs, made, used, self.steps)

    def as_given(self, programs: Array, order: npt.NDArray[np.intp]) -> OnlineCounts:
        """Return the state in the order and scale in which the user gets the programs, p x k."""
        before = self.programs[:, order].sum(axis=0, dtype=np.float64)
        after = programs.sum(axis=0, dtype=np.float64)
        scale = np.divide(before, after, out=np.ones_like(before), where=after > 0)
        made, used = self.made[:, order], self.used[:, order] * scale
        return OnlineCounts(programs.copy(), made, used, self.steps)


def step_counts(
    state: OnlineCounts, batch: CountMatrix, penalties: Penalties, forget: float
) -> float:
    """Take one batch in; return its deviance per row at the programs it came to.

    `forget` is the weight of the past: 1 keeps all, 0 keeps the last batch alone.
    """
    p, k = state.programs.shape
    stride = batch.stride(k)
    settings = CountSettings(0.0, 1, penalties, np.ones(batch.shape[0]))
    state.programs = lifted(state.programs, batch.column_totals)
    programs = batch.thin(p, k, state.programs)
    usage, deviance = project(batch, programs, settings, k)
    state.steps += 1
    loss = deviance / batch.shape[0]
    if batch.total <= 0:
        return loss  # nothing was counted: there is nothing to learn, and no reason to forget
    shares = thin_rows(batch.columns.shares(usage, k, programs, batch.n_threads)[0], stride, k)
    used = np.broadcast_to(thin_rows(usage, stride, k).sum(axis=0, dtype=np.float64), (p, k))
    if batch.deficits is not None:
        used = used - thin_rows(batch.columns.hidden(usage, k), stride, k)
    state.made = forget * state.made + state.programs * shares.astype(np.float64)
    state.used = forget * state.used + used
    penalty = penalties.programs
    pull = state.used + penalty.l1 + penalty.l2 * state.programs
    # a program that no row used keeps what it is
    new = np.divide(state.made, pull, out=state.programs.astype(np.float64), where=pull > 0)
    unused = state.used.max(axis=0, initial=0.0) <= 0
    state.programs = np.where(unused, state.programs, new).astype(state.programs.dtype)
    return loss
