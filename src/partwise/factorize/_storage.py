"""The storage of data: sparse matrices whose parts fit together, errors of our own kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import validate_data

from partwise.exceptions import DataError

__all__ = ["check_storage", "validated"]


class _KindError(DataError, TypeError):
    """Data of a kind that cannot be read; scikit-learn's conventions ask for a TypeError."""


def validated(estimator: Any, X: Any, **how: Any) -> Any:
    """Return X as scikit-learn's `validate_data` does; what it complains of is a DataError.

    Values that become infinite in another type are for the caller to find.
    """
    check_storage(X)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return validate_data(estimator, X, **how)
    except DataError:
        raise
    except TypeError as error:
        raise _KindError(str(error)) from error
    except (ValueError, OverflowError) as error:
        raise DataError(str(error)) from error


def check_storage(X: Any) -> None:
    """Refuse sparse matrices whose indices point outside: compiled loops would follow them.

    Raises
    ------
    DataError
        With what does not fit.
    """
    if not sp.issparse(X) or X.ndim != 2:
        return
    n, p = X.shape
    if X.format == "coo":
        _inside(X.row, n, "row")
        _inside(X.col, p, "column")
    elif X.format in ("csr", "csc", "bsr"):
        high, wide = X.blocksize if X.format == "bsr" else (1, 1)
        major, minor = (p, n) if X.format == "csc" else (n // high, p // wide)
        starts = X.indptr
        size = min(X.indices.shape[0], X.data.shape[0])
        if starts.shape != (major + 1,) or starts[0] != 0 or (np.diff(starts) < 0).any():
            raise DataError("the sparse matrix is damaged: its indptr does not rise from 0")
        if starts[-1] > size:
            raise DataError(
                f"the sparse matrix is damaged: indptr ends at {starts[-1]}, but {size} entries "
                "are stored"
            )
        _inside(X.indices[: starts[-1]], minor, "row" if X.format == "csc" else "column")


def _inside(indices: Any, size: int, what: str) -> None:
    if indices.size == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= size:
        raise DataError(
            f"the sparse matrix is damaged: it has an entry in {what} {low if low < 0 else high}, "
            f"but {what}s go from 0 to {size - 1}"
        )
