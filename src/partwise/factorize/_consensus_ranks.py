"""Stability and error of the consensus over a range of ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.factorize._checks import check_count
from partwise.factorize._consensus_fits import Fits, Problem, kmeans_seed, warn_of
from partwise.factorize._consensus_programs import consensus_programs
from partwise.factorize._consensus_record import ConsensusRanks
from partwise.factorize._masking import check_observed
from partwise.factorize.consensus import ConsensusNMF
from partwise.matrix.masks import Hidden
from partwise.matrix.panels import NARROW
from partwise.utils.memory import release
from partwise.utils.threads import single_thread_blas

__all__ = ["consensus_ranks", "recommend"]

Floats = npt.NDArray[np.float64]

#: A rank counts as stable if it reaches this share of the highest stability.
_STABLE = 0.9
#: Differences of the stability of neighbouring ranks up to this say nothing.
_EVEN = 0.01
_RULE = (
    f"the largest k whose stability is at least {_STABLE:g} of the highest and is not exceeded by "
    f"that of the next smaller or larger k tried by more than {_EVEN:g}"
)


def consensus_ranks(
    X: Any,
    ranks: Iterable[int],
    *,
    model: ConsensusNMF | None = None,
    on_fit: Callable[[], None] | None = None,
) -> ConsensusRanks:
    """Fit the replicates of several ranks, and say how stable each is and how well it fits.

    The stability of a rank is the mean silhouette of its replicate programs in k clusters, the
    error that of the consensus at its exact usage; both without the filter of local density, as in
    cNMF. The replicates are those that `ConsensusNMF` with the same seed would make, and it takes
    them: `ConsensusNMF(k).fit(X, replicates=found.replicates[k])` fits nothing twice.

    Parameters
    ----------
    X : array-like, sparse matrix or block source, n x p
        Non-negative observations; NaN is hidden.
    ranks : iterable of int
        Numbers of programs, e.g. range(5, 14); 2 or more.
    model : ConsensusNMF, optional
        Number of replicates, tolerance, seed and threads; its rank and filter are not used.
    on_fit : callable, optional
        Called after each fit, possibly from several threads.

    Returns
    -------
    ConsensusRanks
        The two curves, a recommendation with its rule, and the replicates.

    Raises
    ------
    DataError
        If X cannot be factorized.
    UsageError
        If the ranks cannot be used.

    References
    ----------
    Kotliar et al. (2019), eLife 8:e43803; Alexandrov et al. (2013), Cell Reports 3.

    Examples
    --------
    >>> from partwise import ConsensusNMF
    >>> from partwise.datasets import simulate_programs
    >>> from partwise.factorize import consensus_ranks
    >>> counts = simulate_programs(300, p=100, rank=4, seed=0).X
    >>> model = ConsensusNMF(n_replicates=10, random_state=0)
    >>> consensus_ranks(counts, range(2, 8), model=model).recommended
    4
    """
    model = ConsensusNMF() if model is None else model
    model._check_parameters()
    # an estimator of its own, so that the caller's is not marked as fitted
    X, hidden = check_observed(ConsensusNMF(), X, None, None, reset=True)
    asked = _check_ranks(ranks, X.shape)
    limits = model._limits()
    with single_thread_blas():
        problems = dict(_problems(model, X, asked, hidden))
        fits, found = {}, {}
        # the largest first: it takes most memory to judge, and then there is least beside it
        for k in reversed(asked):
            fits[k] = problems[k].fit(k, limits, model._penalties(k), on_fit)
            found[k] = _judge(model, problems[k], k, fits[k], limits.entropy)
            release()
    cut = np.array([fits[k].unconverged for k in asked])
    warn_of(int(cut.sum()), model.n_replicates * len(asked), model.max_iter)
    stability, error, relative = (np.array([found[k][i] for k in asked]) for i in range(3))
    return ConsensusRanks(
        ranks=np.array(asked, np.int64),
        stability=stability,
        error=error,
        relative_error=relative,
        recommended=recommend(asked, stability),
        rule=_RULE,
        replicates={k: fits[k].programs for k in asked},
        unconverged=cut,
    )


def recommend(ranks: Iterable[int], stability: npt.ArrayLike) -> int:
    """Return the rank that the rule chooses.

    Parameters
    ----------
    ranks : iterable of int
        Ascending ranks.
    stability : array-like
        Stability of each.

    Returns
    -------
    int
        The largest rank whose stability is at least 0.9 of the highest and a local maximum, give
        or take 0.01: what follows is less stable, what precedes is no better.

    Examples
    --------
    >>> recommend([5, 6, 7, 8, 9], [0.95, 0.8, 0.93, 0.88, 0.6])
    7
    """
    asked, values = list(ranks), np.asarray(stability, np.float64)
    beside = np.concatenate([[-np.inf], values, [-np.inf]])
    peak = values + _EVEN >= np.maximum(beside[:-2], beside[2:])
    peak &= values >= min(_STABLE * values.max(), values.max())  # a silhouette may be negative
    return int(asked[int(np.flatnonzero(peak)[-1])])


def _check_ranks(ranks: Iterable[int], shape: tuple[int, int]) -> list[int]:
    asked = sorted({check_count(k, "a rank", least=2) for k in ranks})
    if not asked:
        raise UsageError("there are no ranks to try")
    if asked[-1] > min(shape):
        raise UsageError(
            f"rank {asked[-1]} exceeds the smaller side of the data, {shape[0]} x {shape[1]}"
        )
    return asked


def _problems(
    model: ConsensusNMF, X: Any, ranks: list[int], hidden: Hidden
) -> Iterator[tuple[int, Problem]]:
    """Yield the data laid out for each rank: once for all, unless they are narrow."""
    narrow = X.shape[1] <= NARROW and model.loss == "frobenius"
    shared = None if narrow else model._problem(X, ranks[-1], hidden)
    for k in ranks:
        yield k, shared if shared is not None else model._problem(X, k, hidden)


def _judge(
    model: ConsensusNMF, problem: Problem, k: int, fits: Fits, entropy: int
) -> tuple[float, float, float]:
    """Return stability, error and relative error of the consensus without a filter."""
    found = consensus_programs(
        fits.programs,
        k,
        density_threshold=2.0,
        local_neighborhood_size=model.local_neighborhood_size,
        seed=kmeans_seed(entropy, k),
    )
    refit = problem.solve(found.programs, model._penalties(k))
    return found.stability, refit.error, refit.relative_error
