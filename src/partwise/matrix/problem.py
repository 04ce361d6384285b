"""The small non-negative quadratic problem that every row of a pass solves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RIDGE", "RowProblem", "Statistics", "symmetric"]

#: The diagonal of the Gram matrix grows by this share of itself where rows are solved exactly: the
#: solution is then unique even if programs are linearly dependent. It must exceed the rounding of
#: B, which it divides along such directions.
RIDGE = {"float64": 1e-8, "float32": 1e-7}


@dataclass(frozen=True)
class RowProblem:
    """Minimise 1/2 w G w^T - b w^T + shift w^T over w >= 0, for each row.

    Attributes
    ----------
    gram
        G, k x k, float64, penalties included.
    shift
        The L1 penalty, k, float64.
    sweeps
        Sweeps of coordinate descent.
    exact
        Whether block principal pivoting finishes each row.
    ridge
        What was added to the diagonal of G to make the exact solution unique, k.
    scaled, inverse, shift_low
        -G / diag(G) with diagonal 0, 1 / diag(G) and the shift in the type of the factors; a zero
        diagonal gives an inverse of 0, so that the coordinate becomes 0.
    signed
        Whether w may be negative: the rows are then solved by least squares, without the ridge.
    longer
        Whether rows with hidden entries take longer steps than their bound on the curvature asks
        for; without penalties.
    """

    gram: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float64]
    sweeps: int
    exact: bool
    ridge: npt.NDArray[np.float64]
    scaled: npt.NDArray[Any]
    inverse: npt.NDArray[Any]
    shift_low: npt.NDArray[Any]
    signed: bool = False
    longer: bool = False

    @classmethod
    def build(
        cls,
        gram: npt.NDArray[np.float64],
        shift: npt.NDArray[np.float64],
        *,
        dtype: np.dtype[Any],
        sweeps: int,
        exact: bool = False,
        ridge: float = 0.0,
        signed: bool = False,
        longer: bool = False,
    ) -> RowProblem:
        """Scale the Gram matrix for the kernels; the diagonal grows by the share `ridge`."""
        k = gram.shape[0]
        added = np.zeros(k)
        if exact and not signed:
            diagonal = np.diag(gram)
            share = ridge or RIDGE[np.dtype(dtype).name]
            added = np.where(diagonal > 0, share * diagonal, 1.0)
            gram = gram + np.diag(added)
        diagonal = np.diag(gram).copy()
        most = np.finfo(dtype).max / 4
        least = 1.0 / most  # below it, 1 / G is beyond the type: the coordinate becomes 0
        alive = diagonal > least
        inverse = np.divide(1.0, diagonal, out=np.zeros(k), where=alive)
        scaled = -gram * inverse[:, None]
        np.fill_diagonal(scaled, 0.0)
        return cls(
            gram=np.ascontiguousarray(gram),
            shift=shift,
            sweeps=sweeps,
            exact=exact,
            ridge=added,
            scaled=np.ascontiguousarray(scaled.astype(dtype)),
            inverse=inverse.astype(dtype),
            shift_low=np.minimum(shift, most).astype(dtype),
            signed=signed,
            longer=longer,
        )


@dataclass
class Statistics:
    """What one pass leaves behind.

    Attributes
    ----------
    gram
        W^T W, k x k, float64. Where entries are weighted and steps may be longer, W^T R W with the
        largest weight of each row in R.
    cross
        X^T W, a flat thin matrix of p rows; hidden entries of X are those of the product W H. With
        R in the Gram matrix, H (W^T R W - W^T W) is added to it, so that the gradient is the same.
    fit
        By how much the rows lower twice the objective from what zeros give, sum over the rows of
        2 (b - shift) w - w G w; only where the rows were solved exactly.
    unsolved
        Rows whose exact solution was not found within the permitted steps.
    fill
        Sum of (1 - weight) (w h)^2 over the entries that are hidden or count less; with R, plus
        <W^T R W - W^T W, H H^T>.
    observed
        The part of `cross` that comes from the data, the weights in it; None if it is all of it.
    unseen
        Rows without any observed entry.
    """

    gram: npt.NDArray[np.float64]
    cross: npt.NDArray[Any]
    fit: float = 0.0
    unsolved: int = 0
    fill: float = 0.0
    observed: npt.NDArray[Any] | None = None
    unseen: int = 0

    @property
    def seen(self) -> npt.NDArray[Any]:
        """X^T W of the observed entries alone, the weights in it."""
        return self.cross if self.observed is None else self.observed


def symmetric(upper: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the symmetric matrix with the given upper triangle."""
    full: npt.NDArray[np.float64] = np.triu(upper) + np.triu(upper, 1).T
    return full
