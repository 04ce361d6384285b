"""Mini-batches: the same grammar, data in parts, and an honest account of the rest."""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from partwise import NMF, MiniBatchNMF
from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.results import Status

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")


def data(kind, dtype=np.float64, n=1500, k=4, noise=0.1):
    p = 25 if kind == "narrow" else 90
    X, _, _ = reference.planted(n, p, k, noise=noise, dtype=dtype)
    return sp.csr_matrix(X) if kind == "sparse" else X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
class TestFit:
    def test_near_the_full_solver(self, kind, dtype):
        X = data(kind, dtype)
        model = MiniBatchNMF(4, batch_size=200, random_state=0, max_iter=50)
        usage = model.fit_transform(X)
        full = NMF(4, random_state=0, max_iter=2000).fit(X)
        assert usage.dtype == dtype
        assert (usage >= 0).all()
        assert (model.components_ >= 0).all()
        error = reference.relative_error(X, usage, model.components_)
        assert error <= 1.1 * full.result_.relative_error
        assert model.result_.relative_error == pytest.approx(error, rel=1e-3)
        np.testing.assert_allclose(model.components_.sum(axis=1), 1, rtol=1e-5)
        assert (np.diff(model.result_.explained) <= 0).all()

    def test_usage_is_exact_for_the_programs(self, kind, dtype):
        X = data(kind, dtype)
        model = MiniBatchNMF(4, batch_size=200, random_state=0, max_iter=10)
        usage = model.fit_transform(X)
        limit = {np.float32: 1e-5, np.float64: 1e-7}[dtype]
        assert reference.kkt_violation(X, usage, model.components_) < limit
        np.testing.assert_allclose(model.transform(X), usage, rtol=0, atol=1e-5 * usage.max())

    def test_says_how_far_from_converged_it_stopped(self, kind, dtype):
        X = data(kind, dtype, noise=0.5)
        short = MiniBatchNMF(4, batch_size=500, max_iter=1, init="random", random_state=0).fit(X)
        long = MiniBatchNMF(
            4, batch_size=500, max_iter=60, init="random", random_state=0, max_no_improvement=None,
            tol=0,
        ).fit(X)  # fmt: skip
        gap = short.result_.details["relative_gap"]
        assert gap > long.result_.details["relative_gap"] >= 0
        full = NMF(4, random_state=0, max_iter=2000).fit(X)
        possible = 1 - (full.reconstruction_err_ / short.reconstruction_err_) ** 2
        assert 0.2 * possible < gap <= possible * 1.05
        gradient = reference.relative_gradient(X, short.transform(X), short.components_)
        reported = short.result_.details["projected_gradient"]
        assert gradient == pytest.approx(reported, rel=1e-2, abs=3e-5)
        assert not short.result_.converged


def test_stops():
    X = data("narrow")
    endless = MiniBatchNMF(4, batch_size=100, tol=0, max_no_improvement=None, max_iter=7).fit(X)
    assert endless.n_iter_ == 7
    assert endless.n_steps_ == 7 * 15
    assert endless.result_.status is Status.MAX_ITER
    assert len(endless.result_.loss) == 7
    patient = MiniBatchNMF(4, batch_size=100, random_state=0).fit(X)
    assert patient.result_.status is Status.EARLY_STOP
    assert patient.n_iter_ < 200


def test_callback_hears_of_each_epoch():
    heard = []
    model = MiniBatchNMF(3, tol=0, max_no_improvement=None, max_iter=4, random_state=0)
    model.fit(data("narrow"), callback=lambda epoch, loss: heard.append((epoch, loss)))
    assert [epoch for epoch, _ in heard] == [1, 2, 3, 4]
    assert all(np.isfinite(loss) for _, loss in heard)


def test_batches_larger_than_the_data_are_the_data():
    X = data("narrow", n=300)
    one, two = (
        MiniBatchNMF(4, batch_size=size, random_state=0, max_iter=5, tol=0).fit(X)
        for size in (300, 10**6)
    )
    np.testing.assert_array_equal(one.components_, two.components_)


@pytest.mark.parametrize("kind", KINDS)
class TestPartialFit:
    def test_data_in_parts(self, kind):
        X = data(kind)
        model = MiniBatchNMF(4, random_state=0)
        for _ in range(5):
            for start in range(0, 1500, 250):
                model.partial_fit(X[start : start + 250])
        assert model.n_steps_ == 30
        error = reference.relative_error(X, model.transform(X), model.components_)
        full = NMF(4, random_state=0, max_iter=2000).fit(X)
        assert error <= 1.2 * full.result_.relative_error

    def test_first_batch_can_bring_the_start(self, kind):
        X = data(kind)
        H = np.random.default_rng(0).random((4, X.shape[1]))
        model = MiniBatchNMF(4, init="custom").partial_fit(X[:500], H=H)
        model.partial_fit(X[500:])
        again = MiniBatchNMF(4, init="custom").partial_fit(X[:500], H=H).partial_fit(X[500:])
        np.testing.assert_array_equal(model.components_, again.components_)

    def test_one_row_at_a_time(self, kind):
        X = data(kind, n=30)
        H = np.random.default_rng(0).random((2, X.shape[1]))
        model = MiniBatchNMF(2, init="custom", forget_factor=0.95)
        model.partial_fit(X[:2], H=H)
        for i in range(2, 30):
            model.partial_fit(X[i : i + 1])
        assert np.isfinite(model.components_).all()
        assert (model.components_ >= 0).all()

    def test_another_number_of_features_is_refused(self, kind):
        X = data(kind)
        model = MiniBatchNMF(4, random_state=0).partial_fit(X[:500])
        with pytest.raises((DataError, ValueError), match="features"):
            model.partial_fit(X[500:, :20])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_many_batches_of_zeros_do_no_harm(self, kind, dtype):
        X = data(kind, dtype)
        model = MiniBatchNMF(4, random_state=0, forget_factor=0.1)
        for _ in range(10):
            model.partial_fit(X)
        before = reference.relative_error(X, model.transform(X), model.components_)
        for _ in range(400):
            model.partial_fit(X[:2] * 0)
        assert np.isfinite(model.components_).all()
        after = reference.relative_error(X, model.transform(X), model.components_)
        assert after < 1.05 * before

    def test_fit_after_parts_starts_afresh(self, kind):
        X = data(kind)
        model = MiniBatchNMF(4, random_state=0, max_iter=3).partial_fit(X[:500])
        fresh = MiniBatchNMF(4, random_state=0, max_iter=3).fit(X)
        np.testing.assert_array_equal(model.fit(X).components_, fresh.components_)


def test_penalties_shrink_the_usage():
    X = data("narrow")
    free = MiniBatchNMF(4, random_state=0, max_iter=5).fit(X)
    held = MiniBatchNMF(4, random_state=0, max_iter=5, l1_usage=1.0, l2_programs=1.0).fit(X)
    usage = held.transform(X)
    assert reference.kkt_violation(X, usage, held.components_, l1=1.0) < 1e-6
    assert held.result_.relative_error > free.result_.relative_error


def test_more_components_than_features_warn():
    with pytest.warns(PartwiseWarning, match="n_components=9 exceeds the 6 features"):
        model = MiniBatchNMF(9, random_state=0, max_iter=20).fit(data("narrow")[:, :6])
    assert model.components_.shape == (9, 6)
    assert np.isfinite(model.components_).all()


class TestRefused:
    X = np.ones((20, 5))

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"batch_size": 0}, "^batch_size must be a whole number from 1 up, not 0$"),
            ({"batch_size": 1.5}, "^batch_size must be a whole number from 1 up, not 1.5$"),
            ({"forget_factor": 1.1}, "^forget_factor must be from 0 to 1, not 1.1$"),
            ({"forget_factor": -1}, "^forget_factor must be a finite number from 0 up, not -1$"),
            ({"max_no_improvement": 0}, "^max_no_improvement must be a whole number from 1 up"),
            ({"init": "nonsense"}, "^init must be one of .*'custom'.*, not 'nonsense'$"),
            ({"tol": -1}, "^tol must be a finite number from 0 up, not -1$"),
            ({"max_iter": 0}, "^max_iter must be a whole number from 1 up, not 0$"),
            ({"init": "custom"}, "^init='custom' goes with a start H, and H with init='custom'$"),
        ],
    )
    def test_parameters(self, parameters, message):
        with pytest.raises(UsageError, match=message):
            MiniBatchNMF(2, **parameters).fit(self.X)

    def test_starts(self):
        with pytest.raises(UsageError, match="takes a start H, not W: usage follows from the prog"):
            MiniBatchNMF(2).fit_transform(self.X, W=np.ones((20, 2)))
        with pytest.raises(UsageError, match="goes with a start H, and H with init='custom'"):
            MiniBatchNMF(2).fit_transform(self.X, H=np.ones((2, 5)))
        message = r"^the start H must have shape \(2, 5\), not \(5, 2\)$"
        with pytest.raises(UsageError, match=message):
            MiniBatchNMF(2, init="custom").fit_transform(self.X, H=np.ones((5, 2)))
        with pytest.raises(UsageError, match="goes with a start H"):
            MiniBatchNMF(2, init="custom").partial_fit(self.X)
