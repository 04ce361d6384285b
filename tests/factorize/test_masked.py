"""Hidden entries and weights as users give them, and the error at entries that were held out."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import masked_reference as masked
import reference
from partwise import NMF, MiniBatchNMF, Speckle
from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.factorize import held_out_error
from partwise.matrix import matrix as matrix_module

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")
BOTH = pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])


def outputs(model, X, **given):
    """Return all numbers that a fit leaves, and the usage of the same rows as new ones."""
    usage = model.fit_transform(X, **given)
    result = model.result_
    return {
        "usage": usage,
        "programs": model.components_,
        "loss": result.loss,
        "explained": result.explained,
        "details": np.array(list(result.details.values())),
        "errors": np.array([result.relative_error, model.reconstruction_err_]),
        "score": np.array(model.score(X, **given)),
        "transform": model.transform(X, **given),
    }


def same(one, two):
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


def estimators(n_threads=None):
    some = {"random_state": 0, "n_threads": n_threads}
    yield NMF(4, max_iter=6, tol=0, **some)
    yield NMF(4, max_iter=4, tol=0, init="random", n_init=2, **some)
    yield NMF(4, solver="bpp", max_iter=3, tol=0, **some)
    yield NMF(4, l1_usage=0.1, l2_usage=0.1, l1_programs=0.2, l2_programs=0.1, tol=1e-3, **some)
    yield MiniBatchNMF(4, batch_size=100, max_iter=3, **some)


WHICH = pytest.mark.parametrize("which", range(5))


def model_of(which, n_threads=None):
    return list(estimators(n_threads))[which]


class TestWaysToHide:
    """NaN, masks of any kind and weights of zero are one and the same."""

    @WHICH
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("kind", ["narrow", "wide"])
    def test_dense(self, kind, dtype, which):
        X, _, mask = masked.example(kind, dtype=dtype)
        missing = masked.with_values(X, mask, np.nan)
        one = outputs(model_of(which), missing)
        same(one, outputs(model_of(which), X, mask=mask))
        same(one, outputs(model_of(which), X, mask=mask.astype(np.int8)))
        same(one, outputs(model_of(which), X, mask=pd.DataFrame(mask)))
        same(one, outputs(model_of(which), X, mask=sp.coo_matrix(mask)))
        same(one, outputs(model_of(which), missing, mask=sp.csr_array(mask.astype(float))))
        same(one, outputs(model_of(which), pd.DataFrame(missing).to_numpy()))
        same(one, outputs(model_of(which), np.ma.masked_array(X, mask)))
        half = mask & (np.arange(mask.shape[1]) % 2 == 0)
        same(one, outputs(model_of(which), np.ma.masked_array(X, half), mask=mask & ~half))
        same(one, outputs(model_of(which), masked.with_values(X, half, np.nan), mask=mask))

    @WHICH
    def test_sparse(self, which):
        X, _, mask = masked.example("sparse")
        one = outputs(model_of(which), X, mask=mask)
        same(one, outputs(model_of(which), masked.with_values(X, mask, np.nan)))
        same(one, outputs(model_of(which), X, mask=sp.csc_matrix(mask)))
        same(one, outputs(model_of(which), masked.with_values(X, mask, 0.0), mask=mask))

    def test_explicit_zeros_of_a_sparse_mask_hide_nothing(self):
        X, _, mask = masked.example("wide")
        given = sp.coo_matrix(mask)
        padded = sp.coo_matrix(
            (
                np.r_[given.data, np.zeros(50, bool)],
                (np.r_[given.row, np.arange(50)], np.r_[given.col, np.arange(50)]),
            ),
            shape=mask.shape,
        )
        same(outputs(model_of(0), X, mask=mask), outputs(model_of(0), X, mask=padded))

    @pytest.mark.parametrize("kind", KINDS)
    def test_weights(self, kind):
        X, omega, mask = masked.example(kind, weights=True)
        one = outputs(model_of(0), X, weights=omega)
        same(one, outputs(model_of(0), X, weights=8 * omega))
        same(one, outputs(model_of(0), X, weights=np.where(mask, 1, omega), mask=mask))
        same(one, outputs(model_of(0), masked.with_values(X, mask, np.nan), weights=omega))
        rows = omega.max(axis=1, keepdims=True)
        full = outputs(model_of(0), X, weights=np.broadcast_to(rows, X.shape).copy())
        same(full, outputs(model_of(0), X, weights=rows))
        ones = outputs(model_of(0), X, weights=np.full(X.shape, 3))
        same(outputs(model_of(0), X), ones)

    @pytest.mark.parametrize("kind", KINDS)
    def test_speckle_is_the_mask_it_names(self, kind):
        X, _, _ = masked.example(kind)
        speckle = Speckle(0.2, seed=3, fold=1)
        indptr, columns = speckle.rows(0, *X.shape)
        mask = sp.csr_matrix((np.ones(columns.size, bool), columns, indptr), shape=X.shape)
        for which in range(5):
            one = outputs(model_of(which), X, mask=speckle)
            same(one, outputs(model_of(which), X, mask=mask))
            same(one, outputs(model_of(which), X, mask=mask.toarray()))

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_empty_mask_is_none(self, kind):
        X, _, _ = masked.example(kind)
        for which in range(5):
            one = outputs(model_of(which), X)
            same(one, outputs(model_of(which), X, mask=np.zeros(X.shape, bool)))
            same(one, outputs(model_of(which), X, mask=sp.csr_matrix(X.shape, dtype=bool)))


@WHICH
@pytest.mark.parametrize("kind", KINDS)
class TestBits:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_hidden_values_influence_nothing(self, kind, dtype, which):
        X, omega, mask = masked.example(kind, dtype=dtype, weights=True)
        mask[0, :10] = True  # the first rows are looked at for the scale of the data
        omega[mask] = 0
        rng = np.random.default_rng(0)
        top = np.finfo(dtype).max
        one = outputs(model_of(which), X, mask=mask, weights=omega)
        for values in (
            rng.exponential(1e3, mask.sum()),
            0.0,
            -1.0,
            np.inf,
            np.nan,
            top,
            rng.choice([np.nan, np.inf, -np.inf, -top, top, 1.0], mask.sum()),
        ):
            other = masked.with_values(X, mask, values)
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                same(one, outputs(model_of(which), other, mask=mask, weights=omega))

    def test_speckled_values_influence_nothing(self, kind, which):
        X, _, _ = masked.example(kind, dtype=np.float32)
        speckle = Speckle(0.3, seed=1)
        indptr, columns = speckle.rows(0, *X.shape)
        mask = np.zeros(X.shape, bool)
        mask[np.repeat(np.arange(300), np.diff(indptr)), columns] = True
        other = masked.with_values(X, mask, np.random.default_rng(1).random(mask.sum()) * 100)
        same(
            outputs(model_of(which), X, mask=speckle), outputs(model_of(which), other, mask=speckle)
        )

    @pytest.mark.parametrize("weights", [False, True])
    def test_threads(self, kind, which, weights):
        X, omega, _ = masked.example(kind, n=2500, dtype=np.float32, weights=weights)
        given = {"mask": Speckle(0.1), "weights": omega if weights else None}
        one = outputs(model_of(which, 1), X, **given)
        for n_threads in (2, 3):
            same(one, outputs(model_of(which, n_threads), X, **given))

    @pytest.mark.parametrize("chunk", [7, 1000])
    def test_a_source_has_the_bits_of_the_array(self, kind, which, chunk, monkeypatch):
        monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))
        X, omega, mask = masked.example(kind, n=700, dtype=np.float32, weights=True)
        missing = masked.with_values(X, mask, np.nan)
        for given in ({}, {"mask": Speckle(0.1), "weights": omega}, {"mask": mask}):
            one = outputs(model_of(which, 1), missing, **given)
            source = reference.Chunks(missing, chunk, offset=3)
            same(one, outputs(model_of(which, 2), source, **given))

    def test_hidden_values_of_a_source_may_be_anything(self, kind, which):
        X, _, mask = masked.example(kind, dtype=np.float32)
        one = outputs(model_of(which), X, mask=mask)
        for value in (-1.0, np.inf, np.nan):
            source = reference.Chunks(masked.with_values(X, mask, value), 70)
            same(one, outputs(model_of(which), source, mask=mask))

    def test_data_stay_as_they_are(self, kind, which):
        X, omega, mask = masked.example(kind, weights=True)
        X = masked.with_values(X, mask, np.nan)
        before = X.copy()
        kept = [a.copy() for a in (mask, omega)]
        outputs(model_of(which), X, mask=mask, weights=omega)
        np.testing.assert_array_equal(reference.dense(X), reference.dense(before))
        np.testing.assert_array_equal(mask, kept[0])
        np.testing.assert_array_equal(omega, kept[1])


class TestMiniBatch:
    def test_partial_fit_of_data_with_gaps(self):
        X, _, mask = masked.example("wide", n=600, noise=0.05)
        missing = masked.with_values(X, mask, np.nan)
        one = MiniBatchNMF(4, random_state=0)
        two = MiniBatchNMF(4, random_state=0)
        for _ in range(20):
            for start in range(0, 600, 200):
                rows = slice(start, start + 200)
                one.partial_fit(missing[rows])
                two.partial_fit(np.ma.masked_array(X[rows], mask[rows]))
        np.testing.assert_array_equal(one.components_, two.components_)
        H = one.components_
        W = one.transform(missing)
        assert masked.relative_error(X, ~mask, W, H) < 0.15
        gap = (X - W @ H)[mask]
        assert np.sqrt(np.mean(gap**2)) < 0.25 * np.sqrt(np.mean(X[mask] ** 2))

    def test_close_to_the_full_fit(self):
        X, _, mask = masked.example("wide", n=600)
        full = NMF(4, random_state=0, tol=1e-6).fit(X, mask=mask)
        online = MiniBatchNMF(4, random_state=0, batch_size=100).fit(X, mask=mask)
        assert online.result_.relative_error < 1.05 * full.result_.relative_error


class TestConstraints:
    def test_given_programs(self):
        X, omega, mask = masked.example("wide")
        _, _, H = reference.planted(300, 90, 4, noise=0.2)
        model = NMF(4, fixed_programs=H[:2], random_state=0)
        W = model.fit_transform(X, mask=mask)
        np.testing.assert_array_equal(model.components_[:2], H[:2])
        assert model.result_.relative_error == pytest.approx(
            masked.relative_error(X, omega, W, model.components_), rel=1e-9
        )

    @pytest.mark.parametrize("weights", [False, True])
    def test_programs_kept_apart(self, weights):
        X, omega, mask = masked.example("wide", weights=weights, hidden=0.4)
        given = {"mask": mask, "weights": omega if weights else None}
        plain = NMF(4, random_state=0, tol=1e-7, max_iter=2000).fit(X, **given)
        model = NMF(4, orthogonality=0.05, random_state=0, tol=1e-7, max_iter=2000)
        W = model.fit_transform(X, **given)
        assert (np.diff(model.result_.loss) <= 0).all()
        assert model.result_.relative_error == pytest.approx(
            masked.relative_error(X, omega, W, model.components_), rel=1e-9
        )

        def cosines(H):
            H = H / np.linalg.norm(H, axis=1, keepdims=True)
            return (H @ H.T)[np.triu_indices(4, 1)]

        assert cosines(model.components_).mean() < cosines(plain.components_).mean()
        norm = np.sum(omega * np.where(omega > 0, X, 0) ** 2)
        value = masked.objective(X, omega, W, model.components_)
        value += 0.5 * 0.05 * norm * cosines(model.components_).mean()
        assert model.result_.loss[-1] == pytest.approx(value, rel=1e-4)

    def test_signed_programs(self):
        X, omega, mask = masked.example("wide")
        X = X - X.mean()
        model = NMF(4, signed="programs", random_state=0)
        W = model.fit_transform(X, mask=mask)
        assert (model.components_ < 0).any()
        assert (np.diff(model.result_.loss) <= 0).all()
        assert model.result_.relative_error == pytest.approx(
            masked.relative_error(X, omega, W, model.components_), rel=1e-9
        )
        other = NMF(4, signed="programs", random_state=0)
        again = other.fit_transform(masked.with_values(X, mask, np.inf), mask=mask)
        np.testing.assert_array_equal(W, again)

    @pytest.mark.parametrize("weights", [False, True])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("kind", KINDS)
    def test_signed_usage(self, kind, dtype, weights):
        X, omega, mask = masked.example(kind, weights=weights, hidden=0.2, dtype=dtype)
        if kind != "sparse":
            X = X - X.mean(axis=0, dtype=dtype)
        omega[7] = 0
        mask[7] = True
        given = {"mask": mask, "weights": omega if weights else None}
        outputs = []
        for n_threads, values in ((1, np.inf), (2, -1.0)):
            model = NMF(4, signed="usage", random_state=0, tol=1e-6, n_threads=n_threads)
            data = masked.with_values(X, mask, values)
            with pytest.warns(PartwiseWarning, match="all entries of 1 rows"):
                outputs.append((model.fit_transform(data, **given), model.components_))
        for one, two in zip(*outputs, strict=True):
            np.testing.assert_array_equal(one, two)
        W, H = outputs[0]
        assert (W < 0).any()
        assert (H >= 0).all()
        norm = np.sum(omega * np.where(omega > 0, reference.dense(X), 0) ** 2)
        rounding = {np.float32: 3e-6, np.float64: 1e-12}[dtype] * norm
        assert (np.diff(model.result_.loss) <= 0).all()
        found = masked.objective(X, omega, W, H)
        assert found - rounding <= model.result_.loss[-1] <= found * (1 + 3e-4) + rounding
        rel = {np.float32: 2e-5, np.float64: 1e-8}[dtype]
        expected = masked.relative_error(X, omega, W, H)
        assert model.result_.relative_error == pytest.approx(expected, rel=rel)
        root = np.sqrt(omega)
        exact = [
            np.linalg.lstsq((np.float64(H) * r).T, np.where(r > 0, x, 0) * r, rcond=None)[0]
            for x, r in zip(reference.dense(X), root, strict=True)
        ]
        tight = {np.float32: 1e-4, np.float64: 1e-7}[dtype]
        np.testing.assert_allclose(W, exact, rtol=0, atol=tight * np.abs(exact).max())
        with pytest.warns(PartwiseWarning, match="all entries of 1 rows"):
            again = model.transform(X, **given)
        np.testing.assert_allclose(again, W, rtol=0, atol=tight * np.abs(exact).max())


class TestNothingSeen:
    X = np.random.default_rng(0).random((30, 6))

    @BOTH
    def test_everything_hidden(self, estimator):
        message = r"^all 30 x 6 entries are hidden or missing: nothing is left to fit$"
        with pytest.raises(DataError, match=message):
            estimator(2).fit(self.X, mask=np.ones((30, 6), bool))
        with pytest.raises(DataError, match=message):
            estimator(2).fit(np.full((30, 6), np.nan))

    @BOTH
    def test_rows_and_columns(self, estimator):
        mask = np.zeros((30, 6), bool)
        mask[[4, 9]] = True
        with pytest.warns(PartwiseWarning, match="^all entries of 2 rows are hidden or missing"):
            usage = estimator(2, random_state=0).fit_transform(self.X, mask=mask)
        assert not usage[[4, 9]].any()
        assert usage[5].any()
        mask = np.zeros((30, 6), bool)
        mask[:, 3] = True
        model = estimator(2, random_state=0)
        with pytest.warns(PartwiseWarning, match="^all entries of 1 columns are hidden"):
            model.fit(self.X, mask=mask)
        assert not model.components_[:, 3].any()
        assert model.components_[:, 4].any()

    def test_new_rows(self):
        model = NMF(2, random_state=0).fit(self.X)
        new = self.X[:5].copy()
        new[2] = np.nan
        with pytest.warns(PartwiseWarning, match="^all entries of 1 rows are hidden or missing"):
            usage = model.transform(new)
        assert not usage[2].any()
        others = [0, 1, 3, 4]
        np.testing.assert_allclose(usage[others], model.transform(self.X[:5])[others], rtol=1e-9)


class TestComplaints:
    X = np.random.default_rng(0).random((40, 6))

    def refused(self, message, *, error=UsageError, X=None, **given):
        X = self.X if X is None else X
        pattern = f"^{re.escape(message)}"
        fitted = NMF(2, random_state=0).fit(self.X)
        for call in (
            NMF(2).fit,
            NMF(2).fit_transform,
            MiniBatchNMF(2).fit,
            fitted.transform,
            fitted.score,
        ):
            with pytest.raises(error, match=pattern):
                call(X, **given)

    @pytest.mark.parametrize("shape", [(6, 40), (40, 5), (40,), (1, 6), (40, 6, 1)])
    def test_shape_of_the_mask(self, shape):
        message = f"mask must have the shape of the data, (40, 6), not {shape}"
        self.refused(message, mask=np.zeros(shape, bool))
        if len(shape) == 2:
            self.refused(message, mask=sp.csr_matrix(shape, dtype=bool))

    @pytest.mark.parametrize("dtype", [float, object, "U1", complex])
    def test_type_of_the_mask(self, dtype):
        self.refused(
            "mask must be boolean (True where an entry is hidden), a sparse matrix or a Speckle, "
            f"not {np.dtype(dtype)}; weights= takes numbers",
            mask=np.zeros((40, 6), dtype),
        )

    @pytest.mark.parametrize("shape", [(40, 5), (40,), (6,)])
    def test_shape_of_the_weights(self, shape):
        message = f"weights must have the shape of the data, (40, 6), not {shape}"
        self.refused(message, weights=np.ones(shape))

    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
    def test_values_of_the_weights(self, value):
        weights = np.ones((40, 6))
        weights[3, 4] = value
        self.refused("weights must be finite and not negative; 0 hides", weights=weights)

    def test_other_weights(self):
        self.refused("all weights are zero", weights=np.zeros((40, 6)))
        self.refused("weights must be an array: a sparse", weights=sp.csr_matrix(np.ones((40, 6))))
        self.refused("weights must be an array of numbers", weights=np.full((40, 6), "x"))

    @pytest.mark.parametrize("kind", ["dense", "sparse", "source"])
    def test_what_is_not_hidden_is_checked(self, kind):
        mask = np.zeros((40, 6), bool)
        mask[:, 0] = True
        mask[0, 0] = False
        for value, what in ((np.inf, "inf"), (-1.0, "Negative values")):
            X = self.X.copy()
            X[:, 0] = value
            X[:, 0][5] = np.nan
            X = {"dense": X, "sparse": sp.csr_matrix(X), "source": reference.Chunks(X, 7)}[kind]
            start = "Input X contains inf" if what == "inf" else "Negative values in data passed to"
            for call in (NMF(2).fit, MiniBatchNMF(2).fit):
                found = "first at row 0, column 0 \\(counted from 0\\), 1 in all"
                with pytest.raises(DataError, match=f"^{start}.*{found}"):
                    call(X, mask=mask)

    def test_too_large_but_hidden(self):
        X = self.X.copy()
        X[3, 3] = 1e200
        with pytest.raises(DataError, match=r"^the largest value is 1e\+200"):
            NMF(2).fit(X)
        mask = X > 1
        assert NMF(2, random_state=0).fit(X, mask=mask).result_.converged


def by_hand(X, mask, W, H, loss):
    """Return error, baseline and n from whole matrices."""
    x = reference.dense(X)[mask]
    y = (np.float64(W) @ np.float64(H))[mask]
    x, y = x[~np.isnan(x)], y[~np.isnan(x)]
    if loss == "frobenius":
        return np.sum((x - y) ** 2), np.sum(x**2), len(x)

    def deviance(y):
        logs = np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / y), 0.0)
        return 2 * np.sum(logs - x + y)

    return deviance(np.maximum(y, 1e-6 * x.mean())), deviance(np.full(len(x), x.mean())), len(x)


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
class TestHeldOut:
    @pytest.mark.parametrize("hidden", ["dense", "sparse", "speckle"])
    @pytest.mark.parametrize("kind", ["dense", "sparse", "source", "sparse source"])
    def test_equals_what_whole_matrices_give(self, kind, hidden, loss, monkeypatch):
        monkeypatch.setattr("partwise.factorize.held_out._CELLS", 2000)
        X, _, mask = masked.example("sparse", n=200)
        X = X if "sparse" in kind else X.toarray()
        rng = np.random.default_rng(0)
        W, H = rng.random((200, 3)), rng.random((3, 90)) * 50
        W[5] = 0
        given = {"dense": mask, "sparse": sp.coo_matrix(mask), "speckle": Speckle(0.2)}[hidden]
        if hidden == "speckle":
            indptr, columns = given.rows(0, 200, 90)
            mask = np.zeros((200, 90), bool)
            mask[np.repeat(np.arange(200), np.diff(indptr)), columns] = True
        data = reference.Chunks(X, 13) if "source" in kind else X
        found = held_out_error(data, given, W, H, loss=loss)
        error, baseline, n = by_hand(X, mask, W, H, loss)
        assert found.n == n
        assert found.error == pytest.approx(error, rel=1e-12)
        assert found.baseline == pytest.approx(baseline, rel=1e-12)
        assert found.relative == pytest.approx(np.sqrt(error / baseline), rel=1e-12)
        assert held_out_error(data, given, W, H, loss=loss, n_threads=1) == found

    def test_unknown_values_are_left_out(self, loss):
        X, _, mask = masked.example("wide", n=100)
        X[:10] = np.nan
        W, H = np.ones((100, 2)), np.ones((2, 90))
        found = held_out_error(X, mask, W, H, loss=loss)
        assert found.n == mask[10:].sum()
        assert (found.error, found.baseline, found.n) == pytest.approx(
            by_hand(X, mask, W, H, loss), rel=1e-12
        )

    def test_whole_numbers(self, loss):
        X = sp.random(60, 40, 0.3, "csr", random_state=0, data_rvs=lambda n: np.arange(1, n + 1))
        W, H = np.ones((60, 2)), np.ones((2, 40))
        one = held_out_error(X.astype(np.int64), Speckle(0.3), W, H, loss=loss)
        assert one == held_out_error(X.astype(float), Speckle(0.3), W, H, loss=loss)

    def test_refused(self, loss):
        X = np.ones((20, 6))
        W, H = np.ones((20, 2)), np.ones((2, 6))
        with pytest.raises(DataError, match=r"^the mask hides no entry whose value is known"):
            held_out_error(X, np.zeros((20, 6), bool), W, H, loss=loss)
        with pytest.raises(DataError, match=r"^the mask hides no entry whose value is known"):
            held_out_error(X * np.nan, X > 0, W, H, loss=loss)
        with pytest.raises(DataError, match=r"^held-out values are infinite"):
            held_out_error(X * np.inf, X > 0, W, H, loss=loss)
        with pytest.raises(UsageError, match=r"^mask must have the shape of the data"):
            held_out_error(X, np.zeros((6, 20), bool), W, H, loss=loss)
        for w, h in ((W[1:], H), (W, H[1:]), (W, H[:, 1:]), (W[0], H)):
            with pytest.raises(UsageError, match=r"^the data are 20 x 6: usage must be 20 x k"):
                held_out_error(X, X > 0, w, h, loss=loss)
        with pytest.raises(UsageError, match=r"^loss must be one of"):
            held_out_error(X, X > 0, W, H, loss="euclidean")


def test_held_out_deviance_is_for_counts():
    X = np.full((20, 6), -1.0)
    with pytest.raises(DataError, match=r"^held-out values are negative"):
        held_out_error(X, X < 0, np.ones((20, 2)), np.ones((2, 6)), loss="kullback-leibler")


def test_cross_validation_by_folds_covers_each_entry_once():
    X, _, _ = masked.example("wide", n=100)
    W, H = np.ones((100, 2)), np.ones((2, 90))
    folds = [held_out_error(X, Speckle(0.25, 3, fold), W, H) for fold in range(4)]
    assert sum(fold.n for fold in folds) == X.size
    whole = held_out_error(X, np.ones(X.shape, bool), W, H)
    assert sum(fold.error for fold in folds) == pytest.approx(whole.error, rel=1e-12)
