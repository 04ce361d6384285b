"""What users hide: masks, weights, NaN and masked arrays, checked and made one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.factorize._checks import check_data
from partwise.matrix.masks import Hidden, Speckle
from partwise.matrix.matrix import DataMatrix

__all__ = ["check_mask", "check_observed", "check_seen", "warn_unseen"]

Array = npt.NDArray[Any]


def check_observed(
    estimator: Any,
    X: Any,
    mask: Any,
    weights: Any,
    *,
    reset: bool,
    dtype: Any = None,
) -> tuple[Any, Hidden]:
    """Return the checked data, and which of its entries are hidden or count less.

    Raises
    ------
    DataError
        For observed values that cannot be factorized.
    UsageError
        If the mask or the weights cannot be used.
    """
    masks = []
    if isinstance(X, np.ma.MaskedArray):
        if np.ma.is_masked(X):
            masks.append(np.ma.getmaskarray(X))
        X = X.data
    if mask is not None or weights is not None:
        shape = tuple(X.shape) if hasattr(X, "shape") else np.shape(X)
        if mask is not None:
            masks.append(check_mask(mask, shape))
        if weights is not None:
            weights = _check_weights(weights, shape)
    hidden = Hidden(masks, weights)
    X = check_data(estimator, X, reset=reset, dtype=dtype, hidden=hidden)
    return X, hidden


def check_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    """Return a mask as a Speckle, a bool array or a CSR matrix of its hidden entries.

    Raises
    ------
    UsageError
        If it is none of these or has another shape than the data.
    """
    if isinstance(mask, Speckle):
        return mask
    if sp.issparse(mask):
        _check_shape(mask.shape, shape, "mask")
        stored = sp.csr_matrix(mask, copy=True)
        stored.sum_duplicates()
        stored.data = stored.data != 0
        stored.eliminate_zeros()
        return stored
    given = np.asarray(mask)
    if given.dtype.kind not in "biu":
        raise UsageError(
            f"mask must be boolean (True where an entry is hidden), a sparse matrix or a Speckle, "
            f"not {given.dtype}; weights= takes numbers that say how much an entry counts"
        )
    _check_shape(given.shape, shape, "mask")
    return given != 0


def _check_weights(weights: Any, shape: tuple[int, ...]) -> Array:
    """Return weights as a read-only array of the shape of the data."""
    if sp.issparse(weights):
        raise UsageError(
            "weights must be an array: a sparse matrix does not say what the entries weigh that it "
            "does not store. Hide entries with mask=, or pass an n x p array"
        )
    try:
        given = np.asarray(weights)
        given = given if given.dtype.kind == "f" else given.astype(np.float64)
    except (TypeError, ValueError):
        raise UsageError("weights must be an array of numbers") from None
    if given.ndim == 2 and len(shape) == 2 and given.shape in ((shape[0], 1), (1, shape[1])):
        given = np.broadcast_to(given, shape)
    if given.ndim == 1 and len(given) in shape:
        raise UsageError(
            f"weights must have the shape of the data, {shape}, not {given.shape}: one weight per "
            f"row is an array of shape ({shape[0]}, 1), one per column of (1, {shape[-1]})"
        )
    _check_shape(given.shape, shape, "weights")
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise UsageError("weights must be finite and not negative; 0 hides an entry")
    if not given.any():
        raise UsageError("all weights are zero: nothing would be fitted")
    return given


def _check_shape(given: tuple[int, ...], shape: tuple[int, ...], name: str) -> None:
    if tuple(given) != tuple(shape):
        raise UsageError(f"{name} must have the shape of the data, {shape}, not {tuple(given)}")


def check_seen(matrix: DataMatrix) -> None:
    """Refuse data of which everything is hidden; warn of rows and columns of which all is.

    Raises
    ------
    DataError
        If no entry is observed.
    """
    rows, columns = (int(np.count_nonzero(unseen)) for unseen in matrix.unseen)
    if matrix.observed <= 0 or rows == matrix.shape[0]:
        raise DataError(
            f"all {matrix.shape[0]} x {matrix.shape[1]} entries are hidden or missing: nothing is "
            "left to fit"
        )
    warn_unseen(rows, columns)


def warn_unseen(rows: int, columns: int = 0) -> None:
    """Warn of rows and columns all of whose entries are hidden."""
    if columns:
        warnings.warn(
            f"all entries of {columns} columns are hidden or missing: their programs are 0",
            PartwiseWarning,
            stacklevel=4,
        )
    if rows:
        warnings.warn(
            f"all entries of {rows} rows are hidden or missing: their usage is 0",
            PartwiseWarning,
            stacklevel=4,
        )
