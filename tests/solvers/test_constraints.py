"""The updates of constrained factors, against plain NumPy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls as scipy_nnls

import reference
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.matrix.signed import least_squares, ridge_inverse
from partwise.objectives import Constraints, ElasticNet
from partwise.solvers.apart import solve_apart
from partwise.solvers.given import Given
from partwise.solvers.init import initialize
from partwise.solvers.start import constrained_start
from partwise.solvers.state import exact_problem, gram_of, solve_programs

KINDS = ("narrow", "wide", "sparse")
DTYPES = (np.float32, np.float64)


def matrix_of(kind, dtype=np.float64, n=300, k=5, signed=False, n_threads=1):
    p = 20 if kind == "narrow" else 150
    X = reference.planted(n, p, k, noise=0.3, density=0.5, dtype=dtype)[0]
    if signed:
        X *= np.where(np.random.default_rng(9).random(X.shape) < 0.5, dtype(-1), dtype(1))
    Y = sp.csr_matrix(X) if kind == "sparse" else X
    return X, DataMatrix(Y, k, dtype=np.dtype(dtype), n_threads=n_threads)


def some_programs(p, k, share, seed=0):
    """Return programs p x k, the given ones (k x p, NaN where free), and which are given."""
    rng = np.random.default_rng(seed)
    H = rng.random((p, k))
    fixed = np.where(rng.random((k, p)) < share, rng.random((k, p)), np.nan)
    fixed[:, 0] = 1.0
    return H, fixed, ~np.isnan(fixed).T


def sweeps_of_the_reference(G, B, H, sweeps, given):
    """Coordinate descent, one feature and one coordinate at a time, over what is not given."""
    H = H.copy()
    for h, b, held in zip(H, B, given, strict=True):
        for _ in range(sweeps):
            for t in np.flatnonzero(~held):
                h[t] = max(0.0, h[t] + (b[t] - G[t] @ h) / G[t, t])
    return H


def exact_of_the_reference(G, B, H, given):
    """The exact free entries of each feature by SciPy's active set."""
    H = H.copy()
    root = np.linalg.cholesky(G).T  # G = root^T root
    for h, b, held in zip(H, B, given, strict=True):
        free = ~held
        target = np.linalg.solve(root.T, b) - root[:, held] @ h[held]
        if free.any():
            h[free] = scipy_nnls(root[:, free], target, maxiter=1000)[0]
    return H


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestGivenEntries:
    def problem(self, kind, dtype, share, exact):
        X, matrix = matrix_of(kind, dtype)
        W = np.random.default_rng(1).random((len(X), 5))
        G, B = W.T @ W, np.float64(X).T @ W
        H, fixed, given = some_programs(X.shape[1], 5, share)
        constraints = Constraints.build(fixed, None, (5, X.shape[1]))
        flat = matrix.thin(X.shape[1], 5, H)
        constraints.impose(flat.reshape(X.shape[1], -1))
        start = flat.reshape(X.shape[1], -1)[:, :5].astype(np.float64)
        problem = RowProblem.build(G, np.zeros(5), dtype=np.dtype(dtype), sweeps=7, exact=exact)
        record = Given.build(matrix, constraints, 5)
        gram = solve_programs(matrix, problem, matrix.thin(X.shape[1], 5, B), flat, record)
        found = flat.reshape(X.shape[1], -1)[:, :5]
        np.testing.assert_array_equal(found[given], fixed.T[given].astype(dtype))
        np.testing.assert_allclose(gram, found.T.astype(float) @ found, rtol=1e-5)
        return found, G, B, start, given

    def test_sweeps(self, kind, dtype, share):
        found, G, B, start, given = self.problem(kind, dtype, share, False)
        expected = sweeps_of_the_reference(G, B, start, 7, given)
        np.testing.assert_allclose(found, expected, atol=2e-4 if dtype == np.float32 else 1e-10)

    def test_exact(self, kind, dtype, share):
        found, G, B, start, given = self.problem(kind, dtype, share, True)
        expected = exact_of_the_reference(G, B, start, given)
        np.testing.assert_allclose(found, expected, atol=2e-4 if dtype == np.float32 else 1e-6)


class TestLeastSquares:
    @pytest.mark.parametrize("n_threads", [1, 2])
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    def test_usage(self, kind, dtype, n_threads):
        X, matrix = matrix_of(kind, dtype, signed=True, n_threads=n_threads)
        H = np.random.default_rng(2).random((5, X.shape[1])).astype(dtype)
        programs, usage = matrix.thin(X.shape[1], 5, H.T), matrix.thin(len(X), 5)
        usage[:] = 17  # where it starts does not matter to the exact solution
        none = ElasticNet.build(0, 0, 5, factor="usage")
        statistics = matrix.sweep(
            programs, exact_problem(matrix, programs, none, signed=True), usage
        )
        W = usage.reshape(len(X), -1)[:, :5]
        expected = np.linalg.lstsq(np.float64(H.T), np.float64(X.T), rcond=None)[0].T
        atol = {np.float32: 1e-4, np.float64: 1e-10}[dtype] * np.abs(expected).max()
        np.testing.assert_allclose(W, expected, atol=atol)
        np.testing.assert_allclose(statistics.gram, np.float64(W).T @ W, rtol=1e-5)
        cross = statistics.cross.reshape(X.shape[1], -1)[:, :5]
        np.testing.assert_allclose(cross, X.T @ W, atol=1e-4 * np.abs(X.T @ W).max())
        rest = np.sum((X - expected @ H) ** 2)
        assert matrix.squared_norm - statistics.fit == pytest.approx(rest, rel=1e-4)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_programs_by_patterns_of_what_is_given(self, dtype):
        X, matrix = matrix_of("wide", dtype, signed=True)
        p = X.shape[1]
        W = np.random.default_rng(1).random((len(X), 5))
        G, B = W.T @ W, np.float64(X).T @ W
        for share in (0.0, 0.3):
            H, fixed, given = some_programs(p, 5, share)
            constraints = Constraints.build(fixed, "programs", (5, p))
            flat = matrix.thin(p, 5, H)
            constraints.impose(flat.reshape(p, 5))
            problem = RowProblem.build(G, np.zeros(5), dtype=np.dtype(dtype), sweeps=1, signed=True)
            record = Given.build(matrix, constraints, 5)
            cross = matrix.thin(p, 5, B)
            for _ in range(3):
                solve_programs(matrix, problem, cross, flat, record)
            found = flat.reshape(p, 5)
            np.testing.assert_array_equal(found[given], fixed.T[given].astype(dtype))
            slope = (found @ G - B) * ~given
            assert np.abs(slope).max() < {np.float32: 1e-3, np.float64: 1e-8}[dtype] * B.max()

    def test_rank_deficient(self):
        rng = np.random.default_rng(0)
        A = rng.standard_normal((40, 3))
        A = np.column_stack([A, A[:, 0], np.zeros(40), A[:, 1] - A[:, 2]])
        Y = rng.standard_normal((40, 7))
        G, B = A.T @ A, Y.T @ A
        w = np.zeros((7, 6))
        least_squares(G, ridge_inverse(G, np.dtype(float)), B, w, steps=2)
        expected = np.linalg.lstsq(A, Y, rcond=None)[0].T
        np.testing.assert_allclose(A @ w.T, A @ expected.T, atol=1e-7)
        assert np.abs(w).max() < 10 * np.abs(expected).max()
        assert not w[:, 4].any()

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([0.0, 1e-12, 1e-6, 1.0]))
    def test_a_step_never_raises_the_objective(self, seed, rank, spread):
        """Whatever the rank of G."""
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((12, rank)) @ rng.standard_normal((rank, 6))
        A += spread * rng.standard_normal((12, 6))
        Y = rng.standard_normal((5, 12))
        G, B = A.T @ A, Y @ A
        w = rng.standard_normal((5, 6))
        before = np.sum((Y - w @ A.T) ** 2)
        least_squares(G, ridge_inverse(G, np.dtype(float)), B, w, steps=1)
        assert np.sum((Y - w @ A.T) ** 2) <= before * (1 + 1e-12)


class TestStart:
    def factors(self, matrix, constraints, init, k=5):
        rng = np.random.default_rng(0)
        usage, programs = constrained_start(matrix, k, init, rng, constraints)
        stride = matrix.stride(k)
        return (flat.reshape(-1, stride)[:, :k] for flat in (usage, programs))

    @pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_given_entries_are_there_and_used(self, kind, init):
        X, matrix = matrix_of(kind)
        p = X.shape[1]
        H = reference.planted(300, p, 5)[2][:2]
        fixed = H.copy()
        fixed[1, ::2] = np.nan
        W, P = self.factors(matrix, Constraints.build(fixed, None, (5, p)), init)
        known = ~np.isnan(fixed)
        np.testing.assert_array_equal(P.T[:2][known], fixed[known])
        expected = reference.nnls(X, np.nan_to_num(fixed))
        np.testing.assert_allclose(W[:, :2], expected, atol=1e-6 * expected.max())
        assert (W >= 0).all()
        assert (P >= 0).all()
        assert W.any(axis=0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_others_start_from_what_is_left(self, kind):
        """Two given programs leave a third one: NNDSVD of the rest finds its direction."""
        rng = np.random.default_rng(0)
        p = 20 if kind == "narrow" else 150
        H = np.kron(np.eye(3), np.ones(p // 3 + 1))[:, :p] * rng.random(p)
        X = rng.exponential(size=(300, 3)) @ H
        Y = sp.csr_matrix(X) if kind == "sparse" else X
        matrix = DataMatrix(Y, 3, dtype=np.dtype(float), n_threads=1)
        _, P = self.factors(matrix, Constraints.build(H[:2], None, (3, p)), "nndsvd", 3)
        found = P[:, 2] / np.linalg.norm(P[:, 2])
        assert found @ H[2] / np.linalg.norm(H[2]) > 1 - 1e-9

    @pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
    @pytest.mark.parametrize("signed", ["usage", "programs"])
    def test_signed_factors(self, signed, init):
        _, matrix = matrix_of("wide", signed=True)
        W, P = self.factors(matrix, Constraints(signed=signed), init)
        free, other = (W, P) if signed == "usage" else (P, W)
        assert (free < 0).any()
        assert (other >= 0).all()
        assert W.any(axis=0).all()
        assert P.any(axis=0).all()


def test_grams_of_signed_programs():
    X, matrix = matrix_of("sparse", signed=True)
    H = np.random.default_rng(0).standard_normal((X.shape[1], 5))
    flat = matrix.thin(X.shape[1], 5, H)
    np.testing.assert_allclose(gram_of(matrix, flat, 5), H.T @ H, atol=1e-9)


class TestApart:
    """The updates of programs that are kept apart."""

    def objective(self, G, B, H, l1, weight):
        """Twice the data term is h G h - 2 b h per feature; weight counts each pair of programs."""
        lengths = np.linalg.norm(H, axis=1)
        units = H / np.where(lengths > 0, lengths, 1)[:, None]
        pairs = np.triu(units @ units.T, 1).sum()
        return 0.5 * np.sum(H * (G @ H)) - np.sum(B * H) + l1 * H.sum() + weight * pairs

    def update(self, X, W, H, orthogonality, *, l1=0.0, l2=0.0, fixed=None):
        k, p = H.shape
        matrix = DataMatrix(X, k, dtype=X.dtype, n_threads=1)
        constraints = Constraints.build(fixed, None, (k, p), orthogonality)
        G = W.T @ W + l2 * np.eye(k)
        problem = RowProblem.build(G, np.full(k, l1), dtype=X.dtype, sweeps=1)
        flat, cross = matrix.thin(p, k, H.T), matrix.thin(p, k, X.T @ W)
        given = Given.build(matrix, constraints, k)
        solve_apart(matrix, problem, cross, flat, constraints, given)
        return flat.reshape(p, -1)[:, :k].T.copy(), G, W.T @ X

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 10**6), k=st.integers(2, 5), weight=st.floats(1e-4, 100),
        l1=st.sampled_from([0.0, 0.5]), l2=st.sampled_from([0.0, 2.0]),
    )  # fmt: skip
    def test_never_raises_the_objective(self, seed, k, weight, l1, l2):
        rng = np.random.default_rng(seed)
        X, W, H = rng.random((15, 8)), rng.random((15, k)), rng.random((k, 8)) + 1e-3
        W *= rng.random(W.shape) < 0.7
        found, G, B = self.update(X, W, H, weight, l1=l1, l2=l2)
        assert (found >= 0).all()
        pair = weight * np.sum(X**2) / (k * (k - 1))
        before = self.objective(G, B, H, l1, pair)
        assert self.objective(G, B, found, l1, pair) <= before + 1e-9 * abs(before)

    def test_without_weight_it_is_least_squares(self):
        rng = np.random.default_rng(0)
        X, W, H = rng.random((40, 9)), rng.random((40, 3)), rng.random((3, 9))
        for _ in range(300):
            H, G, B = self.update(X, W, H, 1e-300)
        np.testing.assert_allclose(
            H.T, exact_of_the_reference(G, B.T, H.T, np.zeros((9, 3), bool)), atol=1e-6
        )

    def test_the_minimiser_by_a_plain_search(self):
        """Two programs of two features: angle and length of each on a grid.

        The angles make several local minima; the best of some starts is the one of the grid.
        """
        rng = np.random.default_rng(3)
        X, W = rng.random((20, 2)), rng.random((20, 2))
        pair = 0.2 * np.sum(X**2) / 2
        found = np.inf
        for _ in range(10):
            H = rng.random((2, 2))
            for _ in range(100):
                H, G, B = self.update(X, W, H, 0.2)
            found = min(found, self.objective(G, B, H, 0.0, pair))
        angles = np.linspace(0, np.pi / 2, 101)
        best = np.inf
        for one in angles:
            for two in angles:
                U = np.array([[np.cos(one), np.sin(one)], [np.cos(two), np.sin(two)]])
                gram = G * (U @ U.T)  # of the lengths, given the directions
                target = np.sum(B * U, axis=1)
                root = np.linalg.cholesky(gram + 1e-12 * np.eye(2)).T
                lengths = scipy_nnls(root, np.linalg.solve(root.T, target))[0]
                if lengths.all():  # a program that is gone has no angle, but no step leads there
                    best = min(best, self.objective(G, B, lengths[:, None] * U, 0.0, pair))
        assert found <= best + 1e-3 * abs(best)

    def test_given_programs_are_not_touched(self):
        rng = np.random.default_rng(0)
        X, W, H = rng.random((40, 9)), rng.random((40, 3)), rng.random((3, 9))
        far, _, _ = self.update(X, W, H, 1.0, fixed=H[:1])
        np.testing.assert_array_equal(far[0], H[0])
        near, _, _ = self.update(X, W, H, 1e-300, fixed=H[:1])
        unit = H[0] / np.linalg.norm(H[0])
        for t in (1, 2):
            cosine = [unit @ (F[t] / np.linalg.norm(F[t])) for F in (far, near)]
            assert cosine[0] < cosine[1]


def test_rounding_error_of_singular_vectors_is_filled():
    X = np.zeros((7, 5))
    X[5, 4], X[6, 3] = 5.0, 6.5
    matrix = DataMatrix(X, 1, dtype=np.dtype(float), n_threads=1)
    usage, programs = initialize(matrix, 1, "nndsvda", np.random.default_rng(0))
    assert usage.min() >= X.mean()
    assert programs.min() >= X.mean()
