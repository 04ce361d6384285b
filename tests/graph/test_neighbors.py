import numpy as np
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.graph import neighbors
from partwise.graph._kdtree import build_tree, query_leaves
from partwise.graph.neighbors import _recall, _without_self, unit_rows


def lists_by_sorting(X, k):
    """All pairs in float64; ties by index."""
    X = X.astype(np.float64)
    square = np.zeros((len(X), len(X)))
    for column in X.T:
        square += (column[:, None] - column) ** 2
    np.fill_diagonal(square, np.inf)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.take_along_axis(square, order, 1))


def table(name, n, dtype=np.float64):
    rng = np.random.default_rng(n)
    rows = {
        "normal": rng.normal(size=(n, 4)),
        "one axis": rng.random((n, 1)),
        "many axes": rng.normal(size=(n, 40)),
        "lattice": rng.integers(0, 4, size=(n, 3)).astype(float),
        "copies": np.repeat(rng.normal(size=(-(-n // 5), 2)), 5, axis=0)[:n],
        "far off": 1e3 + rng.normal(size=(n, 3)),
        "flat": np.column_stack([rng.random(n), np.zeros(n)]),
        "sorted": np.column_stack([np.arange(n), np.arange(n) % 7]).astype(float),
    }
    return rows[name].astype(dtype)


TABLES = ["normal", "one axis", "many axes", "lattice", "copies", "far off", "flat", "sorted"]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("method", ["kd-tree", "brute"])
@pytest.mark.parametrize("n", [2, 16, 17, 500])
def test_lists_are_the_true_ones_with_ties_by_index(name, method, n):
    X = table(name, n)
    near = neighbors(X, 7, method=method)
    k = min(7, n - 1)
    indices, distances = lists_by_sorting(X, k)
    assert near.n_neighbors == k
    assert near.recall == 1.0
    assert near.method == method
    assert (near.indices == indices).all()
    assert near.distances == pytest.approx(distances, rel=1e-6)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_methods_and_threads_agree_bit_for_bit(name, dtype):
    X = table(name, 3000, dtype)
    first = neighbors(X, 20, method="kd-tree", n_threads=1)
    for method, threads in [("kd-tree", 2), ("brute", 1), ("brute", 2), ("auto", 2)]:
        other = neighbors(X, 20, method=method, n_threads=threads)
        assert (first.indices == other.indices).all()
        assert (first.distances == other.distances).all()


def test_rows_may_come_in_any_order():
    X = table("normal", 400)
    order = np.random.default_rng(0).permutation(400)
    near, moved = neighbors(X, 5), neighbors(X[order], 5)
    assert (order[moved.indices] == near.indices[order]).all()


def test_self_is_left_out_by_index_among_copies():
    near = neighbors(np.zeros((40, 3)), 5)
    assert (near.indices != np.arange(40)[:, None]).all()
    assert (near.distances == 0).all()
    assert near.indices[0].tolist() == [1, 2, 3, 4, 5]
    assert near.indices[3].tolist() == [0, 1, 2, 4, 5]


def test_self_is_dropped_wherever_an_approximate_list_has_it():
    X = np.array([[0.0], [0.0], [1.0], [3.0]])
    lists = np.array([[1, 0, 2], [0, 1, 2], [1, 0, 3], [2, 3, 1]], dtype=np.int32)
    indices, distances = _without_self(X, lists, 2)
    assert indices.tolist() == [[1, 2], [0, 2], [0, 1], [2, 1]]
    assert distances.tolist() == [[0, 1], [0, 1], [1, 1], [2, 3]]


def test_recall_is_the_share_of_true_neighbours():
    X = np.arange(10.0)[:, None]
    true = neighbors(X, 2).indices
    assert _recall(X, true, 1) == 1.0
    half = true.copy()
    half[:, 1] = (np.arange(10) + 5) % 10
    assert _recall(X, half, 1) == pytest.approx(0.5)


def test_cosine_is_euclidean_between_unit_rows():
    X = np.abs(table("normal", 300)) + 0.1
    near = neighbors(X, 6, metric="cosine")
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    indices, distances = lists_by_sorting(unit, 6)
    assert (near.indices == indices).all()
    assert near.distances == pytest.approx(distances, rel=1e-5)
    scaled = neighbors(X * np.arange(1, 301)[:, None], 6, metric="cosine")
    assert (np.sort(scaled.indices) == np.sort(near.indices)).mean() > 0.999
    assert (unit_rows(np.zeros((2, 3))) == 0).all()


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("method", ["auto", "kd-tree", "brute", "nn-descent"])
def test_too_few_rows_for_any_neighbour(n, method):
    near = neighbors(np.ones((n, 3)), 5, method=method)
    assert near.indices.shape == (n, 0)
    assert near.recall == 1.0


def test_multiplicity_is_passed_on_and_input_is_left_alone():
    X = np.asfortranarray(table("normal", 50))
    X.flags.writeable = False
    counts = np.arange(1, 51)
    assert (neighbors(X, 3, multiplicity=counts).multiplicity == counts).all()
    assert neighbors(X.tolist(), 3).indices.shape == (50, 3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metric": "manhattan"}, "metric must be one of"),
        ({"method": "faiss"}, "method must be one of"),
        ({"n_neighbors": 0}, "n_neighbors"),
    ],
)
def test_parameters_are_checked(change, text):
    with pytest.raises(UsageError, match=text):
        neighbors(np.ones((4, 2)), **change)


def test_values_are_checked():
    X = np.ones((4, 2))
    X[2, 1] = np.nan
    with pytest.raises(DataError, match="row 3, column 2"):
        neighbors(X)
    X[2] = 0
    with pytest.raises(DataError, match="row 3 is all zero"):
        neighbors(X, metric="cosine")
    with pytest.raises(UsageError, match="shape"):
        neighbors(np.ones(4))
    with pytest.raises(DataError, match="at least one column"):
        neighbors(np.ones((4, 0)))


@pytest.mark.slow
def test_descent_finds_most_neighbours_and_says_how_many():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(20, 30))[rng.integers(20, size=4000)]).astype(np.float32)
    X += rng.normal(size=X.shape).astype(np.float32)
    near = neighbors(X, 10, method="nn-descent")
    again = neighbors(X, 10, method="nn-descent", n_threads=2)
    true = neighbors(X, 10, method="brute")
    assert (near.indices == again.indices).all()
    assert (near.indices != np.arange(4000)[:, None]).all()
    found = (near.indices[:, :, None] == true.indices[:, None]).any(axis=2).mean()
    assert 0.8 < near.recall <= 1.0
    assert near.recall == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("n", [257, 259, 16 * 17 + 3, 4096 + 5])
def test_nothing_is_read_behind_the_last_leaf(n):
    """More neighbours than the last group has points; what lies behind the arrays is bait."""
    k = 40
    X = table("normal", n)
    tree = build_tree(X)
    missing = 16 * 16 * 16
    points = np.concatenate([tree.points, np.tile(np.repeat(X[n // 2], 16), missing)])
    rows = np.concatenate([tree.rows, np.full((missing, 16), n + 7, np.int32)])
    indices, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    query_leaves(
        points[: tree.points.size],
        rows[: tree.n_leaves],
        tree.boxes,
        tree.levels,
        tree.n_axes,
        np.arange(tree.n_leaves),
        indices,
        distances,
    )
    assert (indices == lists_by_sorting(X, k)[0]).all()
