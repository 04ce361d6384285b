"""Measures of one partition, against plain references."""

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import silhouette_score

from partwise.exceptions import UsageError
from partwise.metrics.partitions import (
    conductance,
    group_entropy,
    modularity,
    share_in_small,
    silhouettes,
)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1100, 3)).astype(np.float32)
    X[:400] += 4
    labels = (rng.random(1100) < 0.3).astype(int)
    labels[:400] = 2
    labels[7] = 3  # a cluster of one
    return X, labels


class TestSilhouettes:
    def test_equals_scikit_learn(self, cloud):
        X, labels = cloud
        random = np.random.default_rng(1).integers(5, size=labels.size)
        found = silhouettes(X, [labels, random])
        wanted = [silhouette_score(X.astype(float), part) for part in (labels, random)]
        np.testing.assert_allclose(found, wanted, rtol=1e-9)

    def test_rows_without_cluster_are_left_out(self, cloud):
        X, labels = cloud
        holes = labels.copy()
        holes[::3] = -1
        kept = holes >= 0
        wanted = silhouette_score(X[kept].astype(float), holes[kept])
        np.testing.assert_allclose(silhouettes(X, [holes])[0], wanted, rtol=1e-9)

    def test_sample(self, cloud):
        X, labels = cloud
        rows = np.sort(np.random.default_rng(5).choice(1100, 700, replace=False))
        wanted = silhouette_score(X[rows].astype(float), labels[rows])
        found = silhouettes(X, [labels], n_sample=700, random_state=5)[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
        assert found != silhouettes(X, [labels], n_sample=700, random_state=6)[0]

    def test_far_from_the_origin(self, cloud):
        X, labels = cloud
        near, far = silhouettes(X, [labels])[0], silhouettes(X + np.float32(1024), [labels])[0]
        assert abs(near - far) < 1e-4

    def test_one_cluster_or_none(self, cloud):
        X, labels = cloud
        found = silhouettes(X, [np.zeros_like(labels), np.full_like(labels, -1)])
        assert np.isnan(found).all()


def dense_sums(A, labels):
    """Sums over ordered pairs of nodes, a self-loop twice."""
    B = A + np.diag(np.diag(A))
    inside = [B[np.ix_(labels == c, labels == c)].sum() for c in np.unique(labels)]
    return np.array(inside), np.array([B[labels == c].sum() for c in np.unique(labels)])


def test_cuts_of_two_joined_triangles():
    A = np.kron(np.eye(2), 1 - np.eye(3))
    A[2, 3] = A[3, 2] = 1
    labels = np.array([0, 0, 0, 1, 1, 1])
    sums = dense_sums(A, labels)
    strengths = A.sum(axis=1)
    same = labels[:, None] == labels
    wanted = ((A - np.outer(strengths, strengths) / A.sum()) * same).sum() / A.sum()
    assert modularity(*sums) == pytest.approx(wanted)
    np.testing.assert_allclose(conductance(*sums), [1 / 7, 1 / 7])


def test_cuts_without_links_and_of_one_cluster():
    assert modularity([0.0, 0.0], [0.0, 0.0]) == 0.0
    assert modularity([8.0], [8.0]) == 0.0
    assert conductance([8.0], [8.0]).tolist() == [0.0]
    assert conductance([0.0, 4.0], [2.0, 6.0]).tolist() == [1.0, 1.0]


class TestGroups:
    def test_equals_scipy(self):
        rng = np.random.default_rng(2)
        labels, groups = rng.integers(-1, 4, 500), rng.choice(list("abc"), 500)
        per_cluster, mean = group_entropy(labels, groups)
        names, used = list("abc"), labels >= 0
        overall = entropy([np.sum(groups[used] == g) for g in names])
        wanted = [
            entropy([np.sum(groups[labels == c] == g) for g in names]) / overall for c in range(4)
        ]
        np.testing.assert_allclose(per_cluster, wanted)
        sizes = [np.sum(labels == c) for c in range(4)]
        assert mean == pytest.approx(np.average(wanted, weights=sizes))
        assert mean <= 1

    def test_a_group_each_and_one_group(self):
        assert group_entropy([0, 0, 1], ["a", "a", "b"])[1] == 0.0
        assert np.isnan(group_entropy([0, 0, 1], ["a", "a", "a"])[1])
        assert np.isnan(group_entropy([-1, -1], ["a", "b"])[1])

    def test_lengths(self):
        with pytest.raises(UsageError, match="3 labels and 2 groups"):
            group_entropy([0, 0, 1], [0, 1])


def test_share_in_small():
    assert share_in_small([50, 49, 1], 50) == 0.5
    assert share_in_small([], 50) == 0.0
