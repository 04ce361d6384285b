"""Mini-batch factorization, with an account of how far from converged it stopped."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from partwise.exceptions import UsageError
from partwise.factorize._base import LOSSES, BaseNMF
from partwise.factorize._checks import check_count, check_number, check_start, is_source
from partwise.factorize._counts import count_matrix, record_counts, warn_hidden
from partwise.factorize._masking import check_observed, check_seen
from partwise.factorize._minibatch_counts import (
    begin_counts,
    close_counts,
    scaled_counts,
    take_counts,
)
from partwise.factorize._other_names import check_choice, named
from partwise.factorize._record import in_order, record
from partwise.factorize._scale import exponent_of_gram, in_units, times_power
from partwise.matrix.masks import Hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.objectives import Penalties
from partwise.results import Status
from partwise.solvers.hals import finish, fit_hals
from partwise.solvers.init import INITS, initialize
from partwise.solvers.minibatch import Online, step
from partwise.solvers.minibatch_counts import OnlineCounts
from partwise.solvers.state import Outcome, Settings
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["MiniBatchNMF"]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: Full passes with which the distance from convergence is measured.
_PROBE = 5


class MiniBatchNMF(BaseNMF):
    """Non-negative matrix factorization by mini-batches.

    The objective is that of `NMF`, for either loss. Batches are taken in the order of the rows;
    each updates the programs, so that data can also arrive in parts (`partial_fit`). It does not
    reach the exact optimum, and says by how much: `result_.details["relative_gap"]` is the share by
    which a few passes of the full solver, from where it stopped, lower the loss.

    Parameters
    ----------
    n_components : int, optional
        Number of programs k; by default 10, or the number of features where that is smaller.
    loss : {"frobenius", "kullback-leibler"}
        What is minimised, as in `NMF`. Counts are taken in by online expectation maximisation.
    init : {"nndsvda", "nndsvd", "random", "custom"}
        Start, as in `NMF`.
    batch_size : int
        Rows per batch.
    forget_factor : float
        Weight of past batches, per batch: 1 keeps all, values below 1 forget old programs' marks.
    tol : float
        Stops when the smoothed loss changes by less than this share over an epoch; 0 never stops.
    max_no_improvement : int, optional
        Stops when the smoothed loss has not fallen for so many batches; None never does.
    max_iter : int
        Most passes (epochs) over X.
    l1_usage, l2_usage, l1_programs, l2_programs : float or array of k
        Elastic net of each factor. The L1 and L2 weights of the usage count per row, those of the
        programs against the running sums of the batches.
    random_state : int, Generator, RandomState or None
        Seed.
    n_threads : int, optional
        Threads; by default $PARTWISE_NUM_THREADS, else all CPUs of the process.

    Attributes
    ----------
    components_ : ndarray, k x p
        Programs; those of `fit` are sorted and scaled as in `NMF`, those of `partial_fit` are not.
    n_steps_ : int
        Batches seen.
    n_iter_, n_components_, reconstruction_err_, result_
        As in `NMF`, after `fit`.

    References
    ----------
    Mairal, Bach, Ponce & Sapiro (2010), JMLR 11; Lefevre, Bach & Fevotte (2011), WASPAA; Cappe &
    Moulines (2009), J. R. Statist. Soc. B 71 (online expectation maximisation).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import MiniBatchNMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((500, 3)) @ rng.random((3, 8))
    >>> model = MiniBatchNMF(3, batch_size=100, random_state=0).fit(X)
    >>> model.components_.shape
    (3, 8)
    >>> sorted(model.result_.details)
    ['projected_gradient', 'relative_gap']
    """

    _online: Online | OnlineCounts

    @named
    def __init__(
        self,
        n_components: int | None = None,
        *,
        loss: str = "frobenius",
        init: str = "nndsvda",
        batch_size: int = 1024,
        forget_factor: float = 0.7,
        tol: float = 1e-4,
        max_no_improvement: int | None = 10,
        max_iter: int = 200,
        l1_usage: float | Array = 0.0,
        l2_usage: float | Array = 0.0,
        l1_programs: float | Array = 0.0,
        l2_programs: float | Array = 0.0,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.init = init
        self.batch_size = batch_size
        self.forget_factor = forget_factor
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.max_iter = max_iter
        self.l1_usage = l1_usage
        self.l2_usage = l2_usage
        self.l1_programs = l1_programs
        self.l2_programs = l2_programs
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(
        self,
        X: Any,
        y: object = None,
        *,
        mask: Any = None,
        weights: Any = None,
        callback: Callback | None = None,
    ) -> Self:
        """Fit the programs; parameters as in `NMF.fit`, `callback` gets (epoch, loss per row)."""
        self._fit(X, None, mask, weights, callback)
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
        callback: Callback | None = None,
    ) -> Array:
        """Fit the programs and return the usage, exact for them.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            Non-negative observations.
        y : ignored
            For scikit-learn's grammar.
        W : None
            Refused: the usage of a batch is solved from the programs, so that a start has no use.
        H : array, k x p, optional
            The start of the programs where init="custom".
        mask, weights
            Entries that are hidden or count less, as in `NMF.fit`.
        callback : callable, optional
            Called with (epoch, smoothed loss per row) after each epoch.

        Returns
        -------
        ndarray, n x k
            Usage.
        """
        if W is not None:
            raise UsageError("MiniBatchNMF takes a start H, not W: usage follows from the programs")
        return self._fit(X, H, mask, weights, callback)

    def partial_fit(self, X: Any, y: object = None, H: Array | None = None) -> Self:
        """Take one batch of rows in.

        Parameters
        ----------
        X : array-like, sparse matrix or block source, n x p
            A batch; NaN and the mask of a masked array hide entries.
        y : ignored
            For scikit-learn's grammar.
        H : array, k x p, optional
            The start of the programs where init="custom", with the first batch.

        Returns
        -------
        MiniBatchNMF
            The estimator.
        """
        first = not hasattr(self, "_online")
        self._check_parameters(H if first else None, first=first)
        if not first and isinstance(self._online, OnlineCounts) is not self._counts:
            raise UsageError(
                f"loss was changed to {self.loss!r} between batches: what was learned before does "
                "not go with it. Start a new MiniBatchNMF"
            )
        dtype = None if first else self.components_.dtype
        X, hidden = check_observed(self, X, None, None, reset=first, dtype=dtype)
        k = self._count(X.shape) if first else self.components_.shape[0]
        if self._counts:
            self._take_counts(X, hidden, k, H, first=first)
            return self
        with single_thread_blas():
            before = None if first else self._online
            assert before is None or isinstance(before, Online)  # checked above
            least = None if before is None else exponent_of_gram(before.gram, np.dtype(dtype))
            batch = self._scaled_matrix(X, k, hidden, least=least)
            power = batch.exponent
            if before is None:
                before = self._begin(batch, k, H)
            online = before.scaled(-power)
            step(online, batch, self._penalties(k).scaled(power), self.forget_factor)
            self._online = online.scaled(power)
        self.components_ = np.ascontiguousarray(self._online.programs.T)
        self.n_components_ = k
        self.n_steps_ = self._online.steps
        return self

    def _take_counts(self, X: Any, hidden: Hidden, k: int, H: Array | None, *, first: bool) -> None:
        """Take a batch of counts in; one without counts teaches nothing."""
        n_threads = resolve_threads(self.n_threads)
        with single_thread_blas():
            if first:
                self._online = self._begin_counts(X, hidden, k, H)
            assert isinstance(self._online, OnlineCounts)
            penalties = self._penalties(k)
            matrix = count_matrix(X, hidden, n_threads)
            if matrix.total > 0:
                _, X, penalties, power = scaled_counts(X, hidden, penalties, n_threads)
                online = self._online.scaled(-power)
                for start, rows in _batches(X, X.shape[0]):
                    part = hidden.shifted(start)
                    take_counts(online, rows, part, penalties, self.forget_factor, n_threads)
                self._online = online.scaled(power)
        self.components_ = np.ascontiguousarray(self._online.programs.T)
        self.n_components_ = k
        self.n_steps_ = self._online.steps

    def _begin_counts(self, X: Any, hidden: Hidden, k: int, H: Array | None) -> OnlineCounts:
        if H is not None:
            programs = check_start(H, (k, X.shape[1]), "H").T.astype(X.dtype)
            return OnlineCounts.start(programs)
        rng = generator(self.random_state)
        return begin_counts(X, hidden, k, self.init, rng, resolve_threads(self.n_threads))

    def _begin(self, matrix: DataMatrix, k: int, H: Array | None) -> Online:
        p = matrix.shape[1]
        if H is not None:
            return Online.start(check_start(H, (k, p), "H").T.astype(matrix.dtype))
        flat = initialize(matrix, k, self.init, generator(self.random_state))[1]
        programs = flat.reshape(p, matrix.stride(k))[:, :k]
        programs[matrix.unseen[1]] = 0
        return Online.start(programs)

    def _check_parameters(self, H: Array | None, *, first: bool = True) -> None:
        check_choice("loss", self.loss, LOSSES)
        check_choice("init", self.init, (*INITS, "custom"))
        if first and (H is not None) != (self.init == "custom"):
            raise UsageError("init='custom' goes with a start H, and H with init='custom'")
        check_count(self.batch_size, "batch_size")
        if check_number(self.forget_factor, "forget_factor") > 1:
            raise UsageError(f"forget_factor must be from 0 to 1, not {self.forget_factor!r}")
        if self.max_no_improvement is not None:
            check_count(self.max_no_improvement, "max_no_improvement")

    def _fit(
        self, X: Any, H: Array | None, mask: Any, weights: Any, callback: Callback | None
    ) -> Array:
        begun = time.perf_counter()
        self._check_parameters(H)
        X, hidden = check_observed(self, X, mask, weights, reset=True)
        k = self._count(X.shape)
        settings = Settings(
            tol=check_number(self.tol, "tol"),
            max_iter=check_count(self.max_iter, "max_iter"),
            penalties=self._penalties(k),
        )
        if self._counts:
            return self._fit_counts(X, hidden, settings, H, callback, begun)
        with single_thread_blas():
            matrix = self._scaled_matrix(X, k, hidden)
            power = matrix.exponent
            X, heard = times_power(X, -power), in_units(callback, power)
            settings = replace(settings, penalties=settings.penalties.scaled(power))
            check_seen(matrix)
            online = self._online = self._begin(matrix, k, H)
            status, history, epochs = self._epochs(X, hidden, k, settings, heard)
            outcome = self._close(matrix, settings, status, history, epochs)
            kept = k if settings.penalties.uneven else 0
            usage, programs, explained, order = in_order(matrix, outcome, kept)
            self._online = online.as_given(programs.T, order).scaled(power)
            outcome.loss = [float(v) for v in times_power(np.array(outcome.loss), 2 * power)]
            self.components_ = programs
            self.n_components_ = k
            self.n_iter_ = epochs
            self.n_steps_ = self._online.steps
            self.result_ = record(
                matrix, outcome, settings, programs, explained, self, time.perf_counter() - begun
            )
        norm = np.ldexp(np.sqrt(matrix.squared_norm), power)
        self.reconstruction_err_ = self.result_.relative_error * float(norm)
        if status is Status.MAX_ITER and settings.tol > 0:
            warnings.warn(Status.MAX_ITER.advice, ConvergenceWarning, stacklevel=3)
        scaled: Array = times_power(usage, power)
        return scaled

    def _fit_counts(
        self,
        X: Any,
        hidden: Hidden,
        settings: Settings,
        H: Array | None,
        callback: Callback | None,
        begun: float,
    ) -> Array:
        """Fit under the Kullback-Leibler loss; return the usage."""
        k = settings.penalties.usage.l1.shape[0]
        n_threads = resolve_threads(self.n_threads)
        with single_thread_blas():
            matrix, X, penalties, power = scaled_counts(X, hidden, settings.penalties, n_threads)
            warn_hidden(matrix)
            unit = float(np.ldexp(1.0, power))
            heard = None if callback is None else lambda e, loss: callback(e, loss * unit)
            settings = replace(settings, penalties=penalties)
            online = self._online = self._begin_counts(X, hidden, k, H)
            status, history, _ = self._epochs(X, hidden, k, settings, heard)
            outcome = close_counts(matrix, online, penalties, status, history, _PROBE)
            stride = matrix.stride(k)
            usage, programs = (thin_rows(f, stride, k) for f in (outcome.usage, outcome.programs))
            self._online = online.as_given(programs, outcome.order).scaled(power)
            self.components_ = np.ascontiguousarray(programs.T)
            self.result_ = record_counts(
                matrix, outcome, self.components_, power, seed=self.random_state,
                solver="minibatch", seconds=time.perf_counter() - begun,
            )  # fmt: skip
        self.n_components_, self.n_iter_, self.n_steps_ = k, len(history), self._online.steps
        self.reconstruction_err_ = float(np.sqrt(2.0 * outcome.deviance * unit))
        if status is Status.MAX_ITER and settings.tol > 0:
            warnings.warn(Status.MAX_ITER.advice, ConvergenceWarning, stacklevel=4)
        scaled: Array = times_power(usage.copy(), power)
        return scaled

    def _take(self, rows: Any, hidden: Hidden, k: int, settings: Settings) -> float:
        """Take one batch in; return its loss per row."""
        if isinstance(self._online, OnlineCounts):
            n_threads = resolve_threads(self.n_threads)
            return take_counts(
                self._online, rows, hidden, settings.penalties, self.forget_factor, n_threads
            )
        batch = self._matrix(rows, k, hidden)
        return step(self._online, batch, settings.penalties, self.forget_factor)

    def _epochs(
        self, X: Any, hidden: Hidden, k: int, settings: Settings, callback: Callback | None
    ) -> tuple[Status, list[float], int]:
        """Run batches until the smoothed loss stands still; return why, the losses, the epochs."""
        n = X.shape[0]
        alpha = min(1.0, 2.0 * self.batch_size / (n + 1))
        smooth, best, stale = np.inf, np.inf, 0
        history: list[float] = []
        for epoch in range(1, settings.max_iter + 1):
            for start, rows in _batches(X, self.batch_size):
                loss = self._take(rows, hidden.shifted(start), k, settings)
                smooth = loss if not np.isfinite(smooth) else smooth + alpha * (loss - smooth)
                stale = 0 if smooth < best else stale + 1
                best = min(best, smooth)
                if self.max_no_improvement is not None and stale >= self.max_no_improvement:
                    history.append(smooth)
                    return Status.EARLY_STOP, history, epoch
            history.append(smooth)
            if callback is not None:
                callback(epoch, smooth)
            if epoch > 1 and abs(history[-2] - smooth) <= settings.tol * max(smooth, 1e-300):
                return Status.EARLY_STOP, history, epoch
        return Status.MAX_ITER, history, settings.max_iter

    def _close(
        self,
        matrix: DataMatrix,
        settings: Settings,
        status: Status,
        history: list[float],
        epochs: int,
    ) -> Outcome:
        """Solve the usage for the final programs and measure how far the full solver would go."""
        n, p = matrix.shape
        k = self._online.programs.shape[1]
        programs = matrix.thin(p, k, self._online.programs)
        usage = matrix.thin(n, k)
        statistics, gradient = finish(matrix, usage, programs, settings)
        here = _loss(matrix, statistics.fit, programs, settings.penalties, k)
        probe = Settings(tol=0.0, max_iter=_PROBE, penalties=settings.penalties, sample=False)
        further = fit_hals(matrix, usage.copy(), programs.copy(), probe, np.random.default_rng(0))
        there = _loss(matrix, further.statistics.fit, further.programs, settings.penalties, k)
        gap = max(here - there, 0.0) / here if here > 0 else 0.0
        details = {"projected_gradient": gradient, "relative_gap": gap}
        return Outcome(usage, programs, status, history, statistics, epochs, details)


def _loss(matrix: DataMatrix, fit: float, programs: Array, penalties: Penalties, k: int) -> float:
    """Return the objective at the exact usage: 1/2 (||X||^2 - fit) plus the programs' penalty."""
    rows = programs.reshape(-1, matrix.stride(k))[:, :k].astype(np.float64)
    penalty = penalties.programs.value(rows.sum(axis=0), np.square(rows).sum(axis=0))
    return max(0.5 * (matrix.squared_norm - fit), 0.0) + penalty


def _batches(X: Any, size: int) -> Iterator[tuple[int, Any]]:
    """Yield (first row, batch of rows) in order, whatever X is."""
    n = X.shape[0]
    if not is_source(X):
        for start in range(0, n, size):
            yield start, X[start : start + size]
        return
    for start in range(0, n, size):
        blocks = [block for _, block in X.blocks(start, min(n, start + size))]
        if len(blocks) == 1:
            yield start, blocks[0]
        elif sp.issparse(blocks[0]):
            yield start, sp.vstack(blocks, "csr")
        else:
            yield start, np.concatenate(blocks)
