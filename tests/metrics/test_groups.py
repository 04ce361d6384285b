"""Groups of patients: the test against brute force and scipy, and what it does under the null."""

import itertools

import numpy as np
import pytest
from scipy import stats

from partwise.exceptions import DataError, UsageError
from partwise.metrics import benjamini_hochberg, compare_fractions, groups, permutation_test


def brute_force(y, labels):
    """All orders of the labels, each once: the share whose F is at least that of the given."""
    names = sorted(set(labels))

    def between(order):
        parts = [y[[a == name for a in order]] for name in names]
        return sum(len(part) * (part.mean() - y.mean()) ** 2 for part in parts)

    orders = set(itertools.permutations(labels))
    observed = between(labels)
    return np.mean([between(order) >= observed - 1e-9 for order in orders])


@pytest.mark.parametrize("labels", ["AABB", "AAABBB", "AABBB", "AABBCC", "ABABCBC"])
def test_exact_p_values(labels):
    labels = list(labels)
    Y = np.random.default_rng(len(labels)).random((len(labels), 3))
    found = permutation_test(Y, labels)
    assert found.exact
    for column, p in zip(Y.T, found.p_values, strict=True):
        assert p == pytest.approx(brute_force(column, labels), abs=1e-12)
    parts = [Y[[a == name for a in labels]] for name in sorted(set(labels))]
    np.testing.assert_allclose(found.statistic, stats.f_oneway(*parts).statistic)


def test_the_smallest_p_value_is_reached():
    for labels in ("AAABBB", "AABBB", "AABBCC", "AAABBBCC"):
        labels = list(labels)
        y = np.array([ord(a) for a in labels], float)[:, None] ** 2
        y += 0.01 * np.arange(len(labels))[:, None]
        found = permutation_test(y, labels)
        assert found.p_values[0] == pytest.approx(found.smallest_p)
    assert groups.smallest_p_value([4, 4]) == pytest.approx(2 / 70)
    assert groups.smallest_p_value([30, 30], n_permutations=999) == pytest.approx(1e-3)


def test_random_assignments_estimate_the_exact_p_value(monkeypatch):
    rng = np.random.default_rng(3)
    Y = rng.random((12, 4))
    Y[:6, 0] += 0.4
    labels = ["A"] * 6 + ["B"] * 6
    exact = permutation_test(Y, labels)
    monkeypatch.setattr(groups, "_MOST_EXACT", 10)
    drawn = permutation_test(Y, labels, n_permutations=19_999, random_state=1)
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.n_permutations == 20_000
    np.testing.assert_allclose(drawn.p_values, exact.p_values, atol=0.012)
    again = permutation_test(Y, labels, n_permutations=19_999, random_state=1)
    np.testing.assert_array_equal(drawn.p_values, again.p_values)
    other = permutation_test(Y, labels, n_permutations=19_999, random_state=2)
    assert not np.array_equal(drawn.p_values, other.p_values)
    certain = np.arange(12.0)[:, None]
    assert permutation_test(certain, labels, n_permutations=9).p_values[0] > 0  # never zero


def test_a_column_without_variance_says_nothing():
    Y = np.full((6, 1), 0.1) * 3
    found = permutation_test(Y, list("AAABBB"))
    assert found.p_values[0] == 1
    assert np.isnan(found.statistic[0])
    apart = permutation_test(np.repeat([[0.1], [0.3]], 3, axis=0), list("AAABBB"))
    assert np.isinf(apart.statistic[0])
    assert apart.p_values[0] == pytest.approx(0.1)


def test_benjamini_hochberg():
    p = np.random.default_rng(0).random(40) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


def test_intervals_are_those_of_welch():
    counts = np.random.default_rng(1).integers(5, 200, (9, 3))
    labels = list("AAAABBBBB")
    found = compare_fractions(counts, labels)
    fractions = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.fractions, fractions)
    for j in range(3):
        test = stats.ttest_ind(fractions[4:, j], fractions[:4, j], equal_var=False)
        interval = test.confidence_interval(0.95)
        assert found.low[0, j] == pytest.approx(interval.low)
        assert found.high[0, j] == pytest.approx(interval.high)
    three = compare_fractions(counts, list("AAABBBCCC"))
    assert three.pairs == ((0, 1), (0, 2), (1, 2))
    assert three.test.p_values.shape == (3,)
    wide = stats.ttest_ind(fractions[3:6, 0], fractions[:3, 0], equal_var=False)
    assert three.high[0, 0] == pytest.approx(wide.confidence_interval(1 - 0.05 / 3).high)


def simulated(rng, *, effect=0.0, n_patients=7):
    """Cells of patients whose niches differ from patient to patient; the first is shifted."""
    shares = np.full((2 * n_patients, 4), 0.25)
    shares[n_patients:] += np.array([effect, -effect / 3, -effect / 3, -effect / 3])
    own = np.array([rng.dirichlet(20 * share) for share in shares])
    return np.array([rng.multinomial(2000, p) for p in own])


def test_p_values_are_uniform_without_a_difference_and_small_with_one():
    rng = np.random.default_rng(0)
    labels = ["A"] * 7 + ["B"] * 7
    null, cells, shifted = [], [], []
    for _ in range(100):
        counts = simulated(rng)
        null.append(compare_fractions(counts, labels).test.p_values[0])
        table = np.stack([counts[:7].sum(axis=0), counts[7:].sum(axis=0)])
        cells.append(stats.chi2_contingency(table).pvalue)
        counts = simulated(rng, effect=0.25)
        shifted.append(compare_fractions(counts, labels).test.p_values[0])
    assert stats.kstest(null, "uniform").pvalue > 0.01
    assert np.mean(np.array(cells) < 0.05) > 0.9  # what counting cells would say
    assert np.mean(np.array(shifted) < 0.05) > 0.9


def test_what_is_refused():
    with pytest.raises(DataError, match="'B' has one patient only"):
        compare_fractions(np.ones((3, 2)), list("AAB"))
    with pytest.raises(DataError, match="one group only"):
        compare_fractions(np.ones((3, 2)), list("AAA"))
    with pytest.raises(DataError, match="patient 2 of 4 has no cells"):
        compare_fractions([[1, 1], [0, 0], [1, 0], [0, 1]], list("AABB"))
    with pytest.raises(UsageError, match="3 groups for 4"):
        compare_fractions(np.ones((4, 2)), list("AAB"))
    with pytest.raises(UsageError, match="0 or more"):
        compare_fractions([[-1.0, 2.0]] * 4, list("AABB"))
