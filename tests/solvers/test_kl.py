"""Fits of counts: the loss is the truth, falls, and ends where other solvers end or below."""

import numpy as np
import pytest
import scipy.sparse as sp

import kl_reference as kl_ref
import reference
from partwise.matrix import counts as counts_module
from partwise.matrix.counts import CountMatrix, CountStream, stride_of
from partwise.matrix.masks import Hidden, Speckle
from partwise.matrix.thin import thin_rows
from partwise.objectives import ElasticNet, Penalties
from partwise.results import Status
from partwise.solvers import kl_stream
from partwise.solvers.kl import CountSettings, ahead, fit_counts, lifted, project, reseed
from partwise.solvers.kl_stream import fit_stream

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def settings_of(k, n, *, tol=1e-6, max_iter=300, l1=0.0, l2=0.0, sizes=None):
    net = ElasticNet(np.full(k, l1), np.full(k, l2))
    return CountSettings(tol, max_iter, Penalties(net, net), np.ones(n) if sizes is None else sizes)


def flat(matrix, W, H):
    n, p = matrix.shape
    k = W.shape[1]
    return matrix.thin(n, k, W), matrix.thin(p, k, H.T)


def unpacked(matrix, outcome, k):
    stride = stride_of(k)
    W, H = thin_rows(outcome.usage, stride, k), thin_rows(outcome.programs, stride, k).T
    return W.astype(float), H.astype(float)


def fit(X, k, *, dtype=np.float64, hidden=None, seed=0, stream=None, callback=None, **given):
    W, H = kl_ref.start(X, k, seed)
    options = {"dtype": dtype, "n_threads": 1, "hidden": hidden}
    if stream is None:
        matrix, solve = CountMatrix(X, **options), fit_counts
    else:
        matrix, solve = CountStream(reference.Chunks(X, stream), **options), fit_stream
    settings = settings_of(k, X.shape[0], **given)
    rng = np.random.default_rng(0)
    outcome = solve(matrix, *flat(matrix, W, H), settings, rng, callback)
    return outcome, *unpacked(matrix, outcome, k)


@DTYPES
@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("mean", [0.1, 1.0, 30.0])
class TestFit:
    def test_at_least_as_good_as_multiplicative_updates(self, mean, k, dtype):
        X = kl_ref.counts(80, 50, 4, mean=mean, dtype=dtype)
        _, W, H = fit(X, k, dtype=dtype, tol=1e-7, max_iter=1000)
        U, V = kl_ref.multiply(X, *kl_ref.start(X, k), 1500)
        assert kl_ref.deviance(X, W, H) <= kl_ref.deviance(X, U, V) * (1 + 0.01 * (k > 1) + 1e-4)

    def test_what_it_says_is_true(self, mean, k, dtype):
        X = kl_ref.counts(80, 50, 4, mean=mean, dtype=dtype)
        heard = []
        outcome, W, H = fit(X, k, dtype=dtype, callback=lambda *a: heard.append(a))
        assert (np.diff(outcome.loss) <= 0).all()
        assert heard == list(enumerate(outcome.loss, 1))
        assert outcome.status is Status.CONVERGED
        assert outcome.n_iter == len(outcome.loss)
        expected = kl_ref.deviance(X, W, H)
        assert outcome.deviance == pytest.approx(expected, rel=1e-5)
        assert outcome.deviance <= outcome.loss[-1] * (1 + 1e-5)
        assert outcome.deviance == pytest.approx(outcome.loss[-1], rel=1e-3)
        np.testing.assert_allclose(H.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(outcome.made, W.sum(axis=0), rtol=1e-4)
        # at the minimum over the usage, expected totals are the totals
        np.testing.assert_allclose(W.sum(axis=1), X.sum(axis=1), rtol=2e-3)
        slope = np.sum(np.abs(H.T * kl_ref.slopes(X.T, H.T, W.T))) / X.sum()
        assert outcome.details["projected_gradient"] == pytest.approx(slope, rel=0.1, abs=1e-4)
        assert slope <= np.sqrt(1e-6)


class TestEnds:
    def test_max_iter(self):
        X = kl_ref.counts(60, 40, 4)
        for most in (1, 2, 7):
            outcome, W, H = fit(X, 4, max_iter=most, tol=0)
            assert outcome.status is Status.MAX_ITER
            assert len(outcome.loss) == most
            assert kl_ref.deviance(X, W, H) == pytest.approx(outcome.deviance, rel=1e-9)

    def test_exact(self):
        rng = np.random.default_rng(0)
        X = np.outer(rng.exponential(size=30), rng.exponential(size=20))
        outcome, _, _ = fit(X, 2)
        assert outcome.status is Status.EXACT
        assert outcome.deviance <= 1e-9 * X.sum()

    @DTYPES
    def test_without_a_tolerance_it_ends_where_only_rounding_is_left(self, dtype):
        X = kl_ref.counts(40, 30, 3, dtype=dtype)
        outcome, _, _ = fit(X, 2, dtype=dtype, tol=0, max_iter=5000)
        long, _, _ = fit(X, 2, dtype=np.float64, tol=0, max_iter=3000)
        assert outcome.deviance <= long.deviance * (1 + 1e-4)
        assert (np.diff(outcome.loss) <= 0).all()

    def test_a_tighter_tolerance_goes_farther(self):
        X = kl_ref.counts(150, 80, 6)
        runs = [fit(X, 6, tol=tol, max_iter=3000)[0] for tol in (1e-3, 1e-5, 1e-7)]
        assert [len(r.loss) for r in runs] == sorted(len(r.loss) for r in runs)
        assert runs[2].deviance <= runs[1].deviance <= runs[0].deviance
        for run, tol in zip(runs, (1e-3, 1e-5, 1e-7), strict=True):
            assert run.status is Status.CONVERGED
            assert run.details["projected_gradient"] <= np.sqrt(tol)


@DTYPES
class TestPenalties:
    @pytest.mark.parametrize(("l1", "l2"), [(0.2, 0), (0, 0.5), (1, 3), (0, 500.0), (40.0, 0)])
    def test_loss_is_the_objective_and_falls(self, l1, l2, dtype):
        X = kl_ref.counts(80, 50, 4, dtype=dtype)
        sizes = np.random.default_rng(1).uniform(0.5, 2, 80)
        outcome, W, H = fit(X, 5, dtype=dtype, l1=l1, l2=l2, sizes=sizes)
        assert (np.diff(outcome.loss) <= 0).all()
        assert outcome.status is Status.CONVERGED
        usage = W / sizes[:, None]
        expected = kl_ref.objective(X, usage, H, l1=l1, l2=l2, sizes=sizes)
        assert expected == pytest.approx(outcome.loss[-1], rel=2e-3)
        assert expected <= outcome.loss[-1] * (1 + 1e-5)
        assert outcome.deviance == pytest.approx(kl_ref.deviance(X, W, H), rel=1e-4)
        self.stationary(X, W, H, l1, l2, sizes)

    def stationary(self, X, W, H, l1, l2, sizes):
        size = X.sum() + l1 * H.sum() + l2 * (H**2).sum()
        for at, slope in (
            (W, kl_ref.slopes(X, W, H, l1=l1, l2=l2, sizes=sizes)),
            (H.T, kl_ref.slopes(X.T, H.T, W.T, l1=l1, l2=l2)),
        ):
            assert np.sum(np.abs(at * slope)) <= 1e-2 * size

    def test_strong_penalties_leave_programs_at_zero(self, dtype):
        X = kl_ref.counts(80, 50, 4, dtype=dtype)
        _, W, H = fit(X, 6, dtype=dtype, l1=40.0)
        dead = ~H.any(axis=1)
        assert dead.any()
        assert not dead.all()
        assert not W[:, dead].any()

    def test_overwhelming_penalties(self, dtype):
        X = kl_ref.counts(30, 20, 3, dtype=dtype)
        outcome, W, H = fit(X, 3, dtype=dtype, l1=1e8)
        assert np.isfinite(outcome.loss).all()
        assert (np.diff(outcome.loss) <= 0).all()
        assert (W @ H).sum() < X.sum()


class TestParts:
    def test_ahead(self):
        new, old = np.array([1.0, 2.0, 0.1]), np.array([0.5, 2.5, 1.0])
        np.testing.assert_allclose(ahead(new, old, 0.5), [1.25, 1.75, 0])
        np.testing.assert_array_equal(new, [1.0, 2.0, 0.1])

    def test_lifted(self):
        H = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 4.0]], np.float32)
        found = lifted(H, np.array([30.0, 70.0, 0.0]))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [[1, 0.0012], [0.0014, 0.0028], [1, 4]])
        np.testing.assert_array_equal(lifted(H, np.zeros(3)), H)

    def test_reseed_gives_dead_programs_a_new_start_and_no_use(self):
        X = kl_ref.counts(20, 10, 2)
        matrix = CountMatrix(X, dtype=np.float64, n_threads=1)
        W, H = kl_ref.start(X, 3)
        H[1] = 0
        w, h = flat(matrix, W, H)
        reseed(matrix, (w,), (h,), np.random.default_rng(0), 3)
        W2, H2 = thin_rows(w, 16, 3), thin_rows(h, 16, 3).T
        assert not W2[:, 1].any()
        assert (H2[1] > 0).all()
        np.testing.assert_array_equal(W2[:, [0, 2]], W[:, [0, 2]])
        np.testing.assert_array_equal(H2[[0, 2]], H[[0, 2]])

    @pytest.mark.parametrize("dead", [[1], [0, 1, 2], [0, 1, 2, 3]])
    def test_a_start_with_dead_programs_uses_them_all(self, dead):
        X = kl_ref.counts(80, 50, 4, mean=5)
        W, H = kl_ref.start(X, 4)
        H[dead] = 0
        matrix = CountMatrix(X, dtype=np.float64, n_threads=1)
        outcome = fit_counts(
            matrix, *flat(matrix, W, H), settings_of(4, 80), np.random.default_rng(0)
        )
        full, _, _ = fit(X, 4)
        assert (outcome.made > 0).all()
        assert outcome.deviance <= 1.1 * full.deviance

    def test_project_is_the_usage_of_the_fit(self):
        X = kl_ref.counts(60, 40, 4)
        outcome, _, _ = fit(X, 4)
        matrix = CountMatrix(X, dtype=np.float64, n_threads=1)
        usage, deviance = project(matrix, outcome.programs, settings_of(4, 60), 4)
        np.testing.assert_array_equal(usage, outcome.usage)
        assert deviance == outcome.deviance


class TestHidden:
    @DTYPES
    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
    def test_fit_of_what_is_seen(self, fraction, dtype):
        X = kl_ref.counts(100, 60, 3, mean=4, dtype=dtype)
        mask = np.random.default_rng(0).random(X.shape) < fraction
        outcome, W, H = fit(X, 3, dtype=dtype, hidden=Hidden([mask]))
        assert (np.diff(outcome.loss) <= 0).all()
        expected = kl_ref.deviance(X, W, H, ~mask)
        assert outcome.deviance == pytest.approx(expected, rel=1e-4)
        U, V = kl_ref.multiply(X, *kl_ref.start(X, 3), 1000, ~mask)
        assert expected <= 1.02 * kl_ref.deviance(X, U, V, ~mask)
        slope = kl_ref.slopes(X.T, H.T, W.T, ~mask.T)
        assert outcome.details["projected_gradient"] == pytest.approx(
            np.sum(np.abs(slope * H.T)) / X[~mask].sum(), rel=0.1, abs=1e-4
        )


class TestStream:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(counts_module, "_PANEL_ROWS", 256)

    @DTYPES
    @pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
    def test_near_the_fit_in_memory(self, wrap, dtype):
        X = wrap(kl_ref.counts(700, 40, 4, mean=2, dtype=dtype))
        one, _, _ = fit(X, 4, dtype=dtype, tol=1e-6)
        two, W, H = fit(X, 4, dtype=dtype, tol=1e-6, stream=100)
        assert two.deviance <= 1.005 * one.deviance
        assert two.deviance == pytest.approx(kl_ref.deviance(X, W, H), rel=1e-5)
        assert (np.diff(two.loss) <= 0).all()
        assert two.status is Status.CONVERGED

    @pytest.mark.parametrize("penalised", [False, True])
    def test_chunks_change_no_bit(self, penalised):
        X = kl_ref.counts(700, 40, 4)
        given = {"l1": 0.1, "l2": 0.1} if penalised else {}
        runs = [
            fit(X, 4, dtype=np.float32, stream=s, max_iter=5, tol=0, **given)[0]
            for s in (50, 256, 1000)
        ]
        for run in runs[1:]:
            np.testing.assert_array_equal(run.usage, runs[0].usage)
            np.testing.assert_array_equal(run.programs, runs[0].programs)
            assert run.loss == runs[0].loss

    @pytest.mark.parametrize("penalty", [{"l1": 0.3}, {"l2": 1.0}])
    def test_penalties(self, penalty):
        X = kl_ref.counts(600, 40, 4, mean=2)
        one, _, _ = fit(X, 4, **penalty)
        two, W, H = fit(X, 4, stream=100, **penalty)
        assert two.loss[-1] <= 1.005 * one.loss[-1]
        assert kl_ref.objective(X, W, H, **penalty) == pytest.approx(two.loss[-1], rel=2e-3)

    def test_hidden_entries(self):
        X = kl_ref.counts(600, 40, 4, mean=2)
        hidden = Hidden([Speckle(0.2)])
        indptr, columns = Speckle(0.2).rows(0, 600, 40)
        omega = np.ones(X.shape)
        omega[np.repeat(np.arange(600), np.diff(indptr)), columns] = 0
        one, _, _ = fit(X, 4, hidden=hidden)
        two, W, H = fit(X, 4, hidden=hidden, stream=100)
        assert two.deviance <= 1.005 * one.deviance
        assert two.deviance == pytest.approx(kl_ref.deviance(X, W, H, omega), rel=1e-6)

    def test_features_that_the_sample_does_not_have(self, monkeypatch):
        """Multiplicative steps never leave zero; a rare feature must not stay there."""
        monkeypatch.setattr(kl_stream, "_SAMPLE_FROM", 1000)
        X = kl_ref.counts(3000, 40, 4)
        X[:, 30:] = 0
        taken = np.linspace(0, 3000 - 256, 2).astype(int)
        free = np.setdiff1d(np.arange(3000), (taken[:, None] + np.arange(256)).ravel())
        rng = np.random.default_rng(0)
        for j in range(30, 40):
            X[rng.choice(free, 5), j] = 3
        one, _, _ = fit(X, 4, dtype=np.float32)
        two, _, H = fit(X, 4, dtype=np.float32, stream=500)
        assert H[:, 30:].any(axis=0).all()
        assert two.deviance <= 1.005 * one.deviance

    def test_a_sample_without_counts(self, monkeypatch):
        monkeypatch.setattr(kl_stream, "_SAMPLE_FROM", 1000)
        X = kl_ref.counts(2000, 30, 3)
        X[:256] = 0
        one, _, _ = fit(X, 3)
        two, _, _ = fit(X, 3, stream=300)
        assert two.deviance <= 1.005 * one.deviance

    def test_zeros_of_the_start_are_left(self):
        X = kl_ref.counts(600, 30, 3, mean=3)
        W, H = kl_ref.start(X, 3)
        H = H * (np.random.default_rng(2).random(H.shape) < 0.4)
        H[2] = 0
        matrix = CountStream(reference.Chunks(X, 100), dtype=np.float64, n_threads=1)
        found = fit_stream(
            matrix, *flat(matrix, W, H), settings_of(3, 600), np.random.default_rng(0)
        )
        one, _, _ = fit(X, 3)
        assert found.deviance <= 1.01 * one.deviance
