"""Semi-NMF, as a user meets it."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

import partwise
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


class TestSemi:
    """The signed factor is exact, the other one not negative, and nothing is worse than SVD."""

    @pytest.mark.parametrize("solver", ["hals", "bpp"])
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("signed", ["usage", "programs"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_truth(self, kind, signed, dtype, solver):
        X, _ = data(kind, dtype, signed=True)
        model = NMF(5, signed=signed, solver=solver, random_state=0, tol=1e-4, max_iter=200)
        W = model.fit_transform(X)
        H = model.components_
        assert W.dtype == H.dtype == dtype
        factors = {"usage": W, "programs": H}
        assert (factors.pop(signed) < 0).any()
        assert (factors.popitem()[1] >= 0).all()
        assert (np.diff(model.result_.loss) <= 0).all()
        rel = {np.float32: 1e-4, np.float64: 1e-8}[dtype]
        expected = reference.relative_error(X, W, H)
        assert model.result_.relative_error == pytest.approx(expected, rel=rel)
        assert model.score(X) == pytest.approx(1 - expected**2, rel=1e-3)
        np.testing.assert_allclose(np.abs(H).sum(axis=1), 1, rtol=1e-5)
        atol = {np.float32: 1e-4, np.float64: 1e-9}[dtype] * np.abs(W).max()
        np.testing.assert_allclose(model.transform(X), W, rtol=0, atol=atol)
        one = np.vstack([model.transform(X[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(one, W[:3], rtol=0, atol=atol)
        np.testing.assert_allclose(model.inverse_transform(W), W @ H, rtol=1e-5)
        if signed == "usage":
            slope = (np.float64(W) @ H - reference.dense(X)) @ H.T
            assert np.abs(slope).max() < 1e-4 * np.abs(reference.dense(X) @ H.T).max()
        else:
            assert reference.kkt_violation(X, W, H) < 1e-4

    @pytest.mark.parametrize("signed", ["usage", "programs"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_error_lies_between_those_of_svd(self, kind, signed):
        """No rank-k fit beats the SVD; semi-NMF reaches about that of rank k - 1 (Gillis 2015)."""
        X, _ = data(kind, signed=True)
        values = np.linalg.svd(reference.dense(X), compute_uv=False) ** 2
        model = NMF(5, signed=signed, random_state=0, max_iter=300).fit(X)
        error = model.result_.relative_error**2
        assert error >= values[5:].sum() / values.sum() * (1 - 1e-9)
        assert error <= values[4:].sum() / values.sum() * 1.02

    def test_against_plain_alternation(self):
        """Half steps by SciPy: least squares for one factor, active sets for the other."""
        X, _ = data("narrow", n=120, signed=True)
        rng = np.random.default_rng(0)
        W0, H0 = rng.random((120, 4)), rng.standard_normal((4, 25))
        penalties = {"l2_usage": 0.5, "l2_programs": 0.5}
        H = H0
        for _ in range(200):
            W = reference.nnls(X, H, l2=0.5)
            H = np.linalg.solve(W.T @ W + 0.5 * np.eye(4), W.T @ X)
        best = reference.objective(X, reference.nnls(X, H, l2=0.5), H, **penalties)
        for solver in ("hals", "bpp"):
            model = NMF(
                4, signed="programs", init="custom", solver=solver, tol=1e-9, max_iter=2000,
                **penalties,
            )  # fmt: skip
            U = model.fit_transform(X, W=W0, H=H0)
            assert reference.objective(X, U, model.components_, **penalties) <= best * 1.01

    def test_centred_clusters_are_found(self):
        """What semi-NMF is for: usage as soft membership, programs as centroids of any sign."""
        rng = np.random.default_rng(0)
        centroids = 3 * rng.standard_normal((3, 20))
        labels = rng.integers(0, 3, 300)
        X = centroids[labels] + 0.3 * rng.standard_normal((300, 20))
        model = NMF(3, signed="programs", l2_usage=1, l2_programs=1, n_init=5, random_state=0)
        usage = model.fit_transform(X)
        best = usage.argmax(axis=1)
        table = np.array(
            [[np.sum((labels == a) & (best == b)) for b in range(3)] for a in range(3)]
        )
        assert table.max(axis=1).sum() > 0.97 * len(X)

    @pytest.mark.parametrize("signed", ["usage", "programs"])
    def test_data_that_are_not_negative(self, signed):
        X, _ = data("wide")
        plain = NMF(5, random_state=0, tol=1e-6).fit(X)
        model = NMF(5, signed=signed, random_state=0, tol=1e-6).fit(X)
        assert model.reconstruction_err_ <= plain.reconstruction_err_ * 1.001

    def test_given_programs_may_be_negative(self):
        X, _ = data("wide", signed=True)
        rng = np.random.default_rng(0)
        fixed = rng.standard_normal((2, 110))
        fixed[1, ::3] = np.nan
        known = ~np.isnan(fixed)
        model = NMF(5, signed="programs", fixed_programs=fixed, random_state=0, max_iter=60)
        W = model.fit_transform(X)
        np.testing.assert_array_equal(model.components_[:2][known], fixed[known])
        assert (np.diff(model.result_.loss) <= 0).all()
        assert (W >= 0).all()
        signed_usage = NMF(5, signed="usage", fixed_programs=np.abs(fixed), random_state=0)
        signed_usage.fit(X)
        np.testing.assert_array_equal(signed_usage.components_[:2][known], np.abs(fixed)[known])

    def test_advice_where_programs_cancel(self):
        X, _ = data("wide", signed=True)
        with pytest.warns(ConvergenceWarning, match="l2_usage and l2_programs.*cancel each other"):
            NMF(5, signed="programs", max_iter=3, random_state=0).fit(X)

    @pytest.mark.parametrize("signed", ["usage", "programs"])
    def test_degenerate_data(self, signed):
        for X in (np.zeros((30, 8)), np.full((30, 8), -3.0), -np.eye(9)[:, :8]):
            for Y in (X, sp.csr_matrix(X)):
                model = NMF(3, signed=signed, random_state=0, max_iter=30)
                usage = model.fit_transform(Y)
                assert np.isfinite(usage).all()
                assert np.isfinite(model.components_).all()
                assert 0 <= model.result_.relative_error <= 1

    def test_more_components_than_features(self):
        X, _ = data("narrow", np.float32, signed=True)
        for signed in ("usage", "programs"):
            model = NMF(8, signed=signed, random_state=0, max_iter=50)
            with pytest.warns(partwise.exceptions.PartwiseWarning, match="exceeds the 6 features"):
                usage = model.fit_transform(X[:, :6])
            assert np.isfinite(usage).all()
            assert model.result_.relative_error < 0.05


@pytest.mark.parametrize("signed", ["usage", "programs"])
@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_pass(signed):
    results = check_estimator(NMF(signed=signed), on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert len(results) > 40
    assert failed == {}
