"""The fits behind the choice of a rank, and what is kept of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.factorize._counts import count_matrix
from partwise.factorize.held_out import held_out_error
from partwise.factorize.nmf import NMF
from partwise.matrix.counts import CountMatrix, CountStream
from partwise.matrix.masks import Hidden, Speckle
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.metrics.stability import co_assignment, cophenetic_correlation, dispersion
from partwise.objectives import ElasticNet, Penalties
from partwise.results import Status
from partwise.solvers.kl import CountSettings, project
from partwise.solvers.restarts import fit_restarts
from partwise.solvers.state import Outcome, Settings, exact_problem, gram_of, residual
from partwise.utils.threads import run_tasks, single_thread_blas

__all__ = [
    "FullFit",
    "HeldFit",
    "RankFits",
    "consensus_of",
    "hidden_share",
    "mask_of",
    "sampled_rows",
]

T = TypeVar("T")
Array = npt.NDArray[Any]

#: Observations whose main program is compared between starts.
_MOST_OBSERVATIONS = 1000
#: Share of the entries to hide, at least and at most: so many entries, because fits that see more
#: of the data find weaker programs.
_LEAST_HIDDEN, _MOST_HIDDEN, _ENTRIES = 0.03, 0.1, 20_000
#: Of sparse data as many as this share of their non-zeros, because a hidden entry costs as much as
#: a non-zero.
_HIDDEN_OF_NONZERO = 0.25
#: Ridge of the usage that predicts hidden entries, relative to the mean squared length of the
#: programs. Where the entry that would tell the usage of a program is the hidden one, usage
#: without a ridge has no bounds, and one row decides the error of a whole replicate.
_RIDGE = 0.01
#: Share of the expected counts that row and column totals alone predict: a program that is zero
#: somewhere says that nothing will ever be counted there, and one hidden count that belies it
#: decides the deviance of a whole replicate.
_TOTALS = 0.03
#: Start of fits with hidden entries: one that does not depend on luck, because luck would differ
#: between ranks.
_HELD_START = "nndsvd"
#: Bytes of masked copies of the data that are kept from rank to rank.
_KEPT_BYTES = 2**30
#: What a seed is for: starts on all entries, starts on those that are not hidden, observations.
_FULL, _HELD, _ROWS = range(3)


@dataclass(frozen=True)
class FullFit:
    """A fit of all entries.

    Attributes
    ----------
    programs
        k x p.
    labels
        The program that each observation of the sample uses most; -1 if it uses none.
    relative_error
        ||X - W H|| / ||X||; for counts the square root of the deviance relative to that of the
        mean.
    n_iter, converged
        How it ended.
    """

    programs: Array
    labels: npt.NDArray[np.intp]
    relative_error: float
    n_iter: int
    converged: bool


@dataclass(frozen=True)
class HeldFit:
    """A fit of the entries that are not hidden.

    Attributes
    ----------
    relative_error
        The same over the hidden entries.
    n_iter, converged
        How it ended.
    """

    relative_error: float
    n_iter: int
    converged: bool


class RankFits:
    """Fits of the same data at any rank, several at a time.

    Parameters
    ----------
    X
        The data, checked: array, CSR matrix or block source.
    loss
        "frobenius" or "kullback-leibler".
    n_replicates
        Fits per rank, of each kind.
    fraction
        Share of the entries that each replicate hides.
    entropy
        The seed that all others are made from.
    tol, max_iter
        When fits stop.
    n_threads
        Threads; the bits do not depend on it.
    on_fit
        Called after each fit, by any thread.
    """

    def __init__(
        self,
        X: Any,
        *,
        loss: str,
        n_replicates: int,
        fraction: float,
        entropy: int,
        tol: float,
        max_iter: int,
        n_threads: int,
        on_fit: Callable[[], None],
    ) -> None:
        self.X = X
        self.dtype = np.dtype(X.dtype)
        self.n_replicates = n_replicates
        self.fraction = fraction
        self.entropy = entropy
        self._loss, self._tol, self._max_iter = loss, tol, max_iter
        self._n_threads = n_threads
        self._on_fit = on_fit
        self._streamed = not (sp.issparse(X) or isinstance(X, np.ndarray))
        self._sample = sampled_rows(X.shape[0], _MOST_OBSERVATIONS, self._rng(_ROWS))
        self._all: DataMatrix | None = None
        self._masked: dict[int, DataMatrix] = {}

    def full(self, k: int) -> list[FullFit]:
        """Fit all entries from each start."""
        if self._loss != "frobenius":
            return self._at_once([partial(self._full_counts, k, r) for r in self._replicates])
        if self._all is None:
            self._all = DataMatrix(self.X, 1, dtype=self.dtype, n_threads=self._n_threads)
            _refuse_zeros(self._all)
        matrix = self._all
        starts = [np.random.SeedSequence([self.entropy, _FULL, k, r]) for r in self._replicates]
        return fit_restarts(
            matrix,
            k,
            starts,
            self._settings(k),
            keep=partial(self._keep, matrix, k),
            at_once=1 if self._streamed else None,
        )

    def held(self, k: int) -> list[HeldFit]:
        """Fit the entries that each replicate sees, and measure the error on those it does not."""
        one = self._held_fit if self._loss == "frobenius" else self._held_counts
        return self._at_once([partial(one, k, r) for r in self._replicates])

    def _at_once(self, tasks: list[Callable[[], T]]) -> list[T]:
        with single_thread_blas():
            return run_tasks(1 if self._streamed else self._n_threads, tasks)

    def _full_counts(self, k: int, replicate: int) -> FullFit:
        usage, model = self._counts(k, (_FULL, replicate), "random")
        self._on_fit()
        return FullFit(
            programs=model.components_,
            labels=_main_program(usage[self._sample]),
            relative_error=float(np.sqrt(model.result_.relative_error)),
            n_iter=model.n_iter_,
            converged=model.result_.converged,
        )

    def _held_counts(self, k: int, replicate: int) -> HeldFit:
        mask = mask_of(self.fraction, self.entropy, replicate)
        usage, model = self._counts(k, (_HELD, replicate), _HELD_START, mask)
        threads = self._n_threads if self._streamed else 1
        matrix = count_matrix(self.X, Hidden([mask]), threads)
        usage, programs = _smooth_counts(matrix, usage, model.components_, self.fraction)
        found = held_out_error(self.X, mask, usage, programs, loss=self._loss, n_threads=1)
        self._on_fit()
        return HeldFit(found.relative, model.n_iter_, model.result_.converged)

    def _counts(
        self, k: int, purpose: tuple[int, int], init: str, mask: Speckle | None = None
    ) -> tuple[Array, NMF]:
        """Fit counts by an estimator of their own."""
        kind, replicate = purpose
        model = NMF(
            k,
            loss=self._loss,
            init=init,
            tol=self._tol,
            max_iter=self._max_iter,
            random_state=np.random.default_rng([self.entropy, kind, k, replicate]),
            n_threads=self._n_threads if self._streamed else 1,
        )
        return model.fit_transform(self.X, mask=mask), model

    def _held_fit(self, k: int, replicate: int) -> HeldFit:
        matrix = self._masked_matrix(replicate)
        mask = mask_of(self.fraction, self.entropy, replicate)

        def keep(outcome: Outcome) -> HeldFit:
            stride = matrix.stride(k)
            usage = thin_rows(_ridge_usage(matrix, outcome.programs, k), stride, k)
            programs = thin_rows(outcome.programs, stride, k).T
            found = held_out_error(self.X, mask, usage, programs, n_threads=1)
            self._on_fit()
            return HeldFit(found.relative, outcome.n_iter, outcome.status is not Status.MAX_ITER)

        start = np.random.SeedSequence([self.entropy, _HELD, k, replicate])
        settings = self._settings(k)
        return fit_restarts(matrix, k, [start], settings, keep=keep, init=_HELD_START)[0]

    def _masked_matrix(self, replicate: int) -> DataMatrix:
        """Return the layout of what a replicate sees, kept for other ranks where there is room."""
        if replicate in self._masked:
            return self._masked[replicate]
        mask = mask_of(self.fraction, self.entropy, replicate)
        threads = self._n_threads if self._streamed else 1
        matrix = DataMatrix(self.X, 1, dtype=self.dtype, n_threads=threads, hidden=Hidden([mask]))
        _refuse_zeros(matrix)
        size = self.X.data.nbytes if not self._streamed else 0
        if 2 * size * self.n_replicates <= _KEPT_BYTES:
            self._masked[replicate] = matrix
        return matrix

    def _keep(self, matrix: DataMatrix, k: int, outcome: Outcome) -> FullFit:
        stride = matrix.stride(k)
        settings = self._settings(k)
        usage = thin_rows(outcome.usage, stride, k)[self._sample]
        rest = residual(
            matrix, outcome.statistics, outcome.usage, outcome.programs, settings.penalties
        )
        norm = matrix.squared_norm
        self._on_fit()
        return FullFit(
            programs=thin_rows(outcome.programs, stride, k).T.copy(),
            labels=_main_program(usage),
            relative_error=float(np.sqrt(max(rest, 0.0) / norm)) if norm > 0 else 0.0,
            n_iter=outcome.n_iter,
            converged=outcome.status is not Status.MAX_ITER,
        )

    @property
    def _replicates(self) -> range:
        return range(self.n_replicates)

    def _settings(self, k: int) -> Settings:
        none = ElasticNet.build(0.0, 0.0, k, factor="usage")
        return Settings(self._tol, self._max_iter, Penalties(none, none))

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.entropy, purpose])


def _refuse_zeros(matrix: DataMatrix) -> None:
    if matrix.squared_norm == 0:
        raise DataError("all values are zero: there is nothing to factorize")


def _main_program(usage: Array) -> npt.NDArray[np.intp]:
    """Return the program that each row uses most, -1 if it uses none."""
    return np.where(usage.any(axis=1), usage.argmax(axis=1), -1)


def _ridge_usage(matrix: DataMatrix, programs: Array, k: int) -> Array:
    """Return the usage that predicts hidden entries, flat."""
    lengths = np.diag(gram_of(matrix, programs, k))
    ridge = ElasticNet.build(0.0, _RIDGE * float(lengths.mean()), k, factor="usage")
    usage = matrix.thin(matrix.shape[0], k)
    matrix.sweep(programs, exact_problem(matrix, programs, ridge), usage)
    return usage


def _smooth_counts(
    matrix: CountMatrix | CountStream, usage: Array, programs: Array, hidden: float
) -> tuple[Array, Array]:
    """Return usage and programs that predict hidden counts.

    The usage is solved with a ridge, relative to the mean usage and the total of the row, and one
    program is added: the totals of the columns, used by each row in proportion to its own (of
    which the share `hidden` is not seen).
    """
    k = programs.shape[0]
    totals = matrix.row_totals / max(float(matrix.row_totals.mean()), np.finfo(float).tiny)
    mean = max(float(usage.mean(dtype=np.float64)), np.finfo(float).tiny)
    ridge = ElasticNet.build(0.0, _RIDGE / mean, k, factor="usage")
    none = ElasticNet.build(0.0, 0.0, k, factor="programs")
    alone = np.ones(k, bool)  # one factor penalised: the other one does not move
    settings = CountSettings(0.0, 1, Penalties(ridge, none, alone), np.where(totals > 0, totals, 1))
    flat = matrix.thin(matrix.shape[1], k, programs.T)
    smooth = np.zeros((matrix.shape[0], k + 1), matrix.dtype)
    for start, panel in matrix.panels():
        w, _ = project(panel, flat, settings, k, start)
        rows = thin_rows(w, matrix.stride(k), k)
        smooth[start : start + panel.shape[0], :k] = (1 - _TOTALS) * rows
    smooth[:, k] = _TOTALS * matrix.row_totals / (1 - hidden)
    columns = matrix.column_totals / max(matrix.total, np.finfo(float).tiny)
    return smooth, np.vstack([programs, columns.astype(programs.dtype)])


def consensus_of(fits: list[FullFit]) -> tuple[float, float]:
    """Return cophenetic correlation and dispersion of what the starts have as main programs."""
    together = co_assignment([fit.labels for fit in fits])
    return cophenetic_correlation(together), dispersion(together)


def hidden_share(X: Any) -> float:
    """Return what share of the entries of the data to hide."""
    n, p = X.shape
    block = X
    if not (sp.issparse(X) or isinstance(X, np.ndarray)):
        block = next(iter(X.blocks(0, min(n, 4096))))[1]
    enough = min(_MOST_HIDDEN, _ENTRIES / (n * p))
    if not sp.issparse(block):
        return float(max(_LEAST_HIDDEN, enough))
    density = block.nnz / max(1, block.shape[0] * p)
    return float(np.clip(_HIDDEN_OF_NONZERO * density, enough, _MOST_HIDDEN))


def mask_of(fraction: float, entropy: int, replicate: int) -> Speckle:
    """Return what a replicate hides: disjoint folds of one seed, then those of the next."""
    folds = Speckle(fraction).n_folds
    seed = np.random.SeedSequence([entropy, replicate // folds]).generate_state(1)[0]
    return Speckle(fraction, seed=int(seed), fold=replicate % folds)


def sampled_rows(n: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the sorted numbers of at most `most` of n rows."""
    if n <= most:
        return np.arange(n)
    return np.sort(rng.choice(n, size=most, replace=False))
