"""Starts: random as scikit-learn draws it, NNDSVD as published."""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.solvers.init import INITS, initialize, singular_vectors

KINDS = ("narrow", "wide", "sparse")


def matrix_of(X, kind, k, n_threads=1):
    X = sp.csr_matrix(X) if kind == "sparse" else X
    return DataMatrix(X, k, dtype=X.dtype, n_threads=n_threads)


def data(kind, dtype=np.float64, k=4, noise=0.05):
    return reference.planted(200, 25 if kind == "narrow" else 90, k, noise=noise, dtype=dtype)[0]


def start(X, kind, k, init, seed=0, n_threads=1):
    """Return W, H."""
    matrix = matrix_of(X, kind, k, n_threads)
    usage, programs = initialize(matrix, k, init, np.random.default_rng(seed))
    stride = matrix.stride(k)
    return thin_rows(usage, stride, k), thin_rows(programs, stride, k).T


@pytest.mark.parametrize("kind", KINDS)
class TestNndsvd:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("init", ["nndsvd", "nndsvda"])
    def test_as_published(self, kind, init, dtype):
        X = data(kind, dtype)
        W, H = start(X, kind, 4, init)
        U, V = reference.nndsvd(X, 4, fill=init == "nndsvda")
        assert W.dtype == dtype
        tolerance = 1e-3 if dtype == np.float32 else 1e-5  # the SVD is a randomized one
        if init == "nndsvda":  # a tiny value on one side is a filled zero on the other
            same = (np.abs(W - U) < tolerance * U.max()).mean()
            assert same > 0.98
            assert (np.abs(H - V) < tolerance * V.max()).mean() > 0.98
            assert (W > 0).all()
            assert (H > 0).all()
        else:
            np.testing.assert_allclose(W, U, atol=tolerance * U.max())
            np.testing.assert_allclose(H, V, atol=tolerance * V.max())

    def test_singular_vectors(self, kind):
        X = data(kind)
        matrix = matrix_of(X, kind, 4)
        left, values, right = singular_vectors(matrix, 4, np.random.default_rng(0))
        exact = np.linalg.svd(X, compute_uv=False)[:4]
        np.testing.assert_allclose(values, exact, rtol=1e-4)
        np.testing.assert_allclose(left.T @ left, np.eye(4), atol=1e-6)
        np.testing.assert_allclose(right.T @ right, np.eye(4), atol=1e-6)
        np.testing.assert_allclose(X.T @ left, right * values, atol=1e-2 * values[0])

    @pytest.mark.parametrize("init", ["nndsvd", "nndsvda"])
    def test_components_beyond_the_rank_start_at_random(self, kind, init):
        rng = np.random.default_rng(0)
        X = rng.random((80, 2)) @ rng.random((2, 25 if kind == "narrow" else 90))
        W, H = start(X, kind, 6, init)
        assert (W.max(axis=0) > 0).all()
        assert (H.max(axis=1) > 0).all()
        for factor in (W / W.sum(axis=0), (H / H.sum(axis=1, keepdims=True)).T):
            for t in range(2, 6):  # distinct, or they would stay copies of each other
                for u in range(t + 1, 6):
                    assert np.abs(factor[:, t] - factor[:, u]).max() > 0.1 * factor[:, t].max()


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("kind", KINDS)
class TestAll:
    def test_not_negative_and_finite(self, kind, init):
        for k in (1, 4, 30):
            W, H = start(data(kind), kind, k, init)
            assert W.shape == (200, k)
            for factor in (W, H):
                assert np.isfinite(factor).all()
                assert (factor >= 0).all()

    def test_own_seed_only(self, kind, init):
        X = data(kind)
        np.random.seed(1)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        one = start(X, kind, 4, init, seed=3)
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        np.random.seed(2)  # noqa: NPY002
        for a, b in zip(one, start(X, kind, 4, init, seed=3), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_bits_do_not_depend_on_threads(self, kind, init):
        X = reference.planted(3000, 25 if kind == "narrow" else 90, 4, noise=0.1)[0]
        one = start(X, kind, 6, init)
        for n_threads in (2, 3):
            for a, b in zip(one, start(X, kind, 6, init, n_threads=n_threads), strict=True):
                np.testing.assert_array_equal(a, b)


def test_random_has_the_scale_of_the_data():
    X = data("narrow")
    W, H = start(X, "narrow", 5, "random")
    scale = np.sqrt(X.mean() / 5)
    assert np.mean(W) == pytest.approx(scale * np.sqrt(2 / np.pi), rel=0.1)
    assert np.mean(H**2) == pytest.approx(scale**2, rel=0.3)
    other = start(X, "narrow", 5, "random", seed=1)
    assert not np.array_equal(W, other[0])
