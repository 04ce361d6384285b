import numpy as np
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.graph import cluster_rows, connectivities, leiden, neighbors, partition_quality
from partwise.metrics import adjusted_rand

PROFILES = np.array([[6.0, 1, 1, 1], [1, 6, 1, 1], [1, 1, 6, 1]])


def planted(n, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return (PROFILES[kind] + rng.normal(0, 0.3, (n, 4))).astype(np.float32), kind


def counted(n, n_drawn=15, seed=0):
    """Rows of counts over three features; most repeat."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n)
    profiles = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    return rng.multinomial(n_drawn, profiles[kind]) / n_drawn, kind


def test_finds_planted_groups():
    X, kind = planted(2000)
    found = cluster_rows(X)
    assert found.clustering.n_clusters == 3
    assert adjusted_rand(found.clustering.labels, kind) > 0.99
    assert (np.diff(found.clustering.sizes) <= 0).all()
    assert found.clustering.sizes.sum() == 2000
    assert (found.n_distinct, found.n_neighbors, found.recall) == (2000, 15, 1.0)
    assert list(found.timings) == ["distinct rows", "neighbours", "graph", "communities"]


def test_repeated_rows_make_no_clusters_of_their_own():
    X, kind = counted(20_000)
    found = cluster_rows(X)
    assert found.n_distinct < 200
    assert found.clustering.n_clusters == 3
    assert adjusted_rand(found.clustering.labels, kind) > 0.95


def test_equal_rows_get_equal_labels():
    X = np.random.default_rng(1).multinomial(6, [0.5, 0.3, 0.2], size=5000)
    labels = cluster_rows(X).clustering.labels
    kinds, inverse = np.unique(X, axis=0, return_inverse=True)
    for i in range(len(kinds)):
        assert len(set(labels[inverse.ravel() == i])) == 1


def test_order_of_the_columns_hardly_matters_on_a_lattice():
    X, _ = counted(5000)
    one, other = cluster_rows(X), cluster_rows(X[:, ::-1])
    assert adjusted_rand(one.clustering.labels, other.clustering.labels) > 0.99


def test_rows_of_zeros_are_isolated():
    X, _ = planted(500)
    whole = cluster_rows(np.delete(X, [3, 77], axis=0)).clustering.labels
    X[[3, 77]] = 0
    found = cluster_rows(X)
    assert found.n_isolated == 2
    assert found.clustering.labels[[3, 77]].tolist() == [-1, -1]
    assert (np.delete(found.clustering.labels, [3, 77]) == whole).all()
    assert found.clustering.sizes.sum() == 498


@pytest.mark.parametrize("make", [planted, counted])
def test_same_bits_for_any_number_of_threads(make):
    X, _ = make(20_000)
    one, two = (cluster_rows(X, n_threads=t).clustering for t in (1, 2))
    assert (one.labels == two.labels).all()
    assert one.quality == two.quality


def test_a_seed_gives_one_result():
    X = np.random.default_rng(0).random((3000, 2))
    runs = [cluster_rows(X, resolution=1.0, random_state=s).clustering for s in (0, 0, 1)]
    assert (runs[0].labels == runs[1].labels).all()
    assert (runs[0].labels != runs[2].labels).any()


def test_relative_resolution_is_modularity_in_the_terms_of_the_graph():
    X, _ = planted(1500)
    found = cluster_rows(X, resolution=0.2)
    plain = found.clustering.resolution
    assert plain == pytest.approx(0.2 * 15 * found.link_length)
    same = cluster_rows(X, resolution=plain, objective="modularity").clustering
    assert (same.labels == found.clustering.labels).all()
    graph = connectivities(neighbors(X, 15))
    value = partition_quality(graph, found.clustering.labels, plain)
    assert found.clustering.quality == pytest.approx(value)
    assert found.clustering.quality >= leiden(graph, plain).quality


def test_relative_resolution_means_the_same_for_few_and_many_rows():
    # A cloud without gaps: how often it is cut depends on the resolution alone.
    counts = {"relative": [], "modularity": []}
    for n in (1000, 16_000):
        X = np.random.default_rng(0).random((n, 2))
        for objective in counts:
            found = cluster_rows(X, resolution=0.3, objective=objective)
            counts[objective].append(found.clustering.n_clusters)
    few, many = counts["relative"]
    assert abs(few - many) <= 0.25 * many
    few, many = counts["modularity"]
    assert few < 0.75 * many


def test_cosine_ignores_the_length_of_rows():
    X, kind = planted(1000)
    scale = np.random.default_rng(0).uniform(0.1, 10, (1000, 1))
    found = cluster_rows(np.abs(X) * scale, metric="cosine")
    assert adjusted_rand(found.clustering.labels, kind) > 0.98


@pytest.mark.parametrize("objective", ["relative", "modularity", "cpm"])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_rows(n, objective):
    X, _ = planted(5)
    found = cluster_rows(X[:n], objective=objective)
    assert found.clustering.labels.shape == (n,)
    assert found.n_neighbors == max(0, min(15, n - 1))
    assert found.n_isolated == 0


def test_all_rows_equal_all_zero_or_without_columns():
    same = cluster_rows(np.ones((50, 3)))
    assert same.clustering.labels.tolist() == [0] * 50
    for nothing in (np.zeros((50, 3)), np.empty((50, 0))):
        found = cluster_rows(nothing)
        assert found.n_isolated == 50
        assert found.clustering.n_clusters == 0
        assert found.clustering.labels.tolist() == [-1] * 50


@pytest.mark.parametrize("weights", ["spread", "unweighted", "jaccard"])
def test_every_weight_finds_what_is_plain(weights):
    for make in (planted, counted):
        X, kind = make(3000)
        labels = cluster_rows(X, weights=weights).clustering.labels
        assert adjusted_rand(labels, kind) > 0.9


def test_stages_are_told():
    told = []

    class Listener:
        def stage(self, name, total=None):
            from contextlib import nullcontext

            told.append(name)
            return nullcontext()

    X, _ = planted(100)
    cluster_rows(X, progress=Listener())
    assert told == ["distinct rows", "neighbours", "graph", "communities"]


def test_input_is_left_alone_and_may_be_a_frame():
    import pandas as pd

    X, _ = planted(200)
    before = X.copy()
    X.flags.writeable = False
    labels = cluster_rows(X).clustering.labels
    assert (before == X).all()
    assert (cluster_rows(pd.DataFrame(X)).clustering.labels == labels).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"objective": "louvain"}, "objective must be one of relative"),
        ({"metric": "manhattan"}, "metric"),
        ({"weights": "gauss"}, "weights"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"resolution": -1}, "resolution"),
    ],
)
def test_parameters_are_checked(change, text):
    with pytest.raises(UsageError, match=text):
        cluster_rows(planted(50)[0], **change)


def test_values_are_checked_and_the_place_is_named():
    X, _ = planted(50)
    X[7, 2] = np.inf
    with pytest.raises(DataError, match="value inf in row 8, column 3"):
        cluster_rows(X)
    with pytest.raises(UsageError, match="shape"):
        cluster_rows(X[0])
