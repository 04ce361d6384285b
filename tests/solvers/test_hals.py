"""The iteration: the loss falls, says the truth, and stops where the criteria are met."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import reference
from partwise import NMF
from partwise.results import Status

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")
DTYPES = (np.float32, np.float64)


def data(kind, dtype=np.float64, n=400, k=5, noise=0.3, seed=0):
    p = 25 if kind == "narrow" else 110
    density = 0.5 if kind == "sparse" else 1.0
    X, _, _ = reference.planted(n, p, k, noise=noise, density=density, seed=seed, dtype=dtype)
    return sp.csr_matrix(X) if kind == "sparse" else X


def random_start(X, k, seed=0):
    rng = np.random.default_rng(seed)
    scale = np.sqrt(X.mean() / k)
    return scale * rng.random((X.shape[0], k)), scale * rng.random((k, X.shape[1]))


def fitted(X, k=5, **parameters):
    """Return the model and its usage."""
    parameters = {"random_state": 0, **parameters}
    start = {name: parameters.pop(name) for name in ("W", "H") if name in parameters}
    model = NMF(k, **parameters)
    usage = model.fit_transform(X, **start)
    return model, usage


@pytest.mark.parametrize("solver", ["hals", "bpp"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestTruth:
    """What a fit says of itself equals what NumPy finds from its factors."""

    def test_loss_never_rises_and_ends_at_the_objective(self, kind, dtype, solver):
        X = data(kind, dtype)
        model, W = fitted(X, solver=solver)
        loss = model.result_.loss
        assert loss.dtype == np.float64
        assert len(loss) == model.n_iter_ == model.result_.n_iter
        assert (np.diff(loss) <= 0).all()
        found = reference.objective(X, W, model.components_)
        rounding = {np.float32: 3e-6, np.float64: 1e-12}[dtype] * np.sum(reference.dense(X) ** 2)
        # the usage is solved exactly after the last pass, which can only lower the loss
        assert found - rounding <= loss[-1] <= found * (1 + 1e-4) + rounding

    def test_errors(self, kind, dtype, solver):
        X = data(kind, dtype)
        model, W = fitted(X, solver=solver)
        expected = reference.relative_error(X, W, model.components_)
        rel = {np.float32: 1e-5, np.float64: 1e-9}[dtype]
        assert model.result_.relative_error == pytest.approx(expected, rel=rel)
        norm = np.linalg.norm(reference.dense(X))
        assert model.reconstruction_err_ == pytest.approx(expected * norm, rel=rel)
        assert model.score(X) == pytest.approx(1 - expected**2, rel=rel)
        assert model.result_.explained.sum() == pytest.approx(1 - expected**2, rel=1e-4)

    def test_factors_are_what_they_should_be(self, kind, dtype, solver):
        X = data(kind, dtype)
        model, W = fitted(X, solver=solver)
        H = model.components_
        assert W.shape == (X.shape[0], 5)
        assert H.shape == (5, X.shape[1])
        assert W.dtype == H.dtype == dtype
        assert np.isfinite(W).all()
        assert np.isfinite(H).all()
        assert (W >= 0).all()
        assert (H >= 0).all()
        np.testing.assert_allclose(H.sum(axis=1), 1, rtol=1e-5)
        assert (np.diff(model.result_.explained) <= 0).all()
        assert reference.kkt_violation(X, W, H) < {np.float32: 1e-5, np.float64: 1e-7}[dtype]

    @pytest.mark.parametrize("tol", [1e-3, 1e-5])
    def test_converged_means_both_criteria(self, kind, dtype, solver, tol):
        X = data(kind, dtype, n=200)
        model, W = fitted(X, solver=solver, tol=tol, max_iter=3000)
        assert model.result_.status is Status.CONVERGED
        assert model.result_.converged
        gradient = reference.relative_gradient(X, W, model.components_)
        reported = model.result_.details["projected_gradient"]
        assert gradient == pytest.approx(reported, rel=1e-2, abs=3e-5)
        assert gradient <= np.sqrt(tol) * 1.01 + 3e-5
        before, now = model.result_.loss[-4], model.result_.loss[-1]
        assert (before - now) / (3 * before) <= tol


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_relative_error_of_a_nearly_exact_fit(kind, dtype, noise):
    p = 25 if kind == "narrow" else 110
    X, W0, H0 = reference.planted(600, p, 4, noise=noise, seed=1, dtype=dtype)
    X = sp.csr_matrix(X) if kind == "sparse" else X
    model, W = fitted(X, 4, init="custom", tol=0, max_iter=10, W=W0, H=H0)
    expected = reference.relative_error(X, W, model.components_)
    assert expected < noise
    # the square is what is left of ||X||^2 after the fit is taken away: it has the rounding of both
    floor = 1e-7 if dtype == np.float64 else 6e-4 if kind == "sparse" else 2e-4
    assert model.result_.relative_error == pytest.approx(expected, rel=0.01, abs=floor)


class TestConvergence:
    @pytest.mark.parametrize("kind", KINDS)
    def test_reaches_what_many_plain_iterations_reach(self, kind):
        X = data(kind, n=150)
        W, H = random_start(X, 5)
        best = reference.objective(X, *reference.fit(X, W, H, iterations=1500))
        model, U = fitted(X, init="custom", W=W, H=H, tol=1e-8, max_iter=2000)
        assert reference.objective(X, U, model.components_) <= best * 1.002

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_plain_pass_is_that_of_the_reference(self, kind):
        """Without extrapolation, which the first pass cannot have, and at full convergence of W."""
        X = data(kind, n=150)
        W, H = random_start(X, 5)
        model, U = fitted(X, init="custom", W=W, H=H, solver="bpp", tol=0, max_iter=1)
        W1 = reference.nnls(X, H)
        H1 = reference.nnls(reference.dense(X).T, W1.T).T
        assert model.result_.loss[0] == pytest.approx(reference.objective(X, W1, H1), rel=1e-6)
        W2 = reference.nnls(X, H1)
        expected = reference.objective(X, W2, H1)
        assert reference.objective(X, U, model.components_) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_both_solvers_find_the_optimum_of_an_easy_problem(self, kind):
        X, _, _ = reference.planted(300, 25 if kind == "narrow" else 110, 3, noise=0.02)
        X = sp.csr_matrix(X) if kind == "sparse" else X
        values = [
            fitted(X, 3, solver=solver, tol=1e-9, max_iter=2000)[0].reconstruction_err_
            for solver in ("hals", "bpp")
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-5)

    def test_max_iter_is_kept_and_warned_about(self):
        X = data("narrow")
        model = NMF(5, max_iter=2, random_state=0)
        with pytest.warns(ConvergenceWarning, match="raise max_iter"):
            model.fit(X)
        assert model.n_iter_ == 2
        assert model.result_.status is Status.MAX_ITER
        assert not model.result_.converged

    def test_tol_0_does_all_passes_without_a_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = NMF(3, tol=0, max_iter=7, random_state=0).fit(data("narrow"))
        assert model.n_iter_ == 7

    def test_exact_data_end_as_exact_or_converged(self):
        for dtype in DTYPES:
            X, W, H = reference.planted(300, 30, 3, dtype=dtype)
            model, _ = fitted(X, 3, init="custom", W=W, H=H)
            assert model.result_.converged
            assert model.result_.relative_error < {np.float32: 2e-4, np.float64: 1e-7}[dtype]
            assert model.n_iter_ < 20

    def test_callback_hears_of_each_pass(self):
        heard = []
        model = NMF(3, random_state=0, max_iter=9, tol=0)
        model.fit(data("narrow"), callback=lambda i, loss: heard.append((i, loss)))
        assert [i for i, _ in heard] == list(range(1, 10))
        np.testing.assert_array_equal([loss for _, loss in heard], model.result_.loss)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestPenalties:
    penalties = {"l1_usage": 0.2, "l2_usage": 0.5, "l1_programs": 0.3, "l2_programs": 1.0}  # noqa: RUF012

    def test_objective_falls_and_is_true(self, kind, dtype):
        X = data(kind, dtype)
        model, W = fitted(X, **self.penalties, tol=1e-6)
        loss = model.result_.loss
        assert (np.diff(loss) <= 0).all()
        found = reference.objective(X, W, model.components_, **self.penalties)
        rounding = {np.float32: 3e-6, np.float64: 1e-12}[dtype] * np.sum(reference.dense(X) ** 2)
        assert found - rounding <= loss[-1] <= found * (1 + 1e-4) + rounding
        expected = reference.relative_error(X, W, model.components_)
        assert model.result_.relative_error == pytest.approx(expected, rel=1e-4)
        H = model.components_
        assert reference.kkt_violation(X, W, H, l1=0.2, l2=0.5) < 1e-5
        reported = model.result_.details["projected_gradient"]
        gradient = reference.relative_gradient(X, W, H, l1_programs=0.3, l2_programs=1.0)
        assert gradient == pytest.approx(reported, rel=1e-2, abs=3e-5)

    def test_as_good_as_plain_iterations(self, kind, dtype):
        X = data(kind, dtype, n=150)
        W, H = random_start(X, 5)
        best = reference.fit(X, W, H, iterations=1000, l1=0.3, l2=0.7)
        weights = dict.fromkeys(("l1_usage", "l1_programs"), 0.3)
        weights |= dict.fromkeys(("l2_usage", "l2_programs"), 0.7)
        for solver in ("hals", "bpp"):
            model, U = fitted(
                X, init="custom", W=W, H=H, solver=solver, tol=1e-8, max_iter=2000, **weights
            )
            found = reference.objective(X, U, model.components_, **weights)
            assert found <= reference.objective(X, *best, **weights) * 1.003

    def test_transform_applies_the_penalty_of_the_usage(self, kind, dtype):
        X = data(kind, dtype)
        model, W = fitted(X, **self.penalties)
        np.testing.assert_allclose(model.transform(X), W, rtol=1e-4, atol=1e-5 * W.max())

    def test_more_penalty_less_factor(self, kind, dtype):
        X = data(kind, dtype)
        one, W1 = fitted(X, **self.penalties)
        ten, W2 = fitted(X, **{name: 10 * value for name, value in self.penalties.items()})
        assert W2.sum() * ten.components_.sum() < W1.sum() * one.components_.sum()
        assert ten.result_.relative_error > one.result_.relative_error

    def test_overwhelming_penalty_gives_zeros_and_says_so(self, kind, dtype):
        X = data(kind, dtype)
        model, W = fitted(X, l1_usage=1e8, l1_programs=1e8)
        assert not W.any()
        assert model.result_.relative_error == pytest.approx(1, rel=1e-6)
        assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestDeadComponents:
    def test_revived(self, kind, dtype):
        X = data(kind, dtype, noise=0.05)
        W, H = random_start(X, 5)
        W[:, 1] = 0
        H[1] = 0
        H[3] = 0
        model, U = fitted(X, init="custom", W=W, H=H, max_iter=2000, tol=1e-7)
        assert (U.max(axis=0) > 0).all()
        assert (model.components_.max(axis=1) > 0).all()
        fewer, _ = fitted(X, 3, init="random", max_iter=2000, tol=1e-7, n_init=3)
        assert model.reconstruction_err_ < fewer.reconstruction_err_ * 0.98

    def test_all_dead_at_the_start_is_no_crash(self, kind, dtype):
        X = data(kind, dtype)
        model, U = fitted(X, init="custom", H=np.zeros((5, X.shape[1])))
        assert np.isfinite(U).all()
        assert np.isfinite(model.components_).all()


class TestDegenerateData:
    @pytest.mark.parametrize("solver", ["hals", "bpp"])
    @pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_all_zeros(self, kind, init, solver):
        X = np.zeros((30, 10 if kind == "narrow" else 70))
        X = sp.csr_matrix(X) if kind == "sparse" else X
        model, W = fitted(X, 3, init=init, solver=solver)
        assert not W.any()
        assert np.isfinite(model.components_).all()
        assert model.reconstruction_err_ == 0
        assert model.result_.relative_error == 0
        assert model.score(X) == 1

    @pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_zero_rows_and_columns(self, kind, init):
        X = reference.dense(data(kind))
        X[5:50] = 0
        X[:, 3:9] = 0
        X = sp.csr_matrix(X) if kind == "sparse" else X
        model, W = fitted(X, init=init, tol=1e-6)
        assert not W[5:50].any()
        assert model.components_[:, 3:9].max() <= 1e-12
        assert np.isfinite(W).all()

    @pytest.mark.parametrize("shape", [(2, 1), (2, 3), (3, 200), (300, 1), (65, 64), (64, 65)])
    @pytest.mark.parametrize("sparse", [False, True])
    def test_small_shapes(self, shape, sparse):
        X = np.random.default_rng(0).random(shape)
        model, W = fitted(sp.csr_matrix(X) if sparse else X, 1, tol=1e-10)
        rank_one = np.linalg.svd(X, compute_uv=False)
        best = np.sqrt(max(np.sum(rank_one**2) - rank_one[0] ** 2, 0))
        assert model.reconstruction_err_ == pytest.approx(best, rel=1e-3, abs=1e-5)
        assert W.shape == (shape[0], 1)

    def test_constant_data(self):
        for kind in KINDS:
            X = np.full((100, 20 if kind == "narrow" else 80), 3.0)
            model, _ = fitted(sp.csr_matrix(X) if kind == "sparse" else X, 3)
            assert model.result_.relative_error < 1e-3

    @pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e5, 1e12])
    @pytest.mark.parametrize("init", ["nndsvd", "random"])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_units_of_the_data(self, unit, init, dtype):
        X = data("narrow", dtype)
        one, W = fitted(X, init=init, tol=0, max_iter=10)
        other, U = fitted(X * dtype(unit), init=init, tol=0, max_iter=10)
        rel = {np.float32: 1e-2, np.float64: 1e-6}[dtype]
        assert other.result_.relative_error == pytest.approx(one.result_.relative_error, rel=rel)
        if dtype == np.float64:
            np.testing.assert_allclose(other.components_, one.components_, atol=1e-6)
            np.testing.assert_allclose(U / unit, W, atol=1e-5 * W.max())

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units_matter_little_to_the_default_start(self, unit):
        X = data("narrow")
        one, _ = fitted(X)
        other, _ = fitted(X * unit)
        assert other.result_.relative_error == pytest.approx(one.result_.relative_error, rel=0.02)
