"""Neighbours behind scikit-learn's grammar, as scanpy's `neighbors(transformer=...)` takes them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from partwise.exceptions import UsageError
from partwise.graph.neighbors import METHODS, METRICS, neighbors
from partwise.results import Neighbors

__all__ = ["KNeighborsTransformer"]

Array = npt.NDArray[Any]


class KNeighborsTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn rows into the sparse graph of their nearest rows.

    Entry (i, j) is the distance of row i to row j of the fit where j is among the nearest of i.
    As in scikit-learn's transformer of the same name, each row lists itself first, at distance 0,
    and then its n_neighbors nearest others, from near to far.

    Parameters
    ----------
    n_neighbors : int
        Neighbours per row, the row itself not counted; with fewer rows, all others. scanpy counts
        the row: its graph then has n_neighbors - 1 others.
    metric : {"euclidean", "cosine"}
        Distance; cosine is 1 - cos, as scikit-learn has it.
    method : {"auto", "kd-tree", "brute", "nn-descent"}
        How neighbours are found, see `partwise.neighbors`; all but the last are exact.
    random_state : int
        Seed of the approximate method.
    n_threads : int, optional
        Threads; the result does not depend on them.

    Attributes
    ----------
    n_samples_fit_ : int
        Rows of the fit.
    neighbors_ : Neighbors
        The lists of the fit's rows, self excluded, with method and recall.

    Examples
    --------
    >>> import numpy as np
    >>> graph = KNeighborsTransformer(1).fit_transform(np.array([[0.0], [1.0], [3.0]]))
    >>> graph.toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        *,
        metric: str = "euclidean",
        method: str = "auto",
        random_state: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.method = method
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: Any, y: object = None) -> Self:
        """Find the neighbours of each row.

        Parameters
        ----------
        X : array-like, n x p
            Finite values.
        y : ignored
            For scikit-learn's grammar.

        Returns
        -------
        KNeighborsTransformer
            Fitted.

        Raises
        ------
        UsageError
            If a parameter cannot be used.
        DataError
            If values are not finite, or a row has no direction for the cosine.
        """
        self._check_parameters()
        self._points = validate_data(self, X, dtype=[np.float64, np.float32])
        self.neighbors_ = neighbors(
            self._points,
            self.n_neighbors,
            metric=self.metric,
            method=self.method,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )
        self.n_samples_fit_ = int(self._points.shape[0])
        return self

    def transform(self, X: Any) -> sp.csr_matrix:
        """Return the graph from new rows to those of the fit.

        Parameters
        ----------
        X : array-like, m x p
            Rows. Those of the fit, given as a whole, list themselves first; of other rows the
            n_neighbors + 1 nearest are listed, found exactly.

        Returns
        -------
        scipy.sparse.csr_matrix
            m x n distances, n_neighbors + 1 in each row.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        if rows.shape == self._points.shape and np.array_equal(rows, self._points):
            return self._graph_of_fit()
        from sklearn.neighbors import NearestNeighbors

        n = self.n_samples_fit_
        found = NearestNeighbors(n_neighbors=min(n, self.n_neighbors + 1), metric=self.metric)
        distances, indices = found.fit(self._points).kneighbors(rows)
        return _graph(indices, distances, n)

    def fit_transform(self, X: Any, y: object = None) -> sp.csr_matrix:
        """Return the graph between the rows of X.

        Parameters
        ----------
        X : array-like, n x p
            Finite values.
        y : ignored
            For scikit-learn's grammar.

        Returns
        -------
        scipy.sparse.csr_matrix
            n x n distances, n_neighbors + 1 in each row, that of the row itself first.
        """
        return self.fit(X)._graph_of_fit()

    @property
    def _n_features_out(self) -> int:
        return self.n_samples_fit_

    def _check_parameters(self) -> None:
        whole = isinstance(self.n_neighbors, int | np.integer)
        if not whole or isinstance(self.n_neighbors, bool) or self.n_neighbors < 1:
            raise UsageError(
                f"n_neighbors must be a whole number from 1 up, not {self.n_neighbors!r}"
            )
        for name, value, known in (
            ("metric", self.metric, METRICS),
            ("method", self.method, METHODS),
        ):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    def _graph_of_fit(self) -> sp.csr_matrix:
        found: Neighbors = self.neighbors_
        n = found.indices.shape[0]
        distances = found.distances.astype(np.float64)
        if self.metric == "cosine":
            distances = np.square(distances) / 2  # between rows of length one: 1 - cos
        itself = np.arange(n, dtype=np.int32)[:, None]
        return _graph(
            np.hstack([itself, found.indices]), np.hstack([np.zeros((n, 1)), distances]), n
        )


def _graph(indices: Array, distances: Array, n: int) -> sp.csr_matrix:
    """Return lists as compressed rows, in the order of the lists; zeros stay stored."""
    m, k = indices.shape
    pointer = np.arange(0, m * k + 1, k)
    columns = indices.ravel().astype(np.int32)
    return sp.csr_matrix((distances.ravel(), columns, pointer), shape=(m, n))
