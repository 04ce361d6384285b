"""The door: data are checked once, here, and never changed."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.factorize._storage import check_storage, kinds_for, validated
from partwise.matrix.masks import Source
from partwise.matrix.sources import Block, BlockSource
from partwise.objectives import ElasticNet
from partwise.solvers.state import Settings

__all__ = [
    "by_name",
    "check_count",
    "check_data",
    "check_number",
    "check_start",
    "check_together",
    "is_source",
]

Array = npt.NDArray[Any]

#: Values above this overflow: sums of them in their own type, squares of them in float64.
_LARGEST = {"float32": 1e30, "float64": 1e150}
#: Entries that are looked at together.
_CELLS = 2**21


def is_source(X: object) -> bool:
    """Tell whether X is read block by block."""
    return not isinstance(X, np.ndarray) and not sp.issparse(X) and isinstance(X, BlockSource)


class _CheckedSource:
    """A block source whose blocks are checked as they pass."""

    def __init__(
        self,
        source: BlockSource,
        owner: str,
        dtype: np.dtype[Any],
        signed: bool,
        hidden: Source | None,
    ) -> None:
        self.shape = source.shape
        self.dtype = dtype
        self._source = source
        self._owner = owner
        self._signed = signed
        self._hidden = hidden

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        """Yield the source's blocks, checked and in the type of the fit."""
        for first, block in self._source.blocks(start, stop):
            check_storage(block)
            if block.dtype != self.dtype:
                with np.errstate(over="ignore", invalid="ignore"):  # looked at in the next line
                    block = block.astype(self.dtype)
            _check_values(block, self._owner, first, self._signed, self._hidden)
            yield first, block


def check_data(
    estimator: Any, X: Any, *, reset: bool, dtype: Any = None, hidden: Source | None = None
) -> Any:
    """Return X as a dense array, CSR matrix or checked block source of float32 or float64.

    Entries that are `hidden` may be anything; without it NaN is refused, too.

    Raises
    ------
    DataError
        For NaN, infinite, negative or too large values (with the first place), a masked array,
        complex numbers, or too few rows or columns.
    """
    name = type(estimator).__name__
    kinds = [np.dtype(dtype)] if dtype is not None else kinds_for(X)
    if is_source(X):
        return _check_source(estimator, X, reset=reset, kinds=kinds, hidden=hidden)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise DataError(
            f"{name} got a masked array; masked entries would be taken as values. "
            "Fill them, or drop their rows or columns"
        )
    X = validated(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        dtype=kinds,
        ensure_all_finite=False,
        ensure_min_samples=2 if reset else 1,
    )
    _check_values(X, name, 0, getattr(estimator, "signed", None) is not None, hidden)
    return X


def _check_source(
    estimator: Any, X: BlockSource, *, reset: bool, kinds: list[Any], hidden: Source | None
) -> Any:
    n, p = X.shape
    if reset:
        estimator.n_features_in_ = p
        vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
    elif p != estimator.n_features_in_:
        raise DataError(
            f"X has {p} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input"
        )
    if n < 1 or p < 1:
        raise DataError(f"the data have {n} rows and {p} columns: nothing to factorize")
    if n < 2 and reset:
        raise DataError(
            f"the data have 1 row and {p} columns: {type(estimator).__name__} needs at least 2 rows"
        )
    dtype = np.dtype(kinds[0] if len(kinds) == 1 or X.dtype != np.float64 else np.float64)
    signed = getattr(estimator, "signed", None) is not None
    return _CheckedSource(X, type(estimator).__name__, dtype, signed, hidden)


def _check_values(
    X: Any, name: str, first_row: int, signed: bool, hidden: Source | None = None
) -> None:
    """Refuse values that no factorization can represent, naming the first place."""
    values = X.data if sp.issparse(X) else X
    if values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    largest = _LARGEST[values.dtype.name]
    if low >= (-largest if signed else 0) and high <= largest:
        return
    seen = np.True_ if hidden is None else _seen(X, first_row, hidden)
    with np.errstate(invalid="ignore"):
        for what, found in (
            ("NaN", np.isnan),
            ("inf", np.isinf),
            ("Negative values", lambda v: v < (-np.inf if signed else 0)),
        ):
            bad = found(values) & seen
            if bad.any():
                row, column = _first_place(X, bad)
                raise DataError(_complaint(what, name, row + first_row, column, values, bad))
    top = float(np.max(np.abs(values), where=seen, initial=0.0))
    if top > largest:
        raise DataError(
            f"the largest value is {top:.3g}, whose square overflows {values.dtype}: "
            "divide the data by a constant, or pass float64"
        )


def _seen(X: Any, first_row: int, hidden: Source) -> npt.NDArray[np.bool_]:
    """Return which values of X (the stored ones, if sparse) are not hidden."""
    n, p = X.shape
    step = max(1, _CELLS // max(1, p))
    parts = []
    for start in range(0, n, step):
        block = X[start : start + step]
        seen = np.ones(block.shape, bool)
        deficits = hidden.of(block, first_row + start)
        if deficits is not None:
            gone = slice(None) if deficits.values is None else deficits.values == 1
            rows = np.repeat(np.arange(block.shape[0]), np.diff(deficits.indptr))
            seen[rows[gone], deficits.columns[gone]] = False
        if sp.issparse(block):
            rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            seen = seen[rows, block.indices]
        parts.append(seen)
    return np.concatenate(parts)


def _first_place(X: Any, bad: Array) -> tuple[int, int]:
    at = int(np.argmax(bad.ravel()))
    if sp.issparse(X):
        return int(np.searchsorted(X.indptr, at, side="right")) - 1, int(X.indices[at])
    row, column = np.unravel_index(at, bad.shape)
    return int(row), int(column)


def _complaint(what: str, name: str, row: int, column: int, values: Array, bad: Array) -> str:
    where = f"first at row {row}, column {column} (counted from 0), {int(bad.sum())} in all"
    if what == "Negative values":
        return (
            f"Negative values in data passed to {name}: {where}. Shift or clip them on purpose, "
            "or leave those features out"
        )
    return f"Input X contains {what}: {where}. Fill or drop them; {name} does not guess"


def check_count(value: object, name: str, *, least: int = 1) -> int:
    """Return a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise UsageError(f"{name} must be a whole number from {least} up, not {value!r}")
    return int(value)


def check_number(value: object, name: str) -> float:
    """Return a finite number of at least 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not 0 <= float(value) < np.inf
    ):
        raise UsageError(f"{name} must be a finite number from 0 up, not {value!r}")
    return float(value)


def check_start(
    values: object, shape: tuple[int, int], name: str, *, signed: bool = False
) -> Array:
    """Return a given starting factor, checked, as an array of its own."""
    try:
        start = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"the start {name} must be an array of numbers") from None
    if start.shape != shape:
        raise UsageError(f"the start {name} must have shape {shape}, not {start.shape}")
    if not np.isfinite(start).all() or (not signed and (start < 0).any()):
        wanted = "finite" if signed else "finite and not negative"
        raise UsageError(f"the start {name} must be {wanted}")
    return start


def check_together(settings: Settings, dtype: np.dtype[Any]) -> None:
    """Refuse constraints and penalties that do not go together.

    Raises
    ------
    UsageError
        With the reason.
    """
    constraints, penalties = settings.constraints, settings.penalties
    constraints.check_type(dtype)
    if constraints.signed is not None:
        signed: ElasticNet = getattr(penalties, constraints.signed)
        if signed.l1.any():
            raise UsageError(
                f"l1_{constraints.signed} does not go with signed={constraints.signed!r}: a signed "
                "factor is solved by least squares, which leaves no zeros for an L1 penalty to "
                f"keep. l2_{constraints.signed} does go with it"
            )
    if settings.exact and constraints.orthogonality:
        raise UsageError(
            "orthogonality does not go with solver='bpp': the angles make a half step a problem "
            "that has no exact solver. Take solver='hals'"
        )
    k = penalties.usage.l1.shape[0]
    if constraints.count == k and constraints.all_fixed and penalties.programs.active:
        raise UsageError(
            "every entry of the programs is given: a penalty on them changes nothing. Leave out "
            "l1_programs and l2_programs (the usage may be penalised alone)"
        )


def by_name(fixed: Any, names: Any) -> Any:
    """Return given programs with their columns in the order of the features' names.

    Raises
    ------
    UsageError
        If the features are not the same.
    """
    if names is None or not hasattr(fixed, "columns"):
        return fixed
    columns = [str(name) for name in fixed.columns]
    wanted = [str(name) for name in names]
    missing = sorted(set(wanted) - set(columns)) or sorted(set(columns) - set(wanted))
    if missing or not len(columns) == len(wanted) == len(set(wanted)):
        example = f", for one {missing[0]!r}" if missing else ""
        raise UsageError(
            "the columns of fixed_programs must be the features of X, each once, in any order; "
            f"they differ{example}. A column of NaN leaves a feature free"
        )
    place = {name: i for i, name in enumerate(columns)}
    return np.asarray(fixed)[:, [place[name] for name in wanted]]
