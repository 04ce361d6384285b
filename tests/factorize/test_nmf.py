"""What a user of NMF may rely on."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

import reference
from partwise import NMF
from partwise.exceptions import PartwiseWarning

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")


def data(kind, dtype=np.float64, n=400, k=4, noise=0.3, seed=0):
    p = 25 if kind == "narrow" else 110
    density = 0.5 if kind == "sparse" else 1.0
    X, _, _ = reference.planted(n, p, k, noise=noise, density=density, seed=seed, dtype=dtype)
    return sp.csr_matrix(X) if kind == "sparse" else X


def cosines(H, truth):
    """Return the cosine of each true program with the one matched to it."""
    a, b = (np.float64(m) / np.linalg.norm(m, axis=1, keepdims=True) for m in (truth, H))
    rows, columns = linear_sum_assignment(-a @ b.T)
    return (a @ b.T)[rows, columns]


@pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_planted_programs_are_found(kind, dtype, init):
    rng = np.random.default_rng(0)
    p = 30 if kind == "narrow" else 100
    H = rng.exponential(size=(5, p)) * (rng.random((5, p)) < 0.3)
    H[:, :5] = 3 * np.eye(5)  # a feature that only one program has
    W = rng.exponential(size=(500, 5)) * (rng.random((500, 5)) < 0.4)
    W[:5] = np.eye(5)  # a row that only one program has
    X = (W @ H + 0.01 * np.abs(rng.standard_normal((500, p)))).astype(dtype)
    model = NMF(5, init=init, n_init=3 if init == "random" else 1, tol=1e-7, random_state=0)
    usage = model.fit_transform(sp.csr_matrix(X) if kind == "sparse" else X)
    assert cosines(model.components_, H).min() > 0.999
    assert cosines(usage.T, W.T).min() > 0.999


@pytest.mark.parametrize("solver", ["hals", "bpp"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_transform_of_the_fitted_data_is_the_usage_of_the_fit(kind, dtype, solver):
    X = data(kind, dtype)
    model = NMF(4, solver=solver, random_state=0)
    usage = model.fit_transform(X)
    tolerance = {np.float32: 1e-5, np.float64: 1e-10}[dtype] * usage.max()
    np.testing.assert_allclose(model.transform(X), usage, rtol=0, atol=tolerance)
    one_by_one = np.vstack([model.transform(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, usage[:5], rtol=0, atol=tolerance)
    assert model.inverse_transform(usage).shape == X.shape
    np.testing.assert_allclose(model.inverse_transform(usage), usage @ model.components_, rtol=1e-6)
    fitted = NMF(4, solver=solver, random_state=0)
    fitted.fit(X)
    np.testing.assert_array_equal(fitted.components_, model.components_)


@pytest.mark.parametrize("kind", KINDS)
class TestEquivariance:
    def start(self, X, k=4):
        rng = np.random.default_rng(1)
        return rng.random((X.shape[0], k)), rng.random((k, X.shape[1]))

    def fit(self, X, W, H, max_iter=6):
        model = NMF(4, init="custom", tol=0, max_iter=max_iter)
        return model.fit_transform(X, W=W, H=H), model

    def test_order_of_the_rows(self, kind):
        X = data(kind)
        W, H = self.start(X)
        usage, model = self.fit(X, W, H)
        order = np.random.default_rng(2).permutation(len(W))
        other, shuffled = self.fit(X[order], W[order], H)
        np.testing.assert_allclose(other, usage[order], atol=1e-8 * usage.max())
        np.testing.assert_allclose(shuffled.components_, model.components_, atol=1e-10)

    def test_order_of_the_features(self, kind):
        X = data(kind)
        W, H = self.start(X)
        usage, model = self.fit(X, W, H)
        order = np.random.default_rng(2).permutation(X.shape[1])
        other, shuffled = self.fit(X[:, order], W, H[:, order])
        np.testing.assert_allclose(other, usage, atol=1e-8 * usage.max())
        np.testing.assert_allclose(shuffled.components_, model.components_[:, order], atol=1e-10)

    @pytest.mark.parametrize("c", [1e-4, 7.0, 1e6])
    def test_scale_of_the_data(self, kind, c):
        X = data(kind)
        W, H = self.start(X)
        usage, model = self.fit(X, W, H)
        other, scaled = self.fit(X * c, W * np.sqrt(c), H * np.sqrt(c))
        np.testing.assert_allclose(other / c, usage, atol=1e-7 * usage.max())
        np.testing.assert_allclose(scaled.components_, model.components_, atol=1e-9)
        relative = model.result_.relative_error
        assert scaled.result_.relative_error == pytest.approx(relative, rel=1e-9)
        np.testing.assert_allclose(scaled.result_.loss, model.result_.loss * c**2, rtol=1e-9)

    def test_sparse_is_dense(self, kind):
        X = reference.dense(data(kind))
        W, H = self.start(X)
        fits = []
        for Y in (X, sp.csr_matrix(X)):  # exact half steps: sweeps differ with the layout
            model = NMF(4, init="custom", solver="bpp", tol=0, max_iter=6)
            fits.append((model.fit_transform(Y, W=W, H=H), model.components_))
        np.testing.assert_allclose(fits[1][0], fits[0][0], atol=1e-5 * fits[0][0].max())
        np.testing.assert_allclose(fits[1][1], fits[0][1], atol=1e-6)


class TestStarts:
    def test_n_init_keeps_the_best(self):
        X = data("wide", k=8)
        parameters = {"init": "random", "max_iter": 8, "tol": 0}
        rng = np.random.default_rng(4)
        single = [NMF(8, random_state=rng, **parameters).fit(X) for _ in range(5)]
        errors = [model.reconstruction_err_ for model in single]
        assert np.ptp(errors) > 1e-3 * min(errors)
        several = NMF(8, random_state=4, n_init=5, **parameters).fit(X)
        best = single[int(np.argmin([model.result_.loss[-1] for model in single]))]
        np.testing.assert_array_equal(several.components_, best.components_)
        assert several.reconstruction_err_ == min(errors)

    def test_first_start_of_several_is_the_one_asked_for(self):
        X = data("narrow")
        one, several = (NMF(4, random_state=0, n_init=n, max_iter=5, tol=0) for n in (1, 3))
        assert several.fit(X).result_.loss[-1] <= one.fit(X).result_.loss[-1]

    def test_seeds(self):
        X = data("wide")
        fits = [
            NMF(4, init="random", random_state=seed, max_iter=5).fit_transform(X)
            for seed in (0, 0, 1)
        ]
        np.testing.assert_array_equal(fits[0], fits[1])
        assert not np.array_equal(fits[0], fits[2])
        for make in (np.random.default_rng, np.random.RandomState):
            models = (NMF(4, init="random", random_state=make(5), max_iter=5) for _ in "ab")
            one, two = (model.fit_transform(X) for model in models)
            np.testing.assert_array_equal(one, two)
        assert NMF(2, random_state=3).fit(X).result_.seed == 3
        assert NMF(2, random_state=np.random.default_rng(0)).fit(X).result_.seed is None

    def test_custom_start_without_usage_is_solved_from_the_programs(self):
        X = data("narrow")
        H = np.random.default_rng(0).random((4, 25))
        W = reference.nnls(X, H)
        one = NMF(4, init="custom", max_iter=5, tol=0).fit_transform(X, H=H)
        two = NMF(4, init="custom", max_iter=5, tol=0).fit_transform(X, W=W, H=H)
        np.testing.assert_allclose(one, two, atol=1e-5 * one.max())

    def test_a_start_at_the_optimum_stays_there(self):
        X = data("narrow")
        model = NMF(4, tol=1e-9, max_iter=3000, random_state=0)
        usage = model.fit_transform(X)
        again = NMF(4, init="custom")
        again.fit_transform(X, W=usage, H=model.components_)
        assert again.n_iter_ < 8
        assert again.reconstruction_err_ == pytest.approx(model.reconstruction_err_, rel=1e-6)
        np.testing.assert_allclose(again.components_, model.components_, atol=1e-3)


class TestComponents:
    def test_default_number(self):
        assert NMF(random_state=0).fit(data("wide")).n_components_ == 10
        assert NMF(random_state=0).fit(data("narrow")[:, :6]).n_components_ == 6

    @pytest.mark.parametrize("sparse", [False, True])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("init", ["nndsvda", "nndsvd", "random"])
    def test_more_than_the_features(self, init, dtype, sparse):
        X = data("narrow", dtype)[:, :6]
        X = sp.csr_matrix(X) if sparse else X
        model = NMF(10, init=init, random_state=0, max_iter=300)
        message = (
            "n_components=10 exceeds the 6 features: 6 components already fit the data exactly, "
            "and the programs are not unique. Take fewer than 6"
        )
        with pytest.warns(PartwiseWarning, match=message):
            usage = model.fit_transform(X)
        assert usage.shape == (400, 10)
        assert model.components_.shape == (10, 6)
        assert model.result_.relative_error < 0.02
        assert reference.relative_error(X, usage, model.components_) < 0.02
        again = model.transform(X)
        assert reference.relative_error(X, again, model.components_) == pytest.approx(
            reference.relative_error(X, usage, model.components_), abs=1e-4
        )

    def test_more_than_the_observations(self):
        X = data("wide")[:7]
        with pytest.warns(PartwiseWarning, match="n_components=9 exceeds the 7 observations"):
            NMF(9, random_state=0).fit_transform(X)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_as_many_as_the_features_warn_not(self, sparse):
        X = data("narrow")[:, :6]
        model = NMF(6, random_state=0, max_iter=1000)
        model.fit_transform(sp.csr_matrix(X) if sparse else X)
        assert model.result_.relative_error < 0.02

    @pytest.mark.parametrize("k", [100, 129, 200])
    def test_wide_factors(self, k):
        X = reference.planted(220, 210, 4, noise=0.3, dtype=np.float32)[0]
        for Y in (X, sp.csr_matrix(X)):
            model = NMF(k, init="random", max_iter=20, tol=0, random_state=0)
            usage = model.fit_transform(Y)
            assert usage.shape == (220, k)
            assert reference.kkt_violation(X, usage, model.components_) < 1e-5
            assert reference.relative_error(X, usage, model.components_) < 0.05
            assert (np.diff(model.result_.loss) <= 0).all()

    def test_sorted_by_the_share_they_explain(self):
        X = data("wide", k=6)
        model = NMF(6, tol=1e-7, random_state=0)
        usage = model.fit_transform(X)
        H = model.components_
        share = np.einsum("nk,kp,np->k", usage, H, X) / np.sum(X**2)
        np.testing.assert_allclose(model.result_.explained, share, rtol=1e-6)
        assert (np.diff(share) <= 0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_programs_sum_to_1_where_nothing_is_penalised(self, kind):
        X = data(kind)
        model = NMF(4, random_state=0)
        model.fit_transform(X)
        np.testing.assert_allclose(model.components_.sum(axis=1), 1, rtol=1e-12)
        penalised = NMF(4, l2_usage=1, l2_programs=1, random_state=0)
        penalised.fit_transform(X)
        assert np.abs(penalised.components_.sum(axis=1) - 1).max() > 0.01


class TestRecord:
    def test_result(self):
        X = data("narrow")
        model = NMF(4, random_state=7).fit(X)
        result = model.result_
        assert result.programs is model.components_ or np.array_equal(
            result.programs, model.components_
        )
        assert result.seed == 7
        assert result.solver == "hals"
        assert result.wall_time > 0
        assert result.version
        assert result.status.advice.startswith("converged")
        assert model.n_features_in_ == 25
        assert model.n_components_ == 4

    @pytest.mark.parametrize("given", [np.int64, np.uint8, np.int32, bool, np.float16])
    def test_other_types_become_floats(self, given):
        X = (data("narrow") * 3).astype(given)
        kinds = [X] if given == np.float16 else [X, sp.csr_matrix(X)]
        for Y in kinds:
            model = NMF(3, random_state=0, max_iter=20, tol=0).fit(Y)
            assert model.components_.dtype in (np.float32, np.float64)
            assert model.transform(Y).dtype == model.components_.dtype
            same = NMF(3, random_state=0, max_iter=20, tol=0)
            same.fit(Y.astype(model.components_.dtype))
            np.testing.assert_array_equal(model.components_, same.components_)

    def test_transform_has_the_type_of_the_fit(self):
        X = data("narrow", np.float32)
        model = NMF(3, random_state=0, max_iter=20, tol=0).fit(X)
        assert model.transform(X.astype(np.float64)).dtype == np.float32

    def test_a_frame_keeps_its_names(self):
        X = pd.DataFrame(data("narrow")[:, :3], columns=["B", "T", "NK"])
        model = NMF(2, random_state=0).fit(X)
        assert model.feature_names_in_.tolist() == ["B", "T", "NK"]

    def test_usage_is_the_users_own(self):
        """What fit_transform and transform return can be changed without harm to the model."""
        X = data("narrow")
        model = NMF(3, random_state=0)
        usage = model.fit_transform(X)
        usage[:] = 0
        one = model.transform(X)
        two = one.copy()
        one[:] = 0
        np.testing.assert_array_equal(model.transform(X), two)
