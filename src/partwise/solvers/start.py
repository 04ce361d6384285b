"""Starts of constrained fits: the given programs first, the others from what those leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix
from partwise.objectives import Constraints, ElasticNet
from partwise.solvers.init import initialize, singular_vectors
from partwise.solvers.state import exact_problem

__all__ = ["constrained_start"]

Array = npt.NDArray[Any]


class _Rest:
    """X - W H of the given programs, as an operator: never formed."""

    def __init__(self, matrix: DataMatrix, usage: Array, programs: Array) -> None:
        self.shape, self.dtype = matrix.shape, matrix.dtype
        self._matrix, self._usage, self._programs = matrix, usage, programs
        self.thin, self.stride = matrix.thin, matrix.stride

    def multiply(self, thin: Array, k: int) -> Array:
        """Return (X - W H) @ thin; flat."""
        out = self._matrix.multiply(thin, k)
        right = self._programs.T @ self._rows(thin, self.shape[1], k)
        self._rows(out, self.shape[0], k)[...] -= self._usage @ right
        return out

    def products(self, thin: Array, k: int) -> Iterator[tuple[int, Array]]:
        """Yield (X - W H) @ thin, all rows together; flat."""
        yield 0, self.multiply(thin, k)

    def multiply_transposed(self, thin: Array, k: int) -> Array:
        """Return (X - W H)^T @ thin; flat."""
        out = self._matrix.multiply_transposed(thin, k)
        right = self._usage.T @ self._rows(thin, self.shape[0], k)
        self._rows(out, self.shape[1], k)[...] -= self._programs @ right
        return out

    def multiply_normal(self, thin: Array, k: int) -> Array:
        """Return (X - W H)^T (X - W H) @ thin; flat."""
        return self.multiply_transposed(self.multiply(thin, k), k)

    def _rows(self, flat: Array, rows: int, k: int) -> Array:
        return flat.reshape(rows, self.stride(k))[:, :k]


def constrained_start(
    matrix: DataMatrix, k: int, init: str, rng: np.random.Generator, constraints: Constraints
) -> tuple[Array, Array]:
    """Return flat thin usage (n rows) and programs (p rows) of a start that keeps to constraints.

    Without constraints this is `initialize`. The usage of programs with given entries other than
    zero is solved from those; the other programs start from the singular vectors of what is left
    of X. A factor that may be negative takes its singular vectors as they are, and the other one
    the larger of their positive and negative parts.
    """
    if constraints.fixed is None and constraints.signed is None:
        return initialize(matrix, k, init, rng)
    n, p = matrix.shape
    pinned = np.flatnonzero(constraints.pinned(k))
    others = np.setdiff1d(np.arange(k), pinned)
    usage, programs = np.zeros((n, k), matrix.dtype), np.zeros((p, k), matrix.dtype)
    constraints.impose(programs)
    if pinned.size:
        usage[:, pinned] = _usage(matrix, programs[:, pinned], constraints)
    if others.size:
        rest: Any = matrix
        if pinned.size:
            rest = _Rest(matrix, usage[:, pinned], programs[:, pinned])
        start = _free(matrix, rest, others.size, init, rng, constraints)
        usage[:, others], programs[:, others] = start
    constraints.impose(programs)
    if matrix.observed < n * p:
        usage[:] = 0  # as in `initialize`
    return matrix.thin(n, k, usage), matrix.thin(p, k, programs)


def _usage(matrix: DataMatrix, programs: Array, constraints: Constraints) -> Array:
    """Return the exact usage of some programs alone, p x m."""
    m = programs.shape[1]
    flat, usage = matrix.thin(matrix.shape[1], m, programs), matrix.thin(matrix.shape[0], m)
    none = ElasticNet.build(0.0, 0.0, m, factor="usage")
    signed = constraints.signed == "usage"
    matrix.sweep(flat, exact_problem(matrix, flat, none, signed=signed), usage)
    return usage.reshape(-1, matrix.stride(m))[:, :m]


def _free(
    matrix: DataMatrix,
    rest: Any,
    k: int,
    init: str,
    rng: np.random.Generator,
    constraints: Constraints,
) -> tuple[Array, Array]:
    """Return usage n x k and programs p x k that start from `rest`."""
    n, p = matrix.shape
    signed = constraints.signed
    level = float(np.sqrt(matrix.squared_norm / (n * p))) if signed else max(matrix.mean, 0.0)
    usage, programs = (np.sqrt(level / k) * rng.standard_normal((rows, k)) for rows in (n, p))
    if init != "random":
        left, values, right = singular_vectors(rest, min(k, n, p), rng)
        for t in np.flatnonzero(values > 0):
            u, v = _part(left[:, t], signed == "usage"), _part(right[:, t], signed == "programs")
            best = max(range(2), key=lambda i: np.linalg.norm(u[i]) * np.linalg.norm(v[i]))
            lengths = np.linalg.norm(u[best]), np.linalg.norm(v[best])
            if min(lengths) > 0:
                scale = np.sqrt(values[t] * lengths[0] * lengths[1])
                usage[:, t] = scale * u[best] / lengths[0]
                programs[:, t] = scale * v[best] / lengths[1]
    for name, factor in (("usage", usage), ("programs", programs)):
        if name != signed:
            np.abs(factor, out=factor)
            if init == "nndsvda":
                factor[factor == 0] = level
    return usage, programs


def _part(vector: Array, signed: bool) -> tuple[Array, Array]:
    """Return a singular vector and its negative, without their negative entries or with them."""
    return (vector, -vector) if signed else (np.maximum(vector, 0), np.maximum(-vector, 0))
