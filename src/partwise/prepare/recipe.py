"""What was done to the values before a fit, so that it can be done again to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError

__all__ = ["PreparedSource", "Recipe", "row_totals"]


@dataclass(frozen=True)
class Recipe:
    """Steps that work row by row: they mean the same for the rows of a fit and for new ones.

    Attributes
    ----------
    target
        Sum to which each row is scaled, over all features that are there; None leaves rows alone.
    log
        Whether the natural logarithm of 1 + x is taken then.

    Examples
    --------
    >>> Recipe(target=4.0).apply(np.array([[1.0, 1.0], [0.0, 0.0]])).tolist()
    [[2.0, 2.0], [0.0, 0.0]]
    """

    target: float | None = None
    log: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self.target is not None or self.log

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The record, as plain values; `from_steps` reads it."""
        steps: list[dict[str, Any]] = []
        if self.target is not None:
            steps.append({"step": "normalize_total", "target": float(self.target)})
        if self.log:
            steps.append({"step": "log1p", "base": "e"})
        return steps

    @classmethod
    def from_steps(cls, steps: Sequence[Mapping[str, Any]]) -> Recipe:
        """Read what `steps` wrote.

        Raises
        ------
        DataError
            If a step is unknown, or they stand in another order.
        """
        names = [str(step.get("step")) for step in steps]
        if "normalize_by_fov" in names:
            raise DataError(
                "the model was fitted on values divided by the means of their fields of view "
                "(normalize_by_fov), which takes all cells of each: only `partwise cluster` "
                "can prepare new cells the same way"
            )
        if names not in ([], ["normalize_total"], ["log1p"], ["normalize_total", "log1p"]):
            raise DataError(f"the preparation {names} is not known to this partwise: update it")
        target = next((float(s["target"]) for s in steps if s["step"] == "normalize_total"), None)
        return cls(target=target, log="log1p" in names)

    @classmethod
    def of(cls, model: Any) -> Recipe:
        """Read what a model records of its preparation.

        The choice of features is no step of rows: it shows in the model's names.
        """
        steps = getattr(model, "preparation_", [])
        return cls.from_steps([s for s in steps if s.get("step") != "overdispersed_genes"])

    @property
    def text(self) -> str:
        """The steps in words."""
        words = []
        if self.target is not None:
            words.append(f"each row scaled to a sum of {self.target:g}")
        if self.log:
            words.append("log(1 + x)")
        return ", ".join(words) or "none"

    def apply(self, X: Any) -> Any:
        """Return prepared values.

        Parameters
        ----------
        X : array, CSR matrix or block source, n x p
            Non-negative values of all features.

        Returns
        -------
        array, CSR matrix or block source
            Of the same kind; rows of zeros stay zero. X is not changed.
        """
        if not self:
            return X
        if hasattr(X, "blocks"):
            return PreparedSource(X, self)
        if sp.issparse(X):
            X = sp.csr_matrix(X)
            values = self._values(X.data, np.repeat(self._factors(X), np.diff(X.indptr)))
            return sp.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
        X = np.asarray(X)
        return self._values(X, self._factors(X)[:, None])

    def _factors(self, X: Any) -> npt.NDArray[np.float64]:
        n = X.shape[0]
        if self.target is None:
            return np.ones(n)
        totals = row_totals(X)
        return np.divide(self.target, totals, out=np.ones(n), where=totals > 0)

    def _values(self, values: npt.NDArray[Any], factors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        kind = values.dtype if values.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        result = values.astype(kind)
        if self.target is not None:
            result *= factors.astype(kind)
        return np.log1p(result, out=result) if self.log else result


class PreparedSource:
    """A block source whose rows are prepared as they are read, and then cut to some columns.

    Parameters
    ----------
    source
        Rows of all features.
    recipe
        What is done to them.
    columns
        Positions of the columns to hand out; None means all.
    """

    def __init__(
        self, source: Any, recipe: Recipe, columns: npt.NDArray[np.intp] | None = None
    ) -> None:
        self._source = source
        self._recipe = recipe
        self._columns = columns
        n, p = source.shape
        self.shape = (int(n), int(p) if columns is None else len(columns))
        self.dtype = source.dtype

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        for first, block in self._source.blocks(start, stop):
            done = self._recipe.apply(block)
            yield first, done if self._columns is None else done[:, self._columns]

    def take(self, columns: npt.NDArray[np.intp]) -> PreparedSource:
        """Return the same source with some of its columns."""
        if self._columns is not None:
            columns = self._columns[columns]
        return PreparedSource(self._source, self._recipe, columns)


def row_totals(X: Any) -> npt.NDArray[np.float64]:
    """Return the sum of each row in float64, of a matrix or a block source.

    Raises
    ------
    UsageError
        If X has no rows.
    """
    if X.shape[0] == 0:
        raise UsageError("there are no rows")
    if not hasattr(X, "blocks"):
        totals: npt.NDArray[np.float64] = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
        return totals
    return np.concatenate([row_totals(block) for _, block in X.blocks(0, X.shape[0])])
