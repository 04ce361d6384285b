"""Consensus of many factorizations of the same data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from partwise.exceptions import UsageError
from partwise.factorize._base import BaseNMF
from partwise.factorize._checks import check_count, check_number, is_source
from partwise.factorize._consensus_fits import (
    by_share,
    entropy_of,
    fit_replicates,
    kmeans_seed,
    solve_usage,
    warn_of,
)
from partwise.factorize._consensus_programs import check_replicates, consensus_programs, reordered
from partwise.factorize._consensus_record import Consensus
from partwise.factorize._consensus_refit import gene_scores
from partwise.factorize._masking import check_observed, check_seen
from partwise.factorize._scale import times_power
from partwise.matrix.matrix import DataMatrix
from partwise.solvers.state import Settings
from partwise.utils.threads import single_thread_blas

__all__ = ["ConsensusNMF"]

Array = npt.NDArray[Any]
Seed = int | np.random.Generator | np.random.RandomState | None

LOSSES = ("frobenius",)


class ConsensusNMF(BaseNMF):
    """Consensus non-negative matrix factorization (cNMF).

    X is factorized from many random starts. The programs of all fits are scaled to length 1; those
    that few other fits found are left out; the others are clustered by k-means, and the median of
    each cluster is a program. The usage is then solved exactly, min over W >= 0 of ||X - W H||^2.

    The method wants genes of unit variance that are not centred, of counts that are not logarithms:
    see `partwise.prepare`.

    Parameters
    ----------
    n_components : int, optional
        Number of programs k; by default 10, or the number of features where that is smaller.
        `consensus_ranks` helps to choose it.
    n_replicates : int
        Number of fits, at least 2.
    density_threshold : float
        Programs whose local density, the mean distance to their nearest neighbours among the
        programs of all fits, is at least this are left out; 2 or more keeps all.
    local_neighborhood_size : float
        Number of those neighbours, as a share of `n_replicates`.
    loss : {"frobenius"}
        What the fits minimise: ||X - W H||^2.
    tol : float
        Tolerance of each fit, as in `NMF`.
    max_iter : int
        Most passes of each fit.
    random_state : int, Generator, RandomState or None
        Seed of the starts and of k-means.
    n_threads : int, optional
        Fits at a time; by default $PARTWISE_NUM_THREADS, else all CPUs of the process. The result
        does not depend on it.

    Attributes
    ----------
    components_ : ndarray, k x p
        Programs, each of sum 1, by how much of the rows' usage they make up in all.
    n_components_ : int
        Number of programs.
    reconstruction_err_ : float
        ||X - W H||, over the observed entries and by their weights.
    n_iter_ : int
        Passes of the fit that took most; 0 where the replicates were given.
    result_ : Consensus
        Stability, error, usage, the replicate programs with their local density and cluster.

    References
    ----------
    Kotliar et al. (2019), eLife 8:e43803.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import ConsensusNMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(0.3, size=(200, 3)) @ rng.gamma(0.3, size=(3, 30))
    >>> model = ConsensusNMF(3, n_replicates=10, random_state=0)
    >>> usage = model.fit_transform(X)
    >>> usage.shape, bool(model.result_.stability > 0.9)
    ((200, 3), True)
    """

    #: nothing is penalised
    l1_usage = l2_usage = l1_programs = l2_programs = 0.0
    result_: Consensus  # type: ignore[assignment]

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_replicates: int = 100,
        density_threshold: float = 0.5,
        local_neighborhood_size: float = 0.3,
        loss: str = "frobenius",
        tol: float = 1e-5,
        max_iter: int = 500,
        random_state: Seed = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_replicates = n_replicates
        self.density_threshold = density_threshold
        self.local_neighborhood_size = local_neighborhood_size
        self.loss = loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(
        self,
        X: Any,
        y: object = None,
        *,
        mask: Any = None,
        weights: Any = None,
        replicates: npt.ArrayLike | None = None,
    ) -> Self:
        """Find the programs.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        mask, weights
            Entries that are hidden or count less, as in `NMF.fit`; NaN is hidden.
        replicates : array-like, m x p, optional
            Programs of fits made before, e.g. `ConsensusRanks.replicates[k]`; nothing is then
            fitted but the usage.

        Returns
        -------
        ConsensusNMF
            The fitted estimator.

        Raises
        ------
        DataError
            If X cannot be factorized, or the filter leaves too few replicate programs; the text
            says which threshold keeps how many.
        UsageError
            If a parameter cannot be used.
        """
        self._fit(X, mask, weights, replicates)
        return self

    def fit_transform(
        self,
        X: Any,
        y: object = None,
        *,
        mask: Any = None,
        weights: Any = None,
        replicates: npt.ArrayLike | None = None,
    ) -> Array:
        """Find the programs and return their usage.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        mask, weights
            Entries that are hidden or count less, as in `NMF.fit`; NaN is hidden.
        replicates : array-like, m x p, optional
            Programs of fits made before; see `fit`.

        Returns
        -------
        ndarray, n x k
            Usage.
        """
        return self._fit(X, mask, weights, replicates)

    def gene_scores(self, X: Any, *, usage: npt.ArrayLike | None = None) -> Array:
        """Return how strongly genes go with the programs, k x q.

        Coefficients of a least squares regression of z-scored expression on the usage; see
        `partwise.factorize.gene_scores`.

        Parameters
        ----------
        X : array or sparse matrix, n x q
            Expression of the rows of the fit, of any genes; cNMF takes transcripts per million.
        usage : array-like, n x k, optional
            Usage by the rows of X where they are not those of the fit.

        Returns
        -------
        ndarray, k x q
            Scores, in standard deviations of the gene per unit of usage.
        """
        check_is_fitted(self)
        known = self.result_.usage if usage is None else usage
        if known is None:
            raise UsageError("this model was saved without its usage: pass usage=transform(X)")
        return gene_scores(X, known)

    def _fit(self, X: Any, mask: Any, weights: Any, replicates: npt.ArrayLike | None) -> Array:
        self._check_parameters()
        X, hidden = check_observed(self, X, mask, weights, reset=True)
        k = self._count(X.shape)
        seed = entropy_of(self.random_state)
        with single_thread_blas():
            matrix = self._scaled_matrix(X, k, hidden)
            check_seen(matrix)
            spectra, details, n_iter = self._replicates(
                matrix, k, seed, replicates, at_once=1 if is_source(X) else None
            )
            found = consensus_programs(
                spectra,
                k,
                density_threshold=self.density_threshold,
                local_neighborhood_size=self.local_neighborhood_size,
                seed=kmeans_seed(seed, k),
            )
            refit = solve_usage(matrix, found.programs, self._penalties(k))
            order = by_share(refit.usage)
            if not np.array_equal(order, np.arange(k)):
                # solved again, so that `transform` of the same rows gives the same bits
                found = reordered(found, order)
                refit = solve_usage(matrix, found.programs, self._penalties(k))
        self.components_ = np.ascontiguousarray(found.programs.astype(matrix.dtype))
        self.n_components_ = k
        self.n_iter_ = n_iter
        power = matrix.exponent
        usage: Array = times_power(refit.usage, power)
        self.reconstruction_err_ = float(np.ldexp(np.sqrt(refit.error), power))
        self.result_ = replace(
            found,
            usage=usage,
            error=float(np.ldexp(refit.error, 2 * power)),
            relative_error=refit.relative_error,
            details=details,
        )
        return usage.copy()

    def _replicates(
        self,
        matrix: DataMatrix,
        k: int,
        seed: int,
        given: npt.ArrayLike | None,
        at_once: int | None,
    ) -> tuple[Array, dict[str, float], int]:
        """Return the programs of all fits, numbers about the fits, and their most passes."""
        if given is not None:
            spectra = check_replicates(given, k, matrix.shape[1])
            return spectra, {"n_replicates": float(len(spectra) // k)}, 0
        settings = self._settings(k)
        fits = fit_replicates(matrix, k, self.n_replicates, settings, seed, at_once=at_once)
        warn_of(fits.unconverged, self.n_replicates, self.max_iter)
        return fits.programs, fits.details, int(fits.n_iter.max())

    def _check_parameters(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"loss must be one of {LOSSES}, not {self.loss!r}")
        check_count(self.n_replicates, "n_replicates", least=2)

    def _settings(self, k: int) -> Settings:
        return Settings(
            tol=check_number(self.tol, "tol"),
            max_iter=check_count(self.max_iter, "max_iter"),
            penalties=self._penalties(k),
        )
