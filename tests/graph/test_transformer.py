"""The neighbours behind scikit-learn's grammar."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsTransformer as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from partwise import KNeighborsTransformer
from partwise.exceptions import UsageError

X = np.random.default_rng(0).random((80, 4))


@parametrize_with_checks([KNeighborsTransformer(n_neighbors=3)])
def test_grammar_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_same_graph_as_scikit_learn(metric):
    ours = KNeighborsTransformer(6, metric=metric).fit(X)
    theirs = Theirs(n_neighbors=6, metric=metric).fit(X)
    new = np.random.default_rng(1).random((9, 4))
    for rows in (X, new):
        left, right = ours.transform(rows), theirs.transform(rows)
        assert (np.diff(left.indptr) == 7).all()
        np.testing.assert_allclose(left.toarray(), right.toarray(), atol=1e-6)


def test_a_row_lists_itself_first_even_among_equals():
    same = np.repeat(X[:10], 5, axis=0)
    graph = KNeighborsTransformer(3).fit_transform(same)
    lists = graph.indices.reshape(50, 4)
    assert (lists[:, 0] == np.arange(50)).all()
    assert graph.nnz == 200  # zeros stay stored
    assert (graph.data == 0).all()


def test_in_a_pipeline():
    graph = make_pipeline(StandardScaler(), KNeighborsTransformer(2)).fit_transform(X)
    assert graph.shape == (80, 80)


def test_fewer_rows_than_neighbours():
    assert KNeighborsTransformer(15).fit_transform(X[:5]).nnz == 25


@pytest.mark.parametrize(
    "wrong", [{"n_neighbors": 0}, {"n_neighbors": 2.5}, {"metric": "l1"}, {"method": "x"}]
)
def test_bad_parameters(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        KNeighborsTransformer(**wrong).fit(X)
