"""The storage of data: sparse matrices whose parts fit together, errors of our own kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import validate_data

from partwise.exceptions import DataError

__all__ = ["check_storage", "kinds_for", "validated"]


class _KindError(DataError, TypeError):
    """Data of a kind that cannot be read; scikit-learn's conventions ask for a TypeError."""


def kinds_for(X: Any) -> list[Any]:
    """Return the types that a fit takes, the one that others become first.

    float64 where X holds numbers of that precision, be it under another name (big-endian, the
    columns of a data frame, a list); float32 for whole numbers and what is narrower.
    """
    kinds = getattr(X, "dtypes", None)
    kinds = list(kinds) if np.iterable(kinds) else [getattr(X, "dtype", None)]
    wide = any(
        kind is None  # a list, or a table of another package
        or _letter(kind) in "OUS"
        or (kind.kind == "f" and getattr(kind, "itemsize", 8) > 4)
        for kind in kinds
    )
    return [np.float64, np.float32] if wide else [np.float32, np.float64]


def validated(estimator: Any, X: Any, **how: Any) -> Any:
    """Return X as scikit-learn's `validate_data` does; what it complains of is a DataError.

    Values that become infinite in another type are for the caller to find.
    """
    check_storage(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "mM":
        raise _KindError(f"the data are {X.dtype}, not numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return validate_data(estimator, X, **how)
    except DataError:
        raise
    except TypeError as error:
        raise _KindError(_no_number(X) or str(error)) from error
    except (ValueError, OverflowError) as error:
        raise DataError(_no_number(X) or str(error)) from error


def _no_number(X: Any) -> str | None:
    """Return which value or column of X is no number; None if that is not what is wrong."""
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        for j, (name, kind) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            if _letter(kind) in "mM":
                return f"column {str(name)!r} holds {kind}, not numbers: leave it out"
            if _letter(kind) in "OUS":
                for row, value in enumerate(X.iloc[:, j].to_numpy(object)):
                    if (wrong := _wrong_with(value)) is not None:
                        return _place(row, repr(str(name)), wrong)
        return None
    if not isinstance(X, list | tuple) and _letter(getattr(X, "dtype", None)) not in "OUS":
        return None
    try:
        values = np.asarray(X, object)
    except ValueError:  # ragged
        return None
    for row, column in np.ndindex(values.shape if values.ndim == 2 else (0, 0)):
        if (wrong := _wrong_with(values[row, column])) is not None:
            return _place(row, f"{column} (counted from 0)", wrong)
    return None


def _letter(kind: Any) -> str:
    """Return numpy's letter for a kind of values; O where there is none, as for categories."""
    return str(getattr(kind, "kind", "O"))


def _wrong_with(value: Any) -> str | None:
    """Return why a value is no number, None if it is one."""
    if isinstance(value, complex | np.complexfloating):
        return None  # complained of in its own words
    try:
        float(value)
    except (TypeError, ValueError, OverflowError) as error:
        return str(error)
    return None


def _place(row: int, column: str, wrong: str) -> str:
    return (
        f"row {row} (counted from 0), column {column}: {wrong}. Leave out columns that hold no "
        "numbers"
    )


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
