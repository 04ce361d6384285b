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
            f"program {int(self.programs.argmin()) + 1} is covered to {100 * self.lowest:.1f} % of its "
            f"weight, and at least {100 * least:g} % are asked for. Missing: {few}. Are the names "
            "of the same kind (symbols, or Ensembl identifiers)?"
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
    doubled = [str(known[j]) for j in kept if known[j] in twice]
    if doubled:
        raise DataError(
            f"{len(doubled):,} features that the model needs are there more than once; rename them "
            "or leave one out",
            column=doubled[0],
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


def row_fit(X: Any, usage: Array, programs: Array) -> npt.NDArray[np.float64]:
    """Return how well each row is fitted: 1 - ||x - w H||^2 / ||x||^2.

    Parameters
    ----------
    X
        Array, CSR matrix or block source, n x p.
    usage
        W, n x k.
    programs
        H, k x p.

    Returns
    -------
    numpy.ndarray
        n values; 1 is exact, 0 is what all zeros reach, NaN where a row is all zero.
    """
    h = np.asarray(programs, np.float64)
    gram = h @ h.T
    fit = np.empty(usage.shape[0])
    for first, block in _blocks(X):
        rows = slice(first, first + block.shape[0])
        w = np.asarray(usage[rows], np.float64)
        values = block.astype(np.float64)
        if sp.issparse(values):
            square = np.asarray(values.multiply(values).sum(axis=1)).ravel()
        else:
            square = np.einsum("ij,ij->i", values, values)
        cross = np.einsum("ik,ik->i", np.asarray(values @ h.T), w)
        model = np.einsum("ik,kl,il->i", w, gram, w, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            fit[rows] = np.where(square > 0, (2 * cross - model) / square, np.nan)
    return fit


def _blocks(X: Any) -> Iterator[tuple[int, Any]]:
    n, p = X.shape
    if hasattr(X, "blocks"):
        yield from X.blocks(0, n)
        return
    rows = max(1, _CELLS // max(1, p))
    for first in range(0, n, rows):
        yield first, X[first : first + rows]


def _covered(programs: Array, kept: list[int]) -> npt.NDArray[np.float64]:
    weight = np.abs(np.asarray(programs, np.float64))
    total = weight.sum(axis=1)
    return np.where(total > 0, weight[:, kept].sum(axis=1) / np.where(total > 0, total, 1), 1.0)


def _narrowed(model: Any, kept: list[int]) -> Any:
    narrowed = copy.copy(model)
    narrowed.components_ = np.ascontiguousarray(model.components_[:, kept])
    narrowed.feature_names_in_ = np.asarray(model.feature_names_in_, object)[kept]
    narrowed.n_features_in_ = len(kept)
    vars(narrowed).pop("_online", None)  # sums over features that are no longer there
    return narrowed
