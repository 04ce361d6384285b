import numpy as np
import pytest

from partwise.exceptions import UsageError
from partwise.graph import connectivities, distinct_rows, leiden, neighbors, partition_quality
from partwise.graph.resolution import link_length
from partwise.graph.weights import WEIGHTS, Graph, graph_from_matrix
from partwise.results import Neighbors


def lattice(n, seed=0):
    X = np.random.default_rng(seed).multinomial(5, [0.4, 0.3, 0.2, 0.1], size=n).astype(float)
    found = distinct_rows(X)
    return X, found


def quotient(n=200, k=6, weights="spread"):
    X, found = lattice(n)
    near = neighbors(X[found.rows], k, multiplicity=found.multiplicity)
    return X, found, near, connectivities(near, weights=weights)


def listed(near):
    n, k = near.indices.shape
    A = np.zeros((n, n), bool)
    A[np.repeat(np.arange(n), k), near.indices.ravel()] = True
    return A


def expanded(found, near):
    """The graph of all observations that the spread weights are the quotient of, dense."""
    k, m = near.n_neighbors, found.multiplicity
    lists = listed(near)
    mass = m - 1 + lists @ m
    share = np.where(lists, k / mass[:, None], 0)
    b = np.maximum(share, share.T)
    np.fill_diagonal(b, k / mass)
    cells = b[np.ix_(found.inverse, found.inverse)]
    np.fill_diagonal(cells, 0)
    return cells


@pytest.mark.parametrize("seed", range(3))
def test_union_graph_joins_each_row_with_those_that_list_it(seed):
    X = np.random.default_rng(seed).normal(size=(120, 3))
    near = neighbors(X, 5)
    graph = connectivities(near)
    lists = listed(near)
    assert ((graph.to_scipy().toarray() > 0) == (lists | lists.T)).all()
    assert graph.weights is None
    assert graph.self_weights is None
    assert graph.n_edges == (lists | lists.T).sum() // 2
    for i in range(120):
        row = graph.indices[graph.indptr[i] : graph.indptr[i + 1]]
        assert (np.diff(row) > 0).all()


def test_multiplicities_of_one_change_nothing():
    X = np.random.default_rng(0).normal(size=(100, 3))
    near = neighbors(X, 5)
    once = Neighbors(
        near.indices, near.distances, near.metric, near.method, 1.0, np.ones(100, np.int64)
    )
    for weights in WEIGHTS:
        a, b = connectivities(near, weights=weights), connectivities(once, weights=weights)
        assert (a.to_scipy() != b.to_scipy()).nnz == 0
        assert b.self_weights is None


def test_spread_weights_are_the_quotient_of_the_graph_of_all_observations():
    _, found, near, graph = quotient()
    cells = expanded(found, near)
    sums = np.zeros((found.n_distinct, len(cells)))
    sums[found.inverse, np.arange(len(cells))] = 1
    between = sums @ cells @ sums.T
    inside = np.diag(between) / 2
    np.fill_diagonal(between, 0)
    assert graph.to_scipy().toarray() == pytest.approx(between, rel=1e-6)
    assert graph.self_weights == pytest.approx(inside, rel=1e-12)
    assert graph.node_sizes.tolist() == found.multiplicity.tolist()


@pytest.mark.parametrize("resolution", [0.1, 1.0])
def test_lifted_partitions_have_the_quality_of_the_quotient(resolution):
    _, found, near, graph = quotient()
    cells = graph_from_matrix(expanded(found, near))
    labels = leiden(graph, resolution).labels
    here = partition_quality(graph, labels, resolution)
    assert here == pytest.approx(partition_quality(cells, labels[found.inverse], resolution))
    options = {"objective": "cpm"}
    here = partition_quality(graph, labels, 0.01, **options)
    there = partition_quality(cells, labels[found.inverse], 0.01, **options)
    assert here == pytest.approx(there)


def test_jaccard_weights_count_shared_neighbours():
    X = np.random.default_rng(1).normal(size=(60, 2))
    near = neighbors(X, 4)
    graph = connectivities(near, weights="jaccard").to_scipy().toarray()
    sets = [{i, *row.tolist()} for i, row in enumerate(near.indices)]
    for i in range(60):
        for j in np.flatnonzero(graph[i]):
            expected = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            assert graph[i, j] == pytest.approx(expected, rel=1e-6)
    assert (graph == graph.T).all()


def test_no_neighbours_no_edges():
    graph = connectivities(neighbors(np.ones((1, 2)), 3))
    assert (graph.n_nodes, graph.n_edges) == (1, 0)


def test_names_of_weights_are_checked():
    with pytest.raises(UsageError, match="spread, unweighted, jaccard"):
        connectivities(neighbors(np.eye(3), 1), weights="gauss")


def test_matrix_becomes_graph_and_back():
    A = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.0]])
    graph = graph_from_matrix(A)
    assert graph.self_weights.tolist() == [2, 0, 0]
    back = graph.to_scipy().toarray()
    assert (back == A - np.diag(np.diag(A))).all()
    assert graph_from_matrix(np.ones((2, 2)) - np.eye(2)).weights is None


def test_link_length_is_the_mean_over_links_in_units_of_the_spread():
    X, found, near, graph = quotient()
    cells = expanded(found, near)
    gaps = np.linalg.norm(X[:, None] - X[None], axis=2)
    expected = (cells * gaps).sum() / cells.sum() / np.sqrt(np.square(gaps).mean())
    assert link_length(graph, X[found.rows]) == pytest.approx(expected, rel=1e-6)


def test_link_length_has_no_unit_and_shrinks_with_more_rows():
    rng = np.random.default_rng(0)
    lengths = []
    for n in (500, 8000):
        X = rng.normal(size=(n, 2))
        graph = connectivities(neighbors(X, 10))
        lengths.append(link_length(graph, X))
        assert link_length(graph, 7 * X + 3) == pytest.approx(lengths[-1])
    assert lengths[0] / lengths[1] == pytest.approx(4, rel=0.15)


def test_link_length_without_links_or_spread_is_zero():
    alone = Graph(np.zeros(3, np.int64), np.empty(0, np.int32))
    assert link_length(alone, np.eye(2)) == 0
    pair = graph_from_matrix(np.ones((2, 2)) - np.eye(2))
    assert link_length(pair, np.ones((2, 2))) == 0
