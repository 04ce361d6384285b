"""Consensus of many factorizations of the same data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from partwise.exceptions import UsageError
from partwise.factorize._base import LOSSES, BaseNMF
from partwise.factorize._checks import check_count, check_number, is_source
from partwise.factorize._consensus_fits import (
    Counts,
    Limits,
    Problem,
    Squares,
    by_share,
    entropy_of,
    kmeans_seed,
    warn_of,
)
from partwise.factorize._consensus_programs import check_replicates, consensus_programs, reordered
from partwise.factorize._consensus_record import Consensus
from partwise.factorize._consensus_refit import gene_scores
from partwise.factorize._counts import check_sizes
from partwise.factorize._masking import check_observed, check_seen
from partwise.factorize._other_names import check_choice, named
from partwise.matrix.masks import Hidden
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["ConsensusNMF"]

Array = npt.NDArray[Any]
Seed = int | np.random.Generator | np.random.RandomState | None


class ConsensusNMF(BaseNMF):
    """Consensus non-negative matrix factorization (cNMF).

    X is factorized from many random starts. The programs of all fits are scaled to length 1; those
    that few other fits found are left out; the others are clustered by k-means, and the median of
    each cluster is a program. The usage is then solved exactly, min over W >= 0 of the loss.

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
    loss : {"frobenius", "kullback-leibler"}
        What the fits, and then the usage, minimise: ||X - W H||^2, or the deviance of Poisson
        counts.
    tol : float
        Tolerance of each fit, as in `NMF`. Less makes the fits of a rank look less alike than they
        are.
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
        ||X - W H||, over the observed entries and by their weights; under the Kullback-Leibler
        loss, the root of twice the deviance.
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

    @named
    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_replicates: int = 100,
        density_threshold: float = 0.5,
        local_neighborhood_size: float = 0.3,
        loss: str = "frobenius",
        tol: float = 1e-6,
        max_iter: int = 1000,
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
        size_factors: Any = None,
        replicates: npt.ArrayLike | None = None,
    ) -> Self:
        """Find the programs.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        mask, weights, size_factors
            Entries that are hidden or count less, and sizes of the rows (Kullback-Leibler loss),
            as in `NMF.fit`; NaN is hidden.
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
        self._fit(X, mask, weights, size_factors, replicates)
        return self

    def fit_transform(
        self,
        X: Any,
        y: object = None,
        *,
        mask: Any = None,
        weights: Any = None,
        size_factors: Any = None,
        replicates: npt.ArrayLike | None = None,
    ) -> Array:
        """Find the programs and return their usage.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        mask, weights, size_factors
            Entries that are hidden or count less, and sizes of the rows (Kullback-Leibler loss),
            as in `NMF.fit`; NaN is hidden.
        replicates : array-like, m x p, optional
            Programs of fits made before; see `fit`.

        Returns
        -------
        ndarray, n x k
            Usage.
        """
        return self._fit(X, mask, weights, size_factors, replicates)

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

    def _fit(
        self,
        X: Any,
        mask: Any,
        weights: Any,
        size_factors: Any,
        replicates: npt.ArrayLike | None,
    ) -> Array:
        self._check_parameters()
        self._check_sizes(size_factors)
        X, hidden = check_observed(self, X, mask, weights, reset=True)
        k = self._count(X.shape)
        limits = self._limits()
        with single_thread_blas():
            problem = self._problem(X, k, hidden, size_factors)
            spectra, details, n_iter = self._replicates(problem, k, X.shape[1], limits, replicates)
            found = consensus_programs(
                spectra,
                k,
                density_threshold=self.density_threshold,
                local_neighborhood_size=self.local_neighborhood_size,
                seed=kmeans_seed(limits.entropy, k),
            )
            refit = problem.solve(found.programs, self._penalties(k))
            order = by_share(refit.usage)
            if not np.array_equal(order, np.arange(k)):
                # solved again, so that `transform` of the same rows gives the same bits
                found = reordered(found, order)
                refit = problem.solve(found.programs, self._penalties(k))
        self.components_ = np.ascontiguousarray(found.programs.astype(X.dtype))
        self.n_components_ = k
        self.n_iter_ = n_iter
        self.reconstruction_err_ = refit.length
        self.result_ = replace(
            found,
            usage=refit.usage,
            error=refit.error,
            relative_error=refit.relative_error,
            details=details,
        )
        return refit.usage.copy()

    def _problem(self, X: Any, k: int, hidden: Hidden, size_factors: Any = None) -> Problem:
        """Return the data under the loss, laid out for all fits."""
        if self.loss == "kullback-leibler":
            sizes = check_sizes(size_factors, X.shape[0])
            return Counts(X, hidden, sizes, resolve_threads(self.n_threads))
        matrix = self._scaled_matrix(X, k, hidden)
        check_seen(matrix)
        # data on disk are read in each pass: their threads work inside each fit
        return Squares(matrix, at_once=1 if is_source(X) else None)

    def _replicates(
        self, problem: Problem, k: int, p: int, limits: Limits, given: npt.ArrayLike | None
    ) -> tuple[Array, dict[str, float], int]:
        """Return the programs of all fits, numbers about the fits, and their most passes."""
        if given is not None:
            spectra = check_replicates(given, k, p)
            return spectra, {"n_replicates": float(len(spectra) // k)}, 0
        fits = problem.fit(k, limits, self._penalties(k), None)
        warn_of(fits.unconverged, self.n_replicates, self.max_iter)
        return fits.programs, fits.details, int(fits.n_iter.max())

    def _check_parameters(self) -> None:
        check_choice("loss", self.loss, LOSSES)

    def _limits(self) -> Limits:
        return Limits(
            n_replicates=check_count(self.n_replicates, "n_replicates", least=2),
            tol=check_number(self.tol, "tol"),
            max_iter=check_count(self.max_iter, "max_iter"),
            entropy=entropy_of(self.random_state),
        )
