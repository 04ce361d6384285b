"""New data on a fitted model: features matched by name, and how much of the model they cover."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import by_name
from partwise.matrix.rows import rows_between

__all__ = ["Coverage", "Restricted", "restrict", "row_fit"]

Array = npt.NDArray[Any]

#: Cells of a dense block that is looked at together.
_CELLS = 2**22


@dataclass(frozen=True)
class Coverage:
    """How much of a model the features of new data cover.

    Attributes
    ----------
    n_model, n_new, n_shared
        Features of the model, of the new data, and of both.
    programs
        Share of each program's weight that is on shared features, k.
    missing
        Features of the model that the new data lack, in the model's order.
    """

    n_model: int
    n_new: int
    n_shared: int
    programs: npt.NDArray[np.float64]
    missing: tuple[str, ...]

    @property
    def features(self) -> float:
        """Share of the model's features that are there."""
        return self.n_shared / self.n_model

    @property
    def lowest(self) -> float:
        """Share of the weight of the program that is covered least."""
        return float(self.programs.min())

    def require(self, least: float) -> None:
        """Raise `DataError` unless each program is covered by at least `least` of its weight."""
        if self.lowest >= least:
            return
        few = ", ".join(self.missing[:5]) + (", ..." if len(self.missing) > 5 else "")
        raise DataError(
            f"the new data have {self.n_shared:,} of the model's {self.n_model:,} features; "
            f"program {int(self.programs.argmin()) + 1} is covered to {100 * self.lowest:.1f} % of "
            f"its weight, and at least {100 * least:g} % are asked for. Missing: {few}. Are the "
            "names of the same kind (symbols, or Ensembl identifiers)?"
        )


@dataclass(frozen=True)
class Restricted:
    """A model restricted to the features that new data have.

    Attributes
    ----------
    model
        The model with the programs of the shared features only.
    columns
        Position of each of its features in the new data.
    coverage
        What share that is.
    """

    model: Any
    columns: npt.NDArray[np.intp]
    coverage: Coverage

    def in_order(self) -> Any:
        """Return the model with its features in the order of the new data, for arrays."""
        kept = np.argsort(self.columns, kind="stable")
        ordered = _narrowed(self.model, kept)
        vars(ordered).pop("feature_names_in_", None)  # matched by name already
        return ordered


def restrict(model: Any, features: Sequence[str]) -> Restricted:
    """Restrict a fitted model to the features that new data have, matched by name.

    The usage w of a new row x is the minimiser of the model's loss over the features S that are
    there: for the Frobenius loss, min over w >= 0 of 1/2 ||x_S - w H_S||^2 plus the penalty of the
    usage. Missing features are left out, not taken as zeros; features that the model does not know
    are ignored.

    Parameters
    ----------
    model
        A fitted estimator with `feature_names_in_`.
    features
        Names of the features of the new data, in order.

    Returns
    -------
    Restricted
        The model for `X[:, columns]`, and the coverage.

    Raises
    ------
    UsageError
        If the model has no names.
    DataError
        If no feature is shared, or a shared name is there twice.

    Examples
    --------
    >>> import pandas as pd, partwise
    >>> X = pd.DataFrame(np.random.default_rng(0).random((20, 3)), columns=["A", "B", "C"])
    >>> found = restrict(partwise.NMF(2, random_state=0).fit(X), ["C", "X", "A"])
    >>> found.columns.tolist(), found.coverage.missing
    ([2, 0], ('B',))
    """
    check_is_fitted(model)
    known = getattr(model, "feature_names_in_", None)
    if known is None:
        raise UsageError(
            "the model has no names of features: fit it on a data frame, or save it with "
            "feature_names=..."
        )
    place: dict[str, int] = {}
    twice: set[str] = set()
    for column, name in enumerate(features):
        if name in place:
            twice.add(name)
        place.setdefault(name, column)
    kept = [j for j, name in enumerate(known) if name in place]
    doubled = list(dict.fromkeys(str(known[j]) for j in kept if known[j] in twice))
    if doubled:
        what = "feature that the model needs is" if len(doubled) == 1 else "features are"
        raise DataError(
            f"{len(doubled):,} {what} there more than once; rename them or leave one out",
            column=doubled[0],
        )
    if len({known[j] for j in kept}) < len(kept):
        again = next(known[j] for j in kept if list(known).count(known[j]) > 1)
        raise DataError(
            f"the model has more than one feature of the name {again!r}, so that names do not "
            "tell which is which: fit it on data whose names differ (var_names_make_unique)"
        )
    if not kept:
        raise DataError(
            f"none of the model's {len(known):,} features ({known[0]!r}, ...) is in the new data "
            f"({len(features):,} features: {features[0] if len(features) else 'none'!r}, ...): are "
            "the names of the same kind?"
        )
    coverage = Coverage(
        len(known),
        len(features),
        len(kept),
        _covered(model.components_, kept),
        tuple(str(name) for name in known if name not in place),
    )
    columns = np.array([place[known[j]] for j in kept], np.intp)
    return Restricted(_narrowed(model, kept), columns, coverage)


def row_fit(
    X: Any, usage: Array, programs: Array, *, loss: str = "frobenius"
) -> npt.NDArray[np.float64]:
    r"""Return how well each row is fitted: 1 is exact, NaN where a row is all zero.

    For squares 1 - ||x - w H||^2 / ||x||^2, where 0 is what all zeros reach. For counts
    1 - D(x | w H) / D(x | s q), with s the sum of the row and q the mean of the programs, each of
    sum 1: 0 is what a row reaches that uses all programs alike.

    Parameters
    ----------
    X
        Array, CSR matrix or block source, n x p.
    usage
        W, n x k.
    programs
        H, k x p.
    loss
        "frobenius" or "kullback-leibler".

    Returns
    -------
    numpy.ndarray
        n values.
    """
    h = np.asarray(programs, np.float64)
    fit = np.empty(usage.shape[0])
    measure = _fit_of_squares if loss == "frobenius" else _fit_of_counts
    with np.errstate(invalid="ignore", divide="ignore"):
        for first, block in _blocks(X):
            rows = slice(first, first + block.shape[0])
            fit[rows] = measure(block, np.asarray(usage[rows], np.float64), h)
    return fit


def _fit_of_squares(x: Any, w: Array, h: Array) -> npt.NDArray[np.float64]:
    values = x.astype(np.float64)
    if sp.issparse(values):
        square = np.asarray(values.multiply(values).sum(axis=1)).ravel()
    else:
        square = np.einsum("ij,ij->i", values, values)
    cross = np.einsum("ik,ik->i", np.asarray(values @ h.T), w)
    model = np.einsum("ik,kl,il->i", w, h @ h.T, w, optimize=True)
    return np.where(square > 0, (2 * cross - model) / square, np.nan)


def _fit_of_counts(x: Any, w: Array, h: Array) -> npt.NDArray[np.float64]:
    values = np.asarray(x.toarray() if sp.issparse(x) else x, np.float64)
    total = values.sum(axis=1)
    lengths = h.sum(axis=1, keepdims=True)
    mean = (h / np.where(lengths > 0, lengths, 1.0)).mean(axis=0)
    fitted = _deviance(values, w @ h)
    null = _deviance(values, total[:, None] * mean[None, :])
    return np.where(total > 0, 1.0 - fitted / null, np.nan)


def _deviance(x: Array, model: Array) -> npt.NDArray[np.float64]:
    """Return the sum of x log(x / m) - x + m of each row; infinite where m is 0 and x is not."""
    ratio = np.divide(x, model, out=np.ones_like(x), where=x > 0)
    return np.asarray((x * np.log(ratio) - x + model).sum(axis=1))


def _blocks(X: Any) -> Iterator[tuple[int, Any]]:
    """Yield (first row, rows) of a matrix or block source, a bounded number of cells at a time."""
    n, p = X.shape
    rows = max(1, _CELLS // max(1, p))
    parts = X.blocks(0, n) if hasattr(X, "blocks") else [(0, X)]
    for start, part in parts:
        for first in range(0, part.shape[0], rows):
            yield start + first, rows_between(part, first, min(first + rows, part.shape[0]))


def _covered(programs: Array, kept: list[int]) -> npt.NDArray[np.float64]:
    weight = np.abs(np.asarray(programs, np.float64))
    total = weight.sum(axis=1)
    return np.where(total > 0, weight[:, kept].sum(axis=1) / np.where(total > 0, total, 1), 1.0)


def _narrowed(model: Any, kept: Sequence[int] | npt.NDArray[np.intp]) -> Any:
    """Return a copy of a model with some of its features, in the given order."""
    narrowed = copy.copy(model)
    narrowed.components_ = np.ascontiguousarray(model.components_[:, kept])
    narrowed.feature_names_in_ = np.asarray(model.feature_names_in_, object)[kept]
    narrowed.n_features_in_ = len(kept)
    fixed = getattr(model, "fixed_programs", None)
    if fixed is not None:
        narrowed.fixed_programs = np.asarray(by_name(fixed, model.feature_names_in_))[:, kept]
    vars(narrowed).pop("_online", None)  # sums over features that are no longer there
    return narrowed
