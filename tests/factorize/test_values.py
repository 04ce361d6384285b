"""Values that users bring: finite results, or an error that says what is wrong.

Every estimator goes through all of it.
"""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from estimators import (
    CHOOSY,
    COUNTS,
    EACH,
    ESTIMATORS,
    SIGNED,
    SPARSE,
    UNITS,
    degenerate,
    fitted,
    good,
    refused,
    similar,
)  # fmt: skip
from partwise.exceptions import PartwiseWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "error::RuntimeWarning"
)


@EACH
class TestRefused:
    @pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
    @pytest.mark.parametrize("value", [np.inf, -np.inf, -1.0, -1e-17])
    @SPARSE
    def test_infinite_and_negative(self, name, wrap, value, method):
        if name in SIGNED and np.isfinite(value):
            return
        X = good()
        X[31, 2] = value
        what = "Negative values" if np.isfinite(value) else "contains inf"
        refused(name, wrap(X), f"{what}.*row 31, column 2", method)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @SPARSE
    def test_too_large_for_the_type(self, name, wrap, dtype):
        X = good(dtype=dtype)
        X[3, 3] = 1e31 if dtype == np.float32 else 1e160
        refused(name, wrap(X), "largest value is 1e.*overflows float(32|64): divide")

    def test_complex(self, name):
        refused(name, good() + 1j, "Complex data not supported")
        refused(name, sp.csr_matrix(good() + 1j), "Complex data not supported")

    def test_text(self, name):
        X = good().astype(object)
        X[3, 1] = "much"
        refused(name, X, "could not convert string to float.*'much'")
        refused(name, np.array([["a", "b"], ["c", "d"]]), "could not convert string to float")

    def test_shapes(self, name):
        refused(name, np.ones(5), "Expected 2D array")
        refused(name, np.ones((3, 4, 5)), "dim 3")
        refused(name, np.ones((0, 4)), r"0 sample\(s\)")
        refused(name, np.ones((4, 0)), r"0 feature\(s\)")
        refused(name, np.ones((1, 4)), r"1 sample\(s\)")
        refused(name, good()[:, :5], "X has 5 features.*expecting 6", "transform")
        refused(name, np.ones((0, 6)), r"0 sample\(s\)", "transform")

    def test_damaged_sparse_matrices(self, name):
        """Compiled loops would read and write elsewhere."""
        for part, at, value in (
            ("indices", 7, 6),
            ("indices", 7, 10**9),
            ("indices", 7, -1),
            ("indptr", 5, 10**6),
            ("indptr", 5, -3),
            ("indptr", -1, 10**6),
        ):
            X = sp.csr_matrix(good())
            getattr(X, part)[at] = value
            refused(name, X, "sparse matrix is damaged")
            refused(name, X, "sparse matrix is damaged", "transform")


@EACH
class TestHidden:
    def test_masked_arrays_and_nan_are_the_same(self, name):
        X = good()
        hole = np.random.default_rng(2).random(X.shape) < 0.1
        one, usage = fitted(name, np.where(hole, np.nan, X))
        for filler in (0.0, 1e300, -5.0, np.nan, np.inf):
            masked = np.ma.array(np.where(hole, filler, X), mask=hole)
            two, other = fitted(name, masked)
            np.testing.assert_array_equal(two.components_, one.components_)
            np.testing.assert_array_equal(other, usage)

    def test_an_empty_mask_changes_nothing(self, name):
        one, _ = fitted(name, good())
        two, _ = fitted(name, np.ma.array(good()))
        np.testing.assert_array_equal(one.components_, two.components_)


@EACH
@SPARSE
class TestDegenerate:
    def test_zero_rows_and_columns(self, name, wrap):
        X = good()
        X[3] = 0
        X[:, 2] = 0
        model, usage = fitted(name, wrap(X))
        if name not in SIGNED:
            assert not usage[3].any()
            assert model.components_[:, 2].max() < 1e-6
        assert not model.transform(wrap(X))[3].any()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_all_zero(self, name, wrap, dtype):
        model, usage = degenerate(name, wrap(np.zeros((9, 5), dtype)))
        if model is None:
            return
        assert not usage.any()
        assert model.reconstruction_err_ == 0
        assert model.score(wrap(np.zeros((9, 5), dtype))) == 1

    @pytest.mark.parametrize("value", [1.0, 3e-9, 7e12])
    def test_constant(self, name, wrap, value):
        model, _ = degenerate(name, wrap(np.full((30, 5), value)))
        if name not in UNITS | CHOOSY | COUNTS:
            assert model.result_.relative_error < 1e-3

    def test_one_entry(self, name, wrap):
        X = np.zeros((20, 7))
        X[4, 5] = 2.5
        model, usage = degenerate(name, wrap(X))
        if model is not None and name not in UNITS:
            assert (usage @ model.components_)[4, 5] == pytest.approx(2.5, rel=0.02)

    def test_more_components_than_the_data_have(self, name, wrap):
        for shape in ((40, 3), (3, 40), (2, 2), (40, 1)):
            X = wrap(good(*shape))
            with pytest.warns(PartwiseWarning, match=r"n_components=5 exceeds the \d+ (feat|obs)"):
                model, _ = degenerate(name, X, 5)
            if name not in UNITS | CHOOSY | COUNTS:
                assert model.result_.relative_error < 0.1

    @pytest.mark.parametrize("shape", [(2, 1), (2, 6), (40, 1), (40, 6), (70, 90)])
    def test_one_component(self, name, wrap, shape):
        X = good(*shape) + 0.1
        model, _ = fitted(name, wrap(X), 1)
        values = np.linalg.svd(X, compute_uv=False)
        best = np.sqrt(1 - values[0] ** 2 / np.sum(values**2))
        best = 1.0 if name in COUNTS and best > 1e-3 else best
        if name not in UNITS:
            assert model.result_.relative_error == pytest.approx(best, rel=0.02, abs=2e-3)

    def test_one_row_can_be_transformed(self, name, wrap):
        model, _ = fitted(name, wrap(good()))
        one = model.transform(wrap(good()[:1]))
        np.testing.assert_allclose(one, model.transform(wrap(good()))[:1], atol=1e-9)

    def test_identical_rows_and_columns(self, name, wrap):
        X = np.repeat(np.repeat(good(10, 4), 5, axis=0), 3, axis=1)
        _, usage = fitted(name, wrap(X), 3)
        np.testing.assert_allclose(usage[::5], usage[1::5], atol=1e-6 * np.abs(usage).max())


@EACH
@SPARSE
class TestSize:
    """Squares that overflow or vanish in the type of the data do no harm."""

    @pytest.mark.parametrize("unit", [1e-44, 1e-38, 1e-30, 1e-18, 1e18, 1e28])
    def test_float32(self, name, wrap, unit):
        self.same(name, wrap, np.float32, unit, 0.1 if unit == 1e-44 else 0.02)

    @pytest.mark.parametrize("unit", [5e-322, 1e-310, 1e-160, 1e-30, 1e30, 1e148])
    def test_float64(self, name, wrap, unit):
        self.same(name, wrap, np.float64, unit, 0.1 if unit == 5e-322 else 0.02)

    def same(self, name, wrap, dtype, unit, rel):
        X = good(dtype=dtype)
        far = (X.astype(np.longdouble) * np.longdouble(unit)).astype(dtype)
        two, usage = fitted(name, wrap(far))
        if name in UNITS:  # their penalties are of the size of the data, or nothing beside them
            return
        one, _ = fitted(name, wrap(X))
        assert two.result_.relative_error == pytest.approx(one.result_.relative_error, rel=rel)
        assert two.score(wrap(far)) == pytest.approx(one.score(wrap(X)), rel=rel)
        if name in COUNTS:
            deviance = np.longdouble(one.reconstruction_err_) ** 2 * np.longdouble(unit)
            expected = float(np.sqrt(deviance))
            assert two.reconstruction_err_ == pytest.approx(expected, rel=rel)
            return
        product = two.inverse_transform(usage).astype(np.longdouble)
        gap = np.linalg.norm(np.float64(product / unit - X)) / np.linalg.norm(X)
        assert gap == pytest.approx(two.result_.relative_error, rel=rel)
        size = float(np.linalg.norm(np.float64(far / np.longdouble(unit)))) * np.longdouble(unit)
        expected = float(np.longdouble(two.result_.relative_error) * size)
        assert two.reconstruction_err_ == pytest.approx(expected, rel=0.01)

    @pytest.mark.parametrize("power", [-100, -60, -7, 5, 60])
    def test_powers_of_two_keep_the_bits_of_the_projection(self, name, wrap, power):
        X = good(dtype=np.float32)
        model, _ = fitted(name, wrap(X))
        if name in UNITS | COUNTS:
            return
        far = wrap(np.ldexp(X, power))
        exact = np.ldexp(np.float64(model.transform(wrap(X))), power).astype(np.float32)
        np.testing.assert_array_equal(model.transform(far), exact)

    def test_sizes_that_differ_between_features(self, name, wrap):
        X = good(60, 6, dtype=np.float32) * np.float32(10.0) ** np.arange(-18, 18, 6, np.float32)
        fitted(name, wrap(X))

    def test_sizes_that_differ_between_rows(self, name, wrap):
        X = good(60, 6) * 10.0 ** np.linspace(-100, 100, 60)[:, None]
        fitted(name, wrap(X))


@EACH
@SPARSE
class TestInvariance:
    def test_rows_do_not_know_of_each_other(self, name, wrap):
        X = good(70, 6)
        model, _ = fitted(name, wrap(X))
        usage = model.transform(wrap(X))
        rows = np.random.default_rng(0).permutation(70)[:33]
        atol = 1e-10 * np.abs(usage).max()
        np.testing.assert_allclose(model.transform(wrap(X[rows])), usage[rows], atol=atol)

    def test_features_have_no_order(self, name, wrap):
        X = good(70, 6)
        model, _ = fitted(name, wrap(X))
        usage = model.transform(wrap(X))
        order = np.random.default_rng(0).permutation(6)
        model.components_ = np.ascontiguousarray(model.components_[:, order])
        again = model.transform(wrap(X[:, order]))
        np.testing.assert_allclose(again, usage, atol=1e-8 * np.abs(usage).max())

    def test_fit_and_transform_agree(self, name, wrap):
        X = good(70, 6)
        model, usage = fitted(name, wrap(X))
        np.testing.assert_allclose(model.transform(wrap(X)), usage, atol=1e-8 * np.abs(usage).max())

    def test_units(self, name, wrap):
        X = good(70, 6)
        if name in UNITS:
            return
        one, _ = fitted(name, wrap(X))
        for c in (1e-3, 7.0, 1e5):
            # the default start has no unit: its zeros get the mean of X in both factors
            rel = 0.15 if name == "counts by batches" else 0.02
            similar(name, one, fitted(name, wrap(X * c))[0], rel)


def arrays(dtype):
    """Arrays of 2 to 9 rows and 1 to 7 columns: zeros, subnormals, tiny, ordinary, huge values."""
    width = 32 if dtype == np.float32 else 64
    largest = float(np.float32(1e29)) if dtype == np.float32 else 1e149
    values = st.one_of(
        st.just(0.0),
        st.floats(0, largest, width=width, allow_subnormal=True),
        st.floats(0, float(np.finfo(dtype).tiny), width=width, allow_subnormal=True),
        st.integers(0, 9).map(float),
    )
    return hnp.arrays(dtype, st.tuples(st.integers(2, 9), st.integers(1, 7)), elements=values)


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=st.data(), dtype=st.sampled_from([np.float32, np.float64]), k=st.integers(1, 4),
    sparse=st.booleans(),
)  # fmt: skip
@EACH
def test_any_values_that_are_let_in(name, data, dtype, k, sparse):
    X = data.draw(arrays(dtype))
    Y = sp.csr_matrix(X) if sparse else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartwiseWarning)
        model, _ = degenerate(name, Y, k)
    loss = np.asarray(getattr(model.result_, "loss", [])) if model is not None else np.zeros(0)
    assert np.isfinite(loss).all()
    if name not in ("minibatch", "counts by batches"):
        assert (np.diff(loss) <= 0).all()


def test_the_list_is_complete():
    """Every estimator that the package has is in the list."""
    import partwise.factorize as room

    names = {re.sub("NMF$", "", n).lower() for n in room.__all__ if n.endswith("NMF")}
    assert names <= {"", *ESTIMATORS}
