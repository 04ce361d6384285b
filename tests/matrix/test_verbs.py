"""The verbs of every layout against NumPy in float64: products, norms, sweeps, exact rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from partwise.matrix import matrix as matrix_module
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.problem import RowProblem
from partwise.matrix.thin import thin_rows

EPS = {np.float32: 6e-8, np.float64: 1.2e-16}
#: Number of components: one to three vectors of the sparse kernels, and several turns of them.
WIDTHS = (1, 2, 7, 16, 17, 33, 65, 129, 200)

few = settings(max_examples=12, deadline=None, derandomize=True)


@st.composite
def cases(draw, kind):
    """A matrix of one kind with k, as (X, k, dtype); empty rows and columns are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n = draw(st.sampled_from([1, 2, 63, 64, 65, 255, 256, 257, 300]))
    p = draw(st.sampled_from([1, 2, 6, 30, 64]))
    k = draw(st.sampled_from([1, 2, 6, 10, 33, 64]))
    if kind == "wide":
        p = draw(st.sampled_from([65, 128, 200]))
    if kind == "sparse":
        p = draw(st.sampled_from([1, 6, 64, 200]))
        k = draw(st.sampled_from(WIDTHS))
    density = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    X = rng.gamma(0.5, size=(n, p)) * (rng.random((n, p)) < density)
    X[rng.random(n) < 0.1] = 0
    X[:, rng.random(p) < 0.1] = 0
    X = X.astype(dtype)
    return (sp.csr_matrix(X) if kind == "sparse" else X), k, dtype


def make(X, k, dtype, n_threads=1):
    return DataMatrix(X, k, dtype=np.dtype(dtype), n_threads=n_threads)


def close(actual, expected, magnitude, dtype, terms):
    """Compare within the rounding of a sum of `terms` products, element by element."""
    bound = EPS[dtype] * (terms + 8) * magnitude + 1e-300
    assert (np.abs(np.float64(actual) - expected) <= bound).all()


def check_products(X, k, dtype):
    D = reference.dense(X)
    n, p = D.shape
    rng = np.random.default_rng(k)
    M, T = (rng.standard_normal((m, k)).astype(dtype) for m in (p, n))
    matrix = make(X, k, dtype)
    right = thin_rows(matrix.multiply(matrix.thin(p, k, M), k), matrix.stride(k), k)
    close(right, D @ np.float64(M), D @ np.abs(np.float64(M)), dtype, p)
    left = matrix.multiply_transposed(matrix.thin(n, k, T), k)
    left = thin_rows(left, matrix.stride(k), k)
    close(left, D.T @ np.float64(T), D.T @ np.abs(np.float64(T)), dtype, n)
    assert matrix.squared_norm == pytest.approx((D**2).sum(), rel=1e-12)
    assert matrix.mean == pytest.approx(D.mean(), rel=1e-12)


def start(matrix, k, seed=0):
    """Return dense programs p x k with a dead one where there are enough, and usage n x k."""
    rng = np.random.default_rng(seed)
    n, p = matrix.shape
    H = rng.gamma(1.0, size=(p, k)) * (rng.random((p, k)) < 0.7)
    if k > 2:
        H[:, 1] = 0
    W = rng.gamma(1.0, size=(n, k)) * (rng.random((n, k)) < 0.5)
    return H.astype(matrix.dtype), W.astype(matrix.dtype)


def sweep(matrix, H, W, *, sweeps, shift=0.0, l2=0.0, exact=False):
    """Run one pass; return the usage and the statistics in plain shape."""
    n, p = matrix.shape
    k = H.shape[1]
    G = np.float64(H).T @ np.float64(H) + l2 * np.eye(k)
    problem = RowProblem.build(
        G, np.full(k, float(shift)), dtype=matrix.dtype, sweeps=sweeps, exact=exact
    )
    usage = matrix.thin(n, k, W)
    statistics = matrix.sweep(matrix.thin(p, k, H), problem, usage)
    stride = matrix.stride(k)
    return G, thin_rows(usage, stride, k), statistics, thin_rows(statistics.cross, stride, k)


def check_sweep(X, k, dtype, *, shift=0.0, l2=0.0, sweeps=3):
    D = reference.dense(X)
    matrix = make(X, k, dtype)
    H, W = start(matrix, k)
    G, usage, statistics, cross = sweep(matrix, H, W, sweeps=sweeps, shift=shift, l2=l2)
    B = D @ np.float64(H)
    expected = reference.hals_sweeps(G, B, W, sweeps, shift)
    size = max(np.abs(expected).max(), np.abs(W).max(), 1e-30)
    # a coordinate is a quotient by G_tt of a sum that may cancel; hence the factors k and 100
    assert np.abs(usage - expected).max() <= 100 * EPS[dtype] * (k + 8) * size * _condition(G)
    assert (usage >= 0).all()
    U = np.float64(usage)
    np.testing.assert_allclose(
        statistics.gram, U.T @ U, rtol=1e3 * EPS[dtype], atol=100 * EPS[dtype] * size**2
    )
    close(cross, D.T @ U, D.T @ U, dtype, len(D))


def _condition(G):
    """Return the largest |G_tu| / G_tt: how much a step can enlarge a rounding error."""
    d = np.diag(G)[np.diag(G) > 0]
    return 1.0 if len(d) == 0 else max(1.0, np.abs(G).max() / d.min())


class TestProducts:
    @few
    @given(cases("sparse"))
    def test_sparse(self, case):
        check_products(*case)

    @few
    @given(cases("narrow"))
    def test_narrow(self, case):
        check_products(*case)

    @few
    @given(cases("wide"))
    def test_wide(self, case):
        check_products(*case)

    @pytest.mark.parametrize("k", WIDTHS)
    def test_every_width_of_the_sparse_kernels(self, k):
        check_products(
            sp.random(90, 40, 0.2, "csr", random_state=k, dtype=np.float32), k, np.float32
        )


class TestSweeps:
    @few
    @given(cases("sparse"), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 2.0]))
    def test_sparse(self, case, shift, l2):
        check_sweep(*case, shift=shift, l2=l2)

    @few
    @given(cases("narrow"), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 2.0]))
    def test_narrow(self, case, shift, l2):
        check_sweep(*case, shift=shift, l2=l2)

    @few
    @given(cases("wide"), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 2.0]))
    def test_wide(self, case, shift, l2):
        check_sweep(*case, shift=shift, l2=l2)

    @pytest.mark.parametrize("k", WIDTHS)
    def test_every_width_of_the_sparse_kernels(self, k):
        X = sp.random(90, 40, 0.2, "csr", random_state=k, dtype=np.float64)
        check_sweep(X, k, np.float64)


@pytest.mark.parametrize("kind", ["sparse", "narrow", "wide"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_rows_meet_the_optimality_conditions(kind, dtype):
    p = 40 if kind == "narrow" else 150
    X, _, _ = reference.planted(300, p, 6, noise=0.3, density=0.5, dtype=dtype)
    X[10] = 0
    matrix = make(sp.csr_matrix(X) if kind == "sparse" else X, 6, dtype)
    H = np.random.default_rng(1).random((p, 6)).astype(dtype)
    _, usage, statistics, _ = sweep(matrix, H, np.zeros((300, 6)), sweeps=1, exact=True)
    assert statistics.unsolved == 0
    expected = reference.nnls(X, H.T)
    tolerance = 2e-5 if dtype == np.float32 else 1e-6
    np.testing.assert_allclose(usage, expected, rtol=0, atol=tolerance * expected.max())
    assert not usage[10].any()
    assert statistics.fit == pytest.approx(np.sum(usage * (np.float64(X) @ H)), rel=1e-6)


@pytest.mark.parametrize("kind", ["sparse", "narrow", "wide"])
def test_no_components_of_zeros_only_give_no_usage(kind):
    X = np.ones((70, 20 if kind == "narrow" else 80), np.float32)
    matrix = make(sp.csr_matrix(X) if kind == "sparse" else X, 2, np.float32)
    H = np.zeros((X.shape[1], 2), np.float32)
    for exact in (False, True):
        _, usage, statistics, cross = sweep(matrix, H, np.ones((70, 2)), sweeps=2, exact=exact)
        assert not usage.any()
        assert not statistics.gram.any()
        assert not cross.any()


class TestLayouts:
    """The same numbers in another storage are the same matrix."""

    X = reference.planted(300, 90, 4, noise=0.2, density=0.4, dtype=np.float32)[0]

    def outputs(self, X, k=5):
        matrix = make(X, k, np.float32)
        H, W = start(matrix, k)
        _, usage, statistics, cross = sweep(matrix, H, W, sweeps=3)
        return usage, cross, statistics.gram, matrix.squared_norm, matrix.mean

    def same(self, X, Y):
        for a, b in zip(self.outputs(X), self.outputs(Y), strict=True):
            np.testing.assert_array_equal(a, b)

    def other_storage(self, X, how, folder):
        """Return X stored in another way."""
        if how == "fortran":
            return np.asfortranarray(X)
        if how == "strided":
            wide = np.zeros((2 * X.shape[0], 2 * X.shape[1]), X.dtype)
            wide[::2, ::2] = X
            return wide[::2, ::2]
        if how == "memory-mapped":
            np.save(folder / "x.npy", X)
            return np.load(folder / "x.npy", mmap_mode="r")
        if how == "read-only":
            X = X.copy()
            X.setflags(write=False)
            return X
        raw = np.zeros(X.nbytes + 128, np.uint8)
        at = (-raw.ctypes.data) % 64 + (1 if how == "odd address" else 4)
        Y = raw[at : at + X.nbytes].view(X.dtype).reshape(X.shape)
        Y[...] = X
        return Y

    @pytest.mark.parametrize("columns", [90, 30])
    @pytest.mark.parametrize(
        "how", ["fortran", "strided", "read-only", "memory-mapped", "off by 4", "odd address"]
    )
    def test_dense_in_any_storage(self, how, columns, tmp_path):
        X = np.ascontiguousarray(self.X[:, :columns])
        self.same(X, self.other_storage(X, how, tmp_path))

    def test_sparse_with_64_bit_indices(self):
        X = sp.csr_matrix(self.X)
        Y = X.copy()
        Y.indices, Y.indptr = Y.indices.astype(np.int64), Y.indptr.astype(np.int64)
        self.same(X, Y)

    def test_sparse_with_explicit_zeros(self):
        X = sp.csr_matrix(self.X)
        full = self.X.copy()
        full[full == 0] = 7
        Y = sp.csr_matrix(full)
        Y.data[sp.csr_matrix(self.X > 0)[Y.nonzero()].A1 == 0] = 0
        assert Y.nnz == self.X.size
        for a, b in zip(self.outputs(X), self.outputs(Y), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)

    def test_sparse_rows_of_a_larger_matrix(self):
        X = sp.csr_matrix(np.vstack([self.X, self.X]))
        self.same(sp.csr_matrix(self.X), X[300:])

    def test_sparse_array(self):
        self.same(sp.csr_matrix(self.X), sp.csr_array(self.X))


class TestPanels:
    """Cut into several panels, the matrix is the same one up to rounding."""

    @pytest.mark.parametrize("kind", ["sparse", "narrow", "wide"])
    def test_products_and_sweeps_of_several_panels(self, kind, monkeypatch):
        p = 30 if kind == "narrow" else 100
        X, _, _ = reference.planted(1100, p, 5, noise=0.2, density=0.3)
        X = sp.csr_matrix(X) if kind == "sparse" else X
        monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))
        assert len(list(make(X, 5, np.float64).panels())) == 5
        check_products(X, 5, np.float64)
        check_sweep(X, 5, np.float64)

    @pytest.mark.parametrize("kind", ["sparse", "narrow", "wide"])
    @pytest.mark.parametrize("chunk", [1, 7, 1000])
    def test_a_source_gives_the_bits_of_the_array(self, kind, chunk, monkeypatch):
        p = 30 if kind == "narrow" else 100
        X, _, _ = reference.planted(700, p, 5, noise=0.2, density=0.3, dtype=np.float32)
        X = sp.csr_matrix(X) if kind == "sparse" else X
        monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))
        outputs = []
        for data in (X, reference.Chunks(X, chunk, offset=3)):
            matrix = make(data, 5, np.float32)
            assert matrix.kind == kind
            H, W = start(matrix, 5)
            _, usage, statistics, cross = sweep(matrix, H, W, sweeps=3)
            moments = matrix.squared_norm, matrix.mean
            outputs.append((usage, cross, statistics.gram, moments))
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_array_equal(a, b)
