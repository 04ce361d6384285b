"""Fits of data some of whose entries are hidden or count less: the loss falls and is the truth."""

import numpy as np
import pytest
import scipy.sparse as sp

import masked_reference as masked
import reference
from partwise import NMF
from partwise.matrix import levels
from partwise.results import Status
from partwise.solvers import hals

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")
DTYPES = (np.float32, np.float64)


def fitted(X, k=4, *, mask=None, weights=None, **parameters):
    """Return the model and its usage."""
    start = {name: parameters.pop(name) for name in ("W", "H") if name in parameters}
    model = NMF(k, **{"random_state": 0, **parameters})
    return model, model.fit_transform(X, mask=mask, weights=weights, **start)


@pytest.mark.parametrize("solver", ["hals", "bpp"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
class TestTruth:
    """What a fit says of itself equals what NumPy finds from its factors."""

    def fit(self, kind, dtype, weights, solver, *, hidden=0.15, **parameters):
        X, omega, mask = masked.example(kind, dtype=dtype, weights=weights, hidden=hidden)
        X = masked.with_values(X, mask, np.nan)
        model, W = fitted(
            X, mask=mask, weights=omega if weights else None, solver=solver, **parameters
        )
        return X, omega, model, W

    def test_loss_never_rises_and_bounds_the_objective(self, kind, dtype, weights, solver):
        X, omega, model, W = self.fit(kind, dtype, weights, solver)
        loss = model.result_.loss
        assert (np.diff(loss) <= 0).all()
        found = masked.objective(X, omega, W, model.components_)
        norm = np.sum(omega * np.where(omega > 0, masked.filled(X), 0) ** 2)
        rounding = {np.float32: 3e-6, np.float64: 1e-12}[dtype] * norm
        assert found - rounding <= loss[-1] <= found * (1 + 3e-4) + rounding

    def test_errors(self, kind, dtype, weights, solver):
        X, omega, model, W = self.fit(kind, dtype, weights, solver)
        H = model.components_
        expected = masked.relative_error(X, omega, W, H)
        rel = {np.float32: 2e-5, np.float64: 1e-9}[dtype]
        assert model.result_.relative_error == pytest.approx(expected, rel=rel)
        norm = np.sqrt(np.sum(omega * np.where(omega > 0, masked.filled(X), 0) ** 2))
        assert model.reconstruction_err_ == pytest.approx(expected * norm, rel=rel)
        assert model.result_.explained.sum() == pytest.approx(1 - expected**2, rel=1e-4)
        given = {"mask": omega == 0, "weights": omega if weights else None}
        assert model.score(X, **given) == pytest.approx(1 - expected**2, rel=rel)

    def test_usage_is_exact(self, kind, dtype, weights, solver):
        X, omega, model, W = self.fit(kind, dtype, weights, solver, max_iter=20)
        exact = masked.usage(X, omega, model.components_)
        tight = {np.float32: 2e-5, np.float64: 1e-6}[dtype]
        np.testing.assert_allclose(W, exact, rtol=0, atol=tight * exact.max())
        given = {"mask": omega == 0, "weights": omega if weights else None}
        again = model.transform(X, **given)
        np.testing.assert_allclose(again, W, rtol=0, atol=tight * exact.max())

    @pytest.mark.parametrize("hidden", [0.05, 0.5])
    def test_converged_means_both_criteria(self, kind, dtype, weights, solver, hidden):
        X, omega, model, W = self.fit(
            kind, dtype, weights, solver, hidden=hidden, tol=1e-4, max_iter=3000
        )
        assert model.result_.status is Status.CONVERGED
        gradient = masked.projected_gradient(X, omega, W, model.components_)
        assert gradient == pytest.approx(
            model.result_.details["projected_gradient"], rel=1e-2, abs=1e-4
        )
        assert gradient <= 1e-2


@pytest.mark.parametrize("hidden", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_without_extrapolation_never_raise_the_loss(kind, weights, hidden, monkeypatch):
    """The longer steps of masked fits go down by themselves, not by being withdrawn."""
    monkeypatch.setattr(hals, "_FIRST", 0.0)
    withdrawn = []
    advance = hals._advance

    def watched(matrix, state, *rest):
        before = state.weight
        advance(matrix, state, *rest)
        withdrawn.append(state.weight < before)
        state.weight = 1e-300

    monkeypatch.setattr(hals, "_advance", watched)
    X, omega, mask = masked.example(kind, hidden=hidden, weights=weights)
    fitted(X, mask=mask, weights=omega if weights else None, tol=0, max_iter=60)
    assert len(withdrawn) == 60
    assert not any(withdrawn[:40])  # later on the loss stands still to rounding
    assert levels.LEAST > 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_reaches_what_plain_steps_reach(kind, weights, penalty):
    X, omega, mask = masked.example(kind, weights=weights, n=120)
    rng = np.random.default_rng(3)
    W0, H0 = rng.random((120, 4)), rng.random((4, X.shape[1]))
    W, H = masked.hals(X, omega, W0, H0, l1=penalty, l2=penalty)
    expected = masked.objective(X, omega, W, H, l1=penalty, l2=penalty)
    elastic = dict.fromkeys(("l1_usage", "l2_usage", "l1_programs", "l2_programs"), penalty)
    model, W = fitted(
        X, mask=mask, weights=omega if weights else None, init="custom", W=W0, H=H0, tol=1e-9,
        max_iter=2000, **elastic,
    )  # fmt: skip
    found = masked.objective(X, omega, W, model.components_, l1=penalty, l2=penalty)
    assert found <= expected * 1.05  # from one start, perhaps to another optimum nearby
    assert model.result_.loss[-1] == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repeated_rows(kind):
    """A row of weight 2 beside rows of weight 1 is a row that occurs twice."""
    X, _, _ = masked.example(kind, n=150)
    times = np.random.default_rng(0).integers(1, 4, 150)
    repeated = np.repeat(np.arange(150), times)
    weights = np.broadcast_to(times[:, None] * 7.0, X.shape)
    rng = np.random.default_rng(1)
    W0, H0 = rng.random((150, 4)), rng.random((4, X.shape[1]))
    settings = {"init": "custom", "H": H0, "tol": 1e-10, "max_iter": 5000}
    one, W1 = fitted(X, weights=weights, W=W0, **settings)
    two, _ = fitted(X[repeated], W=W0[repeated], **settings)
    # the loss is divided by the largest weight
    assert 3 * one.result_.loss[-1] == pytest.approx(two.result_.loss[-1], rel=1e-6)
    assert one.result_.relative_error == pytest.approx(two.result_.relative_error, rel=1e-6)
    # where the one ended, the other cannot go on
    assert reference.kkt_violation(X[repeated], W1[repeated], one.components_) < 1e-6
    assert reference.relative_gradient(X[repeated], W1[repeated], one.components_) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_rows_cost_no_passes(kind):
    """Rows that count a hundredth make the fit no slower."""
    X, _, _ = masked.example(kind)
    weights = np.exp(np.random.default_rng(0).uniform(np.log(0.01), 0, (300, 1)))
    one, _ = fitted(X, weights=weights)
    plain, _ = fitted(X)
    assert one.result_.converged
    assert one.n_iter_ <= 2 * plain.n_iter_


@pytest.mark.parametrize("kind", ["narrow", "wide"])
@pytest.mark.parametrize("hidden", [0.05, 0.3])
def test_planted_programs_are_found_and_predict_what_is_hidden(kind, hidden):
    n, p, k, sigma = 800, 40 if kind == "narrow" else 200, 5, 0.1
    _, W, H = reference.planted(n, p, k, seed=2)
    rng = np.random.default_rng(5)
    X = np.maximum(W @ H + 1.0 + sigma * rng.standard_normal((n, p)), 0)
    mask = rng.random((n, p)) < hidden
    model, usage = fitted(np.where(mask, np.nan, X), k + 1, tol=1e-7, max_iter=3000)
    error = np.sqrt(np.mean((X - usage @ model.components_)[mask] ** 2))
    # k + 1 programs cost degrees of freedom: n k + p k numbers from n p observations
    free = (k + 1) * (n + p) / (n * p * (1 - hidden))
    assert error < sigma * (1.03 + free)


def test_a_sample_of_masked_rows_starts_the_fit():
    X, _, mask = masked.example("narrow", n=40_000, dtype=np.float32)
    X = masked.with_values(X, mask, np.nan)
    model, W = fitted(X)
    assert model.result_.details["steps_on_sample"] > 0
    _, full = fitted(X, init="custom", H=model.components_, W=W)
    assert model.result_.relative_error == pytest.approx(
        masked.relative_error(X, ~mask, W, model.components_), rel=1e-4
    )
    np.testing.assert_allclose(full, W, atol=0.1 * W.max())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_columns_without_entries_stay_zero(kind):
    X, _, mask = masked.example(kind)
    mask[[3, 100]] = True
    mask[:, [0, 8]] = True
    for init in ("nndsvda", "random"):
        with pytest.warns(match="are hidden or missing"):
            model, W = fitted(X, mask=mask, init=init)
        assert not W[[3, 100]].any()
        assert not model.components_[:, [0, 8]].any()
        kept = np.ix_(np.delete(np.arange(300), [3, 100]), np.delete(np.arange(X.shape[1]), [0, 8]))
        D = reference.dense(X)[kept]
        rest = sp.csr_matrix(D) if kind == "sparse" else D
        part, _ = fitted(rest, mask=mask[kept], init=init)
        assert model.result_.relative_error == pytest.approx(part.result_.relative_error, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_the_data_does_not_matter(kind):
    X, omega, mask = masked.example(kind)
    errors = []
    for unit in (1.0, 1e10, 1e-10, 1e40):
        model, W = fitted(X * unit, mask=mask, tol=1e-7, max_iter=1000)
        errors.append(model.result_.relative_error)
        expected = masked.relative_error(X, omega, W / unit, model.components_)
        assert errors[-1] == pytest.approx(expected, rel=1e-6)
    assert max(errors) <= 1.02 * min(errors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_with_fewer_entries_than_programs_predict_nothing_absurd(dtype):
    X, _, _ = reference.planted(300, 30, 4, noise=0.1, dtype=dtype)
    mask = np.zeros(X.shape, bool)
    mask[:100] = np.random.default_rng(0).random((100, 30)) < 0.95
    mask[:100, 0] = False
    model, W = fitted(X, 8, mask=mask)
    assert (W @ model.components_).max() < 20 * X.max()


@pytest.mark.parametrize("kind", KINDS)
def test_exact_data_are_completed(kind):
    X, _, mask = masked.example(kind, noise=0.0, n=200)
    if kind == "sparse":
        X = sp.csr_matrix(reference.planted(200, 90, 4)[0])
    model, W = fitted(masked.with_values(X, mask, 1e9), mask=mask, tol=1e-12, max_iter=5000)
    gap = (reference.dense(X) - W @ model.components_)[mask]
    assert np.sqrt(np.mean(gap**2)) < 2e-3 * reference.dense(X).mean()
