import numpy as np
import pytest

from partwise.graph import distinct_rows, morton_order
from partwise.graph.repeats import neighbors_per_row, scatter_ties


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize(("n", "p", "high"), [(1, 1, 2), (500, 3, 3), (2000, 2, 50), (300, 8, 1)])
def test_distinct_rows_are_those_of_numpy(dtype, n, p, high):
    X = np.random.default_rng(n).integers(0, high, size=(n, p)).astype(dtype)
    found = distinct_rows(X)
    unique, first, counts = np.unique(X, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    assert found.n_distinct == len(unique)
    assert (found.rows == first[order]).all()
    assert (found.multiplicity == counts[order]).all()
    assert (X[found.rows][found.inverse] == X).all()


def test_minus_zero_is_zero_and_input_is_left_alone():
    X = np.array([[0.0, 1.0], [-0.0, 1.0]])
    X.flags.writeable = False
    assert distinct_rows(X).n_distinct == 1
    assert distinct_rows(np.asfortranarray(X)).n_distinct == 1
    assert np.signbit(X[1, 0])


def test_tables_without_rows_or_columns():
    assert distinct_rows(np.empty((0, 3))).n_distinct == 0
    empty = distinct_rows(np.empty((4, 0)))
    assert empty.n_distinct == 1
    assert empty.multiplicity.tolist() == [4]


def test_close_rows_are_close_in_morton_order():
    X = np.random.default_rng(0).random((4000, 3))
    order = morton_order(X)
    assert (np.sort(order) == np.arange(4000)).all()
    step = np.linalg.norm(np.diff(X[order], axis=0), axis=1).mean()
    assert step < 0.2 * np.linalg.norm(np.diff(X, axis=0), axis=1).mean()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0), (6, 2)])
def test_morton_order_of_rows_that_do_not_differ_is_their_own(shape):
    assert morton_order(np.ones(shape)).tolist() == list(range(shape[0]))


def test_morton_order_with_more_axes_than_it_interleaves():
    X = np.random.default_rng(0).random((100, 20)).astype(np.float32)
    assert sorted(morton_order(X)) == list(range(100))


def test_neighbours_per_row_grow_with_the_copies_up_to_the_root():
    assert neighbors_per_row(15, 0, 0) == 15
    assert neighbors_per_row(15, 1000, 1000) == 15
    assert neighbors_per_row(15, 1500, 1000) == 30
    assert neighbors_per_row(15, 10**6, 10_000) == 100
    assert neighbors_per_row(200, 10**6, 10_000) == 200
    for n in (10_000, 20_000, 100_000):
        assert 5000 * neighbors_per_row(15, n, 5000) <= 2 * n * 15


def test_scattered_rows_stay_nearest_to_where_they_were():
    rows = np.stack(np.meshgrid(*[np.arange(8.0)] * 2), -1).reshape(-1, 2)
    moved = scatter_ties(rows, random_state=3)
    assert (moved == scatter_ties(rows, random_state=3, n_threads=2)).all()
    assert (moved != scatter_ties(rows, random_state=4)).any()
    assert (np.rint(moved) == rows).all()
    assert scatter_ties(rows[:1]).tolist() == rows[:1].tolist()
