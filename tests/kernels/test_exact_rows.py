"""Block principal pivoting, through `transform`: the exact usage of given programs."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from partwise import NMF

KINDS = {"narrow": 30, "wide": 90, "sparse": 90}
#: Largest violation of the optimality conditions, relative to X H^T.
TOLERANCE = {np.float32: 3e-6, np.float64: 1e-7}

few = settings(max_examples=12, deadline=None, derandomize=True)


def usage_of(X, H, **parameters):
    """Return the usage of the programs H, as a fitted model would."""
    model = NMF(len(H), **parameters)
    model.n_features_in_ = H.shape[1]
    model.components_ = np.ascontiguousarray(H)
    return model.transform(X)


def as_kind(X, kind):
    return sp.csr_matrix(X) if kind == "sparse" else X


def problem(kind, dtype, n=200, k=7, seed=0):
    """Rows with noise around a mixture of programs, some of them empty."""
    p = KINDS[kind]
    X, _, H = reference.planted(n, p, k, noise=0.5, density=0.6, seed=seed)
    X[::50] = 0
    return as_kind(X.astype(dtype), kind), H.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
class TestAgainstScipy:
    def test_same_solution(self, kind, dtype):
        X, H = problem(kind, dtype)
        W = usage_of(X, H)
        expected = reference.nnls(X, H)
        assert W.dtype == dtype
        atol = {np.float32: 1e-4, np.float64: 1e-6}[dtype] * expected.max()
        np.testing.assert_allclose(W, expected, rtol=0, atol=atol)
        assert reference.kkt_violation(X, W, H) < TOLERANCE[dtype]
        assert not W[::50].any()

    def test_elastic_net(self, kind, dtype):
        X, H = problem(kind, dtype)
        penalties = {"l1_usage": 0.5, "l2_usage": 2.0}
        W = usage_of(X, H, **penalties, l2_programs=1.0)
        assert (W >= 0).all()
        assert W.sum() < usage_of(X, H).sum()
        assert reference.kkt_violation(X, W, H, l1=0.5, l2=2.0) < TOLERANCE[dtype]

    def test_ridge_alone(self, kind, dtype):
        X, H = problem(kind, dtype, n=60)
        W = usage_of(X, H, l2_usage=3.0, l2_programs=1.0)
        expected = reference.nnls(X, H, l2=3.0)
        atol = {np.float32: 1e-4, np.float64: 1e-6}[dtype] * expected.max()
        np.testing.assert_allclose(W, expected, rtol=0, atol=atol)

    def test_a_weight_for_each_component(self, kind, dtype):
        X, H = problem(kind, dtype, n=60)
        l1, l2 = np.linspace(0, 2, 7), np.linspace(3, 0, 7)
        W = usage_of(X, H, l1_usage=l1, l2_usage=l2, l2_programs=1.0)
        assert reference.kkt_violation(X, W, H, l1=l1, l2=l2) < TOLERANCE[dtype]

    def test_huge_l1_gives_no_usage(self, kind, dtype):
        X, H = problem(kind, dtype, n=60)
        assert not usage_of(X, H, l1_usage=1e9, l2_programs=1.0).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
class TestDependentPrograms:
    """The usage is not unique, but the fit is: its residual must be the best one."""

    def check(self, X, H, kind, dtype, tolerance=1e-5):
        W = usage_of(as_kind(X, kind), H)
        assert np.isfinite(W).all()
        assert (W >= 0).all()
        best = np.linalg.norm(reference.dense(X) - reference.nnls(X, H) @ np.float64(H))
        found = np.linalg.norm(reference.dense(X) - np.float64(W) @ np.float64(H))
        assert found <= best + tolerance * np.linalg.norm(X)
        return W

    def test_repeated_programs(self, kind, dtype):
        X, H = problem(kind, dtype, n=80)
        X = reference.dense(X).astype(dtype)
        self.check(X, np.vstack([H, H, 0.5 * H]), kind, dtype)

    def test_more_programs_than_features(self, kind, dtype):
        rng = np.random.default_rng(3)
        X = rng.exponential(size=(60, 8)).astype(dtype)
        H = rng.exponential(size=(20, 8)).astype(dtype)
        W = self.check(X, H, kind, dtype)
        assert reference.kkt_violation(X, W, H) < 1e-5

    @pytest.mark.parametrize(("p", "k"), [(6, 30), (20, 60), (40, 100)])
    def test_many_more_programs_than_features(self, kind, dtype, p, k):
        rng = np.random.default_rng(0)
        X = rng.exponential(size=(60, p)).astype(dtype)
        H = (rng.exponential(size=(k, p)) * (rng.random((k, p)) < 0.3)).astype(dtype)
        W = self.check(X, H, kind, dtype)
        assert reference.kkt_violation(X, W, H) < 1e-5

    def test_zero_programs(self, kind, dtype):
        X, H = problem(kind, dtype, n=80)
        H[2] = 0
        H[5] = 0
        X = reference.dense(X).astype(dtype)
        W = self.check(X, H, kind, dtype)
        assert not W[:, [2, 5]].any()
        assert not usage_of(as_kind(X, kind), np.zeros_like(H)).any()

    def test_nearly_parallel_programs(self, kind, dtype):
        X, H = problem(kind, dtype, n=80)
        X = reference.dense(X).astype(dtype)
        H = np.vstack([H, H * (1 + 1e-4 * np.random.default_rng(0).random(H.shape))]).astype(dtype)
        self.check(X, H, kind, dtype)

    def test_programs_of_very_different_size(self, kind, dtype):
        X, H = problem(kind, dtype, n=80)
        scale = np.float32(10.0) ** np.arange(-3, 4)
        W = self.check(
            reference.dense(X).astype(dtype), H * scale[:, None].astype(dtype), kind, dtype
        )
        one = usage_of(X, H)
        atol = {np.float32: 3e-4, np.float64: 1e-6}[dtype] * one.max()
        np.testing.assert_allclose(W * scale, one, rtol=0, atol=atol)


@few
@given(
    st.integers(1, 70), st.integers(1, 100), st.integers(1, 24), st.integers(0, 2**32 - 1),
    st.booleans(), st.sampled_from([0.1, 0.5, 1.0]),
)  # fmt: skip
def test_optimal_for_any_shape(n, p, k, seed, sparse, density):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.5, size=(n, p)) * (rng.random((n, p)) < density)
    H = rng.gamma(0.5, size=(k, p)) * (rng.random((k, p)) < density)
    W = usage_of(sp.csr_matrix(X) if sparse else X, H)
    assert (W >= 0).all()
    if X.any() and H.any():
        assert reference.kkt_violation(X, W, H) < 1e-6


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_do_not_matter(scale, dtype):
    """Powers of ten of the unit of X change the usage by just that."""
    X, H = problem("narrow", dtype, n=60)
    one = usage_of(X, H)
    other = usage_of((X * dtype(scale)), H)
    np.testing.assert_allclose(other / scale, one, rtol=0, atol=1e-4 * one.max())


def test_exact_data_give_the_usage_back():
    rng = np.random.default_rng(5)
    H = rng.exponential(size=(5, 40))
    W = rng.exponential(size=(300, 5)) * (rng.random((300, 5)) < 0.5)
    np.testing.assert_allclose(usage_of(W @ H, H), W, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_alone_is_solved_as_among_others(kind):
    X, H = problem(kind, np.float64, n=130)
    W = usage_of(X, H)
    for row in (0, 7, 129):
        np.testing.assert_allclose(usage_of(X[row : row + 1], H), W[row : row + 1], atol=1e-10)
