"""Do groups of patients differ in what their tissue is made of? Patients are counted, not cells.

Cells of one patient resemble each other, so a test that counts cells finds differences between any
two patients, whatever their groups. Here each patient gives one fraction per part (niche), and
patients are permuted over the groups.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.utils.random import generator
from partwise.utils.threads import single_thread_blas

__all__ = [
    "GroupComparison",
    "PermutationTest",
    "benjamini_hochberg",
    "compare_fractions",
    "permutation_test",
    "smallest_p_value",
]

FloatArray = npt.NDArray[np.float64]

#: Up to so many assignments of patients to groups are all looked at; beyond, a random sample.
_MOST_EXACT = 100_000
#: Assignments that are looked at together.
_ROWS = 8192
#: Sums of squares that differ by less than this share of the total are equal.
_TIE = 1e-9


@dataclass(frozen=True)
class PermutationTest:
    """What permuting labels over observations says.

    Attributes
    ----------
    statistic
        F, variance between groups over variance within, for each of K columns; infinite where
        there is none within, NaN where there is none at all.
    p_values
        Share of assignments whose statistic is at least as large, K.
    smallest_p
        The least p-value that these group sizes (and that many assignments) can give.
    n_permutations
        Assignments that were looked at, the observed one included.
    exact
        Whether these are all there are.
    """

    statistic: FloatArray
    p_values: FloatArray
    smallest_p: float
    n_permutations: int
    exact: bool


@dataclass(frozen=True)
class GroupComparison:
    """Fractions of P patients in G groups, part by part, and whether they differ.

    Attributes
    ----------
    groups, n_patients
        Names of the groups in order, and how many patients each has.
    fractions
        Share of each part in the cells of each patient, P x K.
    means
        Mean of these in each group, G x K.
    test
        The test of the transformed fractions; `test.p_values` has one value for each of the K
        parts, whatever the number of groups.
    fdr
        The p-values after Benjamini and Hochberg, K.
    pairs
        Positions of the groups that are compared two by two, (first, second).
    difference, low, high
        Mean fraction of the second group minus that of the first, and its interval, pairs x K.
        NaN bounds where no variance is seen.
    level
        Coverage of the intervals, per part, over all pairs together.
    """

    groups: tuple[str, ...]
    n_patients: tuple[int, ...]
    fractions: FloatArray
    means: FloatArray
    test: PermutationTest
    fdr: FloatArray
    pairs: tuple[tuple[int, int], ...]
    difference: FloatArray
    low: FloatArray
    high: FloatArray
    level: float


def compare_fractions(
    counts: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    n_permutations: int = 99_999,
    level: float = 0.95,
    random_state: int = 0,
) -> GroupComparison:
    """Test whether the fractions of parts differ between groups of patients.

    With f the fraction of a part in each patient, y = arcsin(sqrt(f)) is compared by the F
    statistic, and its p-value is the share of assignments of patients to groups (of the same
    sizes) that give at least as much. This is exact if, without a difference, patients are
    exchangeable between groups; no distribution is assumed. The transformation makes the variance
    of a fraction about independent of its size, needs no pseudo-count, and unlike the logit keeps
    its power where some patients lack a part (docs/decisions/025-niches-of-new-cells.md).

    The difference of mean fractions comes with the interval of Welch's t, at a level that holds
    for all pairs of groups of one part together (Bonferroni).

    Parameters
    ----------
    counts
        Number of cells, P patients x K parts, each patient with at least one cell.
    groups
        Group of each patient, P; two groups or more, each with two patients or more.
    n_permutations
        Random assignments where there are more than 100,000 in all.
    level
        Coverage of the intervals.
    random_state
        Seed of the random assignments.

    Returns
    -------
    GroupComparison
        Fractions, tests, and effects with intervals; groups in the order of their names.

    Raises
    ------
    UsageError
        If the shapes do not fit or a number is out of range.
    DataError
        If there are too few groups or patients, or a patient has no cells.

    References
    ----------
    Phipson, Smyth, "Permutation P-values should never be zero", Statistical Applications in
    Genetics and Molecular Biology 9, 39 (2010). Welch, Biometrika 34, 28 (1947).

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.array([[10, 90], [12, 88], [11, 89], [40, 60], [45, 55], [38, 62]])
    >>> found = compare_fractions(counts, ["A", "A", "A", "B", "B", "B"])
    >>> float(found.test.p_values[0]), found.test.smallest_p
    (0.1, 0.1)
    >>> round(float(found.difference[0, 0]), 2)
    0.3
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or (values < 0).any():
        raise UsageError("counts must be numbers of 0 or more, patients x parts")
    if not 0 < level < 1:
        raise UsageError(f"level must be between 0 and 1, not {level}")
    totals = values.sum(axis=1, keepdims=True)
    if (totals == 0).any():
        raise DataError(f"patient {int(np.argmin(totals)) + 1} of {len(values)} has no cells")
    names, codes = _coded(groups, len(values))
    fractions = values / totals
    test = permutation_test(
        np.arcsin(np.sqrt(fractions)),
        groups,
        n_permutations=n_permutations,
        random_state=random_state,
    )
    pairs = tuple(itertools.combinations(range(len(names)), 2))
    difference, low, high = _differences(fractions, codes, pairs, 1 - (1 - level) / len(pairs))
    return GroupComparison(
        groups=names,
        n_patients=tuple(int(n) for n in np.bincount(codes)),
        fractions=fractions,
        means=np.stack([fractions[codes == g].mean(axis=0) for g in range(len(names))]),
        test=test,
        fdr=benjamini_hochberg(test.p_values),
        pairs=pairs,
        difference=difference,
        low=low,
        high=high,
        level=level,
    )


def permutation_test(
    values: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    n_permutations: int = 99_999,
    random_state: int = 0,
) -> PermutationTest:
    """Test by permutation whether the means of groups differ, column by column.

    F = (sum_g n_g (m_g - m)^2 / (G - 1)) / (sum_g sum_i (y_i - m_g)^2 / (P - G)); for two groups
    this is the square of Student's t. p = #{assignments with F at least as large} / #{assignments}
    over all assignments that keep the sizes of the groups, or, where there are more than 100,000,
    over `n_permutations` random ones and the observed one.

    Parameters
    ----------
    values
        Y, P observations x K columns.
    groups
        Group of each observation, P.
    n_permutations
        Random assignments where not all are looked at.
    random_state
        Seed of these.

    Returns
    -------
    PermutationTest
        Statistics and p-values of the K columns.

    Raises
    ------
    UsageError
        If the shapes do not fit.
    DataError
        If there are fewer than two groups, or one has fewer than two observations.

    References
    ----------
    Pitman, Supplement to the Journal of the Royal Statistical Society 4, 119 (1937).

    Examples
    --------
    >>> import numpy as np
    >>> found = permutation_test(np.array([[1.0], [2.0], [9.0], [8.0]]), ["A", "A", "B", "B"])
    >>> found.p_values.tolist(), found.exact  # 2 of the 6 assignments separate them so well
    ([0.3333333333333333], True)
    """
    Y = np.asarray(values, dtype=np.float64)
    if Y.ndim != 2 or not np.isfinite(Y).all():
        raise UsageError("values must be finite, observations x columns")
    if n_permutations < 1:
        raise UsageError(f"n_permutations must be at least 1, not {n_permutations}")
    _, codes = _coded(groups, len(Y))
    sizes = np.bincount(codes)
    Y = Y - Y.mean(axis=0)
    total = np.square(Y).sum(axis=0)
    observed = _between(codes[None], Y, sizes)[0]
    within = np.maximum(total - observed, 0.0)
    freedom = (len(sizes) - 1, len(Y) - len(sizes))
    # a column without variance has rounding errors only
    varies = total > _TIE**2 * np.maximum(1.0, np.square(np.asarray(values, np.float64)).sum(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        F = np.where(varies, (observed / freedom[0]) / (within / freedom[1]), np.nan)
    F = np.where(varies & (within <= _TIE * total), np.inf, F)
    exact = _n_assignments(sizes) <= _MOST_EXACT
    count, reached = 0, np.zeros(Y.shape[1], np.int64)
    bound = observed - _TIE * total
    with single_thread_blas():
        for labels in _assignments(codes, exact, n_permutations, random_state):
            reached += (_between(labels, Y, sizes) >= bound).sum(axis=0)
            count += len(labels)
    if not exact:  # the observed assignment is one of those that could have been drawn
        count, reached = count + 1, reached + 1
    p_values = np.where(varies, reached / count, 1.0)
    return PermutationTest(
        F, p_values, smallest_p_value(sizes.tolist(), n_permutations=n_permutations), count, exact
    )


def smallest_p_value(sizes: Sequence[int], *, n_permutations: int = 99_999) -> float:
    """Return the least p-value that a permutation test of groups of these sizes can give.

    Assignments that only exchange groups of equal size have the same statistic, so this is
    (product of m_s!) / (P! / product of n_g!), with m_s the number of groups of size s; and never
    less than one over the number of assignments that are looked at.

    Parameters
    ----------
    sizes
        Observations in each group.
    n_permutations
        Random assignments where not all are looked at.

    Returns
    -------
    float
        The bound.

    Examples
    --------
    >>> smallest_p_value([3, 3]), round(smallest_p_value([4, 4]), 3)
    (0.1, 0.029)
    """
    alike = math.prod(math.factorial(m) for m in Counter(sizes).values())
    assignments = _n_assignments(np.asarray(sizes))
    drawn = 0.0 if assignments <= _MOST_EXACT else 1.0 / (n_permutations + 1)
    return max(alike / assignments, drawn)


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Adjust p-values so that those of at most q hold a share of q false ones on average.

    adjusted_(i) = min over j >= i of min(1, K p_(j) / j), with p_(1) <= ... <= p_(K).

    Parameters
    ----------
    p_values
        K values.

    Returns
    -------
    numpy.ndarray
        K adjusted values, in the same order.

    References
    ----------
    Benjamini, Hochberg, Journal of the Royal Statistical Society B 57, 289 (1995).

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.02]).round(3).tolist()
    [0.03, 0.04, 0.03]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / ranks))
    return adjusted


def _coded(groups: Sequence[Hashable], n: int) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return the names of the groups, sorted, and the group of each observation as a number."""
    texts = [str(group) for group in groups]
    if len(texts) != n:
        raise UsageError(f"there are {len(texts)} groups for {n} observations")
    names = tuple(sorted(set(texts)))
    place = {name: i for i, name in enumerate(names)}
    codes = np.array([place[text] for text in texts], np.int64)
    if len(names) < 2:
        raise DataError(f"there is one group only ({names[0] if names else 'none'})")
    few = [name for name, size in zip(names, np.bincount(codes), strict=True) if size < 2]
    if few:
        raise DataError(f"the group {few[0]!r} has one patient only: two or more are needed")
    return names, codes


def _n_assignments(sizes: npt.NDArray[np.int64]) -> int:
    left, product = int(np.sum(sizes)), 1
    for size in sizes.tolist():
        product *= math.comb(left, size)
        left -= size
    return product


def _between(
    labels: npt.NDArray[np.integer], Y: FloatArray, sizes: npt.NDArray[np.int64]
) -> FloatArray:
    """Return the sum of squares between groups of centred Y, assignments x columns."""
    result = np.zeros((len(labels), Y.shape[1]))
    for group, size in enumerate(sizes):
        result += np.square((labels == group).astype(np.float64) @ Y) / size
    return result


def _assignments(
    codes: npt.NDArray[np.int64], exact: bool, n_permutations: int, seed: int
) -> Iterator[npt.NDArray[np.integer]]:
    """Yield blocks of assignments: all that keep the sizes, or random ones."""
    if exact:
        every = _every(np.bincount(codes))
        for first in range(0, len(every), _ROWS):
            yield every[first : first + _ROWS]
        return
    rng = generator(seed)
    for first in range(0, n_permutations, _ROWS):
        rows = min(_ROWS, n_permutations - first)
        yield rng.permuted(np.tile(codes.astype(np.int32), (rows, 1)), axis=1)


def _every(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Return all assignments to groups of these sizes."""
    labels = np.full((1, int(sizes.sum())), len(sizes) - 1, np.int8)
    for group, size in enumerate(sizes[:-1]):
        free = np.nonzero(labels == len(sizes) - 1)[1].reshape(len(labels), -1)
        chosen = np.array(list(itertools.combinations(range(free.shape[1]), int(size))))
        places = free[:, chosen].reshape(-1, int(size))
        labels = np.repeat(labels, len(chosen), axis=0)
        np.put_along_axis(labels, places, np.int8(group), axis=1)
    return labels


def _differences(
    fractions: FloatArray,
    codes: npt.NDArray[np.int64],
    pairs: Sequence[tuple[int, int]],
    level: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return differences of means and the bounds of Welch's intervals, pairs x parts."""
    from scipy.stats import t as student

    lines = []
    for first, second in pairs:
        a, b = fractions[codes == first], fractions[codes == second]
        parts = [x.var(axis=0, ddof=1) / len(x) for x in (a, b)]
        square = parts[0] + parts[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = square**2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
            half = np.where(
                square > 0, student.ppf(0.5 + level / 2, freedom) * np.sqrt(square), np.nan
            )
        gap = b.mean(axis=0) - a.mean(axis=0)
        lines.append((gap, np.maximum(gap - half, -1.0), np.minimum(gap + half, 1.0)))
    difference, low, high = (np.stack(values) for values in zip(*lines, strict=True))
    return difference, low, high
