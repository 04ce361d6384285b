import numpy as np
import pytest

from partwise.graph import cluster_rows
from partwise.metrics import adjusted_rand

PROFILES = np.array([[6.0, 1, 1, 1], [1, 6, 1, 1], [1, 1, 6, 1]])


def planted(n, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return (PROFILES[kind] + rng.normal(0, 0.3, (n, 4))).astype(np.float32), kind


def test_finds_planted_groups():
    X, kind = planted(2000)
    found = cluster_rows(X)
    assert found.clustering.n_clusters == 3
    assert adjusted_rand(found.clustering.labels, kind) > 0.99
    assert (np.diff(found.clustering.sizes) <= 0).all()
    assert found.clustering.sizes.sum() == 2000
    assert found.n_distinct == 2000


def test_rows_without_usage_are_isolated():
    X, _ = planted(500)
    X[[3, 77]] = 0
    found = cluster_rows(X)
    assert found.n_isolated == 2
    assert found.clustering.labels[[3, 77]].tolist() == [-1, -1]
    assert found.clustering.sizes.sum() == 498


def test_equal_rows_get_equal_labels():
    rng = np.random.default_rng(1)
    X = rng.multinomial(6, [0.5, 0.3, 0.2], size=5000).astype(np.float32)
    found = cluster_rows(X)
    assert found.n_distinct == len(np.unique(X, axis=0))
    for row in np.unique(X, axis=0):
        assert len(set(found.clustering.labels[(row == X).all(axis=1)])) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_the_result(threads):
    X, _ = planted(20000)
    expected = cluster_rows(X, n_threads=1).clustering
    found = cluster_rows(X, n_threads=threads).clustering
    assert (found.labels == expected.labels).all()
    assert found.quality == expected.quality


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_rows(n):
    X, _ = planted(5)
    found = cluster_rows(X[:n])
    assert found.clustering.labels.shape == (n,)
    assert found.n_neighbors == max(0, min(15, n - 1))
