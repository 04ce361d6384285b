"""Types and storage that users bring: the same numbers give the same bits.

Every estimator goes through all of it.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from estimators import EACH, ESTIMATORS, fitted, good, refused, similar
from partwise.exceptions import PartwiseError

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "error::RuntimeWarning"
)


@EACH
class TestTypes:
    @pytest.mark.parametrize("given", [np.uint8, np.int64, np.uint64, np.bool_, np.float16, ">f8"])
    def test_numbers_of_all_kinds(self, name, given):
        X = (3 * good()).astype(given)
        one, _ = fitted(name, X)
        two, _ = fitted(name, X.astype(one.components_.dtype))
        np.testing.assert_array_equal(one.components_, two.components_)

    def test_objects_and_texts_of_numbers(self, name):
        X = good().round(3)
        one, _ = fitted(name, X)
        for Y in (X.astype(object), X.astype(str).astype(object)):
            two, _ = fitted(name, Y)
            np.testing.assert_array_equal(one.components_, two.components_)

    def test_lists(self, name):
        model = ESTIMATORS[name](2)
        model.fit(good().tolist())
        same, _ = fitted(name, good())
        np.testing.assert_array_equal(model.components_, same.components_)

    def test_huge_integers(self, name):
        X = np.full((9, 4), 2**62) + np.arange(4) * 2**58
        fitted(name, X)
        refused(name, np.full((9, 4), 10**400, dtype=object), "too large")

    def test_frames(self, name):
        X = pd.DataFrame(good(), columns=list("BADCFE"))
        model, usage = fitted(name, X)
        assert list(model.feature_names_in_) == list("BADCFE")
        np.testing.assert_array_equal(model.transform(X), model.transform(X))
        refused_names(model, X[list("ABCDEF")])
        refused_names(model, X.rename(columns={"A": "Z"}))
        np.testing.assert_array_equal(usage, fitted(name, X.to_numpy())[1])

    def test_frames_with_missing_values(self, name):
        X = good()
        hole = X.copy()
        hole[5, 1] = np.nan
        nullable = pd.DataFrame(X).convert_dtypes().astype("Float64")
        nullable.iloc[5, 1] = pd.NA
        one, _ = fitted(name, hole)
        two, _ = fitted(name, nullable)
        np.testing.assert_array_equal(one.components_, two.components_)


def refused_names(model, X):
    with pytest.raises(PartwiseError, match="feature names should match"):
        model.transform(X)


@EACH
class TestStorage:
    """The same matrix, stored otherwise: the same bits."""

    def test_dense(self, name, tmp_path):
        X = good()
        one, usage = fitted(name, X)
        np.save(tmp_path / "x.npy", X)
        wide = np.zeros((80, 18))
        wide[::2, ::3] = X
        frozen = X.copy()
        frozen.setflags(write=False)
        odd = np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape)
        assert not odd.flags.aligned
        for Y in (
            np.load(tmp_path / "x.npy", mmap_mode="r"),
            np.asfortranarray(X),
            wide[::2, ::3],
            X[::-1][::-1],
            X[:, ::-1][:, ::-1],
            frozen,
            odd,
            np.matrix(X),
        ):
            if isinstance(Y, np.matrix):
                refused(name, Y, "np.matrix is not supported")
                continue
            two, other = fitted(name, Y)
            np.testing.assert_array_equal(two.components_, one.components_)
            np.testing.assert_array_equal(other, usage)

    def test_sparse(self, name):
        X = sp.csr_matrix(good(60, 80, np.float32))
        one, usage = fitted(name, X, 3)
        wide = X.copy()
        wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
        frozen = X.copy()
        for array in (frozen.data, frozen.indices, frozen.indptr):
            array.setflags(write=False)
        forms = [getattr(X, f"to{form}")() for form in ("csc", "coo", "lil", "dok", "bsr")]
        arrays = [sp.csr_array(X), sp.csc_array(X), sp.coo_array(X)]
        for Y in (wide, frozen, unsorted(X), *forms, *arrays):
            two, other = fitted(name, Y, 3)
            np.testing.assert_array_equal(two.components_, one.components_)
            np.testing.assert_array_equal(other, usage)
        zeros = with_zeros(X)
        assert zeros.nnz > X.nnz
        similar(name, one, fitted(name, zeros, 3)[0])
        similar(name, one, fitted(name, doubled(X), 3)[0])

    def test_sparse_is_dense(self, name):
        for shape in ((60, 9), (60, 80)):
            X = good(*shape)
            one, _ = fitted(name, X, 3)
            two, _ = fitted(name, sp.csr_matrix(X), 3)
            similar(name, one, two)
            a, b = one.transform(X), one.transform(sp.csr_matrix(X))
            np.testing.assert_allclose(a, b, atol=1e-6 * np.abs(a).max())
            assert one.score(X) == pytest.approx(one.score(sp.csr_matrix(X)), rel=1e-6)

    def test_data_are_not_changed(self, name):
        for X in (good(), np.asfortranarray(good(dtype=np.float32)), good() * 1e-200):
            before = X.copy()
            fitted(name, X)
            np.testing.assert_array_equal(X, before)
        X = doubled(sp.csr_matrix(good()))
        before = X.data.copy(), X.indices.copy(), X.indptr.copy()
        fitted(name, X)
        for array, old in zip((X.data, X.indices, X.indptr), before, strict=True):
            np.testing.assert_array_equal(array, old)


def unsorted(X):
    """Return the same CSR matrix with the entries of each row in reverse order."""
    order = np.concatenate(
        [np.arange(a, b)[::-1] for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)]
    )
    return sp.csr_matrix((X.data[order], X.indices[order], X.indptr), X.shape)


def with_zeros(X):
    """Return the same matrix with zeros stored in its first row."""
    missing = np.setdiff1d(np.arange(X.shape[1]), X.indices[: X.indptr[1]])[:20]
    data = np.r_[np.zeros(len(missing), X.dtype), X.data]
    indptr = X.indptr + len(missing)
    indptr[0] = 0
    return sp.csr_matrix((data, np.r_[missing, X.indices], indptr), X.shape)


def doubled(X):
    """Return the same matrix with each entry stored in two halves."""
    order = np.repeat(np.arange(X.nnz), 2)
    return sp.csr_matrix((X.data[order] / 2, X.indices[order], X.indptr * 2), X.shape)
