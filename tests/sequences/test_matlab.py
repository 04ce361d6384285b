"""compat="matlab" against the original run in Octave, and against its definition in small cases."""

import numpy as np
import pytest

import sequence_reference as ref
from partwise.exceptions import DataError, UsageError
from partwise.sequences import SeqNMF
from partwise.sequences._matlab import fit_matlab

EPS = np.finfo(np.float64).eps

#: settings of the runs of the original; K = 10, L = 20 on the training part unless said otherwise
GOLDEN = {
    "plain": {"lambda_": 0.0},
    "xortho_demo": {"lambda_": 0.005, "l1_W": 0.1},
    "orthoH": {"lambda_": 0.0, "ortho_H": 0.1},
    "orthoW": {"lambda_": 0.0, "ortho_W": 1.0},
    "l1_mask": {"lambda_": 0.001, "l1_W": 0.05, "l1_H": 0.01},
    "xortho_noWupd_noshift": {"lambda_": 0.005, "use_W_update": False, "shift": False},
    "W_fixed": {"lambda_": 0.001, "shift": False},
}


@pytest.fixture(scope="module")
def octave(data_dir):
    with np.load(data_dir / "seqnmf_octave_reference.npz") as file:
        return dict(file)


def run(octave, name, max_iter):
    small = name in ("orthoH", "orthoW")
    motifs = {
        "fixed_motifs" if name == "W_fixed" else "motifs_init": octave["W3" if small else "W10"]
    }
    model = SeqNMF(
        3 if small else 10,
        50 if small else 20,
        activations_init=octave["H3" if small else "H10"],
        max_iter=max_iter,
        tol=-np.inf,
        compat="matlab",
        **motifs,
        **GOLDEN[name],
    )
    mask = octave["M"] == 0 if name == "l1_mask" else None
    return model.fit(octave["X" if small else "Xtrain"], mask=mask)


def assert_equal(model, octave, name):
    # values so small that they lose digits (denormal numbers) need not be equal
    close = {"rtol": 1e-9, "atol": 1e-300}
    np.testing.assert_allclose(model.cost_, octave[f"{name}/cost"], **close)
    np.testing.assert_allclose(model.motifs_, octave[f"{name}/W"], **close)
    np.testing.assert_allclose(model.activations_, octave[f"{name}/H"], **close)
    np.testing.assert_allclose(model.loadings_, octave[f"{name}/loadings"], **close)
    np.testing.assert_allclose(model.power_, octave[f"{name}/power"], **close)


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_original_after_50_iterations(octave, name):
    assert_equal(run(octave, name, 50), octave, name)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_equals_the_original_in_its_first_iterations(octave, n):
    assert_equal(run(octave, "xortho_demo", n), octave, f"xortho_demo_it{n}")


@pytest.mark.slow
def test_equals_the_original_in_the_fit_that_it_tested(octave):
    assert_equal(run(octave, "xortho_demo", 100), octave, "significance")


class Padded:
    """The original's iteration from its definition: whole-matrix rolls, one lag at a time."""

    def __init__(self, X, W, H, *, mask=None, **weights):
        L = W.shape[2]
        self.edges = ((0, 0), (L, L))
        self.X = np.pad(ref.observed(X, mask), self.edges)
        self.W, self.H = W.copy(), np.pad(H, self.edges)
        self.hidden = None if mask is None else np.pad(mask, self.edges)
        self.weights = {"lambda_": 0.0, "l1_W": 0.0, "l1_H": 0.0, "ortho_H": 0.0, "ortho_W": 0.0}
        self.weights |= weights
        self.impute()
        self.lift = 1e-6 * self.X.max()
        self.cost = [self.error()]

    def impute(self):
        self.Xhat = ref.reconstruct(self.W, self.H)
        if self.hidden is not None:
            self.X[self.hidden] = self.Xhat[self.hidden]

    def error(self):
        return np.sqrt(np.mean((self.X - self.Xhat) ** 2))

    def iterate(self, *, last, shift=True, use_W_update=True, fixed=False):
        w, K, L = self.weights, *self.W.shape[1:]
        cross = 0.0 if last and len(self.cost) > 1 else w["lambda_"]
        back = [np.roll(self.X, -lag, axis=1) for lag in range(L)]
        Z = sum(self.W[:, :, lag].T @ back[lag] for lag in range(L))
        below = sum(self.W[:, :, lag].T @ np.roll(self.Xhat, -lag, axis=1) for lag in range(L))
        below = below + cross * ref.others(K) @ ref.smooth(Z, L) + w["l1_H"]
        below = below + w["ortho_H"] * ref.others(K) @ ref.smooth(self.H, L)
        self.H = self.H * Z / (below + EPS)
        if shift:
            self.shift(K, L)
        self.W, self.H = ref.normalise(self.W, self.H)
        if not fixed:
            self.impute()
            self.step(cross if use_W_update else 0.0, K, L)
        self.impute()
        self.cost.append(self.error())

    def shift(self, K, L):
        for k in range(K if L > 1 else 0):
            by = max(L // 2, 1) - (ref.centre_of_mass(self.W[:, k]) or 1)
            self.W[:, k] = ref.moved(self.W[:, k], by)
            self.H[k] = np.roll(self.H[k], -by)
        self.W = self.W + self.lift

    def step(self, cross, K, L):
        flat = self.W.sum(axis=2) @ ref.others(K)
        spread = ref.smooth(self.X, L)
        for lag in range(L):
            late = np.roll(self.H, lag, axis=1).T
            below = self.Xhat @ late + cross * spread @ late @ ref.others(K)
            below = below + self.weights["l1_W"] + self.weights["ortho_W"] * flat
            self.W[:, :, lag] *= self.X @ late / (below + EPS)


ALL = {"lambda_": 0.02, "l1_W": 0.1, "l1_H": 0.05, "ortho_H": 0.1, "ortho_W": 0.2}


def problem(seed, N=6, T=35, K=3, L=5, hidden=0.0):
    rng = np.random.default_rng(seed)
    X = rng.random((N, T)) * (rng.random((N, T)) < 0.4)
    W, H = rng.random((N, K, L)), rng.random((K, T))
    mask = rng.random((N, T)) < hidden if hidden else None
    return X, W, H, mask


@pytest.mark.parametrize(
    ("shape", "weights", "how"),
    [
        ({}, {}, {}),
        ({}, ALL, {}),
        ({"hidden": 0.1}, ALL, {}),
        ({"hidden": 0.3}, {"lambda_": 0.1}, {"shift": False}),
        ({}, ALL, {"use_W_update": False}),
        ({"K": 1}, ALL, {}),
        ({"L": 1}, ALL, {}),
        ({"L": 2, "T": 9}, ALL, {}),
        ({"T": 5, "L": 4}, {"lambda_": 0.1}, {}),
        ({"hidden": 0.1}, ALL, {"fixed": True}),
    ],
)
def test_small_cases_equal_their_definition(shape, weights, how):
    X, W, H, mask = problem(len(weights), **shape)
    plain = Padded(X, W, H, mask=mask, **weights)
    n = 6
    for i in range(n):
        plain.iterate(last=i == n - 1, **how)
    passed = {"fixed_motifs" if key == "fixed" else key: value for key, value in how.items()}
    found = fit_matlab(
        X,
        n_components=W.shape[1],
        n_lags=W.shape[2],
        motifs_init=W,
        activations_init=H,
        mask_observed=None if mask is None else ~mask,
        max_iter=n,
        sort=False,
        **{"lambda_": 0.0, **weights, **passed},
    )
    L, T = W.shape[2], X.shape[1]
    inner = plain.H[:, L : L + T]
    np.testing.assert_allclose(found.cost, plain.cost, rtol=1e-10)
    np.testing.assert_allclose(found.motifs, plain.W, rtol=1e-8, atol=1e-300)
    np.testing.assert_allclose(found.activations, inner, rtol=1e-8, atol=1e-300)
    # loadings and power are those of the data with hidden entries filled in
    filled = plain.X[:, L : L + T]
    loadings = np.sort(ref.loadings(filled, plain.W, inner))[::-1]
    np.testing.assert_allclose(found.loadings, loadings, rtol=1e-8, atol=1e-12)
    gap = filled - plain.Xhat[:, L : L + T]
    assert found.power == pytest.approx(1 - np.sum(gap**2) / np.sum(filled**2), rel=1e-9)


def settings(K=3, L=5, **more):
    return {"n_components": K, "n_lags": L, **more}


def test_the_tolerance_works_only_where_it_exceeds_the_costs():
    X, W, H, _ = problem(1)
    start = {"motifs_init": W, "activations_init": H}
    full = fit_matlab(X, **settings(max_iter=20, **start))
    assert len(full.cost) == 21
    # what the original documents as "improved less than this" never stops it ...
    same = fit_matlab(X, **settings(max_iter=20, tolerance=0.0, **start))
    assert np.array_equal(same.cost, full.cost)
    # ... but a tolerance above the mean of the last six costs does, in the iteration after them
    above = np.mean(full.cost[2:8]) + 1e-9
    assert above < np.mean(full.cost[1:7])
    short = fit_matlab(X, **settings(max_iter=20, tolerance=above, **start))
    assert len(short.cost) == 9
    assert np.array_equal(short.cost[:8], full.cost[:8])


def test_no_iteration_returns_the_start():
    X, W, H, _ = problem(2)
    start = {"motifs_init": W, "activations_init": H}
    found = fit_matlab(X, **settings(max_iter=0, sort=False, **start))
    assert np.array_equal(found.motifs, W)
    assert np.array_equal(found.activations, H)
    assert len(found.cost) == 1


def test_loadings_are_in_falling_order_even_where_motifs_are_not():
    X, W, H, _ = problem(3)
    H[0] *= 1e-3
    start = {"motifs_init": W, "activations_init": H, "max_iter": 3}
    kept = fit_matlab(X, **settings(sort=False, **start))
    moved = fit_matlab(X, **settings(**start))
    assert np.array_equal(kept.loadings, moved.loadings)
    own = ref.loadings(X, kept.motifs, kept.activations)
    order = np.argsort(-own)
    assert list(order) != [0, 1, 2]
    assert np.array_equal(moved.motifs, kept.motifs[:, order])
    assert np.array_equal(moved.activations, kept.activations[order])


def test_hidden_values_do_not_matter_and_nothing_is_changed_in_place():
    X, W, H, mask = problem(4, hidden=0.2)
    dark = np.where(mask, np.nan, X)
    before = dark.copy(), W.copy(), H.copy()
    start = {"motifs_init": W, "activations_init": H, "max_iter": 4, "mask_observed": ~mask}
    one, two = fit_matlab(X, **settings(**start)), fit_matlab(dark, **settings(**start))
    assert np.array_equal(one.motifs, two.motifs)
    assert np.array_equal(one.activations, two.activations)
    for array, copy in zip((dark, W, H), before, strict=True):
        assert np.array_equal(array, copy, equal_nan=True)


def test_a_random_start_comes_from_the_generator_and_fills_the_padding():
    X, *_ = problem(5)
    K, L, (N, T) = 3, 5, X.shape
    one = fit_matlab(X, **settings(max_iter=2, rng=np.random.default_rng(7)))
    two = fit_matlab(X, **settings(max_iter=2, rng=np.random.default_rng(7)))
    assert np.array_equal(one.activations, two.activations)
    rng = np.random.default_rng(7)
    W = X.max() * rng.random((N, K, L))
    H = X.max() * rng.random((K, T + 2 * L)) / np.sqrt((T + 2 * L) / 3)
    Xhat = ref.reconstruct(W, H)
    first = np.sqrt(np.mean((np.pad(X, ((0, 0), (L, L))) - Xhat) ** 2))
    assert one.cost[0] == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"X": np.ones(9)}, DataError, "matrix"),
        ({"X": -np.ones((6, 35))}, DataError, "from 0 up"),
        ({"X": np.full((6, 35), np.nan)}, DataError, "missing"),
        ({"mask_observed": np.ones((6, 34))}, UsageError, "mask"),
        ({"motifs_init": np.ones((6, 3, 4))}, UsageError, r"motifs_init .*\(6, 3, 5\)"),
        ({"motifs_init": -np.ones((6, 3, 5))}, UsageError, "motifs_init .* negative"),
        ({"activations_init": np.ones((3, 45))}, UsageError, r"activations_init .*\(3, 35\)"),
    ],
)
def test_what_cannot_be_used_is_refused(given, kind, text):
    given = {"X": problem(6)[0], **given}
    with pytest.raises(kind, match=text):
        fit_matlab(given.pop("X"), **settings(max_iter=2, **given))


def test_of_silence_nothing_is_explained():
    found = fit_matlab(np.zeros((4, 30)), **settings(max_iter=3, rng=np.random.default_rng(0)))
    assert found.power == 0
    assert not found.loadings.any()
    assert np.isfinite(found.motifs).all()


@pytest.mark.parametrize(
    "setting",
    [
        {"solver": "hals"},
        {"backend": "fft"},
        {"n_init": 2},
        {"missing": "hide"},
        {"dtype": "float32"},
    ],
)
def test_what_the_original_does_not_have_is_refused(setting):
    model = SeqNMF(2, 3, compat="matlab", **setting)
    with pytest.raises(UsageError, match=f"leave out {next(iter(setting))} "):
        model.fit(np.eye(4, 20))
