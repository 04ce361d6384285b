"""Mean and variance of the columns of a matrix, in float64; a sparse one never becomes dense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError

__all__ = ["Moments", "as_matrix", "column_moments", "row_blocks", "row_sums"]

Floats = npt.NDArray[np.float64]

#: Stored values, or cells of a dense matrix, that are looked at together.
_VALUES = 2**17


@dataclass(frozen=True)
class Moments:
    """Mean and variance of each column.

    Attributes
    ----------
    mean
        Mean over all rows, zeros included, p.
    variance
        Variance with divisor n - ddof, p.
    ddof
        0: of these rows; 1: unbiased.
    """

    mean: Floats
    variance: Floats
    ddof: int


def as_matrix(X: Any, *, floating: bool = True) -> Any:
    """Return X as a CSR matrix or a two-dimensional array of real, finite, non-negative numbers.

    Nothing is copied that fits already; `floating` turns whole numbers into float64 (float32 where
    they are 16 bits or fewer) and leaves float32 and float64 as they are.

    Raises
    ------
    DataError
        If X is no matrix of numbers, or has negative, missing or infinite values.
    """
    if hasattr(X, "blocks"):
        return X  # a block source, whose values were checked when its file was opened
    if sp.issparse(X):
        matrix = X if X.format == "csr" else X.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy() if matrix is X else matrix
            matrix.sum_duplicates()
    else:
        matrix = np.asarray(X)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise DataError(
            f"the data must be a matrix of real numbers, not {matrix.dtype} of shape {matrix.shape}"
        )
    values = matrix.data if sp.issparse(matrix) else matrix
    if values.size and not (values.min() >= 0 and values.max() < np.inf):
        _refuse(matrix)
    if floating and matrix.dtype not in (np.float32, np.float64):
        small = matrix.dtype.itemsize <= 2
        matrix = matrix.astype(np.float32 if small else np.float64)
    return matrix


def _refuse(matrix: Any) -> None:
    coo = sp.coo_matrix(matrix)
    bad = ~((coo.data >= 0) & (coo.data < np.inf))
    at = int(np.argmax(bad))
    raise DataError(
        f"{int(bad.sum()):,} values are negative, missing or infinite, the first ({coo.data[at]:g})"
        f" at row {coo.row[at]}, column {coo.col[at]} (counted from 0): counts are 0 or more"
    )


def row_blocks(X: Any) -> Iterator[tuple[int, Any]]:
    """Yield (first row, rows) of a matrix or block source, a bounded number of values at a time."""
    n = X.shape[0]
    if hasattr(X, "blocks"):
        yield from X.blocks(0, n)
        return
    if not sp.issparse(X):
        step = max(1, _VALUES // max(1, X.shape[1]))
        for first in range(0, n, step):
            yield first, X[first : first + step]
        return
    first = 0
    while first < n:
        most = int(X.indptr[first]) + _VALUES
        last = int(np.searchsorted(X.indptr, most, side="right")) - 1
        last = min(max(last, first + 1), n)
        yield first, X[first:last]
        first = last


def row_sums(X: Any) -> Floats:
    """Return the sum of each row of a matrix of `as_matrix`, in float64."""
    sums = np.zeros(X.shape[0])
    for first, block in row_blocks(X):
        if sp.issparse(block):
            rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            part = np.bincount(rows, block.data, minlength=block.shape[0])
        else:
            part = block.sum(axis=1, dtype=np.float64)
        sums[first : first + block.shape[0]] = part
    return sums


def column_moments(X: Any, *, ddof: int = 0) -> Moments:
    r"""Return mean and variance of each column, in two passes and float64.

    .. math:: m_j = \frac1n \sum_i x_{ij}, \qquad v_j = \frac1{n - d} \sum_i (x_{ij} - m_j)^2

    Parameters
    ----------
    X : array or sparse matrix, n x p
        Non-negative values.
    ddof : int
        What is taken from n in the divisor of the variance.

    Returns
    -------
    Moments
        Two arrays of p.

    Raises
    ------
    DataError
        If X has negative, missing or infinite values, or no more than `ddof` rows.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.prepare import column_moments
    >>> moments = column_moments(np.array([[0.0, 2.0], [4.0, 2.0]]))
    >>> moments.mean.tolist(), moments.variance.tolist()
    ([2.0, 2.0], [4.0, 0.0])
    """
    X = as_matrix(X, floating=False)
    n, p = X.shape
    if n <= ddof:
        raise DataError(f"a variance with divisor n - {ddof} needs more than {n} rows")
    mean = np.zeros(p)
    for _, block in row_blocks(X):
        # the sum of a sparse matrix is formed in the type of its values
        if sp.issparse(block):
            mean += np.bincount(block.indices, block.data, minlength=p)
        else:
            mean += block.sum(axis=0, dtype=np.float64)
    mean /= n
    squares = np.zeros(p)
    for _, block in row_blocks(X):
        if sp.issparse(block):
            gap = block.data - mean[block.indices]
            gap *= gap
            squares += np.bincount(block.indices, gap, minlength=p)
            stored = np.bincount(block.indices, minlength=p)
            squares += (block.shape[0] - stored) * (mean * mean)
        else:
            gap = block - mean
            squares += np.einsum("ij,ij->j", gap, gap)
    return Moments(mean=mean, variance=squares / (n - ddof), ddof=ddof)
