"""Updates of the programs where some of their entries are given, or where they may be negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.kernels import given as kernels
from partwise.kernels import nnls
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.matrix.signed import least_squares, ridge_inverse
from partwise.objectives import Constraints

__all__ = ["Given", "solve_signed"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Given:
    """The given entries of the programs, laid out for the kernels.

    Attributes
    ----------
    free, known
        Flat thin matrices of p rows: 1 where an entry is fitted; the given values, 0 elsewhere.
    entries
        Which entries are given, p x k.
    """

    free: Array
    known: Array
    entries: npt.NDArray[np.bool_]

    @classmethod
    def build(cls, matrix: DataMatrix, constraints: Constraints, k: int) -> Given | None:
        """Lay the given entries out; None where there are none."""
        if constraints.fixed is None:
            return None
        p = matrix.shape[1]
        entries = constraints.given(k, p)
        values = np.zeros((p, k))
        constraints.impose(values)
        return cls(matrix.thin(p, k, ~entries), matrix.thin(p, k, values), entries)

    def descend(
        self, problem: RowProblem, cross: Array, programs: Array, rows: tuple[int, int], out: Array
    ) -> None:
        """Update the free entries of first..first+count (`rows`); add their Gram matrix to out."""
        first, count = rows
        k = problem.gram.shape[0]
        stride = programs.shape[0] // self.entries.shape[0]
        low = cross if cross.dtype == programs.dtype else cross.astype(programs.dtype)
        kernels.descend_given(
            nnls.ROW_LANES, problem.scaled, problem.inverse, problem.shift_low, problem.sweeps,
            low, programs, self.free, self.known, first, count, k, stride, out,
        )  # fmt: skip
        if problem.exact:
            kernels.pivot_given(
                problem.gram, problem.shift, cross, programs, self.free, first, count, stride
            )
            out[:] = 0
            nnls.gram(nnls.ROW_LANES, programs, first, count, k, stride, out)


def solve_signed(
    problem: RowProblem, cross: Array, programs: Array, given: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float64]:
    """Update programs that may be negative, p x k, in place; return H H^T.

    Features in which the same entries are given share one system of equations.
    """
    gram, dtype = problem.gram, programs.dtype
    if given is None:
        rows = least_squares(gram, ridge_inverse(gram, dtype), cross, programs, steps=1)
        return rows.T @ rows
    patterns, which = np.unique(given, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        free, held = np.flatnonzero(~pattern), np.flatnonzero(pattern)
        if free.size == 0:
            continue
        features = np.flatnonzero(which.ravel() == i)
        block = programs[np.ix_(features, free)]
        rest = programs[np.ix_(features, held)].astype(np.float64) @ gram[np.ix_(held, free)]
        part = np.ascontiguousarray(gram[np.ix_(free, free)])
        right = cross[np.ix_(features, free)] - rest
        least_squares(part, ridge_inverse(part, dtype), right, block, steps=1)
        programs[np.ix_(features, free)] = block
    rows = programs.astype(np.float64)
    result: npt.NDArray[np.float64] = rows.T @ rows
    return result
