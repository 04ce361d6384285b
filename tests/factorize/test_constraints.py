"""Given programs and semi-NMF, as a user meets them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import partwise
import reference
from partwise import NMF
from partwise.exceptions import UsageError

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


def signatures(H, m=2, free=0.3):
    """Return the first programs of H with some entries free, and which are given."""
    fixed = H[:m].copy()
    fixed[np.random.default_rng(0).random(fixed.shape) < free] = np.nan
    return fixed, ~np.isnan(fixed)


def plain_fixed(X, W, H, given, iterations):
    """Alternate sweeps in NumPy that leave the given entries of H (k x p) alone."""
    X, W, H = reference.dense(X), W.copy(), H.copy()
    for _ in range(iterations):
        G, B = H @ H.T, X @ H.T
        for t in range(len(G)):
            W[:, t] = np.maximum(0, W[:, t] + (B[:, t] - W @ G[t]) / G[t, t])
        G, B = W.T @ W, W.T @ X
        for t in range(len(G)):
            new = np.maximum(0, H[t] + (B[t] - G[t] @ H) / G[t, t])
            H[t] = np.where(given[t], H[t], new)
    return W, H


class TestFixedPrograms:
    @pytest.mark.parametrize("solver", ["hals", "bpp"])
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    def test_given_entries_come_back_to_the_bit(self, kind, dtype, solver):
        X, H = data(kind, dtype)
        fixed, known = signatures(H)
        model = NMF(5, fixed_programs=fixed, solver=solver, n_init=2, tol=1e-4, random_state=0)
        W = model.fit_transform(X)
        np.testing.assert_array_equal(model.components_[:2][known], fixed[known].astype(dtype))
        assert (model.components_ >= 0).all()
        assert (np.diff(model.result_.loss) <= 0).all()
        assert (np.diff(model.result_.explained[2:]) <= 0).all()
        np.testing.assert_allclose(model.components_[2:].sum(axis=1), 1, rtol=1e-5)
        assert reference.kkt_violation(X, W, model.components_) < 1e-5
        expected = reference.relative_error(X, W, model.components_)
        assert model.result_.relative_error == pytest.approx(expected, rel=1e-4)
        tolerance = {np.float32: 1e-5, np.float64: 1e-10}[dtype] * W.max()
        np.testing.assert_allclose(model.transform(X), W, rtol=0, atol=tolerance)
        assert model.score(X) == pytest.approx(1 - expected**2, rel=1e-4)

    @pytest.mark.parametrize("solver", ["hals", "bpp"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_as_good_as_plain_iterations(self, kind, solver):
        X, H = data(kind, n=150)
        fixed, known = signatures(H)
        rng = np.random.default_rng(1)
        W0, H0 = rng.random((150, 5)), rng.random(H.shape)
        H0[:2][known] = fixed[known]
        given = np.vstack([known, np.zeros((3, H.shape[1]), bool)])
        best = reference.objective(X, *plain_fixed(X, W0, H0, given, 1500))
        model = NMF(5, fixed_programs=fixed, init="custom", solver=solver, tol=1e-8, max_iter=2000)
        W = model.fit_transform(X, W=W0, H=H0)
        assert reference.objective(X, W, model.components_) <= best * 1.002

    def test_known_signatures_help_to_find_the_others(self):
        X, H = data("wide", k=6, noise=0.1)
        model = NMF(6, fixed_programs=H[:4], tol=1e-7, random_state=0).fit(X)
        unit = H / np.linalg.norm(H, axis=1, keepdims=True)
        found = model.components_[4:]
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        assert (unit[4:] @ found.T).max(axis=1).min() > 0.99

    @pytest.mark.parametrize("kind", KINDS)
    def test_all_given_is_projection(self, kind):
        X, H = data(kind)
        model = NMF(5, fixed_programs=H, random_state=0)
        W = model.fit_transform(X)
        np.testing.assert_array_equal(model.components_, H)
        expected = reference.nnls(X, H)
        np.testing.assert_allclose(W, expected, atol=1e-6 * expected.max())
        assert model.result_.converged

    def test_zeros_keep_a_program_out_of_features(self):
        """Zeros alone: the scale of the program is open, and it sums to 1."""
        X, _ = data("wide")
        fixed = np.full((2, 110), np.nan)
        fixed[0, ::2], fixed[1, 1::2] = 0.0, 0.0
        model = NMF(5, fixed_programs=fixed, random_state=0).fit(X)
        H = model.components_
        assert not H[0, ::2].any()
        assert not H[1, 1::2].any()
        assert (H.max(axis=1) > 0).all()
        np.testing.assert_allclose(H.sum(axis=1), 1, rtol=1e-10)

    def test_reseeding_leaves_given_entries_alone(self):
        X, H = data("narrow", noise=0.05)
        fixed, known = signatures(H)
        start = np.random.default_rng(0).random(H.shape)
        start[3] = 0
        model = NMF(5, fixed_programs=fixed, init="custom", max_iter=300, tol=1e-7)
        W = model.fit_transform(X, H=start)
        np.testing.assert_array_equal(model.components_[:2][known], fixed[known])
        assert (W.max(axis=0) > 0).all()
        # a program that is all zeros but for one given entry which no row has
        lonely = np.zeros((1, 26))
        lonely[0, 25] = 3.0
        Y = np.column_stack([X, np.zeros(len(X))])
        model = NMF(5, fixed_programs=lonely, random_state=0).fit(Y)
        np.testing.assert_array_equal(model.components_[:1], lonely)
        assert (model.components_[1:].max(axis=1) > 0).all()

    def test_large_data_start_on_a_sample(self):
        rng = np.random.default_rng(0)
        H = rng.random((3, 12))
        X = (rng.random((40_000, 3)) @ H).astype(np.float32)
        model = NMF(3, fixed_programs=H[:1], random_state=0).fit(X)
        assert model.result_.details["steps_on_sample"] > 0
        np.testing.assert_array_equal(model.components_[0], H[0].astype(np.float32))
        assert model.result_.relative_error < 0.01

    def test_the_usage_may_be_penalised_alone_where_the_scale_is_given(self):
        X, H = data("narrow")
        model = NMF(5, fixed_programs=H, l1_usage=3.0)
        W = model.fit_transform(X)
        assert reference.kkt_violation(X, W, H, l1=3.0) < 1e-7
        with pytest.raises(UsageError, match="only usage is penalised"):
            NMF(5, fixed_programs=H[:4], l1_usage=3.0).fit(X)
        weights = [3.0, 3.0, 3.0, 3.0, 0.0]
        NMF(5, fixed_programs=H[:4], l1_usage=weights, random_state=0).fit(X)

    def test_penalties_of_the_free_entries(self):
        X, H = data("wide")
        fixed, known = signatures(H)
        penalties = {"l1_usage": 0.2, "l2_usage": 0.1, "l1_programs": 5.0, "l2_programs": 0.3}
        model = NMF(5, fixed_programs=fixed, tol=1e-7, random_state=0, **penalties)
        W = model.fit_transform(X)
        found = reference.objective(X, W, model.components_, **penalties)
        assert found <= model.result_.loss[-1] * (1 + 1e-9)
        assert found == pytest.approx(model.result_.loss[-1], rel=1e-3)
        np.testing.assert_array_equal(model.components_[:2][known], fixed[known])

    def test_columns_are_matched_by_name(self):
        X, H = data("narrow")
        names = [f"gene {j}" for j in range(25)]
        frame = pd.DataFrame(X, columns=names)
        fixed = pd.DataFrame(H[:2], columns=names)
        fixed.iloc[1, 3:9] = np.nan
        few = {"random_state": 0, "max_iter": 9, "tol": 0}
        expected = NMF(5, fixed_programs=fixed.to_numpy(), **few).fit(X).components_
        shuffled = fixed[names[::-1]]
        model = NMF(5, fixed_programs=shuffled, **few).fit(frame)
        np.testing.assert_array_equal(model.components_, expected)
        model.transform(frame)
        with pytest.raises(UsageError, match="they differ, for one 'gene 3'"):
            NMF(5, fixed_programs=fixed.drop(columns="gene 3"), **few).fit(frame)
        with pytest.raises(UsageError, match="they differ, for one 'gene 3'"):
            NMF(5, fixed_programs=fixed.rename(columns={"gene 3": "x"}), **few).fit(frame)
        by_place = NMF(5, fixed_programs=fixed, **few).fit(X).components_
        np.testing.assert_array_equal(by_place, expected)


HIDING = {
    "given": lambda H: {"fixed_programs": signatures(H)[0]},
    "apart": lambda H: {"orthogonality": 0.01},
    "semi": lambda H: {"signed": "programs", "l2_usage": 0.1, "l2_programs": 0.1},
    "semi, usage": lambda H: {"signed": "usage"},
    "penalised": lambda H: {"l1_usage": 0.1, "l2_programs": 0.1},
}


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize("kind", KINDS)
class TestHidden:
    """All of it goes with hidden entries."""

    def test_fits_what_is_seen(self, kind, name):
        X, H = data(kind, signed="semi" in name)
        hole = np.random.default_rng(0).random(X.shape) < 0.1
        parameters = {"random_state": 0, "tol": 1e-6, "max_iter": 1000, **HIDING[name](H)}
        model = NMF(5, **parameters)
        usage = model.fit_transform(X, mask=hole)
        assert (np.diff(model.result_.loss) <= 0).all()
        dense = reference.dense(X)
        gap = np.where(hole, 0, dense - np.float64(usage) @ model.components_)
        expected = np.linalg.norm(gap) / np.linalg.norm(np.where(hole, 0, dense))
        assert model.result_.relative_error == pytest.approx(expected, rel=1e-6)
        full = NMF(5, **parameters).fit(X)
        assert model.result_.relative_error < full.result_.relative_error * 1.1
        if name == "given":
            fixed, known = signatures(H)
            np.testing.assert_array_equal(model.components_[:2][known], fixed[known])

    def test_hidden_values_change_no_bit(self, kind, name):
        if kind == "sparse":
            return
        X, H = data(kind, signed="semi" in name)
        hole = np.random.default_rng(0).random(X.shape) < 0.1
        fits = [
            NMF(5, random_state=0, max_iter=8, tol=0, **HIDING[name](H)).fit(
                np.where(hole, filler, X), mask=hole
            )
            for filler in (np.nan, 1e30, 0.5)
        ]
        for other in fits[1:]:
            np.testing.assert_array_equal(other.components_, fits[0].components_)


class TestInvariance:
    def models(self, H, n_threads=None):
        fixed, _ = signatures(H)
        few = {"max_iter": 6, "tol": 0, "random_state": 0, "n_threads": n_threads}
        yield False, NMF(5, fixed_programs=fixed, **few)
        yield False, NMF(5, fixed_programs=fixed, solver="bpp", init="random", n_init=2, **few)
        yield True, NMF(5, signed="usage", **few)
        yield True, NMF(5, signed="programs", **few)
        yield True, NMF(5, signed="programs", fixed_programs=fixed, solver="bpp", **few)
        yield False, NMF(5, fixed_programs=H[:1], orthogonality=0.1, **few)

    def outputs(self, model, X):
        usage = model.fit_transform(X)
        result = model.result_
        return [
            usage, model.components_, result.loss, result.explained, model.transform(X),
            np.array([result.relative_error, model.score(X)]),
        ]  # fmt: skip

    @pytest.mark.parametrize("which", range(6))
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("kind", KINDS)
    def test_threads_and_chunks(self, kind, dtype, which):
        _, H = data(kind)
        signed, one = list(self.models(H, 1))[which]
        X, _ = data(kind, dtype, n=3000, signed=signed)
        expected = self.outputs(one, X)
        for Y in (X, reference.Chunks(X, 700)):
            found = self.outputs(list(self.models(H, 2))[which][1], Y)
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("which", range(6))
    def test_order_of_rows_and_features(self, which):
        _, H = data("wide")
        signed, model = list(self.models(H))[which]
        X, _ = data("wide", signed=signed)
        rng = np.random.default_rng(3)
        rows, columns = rng.permutation(400), rng.permutation(110)
        W0, H0 = rng.random((400, 5)), rng.random((5, 110))
        model.set_params(init="custom", n_init=1)
        W = model.fit_transform(X, W=W0, H=H0)
        other = clone(model)
        if model.fixed_programs is not None:
            other.set_params(fixed_programs=model.fixed_programs[:, columns])
        U = other.fit_transform(X[rows][:, columns], W=W0[rows], H=H0[:, columns])
        np.testing.assert_allclose(U, W[rows], atol=1e-6 * np.abs(W).max())
        expected = model.components_[:, columns]
        np.testing.assert_allclose(other.components_, expected, atol=1e-8 * expected.max())

    @pytest.mark.parametrize("which", range(6))
    def test_saved_and_loaded(self, which, tmp_path):
        _, H = data("narrow")
        signed, model = list(self.models(H))[which]
        X, _ = data("narrow", signed=signed)
        model.fit(X)
        partwise.save(model, tmp_path / "model.npz")
        loaded = partwise.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(loaded.components_, model.components_)
        np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
        assert loaded.signed == model.signed
        if model.fixed_programs is not None:
            np.testing.assert_array_equal(loaded.fixed_programs, model.fixed_programs)
            np.testing.assert_array_equal(loaded.fit(X).components_, model.components_)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 4),
    m=st.integers(0, 4),
    free=st.floats(0, 0.9),
    signed=st.sampled_from([None, "usage", "programs"]),
    sparse=st.booleans(),
    solver=st.sampled_from(["hals", "bpp"]),
)
def test_properties(seed, k, m, free, signed, sparse, solver):
    """On any data: the loss falls, the constraint holds, the numbers are finite."""
    rng = np.random.default_rng(seed)
    X = rng.random((17, 9)) * (rng.random((17, 9)) < 0.6)
    fixed = None
    if m:
        fixed = rng.random((min(m, k), 9))
        fixed[rng.random(fixed.shape) < free] = np.nan
        fixed[:, 0] = 1
    if signed:
        X -= 0.3 * (X > 0)
    if fixed is not None and signed == "programs":
        fixed -= 0.5
    Y = sp.csr_matrix(X) if sparse else X
    model = NMF(
        k, fixed_programs=fixed, signed=signed, solver=solver, random_state=seed, max_iter=15
    )
    W = model.fit_transform(Y)
    H = model.components_
    assert (np.diff(model.result_.loss) <= 0).all()
    assert np.isfinite(W).all()
    assert np.isfinite(H).all()
    assert signed == "usage" or (W >= 0).all()
    assert signed == "programs" or (H >= 0).all()
    if fixed is not None:
        known = ~np.isnan(fixed)
        np.testing.assert_array_equal(H[: len(fixed)][known], fixed[known])
    scale = np.sum(X**2)
    # the usage is exact for the programs, which is at least as good as what the loss says
    assert reference.objective(X, W, H) <= model.result_.loss[-1] + 1e-6 * scale


class TestRefused:
    def refused(self, message, **parameters):
        X = np.random.default_rng(0).random((20, 6))
        with pytest.raises(UsageError) as caught:
            NMF(**{"n_components": 3, **parameters}).fit(X)
        assert message in str(caught.value)

    def test_shapes(self):
        self.refused("not shape (2, 5)", fixed_programs=np.ones((2, 5)))
        self.refused("has 4 programs, but the model has n_comp", fixed_programs=np.ones((4, 6)))

    def test_negative(self):
        self.refused("negative entry at row 0, column 0", fixed_programs=-np.ones((2, 6)))

    def test_l1_on_a_signed_factor(self):
        for name in ("usage", "programs"):
            message = f"l1_{name} does not go with signed='{name}'"
            self.refused(message, signed=name, l1_usage=1, l1_programs=1)

    def test_penalties_on_programs_that_are_all_given(self):
        self.refused(
            "a penalty on them changes nothing", fixed_programs=np.ones((3, 6)), l2_usage=1,
            l2_programs=1,
        )  # fmt: skip

    def test_orthogonality(self):
        self.refused("orthogonality does not go with solver='bpp'", orthogonality=1, solver="bpp")
        self.refused("orthogonality does not go with signed=", orthogonality=1, signed="programs")
        self.refused("orthogonality must be a finite number from 0 up", orthogonality=-1)
        self.refused("orthogonality must be a finite number from 0 up", orthogonality=np.nan)

    @pytest.mark.parametrize(
        "parameters",
        [{"signed": "usage"}, {"fixed_programs": np.ones((1, 6))}, {"orthogonality": 0.1}],
    )
    def test_counts(self, parameters):
        (name,) = parameters
        message = f"{name} does not go with loss='kullback-leibler'"
        self.refused(message, loss="kullback-leibler", **parameters)

    def test_negative_data_without_signed(self):
        X = np.random.default_rng(0).standard_normal((20, 6))
        with pytest.raises(partwise.exceptions.DataError, match="Negative values"):
            NMF(3).fit(X)
        NMF(3, signed="usage", random_state=0).fit(X)
        NMF(3, signed="usage", random_state=0).fit(sp.csr_matrix(X))
        with pytest.raises(partwise.exceptions.DataError, match=r"largest value is 2\.33e"):
            NMF(3, signed="usage").fit(np.float32(X) * np.float32(-1e30))

    def test_start_with_the_wrong_sign(self):
        X = np.ones((20, 6))
        for signed, W, H in (("usage", 1, -1), ("programs", -1, 1), (None, 1, -1)):
            model = NMF(2, signed=signed, init="custom")
            with pytest.raises(UsageError, match="must be finite and not negative"):
                model.fit_transform(X, W=np.full((20, 2), W), H=np.full((2, 6), H))
