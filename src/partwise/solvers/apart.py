r"""Programs that are kept apart: the updates under a penalty on the angles between them.

The penalty is that of `Constraints.overlap`, lambda sum_{s<t} cos(h_s, h_t). It has no scale, so
that it cannot be evaded by shrinking programs, and it leaves the usage alone. Programs are updated
one after another, each as length times direction, h = a u: with the residual product
r = X^T w - sum_{s != t} h_s <w_s, w> - l1 and the sum q of the other directions,

    u = [a r - lambda q]_+ normalised,    a = <r, u>_+ / (||w||^2 + l2)

each the exact minimiser for the other one, so that no step raises the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.objectives import Constraints
from partwise.solvers.given import Given

__all__ = ["solve_apart"]

Array = npt.NDArray[Any]

#: Rounds over all programs per pass, and alternations of length and direction in each.
_ROUNDS, _STEPS = 3, 2


def solve_apart(
    matrix: DataMatrix,
    problem: RowProblem,
    cross: Array,
    programs: Array,
    constraints: Constraints,
    given: Given | None,
) -> None:
    """Update the programs (flat) in place from G = W^T W and B = X^T W.

    Programs that are given are not touched; the others keep away from them, too.
    """
    k = problem.gram.shape[0]
    p, stride = matrix.shape[1], matrix.stride(k)
    stored = programs.reshape(p, stride)[:, :k]
    free = np.ones(k, bool) if given is None else ~given.entries.all(axis=0)
    weight = constraints.weight(k, matrix.squared_norm)
    rows = np.ascontiguousarray(stored.T, np.float64)
    right = np.ascontiguousarray(cross.reshape(p, stride)[:, :k].T, np.float64)
    right -= problem.shift[:, None]
    gram = problem.gram
    total = sum((_unit(row) for row in rows), np.zeros(p))
    for _ in range(_ROUNDS):
        for t in np.flatnonzero(free & (np.diag(gram) > 0)):
            others = total - _unit(rows[t])
            target = right[t] - gram[t] @ rows + gram[t, t] * rows[t]
            rows[t] = _program(rows[t], target, gram[t, t], weight * others)
            total = others + _unit(rows[t])
    stored[:, free] = rows[free].T


def _program(row: Array, target: Array, size: float, push: Array) -> Array:
    """Return the minimiser of size/2 ||h||^2 - <target, h> + <push, h> / ||h|| from `row` on."""
    length, direction = float(np.linalg.norm(row)), _unit(row)
    if length == 0:
        direction = _unit(np.maximum(target, 0.0))
        length = max(float(target @ direction), 0.0) / size
    for _ in range(_STEPS):
        turned = length * target - push
        if turned.max() > 0:
            direction = _unit(np.maximum(turned, 0.0))
        else:  # the least push in any direction is that of a single feature
            direction = np.zeros_like(row)
            direction[np.argmax(turned)] = 1.0
        length = max(float(target @ direction), 0.0) / size
    return length * direction


def _unit(row: Array) -> Array:
    """Return a vector of length 1 in the same direction; zeros stay."""
    length = float(np.linalg.norm(row))
    unit: Array = row / length if length > 0 else np.zeros_like(row)
    return unit
