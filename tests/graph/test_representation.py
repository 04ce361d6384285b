import numpy as np
import pytest

from partwise.exceptions import DataError, MissingDependencyError, UsageError
from partwise.graph import clustering_space
from partwise.graph.embedding import pca, umap


def factors(n=50, k=4, p=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, k)), rng.random((k, p))


def gaps(Y):
    return np.linalg.norm(Y[:, None] - Y[None], axis=2)


@pytest.mark.parametrize(("k", "p"), [(1, 5), (4, 9), (9, 4), (6, 6)])
def test_distances_are_those_of_the_reconstruction(k, p):
    W, H = factors(k=k, p=p)
    Y = clustering_space(W, H)
    assert Y.shape == (50, min(k, p))
    assert gaps(Y) == pytest.approx(gaps(W @ H), abs=1e-9)


def test_scale_and_order_of_the_programs_do_not_matter():
    W, H = factors()
    scale, order = np.array([1e-3, 1.0, 50.0, 7.0]), [2, 0, 3, 1]
    other = clustering_space((W * scale)[:, order], (H / scale[:, None])[order])
    assert gaps(other) == pytest.approx(gaps(clustering_space(W, H)), abs=1e-9)


def test_equal_rows_stay_equal_and_empty_rows_empty():
    W, H = factors(n=5000)
    W[::7] = W[3]
    W[5] = 0
    for dtype in (np.float32, np.float64):
        Y = clustering_space(W.astype(dtype), H)
        assert Y.dtype == dtype
        assert (Y[::7] == Y[3]).all()
        assert (Y[5] == 0).all()


def test_programs_of_zeros_give_no_axes():
    W, H = factors()
    assert clustering_space(W, np.zeros_like(H)).shape == (50, 0)
    H[1] = 0
    assert clustering_space(W, H).shape == (50, 3)


def test_shapes_are_checked():
    with pytest.raises(UsageError, match="do not fit"):
        clustering_space(np.ones((3, 2)), np.ones((3, 5)))


@pytest.mark.parametrize("shape", [(40, 5), (5, 40), (30, 2)])
def test_components_are_those_of_the_singular_values(shape):
    X = np.random.default_rng(0).normal(size=shape)
    scores = pca(X)
    centred = X - X.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(scores) == pytest.approx(np.abs(left * values)[:, :2], abs=1e-8)
    assert (pca(X) == scores).all()
    assert np.abs(pca(-X)) == pytest.approx(np.abs(scores))


def test_components_that_do_not_exist_are_zero():
    scores = pca(np.arange(4.0)[:, None], n_components=3)
    assert scores.shape == (4, 3)
    assert (scores[:, 1:] == 0).all()
    assert (pca(np.ones((3, 2))) == 0).all()


@pytest.mark.parametrize("embed", [pca, umap])
def test_values_are_checked(embed):
    with pytest.raises(DataError, match="finite"):
        embed(np.full((3, 2), np.nan))
    with pytest.raises(DataError, match="rows"):
        embed(np.empty((0, 2)))


def test_missing_umap_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r"partwise\[umap\]"):
        umap(np.random.default_rng(0).random((20, 3)))
