"""The fits behind a consensus: many starts of the same data, what is kept of each, the usage."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.objectives import Penalties
from partwise.results import Status
from partwise.solvers.restarts import fit_restarts
from partwise.solvers.state import Outcome, Settings, exact_problem, residual
from partwise.utils.random import generator

__all__ = [
    "Fits",
    "Refit",
    "by_share",
    "entropy_of",
    "fit_replicates",
    "kmeans_seed",
    "solve_usage",
    "warn_of",
]

Array = npt.NDArray[Any]


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


def fit_replicates(
    matrix: DataMatrix,
    k: int,
    n_replicates: int,
    settings: Settings,
    entropy: int,
    *,
    on_fit: Callable[[], None] | None = None,
    at_once: int | None = None,
) -> Fits:
    """Fit the same data from random starts.

    The start of replicate r at rank k depends on the seed, k and r only: more replicates, or other
    ranks beside it, change nothing of it.

    Parameters
    ----------
    matrix
        The data, n x p.
    k
        Number of programs.
    n_replicates
        Number of fits.
    settings
        Tolerance, passes, penalties.
    entropy
        The seed.
    on_fit
        Called after each fit, in the thread that did it.
    at_once
        Fits at a time; by default as many as there are threads.

    Returns
    -------
    Fits
        Their programs, in the order of the replicates.
    """

    def keep(outcome: Outcome) -> tuple[Array, int, bool]:
        programs = thin_rows(outcome.programs, matrix.stride(k), k).T.copy()
        if on_fit is not None:
            on_fit()
        return programs, outcome.n_iter, outcome.status is Status.MAX_ITER

    starts = [np.random.SeedSequence([entropy, k, r]) for r in range(n_replicates)]
    kept = fit_restarts(matrix, k, starts, settings, keep=keep, at_once=at_once)
    return Fits(
        programs=np.concatenate([programs for programs, _, _ in kept]),
        n_iter=np.array([n_iter for _, n_iter, _ in kept], np.int64),
        unconverged=sum(cut for _, _, cut in kept),
    )


@dataclass(frozen=True)
class Refit:
    """The exact usage of given programs.

    Attributes
    ----------
    usage
        n x k.
    error
        ||X - W H||^2.
    relative_error
        ||X - W H|| / ||X||.
    """

    usage: Array
    error: float
    relative_error: float


def solve_usage(matrix: DataMatrix, programs: Array, penalties: Penalties) -> Refit:
    """Return the usage that fits the data best at given programs (k x p)."""
    n, p = matrix.shape
    k = programs.shape[0]
    usage = matrix.thin(n, k)
    flat = matrix.thin(p, k, programs.T)
    statistics = matrix.sweep(flat, exact_problem(matrix, flat, penalties.usage), usage)
    error = max(residual(matrix, statistics, usage, flat, penalties), 0.0)
    norm = matrix.squared_norm
    relative = float(np.sqrt(error / norm)) if norm > 0 else 0.0
    return Refit(thin_rows(usage, matrix.stride(k), k).copy(), error, relative)


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
