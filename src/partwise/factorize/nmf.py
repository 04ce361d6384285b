"""Non-negative matrix factorization by one-pass block coordinate descent."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from partwise.exceptions import UsageError
from partwise.factorize._base import LOSSES, BaseNMF
from partwise.factorize._checks import (
    by_name,
    check_count,
    check_number,
    check_start,
    check_together,
)
from partwise.factorize._counts import Start, check_sizes, fit
from partwise.factorize._masking import check_observed, check_seen
from partwise.factorize._other_names import check_choice, named
from partwise.factorize._record import programs_in_order, record, usage_in_order
from partwise.factorize._scale import in_units, times_power
from partwise.matrix.masks import Hidden
from partwise.matrix.matrix import DataMatrix
from partwise.objectives import Constraints
from partwise.results import Status
from partwise.solvers.hals import fit_hals
from partwise.solvers.init import INITS
from partwise.solvers.kl import CountSettings
from partwise.solvers.start import constrained_start
from partwise.solvers.state import Outcome, Settings, exact_problem
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["NMF"]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: The solvers of each loss; the first is the one of "auto".
SOLVERS = {"frobenius": ("hals", "bpp"), "kullback-leibler": ("newton",)}


class NMF(BaseNMF):
    """Non-negative matrix factorization, X ~ usage @ programs.

    Minimises, over usage W (n x k) and programs H (k x p), both non-negative,

        1/2 ||X - W H||^2 + l1_usage sum(W) + l2_usage/2 ||W||^2
                          + l1_programs sum(H) + l2_programs/2 ||H||^2

    or, for counts (loss="kullback-leibler"), in place of the first term the deviance of the Poisson
    model with means s_i (W H)_ij, s_i being the size factor of row i (1 if none is given),

        sum_ij x log(x / (s w h)) - x + s w h

    Entries that are hidden (NaN, or by a mask) are left out of the first sum, and entry weights
    enter it. Each iteration reads X once; the usage that is returned is the exact minimiser for the
    returned programs, so that `fit_transform(X)` and `transform(X)` agree. Programs are sorted by
    the share of ||X||^2 that they explain and, where nothing is penalised, sum to 1. The same
    seed gives the same bits for any number of threads. From 32,768 rows on, the first steps are
    taken on a sample of the rows (`result_.details["steps_on_sample"]`) and the rest on all.

    Parameters
    ----------
    n_components : int, optional
        Number of programs k; by default 10, or the number of features where that is smaller.
    loss : {"frobenius", "kullback-leibler"}
        What is minimised. The Kullback-Leibler loss suits counts: it works on the non-zeros alone.
    solver : {"auto", "hals", "bpp", "newton"}
        "auto" is "hals" for the Frobenius loss: several sweeps of coordinate descent per pass.
        "bpp": each half step is solved exactly by block principal pivoting, which costs more and
        converges in as many passes. "newton", of the Kullback-Leibler loss: coordinate descent
        with second derivatives on both factors, extrapolated.
    init : {"nndsvda", "nndsvd", "random", "custom"}
        Start. "nndsvd" is made from the leading singular vectors; "nndsvda" fills its zeros with
        the mean of X; "custom" takes the arrays given to `fit_transform`.
    tol : float
        The iteration stops when the loss falls by less than this share per pass and the projected
        gradient, relative to X^T W, is below sqrt(tol).
    max_iter : int
        Most passes over X.
    n_init : int
        Number of starts; the best is kept. Starts after the first of an NNDSVD are random.
    l1_usage, l2_usage, l1_programs, l2_programs : float or array of k
        Elastic net of each factor, for all components or for each. Components that have weights
        of their own keep their places: they are not sorted.
    fixed_programs : array or DataFrame of m x p, m <= k, optional
        Programs that are given, such as known signatures; NaN marks entries that are fitted. The
        columns of a DataFrame are matched with those of X by name where X has names. They
        come first in `components_`, in this order, and every given entry comes back as it is (in
        the type of X); the others are sorted behind them. A given entry other than zero sets the
        scale of its program, which is then not made to sum to 1.
    orthogonality : float
        Weight of a penalty that turns programs away from each other: the term
        orthogonality / 2 ||X||^2 mean_{s < t} cos(h_s, h_t) joins the objective (one program has
        no pair, and no penalty). It depends on the directions of the programs alone: neither the
        unit of X nor the number of programs changes what a weight means, and the usage stays exact
        for the programs. Useful weights lie between 0.001 and 0.1.
    signed : {None, "usage", "programs"}
        Semi-NMF: the factor that may be negative; X may then be negative, too. A signed factor is
        solved by least squares. Signed programs have absolute values that sum to 1. They can also
        cancel each other while their usage grows without bound, which `l2_usage` and `l2_programs`
        prevent.
    random_state : int, Generator, RandomState or None
        Seed.
    n_threads : int, optional
        Threads; by default $PARTWISE_NUM_THREADS, else all CPUs of the process.

    Attributes
    ----------
    components_ : ndarray, k x p
        Programs.
    n_components_ : int
        Number of programs.
    reconstruction_err_ : float
        ||X - W H||, over the observed entries and by their weights; the square root of twice the
        deviance for the Kullback-Leibler loss.
    n_iter_ : int
        Passes of the start that was kept.
    result_ : Factorization
        Status with advice, loss per pass, relative error, share explained by each program.

    References
    ----------
    Hien & Gillis (2021), J. Sci. Comput. 87 (Kullback-Leibler, coordinate descent);
    Cichocki & Phan (2009), IEICE Trans. Fundamentals 92-A (HALS); Gillis & Glineur (2012), Neural
    Computation 24 (several sweeps per product); Ang & Gillis (2019), Neural Computation 31
    (extrapolation); Kim & Park (2011), SIAM J. Sci. Comput. 33 (block principal pivoting);
    Boutsidis & Gallopoulos (2008), Pattern Recognition 41 (NNDSVD).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import NMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((100, 3)) @ rng.random((3, 8))
    >>> model = NMF(3, random_state=0)
    >>> usage = model.fit_transform(X)
    >>> usage.shape, model.components_.shape
    ((100, 3), (3, 8))
    >>> model.result_.relative_error < 0.01
    True
    """

    @named
    def __init__(
        self,
        n_components: int | None = None,
        *,
        loss: str = "frobenius",
        solver: str = "auto",
        init: str = "nndsvda",
        tol: float = 1e-5,
        max_iter: int = 500,
        n_init: int = 1,
        l1_usage: float | Array = 0.0,
        l2_usage: float | Array = 0.0,
        l1_programs: float | Array = 0.0,
        l2_programs: float | Array = 0.0,
        fixed_programs: Array | None = None,
        orthogonality: float = 0.0,
        signed: str | None = None,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.solver = solver
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.l1_usage = l1_usage
        self.l2_usage = l2_usage
        self.l1_programs = l1_programs
        self.l2_programs = l2_programs
        self.fixed_programs = fixed_programs
        self.orthogonality = orthogonality
        self.signed = signed
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
        callback: Callback | None = None,
    ) -> Self:
        """Fit the programs.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        mask : bool array or sparse matrix, n x p, or Speckle, optional
            Entries to hide: True, or non-zero. Their values, which may be anything, do not
            influence the fit. NaN in X and the mask of a masked array hide entries, too.
        weights : array, n x p (or n x 1, or 1 x p), optional
            How much each entry counts: finite, not negative; 0 hides. They are divided by the
            largest of them, so that only their ratios matter.
        size_factors : array of n, optional
            Size of each row, above 0, for the Kullback-Leibler loss: its expected counts are
            multiplied by it.
        callback : callable, optional
            Called with (pass, loss) after each pass.

        Returns
        -------
        NMF
            The fitted estimator.
        """
        self._fit(X, None, None, mask, weights, size_factors, callback)
        return self

    def fit_transform(
        self,
        X: Any,
        y: object = None,
        W: Array | None = None,
        H: Array | None = None,
        *,
        mask: Any = None,
        weights: Any = None,
        size_factors: Any = None,
        callback: Callback | None = None,
    ) -> Array:
        """Fit the programs and return the usage.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        W, H : arrays, n x k and k x p, optional
            The start where init="custom"; without W, or where entries are hidden, the usage is
            solved from H (then from the support of W).
        mask, weights, size_factors
            As in `fit`.
        callback : callable, optional
            Called with (pass, loss) after each pass.

        Returns
        -------
        ndarray, n x k
            Usage.

        Raises
        ------
        DataError
            If X has negative or infinite values that are not hidden, too few rows or columns, or
            no entry that is not hidden.
        UsageError
            If a parameter cannot be used.
        """
        return self._fit(X, W, H, mask, weights, size_factors, callback)

    def _fit(
        self,
        X: Any,
        W: Array | None,
        H: Array | None,
        mask: Any,
        weights: Any,
        size_factors: Any,
        callback: Callback | None,
    ) -> Array:
        begun = time.perf_counter()
        self._check_parameters(W, H)
        self._check_sizes(size_factors)
        X, hidden = check_observed(self, X, mask, weights, reset=True)
        k = self._count(X.shape)
        settings = Settings(
            tol=check_number(self.tol, "tol"),
            max_iter=check_count(self.max_iter, "max_iter"),
            penalties=self._penalties(k),
            exact=self.solver == "bpp",
            constraints=self._constraints(k),
        )
        check_together(settings, X.dtype)
        if self.loss == "kullback-leibler":
            return self._fit_counts(X, hidden, settings, W, H, size_factors, callback)
        rng = generator(self.random_state)
        with single_thread_blas():
            matrix = self._scaled_matrix(X, k, hidden)
            settings = replace(settings, penalties=settings.penalties.scaled(matrix.exponent))
            check_seen(matrix)
            heard = in_units(callback, matrix.exponent)
            best: Outcome | None = None
            for start in range(self.n_init):
                usage, programs = self._start(matrix, k, start, rng, W, H, settings)
                outcome = fit_hals(matrix, usage, programs, settings, rng, heard)
                if best is None or outcome.loss[-1] < best.loss[-1]:
                    best = outcome
            assert best is not None  # n_init >= 1
            best.loss = [float(v) for v in times_power(np.array(best.loss), 2 * matrix.exponent)]
            kept = k if settings.penalties.uneven else settings.constraints.count
            programs, explained, order = programs_in_order(matrix, best, kept)
            self.components_ = programs
            self.n_components_ = k
            self.n_iter_ = best.n_iter
            self.result_ = record(
                matrix, best, settings, programs, explained, self, time.perf_counter() - begun
            )
            usage = usage_in_order(matrix, best.usage, order)
        norm = np.ldexp(np.sqrt(matrix.squared_norm), matrix.exponent)
        self.reconstruction_err_ = self.result_.relative_error * float(norm)
        if best.status is Status.MAX_ITER and settings.tol > 0:
            warnings.warn(self._advice(settings), ConvergenceWarning, stacklevel=3)
        scaled: Array = times_power(usage, matrix.exponent)
        return scaled

    def _fit_counts(
        self,
        X: Any,
        hidden: Hidden,
        settings: Settings,
        W: Array | None,
        H: Array | None,
        size_factors: Any,
        callback: Callback | None,
    ) -> Array:
        """Fit under the Kullback-Leibler loss; return the usage."""
        sizes = check_sizes(size_factors, X.shape[0])
        with single_thread_blas():
            fitted = fit(
                X,
                hidden,
                CountSettings(settings.tol, settings.max_iter, settings.penalties, sizes),
                Start(self.init, self.n_init, W, H),
                generator(self.random_state),
                seed=self.random_state,
                n_threads=resolve_threads(self.n_threads),
                callback=callback,
            )
        self.components_ = fitted.programs
        self.n_components_ = fitted.programs.shape[0]
        self.n_iter_ = fitted.result.n_iter
        self.result_ = fitted.result
        self.reconstruction_err_ = float(np.sqrt(2.0 * fitted.deviance))
        if fitted.result.status is Status.MAX_ITER and settings.tol > 0:
            warnings.warn(Status.MAX_ITER.advice, ConvergenceWarning, stacklevel=4)
        return fitted.usage

    def _advice(self, settings: Settings) -> str:
        """Return what to do about a fit that did not converge."""
        advice = Status.MAX_ITER.advice
        if self.signed == "programs" and not settings.penalties.active:
            advice += (
                "; or set l2_usage and l2_programs: programs that may be negative can cancel each "
                "other while their usage grows without bound"
            )
        return advice

    def _check_parameters(self, W: Array | None, H: Array | None) -> None:
        check_choice("loss", self.loss, LOSSES)
        solvers = ("auto", *SOLVERS[self.loss])
        check_choice("solver", self.solver, solvers, where=f" for loss={self.loss!r}")
        if self.loss == "kullback-leibler":
            self._check_counts()
        check_choice("init", self.init, (*INITS, "custom"))
        check_count(self.n_init, "n_init")
        if (H is not None) != (self.init == "custom") or (W is not None and H is None):
            raise UsageError(
                "init='custom' goes with fit_transform(X, H=...), and W if you have it"
            )
        if self.init == "custom" and self.n_init > 1:
            raise UsageError("init='custom' is one start: n_init must be 1")

    def _check_counts(self) -> None:
        """Refuse what the Kullback-Leibler loss does not go with."""
        for name in ("signed", "fixed_programs", "orthogonality"):
            given = getattr(self, name)
            if given is not None and not np.array_equal(given, 0):
                raise UsageError(
                    f"{name} does not go with loss='kullback-leibler': it is an option of the "
                    "Frobenius loss"
                )

    def _start(
        self,
        matrix: DataMatrix,
        k: int,
        start: int,
        rng: np.random.Generator,
        W: Array | None,
        H: Array | None,
        settings: Settings,
    ) -> tuple[Array, Array]:
        """Return the flat thin factors of one start."""
        constraints, signed = settings.constraints, self.signed
        if self.init != "custom":
            init = self.init if start == 0 else "random"
            return constrained_start(matrix, k, init, rng, constraints)
        n, p = matrix.shape
        programs = check_start(H, (k, p), "H", signed=signed == "programs").T
        constraints.impose(programs)
        programs = matrix.thin(p, k, programs)
        if W is not None:
            given = check_start(W, (n, k), "W", signed=signed == "usage")
            usage = matrix.thin(n, k, times_power(given, -matrix.exponent))
            if matrix.observed == n * p:
                return usage, programs
        else:
            usage = matrix.thin(n, k)
        problem = exact_problem(
            matrix, programs, settings.penalties.usage, signed=signed == "usage"
        )
        matrix.sweep(programs, problem, usage)
        return usage, programs

    def _constraints(self, k: int) -> Constraints:
        shape = (k, self.n_features_in_)
        weight = check_number(self.orthogonality, "orthogonality")
        fixed = by_name(self.fixed_programs, getattr(self, "feature_names_in_", None))
        return Constraints.build(fixed, self.signed, shape, weight)
