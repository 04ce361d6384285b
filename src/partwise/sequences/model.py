"""SeqNMF: convolutional factorization of recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from partwise.exceptions import UsageError
from partwise.results import Status
from partwise.sequences._fit import Fitted, fit_state, natural, project, windowed
from partwise.sequences._inputs import Prepared, prepare
from partwise.sequences._problem import Penalty, State
from partwise.sequences._setup import (
    check_parameters,
    count_fixed,
    in_units,
    run_matlab,
    settings_of,
    start_of,
)
from partwise.sequences.products import reconstruct
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["SeqNMF"]

Array = npt.NDArray[Any]

#: The activations of fixed motifs are a convex problem: it is solved, whatever stops a fit.
_PROJECT_ITER, _PROJECT_TOL = 200, 1e-9


class SeqNMF(BaseEstimator):  # type: ignore[misc]
    r"""Factorize a recording into sequences that recur.

    The data X (N units x T frames) are explained by K motifs W (N x K x L) that begin where the
    activations H (K x T) say:

    .. math:: \hat X_{nt} = \sum_k \sum_{l=0}^{L-1} W_{nkl} H_{k,t-l}

    by minimising :math:`\frac12 \lVert X - \hat X \rVert^2 + \lambda \sum_{i \ne j}
    |(W^\top \circledast X) S H^\top|_{ij}` plus further penalties. The second term, in which S
    smooths over the 2L - 1 frames around, forbids two motifs to explain the same events: motifs
    that are not needed end empty. The model is never formed: updates use the Grams of the motifs
    over their lags, and two products with the data.

    Parameters
    ----------
    n_components : int
        Motifs at most, K.
    n_lags : int
        Frames of a motif, L; less than the recording has.
    lambda_ : float
        Weight of the cross-orthogonality term; `select_lambda` finds its scale.
    l1_W, l1_H : float
        Weight of the sum of the motifs; of the activations.
    ortho_H : float
        Weight of the overlap of activations in time (events-based factors).
    ortho_W : float
        Weight of the overlap of motifs in units (parts-based factors).
    use_W_update : bool
        Whether the cross-orthogonality term acts on the motifs, too.
    shift : bool
        Whether motifs are recentred within their lags in each iteration.
    solver : {"auto", "mu", "hals"}
        Multiplicative updates, or coordinate descent: faster, and often to a smaller error, but
        without the terms of `lambda_`, `ortho_H` and `ortho_W`. "auto" takes it where these are 0.
    backend : {"auto", "sparse", "fft", "direct"}
        How the data lie: as non-zeros, as transforms of blocks, or as they are. "auto" takes the
        one with the least work; sparse input stays sparse.
    motifs_init : array, N x K x L, optional
        Where motifs start; random if not given.
    activations_init : array, K x T, optional
        Where activations start.
    fixed_motifs : array, N x K' x L, optional
        Known motifs: the first K' of the K, which stay exactly as given.
    n_init : int
        Random starts; the one with the smallest error is kept.
    max_iter : int
        Iterations at most.
    tol : float
        Stop when the cost changes by less than this share per iteration; 0 never stops early. With
        the cross-orthogonality term not before 50 iterations: until motifs part, it hardly changes.
    sort : bool
        Whether factors are ordered by their loadings. Fixed motifs stay first.
    missing : {"raise", "hide"}
        What NaN means: an error, or an entry that is hidden.
    dtype : float32 or float64, optional
        Of data and factors; that of X if not given, float32 for other types.
    random_state : int, Generator, RandomState or None
        Seed of the starts.
    n_threads : int, optional
        Threads; results do not depend on their number.
    compat : {None, "matlab"}
        "matlab" repeats the original toolbox number by number, its defects included: slow, for
        comparison.

    Attributes
    ----------
    motifs_ : ndarray, N x K x L
        Motifs; lag 0 comes first.
    activations_ : ndarray, K x T
        Activations; a motif begins at the frame of its activation.
    before_ : ndarray, K x epochs x (L - 1)
        Activations in the frames before each epoch: of sequences that were under way when it began.
    epochs_ : tuple of (start, stop)
        Stretches of frames that were used.
    cost_ : ndarray, n_iter_ + 1
        Root mean squared error over the observed entries, before and after each iteration.
    loadings_ : ndarray, K
        Share of the sum of squares that each factor explains by itself.
    power_ : float
        Share of the sum of squares that all factors explain.
    empty_ : ndarray of bool, K
        Factors that ended without motif or activations.
    n_iter_ : int
        Iterations of the start that was kept.
    status_ : Status
        Why it stopped.
    n_features_in_ : int
        Units, N.

    References
    ----------
    Mackevicius et al., Unsupervised discovery of temporal sequences in high-dimensional datasets,
    with applications to neuroscience, eLife 8, e38471 (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.sequences import SeqNMF
    >>> motif = np.eye(6)[:, None, :]  # six units, one after the other
    >>> X = np.zeros((6, 300))
    >>> for start in (20, 75, 140, 222):
    ...     X[:, start : start + 6] += motif[:, 0]
    >>> model = SeqNMF(2, 8, lambda_=0.01, random_state=0).fit(X)
    >>> bool(model.power_ > 0.9)
    True
    """

    motifs_: Array
    activations_: Array

    def __init__(
        self,
        n_components: int = 10,
        n_lags: int = 100,
        *,
        lambda_: float = 0.001,
        l1_W: float = 0.0,
        l1_H: float = 0.0,
        ortho_H: float = 0.0,
        ortho_W: float = 0.0,
        use_W_update: bool = True,
        shift: bool = True,
        solver: str = "auto",
        backend: str = "auto",
        motifs_init: Any = None,
        activations_init: Any = None,
        fixed_motifs: Any = None,
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        sort: bool = True,
        missing: str = "raise",
        dtype: Any = None,
        random_state: Any = None,
        n_threads: int | None = None,
        compat: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_lags = n_lags
        self.lambda_ = lambda_
        self.l1_W = l1_W
        self.l1_H = l1_H
        self.ortho_H = ortho_H
        self.ortho_W = ortho_W
        self.use_W_update = use_W_update
        self.shift = shift
        self.solver = solver
        self.backend = backend
        self.motifs_init = motifs_init
        self.activations_init = activations_init
        self.fixed_motifs = fixed_motifs
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.sort = sort
        self.missing = missing
        self.dtype = dtype
        self.random_state = random_state
        self.n_threads = n_threads
        self.compat = compat

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        mask: Any = None,
        epochs: Any = None,
        callback: Callable[[int, float], None] | None = None,
    ) -> SeqNMF:
        """Find the sequences of a recording.

        Parameters
        ----------
        X : array-like, masked array, sparse matrix or FrameSource, N x T
            Units x frames, non-negative. What a masked array masks is hidden.
        y : ignored
            For scikit-learn's grammar.
        mask : bool array or sparse matrix, N x T, optional
            Entries to hide: True, or non-zero. Their values do not influence the fit.
        epochs : sequence of (start, stop), optional
            Stretches of frames to use; no motif reaches from one into the next.
        callback : callable, optional
            Called with the iteration and the cost.

        Returns
        -------
        SeqNMF
            The fitted model.

        Raises
        ------
        DataError
            If X has negative values, or NaN that is not hidden; names unit and frame.
        UsageError
            If a parameter cannot be used, such as motifs as long as the recording.
        """
        check_parameters(self)
        if self.compat == "matlab":
            if callback is not None:
                raise UsageError("compat='matlab' calls nobody: leave out callback")
            return self._fit_matlab(X, mask, epochs)
        rng = generator(self.random_state)
        with single_thread_blas():
            ready = self._prepare(X, mask, epochs)
            n_fixed = count_fixed(self, ready)
            best: Fitted | None = None
            settings = settings_of(self, ready, n_fixed)
            note = None if callback is None else in_units(callback, 2.0**-ready.exponent)
            for _ in range(self.n_init):
                found = fit_state(ready.problem, start_of(self, ready, rng), settings, note)
                if best is None or found.error < best.error:
                    best = found
        assert best is not None
        self._keep(best, ready, n_fixed)
        return self

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        mask: Any = None,
        epochs: Any = None,
        callback: Callable[[int, float], None] | None = None,
    ) -> Array:
        """Fit, and return the activations.

        Parameters
        ----------
        X, y, mask, epochs, callback
            As in `fit`.

        Returns
        -------
        ndarray, K x T
            Activations.
        """
        return self.fit(X, y, mask=mask, epochs=epochs, callback=callback).activations_

    def transform(self, X: Any, *, mask: Any = None, epochs: Any = None) -> Array:
        """Return the activations of the fitted motifs in a new recording.

        The motifs stay as they are; of the penalties only `l1_H` applies.

        Parameters
        ----------
        X : array-like, sparse matrix or FrameSource, N x T'
            The same units.
        mask, epochs
            As in `fit`.

        Returns
        -------
        ndarray, K x T'
            Activations.
        """
        return self._project(X, mask, epochs)[0]

    def score(self, X: Any, y: Any = None, *, mask: Any = None, epochs: Any = None) -> float:
        """Return the share of the sum of squares of a recording that the fitted motifs explain.

        Parameters
        ----------
        X, mask, epochs
            As in `transform`.
        y : ignored
            For scikit-learn's grammar.

        Returns
        -------
        float
            1 is exact, 0 is what all zeros reach.
        """
        return self._project(X, mask, epochs)[1]

    def reconstruct(self, *, activations: Any = None) -> Array:
        """Return the model of a recording.

        Parameters
        ----------
        activations : array, K x T, optional
            Those of the fit if not given, with what had begun before its epochs.

        Returns
        -------
        ndarray, N x T
            The model, dense.
        """
        check_is_fitted(self)
        if activations is not None:
            return reconstruct(self.motifs_, activations)
        model = reconstruct(self.motifs_, self.activations_, epochs=self.epochs_)
        reach = self.motifs_.shape[2] - 1
        for e, (start, stop) in enumerate(self.epochs_):
            under_way = np.zeros((len(self.before_), 2 * reach), self.before_.dtype)
            under_way[:, :reach] = self.before_[:, e]
            rest = reconstruct(self.motifs_, under_way)[:, reach : reach + stop - start]
            model[:, start : start + rest.shape[1]] += rest
        return model

    def _prepare(self, X: Any, mask: Any, epochs: Any, exponent: int | None = None) -> Prepared:
        ready = prepare(
            X,
            self.n_lags,
            mask=mask,
            epochs=epochs,
            missing=self.missing,
            backend=self.backend,
            dtype=self.dtype,
            exponent=exponent,
            n_threads=resolve_threads(self.n_threads),
        )
        raster = ready.problem.raster
        most = min(raster.n_units * self.n_lags, raster.timeline.n_used)
        if exponent is None and self.n_components > most:
            raise UsageError(
                f"n_components is {self.n_components}, but {raster.n_units} units with "
                f"{self.n_lags} lags and {raster.timeline.n_used} frames have room for {most} "
                "different motifs"
            )
        return ready

    def _keep(self, found: Fitted, ready: Prepared, n_fixed: int) -> None:
        """Set the learned attributes, in the units of the data."""
        problem, scale = ready.problem, 2.0**-ready.exponent
        order = np.arange(self.n_components)
        if self.sort:
            order[n_fixed:] = n_fixed + np.argsort(-found.loadings[n_fixed:], kind="stable")
        motifs = natural(found.state.motifs)[:, order]
        self.motifs_ = motifs * motifs.dtype.type(scale)
        if n_fixed:
            self.motifs_[:, :n_fixed] = np.asarray(self.fixed_motifs)
        rows = problem.raster.timeline.give(found.state.activations)
        self.activations_ = np.ascontiguousarray(rows.T[order])
        before = problem.raster.timeline.before(found.state.activations)
        self.before_ = np.ascontiguousarray(before.transpose(2, 0, 1)[order])
        self.epochs_ = problem.raster.timeline.epochs
        self.loadings_ = found.loadings[order]
        self.cost_ = found.cost * scale
        self.power_ = problem.power(found.error)
        self.status_ = found.status
        self.n_iter_ = found.n_iter
        self._finish()

    def _finish(self) -> None:
        self.n_features_in_ = self.motifs_.shape[0]
        self.empty_ = ~(self.motifs_.any(axis=(0, 2)) & self.activations_.any(axis=1))

    def _project(self, X: Any, mask: Any, epochs: Any) -> tuple[Array, float]:
        check_is_fitted(self)
        with single_thread_blas():
            ready = self._prepare(X, mask, epochs, exponent=0)
            problem = ready.problem
            if problem.raster.n_units != self.n_features_in_:
                raise UsageError(
                    f"X has {problem.raster.n_units} units, the motifs have {self.n_features_in_}"
                )
            motifs = windowed(self.motifs_, problem.raster.dtype)
            rows = np.zeros((problem.raster.timeline.n_frames, motifs.shape[2]))
            state = State(motifs, rows.astype(problem.raster.dtype))
            penalty = Penalty(l1_activations=self.l1_H)
            _, error = project(problem, state, penalty, _PROJECT_ITER, _PROJECT_TOL)
        rows = problem.raster.timeline.give(state.activations)
        return np.ascontiguousarray(rows.T), problem.power(error)

    def _fit_matlab(self, X: Any, mask: Any, epochs: Any) -> SeqNMF:
        """Fit as the original does."""
        if epochs is not None:
            raise UsageError("compat='matlab' knows no epochs")
        found = run_matlab(self, X, mask)
        self.motifs_, self.activations_ = found.motifs, found.activations
        self.cost_, self.loadings_, self.power_ = found.cost, found.loadings, float(found.power)
        self.epochs_ = ((0, found.activations.shape[1]),)
        self.before_ = np.zeros((self.n_components, 1, self.n_lags - 1))
        self.n_iter_ = len(found.cost) - 1
        ended = self.n_iter_ < self.max_iter
        self.status_ = Status.CONVERGED if ended else Status.MAX_ITER
        self._finish()
        return self
