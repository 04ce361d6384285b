"""The fits behind a consensus: many starts of the same data, what is kept of each, the usage."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from partwise.factorize._counts import (
    check_some,
    count_matrix,
    exponent_of_counts,
    project_counts,
)
from partwise.factorize._scale import times_power
from partwise.matrix.counts import CountMatrix
from partwise.matrix.masks import Hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.objectives import Penalties
from partwise.results import Status
from partwise.solvers.kl import CountOutcome, CountSettings, fit_counts
from partwise.solvers.kl_stream import fit_stream
from partwise.solvers.restarts import fit_restarts
from partwise.solvers.state import Outcome, Settings, exact_problem, residual
from partwise.utils.random import generator
from partwise.utils.threads import run_tasks, single_thread_blas

__all__ = [
    "Counts",
    "Fits",
    "Limits",
    "Problem",
    "Refit",
    "Squares",
    "by_share",
    "entropy_of",
    "kmeans_seed",
    "warn_of",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Limits:
    """How many fits there are and when each stops.

    Attributes
    ----------
    n_replicates
        Number of fits.
    tol, max_iter
        As in `NMF`.
    entropy
        The seed. The start of replicate r at rank k depends on it, k and r only: more replicates,
        or other ranks beside it, change nothing of it.
    """

    n_replicates: int
    tol: float
    max_iter: int
    entropy: int

    def seeds(self, k: int) -> list[np.random.SeedSequence]:
        """Return the seeds of the fits at rank k."""
        return [np.random.SeedSequence([self.entropy, k, r]) for r in range(self.n_replicates)]


@dataclass(frozen=True)
class Fits:
    """What is kept of the fits of one rank.

    Attributes
    ----------
    programs
        Programs of all fits, below each other, (fits k) x p.
    n_iter
        Passes of each fit.
    unconverged
        How many stopped at max_iter.
    """

    programs: Array
    n_iter: npt.NDArray[np.int64]
    unconverged: int

    @property
    def details(self) -> dict[str, float]:
        """The numbers for the record of the run."""
        return {
            "n_replicates": float(len(self.n_iter)),
            "mean_iterations": float(self.n_iter.mean()),
            "unconverged": float(self.unconverged),
        }


@dataclass(frozen=True)
class Refit:
    """The exact usage of given programs.

    Attributes
    ----------
    usage
        n x k.
    error
        ||X - W H||^2, or the deviance.
    relative_error
        ||X - W H|| / ||X||, or the deviance relative to that of the rank-one model.
    length
        ||X - W H||, or the root of twice the deviance.
    """

    usage: Array
    error: float
    relative_error: float
    length: float


class Problem(Protocol):
    """Data under a loss: what a consensus asks of them."""

    def fit(
        self, k: int, limits: Limits, penalties: Penalties, on_fit: Callable[[], None] | None
    ) -> Fits:
        """Fit from random starts; `on_fit` is called after each, in the thread that did it."""
        ...

    def solve(self, programs: Array, penalties: Penalties) -> Refit:
        """Return the usage that fits best at given programs (k x p)."""
        ...


@dataclass(frozen=True)
class Squares:
    """Data under the Frobenius loss.

    Attributes
    ----------
    matrix
        The data, n x p, perhaps divided by a power of two.
    at_once
        Fits at a time; None for as many as there are threads.
    """

    matrix: DataMatrix
    at_once: int | None = None

    def fit(
        self, k: int, limits: Limits, penalties: Penalties, on_fit: Callable[[], None] | None
    ) -> Fits:
        """Fit from random starts."""
        matrix = self.matrix

        def keep(outcome: Outcome) -> tuple[Array, int, bool]:
            programs = thin_rows(outcome.programs, matrix.stride(k), k).T.copy()
            if on_fit is not None:
                on_fit()
            return programs, outcome.n_iter, outcome.status is Status.MAX_ITER

        settings = Settings(limits.tol, limits.max_iter, penalties)
        starts = limits.seeds(k)
        return _gathered(fit_restarts(matrix, k, starts, settings, keep=keep, at_once=self.at_once))

    def solve(self, programs: Array, penalties: Penalties) -> Refit:
        """Return the usage that fits best at given programs."""
        matrix, k = self.matrix, programs.shape[0]
        n, p = matrix.shape
        usage = matrix.thin(n, k)
        flat = matrix.thin(p, k, programs.T)
        statistics = matrix.sweep(flat, exact_problem(matrix, flat, penalties.usage), usage)
        error = max(residual(matrix, statistics, usage, flat, penalties), 0.0)
        norm, power = matrix.squared_norm, matrix.exponent
        return Refit(
            usage=times_power(thin_rows(usage, matrix.stride(k), k).copy(), power),
            error=float(np.ldexp(error, 2 * power)),
            relative_error=float(np.sqrt(error / norm)) if norm > 0 else 0.0,
            length=float(np.ldexp(np.sqrt(error), power)),
        )


class Counts:
    """Counts under the Kullback-Leibler loss.

    Parameters
    ----------
    X
        Checked counts, n x p.
    hidden
        What is hidden of them.
    sizes
        Size factor of each row, n.
    n_threads
        Threads.
    """

    def __init__(
        self, X: Any, hidden: Hidden, sizes: npt.NDArray[np.float64], n_threads: int
    ) -> None:
        self._x, self._hidden, self._sizes, self._n_threads = X, hidden, sizes, n_threads
        matrix = count_matrix(X, hidden, n_threads)
        check_some(matrix)
        power = exponent_of_counts(matrix)
        if power != 0:
            matrix = count_matrix(times_power(X, -power), hidden, n_threads)
        self._matrix = matrix

    def fit(
        self, k: int, limits: Limits, penalties: Penalties, on_fit: Callable[[], None] | None
    ) -> Fits:
        """Fit from random starts."""
        settings = CountSettings(limits.tol, limits.max_iter, penalties, self._sizes)
        in_memory = isinstance(self._matrix, CountMatrix)

        def one(seed: np.random.SeedSequence) -> tuple[Array, int, bool]:
            outcome = self._one(k, settings, np.random.default_rng(seed))
            if on_fit is not None:
                on_fit()
            programs = thin_rows(outcome.programs, self._matrix.stride(k), k).T.copy()
            return programs, outcome.n_iter, outcome.status is Status.MAX_ITER

        tasks = [partial(one, seed) for seed in limits.seeds(k)]
        with single_thread_blas():
            # counts on disk are read in each pass: their threads work inside each fit
            return _gathered(run_tasks(self._n_threads if in_memory else 1, tasks))

    def _one(self, k: int, settings: CountSettings, rng: np.random.Generator) -> CountOutcome:
        matrix = self._matrix
        n, p = matrix.shape
        scale = np.sqrt(matrix.total / (n * p) / k)
        usage = matrix.thin(n, k, np.abs(rng.standard_normal((n, k)) * scale))
        programs = matrix.thin(p, k, np.abs(rng.standard_normal((p, k)) * scale))
        if isinstance(matrix, CountMatrix):
            return fit_counts(matrix, usage, programs, settings, rng)
        return fit_stream(matrix, usage, programs, settings, rng)

    def solve(self, programs: Array, penalties: Penalties) -> Refit:
        """Return the usage that minimises the deviance at given programs."""
        held = np.ascontiguousarray(programs.astype(self._x.dtype))
        usage, deviance, null = project_counts(
            self._x, self._hidden, held, penalties, self._sizes, self._n_threads
        )
        relative = deviance / null if null > 0 else 0.0
        return Refit(usage, deviance, relative, float(np.sqrt(2.0 * deviance)))


def _gathered(kept: list[tuple[Array, int, bool]]) -> Fits:
    return Fits(
        programs=np.concatenate([programs for programs, _, _ in kept]),
        n_iter=np.array([n_iter for _, n_iter, _ in kept], np.int64),
        unconverged=sum(cut for _, _, cut in kept),
    )


def by_share(usage: Array) -> npt.NDArray[np.intp]:
    """Return the programs by their total share: each row's usage counts 1 in all."""
    totals = usage.sum(axis=1, dtype=np.float64)
    shares = usage / np.where(totals > 0, totals, 1.0)[:, None]
    return np.argsort(-shares.sum(axis=0), kind="stable")


def entropy_of(random_state: Any) -> int:
    """Return the number that all seeds of a consensus are made from."""
    return int(generator(random_state).integers(2**62))


def kmeans_seed(entropy: int, k: int) -> int:
    """Return the seed of k-means at rank k."""
    return int(np.random.SeedSequence([entropy, k]).generate_state(1)[0])


def warn_of(unconverged: int, fits: int, max_iter: int) -> None:
    """Warn of fits that stopped before they converged."""
    if unconverged:
        warnings.warn(
            f"{unconverged} of {fits} fits stopped at max_iter={max_iter} before convergence: "
            "raise max_iter, or raise tol if this precision is enough",
            ConvergenceWarning,
            stacklevel=5,
        )
