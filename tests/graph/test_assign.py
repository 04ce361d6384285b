"""The vote of the nearest known rows, against loops; threads, kinds of search, degenerate rows."""

import numpy as np
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.graph import assign
from partwise.graph.assign import assign_labels, nearest_rows


@pytest.mark.parametrize("r", [2, 12, 13, 40])
def test_nearest_rows_are_those_of_brute_force(r):
    rng = np.random.default_rng(r)
    known, X = rng.random((300, r)), rng.random((150, r))
    indices, distances = nearest_rows(X, known, n_neighbors=7)
    gaps = np.sqrt(np.square(X[:, None] - known[None]).sum(axis=2))
    np.testing.assert_array_equal(indices, np.argsort(gaps, axis=1)[:, :7])
    np.testing.assert_allclose(distances, np.sort(gaps, axis=1)[:, :7])
    every, _ = nearest_rows(X[:3], known, n_neighbors=300)
    assert (np.sort(every, axis=1) == np.arange(300)).all()


def by_loops(X, known, labels, weights, k):
    for x in X:
        gaps = np.sqrt(np.square(x - known).sum(axis=1))
        votes = {}
        for j in np.argsort(gaps)[:k]:
            votes[labels[j]] = votes.get(labels[j], 0.0) + weights[j] / gaps[j]
        best = max(sorted(votes), key=votes.get)
        yield best, votes[best] / sum(votes.values()), np.sort(gaps)[:k].mean()


@pytest.mark.parametrize("r", [3, 20])
def test_the_vote_is_that_of_loops(r):
    rng = np.random.default_rng(0)
    known, X = rng.random((80, r)), rng.random((40, r))
    labels, weights = rng.integers(0, 4, 80), rng.random(80) + 0.1
    found = assign_labels(X, known, labels, weights=weights, n_neighbors=9)
    expected = list(by_loops(X, known, labels, weights, 9))
    assert found.labels.tolist() == [label for label, _, _ in expected]
    np.testing.assert_allclose(found.confidence, [share for _, share, _ in expected])
    np.testing.assert_allclose(found.distance, [gap for _, _, gap in expected])
    plain = assign_labels(X, known, labels, n_neighbors=9)
    assert not np.allclose(plain.confidence, found.confidence)


def test_threads_do_not_change_bits(monkeypatch):
    monkeypatch.setattr(assign, "_ROWS", 32)
    rng = np.random.default_rng(1)
    for r in (4, 30):
        known, X, labels = rng.random((200, r)), rng.random((500, r)), rng.integers(0, 5, 200)
        one, two = (assign_labels(X, known, labels, n_threads=n) for n in (1, 3))
        for name in ("labels", "confidence", "distance"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_known_rows_keep_their_label():
    rng = np.random.default_rng(2)
    known, labels = rng.random((200, 5)), rng.integers(0, 6, 200)
    found = assign_labels(known, known, labels)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.confidence.min() > 0.999


def test_zero_rows_and_single_known_rows():
    found = assign_labels([[0.0, 0.0], [3.0, 1.0]], [[1.0, 1.0]], [2])
    assert found.labels.tolist() == [-1, 2]
    assert np.isnan(found.confidence[0])
    assert found.confidence[1] == 1
    assert assign_labels(np.empty((0, 2)), [[1.0, 1.0]], [2]).labels.shape == (0,)
    same = assign_labels([[1.0, 1.0]], [[1.0, 1.0]] * 3, [4, 1, 4])
    assert (same.labels[0], same.confidence[0]) == (4, pytest.approx(2 / 3))


def test_what_is_refused():
    with pytest.raises(DataError, match="no known rows"):
        assign_labels([[1.0]], np.empty((0, 1)), np.empty(0, int))
    with pytest.raises(UsageError, match="2 columns, known 1"):
        assign_labels([[1.0, 2.0]], [[1.0]], [0])
    with pytest.raises(DataError, match="new row 1, column 2"):
        assign_labels([[1.0, np.nan]], [[1.0, 1.0]], [0])
    with pytest.raises(UsageError, match="one per known row"):
        assign_labels([[1.0]], [[1.0]], [-1])
