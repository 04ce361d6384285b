"""How much rows and columns count: what bounds the curvature where entries are hidden.

A step minimises a quadratic function that lies above the loss and touches it: one that has the
curvature of all entries, times the largest weight of the row. Where many entries are hidden that is
too cautious, as the true curvature is nearer to the share of the observed ones. A step that is
longer by a factor below 2 lowers the loss as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partwise.matrix.masks import Deficits

__all__ = ["LEAST", "Levels", "even_levels", "factors_of", "levels_of"]

Floats = npt.NDArray[np.float64]

#: The least share of the bound that is taken for the curvature; above 1/2 the loss cannot rise.
LEAST = 0.6


class Levels(NamedTuple):
    """The weights of some rows, in sums.

    Attributes
    ----------
    largest
        Largest weight of each row.
    row_factors
        By how much longer the steps of the rows are.
    columns
        Sum of the weights of each column.
    """

    largest: Floats
    row_factors: Floats
    columns: Floats


def factors_of(share: Floats, bound: Floats) -> Floats:
    """Return 1 / share, at most 1 / (LEAST bound): by how much a step is longer."""
    curvature = np.maximum(share, LEAST * bound)
    return np.divide(1.0, curvature, out=np.ones_like(curvature), where=curvature > 0)


def even_levels(n: int, p: int) -> Levels:
    """Return the levels of n rows all of whose entries count fully."""
    return Levels(np.ones(n), np.ones(n), np.full(p, float(n)))


def levels_of(deficits: Deficits, rows: npt.NDArray[np.int64], shape: tuple[int, int]) -> Levels:
    """Return the levels of rows with deficits; `rows` are the rows of the listed entries."""
    n, p = shape
    values = (
        np.ones(deficits.columns.size) if deficits.values is None else deficits.values.astype(float)
    )
    largest = np.ones(n)
    all_less = np.flatnonzero(np.diff(deficits.indptr) == p)  # no entry of these counts fully
    for i in all_less:
        largest[i] = 1.0 - values[deficits.indptr[i] : deficits.indptr[i + 1]].min()
    means = 1.0 - np.bincount(rows, values, minlength=n) / p
    sums: Floats = n - np.bincount(deficits.columns, values, minlength=p).astype(float)
    return Levels(largest, factors_of(means, largest), sums)
