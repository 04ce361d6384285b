"""SeqNMF: what it refuses, what must not matter, and what its numbers mean."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import sequence_reference as plain
from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.results import Status
from partwise.sequences import SeqNMF, loadings, power, reconstruct

N, K, L, T = 9, 2, 6, 400


def recording(seed=0, noise=0.05):
    """Two planted motifs, and where they begin."""
    rng = np.random.default_rng(seed)
    W = np.zeros((N, K, L))
    for k in range(K):
        for n in range(k * 4, k * 4 + 4):
            W[n, k, rng.integers(L)] = 1.0
    H = np.zeros((K, T))
    for k in range(K):
        H[k, rng.choice(T - L, 20, replace=False)] = 1.0
    return plain.reconstruct(W, H) + noise * rng.random((N, T)), W, H


def fit(X, n_components=K, n_lags=L, **settings):
    options = {
        name: settings.pop(name) for name in ("mask", "epochs", "callback") if name in settings
    }
    settings = {"max_iter": 20, "random_state": 0, "lambda_": 0.001, **settings}
    return SeqNMF(n_components, n_lags, **settings).fit(X, **options)


def same(a, b):
    for name in ("motifs_", "activations_", "before_", "cost_", "loadings_", "power_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


class TestRefuses:
    def test_negative_values_with_the_remedies(self):
        X = recording()[0]
        X[3, 7] = -1.0
        with pytest.raises(DataError, match=r"unit 4 is negative at frame 8.*clip.*split.*offset"):
            fit(X)
        with pytest.raises(DataError, match="unit 4 is negative at frame 8"):
            fit(sp.csr_matrix(X))

    def test_missing_values_unless_hidden(self):
        X = recording()[0]
        X[2, 5] = np.nan
        with pytest.raises(DataError, match=r"unit 3 is NaN .* at frame 6.*missing='hide'"):
            fit(X)
        mask = np.isnan(X)
        same(fit(X, mask=mask), fit(X, missing="hide"))

    def test_infinite_values_even_when_missing_ones_are_hidden(self):
        X = recording()[0]
        X[2, 5] = np.inf
        with pytest.raises(DataError, match="unit 3"):
            fit(X, missing="hide")

    @pytest.mark.parametrize("n_lags", [T, T + 1])
    def test_motifs_as_long_as_the_recording(self, n_lags):
        with pytest.raises(UsageError, match=f"n_lags is {n_lags}.*{T} frames"):
            fit(recording()[0], n_lags=n_lags)

    def test_more_motifs_than_there_is_room_for(self):
        with pytest.raises(UsageError, match="have room for 6 different motifs"):
            fit(np.ones((2, 30)), 7, 3)
        assert fit(np.ones((2, 30)), 6, 3, max_iter=2).motifs_.shape == (2, 6, 3)

    @pytest.mark.parametrize(
        "bad",
        [
            {"n_components": 0},
            {"n_lags": 0},
            {"n_lags": 2.5},
            {"max_iter": 0},
            {"n_init": 0},
            {"lambda_": -1.0},
            {"l1_W": np.nan},
            {"tol": np.nan},
            {"solver": "als"},
            {"backend": "gpu"},
            {"missing": "zero"},
            {"dtype": "int8"},
            {"compat": "python"},
        ],
    )
    def test_parameters_that_mean_nothing(self, bad):
        with pytest.raises(UsageError):
            fit(recording()[0], **bad)

    def test_starts_of_another_shape(self):
        X, W, H = recording()
        for bad in (
            {"motifs_init": W[:-1]},
            {"activations_init": H[:, 1:]},
            {"fixed_motifs": W[:, :, 1:]},
            {"fixed_motifs": -W},
        ):
            with pytest.raises(UsageError):
                fit(X, **bad)

    def test_data_that_are_no_matrix(self):
        for bad in (np.ones(5), np.ones((2, 3, 4)), np.array([["a", "b"]]), np.ones((0, 5))):
            with pytest.raises(DataError):
                fit(bad, n_lags=2)

    def test_units_that_differ_from_the_motifs(self):
        model = fit(recording()[0])
        with pytest.raises(UsageError, match="X has 8 units, the motifs have 9"):
            model.transform(recording()[0][:-1])


def test_more_units_than_frames_are_warned_of():
    with pytest.warns(PartwiseWarning, match="transpose"):
        fit(np.ones((40, 30)), 1, 3, max_iter=1)


@pytest.mark.parametrize("solver", ["mu", "hals"])
def test_one_lag_is_plain_factorization(solver):
    X, _, _ = recording()
    rng = np.random.default_rng(1)
    W, H = rng.random((N, 3)), rng.random((3, T))
    model = fit(
        X, 3, 1, solver=solver, lambda_=0, shift=False, tol=0, max_iter=30,
        motifs_init=W[:, :, None], activations_init=H,
    )  # fmt: skip
    if solver == "mu":
        for _ in range(30):
            H = H * (W.T @ X) / (W.T @ W @ H)
            W = W * (X @ H.T) / (W @ H @ H.T)
        np.testing.assert_allclose(model.reconstruct(), W @ H, atol=1e-8)
    assert model.cost_[-1] == pytest.approx(
        np.sqrt(np.mean((X - model.motifs_[:, :, 0] @ model.activations_) ** 2)), rel=1e-10
    )
    assert model.before_.shape == (3, 1, 0)


@pytest.mark.parametrize("solver", ["mu", "hals"])
def test_hidden_values_change_no_bit(solver):
    X = recording()[0]
    mask = np.random.default_rng(4).random(X.shape) < 0.1
    settings = {"solver": solver, "lambda_": 0}
    first = fit(X, mask=mask, **settings)
    sparse = fit(sp.csr_matrix(X), mask=mask, **settings)
    for value in (0.0, 7.5, np.nan, -3.0):
        other = np.where(mask, value, X)
        same(first, fit(other, mask=mask, **settings))
        same(sparse, fit(sp.csr_matrix(other), mask=sp.csr_matrix(mask), **settings))
        np.testing.assert_array_equal(
            first.transform(X, mask=mask), first.transform(other, mask=mask)
        )


@pytest.mark.parametrize("solver", ["mu", "hals"])
def test_no_lag_crosses_from_one_epoch_into_the_next(solver):
    X = recording()[0]
    epochs = [(0, 150), (160, 400)]
    parts = [X[:, a:b] for a, b in epochs]
    # what lies between epochs, and how far they are apart, does not matter
    other = np.hstack([parts[0], np.full((N, 3), 99.0), parts[1]])
    near = [(0, 150), (153, 393)]
    one = fit(X, epochs=epochs, solver=solver, lambda_=0)
    two = fit(other, epochs=near, solver=solver, lambda_=0, dtype="float64")
    np.testing.assert_allclose(one.cost_, two.cost_, rtol=1e-9)
    np.testing.assert_allclose(one.motifs_, two.motifs_, atol=1e-6 * one.motifs_.max())
    assert not one.activations_[:, 150:160].any()
    # nor does it matter whether they are one recording or two
    whole = one.transform(X, epochs=epochs)
    for (a, b), part in zip(epochs, parts, strict=True):
        np.testing.assert_allclose(one.transform(part), whole[:, a:b], atol=1e-8 * whole.max())


def test_epochs_that_cannot_be_used():
    X = recording()[0]
    for bad in ([(0, 0)], [(5, T + 1)], [(0, 50), (49, 80)], [(0.5, 9)], 7):
        with pytest.raises(UsageError):
            fit(X, epochs=bad)


def test_recentring_puts_the_mass_in_the_middle():
    X, W, _ = recording(noise=0.0)
    late = np.zeros((N, K, 3 * L))
    late[:, :, -L:] = W
    settings = {"motifs_init": late + 1e-3, "max_iter": 5, "tol": 0, "lambda_": 0, "solver": "mu"}
    lags = np.arange(3 * L)

    def centres(model):
        mass = model.motifs_.sum(axis=0)
        return mass @ lags / mass.sum(axis=1)

    moved, left = (fit(X, n_lags=3 * L, shift=s, **settings) for s in (True, False))
    assert np.all(np.abs(centres(moved) - (3 * L - 1) / 2) < 2)
    assert np.all(centres(left) > 2 * L - 3)


@pytest.mark.parametrize("exponent", [-40, 40])
def test_scale_does_not_matter(exponent):
    X = recording()[0]
    one, two = fit(X, lambda_=0.01), fit(X * 2.0**exponent, lambda_=0.01)
    np.testing.assert_array_equal(two.motifs_, one.motifs_ * 2.0**exponent)
    np.testing.assert_array_equal(two.activations_, one.activations_)
    np.testing.assert_array_equal(two.cost_, one.cost_ * 2.0**exponent)
    assert two.power_ == one.power_
    score = one.score(X)
    assert two.score(X * 2.0**exponent) == pytest.approx(score, rel=1e-9)


def test_factors_come_in_the_order_of_their_loadings():
    X = recording()[0]
    X[:4] *= 3
    sorted_, plainly = (fit(X, 3, sort=s, lambda_=0) for s in (True, False))
    assert np.all(np.diff(sorted_.loadings_) <= 0)
    order = np.argsort(-plainly.loadings_, kind="stable")
    np.testing.assert_array_equal(sorted_.motifs_, plainly.motifs_[:, order])
    np.testing.assert_array_equal(sorted_.activations_, plainly.activations_[order])
    np.testing.assert_array_equal(sorted_.before_, plainly.before_[order])


def test_the_best_of_several_starts_is_kept():
    X = recording(noise=0.3)[0]
    rng = np.random.default_rng(5)
    costs = [fit(X, 3, max_iter=8, random_state=rng).cost_[-1] for _ in range(4)]
    assert len(set(costs)) == 4
    best = fit(X, 3, max_iter=8, random_state=np.random.default_rng(5), n_init=4)
    assert best.cost_[-1] == min(costs)


def test_grammar_of_scikit_learn():
    model = SeqNMF(3, 7, lambda_=0.2, solver="mu", n_threads=2)
    assert clone(model).get_params() == model.get_params()
    X = recording()[0]
    model = fit(X)
    np.testing.assert_array_equal(clone(model).fit_transform(X), model.activations_)
    assert model.n_features_in_ == N
    model.set_params(max_iter=1).fit(X)
    assert model.n_iter_ == 1


@pytest.mark.parametrize("settings", [{"lambda_": 0.01, "ortho_H": 0.1}, {"lambda_": 0}])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_bits_do_not_depend_on_threads(settings, form):
    rng = np.random.default_rng(0)
    X = form((rng.random((30, 21_000)) < 0.05).astype(np.float32))
    one, two = (fit(X, 5, 20, max_iter=2, n_threads=n, **settings) for n in (1, 2))
    same(one, two)
    np.testing.assert_array_equal(one.transform(X), two.set_params(n_threads=1).transform(X))


def test_sparse_input_stays_sparse_and_as_it_was(monkeypatch):
    X = sp.random(8, 300, 0.1, format="csr", random_state=0)
    X.indices, X.data = X.indices[::-1].copy(), X.data[::-1].copy()  # rows that are not sorted
    X = sp.csr_matrix((X.data, X.indices, [0, *np.cumsum(np.diff(X.indptr)[::-1])]), X.shape)
    assert not X.has_sorted_indices
    before = X.data.copy(), X.indices.copy()
    dense = X.toarray()
    mask = sp.random(8, 300, 0.05, format="csr", random_state=1) > 0
    want = fit(dense, backend="sparse", mask=mask.toarray())
    for kind in (sp.csr_matrix, sp.csc_matrix, sp.coo_array):
        with monkeypatch.context() as patch:
            for name in ("toarray", "todense"):
                for owner in (sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array):
                    patch.setattr(owner, name, lambda *_, **__: pytest.fail("made dense"))
            found = fit(kind(X), mask=mask)
            found.transform(kind(X))
        same(found, want)
    np.testing.assert_array_equal(X.data, before[0])
    np.testing.assert_array_equal(X.indices, before[1])
    holes = X.copy()
    holes.data[3] = np.nan
    fit(holes, missing="hide")
    np.testing.assert_array_equal(holes.indices, X.indices)


def test_dense_input_stays_as_it_was():
    X = recording()[0]
    copy, mask = X.copy(), np.zeros(X.shape, bool)
    mask[2, 3] = True
    fit(X, mask=mask)
    np.testing.assert_array_equal(X, copy)


@pytest.mark.parametrize("settings", [{"lambda_": 0.01}, {"lambda_": 0, "solver": "hals"}])
@pytest.mark.parametrize("scale", [1.0, 3.7])
def test_fixed_motifs_stay_as_they_are(settings, scale):
    X, W, _ = recording()
    known = W[:, :1] * scale / 3
    model = fit(X, 3, fixed_motifs=known, **settings)
    np.testing.assert_array_equal(model.motifs_[:, :1], known)
    assert model.activations_[0].any()
    assert model.power_ > fit(X, 1, **settings).power_
    only = fit(X, 1, fixed_motifs=known, **settings)
    np.testing.assert_array_equal(only.motifs_, known)
    assert only.power_ == pytest.approx(only.score(X), abs=0.02)


@pytest.mark.parametrize("epochs", [None, [(0, 150), (160, 400)]])
@pytest.mark.parametrize("masked", [False, True])
def test_cost_power_and_loadings_are_those_of_the_model(epochs, masked):
    X = recording()[0]
    mask = np.random.default_rng(6).random(X.shape) < 0.1 if masked else None
    model = fit(X, mask=mask, epochs=epochs)
    spans = epochs or [(0, T)]
    H = [
        np.hstack([model.before_[:, e], model.activations_[:, a:b]])
        for e, (a, b) in enumerate(spans)
    ]
    parts = [plain.reconstruct(model.motifs_, h)[:, L - 1 :] for h in H]
    seen = np.ones(X.shape, bool) if mask is None else ~mask
    seen = np.hstack([seen[:, a:b] for a, b in spans])
    data = np.hstack([X[:, a:b] for a, b in spans])[seen]
    rest = data - np.hstack(parts)[seen]
    assert model.cost_[-1] == pytest.approx(np.sqrt(np.mean(rest**2)), rel=1e-9)
    assert model.power_ == pytest.approx(1 - rest @ rest / (data @ data), rel=1e-9)
    where = {"mask": mask, "epochs": epochs}
    # without what was under way, the two differ at the first frames of an epoch only
    assert power(X, model.motifs_, model.activations_, **where) <= model.power_ + 1e-12
    alone = loadings(X, model.motifs_, model.activations_, **where)
    np.testing.assert_allclose(alone, model.loadings_, atol=0.05)
    model_of = np.hstack([model.reconstruct()[:, a:b] for a, b in spans])
    np.testing.assert_allclose(model_of, np.hstack(parts), atol=1e-10)
    np.testing.assert_array_equal(
        model.reconstruct(activations=model.activations_),
        reconstruct(model.motifs_, model.activations_),
    )


def test_planted_motifs_are_found_at_their_lag():
    X, W, H = recording(noise=0.0)
    model = fit(X, lambda_=0, max_iter=100, n_init=5)
    assert model.power_ > 0.999
    for k in range(K):
        found = [
            np.argmax(np.correlate(model.activations_[j], H[k], "full")) - (T - 1) for j in range(K)
        ]
        by = [
            np.abs(plain.moved(model.motifs_[:, j], d) / model.motifs_[:, j].max() - W[:, k]).max()
            for j, d in enumerate(found)
        ]
        assert min(by) < 0.02


def test_empty_factors_are_reported():
    X = recording(noise=0.0)[0]
    model = fit(X, 4, lambda_=5.0, max_iter=60, tol=0)
    assert model.motifs_.shape == (N, 4, L)
    assert model.empty_.shape == (4,)
    empty = fit(np.zeros((3, 20)), 2, 4)
    assert empty.empty_.all()
    assert empty.power_ == 0.0
    assert not empty.loadings_.any()


def test_silent_units_have_silent_motifs():
    X = recording()[0]
    X[5] = 0
    for solver in ("mu", "hals"):
        model = fit(X, solver=solver, lambda_=0)
        assert np.isfinite(model.motifs_).all()
        assert model.motifs_[5].max() < 1e-6 * model.motifs_.max()


def test_tolerance_stops():
    X = recording()[0]
    model = fit(X, max_iter=500, tol=1e-3)
    assert model.status_ is Status.CONVERGED
    assert model.n_iter_ < 500
    assert len(model.cost_) == model.n_iter_ + 1
    full = fit(X, max_iter=model.n_iter_ + 5, tol=0)
    assert full.status_ is Status.MAX_ITER
    assert full.n_iter_ == model.n_iter_ + 5


def test_callback_gets_the_cost_in_the_units_of_the_data():
    seen = []
    model = fit(recording()[0] * 100, callback=lambda i, c: seen.append((i, c)))
    assert seen == list(enumerate(model.cost_))[1:]


def test_float32_is_kept():
    X = recording()[0].astype(np.float32)
    model = fit(X)
    assert model.motifs_.dtype == model.activations_.dtype == np.float32
    assert model.transform(X).dtype == np.float32
    assert fit((X > 0.5).astype(np.uint8)).motifs_.dtype == np.float32
