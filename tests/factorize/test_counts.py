"""The Kullback-Leibler loss as users meet it: `NMF` and `MiniBatchNMF` of counts."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import decomposition
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

import kl_reference as kl_ref
import masked_reference as masked
import partwise
import reference
from partwise import NMF, MiniBatchNMF, Speckle
from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.matrix import counts as counts_module
from partwise.results import Status

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "error::RuntimeWarning"
)

KL = "kullback-leibler"
WRAP = pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def nmf(k=4, **parameters):
    return NMF(k, loss=KL, **{"random_state": 0, **parameters})


def batches(k=4, **parameters):
    return MiniBatchNMF(k, loss=KL, **{"random_state": 0, "batch_size": 50, **parameters})


BOTH = pytest.mark.parametrize("make", [nmf, batches], ids=["NMF", "MiniBatchNMF"])


def everything(model, X, **given):
    """Return all numbers that a fit leaves."""
    usage = model.fit_transform(X, **given)
    result = model.result_
    return {
        "usage": usage,
        "programs": model.components_,
        "loss": result.loss,
        "explained": result.explained,
        "details": np.array(list(result.details.values())),
        "errors": np.array([result.relative_error, model.reconstruction_err_]),
    }


def same(one, two):
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


class TestAgainstScikitLearn:
    @DTYPES
    @WRAP
    def test_as_good_as_long_multiplicative_updates(self, wrap, dtype):
        X = wrap(kl_ref.counts(120, 70, 5, dtype=dtype))
        W, H = (f.astype(dtype) for f in kl_ref.start(X, 5))
        ours = nmf(5, init="custom")
        usage = ours.fit_transform(X, W=W.copy(), H=H.copy())
        theirs = decomposition.NMF(
            5, init="custom", solver="mu", beta_loss=KL, max_iter=1500, tol=0
        )
        U = theirs.fit_transform(X, W=W.copy(), H=H.copy())
        best = kl_ref.deviance(X, U, theirs.components_)
        assert ours.result_.converged
        assert kl_ref.deviance(X, usage, ours.components_) <= 1.002 * best
        # it counts by the same number
        reported = ours.reconstruction_err_**2 / 2
        assert reported == pytest.approx(kl_ref.deviance(X, usage, ours.components_), rel=1e-4)


@DTYPES
@WRAP
class TestTruth:
    def fit(self, wrap, dtype, **parameters):
        X = wrap(kl_ref.counts(150, 60, 4, dtype=dtype))
        model = nmf(**parameters)
        return X, model, model.fit_transform(X)

    def test_loss_never_rises(self, wrap, dtype):
        for init in ("random", "nndsvd", "nndsvda"):
            _, model, _ = self.fit(wrap, dtype, init=init, n_init=2)
            loss = model.result_.loss
            assert (np.diff(loss) <= 0).all()
            assert len(loss) == model.n_iter_
            assert model.result_.solver == "newton"

    def test_errors(self, wrap, dtype):
        X, model, W = self.fit(wrap, dtype)
        deviance, null = kl_ref.deviance(X, W, model.components_), kl_ref.rank_one(X)
        result = model.result_
        assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * deviance), rel=1e-4)
        assert result.relative_error == pytest.approx(deviance / null, rel=1e-4)
        assert result.details["deviance"] == pytest.approx(deviance, rel=1e-4)
        assert result.loss[-1] == pytest.approx(deviance, rel=2e-3)
        assert model.score(X) == pytest.approx(1 - deviance / null, rel=1e-4)
        half = X[:75]
        part = kl_ref.deviance(half, model.transform(half), model.components_)
        assert model.score(half) == pytest.approx(1 - part / kl_ref.rank_one(half), rel=1e-4)

    def test_explained(self, wrap, dtype):
        _, model, W = self.fit(wrap, dtype)
        explained = model.result_.explained
        assert explained.sum() == pytest.approx(1)
        assert (np.diff(explained) <= 0).all()
        np.testing.assert_allclose(model.components_.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(explained, W.sum(axis=0) / W.sum(), rtol=1e-4)

    @pytest.mark.parametrize("penalty", [{}, {"l1_usage": 0.1, "l2_usage": 0.2, "l2_programs": 1}])
    def test_transform_is_the_usage_of_the_fit(self, penalty, wrap, dtype):
        X, model, W = self.fit(wrap, dtype, **penalty)
        np.testing.assert_array_equal(model.transform(X), W)
        np.testing.assert_array_equal(model.transform(X[40:47]), W[40:47])
        assert W.dtype == dtype
        net = {k.split("_")[0]: v for k, v in penalty.items() if k.endswith("usage")}
        exact = kl_ref.project(reference.dense(X)[:20], model.components_, **net)
        tight = 3e-2 if dtype == np.float32 else 2e-3
        np.testing.assert_allclose(W[:20], exact, rtol=tight, atol=tight * exact.max())

    def test_penalties(self, wrap, dtype):
        penalty = {"l1": 0.5, "l2": 0.3}
        X, model, W = self.fit(
            wrap, dtype, l1_usage=0.5, l1_programs=0.5, l2_usage=0.3, l2_programs=0.3
        )
        value = kl_ref.objective(X, W, model.components_, **penalty)
        assert model.result_.loss[-1] == pytest.approx(value, rel=1e-3)
        free, U = self.fit(wrap, dtype)[1:]
        assert value < kl_ref.objective(X, U, free.components_, **penalty)

    def test_one_program_is_the_product_of_the_totals(self, wrap, dtype):
        X, model, W = self.fit(wrap, dtype, k=1)
        D = reference.dense(X)
        np.testing.assert_allclose(W[:, 0], D.sum(axis=1), rtol=1e-3)
        np.testing.assert_allclose(model.components_[0], D.sum(axis=0) / D.sum(), rtol=1e-3)
        assert model.result_.relative_error == pytest.approx(1, rel=1e-4)
        assert model.score(X) == pytest.approx(0, abs=1e-4)


@BOTH
class TestBits:
    @pytest.mark.parametrize("mask", [None, Speckle(0.1)])
    def test_threads(self, make, mask):
        X = kl_ref.counts(900, 150, 6, sparse=True)
        given = {"max_iter": 6, "tol": 0}
        one = everything(make(6, n_threads=1, **given), X, mask=mask)
        for n_threads in (2, 3):
            same(one, everything(make(6, n_threads=n_threads, **given), X, mask=mask))

    @DTYPES
    def test_storage(self, make, dtype):
        X = kl_ref.counts(200, 60, 4, dtype=dtype)
        one = everything(make(init="random", max_iter=8, tol=0), X)
        for other in (sp.csr_matrix(X), sp.csc_array(X), np.asfortranarray(X)):
            same(one, everything(make(init="random", max_iter=8, tol=0), other))

    def test_whole_numbers(self, make):
        X = kl_ref.counts(200, 60, 4)
        one = everything(make(max_iter=8), X)
        same(one, everything(make(max_iter=8), X.astype(np.int64)))
        same(one, everything(make(max_iter=8), X.astype(np.uint16)))

    @pytest.mark.parametrize("given", ["nothing", "mask", "speckle", "weights"])
    def test_chunks(self, make, given, monkeypatch):
        monkeypatch.setattr(counts_module, "_PANEL_ROWS", 256)
        X = kl_ref.counts(700, 40, 4)
        hide = {
            "nothing": {},
            "mask": {"mask": np.random.default_rng(0).random(X.shape) < 0.1},
            "speckle": {"mask": Speckle(0.1)},
            "weights": {"weights": np.random.default_rng(0).choice([0.5, 1], X.shape)},
        }[given]
        parameters = {"init": "random", "max_iter": 6, "tol": 0}
        runs = [
            everything(make(n_threads=t, **parameters), reference.Chunks(X, size), **hide)
            for size, t in ((64, 1), (700, 2), (33, 3))
        ]
        same(runs[0], runs[1])
        same(runs[0], runs[2])

    def test_a_stream_is_near_the_data_in_memory(self, make):
        X = kl_ref.counts(700, 40, 4)
        for hide in ({}, {"mask": Speckle(0.2)}):
            one, two = make(), make()
            W = one.fit_transform(X, **hide)
            usage = two.fit_transform(reference.Chunks(X, 100), **hide)
            assert two.reconstruction_err_ <= 1.005 * one.reconstruction_err_
            np.testing.assert_array_equal(two.transform(reference.Chunks(X, 77), **hide), usage)
            np.testing.assert_array_equal(one.transform(reference.Chunks(X, 50), **hide), W)
            assert one.score(reference.Chunks(X, 50), **hide) == pytest.approx(
                one.score(X, **hide), rel=0.02
            )


@BOTH
class TestHidden:
    @WRAP
    @DTYPES
    def test_hidden_values_influence_nothing(self, make, wrap, dtype):
        X = kl_ref.counts(120, 50, 4, dtype=dtype)
        mask = np.random.default_rng(1).random(X.shape) < 0.15
        model = {"max_iter": 8, "tol": 0}
        one = everything(make(**model), wrap(X), mask=mask)
        for values in (0.0, 3.0, -1.0, np.inf, np.nan, np.finfo(dtype).max):
            other = masked.with_values(wrap(X), mask, values)
            same(one, everything(make(**model), other, mask=mask))
        same(one, everything(make(**model), masked.with_values(wrap(X), mask, np.nan)))
        speckle = Speckle(0.2, seed=4)
        indptr, columns = speckle.rows(0, *X.shape)
        where = np.zeros(X.shape, bool)
        where[np.repeat(np.arange(120), np.diff(indptr)), columns] = True
        one = everything(make(**model), wrap(X), mask=speckle)
        other = masked.with_values(wrap(X), where, 77.0)
        same(one, everything(make(**model), other, mask=speckle))
        same(one, everything(make(**model), wrap(X), mask=where))

    def test_what_it_says_of_the_seen_entries(self, make):
        X = kl_ref.counts(200, 50, 4, mean=3, dtype=np.float64)
        mask = np.random.default_rng(1).random(X.shape) < 0.2
        weights = np.random.default_rng(2).choice([1.0, 0.5, 0.25], X.shape)
        for given, omega in (
            ({"mask": mask}, ~mask),
            ({"weights": 3 * weights, "mask": mask}, np.where(mask, 0, weights)),
        ):
            model = make()
            W = model.fit_transform(X, **given)
            deviance = kl_ref.deviance(X, W, model.components_, omega)
            null = kl_ref.rank_one(X, omega)
            assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * deviance), rel=1e-5)
            assert model.result_.relative_error == pytest.approx(deviance / null, rel=1e-3)
            assert model.score(X, **given) == pytest.approx(1 - deviance / null, rel=1e-3)
            np.testing.assert_array_equal(model.transform(X, **given), W)

    def test_nine_of_ten_hidden(self, make):
        X = kl_ref.counts(300, 150, 2, mean=20)
        model = make(2)
        W = model.fit_transform(X, mask=Speckle(0.9))
        indptr, columns = Speckle(0.9).rows(0, *X.shape)
        mask = np.zeros(X.shape, bool)
        mask[np.repeat(np.arange(300), np.diff(indptr)), columns] = True
        assert np.isfinite(W).all()
        rows, columns = kl_ref.multiply(X, np.ones((300, 1)), np.ones((1, 150)), 50, ~mask)
        one, two = (np.sum((X - M)[mask] ** 2) for M in (rows @ columns, W @ model.components_))
        assert two < 0.6 * one

    def test_rows_and_columns_that_are_hidden_as_a_whole(self, make):
        X = kl_ref.counts(100, 30, 3)
        mask = np.zeros(X.shape, bool)
        mask[7] = mask[:, 4] = True
        for data in (X, reference.Chunks(X, 30)):
            model = make(3)
            with (
                pytest.warns(PartwiseWarning, match="of 1 rows are hidden.*usage is 0"),
                pytest.warns(PartwiseWarning, match="of 1 columns are hidden.*programs are 0"),
            ):
                W = model.fit_transform(data, mask=mask)
            assert not W[7].any()
            assert not model.components_[:, 4].any()
            with pytest.warns(PartwiseWarning, match="of 1 rows"):
                model.transform(data, mask=mask)
        with pytest.raises(DataError, match="100 x 30 counts are zero or hidden"):
            make(3).fit(X, mask=np.ones(X.shape, bool))

    @pytest.mark.parametrize("shape", ["row", "column"])
    def test_one_row_or_column_is_left(self, make, shape):
        X = kl_ref.counts(20, 15, 3)
        mask = np.ones(X.shape, bool)
        mask[(3, slice(None)) if shape == "row" else (slice(None), 3)] = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartwiseWarning)
            model = make(2)
            W = model.fit_transform(X, mask=mask)
        np.testing.assert_allclose((W @ model.components_)[~mask], X[~mask], rtol=2e-2, atol=1e-2)


class TestWeights:
    def test_whole_weights_of_rows_are_repeats(self):
        X = kl_ref.counts(60, 40, 3, dtype=np.float64)
        times = np.random.default_rng(0).integers(1, 4, 60)
        _, H = kl_ref.start(X, 3)
        one, two = (nmf(3, init="custom", max_iter=40, tol=0) for _ in range(2))
        W = one.fit_transform(X, H=H, weights=times[:, None])
        U = two.fit_transform(np.repeat(X, times, axis=0), H=H)
        first = np.cumsum(times) - times
        np.testing.assert_allclose(one.components_, two.components_, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(W, U[first], rtol=1e-2, atol=1e-3)
        assert one.result_.details["deviance"] * times.max() == pytest.approx(
            two.result_.details["deviance"], rel=1e-6
        )

    def test_weights_of_columns_are_repeats(self):
        X = kl_ref.counts(60, 40, 3, dtype=np.float64)
        times = np.random.default_rng(0).integers(1, 4, 40)
        _, H = kl_ref.start(X, 3)
        one, two = (nmf(3, init="custom", max_iter=40, tol=0) for _ in range(2))
        W = one.fit_transform(X, H=H, weights=times[None])
        U = two.fit_transform(np.repeat(X, times, axis=1), H=np.repeat(H, times, axis=1))
        np.testing.assert_allclose(
            W @ one.components_,
            (U @ two.components_)[:, np.cumsum(times) - 1],
            rtol=1e-3,
            atol=1e-4,
        )


class TestSizeFactors:
    @WRAP
    def test_expected_counts_are_multiplied_by_them(self, wrap):
        X = wrap(kl_ref.counts(100, 40, 3, dtype=np.float64))
        s = np.random.default_rng(0).uniform(0.1, 10, 100)
        one, two = nmf(3), nmf(3)
        W = one.fit_transform(X)
        U = two.fit_transform(X, size_factors=s)
        np.testing.assert_array_equal(two.components_, one.components_)
        np.testing.assert_allclose(U * s[:, None], W, rtol=1e-12)
        assert two.reconstruction_err_ == one.reconstruction_err_
        np.testing.assert_array_equal(two.transform(X, size_factors=s), U)
        np.testing.assert_array_equal(two.transform(X), W)
        assert two.score(X, size_factors=list(s)) == one.score(X)

    def test_penalties_are_of_the_usage_without_them(self):
        X = kl_ref.counts(100, 40, 3, dtype=np.float64)
        s = np.random.default_rng(0).uniform(0.2, 5, 100)
        net = {"l1_usage": 1, "l2_usage": 0.5, "l1_programs": 1, "l2_programs": 0.5}
        model = nmf(3, tol=1e-7, **net)
        W = model.fit_transform(X, size_factors=s)
        np.testing.assert_array_equal(model.transform(X, size_factors=s), W)
        H = model.components_
        value = kl_ref.objective(X, W, H, l1=1, l2=0.5, sizes=s)
        assert model.result_.loss[-1] == pytest.approx(value, rel=1e-4)
        plain = nmf(3, tol=1e-7, **net)
        U = plain.fit_transform(X) / s[:, None]
        assert value < kl_ref.objective(X, U, plain.components_, l1=1, l2=0.5, sizes=s)

    def test_a_start_is_without_them(self):
        X = kl_ref.counts(100, 40, 3, dtype=np.float64)
        s = np.random.default_rng(0).uniform(0.2, 5, 100)
        W, H = kl_ref.start(X, 3)
        one, two = (nmf(3, init="custom", max_iter=5, tol=0) for _ in range(2))
        one.fit_transform(X, W=W, H=H)
        two.fit_transform(X, W=W / s[:, None], H=H, size_factors=s)
        np.testing.assert_allclose(two.result_.loss, one.result_.loss, rtol=1e-9)

    @pytest.mark.parametrize(
        ("given", "match"),
        [
            (np.zeros(20), "that of row 0 is 0 .20 such rows.*leave empty rows out"),
            (np.r_[np.ones(19), -1], "that of row 19 is -1"),
            (np.r_[np.nan, np.ones(19)], "that of row 0 is nan"),
            (np.r_[np.ones(3), np.inf, np.ones(16)], "that of row 3 is inf"),
            (np.ones(19), "one number for each of the 20 rows"),
            (np.ones((20, 1)), "one number for each of the 20 rows"),
            (2.0, "one number for each of the 20 rows"),
            (["a"] * 20, "must be numbers"),
        ],
    )
    def test_refused(self, given, match):
        X = kl_ref.counts(20, 9, 2)
        with pytest.raises(UsageError, match=match):
            nmf(2).fit(X, size_factors=given)
        model = nmf(2).fit(X)
        for method in (model.transform, model.score):
            with pytest.raises(UsageError, match=match):
                method(X, size_factors=given)

    def test_not_under_the_frobenius_loss(self):
        X = kl_ref.counts(20, 9, 2)
        model = NMF(2, random_state=0)
        for method in (model.fit, model.fit_transform):
            with pytest.raises(UsageError, match="go with loss='kullback-leibler'"):
                method(X, size_factors=np.ones(20))
        model.fit(X)
        for method in (model.transform, model.score):
            with pytest.raises(UsageError, match="go with loss='kullback-leibler'"):
                method(X, size_factors=np.ones(20))


class TestOptions:
    def test_starts(self):
        X = kl_ref.counts(80, 40, 4, dtype=np.float64)
        best = min(nmf(init=i).fit(X).reconstruction_err_ for i in ("nndsvda", "random"))
        for init in ("random", "nndsvd", "nndsvda"):
            model = nmf(init=init).fit(X)
            assert model.reconstruction_err_ <= 1.05 * best
            same(everything(nmf(init=init), X), everything(nmf(init=init), X))

    def test_given_programs_alone(self):
        X = kl_ref.counts(80, 40, 4, dtype=np.float64)
        W, H = kl_ref.start(X, 4)
        one, two = (nmf(init="custom", max_iter=200) for _ in range(2))
        one.fit_transform(X, H=H)
        two.fit_transform(X, W=W, H=H)
        assert one.reconstruction_err_ == pytest.approx(two.reconstruction_err_, rel=0.05)
        kept = H.copy(), W.copy()
        nmf(init="custom").fit_transform(X, W=W, H=H)
        np.testing.assert_array_equal(H, kept[0])
        np.testing.assert_array_equal(W, kept[1])

    def test_zeros_of_a_start_may_be_left(self):
        X = kl_ref.counts(80, 40, 4, dtype=np.float64)
        full = nmf().fit(X).reconstruction_err_
        for W, H in ((np.zeros((80, 4)), np.ones((4, 40))), (None, np.zeros((4, 40)))):
            model = nmf(init="custom")
            model.fit_transform(X, W=W, H=H + np.eye(4, 40))
            assert model.reconstruction_err_ <= 1.05 * full

    def test_several_starts(self):
        X = kl_ref.counts(80, 40, 6)
        one = nmf(6, init="random", n_init=1, max_iter=10, tol=0).fit(X)
        more = nmf(6, init="random", n_init=5, max_iter=10, tol=0).fit(X)
        assert more.result_.loss[-1] <= one.result_.loss[-1]
        assert more.n_iter_ == 10

    @pytest.mark.parametrize(
        ("parameters", "match"),
        [
            ({"solver": "hals"}, "solver must be one of .'auto', 'newton'.*kullback-leibler"),
            ({"solver": "bpp"}, "solver must be one of"),
            ({"loss": "frobenius", "solver": "newton"}, "solver must be one of.*frobenius"),
            ({"fixed_programs": np.ones((1, 9))}, "fixed_programs does not go with loss"),
            ({"signed": "usage"}, "signed does not go with loss"),
            ({"signed": "programs"}, "signed does not go with loss"),
            ({"orthogonality": 0.1}, "orthogonality does not go with loss"),
            ({"loss": "poisson"}, "loss must be one of"),
            ({"l1_usage": 1.0}, "only usage is penalised"),
        ],
    )
    def test_refused(self, parameters, match):
        X = kl_ref.counts(20, 9, 2)
        with pytest.raises(UsageError, match=match):
            NMF(2, **{"loss": KL, **parameters}).fit(X)

    def test_newton_is_the_solver_of_auto(self):
        X = kl_ref.counts(50, 20, 3)
        same(everything(nmf(3), X), everything(nmf(3, solver="newton"), X))

    def test_callback(self):
        for unit in (1.0, 2.0**50, 2.0**-50):
            X = kl_ref.counts(50, 20, 3, dtype=np.float64) * unit
            heard = []
            model = nmf(3).fit(X, callback=lambda *a, heard=heard: heard.append(a))
            assert heard == list(enumerate(model.result_.loss, 1))

    def test_a_callback_that_raises_ends_the_fit(self):
        def stop(i, loss):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            nmf(3).fit(kl_ref.counts(50, 20, 3), callback=stop)

    @pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
    def test_too_few_iterations(self):
        X = kl_ref.counts(80, 40, 4)
        for most in (1, 3):
            with pytest.warns(ConvergenceWarning):
                model = nmf(max_iter=most).fit(X)
            assert model.result_.status is Status.MAX_ITER
            assert model.n_iter_ == most
            assert np.isfinite(model.components_).all()


class TestValues:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("power", [-100, -30, 40, 90])
    def test_units(self, dtype, power):
        """A power of two changes no digit of a fit, from any start."""
        X = kl_ref.counts(60, 30, 3, dtype=dtype)
        W, H = (f.astype(dtype) for f in kl_ref.start(X, 3))
        unit = 2.0**power
        for start in ({}, {"H": H}, {"W": W, "H": H}):
            init = "custom" if start else "random"
            scaled = {"W": W.astype(float) * unit, "H": H} if "W" in start else start
            one, two = (nmf(3, init=init, max_iter=20, tol=0) for _ in range(2))
            usage = one.fit_transform(X, **start)
            far = two.fit_transform((X.astype(float) * unit).astype(dtype), **scaled)
            np.testing.assert_allclose(two.components_, one.components_, rtol=1e-2, atol=1e-4)
            np.testing.assert_allclose(far / dtype(unit), usage, rtol=1e-2, atol=1e-3 * usage.max())
            deviance = two.result_.details["deviance"] / unit
            assert deviance == pytest.approx(one.result_.details["deviance"], rel=1e-3)

    @BOTH
    def test_huge_counts(self, make):
        X = (kl_ref.counts(60, 30, 3) * 1e7).astype(np.int64) + 1  # above 2**24
        model = make(3)
        W = model.fit_transform(X)
        assert model.components_.dtype == np.float32
        deviance = kl_ref.deviance(X, W, model.components_)
        # the sums of so large numbers are known to seven digits or so
        reported = model.reconstruction_err_**2 / 2
        assert reported == pytest.approx(deviance, rel=1e-3, abs=1e-6 * X.sum())
        exact = nmf(3).fit(X.astype(np.float64)).reconstruction_err_
        assert model.reconstruction_err_ <= (1.01 if make is nmf else 1.2) * exact

    def test_one_huge_count(self):
        X = kl_ref.counts(60, 30, 3)
        X[4, 5] = 1e7
        model = nmf(3)
        W = model.fit_transform(X)
        assert (W @ model.components_)[4, 5] == pytest.approx(1e7, rel=0.01)

    @BOTH
    @WRAP
    def test_zero_rows_and_columns(self, make, wrap):
        X = kl_ref.counts(100, 30, 3)
        X[[0, 40, 99]] = 0
        X[:, [0, 17]] = 0
        model = make(3)
        W = model.fit_transform(wrap(X))
        assert not W[[0, 40, 99]].any()
        assert W.any(axis=1).sum() == 97
        assert not model.components_[:, [0, 17]].any()
        small = nmf(3, init="custom")
        keep = np.setdiff1d(np.arange(30), [0, 17])
        _, H = kl_ref.start(X, 3)
        small.fit_transform(np.delete(X, [0, 40, 99], axis=0)[:, keep], H=H[:, keep])
        big = nmf(3, init="custom")
        big.fit_transform(wrap(X), H=H)
        assert big.reconstruction_err_ == pytest.approx(small.reconstruction_err_, rel=1e-3)

    def test_new_rows_with_counts_where_no_program_is(self):
        X = kl_ref.counts(100, 30, 3)
        X[:, [0, 17]] = 0
        model = nmf(3).fit(X)
        Y = np.zeros((3, 30), np.float32)
        Y[0, 0] = 5  # only there
        Y[1, [0, 3]] = 5
        W = model.transform(Y)
        assert not W[0].any()
        assert W[1].sum() == pytest.approx(5, rel=1e-2)
        assert not W[2].any()
        assert np.isfinite(model.score(Y))
        assert model.score(Y) < 0

    @BOTH
    def test_more_programs_than_the_data_need(self, make):
        X = kl_ref.counts(60, 8, 2, mean=10)
        model = make(200, max_iter=30)
        with pytest.warns(PartwiseWarning, match="n_components=200 exceeds the 8 features"):
            W = model.fit_transform(X)
        assert W.shape == (60, 200)
        assert np.isfinite(W).all()
        assert model.result_.relative_error < (0.02 if make is nmf else 0.7)

    def test_two_hundred_programs(self):
        X = kl_ref.counts(300, 250, 20, mean=2)
        model = nmf(200, max_iter=5, init="random")
        W = model.fit_transform(X)
        deviance = kl_ref.deviance(X, W, model.components_)
        assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * deviance), rel=1e-4)
        np.testing.assert_array_equal(model.transform(X), W)

    @BOTH
    def test_one_feature(self, make):
        X = kl_ref.counts(50, 1, 1)
        model = make(1)
        W = model.fit_transform(X)
        np.testing.assert_allclose(W[:, 0], X[:, 0], rtol=1e-3)
        np.testing.assert_allclose(model.components_, 1, rtol=1e-6)

    @BOTH
    def test_all_zero(self, make):
        with pytest.raises(DataError, match="all 9 x 5 counts are zero or hidden"):
            make(2).fit(np.zeros((9, 5)))
        model = make(2).fit(kl_ref.counts(60, 5, 2))
        assert not model.transform(np.zeros((3, 5), np.float32)).any()

    @BOTH
    def test_fractions_are_allowed_and_negative_numbers_refused(self, make):
        X = kl_ref.counts(60, 20, 3) * np.float32(0.37)
        assert np.isfinite(make(3).fit(X).reconstruction_err_)
        X[5, 5] = -1
        with pytest.raises(DataError, match=r"Negative values.*row 5, column 5"):
            make(3).fit(X)


class TestBatches:
    def test_near_the_full_fit(self):
        X = kl_ref.counts(600, 60, 4)
        full = nmf().fit(X)
        model = batches(batch_size=100, max_iter=50)
        W = model.fit_transform(X)
        assert model.reconstruction_err_ <= 1.02 * full.reconstruction_err_
        deviance = kl_ref.deviance(X, W, model.components_)
        assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * deviance), rel=1e-4)
        np.testing.assert_array_equal(model.transform(X), W)
        assert model.result_.explained.sum() == pytest.approx(1)
        assert model.result_.solver == "minibatch"
        assert model.result_.status is Status.EARLY_STOP

    def test_rare_features(self):
        """Features that are not in each batch are not forgotten for good."""
        X = kl_ref.counts(600, 60, 4)
        X[:, 40:] = 0
        rng = np.random.default_rng(0)
        for j in range(40, 60):
            X[rng.choice(600, 3), j] = 2
        full = nmf().fit(X)
        model = batches(max_iter=30).fit(X)
        assert model.components_.any(axis=0).all()
        assert model.reconstruction_err_ <= 1.05 * full.reconstruction_err_

    def test_gap(self):
        X = kl_ref.counts(600, 60, 4)
        short = batches(max_iter=1, init="random").fit(X)
        long = batches(max_iter=40, init="random", max_no_improvement=None, tol=0).fit(X)
        gap = short.result_.details["relative_gap"]
        assert gap > long.result_.details["relative_gap"] >= 0
        best = nmf(init="random").fit(X)
        possible = 1 - (best.reconstruction_err_ / short.reconstruction_err_) ** 2
        assert 0.2 * possible < gap <= 1.1 * possible

    @pytest.mark.parametrize("init", ["nndsvda", "random", "custom"])
    def test_partial_fit(self, init):
        X = kl_ref.counts(600, 60, 4)
        model = batches(init=init)
        H = {"H": kl_ref.start(X, 4)[1]} if init == "custom" else {}
        for epoch in range(15):
            for start in range(0, 600, 100):
                model.partial_fit(X[start : start + 100], **({} if epoch or start else H))
        assert model.n_steps_ == 90
        W = model.transform(X)
        full = nmf().fit(X).reconstruction_err_ ** 2 / 2
        assert kl_ref.deviance(X, W, model.components_) <= 1.08 * full

    def test_parts_of_a_batch_in_any_storage(self):
        X = kl_ref.counts(300, 60, 4)
        models = [batches() for _ in range(3)]
        for start in range(0, 300, 100):
            rows = X[start : start + 100]
            models[0].partial_fit(rows)
            models[1].partial_fit(sp.csr_matrix(rows))
            models[2].partial_fit(reference.Chunks(rows, 17))
        for other in models[1:]:
            np.testing.assert_allclose(
                other.components_, models[0].components_, rtol=1e-3, atol=1e-5
            )

    def test_empty_batches(self):
        X = kl_ref.counts(200, 30, 3)
        one, two = batches(3), batches(3)
        for part in (X[:100], X[100:]):
            one.partial_fit(part)
            two.partial_fit(part)
            two.partial_fit(np.zeros((40, 30), np.float32))
            two.partial_fit(np.full((40, 30), np.nan, np.float32))
        np.testing.assert_array_equal(one.components_, two.components_)

    def test_the_first_batch_is_empty(self):
        X = kl_ref.counts(200, 30, 3, mean=3)
        for init in ("nndsvda", "nndsvd", "random"):
            model = batches(3, init=init)
            model.partial_fit(np.zeros((40, 30), np.float32))
            for _ in range(40):
                model.partial_fit(X)
            W = model.transform(X)
            full = nmf(3).fit(X).reconstruction_err_ ** 2 / 2
            assert kl_ref.deviance(X, W, model.components_) <= 1.2 * full

    @pytest.mark.parametrize("after_fit", [False, True])
    def test_a_saved_model_goes_on_with_the_same_bits(self, after_fit, tmp_path):
        X = kl_ref.counts(300, 40, 4)
        model = batches()
        if after_fit:
            model.fit(X)
        else:
            model.partial_fit(X[:100])
        partwise.save(model, tmp_path / "model.npz")
        other = partwise.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(other.transform(X), model.transform(X))
        for start in (100, 200):
            model.partial_fit(X[start : start + 100])
            other.partial_fit(X[start : start + 100])
        np.testing.assert_array_equal(other.components_, model.components_)
        assert other.n_steps_ == model.n_steps_
        assert other.loss == KL

    def test_partial_fit_goes_on_where_fit_ended(self):
        X = kl_ref.counts(300, 40, 4, mean=3)
        model = batches(forget_factor=0.9, max_iter=60, tol=0, max_no_improvement=None).fit(X)
        before = model.components_.copy()
        deviance = kl_ref.deviance(X, model.transform(X), before)
        model.partial_fit(X)
        assert kl_ref.deviance(X, model.transform(X), model.components_) <= 1.02 * deviance
        shape = model.components_ / model.components_.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shape, before, atol=0.02)

    @pytest.mark.parametrize("power", [-60, 60])
    def test_batches_far_from_one(self, power):
        X = kl_ref.counts(200, 30, 3, dtype=np.float64)
        one, two = (batches(3, init="random") for _ in range(2))
        for part in (X[:100], X[100:]):
            one.partial_fit(part)
            two.partial_fit(part * 2.0**power)
        shapes = [m.components_ / m.components_.sum(axis=1, keepdims=True) for m in (one, two)]
        np.testing.assert_allclose(shapes[0], shapes[1], rtol=1e-2, atol=1e-4)

    def test_callback(self):
        for unit in (1.0, 2.0**50):
            X = kl_ref.counts(200, 30, 3, dtype=np.float64) * unit
            heard = []
            model = batches(3, max_iter=4, tol=0, max_no_improvement=None)
            model.fit(X, callback=lambda *a, heard=heard: heard.append(a))
            assert [e for e, _ in heard] == [1, 2, 3, 4]
            np.testing.assert_allclose([loss for _, loss in heard], model.result_.loss)

    def test_the_loss_cannot_change_between_batches(self):
        X = kl_ref.counts(100, 30, 3)
        for first, then in ((KL, "frobenius"), ("frobenius", KL)):
            model = MiniBatchNMF(3, loss=first, random_state=0).partial_fit(X)
            with pytest.raises(UsageError, match=r"loss was changed to .* between batches"):
                model.set_params(loss=then).partial_fit(X)


def test_a_saved_fit(tmp_path):
    X = kl_ref.counts(100, 40, 4)
    model = nmf().fit(X, size_factors=np.linspace(1, 2, 100))
    partwise.save(model, tmp_path / "model.npz")
    other = partwise.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(other.transform(X), model.transform(X))
    assert other.score(X) == model.score(X)
    assert other.result_.details == model.result_.details


@pytest.mark.parametrize(
    "estimator",
    [
        NMF(loss=KL),
        MiniBatchNMF(loss=KL),
        NMF(2, loss=KL, l1_usage=0.1, l2_programs=0.1, init="random"),
    ],
    ids=["NMF", "MiniBatchNMF", "elastic net"],
)
@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_pass(estimator):
    results = check_estimator(estimator, on_fail=None)
    assert len(results) > 40
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    # it needs an environment variable that is read when SciPy is imported
    failed.pop("check_array_api_input", None)
    assert failed == {}


@pytest.fixture(scope="module")
def cells(data_dir):
    with np.load(data_dir / "pbmc3k.npz", allow_pickle=False) as file:
        parts = (file["data"].astype(np.float32), file["indices"], file["indptr"])
        return sp.csr_matrix(parts, file["shape"])


class TestCells:
    """2638 blood cells; the least deviance known for 20 programs is 4,756,300."""

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [0, 1])
    def test_least_deviance(self, cells, seed):
        model = nmf(20, init="random", random_state=seed, max_iter=1500, tol=1e-6).fit(cells)
        assert model.result_.converged
        assert model.result_.details["deviance"] <= 1.002 * 4_756_300

    def test_reported_deviance(self, cells):
        model = nmf(20, init="random", max_iter=3, tol=0)
        W, H = model.fit_transform(cells).astype(float), model.components_.astype(float)
        rows = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
        means = self.at(cells, W, H, rows)
        x = cells.data.astype(float)
        deviance = np.sum(x * np.log(x / means) - x) + W.sum(axis=0) @ H.sum(axis=1)
        assert model.result_.details["deviance"] == pytest.approx(deviance, rel=1e-5)

    def at(self, cells, W, H, rows):
        parts = np.array_split(np.arange(len(rows)), 40)
        return np.concatenate(
            [np.einsum("ek,ke->e", W[rows[e]], H[:, cells.indices[e]]) for e in parts]
        )

    def test_threads_change_no_bit(self, cells):
        runs = [
            everything(nmf(20, init="random", max_iter=2, tol=0, n_threads=n), cells)
            for n in (1, 2)
        ]
        same(*runs)
