"""From measurements at every point of a grid to one point, and how far it can be believed.

Letters: P points, R replicates; a_p is the mean adjusted Rand index of pairs of replicates, a0(K)
that of data without clusters at the same number of clusters K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Choice", "Evidence", "adjusted_score", "choose", "support"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Scores that are below the best by no more standard errors of that difference are equal to it.
STANDARD_ERRORS = 1.0
#: Of settings with as many clusters, which are mostly the same ones, fewer programs are worth this.
AS_GOOD = 0.02
#: A partition is worth more than a cut through data without clusters from this score on.
LEAST_SCORE = 0.6
#: At most this share of the cells may be in clusters that are too small.
MOST_SMALL = 0.01
_BOOTSTRAP = 500


@dataclass(frozen=True)
class Evidence:
    """What the rule looks at.

    Attributes
    ----------
    n_components, n_neighbors, resolution
        The points, P each.
    n_clusters, share_small
        Clusters of all rows, and the share of rows in small ones, P.
    pairs
        Agreement of replicates, P x R x R.
    null
        Agreement without clusters at as many clusters, P.
    admissible
        Points whose n the measurements of the factorization do not exclude, P.
    """

    n_components: IntArray
    n_neighbors: IntArray
    resolution: FloatArray
    n_clusters: IntArray
    share_small: FloatArray
    pairs: FloatArray
    null: FloatArray
    admissible: BoolArray

    @property
    def n_replicates(self) -> int:
        """R."""
        return int(self.pairs.shape[1])


@dataclass(frozen=True)
class Choice:
    """Which point the rule takes.

    Attributes
    ----------
    point
        Its number.
    structured
        Whether any point exceeded data without clusters.
    near
        Points whose score does not differ from the best.
    """

    point: int
    structured: bool
    near: IntArray


def adjusted_score(mean_ari: FloatArray, null_ari: FloatArray) -> FloatArray:
    """Stability beyond that of data without clusters: (a - a0) / (1 - a0).

    Parameters
    ----------
    mean_ari, null_ari
        a and a0 per point.

    Returns
    -------
    ndarray
        1 for the same partition in all replicates, 0 for what cuts through data without clusters
        reach; NaN where there is nothing to compare, as with one cluster.

    References
    ----------
    The form is that of Cohen (1960), Educational and Psychological Measurement 20, 37; the null
    that of Lange et al. (2004), Neural Computation 16, 1299.

    Examples
    --------
    >>> adjusted_score(np.array([1.0, 0.4]), np.array([0.4, 0.4])).tolist()
    [1.0, 0.0]
    """
    room = 1.0 - null_ari
    score: FloatArray = np.divide(
        mean_ari - null_ari, room, out=np.full(np.shape(room), np.nan), where=room > 0
    )
    return score


def means_of(pairs: FloatArray, drawn: npt.NDArray[np.intp]) -> FloatArray:
    """Mean over the pairs of different replicates among those drawn, P."""
    one, two = np.triu_indices(len(drawn), 1)
    different = drawn[one] != drawn[two]
    chosen = pairs[:, drawn[one[different]], drawn[two[different]]]
    return np.asarray(chosen.mean(axis=1))


def choose(
    evidence: Evidence,
    *,
    drawn: npt.NDArray[np.intp] | None = None,
    standard_errors: float = STANDARD_ERRORS,
) -> Choice:
    """Apply the rule.

    Of the points whose n is admissible, with two clusters or more and hardly any cell in small
    ones, those are equally stable whose score is below the best by no more than the standard error
    of that difference (jackknife over replicates). Among them the most clusters are taken, because
    merging stable clusters leaves a stable partition; of the points with as many the least n whose
    score is within 0.02 of the best of them, and there the best score. Where even the best score
    is low, nothing is better supported than a cut through data without clusters, and the fewest
    clusters are taken.

    Parameters
    ----------
    evidence
        The measurements.
    drawn
        Replicates to believe, with repetition; None for each of them once.
    standard_errors
        How many of them a score may be below the best.

    Returns
    -------
    Choice
        The point.
    """
    replicates = np.arange(evidence.n_replicates) if drawn is None else drawn
    scores = _Scores(evidence, replicates, standard_errors)
    eligible = _eligible(evidence, np.isfinite(scores.all))
    if not eligible.any():
        return Choice(int(evidence.n_clusters.argmin()), False, np.empty(0, np.int64))
    points = np.flatnonzero(eligible)
    near = scores.equal_to_best(points)
    structured = float(scores.all[near].max()) >= LEAST_SCORE
    count = evidence.n_clusters
    taken = count[near].max() if structured else count[points].min()
    as_many = points[count[points] == taken]
    good = as_many[scores.all[as_many] >= scores.all[as_many].max() - AS_GOOD]
    n = evidence.n_components[good]
    least = good[n == n.min()]
    return Choice(int(least[scores.all[least].argmax()]), structured, near)


class _Scores:
    """Scores of all points, and by how much they may differ by chance."""

    def __init__(
        self, evidence: Evidence, replicates: npt.NDArray[np.intp], standard_errors: float
    ) -> None:
        self.all = adjusted_score(means_of(evidence.pairs, replicates), evidence.null)
        different = np.unique(replicates)
        # without two replicates there is no agreement to leave one out of
        left_out = different if different.size > 2 else different[:0]
        self._without = np.array(
            [
                adjusted_score(means_of(evidence.pairs, replicates[replicates != b]), evidence.null)
                for b in left_out
            ]
        )
        self._standard_errors = standard_errors

    def equal_to_best(self, points: npt.NDArray[np.intp]) -> IntArray:
        """Return those of some points whose score does not differ from the best of them."""
        best = points[self.all[points].argmax()]
        gap = self.all[best] - self.all[points]
        error = np.zeros(points.size)
        count = self._without.shape[0]
        if count:
            gaps = self._without[:, [best]] - self._without[:, points]
            squares = np.square(gaps - gaps.mean(axis=0)).sum(axis=0)
            error = np.sqrt((count - 1) / count * squares)
        equal: IntArray = points[gap <= self._standard_errors * error].astype(np.int64)
        return equal


def _eligible(evidence: Evidence, scored: BoolArray) -> BoolArray:
    """Points that may be taken; conditions that leave none are let go, the last named first."""
    eligible = scored & (evidence.n_clusters > 1)
    for condition in (evidence.share_small <= MOST_SMALL, evidence.admissible):
        if (eligible & condition).any():
            eligible = eligible & condition
    return eligible


def support(evidence: Evidence, seed: int) -> dict[int, float]:
    """How often the rule comes to each number of clusters, replicates drawn with replacement.

    Parameters
    ----------
    evidence
        The measurements.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Share of the draws by number of clusters.
    """
    rng = np.random.default_rng([seed, 31])
    counts: dict[int, int] = {}
    done = 0
    while done < _BOOTSTRAP:
        drawn = rng.integers(evidence.n_replicates, size=evidence.n_replicates)
        if np.unique(drawn).size < 2:
            continue  # one replicate alone agrees with nobody
        found = int(evidence.n_clusters[choose(evidence, drawn=drawn).point])
        counts[found] = counts.get(found, 0) + 1
        done += 1
    return {k: count / done for k, count in sorted(counts.items())}
