"""Least squares for many rows with one Gram matrix: factors that may be negative.

A step is w <- w + (b - w G) P with P = (G + ridge)^-1: the minimiser of the objective plus a tiny
pull to where w was. It never raises the objective, whatever the rank of G, and repeated it is the
exact solution; directions in which programs are linearly dependent stay as they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EXACT_STEPS", "RIDGE", "least_squares", "ridge_inverse"]

#: Share of the diagonal that is added to it. It must exceed the rounding of G, which the kernels
#: form from products in the type of the factors.
RIDGE = {"float64": 1e-10, "float32": 1e-6}
#: Steps from zero that count as the exact solution.
EXACT_STEPS = 2


def ridge_inverse(gram: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    """Return (G + ridge)^-1 for a positive semidefinite G; a zero diagonal gives a zero row.

    From the eigenvalues of G with unit diagonal, of which rounding may leave small negative ones.
    """
    diagonal = np.diag(gram)
    scale = np.divide(1.0, np.sqrt(diagonal), out=np.zeros_like(diagonal), where=diagonal > 0)
    values, vectors = np.linalg.eigh(gram * np.outer(scale, scale))
    inverse = (vectors / (np.maximum(values, 0.0) + RIDGE[np.dtype(dtype).name])) @ vectors.T
    result: npt.NDArray[np.float64] = inverse * np.outer(scale, scale)
    return result


def least_squares(
    gram: npt.NDArray[np.float64],
    inverse: npt.NDArray[np.float64],
    b: npt.NDArray[Any],
    w: npt.NDArray[Any],
    *,
    steps: int,
) -> npt.NDArray[np.float64]:
    """Improve the rows of `w` (m x k) in place; return them as stored, in float64."""
    right = b.astype(np.float64)
    rows = w.astype(np.float64)
    for _ in range(steps):
        rows += (right - rows @ gram) @ inverse
    w[...] = rows
    return w.astype(np.float64)
