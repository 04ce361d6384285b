"""Rows cut out of a matrix in memory; one pass for X^T X M."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.matrix.matrix import DataMatrix
from partwise.matrix.rows import rows_between

X = sp.random(900, 40, density=0.1, format="csr", random_state=0)


@pytest.mark.parametrize("pointers", [np.int32, np.int64])
def test_rows_are_those_of_scipy_cut_without_it(pointers, monkeypatch):
    x = sp.csr_matrix(X)
    x.indptr = x.indptr.astype(pointers)
    for start, stop in ((0, 900), (17, 300), (899, 900), (500, 2000), (4, 4)):
        expected = X[start:stop]
        with monkeypatch.context() as patch:
            patch.setattr(sp.csr_matrix, "__getitem__", None)  # which would copy all indices
            part = rows_between(x, start, stop)
        assert (part != expected).nnz == 0
        assert part.shape == expected.shape
    dense = X.toarray()
    np.testing.assert_array_equal(rows_between(dense, 3, 9), dense[3:9])


@pytest.mark.parametrize("make", [lambda: X, X.toarray])
def test_normal_product(make):
    matrix = DataMatrix(make(), 5, dtype=np.dtype(np.float64), n_threads=2)
    M = np.random.default_rng(1).random((40, 5))
    thin = matrix.thin(40, 5, M)
    once = matrix.multiply_normal(thin, 5)
    twice = matrix.multiply_transposed(matrix.multiply(thin, 5), 5)
    np.testing.assert_array_equal(once, twice)
    expected = X.T @ (X @ M)
    np.testing.assert_allclose(once.reshape(40, -1)[:, :5], expected, rtol=1e-12)
