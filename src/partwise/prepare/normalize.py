"""Size factors, logarithm and unit variance; every step leaves a record of what it did."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.matrix.moments import as_matrix, column_moments, row_sums

__all__ = [
    "Logged",
    "Normalized",
    "Scaled",
    "log1p",
    "normalize_total",
    "scale_to_unit_variance",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Normalized:
    """Counts per cell made alike.

    Attributes
    ----------
    X
        The normalised matrix, n x p; a sparse one has the structure of the input.
    totals
        Sum of each row before, n.
    target
        Sum of each row after; rows of zeros stay zero.
    zero_rows
        Numbers of the rows whose total is zero.
    """

    X: Any
    totals: Floats
    target: float
    zero_rows: npt.NDArray[np.intp]

    @property
    def parameters(self) -> dict[str, Any]:
        """The record of the step, as plain values."""
        return {"step": "normalize_total", "target": self.target, "zero_rows": len(self.zero_rows)}


@dataclass(frozen=True)
class Logged:
    """The natural logarithm of 1 + x.

    Attributes
    ----------
    X
        The matrix, n x p.
    """

    X: Any

    @property
    def parameters(self) -> dict[str, Any]:
        """The record of the step, as plain values."""
        return {"step": "log1p", "base": "e"}


@dataclass(frozen=True)
class Scaled:
    """Columns divided by their standard deviation, not centred.

    Attributes
    ----------
    X
        The matrix, n x p, non-negative and as sparse as before.
    scale
        What each column was divided by, p; 1 for a constant column.
    constant
        Numbers of the columns without variance.
    ddof
        The variance has the divisor n - ddof.
    """

    X: Any
    scale: Floats
    constant: npt.NDArray[np.intp]
    ddof: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The record of the step, as plain values."""
        return {
            "step": "scale_to_unit_variance",
            "ddof": self.ddof,
            "centred": False,
            "constant_columns": len(self.constant),
        }


def normalize_total(X: Any, *, target: float | None = None) -> Normalized:
    r"""Scale each row to the same sum.

    .. math:: y_{ij} = t\, x_{ij} / \sum_l x_{il}

    Parameters
    ----------
    X : array or sparse matrix, n x p
        Counts: cells x genes.
    target : float, optional
        The sum t of each row afterwards, e.g. 1e4, or 1e6 for transcripts per million; by default
        the median of the totals that are not zero.

    Returns
    -------
    Normalized
        The matrix (float32 stays, whole numbers of more than 16 bits become float64), the totals,
        the target, and the rows of zeros, which are kept as they are.

    Raises
    ------
    DataError
        If X has negative, missing or infinite values, or is all zero.
    UsageError
        If the target is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.prepare import normalize_total
    >>> done = normalize_total(np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 6.0]]), target=100)
    >>> done.X.tolist(), done.zero_rows.tolist()
    ([[25.0, 75.0], [0.0, 0.0], [25.0, 75.0]], [1])
    """
    if target is not None and (
        isinstance(target, bool)
        or not isinstance(target, numbers.Real)
        or not 0 < float(target) < np.inf
    ):
        raise UsageError(f"target must be a positive number, not {target!r}")
    X = as_matrix(X)
    totals = row_sums(X)
    some = totals > 0
    if not some.any():
        raise DataError("all values are zero: there is nothing to normalise")
    goal = float(np.median(totals[some]) if target is None else target)
    factor = np.divide(goal, totals, out=np.ones_like(totals), where=some)
    return Normalized(
        X=_rows_times(X, factor),
        totals=totals,
        target=goal,
        zero_rows=np.flatnonzero(~some),
    )


def _rows_times(X: Any, factor: Floats) -> Any:
    if not sp.issparse(X):
        return (X * factor[:, None]).astype(X.dtype, copy=False)
    values = X.data * np.repeat(factor, np.diff(X.indptr)).astype(X.dtype)
    return sp.csr_matrix((values, X.indices, X.indptr), shape=X.shape)


def log1p(X: Any) -> Logged:
    r"""Take the natural logarithm of 1 + x; zeros stay zero.

    Parameters
    ----------
    X : array or sparse matrix, n x p
        Non-negative values, usually of `normalize_total`.

    Returns
    -------
    Logged
        The matrix; a sparse one stays sparse.

    Raises
    ------
    DataError
        If X has negative, missing or infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.prepare import log1p
    >>> log1p(np.array([[0.0, np.e - 1]])).X.round(6).tolist()
    [[0.0, 1.0]]
    """
    X = as_matrix(X)
    if not sp.issparse(X):
        return Logged(np.log1p(X))
    return Logged(sp.csr_matrix((np.log1p(X.data), X.indices, X.indptr), shape=X.shape))


def scale_to_unit_variance(X: Any, *, ddof: int = 1) -> Scaled:
    r"""Divide each column by its standard deviation, without centring: zeros stay zero.

    .. math:: y_{ij} = x_{ij} / s_j, \qquad s_j^2 = \frac1{n-d} \sum_i (x_{ij} - m_j)^2

    Parameters
    ----------
    X : array or sparse matrix, n x p
        Non-negative values.
    ddof : int
        Divisor n - ddof of the variance; 1, as cNMF and scanpy have it.

    Returns
    -------
    Scaled
        The matrix, what each column was divided by, and the columns without variance, which are
        left as they are.

    Raises
    ------
    DataError
        If X has negative, missing or infinite values, or too few rows.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.prepare import scale_to_unit_variance
    >>> scaled = scale_to_unit_variance(np.array([[0.0, 1.0], [2.0, 1.0]]), ddof=0)
    >>> scaled.X.tolist(), scaled.constant.tolist()
    ([[0.0, 1.0], [2.0, 1.0]], [1])
    """
    X = as_matrix(X)
    moments = column_moments(X, ddof=ddof)
    scale = np.sqrt(moments.variance)
    # a constant column has rounding for a variance
    flat = scale <= 1e-7 * moments.mean
    scale[flat] = 1.0
    if sp.issparse(X):
        values = X.data * (1.0 / scale[X.indices]).astype(X.dtype)
        scaled = sp.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
    else:
        scaled = (X * (1.0 / scale)).astype(X.dtype, copy=False)
    return Scaled(X=scaled, scale=scale, constant=np.flatnonzero(flat), ddof=ddof)
