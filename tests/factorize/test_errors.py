"""Every complaint, by its text; and that the data of the user stay as they are."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import reference
from partwise import NMF, MiniBatchNMF
from partwise.exceptions import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BOTH = pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])


def good(n=40, p=6, dtype=np.float64):
    return np.random.default_rng(0).random((n, p)).astype(dtype)


def with_value(value, *places, kind="dense", dtype=np.float64):
    X = good(dtype=dtype)
    for row, column in places:
        X[row, column] = value
    return {
        "dense": lambda: X,
        "fortran": lambda: np.asfortranarray(X),
        "sparse": lambda: sp.csr_matrix(X),
        "csc": lambda: sp.csc_matrix(X),
        "source": lambda: reference.Chunks(X, 7),
        "sparse source": lambda: reference.Chunks(sp.csr_matrix(X), 7),
        "frame": lambda: pd.DataFrame(X),
    }[kind]()


def complaint(X, message, *, estimator=NMF, error=DataError, exact=True):
    """Check the text of `fit`, `fit_transform` and, after a fit to good data, `transform`."""
    pattern = f"^{re.escape(message)}$" if exact else re.escape(message)
    for method in ("fit", "fit_transform"):
        with pytest.raises(error, match=pattern):
            getattr(estimator(2, random_state=0), method)(X)
    model = estimator(2, random_state=0).fit(good())
    with pytest.raises(error, match=pattern):
        model.transform(X)


@pytest.mark.parametrize(
    "kind", ["dense", "fortran", "sparse", "csc", "source", "sparse source", "frame"]
)
@BOTH
class TestValues:
    def test_infinite(self, estimator, kind):
        X = with_value(np.inf, (31, 2), (38, 1), kind=kind)
        complaint(
            X,
            "Input X contains inf: first at row 31, column 2 (counted from 0), "
            f"{self.found(kind)} in all. Fill or drop them; {estimator.__name__} does not guess",
            estimator=estimator,
        )

    def test_negative(self, estimator, kind):
        X = with_value(-1e-17, (31, 2), (38, 1), kind=kind)
        complaint(
            X,
            f"Negative values in data passed to {estimator.__name__}: first at row 31, column 2 "
            f"(counted from 0), {self.found(kind)} in all. Shift or clip them on purpose, or leave "
            "those features out",
            estimator=estimator,
        )

    def found(self, kind):
        """A source is checked block by block: the second one lies in a later block."""
        return 1 if "source" in kind else 2


class TestTooLarge:
    def test_float32(self):
        X = with_value(1e31, (3, 3), dtype=np.float32)
        message = (
            "the largest value is 1e+31, whose square overflows float32: divide the data by a "
            "constant, or pass float64"
        )
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            NMF(2).fit(X)
        NMF(2, max_iter=3, tol=0).fit(X.astype(np.float64))

    def test_float64(self):
        with pytest.raises(DataError, match=r"^the largest value is 1e\+160, whose square overfl"):
            NMF(2).fit(with_value(1e160, (3, 3)))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_what_is_let_through_stays_finite(self, dtype):
        X = good(dtype=dtype) * dtype(1e30 if dtype == np.float32 else 1e150)
        model = NMF(2, tol=0, max_iter=5, random_state=0)
        usage = model.fit_transform(X)
        assert np.isfinite(usage).all()
        assert np.isfinite(model.components_).all()
        assert np.isfinite(model.result_.loss).all()
        assert 0 < model.result_.relative_error < 1

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_tiny_values_stay_finite(self, dtype):
        for unit in (1e-18, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal):
            model = NMF(2, tol=0, max_iter=5, random_state=0)
            usage = model.fit_transform(good(dtype=dtype) * dtype(unit))
            assert np.isfinite(usage).all()
            assert np.isfinite(model.components_).all()
            assert 0 <= model.result_.relative_error <= 1


@BOTH
class TestKinds:
    def test_masked_without_a_mask_is_an_array(self, estimator):
        model = estimator(2, random_state=0, max_iter=3, tol=0).fit(np.ma.array(good()))
        same = estimator(2, random_state=0, max_iter=3, tol=0).fit(good())
        np.testing.assert_array_equal(model.components_, same.components_)

    def test_complex(self, estimator):
        complaint(
            good() + 1j,
            "Complex data not supported",
            estimator=estimator,
            error=ValueError,
            exact=False,
        )

    def test_text(self, estimator):
        X = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
        with pytest.raises(ValueError, match=r"could not convert string to float: .*'a'"):
            estimator(2).fit(X)
        with pytest.raises(ValueError, match=r"could not convert string to float: .*'a'"):
            estimator(2).fit(X.astype(object))
        with pytest.raises(ValueError, match=r"could not convert string to float: .*'a'"):
            estimator(2).fit(pd.DataFrame(X))

    def test_one_dimension(self, estimator):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
            estimator(2).fit(np.ones(5))
        with pytest.raises(ValueError, match="dim 3"):
            estimator(2).fit(np.ones((5, 4, 3)))

    @pytest.mark.parametrize("sparse", [False, True])
    def test_one_row(self, estimator, sparse):
        X = sp.csr_matrix(good()[:1]) if sparse else good()[:1]
        with pytest.raises(ValueError, match=r"1 sample\(s\).*a minimum of 2 is required"):
            estimator(2).fit(X)

    def test_one_row_of_a_source(self, estimator):
        with pytest.raises(DataError, match="1 row"):
            estimator(1).fit(reference.Chunks(good()[:1], 5))

    def test_nothing(self, estimator):
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            estimator(2).fit(np.ones((0, 3)))
        with pytest.raises(ValueError, match=r"0 feature\(s\)"):
            estimator(2).fit(np.ones((3, 0)))
        with pytest.raises(DataError, match="nothing to factorize"):
            estimator(2).fit(reference.Chunks(np.ones((0, 3)), 5))
        with pytest.raises(DataError, match="nothing to factorize"):
            estimator(2).fit(reference.Chunks(np.ones((3, 0)), 5))

    def test_one_row_can_be_transformed(self, estimator):
        model = estimator(2, random_state=0).fit(good())
        assert model.transform(good()[:1]).shape == (1, 2)

    @pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix, lambda X: reference.Chunks(X, 5)])
    def test_other_number_of_features(self, estimator, wrap):
        model = estimator(2, random_state=0).fit(good())
        message = f"X has 5 features, but {estimator.__name__} is expecting 6 features as input"
        with pytest.raises(ValueError, match=message):
            model.transform(wrap(good()[:, :5]))
        with pytest.raises(ValueError, match=message):
            model.score(wrap(good()[:, :5]))

    def test_usage_of_another_shape(self, estimator):
        model = estimator(2, random_state=0).fit(good())
        for shape in ((4, 3), (2,)):
            message = f"^usage must have 2 columns, not shape {re.escape(str(shape))}$"
            with pytest.raises(UsageError, match=message):
                model.inverse_transform(np.ones(shape))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number from 1 up, not 0"),
        ({"n_components": 2.0}, "n_components must be a whole number from 1 up, not 2.0"),
        ({"n_components": True}, "n_components must be a whole number from 1 up, not True"),
        (
            {"n_components": "auto"},
            "n_components must be a whole number from 1 up, not 'auto': None takes 10, and "
            "partwise.select_rank finds how many there are",
        ),
        (
            {"solver": "mu"},
            "solver must be one of ('auto', 'hals', 'bpp') for loss='frobenius', not 'mu': 'auto' "
            "has a solver for each loss, and needs fewer passes than updates by multiplication",
        ),
        (
            {"init": "svd"},
            "init must be one of ('nndsvda', 'nndsvd', 'random', 'custom'), not 'svd'",
        ),
        ({"tol": -1e-4}, "tol must be a finite number from 0 up, not -0.0001"),
        ({"tol": float("nan")}, "tol must be a finite number from 0 up, not nan"),
        ({"tol": float("inf")}, "tol must be a finite number from 0 up, not inf"),
        ({"tol": None}, "tol must be a finite number from 0 up, not None"),
        ({"tol": "low"}, "tol must be a finite number from 0 up, not 'low'"),
        ({"max_iter": 0}, "max_iter must be a whole number from 1 up, not 0"),
        ({"max_iter": 10.5}, "max_iter must be a whole number from 1 up, not 10.5"),
        ({"n_init": 0}, "n_init must be a whole number from 1 up, not 0"),
        ({"n_threads": 0}, "the number of threads must be a whole number from 1 up, not 0"),
        ({"n_threads": -1}, "the number of threads must be a whole number from 1 up, not -1"),
        ({"n_threads": 1.5}, "the number of threads must be a whole number from 1 up, not 1.5"),
        ({"random_state": -1}, "the seed must be 0 or more, not -1"),
        (
            {"random_state": "seed"},
            "random_state must be a whole number, a numpy Generator, a RandomState or None, "
            "not str",
        ),
        ({"l1_usage": -1}, "l1_usage must be finite and not negative"),
        ({"l2_programs": float("inf")}, "l2_programs must be finite and not negative"),
        (
            {"l1_usage": [1, 2, 3]},
            "l1_usage must be one number or one for each of the 2 components",
        ),
        (
            {"init": "custom"},
            "init='custom' goes with fit_transform(X, H=...), and W if you have it",
        ),
        ({"init": "custom", "n_init": 2}, None),
    ],
)
def test_parameters(parameters, message):
    pattern = "init='custom'" if message is None else f"^{re.escape(message)}$"
    with pytest.raises(UsageError, match=pattern):
        NMF(**{"n_components": 2, "random_state": 0, **parameters}).fit(good())


@pytest.mark.parametrize("parameters", [{"l1_usage": "much"}, {"l1_usage": None}])
def test_weights_that_are_no_numbers(parameters):
    with pytest.raises(UsageError, match="l1_usage"):
        NMF(2, l1_programs=1.0, **parameters).fit(good())


class TestStarts:
    def refused(self, message, **start):
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            NMF(2, init="custom").fit_transform(good(), **start)

    def test_shapes(self):
        self.refused("the start H must have shape (2, 6), not (6, 2)", H=np.ones((6, 2)))
        self.refused("the start H must have shape (2, 6), not (3, 6)", H=np.ones((3, 6)))
        self.refused(
            "the start W must have shape (40, 2), not (40, 3)",
            W=np.ones((40, 3)), H=np.ones((2, 6)),
        )  # fmt: skip
        self.refused(
            "the start W must have shape (40, 2), not (40,)", W=np.ones(40), H=np.ones((2, 6))
        )

    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
    def test_values(self, value):
        bad = np.ones((2, 6))
        bad[1, 3] = value
        self.refused("the start H must be finite and not negative", H=bad)
        bad = np.ones((40, 2))
        bad[7, 1] = value
        self.refused("the start W must be finite and not negative", W=bad, H=np.ones((2, 6)))

    def test_text(self):
        with pytest.raises(UsageError, match="the start H must be"):
            NMF(2, init="custom").fit_transform(good(), H=np.full((2, 6), "a"))

    def test_programs_are_needed(self):
        self.refused(
            "init='custom' goes with fit_transform(X, H=...), and W if you have it",
            W=np.ones((40, 2)),
        )

    def test_not_without_custom(self):
        message = "init='custom' goes with fit_transform"
        with pytest.raises(UsageError, match=message):
            NMF(2).fit_transform(good(), H=np.ones((2, 6)))
        with pytest.raises(UsageError, match=message):
            NMF(2).fit_transform(good(), W=np.ones((40, 2)))

    def test_one_start_only(self):
        message = "^init='custom' is one start: n_init must be 1$"
        with pytest.raises(UsageError, match=message):
            NMF(2, init="custom", n_init=2).fit_transform(good(), H=np.ones((2, 6)))


@BOTH
class TestNothingIsChanged:
    def fit(self, estimator, X):
        model = estimator(3, random_state=0, max_iter=5)
        model.fit_transform(X)
        model.transform(X)
        model.score(X)

    @pytest.mark.parametrize("columns", [6, 80])
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
    def test_dense(self, estimator, dtype, order, columns):
        X = np.array(good(p=columns) * 10, dtype, order=order)
        before = X.copy(order="K")
        self.fit(estimator, X)
        np.testing.assert_array_equal(X, before)
        assert X.dtype == dtype
        assert X.flags[f"{order}_CONTIGUOUS"]

    @pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix])
    def test_sparse(self, estimator, kind):
        X = kind(sp.random(60, 40, 0.3, random_state=0))
        names = [name for name in ("data", "indices", "indptr", "row", "col") if name in vars(X)]
        before = {name: getattr(X, name).copy() for name in names}
        self.fit(estimator, X)
        assert X.format == kind(np.ones((1, 1))).format
        for name, values in before.items():
            np.testing.assert_array_equal(getattr(X, name), values)
            assert getattr(X, name).dtype == values.dtype

    def test_starts(self, estimator):
        X, H, W = good(), good(2, 6), good(40, 2)
        kept = H.copy(), W.copy()
        model = estimator(2, init="custom", max_iter=5, tol=0)
        start = {"H": H} if estimator is MiniBatchNMF else {"H": H, "W": W}
        model.fit_transform(X, **start)
        np.testing.assert_array_equal(H, kept[0])
        np.testing.assert_array_equal(W, kept[1])

    def test_global_random_state(self, estimator):
        for seed in (None, 0):
            np.random.seed(1)  # noqa: NPY002
            before = np.random.get_state()[1].copy()  # noqa: NPY002
            model = estimator(3, init="random", random_state=seed, max_iter=3, tol=0).fit(good())
            np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        np.random.seed(2)  # noqa: NPY002
        again = estimator(3, init="random", random_state=0, max_iter=3, tol=0).fit(good())
        np.testing.assert_array_equal(again.components_, model.components_)

    def test_a_refused_fit_leaves_no_model(self, estimator):
        model = estimator(2)
        with pytest.raises(DataError):
            model.fit(-good())
        assert not hasattr(model, "components_")


@BOTH
def test_all_zero_rows_and_columns_are_allowed(estimator):
    X = good()
    X[3] = 0
    X[:, 2] = 0
    usage = estimator(2, random_state=0, max_iter=20, tol=0).fit_transform(X)
    assert not usage[3].any()
