"""Counts by rows and columns: what they say of themselves is what NumPy finds."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import kl_reference as kl_ref
import masked_reference as masked
import reference
from partwise import Speckle
from partwise.matrix import counts as counts_module
from partwise.matrix.counts import CountMatrix, CountStream, Terms, stride_of
from partwise.matrix.masks import Hidden
from partwise.matrix.thin import thin_rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
RTOL = {np.float32: 2e-5, np.float64: 1e-9}
WAYS = pytest.mark.parametrize("way", ["whole", "mask", "weights", "both", "speckle"])


def example(way, *, n=31, p=37, seed=0, dtype=np.float64, k=3):
    """Return counts, what hides them, and omega."""
    X = kl_ref.counts(n, p, k, seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    mask = rng.random((n, p)) < 0.3
    weights = rng.choice([1.0, 0.5, 0.125], (n, p))
    weights[0, 0] = 1.0
    if way == "whole":
        return X, None, np.ones((n, p))
    if way == "mask":
        return X, Hidden([mask]), np.where(mask, 0.0, 1.0)
    if way == "weights":
        return X, Hidden([], weights), weights
    if way == "both":
        return X, Hidden([mask], weights), np.where(mask, 0.0, weights)
    indptr, columns = Speckle(0.4).rows(0, n, p)
    omega = np.ones((n, p))
    omega[np.repeat(np.arange(n), np.diff(indptr)), columns] = 0
    return X, Hidden([Speckle(0.4)]), omega


def factors(matrix, k=3, seed=1):
    rng = np.random.default_rng(seed)
    W, H = rng.exponential(size=(matrix.shape[0], k)), rng.exponential(size=(k, matrix.shape[1]))
    return W, H, matrix.thin(matrix.shape[0], k, W), matrix.thin(matrix.shape[1], k, H.T)


def none(k, rows):
    return Terms(np.zeros(k), np.zeros(k), np.ones(rows))


def deviance(matrix, w, h, k):
    _, likelihood = matrix.columns.shares(w, k, h, 1)
    return matrix.constant - likelihood + matrix.expected_total(w, h, k)


@DTYPES
@WAYS
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
class TestSums:
    def build(self, way, wrap, dtype):
        X, hidden, omega = example(way, dtype=dtype)
        return X, omega, CountMatrix(wrap(X), dtype=dtype, n_threads=1, hidden=hidden)

    def test_totals(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        seen = X * omega
        np.testing.assert_allclose(matrix.row_totals, seen.sum(axis=1), rtol=1e-6)
        np.testing.assert_allclose(matrix.column_totals, seen.sum(axis=0), rtol=1e-6)
        assert matrix.total == pytest.approx(seen.sum(), rel=1e-6)
        assert matrix.nonzeros == np.count_nonzero(seen)

    def test_deviance(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        W, H, w, h = factors(matrix)
        expected = kl_ref.deviance(X, W, H, omega)
        assert deviance(matrix, w, h, 3) == pytest.approx(expected, rel=RTOL[dtype])
        _, likelihood = matrix.rows.shares(h, 3, w, 1)
        value = matrix.constant - likelihood + matrix.expected_total(w, h, 3)
        assert value == pytest.approx(expected, rel=RTOL[dtype])

    def test_rank_one(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        assert matrix.independent() == pytest.approx(kl_ref.rank_one(X, omega), rel=1e-5)

    def test_a_row_of_one_side_is_a_column_of_the_other(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        W, H, w, h = factors(matrix)
        ratio = X * omega / (W @ H)
        rows = thin_rows(matrix.rows.shares(h, 3, w, 1)[0], stride_of(3), 3)
        columns = thin_rows(matrix.columns.shares(w, 3, h, 1)[0], stride_of(3), 3)
        np.testing.assert_allclose(rows, ratio @ H.T, rtol=1e-4)
        np.testing.assert_allclose(columns, ratio.T @ W, rtol=1e-4)

    def test_half_steps(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        W, H, w, h = factors(matrix)
        step = {"sweeps": 2, "safe": True, "measure": True, "n_threads": 1}
        terms = Terms(np.full(3, 0.3), np.full(3, 0.2), np.linspace(0.5, 2, len(X)))
        value = matrix.rows.solve(h, 3, terms, w, **step)
        found = thin_rows(w, stride_of(3), 3).astype(float)
        for i in range(len(X)):
            row = W[i]
            for _ in range(2):
                s = terms.scale[i]
                penalty = {"l1": 0.3 / s, "l2": 0.2 / s**2}
                row = kl_ref.newton_sweep(
                    X[i] * omega[i], H, row, H @ omega[i], safe=True, **penalty
                )
            np.testing.assert_allclose(found[i], row, rtol=2e-3, atol=1e-4)
        X = np.where(omega > 0, X, 0)
        expected = float(np.sum(X * omega * np.log(found @ H)))
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-5 * float(X.sum()))
        matrix.columns.solve(w, 3, none(3, X.shape[1]), h, **step)
        better = thin_rows(h, stride_of(3), 3).T
        assert kl_ref.deviance(X, found, better, omega) < kl_ref.deviance(X, found, H, omega)

    def test_projection(self, way, wrap, dtype):
        X, omega, matrix = self.build(way, wrap, dtype)
        _, H, w, h = factors(matrix)
        value, unsolved = matrix.rows.project(
            h, 3, none(3, len(X)), w, most=60, precision=1e-7, n_threads=1
        )
        W = thin_rows(w, stride_of(3), 3)
        best = kl_ref.deviance(X, kl_ref.project(X, H, omega), H, omega)
        here = kl_ref.deviance(X, W, H, omega)
        assert here == pytest.approx(best, rel={np.float32: 1e-4, np.float64: 1e-7}[dtype])
        assert matrix.constant - value + matrix.expected_total(w, h, 3) == pytest.approx(
            here, rel=RTOL[dtype]
        )
        assert unsolved == 0 or dtype == np.float32


@DTYPES
def test_entries_stored_twice_and_zeros_stored(dtype):
    X = kl_ref.counts(50, 30, 3, dtype=dtype)
    mask = np.random.default_rng(0).random(X.shape) < 0.2
    clean = CountMatrix(sp.csr_matrix(X), dtype=dtype, n_threads=1)
    rows, columns = np.nonzero(X)
    half = X[rows, columns] / 2
    zero = np.argwhere(X == 0)[::7]
    mess = sp.coo_matrix(
        (
            np.r_[half, half, np.zeros(len(zero), dtype)],
            (np.r_[rows, rows, zero[:, 0]], np.r_[columns, columns, zero[:, 1]]),
        ),
        shape=X.shape,
    )
    order = np.lexsort((-mess.col, mess.row))  # columns backwards, duplicates side by side
    indptr = np.concatenate([[0], np.cumsum(np.bincount(mess.row, minlength=50))])
    given = sp.csr_matrix((mess.data[order], mess.col[order], indptr), shape=X.shape)
    assert given.nnz > 2 * clean.nonzeros
    for hidden in (None, Hidden([mask])):
        one = CountMatrix(X, dtype=dtype, n_threads=1, hidden=hidden)
        two = CountMatrix(given, dtype=dtype, n_threads=1, hidden=hidden)
        assert two.constant == one.constant
        assert two.nonzeros == one.nonzeros
        for side in ("rows", "columns"):
            for part in ("_indptr", "_indices", "_data"):
                np.testing.assert_array_equal(
                    getattr(getattr(one, side), part), getattr(getattr(two, side), part)
                )
    assert given.nnz == mess.nnz  # what was given is as it was


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40), p=st.integers(1, 40), k=st.integers(1, 40), seed=st.integers(0, 10**6),
    hidden=st.sampled_from([0.0, 0.1, 0.9, 0.99]),
)  # fmt: skip
def test_deviance_of_any_shape(n, p, k, seed, hidden):
    rng = np.random.default_rng(seed)
    X = rng.poisson(rng.exponential(size=(n, 1)) * rng.exponential(size=p) * 3).astype(float)
    mask = rng.random((n, p)) < hidden
    matrix = CountMatrix(X, dtype=np.float64, n_threads=1, hidden=Hidden([mask]))
    W, H, w, h = factors(matrix, k, seed)
    expected = kl_ref.deviance(X, W, H, ~mask)
    assert deviance(matrix, w, h, k) == pytest.approx(expected, rel=1e-9, abs=1e-7)
    assert matrix.independent() <= expected + 1e-6 or k > 1
    assert matrix.independent() == pytest.approx(
        kl_ref.rank_one(X, ~mask), rel=2e-2, abs=1e-2 + 1e-3 * X.sum()
    )


@pytest.mark.parametrize("hidden", [None, Hidden([Speckle(0.2)])])
def test_threads_change_no_bit(hidden):
    X = kl_ref.counts(900, 150, 6, seed=2)
    k, found = 6, []
    for n_threads in (1, 2, 3):
        matrix = CountMatrix(X, dtype=np.float32, n_threads=n_threads, hidden=hidden)
        assert matrix.nonzeros * k > counts_module._SMALL
        _, _, w, h = factors(matrix, k)
        step = {"sweeps": 2, "safe": False, "measure": True, "n_threads": n_threads}
        values = [
            matrix.rows.solve(h, k, none(k, 900), w, **step),
            matrix.columns.solve(w, k, none(k, 150), h, **step),
        ]
        shares, value = matrix.rows.shares(h, k, w, n_threads)
        exact = matrix.thin(900, k)
        most = {"most": 60, "precision": 1e-5, "n_threads": n_threads}
        projected = matrix.rows.project(h, k, none(k, 900), exact, **most)
        found.append([w, h, shares, exact, np.array([*values, value, *projected])])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


class TestStream:
    @pytest.fixture(autouse=True)
    def small_panels(self, monkeypatch):
        monkeypatch.setattr(counts_module, "_PANEL_ROWS", 256)

    @DTYPES
    @pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
    @pytest.mark.parametrize("hide", [False, True])
    def test_sums_are_those_of_the_data(self, wrap, hide, dtype):
        X = kl_ref.counts(1000, 30, 3, dtype=dtype)
        hidden = Hidden([Speckle(0.2)]) if hide else None
        one = CountMatrix(wrap(X), dtype=dtype, n_threads=1, hidden=hidden)
        for size in (100, 256, 300, 5000):
            source = reference.Chunks(wrap(X), size, offset=7)
            two = CountStream(source, dtype=dtype, n_threads=1, hidden=hidden)
            assert two.shape == one.shape
            assert two.nonzeros == one.nonzeros
            np.testing.assert_array_equal(two.row_totals, one.row_totals)
            np.testing.assert_array_equal(two.column_totals, one.column_totals)
            assert two.total == one.total
            assert two.constant == pytest.approx(one.constant, rel=1e-12)
            assert two.independent() == pytest.approx(one.independent(), rel=2e-2)

    def test_panels_do_not_depend_on_chunks(self):
        X = kl_ref.counts(1000, 30, 3, sparse=True)
        for size in (64, 999):
            stream = CountStream(reference.Chunks(X, size), dtype=np.float32, n_threads=1)
            starts = []
            for start, panel in stream.panels():
                starts.append(start)
                expected = CountMatrix(
                    X[start : start + panel.shape[0]], dtype=np.float32, n_threads=1
                )
                np.testing.assert_array_equal(panel.rows._data, expected.rows._data)
                np.testing.assert_array_equal(panel.columns._indices, expected.columns._indices)
            assert starts == [0, 256, 512, 768]

    @pytest.mark.parametrize("hide", [False, True])
    def test_sample(self, hide):
        X = kl_ref.counts(3000, 20, 3)
        mask = np.random.default_rng(0).random(X.shape) < 0.2
        hidden = Hidden([mask]) if hide else None
        given = masked.with_values(X, mask, np.nan) if hide else X
        stream = CountStream(
            reference.Chunks(given, 400), dtype=np.float32, n_threads=1, hidden=hidden
        )
        sample = stream.sample(1024)
        starts = [0, 914, 1829, 2744]
        rows = np.concatenate([np.arange(s, s + 256) for s in starts])
        seen = np.where(mask, 0, X) if hide else X
        np.testing.assert_array_equal(sample.row_totals, seen[rows].sum(axis=1))
        np.testing.assert_array_equal(sample.column_totals, seen[rows].sum(axis=0))

    def test_a_reader_that_fails_is_heard(self):
        class Failing(reference.Chunks):
            def blocks(self, start, stop):
                if start >= 512:
                    raise OSError("the disk is gone")
                yield from super().blocks(start, stop)

        with pytest.raises(OSError, match="the disk is gone"):
            CountStream(Failing(kl_ref.counts(1000, 9, 2), 100), dtype=np.float32, n_threads=1)
