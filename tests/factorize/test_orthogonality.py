"""Programs kept apart, as a user meets them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

import reference
from partwise import NMF

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")
DTYPES = (np.float32, np.float64)


def data(kind, dtype=np.float64, n=400, k=5, noise=0.3, signed=False):
    """Return X as the kind has it, and the planted programs."""
    p = 25 if kind == "narrow" else 110
    density = 0.5 if kind == "sparse" else 1.0
    X, _, H = reference.planted(n, p, k, noise=noise, density=density, dtype=dtype)
    if signed:
        X *= np.where(np.random.default_rng(5).random(p) < 0.5, dtype(-1), dtype(1))
    return (sp.csr_matrix(X) if kind == "sparse" else X), H


def mean_cosine(H):
    """Return the mean cosine between two programs."""
    units = np.float64(H) / np.linalg.norm(H, axis=1, keepdims=True)
    return (np.sum(units @ units.T) - len(H)) / (len(H) * (len(H) - 1))


class TestOrthogonality:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    def test_truth(self, kind, dtype):
        X, _ = data(kind, dtype)
        model = NMF(5, orthogonality=0.05, random_state=0)
        W = model.fit_transform(X)
        loss = model.result_.loss
        assert model.result_.converged
        assert (np.diff(loss) <= 0).all()
        squares = np.sum(reference.dense(X) ** 2)
        overlap = 0.05 / 2 * squares * mean_cosine(model.components_)
        found = reference.objective(X, W, model.components_) + overlap
        rounding = {np.float32: 3e-6, np.float64: 1e-12}[dtype] * squares
        assert found - rounding <= loss[-1] <= found * (1 + 1e-4) + rounding
        assert reference.kkt_violation(X, W, model.components_) < 1e-5
        np.testing.assert_allclose(model.components_.sum(axis=1), 1, rtol=1e-5)
        tolerance = {np.float32: 1e-5, np.float64: 1e-10}[dtype] * W.max()
        np.testing.assert_allclose(model.transform(X), W, rtol=0, atol=tolerance)

    @pytest.mark.parametrize("kind", KINDS)
    def test_more_weight_less_overlap_more_error(self, kind):
        X, _ = data(kind)
        models = [
            NMF(5, orthogonality=weight, random_state=0, tol=1e-6, max_iter=2000).fit(X)
            for weight in (0, 0.01, 0.1, 1, 100)
        ]
        overlaps = [mean_cosine(model.components_) for model in models]
        errors = [model.result_.relative_error for model in models]
        assert (np.diff(overlaps) < 0).all()
        assert (np.diff(errors) > 0).all()
        assert overlaps[-1] < 1e-3
        assert all((model.components_.max(axis=1) > 0).all() for model in models)

    def test_the_gradient_is_that_of_the_whole_objective(self):
        """At convergence no feasible step in the programs lowers it; by finite differences."""
        X, _ = data("narrow", n=100)
        model = NMF(4, orthogonality=0.1, random_state=0, tol=1e-10, max_iter=5000)
        W = model.fit_transform(X)
        H = model.components_

        def value(P):
            return reference.objective(X, W, P) + 0.05 * np.sum(X**2) * mean_cosine(P)

        size = np.abs(W.T @ X).max()
        for s, j in np.ndindex(H.shape):
            step = np.zeros_like(H)
            step[s, j] = 1e-6
            slope = (value(H + step) - value(np.maximum(H - step, 0))) / (1e-6 + min(1e-6, H[s, j]))
            assert slope > -1e-3 * size
            if H[s, j] > 1e-5:
                assert abs(slope) < 1e-3 * size

    def test_no_weight_changes_no_bit(self):
        X, _ = data("wide")
        one = NMF(5, random_state=0, max_iter=9, tol=0).fit(X)
        two = NMF(5, random_state=0, max_iter=9, tol=0, orthogonality=0.0).fit(X)
        np.testing.assert_array_equal(one.components_, two.components_)

    @pytest.mark.parametrize("c", [1e-3, 1e4])
    def test_the_weight_has_no_unit(self, c):
        X, _ = data("wide")
        rng = np.random.default_rng(0)
        W, H = rng.random((400, 5)), rng.random((5, 110))
        model = NMF(5, orthogonality=0.1, init="custom", max_iter=20, tol=0)
        model.fit_transform(X, W=W, H=H)
        other = clone(model)
        other.fit_transform(X * c, W=W * c, H=H)
        np.testing.assert_allclose(other.components_, model.components_, atol=1e-9)
        np.testing.assert_allclose(other.result_.loss, model.result_.loss * c**2, rtol=1e-9)

    def test_with_an_elastic_net(self):
        X, _ = data("wide")
        penalties = {"l1_usage": 0.2, "l2_usage": 0.1, "l1_programs": 5.0, "l2_programs": 0.3}
        model = NMF(5, orthogonality=0.05, tol=1e-7, random_state=0, **penalties)
        W = model.fit_transform(X)
        assert (np.diff(model.result_.loss) <= 0).all()
        found = reference.objective(X, W, model.components_, **penalties)
        found += 0.025 * np.sum(X**2) * mean_cosine(model.components_)
        assert found == pytest.approx(model.result_.loss[-1], rel=1e-3)

    def test_known_programs_push_the_others_away(self):
        X, H = data("wide")
        overlaps = []
        for weight in (0.0, 0.3):
            model = NMF(5, fixed_programs=H[:2], orthogonality=weight, random_state=0).fit(X)
            np.testing.assert_array_equal(model.components_[:2], H[:2])
            units = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
            overlaps.append((units[:2] @ units[2:].T).mean())
        assert overlaps[1] < overlaps[0] - 0.05

    def test_usage_of_any_sign(self):
        X, _ = data("wide", signed=True)
        model = NMF(5, signed="usage", orthogonality=0.1, random_state=0).fit(X)
        plain = NMF(5, signed="usage", random_state=0).fit(X)
        assert mean_cosine(model.components_) < mean_cosine(plain.components_)
        assert (np.diff(model.result_.loss) <= 0).all()


@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_pass():
    results = check_estimator(NMF(orthogonality=0.05), on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert len(results) > 40
    assert failed == {}
