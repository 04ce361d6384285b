"""What the estimators share: checks, exact projection, reconstruction, the record of a fit."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.factorize._checks import check_count
from partwise.factorize._counts import check_sizes, project_counts
from partwise.factorize._masking import check_observed, warn_unseen
from partwise.factorize._other_names import advice_on, refuse_names
from partwise.factorize._scale import exponent_of, exponent_of_block, times_power
from partwise.matrix.masks import Hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import Statistics
from partwise.matrix.thin import thin_rows
from partwise.objectives import Constraints, ElasticNet, Penalties
from partwise.results import Factorization
from partwise.solvers.state import exact_problem, residual
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["LOSSES", "BaseNMF"]

Array = npt.NDArray[Any]

LOSSES = ("frobenius", "kullback-leibler")
#: Components where none are asked for: this many, or as many as there are features.
_DEFAULT_COMPONENTS = 10


class BaseNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What the estimators share: checks, exact projection, reconstruction, tags."""

    components_: Array
    n_features_in_: int
    result_: Factorization

    def transform(
        self, X: Any, *, mask: Any = None, weights: Any = None, size_factors: Any = None
    ) -> Array:
        """Return the usage of the fitted programs by new observations.

        Each row solves min over w >= 0 of 1/2 ||x - w H||^2 plus the penalty of the usage,
        exactly, by block principal pivoting; over its observed entries, by their weights. A row
        without any gets a usage of 0. Under the Kullback-Leibler loss each row minimises its
        deviance, by Newton's method.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Observations with the features of the fit.
        mask, weights, size_factors
            Entries that are hidden or count less, and sizes of the rows, as in `fit`; NaN is
            hidden.

        Returns
        -------
        ndarray, n x k
            Usage.

        Raises
        ------
        DataError
            If X does not fit the model, or has negative or infinite values that are not hidden.
        """
        check_is_fitted(self)
        self._check_sizes(size_factors)
        k = self.components_.shape[0]
        if self._counts:
            return self._project_counts(X, mask, weights, size_factors)[0]
        with single_thread_blas():
            matrix, usage, _, statistics = self._project(X, mask, weights)
        warn_unseen(statistics.unseen)
        rows: Array = times_power(thin_rows(usage, matrix.stride(k), k).copy(), matrix.exponent)
        return rows

    def _project(
        self, X: Any, mask: Any, weights: Any
    ) -> tuple[DataMatrix, Array, Array, Statistics]:
        """Solve the usage of new observations; return it and the programs as flat thin matrices."""
        dtype = self.components_.dtype
        X, hidden = check_observed(self, X, mask, weights, reset=False, dtype=dtype)
        k = self.components_.shape[0]
        power = exponent_of_block(X, hidden)
        matrix = self._matrix(times_power(X, -power), k, hidden)
        matrix.exponent = power
        usage = matrix.thin(matrix.shape[0], k)
        programs = matrix.thin(matrix.shape[1], k, self.components_.T)
        signed = self._signed == "usage"
        penalty = self._penalties(k).scaled(power).usage
        problem = exact_problem(matrix, programs, penalty, signed=signed)
        return matrix, usage, programs, matrix.sweep(programs, problem, usage)

    def _project_counts(
        self, X: Any, mask: Any, weights: Any, size_factors: Any
    ) -> tuple[Array, float, float]:
        """Return the usage of new counts, its deviance, and that of the rank-one model."""
        dtype = self.components_.dtype
        X, hidden = check_observed(self, X, mask, weights, reset=False, dtype=dtype)
        sizes = check_sizes(size_factors, X.shape[0])
        penalties = self._penalties(self.components_.shape[0])
        n_threads = resolve_threads(self.n_threads)
        with single_thread_blas():
            return project_counts(X, hidden, self.components_, penalties, sizes, n_threads)

    @property
    def _counts(self) -> bool:
        """Whether the loss is that of counts."""
        return bool(getattr(self, "loss", "frobenius") == "kullback-leibler")

    def _check_sizes(self, size_factors: Any) -> None:
        """Refuse size factors where they mean nothing."""
        if size_factors is not None and not self._counts:
            raise UsageError(
                "size_factors go with loss='kullback-leibler'; under the Frobenius loss, divide "
                "the rows by them"
            )

    def inverse_transform(self, X: Any) -> Array:
        """Return usage @ programs, n x p.

        Parameters
        ----------
        X : array-like or sparse matrix, n x k
            Usage.

        Returns
        -------
        ndarray, n x p
            The data as the model has them.
        """
        check_is_fitted(self)
        try:
            usage = np.asarray(X.toarray() if sp.issparse(X) else X, self.components_.dtype)
        except (TypeError, ValueError) as error:
            raise DataError(f"usage must be an array of numbers: {error}") from None
        if usage.ndim != 2 or usage.shape[1] != self.components_.shape[0]:
            raise UsageError(
                f"usage must have {self.components_.shape[0]} columns, not shape {usage.shape}"
            )
        product: Array = usage @ self.components_
        return product

    def score(
        self,
        X: Any,
        y: object = None,
        *,
        mask: Any = None,
        weights: Any = None,
        size_factors: Any = None,
    ) -> float:
        """Return the share of ||X||^2 that the model explains: 1 - ||X - W H||^2 / ||X||^2.

        Under the Kullback-Leibler loss, the share of the deviance of the rank-one model (row
        totals times column totals) that it explains.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Observations; their usage W is found by `transform`.
        y : ignored
            For scikit-learn's grammar.
        mask, weights, size_factors
            As in `transform`; hidden entries are left out of both sums.

        Returns
        -------
        float
            1 is exact, 0 is what all zeros (or the rank-one model) reach.
        """
        check_is_fitted(self)
        self._check_sizes(size_factors)
        if self._counts:
            _, deviance, null = self._project_counts(X, mask, weights, size_factors)
            return 1.0 - deviance / null if null > 0 else 1.0
        k = self.components_.shape[0]
        with single_thread_blas():
            matrix, usage, programs, statistics = self._project(X, mask, weights)
            rest = residual(matrix, statistics, usage, programs, self._penalties(k))
        norm = matrix.squared_norm
        return 1.0 if norm == 0 else 1.0 - rest / norm

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def _matrix(self, X: Any, k: int, hidden: Hidden | None = None) -> DataMatrix:
        n_threads = resolve_threads(self.n_threads)
        return DataMatrix(X, k, dtype=np.dtype(X.dtype), n_threads=n_threads, hidden=hidden)

    def _scaled_matrix(
        self, X: Any, k: int, hidden: Hidden, *, least: int | None = None
    ) -> DataMatrix:
        """Return the data of a fit, times a power of two where their size needs it.

        Its exponent is at least `least`, that of the data before.
        """
        matrix = self._matrix(X, k, hidden)
        power = exponent_of(matrix)
        power = power if least is None or matrix.squared_norm == 0 else max(power, least)
        if power != 0:
            matrix = self._matrix(times_power(X, -power), k, hidden)
            matrix.exponent = power
        return matrix

    @property
    def _signed(self) -> str | None:
        """The factor that may be negative; then X may be, too."""
        signed: str | None = getattr(self, "signed", None)
        return signed

    def _penalties(self, k: int) -> Penalties:
        return Penalties(
            ElasticNet.build(self.l1_usage, self.l2_usage, k, factor="usage"),
            ElasticNet.build(self.l1_programs, self.l2_programs, k, factor="programs"),
            self._constraints(k).pinned(k),
        )

    def _constraints(self, k: int) -> Constraints:
        """Return what the factors must be; estimators that offer no constraints have none."""
        return Constraints()

    def set_params(self, **params: Any) -> Self:
        """Set parameters, as scikit-learn does.

        Parameters
        ----------
        **params
            Parameters of `__init__`, by name.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        UsageError
            If there is no such parameter.
        """
        own = [name for name in params if "__" not in name]
        refuse_names(type(self).__name__, own, self._get_param_names())
        super().set_params(**params)
        return self

    def _count(self, shape: tuple[int, int]) -> int:
        """Return the number of components; more than the data can need is allowed, with advice."""
        n, p = shape
        if self.n_components is None:
            return min(_DEFAULT_COMPONENTS, p)
        if isinstance(self.n_components, str):
            advice = advice_on("n_components", self.n_components)
            raise UsageError(
                f"n_components must be a whole number from 1 up, not {self.n_components!r}{advice}"
            )
        k = check_count(self.n_components, "n_components")
        most = min(n, p)
        if k > most:
            what = f"{p} feature" if p <= n else f"{n} observation"
            plural, few = ("s", f". Take fewer than {most}") if most > 1 else ("", "")
            warnings.warn(
                f"n_components={k} exceeds the {what}{plural}: {most} component{plural} already "
                f"fit the data exactly, and the programs are not unique{few}",
                PartwiseWarning,
                stacklevel=3,
            )
        return k

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self._signed is None
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
