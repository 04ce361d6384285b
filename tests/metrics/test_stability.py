"""Agreement of starts, against the formulas written out."""

import itertools

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist, squareform

from partwise.exceptions import UsageError
from partwise.metrics import (
    co_assignment,
    cophenetic_correlation,
    dispersion,
    matched_cosine,
    mean_matched_cosine,
)


def brute_force(a, b):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    orders = itertools.permutations(range(len(b)))
    return max(sum(a[i] @ b[j] for i, j in enumerate(order)) for order in orders)


@pytest.mark.parametrize("seed", range(5))
def test_matching_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((5, 8)) ** 3, rng.random((5, 8)) ** 3
    assert matched_cosine(a, b).sum() == pytest.approx(brute_force(a, b), abs=1e-12)


def test_order_and_scale_do_not_matter():
    rng = np.random.default_rng(0)
    a = rng.random((6, 20))
    b = a[rng.permutation(6)] * rng.random((6, 1))
    np.testing.assert_allclose(matched_cosine(a, b), 1.0)


def test_a_program_of_zeros_matches_nothing():
    a = np.eye(3)
    b = np.eye(3) * [1, 1, 0]
    assert sorted(matched_cosine(a, b)) == [0.0, 1.0, 1.0]


def test_mean_over_the_other_starts():
    rng = np.random.default_rng(1)
    starts = [rng.random((4, 9)) for _ in range(3)]
    found = mean_matched_cosine(starts)
    expected = np.mean([matched_cosine(starts[0], starts[i]).mean() for i in (1, 2)])
    assert found[0] == pytest.approx(expected)
    assert np.isnan(mean_matched_cosine(starts[:1])).all()


def test_shapes_must_agree():
    with pytest.raises(UsageError, match="same shape"):
        matched_cosine(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(UsageError, match="starts x observations"):
        co_assignment([0, 1])


def test_consensus_and_its_measures():
    rng = np.random.default_rng(2)
    labels = rng.integers(3, size=(7, 30))
    consensus = co_assignment(labels)
    expected = np.mean([run[:, None] == run for run in labels], axis=0)
    np.testing.assert_allclose(consensus, expected)
    assert dispersion(consensus) == pytest.approx(np.sum(4 * (expected - 0.5) ** 2) / 900)
    distances = squareform(1 - expected, checks=False)
    tree = linkage(distances, "average")
    assert cophenetic_correlation(consensus) == pytest.approx(cophenet(tree, distances)[0])


def test_clear_and_undecided():
    sure = co_assignment([[0, 0, 1, 1]] * 3)
    assert dispersion(sure) == 1.0
    assert cophenetic_correlation(sure) == pytest.approx(1.0)
    assert dispersion(np.full((4, 4), 0.5)) == 0.0
    assert np.isnan(cophenetic_correlation(co_assignment([[0, 0, 0]])))
    assert np.isnan(cophenetic_correlation(np.ones((1, 1))))


def test_points_of_a_tree_are_tree_like():
    x = np.r_[np.zeros(5), np.ones(5) * 0.4, np.ones(5)]
    assert cophenetic_correlation(1 - squareform(pdist(x[:, None]))) > 0.9


def test_ties_that_rounding_turns_upside_down():
    """Five starts that agree but for a few observations; scipy refuses its own tree of the ties."""
    first = "mlmmkjmmmmmmmimimmhmmmmmmmmmmmmglmmmimmmmmmmfedmmmmmmicbmmkmmmmmma"
    starts = np.zeros((5, len(first)), int)
    starts[0] = [ord(letter) for letter in first]
    starts[1:, -1] = 1
    assert 0.9 < cophenetic_correlation(co_assignment(starts)) <= 1.0
