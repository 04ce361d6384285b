"""Rows under the Kullback-Leibler loss, against plain NumPy and SciPy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import kl_reference as kl_ref
from partwise.kernels import kl, kl_project
from partwise.matrix.counts import stride_of
from partwise.matrix.thin import aligned_zeros, thin_rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
RTOL = {np.float32: 2e-4, np.float64: 1e-8}


def flat(values, dtype):
    rows, k = values.shape
    out = aligned_zeros(rows * stride_of(k), np.dtype(dtype))
    thin_rows(out, stride_of(k), k)[:] = values
    return out


def problem(lengths, k, *, p=120, seed=0, dtype=np.float32, zeros=0.3, top=9):
    """Return CSR counts with so many non-zeros per row, programs (k x p) and usage."""
    rng = np.random.default_rng(seed)
    X = np.zeros((len(lengths), p))
    for x, m in zip(X, lengths, strict=True):
        x[rng.choice(p, m, replace=False)] = rng.integers(1, top + 1, m)
    H = rng.exponential(size=(k, p)) * (rng.random((k, p)) > zeros)
    H[rng.integers(0, k, p), np.arange(p)] += 0.1  # each feature is in some program
    W = rng.exponential(size=(len(lengths), k))
    return sp.csr_matrix(X), H.astype(dtype).astype(float), W.astype(dtype).astype(float)


def parts(X, dtype):
    return X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data.astype(dtype)


def terms(k, n, l1, l2, scale):
    spread = [np.broadcast_to(np.asarray(v, float), k).copy() for v in (l1, l2)]
    return *spread, np.ones(n) if scale is None else np.asarray(scale, float)


def solve(
    X, H, W, dtype, *, sweeps=1, safe=True, l1=0.0, l2=0.0, scale=None, hidden=None, span=None
):
    """Run the kernel; return the new usage and sum x log(w h) of each row."""
    n, k = W.shape
    w, value = flat(W, dtype), np.full(n, np.nan)
    gone = np.zeros(0, dtype) if hidden is None else flat(hidden, dtype)
    first, last = span or (0, n)
    kl.solve_rows(
        kl.TILE, *parts(X, dtype), first, last, flat(H.T, dtype), stride_of(k), k, H.sum(axis=1),
        gone, *terms(k, n, l1, l2, scale), sweeps, safe, True, w, value,
    )  # fmt: skip
    return thin_rows(w, stride_of(k), k).copy(), value


def project(X, H, dtype, *, l1=0.0, l2=0.0, scale=None, hidden=None, span=None, most=60):
    """Run the kernel; return the usage, sum x log(w h), and the rows that it did not finish."""
    n, k = X.shape[0], len(H)
    w, value = flat(np.full((n, k), 7.0), dtype), np.full(n, np.nan)
    gone = np.zeros(0, dtype) if hidden is None else flat(hidden, dtype)
    first, last = span or (0, n)
    unsolved = kl_project.project_rows(
        kl.TILE, *parts(X, dtype), first, last, flat(H.T, dtype), stride_of(k), k, H.sum(axis=1),
        gone, *terms(k, n, l1, l2, scale), most, {np.float32: 1e-5, np.float64: 1e-9}[dtype],
        w, value,
    )  # fmt: skip
    return thin_rows(w, stride_of(k), k).copy(), value, unsolved


def log_likelihood(X, W, H):
    means = np.float64(W) @ H
    logs = np.where(X.toarray() > 0, np.log(means + kl.FLOOR), 0)
    return np.sum(X.toarray() * logs, axis=1)


LENGTHS = [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 100]


@DTYPES
class TestSweep:
    @pytest.mark.parametrize("k", [1, 2, 3, 15, 16, 17, 32, 33, 40])
    @pytest.mark.parametrize("safe", [False, True])
    def test_a_sweep_is_the_one_of_numpy(self, k, safe, dtype):
        X, H, W = problem(LENGTHS, k, seed=k, dtype=dtype)
        W[:, k // 2] = 0
        new, value = solve(X, H, W, dtype, safe=safe)
        expected = [
            kl_ref.newton_sweep(x, H, w, H.sum(axis=1), safe=safe) if x.any() else np.zeros(k)
            for x, w in zip(X.toarray(), W, strict=True)
        ]
        np.testing.assert_allclose(new, expected, rtol=RTOL[dtype], atol=RTOL[dtype])
        exact = log_likelihood(X, new, H)
        np.testing.assert_allclose(value, exact, rtol=RTOL[dtype] / 20, atol=RTOL[dtype] / 2)

    @settings(max_examples=40, deadline=None)
    @given(
        k=st.integers(1, 40), lengths=st.lists(st.integers(0, 100), min_size=1, max_size=5),
        seed=st.integers(0, 10**6), l1=st.sampled_from([0.0, 0.3]),
        l2=st.sampled_from([0.0, 0.7]), sweeps=st.integers(1, 3),
    )  # fmt: skip
    def test_any_shape_with_penalties_and_sizes(self, dtype, k, lengths, seed, l1, l2, sweeps):
        X, H, W = problem(lengths, k, seed=seed, dtype=dtype)
        scale = np.random.default_rng(seed).uniform(0.3, 3, len(lengths))
        new, _ = solve(X, H, W, dtype, sweeps=sweeps, l1=l1, l2=l2, scale=scale)
        for x, w, s, found in zip(X.toarray(), W, scale, new, strict=True):
            for _ in range(sweeps):
                penalty = {"l1": l1 / s, "l2": l2 / s**2}
                w = kl_ref.newton_sweep(x, H, w, H.sum(axis=1), safe=True, **penalty)
            w = w if x.any() else np.zeros(k)
            np.testing.assert_allclose(found, w, rtol=3 * RTOL[dtype], atol=3 * RTOL[dtype])

    @settings(max_examples=60, deadline=None)
    @given(
        k=st.integers(1, 20), m=st.integers(1, 60), seed=st.integers(0, 10**6),
        l1=st.sampled_from([0.0, 0.1, 50.0]), l2=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
        far=st.sampled_from([1e-6, 1e-2, 1.0, 1e3]), top=st.sampled_from([1, 9, 10**7]),
    )  # fmt: skip
    def test_a_safe_sweep_never_raises_the_objective(self, dtype, k, m, seed, l1, l2, far, top):
        X, H, W = problem([m], k, seed=seed, dtype=dtype, top=top)
        W = (W * far).astype(dtype).astype(float)
        penalty = {"l1": l1, "l2": l2}
        x, s = X.toarray()[0], H.sum(axis=1)
        before = kl_ref.row_value(x, H, W[0], s, **penalty)
        for _ in range(3):
            W = np.float64(solve(X, H, W, dtype, **penalty)[0])
            after = kl_ref.row_value(x, H, W[0], s, **penalty)
            size = s @ W[0] + x.sum() + abs(after)
            assert after <= before + {np.float32: 3e-6, np.float64: 1e-12}[dtype] * size
            before = after

    def test_each_coordinate_alone_does_not_overshoot(self, dtype):
        """A quadratic penalty with next to no slope is where a plain Newton step goes too far."""
        X, H, _ = problem([20], 1, dtype=dtype)
        H *= 1e-4
        W = np.full((1, 1), 1e-3)
        penalty = {"l2": 10.0}
        best = kl_ref.project(X, H, **penalty)[0, 0]
        path = [1e-3]
        for _ in range(60):
            W = np.float64(solve(X, H, W, dtype, **penalty)[0])
            path.append(W[0, 0])
        assert max(path) <= best * (1 + 1e-4)
        assert path[-1] == pytest.approx(best, rel=1e-4)

    def test_hidden_sums_are_taken_off(self, dtype):
        X, H, W = problem(LENGTHS, 5, dtype=dtype)
        gone = (np.random.default_rng(1).random(X.shape) < 0.4) & (X.toarray() == 0)
        new, _ = solve(X, H, W, dtype, hidden=gone @ H.T)
        for x, w, o, found in zip(X.toarray(), W, ~gone, new, strict=True):
            expected = kl_ref.newton_sweep(x, H, w, H @ o, safe=True) if x.any() else 0 * w
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=RTOL[dtype])

    def test_a_row_whose_columns_are_all_hidden_but_its_counts(self, dtype):
        """The sum that is left is tiny beside what is taken off; it may round to less than 0."""
        X, H, W = problem([1, 3], 6, dtype=dtype)
        gone = X.toarray() == 0
        new, _ = solve(X, H, W, dtype, sweeps=30, hidden=gone @ H.T)
        assert np.isfinite(new).all()
        means = np.einsum("nk,nkp->np", new, np.broadcast_to(H, (2, *H.shape)))
        np.testing.assert_allclose(means[0][~gone[0]], X.toarray()[0][~gone[0]], rtol=1e-2)

    def test_only_the_rows_asked_for_are_touched(self, dtype):
        X, H, W = problem(LENGTHS, 4, dtype=dtype)
        whole, value = solve(X, H, W, dtype)
        some, part = solve(X, H, W, dtype, span=(3, 8))
        np.testing.assert_array_equal(some[3:8], whole[3:8])
        np.testing.assert_array_equal(part[3:8], value[3:8])
        np.testing.assert_array_equal(np.r_[some[:3], some[8:]], np.r_[W[:3], W[8:]].astype(dtype))
        assert np.isnan(part[:3]).all()
        assert np.isnan(part[8:]).all()

    def test_from_nothing(self, dtype):
        """A usage of zero, on which expected counts are zero, is left in one step."""
        X, H, W = problem([40, 1], 7, dtype=dtype)
        new, value = solve(X, H, np.zeros_like(W), dtype, sweeps=20)
        assert np.isfinite(new).all()
        assert np.isfinite(value).all()
        np.testing.assert_allclose(H.sum(axis=1) @ new.T, [X[0].sum(), X[1].sum()], rtol=1e-2)

    def test_counts_where_every_program_is_zero(self, dtype):
        X, H, W = problem([30, 5], 3, dtype=dtype)
        H[:, X.toarray()[1] > 0] = 0
        new, value = solve(X, H, W, dtype, sweeps=3)
        assert not new[1].any()
        assert np.isfinite(value).all()
        assert value[1] == pytest.approx(X[1].sum() * np.log(kl.FLOOR), rel=1e-5)

    def test_wide(self, dtype):
        X, H, W = problem([90, 0, 17], 200, dtype=dtype)
        new, _ = solve(X, H, W, dtype)
        expected = kl_ref.newton_sweep(X.toarray()[0], H, W[0], H.sum(axis=1), safe=True)
        np.testing.assert_allclose(new[0], expected, rtol=1e-3, atol=RTOL[dtype])


@DTYPES
def test_logarithms(dtype):
    """With one program of ones, the likelihood is x log w."""
    rng = np.random.default_rng(0)
    w = np.exp(rng.uniform(-20, 60, 500)).astype(dtype)
    w[:6] = [1, 2, 0.5, np.sqrt(0.5), np.nextafter(dtype(1), dtype(0)), np.nextafter(dtype(2), 0)]
    X = sp.csr_matrix(np.ones((500, 37)))
    value = np.empty(500)
    out = np.zeros(500 * 16, dtype)
    kl.share_rows(
        kl.TILE, *parts(X, dtype), 0, 500, flat(np.ones((37, 1)), dtype), 16, 1,
        flat(w[:, None], dtype), out, value,
    )  # fmt: skip
    expected = 37 * np.log(w.astype(float) + kl.FLOOR)
    tight = {np.float32: 4e-7, np.float64: 1e-14}[dtype]
    np.testing.assert_allclose(value, expected, rtol=tight, atol=37 * tight)


@DTYPES
@pytest.mark.parametrize("k", [1, 5, 16, 23, 200])
def test_shares(k, dtype):
    X, H, W = problem(LENGTHS, k, dtype=dtype)
    n = len(LENGTHS)
    out, value = np.full(n * stride_of(k), np.nan, dtype), np.full(n, np.nan)
    kl.share_rows(
        kl.TILE, *parts(X, dtype), 0, n, flat(H.T, dtype), stride_of(k), k, flat(W, dtype), out,
        value,
    )  # fmt: skip
    found = out.reshape(n, -1)
    expected = (X.toarray() / (W @ H + kl.FLOOR)) @ H.T
    np.testing.assert_allclose(found[:, :k], expected, rtol=1e-5)
    assert not found[:, k:].any()
    np.testing.assert_allclose(value, log_likelihood(X, W, H), rtol=1e-6, atol=1e-4)


@DTYPES
class TestProjection:
    @pytest.mark.parametrize("k", [1, 2, 7, 16, 17, 40])
    def test_reaches_the_optimum_of_scipy(self, k, dtype):
        X, H, _ = problem(LENGTHS, k, seed=k, dtype=dtype)
        self.compare(X, H, dtype)

    @pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (0.0, 2.0), (0.5, 2.0), (1e3, 1e3)])
    def test_with_penalties_and_sizes(self, l1, l2, dtype):
        X, H, _ = problem(LENGTHS, 6, dtype=dtype)
        scale = np.random.default_rng(0).uniform(0.2, 5, len(LENGTHS))
        self.compare(X, H, dtype, l1=l1, l2=l2, sizes=scale)

    def test_with_hidden_entries(self, dtype):
        X, H, _ = problem(LENGTHS, 6, dtype=dtype)
        omega = 1.0 - ((np.random.default_rng(1).random(X.shape) < 0.8) & (X.toarray() == 0))
        self.compare(X, H, dtype, omega=omega)

    def test_with_programs_that_depend_on_each_other(self, dtype):
        X, H, _ = problem(LENGTHS, 6, dtype=dtype)
        H[3:] = H[:3]
        self.compare(X, H, dtype)

    def test_with_programs_of_very_different_sizes(self, dtype):
        X, H, _ = problem(LENGTHS, 6, dtype=dtype)
        H = (H * (10.0 ** np.arange(-6, 6, 2))[:, None]).astype(dtype).astype(float)
        self.compare(X, H, dtype)

    def test_huge_counts(self, dtype):
        X, H, _ = problem(LENGTHS, 6, dtype=dtype, top=10**7)
        X.data = X.data.astype(dtype).astype(float)
        self.compare(X, H, dtype)

    def compare(self, X, H, dtype, *, omega=1.0, l1=0.0, l2=0.0, sizes=None):
        hidden = None if np.ndim(omega) == 0 else (1 - omega) @ H.T
        W, _, unsolved = project(X, H, dtype, l1=l1, l2=l2, scale=sizes, hidden=hidden)
        assert unsolved == 0
        assert (W >= 0).all()
        exact = kl_ref.project(X, H, omega, l1=l1, l2=l2, sizes=sizes)
        omega = np.broadcast_to(omega, X.shape)
        scale = np.ones(len(W)) if sizes is None else sizes
        for x, w, best, o, size in zip(X.toarray(), W, exact, omega, scale, strict=True):
            if not x.any():
                assert not w.any()
                continue
            penalty = {"l1": l1 / size, "l2": l2 / size**2}
            here, there = (
                kl_ref.row_value(x * o, H, np.float64(v), H @ o, **penalty) for v in (w, best)
            )
            assert here <= there + {np.float32: 2e-5, np.float64: 1e-8}[dtype] * x.sum()
        slope = kl_ref.slopes(X, W, H, omega, l1=l1, l2=l2, sizes=scale)
        share = kl_ref.slopes(X, W, H, omega) - omega @ H.T  # minus N
        some = X.toarray().any(axis=1)
        rest = np.abs(slope * W)[some].sum(axis=1) / X.toarray()[some].sum(axis=1)
        assert rest.max() < {np.float32: 2e-2, np.float64: 2e-4}[dtype]
        # where the usage is zero, more of it would not help
        zero = (W == 0) & some[:, None]
        assert (slope[zero] >= -{np.float32: 3e-2, np.float64: 1e-3}[dtype] * -share[zero]).all()

    def test_bits_do_not_depend_on_the_rows_around(self, dtype):
        X, H, _ = problem(LENGTHS, 9, dtype=dtype)
        whole, value, _ = project(X, H, dtype)
        for i in range(len(LENGTHS)):
            one, alone, _ = project(X[i], H, dtype)
            np.testing.assert_array_equal(one[0], whole[i])
            assert alone[0] == value[i]
        order = np.random.default_rng(0).permutation(len(LENGTHS))
        np.testing.assert_array_equal(project(X[order], H, dtype)[0], whole[order])
        np.testing.assert_array_equal(project(X, H, dtype, span=(4, 9))[0][4:9], whole[4:9])

    def test_rows_that_did_not_end_are_counted(self, dtype):
        X, H, _ = problem(LENGTHS, 9, dtype=dtype)
        assert project(X, H, dtype, most=0)[2] == len(LENGTHS) - 1
        assert project(X, H, dtype)[2] == 0

    def test_programs_that_are_zero_are_not_used(self, dtype):
        X, H, _ = problem(LENGTHS, 5, dtype=dtype)
        H[[1, 4]] = 0
        W, _, unsolved = project(X, H, dtype)
        assert not W[:, [1, 4]].any()
        assert unsolved == 0
        W, value, _ = project(X, 0 * H, dtype)
        assert not W.any()
        assert np.isfinite(value).all()

    def test_counts_where_every_program_is_zero(self, dtype):
        X, H, _ = problem([30, 5], 3, dtype=dtype)
        H[:, X.toarray()[1] > 0] = 0
        W, value, _ = project(X, H, dtype)
        assert not W[1].any()
        assert np.isfinite(value).all()
        assert W[0].any()
