"""Several graphs from one search: the same as one search each."""

import numpy as np
import pytest

from partwise.datasets import simulate_neighborhoods
from partwise.graph import cluster_rows, graph_from_matrix
from partwise.graph.row_graphs import RowGraphs, link_sums


def _rows(mode):
    sim = simulate_neighborhoods(1500, mode=mode, seed=3)
    X = sim.table[list(sim.features)].to_numpy("float32")
    X[[5, 700]] = 0
    return X


@pytest.mark.parametrize("mode", ["original", "discrete"])
def test_equal_to_a_search_for_each_k(mode):
    X = _rows(mode)
    graphs = RowGraphs(X, (8, 15, 25), random_state=7)
    assert graphs.n_rows == 1498
    for k in (25, 8, 15):
        graph = graphs.graph(k)
        for r in (0.1, 0.8):
            wanted = cluster_rows(X, n_neighbors=k, resolution=r, random_state=7)
            found, nodes = graph.cluster(r, random_state=7)
            np.testing.assert_array_equal(found.labels, wanted.clustering.labels)
            np.testing.assert_array_equal(found.sizes, wanted.clustering.sizes)
            assert graph.graph.n_edges == wanted.n_edges
            place = graphs.node_of_row()
            used = place >= 0
            assert (found.labels[~used] == -1).all()
            pairs = set(zip(found.labels[used].tolist(), nodes[place[used]].tolist(), strict=True))
            assert len(pairs) == found.n_clusters


def test_link_sums_equal_dense_sums():
    rng = np.random.default_rng(0)
    A = rng.random((30, 30)) * (rng.random((30, 30)) < 0.3)
    A = A + A.T
    labels = rng.integers(4, size=30).astype(np.int32)
    inside, volume = link_sums(graph_from_matrix(A), labels)
    B = A + np.diag(np.diag(A))  # both ends of a self-loop
    same = np.eye(4)[labels]
    np.testing.assert_allclose(inside, np.diag(same.T @ B @ same))
    np.testing.assert_allclose(volume, same.T @ B.sum(axis=1))
