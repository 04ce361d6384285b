"""Scripts written for scikit-learn or cNMF: what they are told."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.decomposition
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from partwise import NMF, ConsensusNMF, MiniBatchNMF, select_rank
from partwise.exceptions import DataError, UsageError

EACH = pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF, ConsensusNMF])


def good(n=40, p=6):
    return np.random.default_rng(0).random((n, p))


@pytest.mark.parametrize(
    ("estimator", "given", "text"),
    [
        (NMF, {"alpha_W": 0.1}, "take l1_usage=alpha_W"),
        (NMF, {"alpha_H": "same"}, "take l1_programs=alpha_H"),
        (NMF, {"l1_ratio": 0.5}, "take l1_usage=.*take l1_programs="),
        (NMF, {"beta_loss": "frobenius"}, "take loss='frobenius' or"),
        (NMF, {"verbose": 1}, "take callback= of fit"),
        (NMF, {"n_jobs": -1}, "take n_threads"),
        (NMF, {"n_component": 3}, "did you mean n_components"),
        (MiniBatchNMF, {"solver": "mu"}, "leave it out"),
        (MiniBatchNMF, {"fresh_restarts": True}, "leave it out"),
        (ConsensusNMF, {"n_iter": 100}, "take n_replicates"),
    ],
)
def test_parameters_of_others_are_explained(estimator, given, text):
    name = next(iter(given))
    for call in (estimator, estimator().set_params):
        with pytest.raises(UsageError, match=f"no parameter '{name}' .{text}") as caught:
            call(**given)
        # as Python's own error for an unknown parameter is
        assert isinstance(caught.value, TypeError)


def test_no_advice_that_does_not_apply():
    with pytest.raises(UsageError, match=r"^ConsensusNMF has no parameter 'alpha_W'; it has"):
        ConsensusNMF(alpha_W=0.1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"solver": "mu"}, "not 'mu': 'auto' has a solver for each loss"),
        ({"init": None}, "not None: leave it out"),
        ({"init": "nndsvdar"}, "not 'nndsvdar': 'nndsvda'"),
        ({"init": np.ones(3)}, "init must be one of"),
        ({"n_components": "auto"}, "not 'auto': None takes 10, and partwise.select_rank"),
        ({"loss": "poisson"}, "not 'poisson': that is 'kullback-leibler'"),
    ],
)
def test_values_of_others_are_explained(given, text):
    with pytest.raises(UsageError, match=text):
        NMF(**{"n_components": 2, **given}).fit(good())


@EACH
def test_the_signature_stays(estimator):
    parameters = inspect.signature(estimator).parameters
    assert next(iter(parameters)) == "n_components"
    assert "random_state" in parameters
    assert estimator._get_param_names() == sorted(parameters)
    given = estimator(3, random_state=1)
    assert clone(given).get_params() == pickle.loads(pickle.dumps(given)).get_params()
    assert given.set_params(n_components=4).n_components == 4
    with pytest.raises(UsageError, match="take n_threads"):
        make_pipeline(given).set_params(**{f"{estimator.__name__.lower()}__n_jobs": 2})


def test_penalties_translate():
    """The weights that the errors name are those of scikit-learn's objective."""
    X, k, alpha, ratio = good(), 3, 0.002, 0.5
    n, p = X.shape
    theirs = sklearn.decomposition.NMF(
        k, alpha_W=alpha, l1_ratio=ratio, max_iter=5000, tol=1e-8, random_state=0
    )
    ours = NMF(
        k,
        l1_usage=alpha * ratio * p,
        l2_usage=alpha * (1 - ratio) * p,
        l1_programs=alpha * ratio * n,
        l2_programs=alpha * (1 - ratio) * n,
        max_iter=5000,
        tol=1e-9,
        random_state=0,
    )
    W, V = theirs.fit_transform(X), ours.fit_transform(X)
    H, G = theirs.components_, ours.components_

    def objective(W, H):
        value = 0.5 * np.square(X - W @ H).sum()
        for factor, size in ((W, p), (H, n)):
            value += alpha * size * (ratio * factor.sum() + 0.5 * (1 - ratio) * (factor**2).sum())
        return value

    assert objective(V, G) == pytest.approx(objective(W, H), rel=2e-3)
    assert ours.result_.loss[-1] == pytest.approx(objective(V, G), rel=1e-6)


class TestKinds:
    """Numbers of double precision stay so, under whatever name they come."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda X: X.astype(">f8"),
            lambda X: X.astype(object),
            lambda X: X.tolist(),
            lambda X: pd.DataFrame(X).astype("Float64"),
            lambda X: pd.DataFrame.sparse.from_spmatrix(sp.csr_matrix(X)),
        ],
    )
    def test_wide(self, wrap):
        model = NMF(2, random_state=0).fit(wrap(good()))
        assert model.components_.dtype == np.float64
        assert model.reconstruction_err_ == pytest.approx(
            NMF(2, random_state=0).fit(good()).reconstruction_err_, rel=1e-5
        )

    @pytest.mark.parametrize("kind", ["u1", "i8", "f2", ">f4", "?", "f4"])
    def test_narrow(self, kind):
        assert NMF(2, random_state=0).fit((3 * good()).astype(kind)).components_.dtype == "f4"


@pytest.mark.parametrize(
    ("wrap", "text"),
    [
        (lambda X: pd.DataFrame(X).rename(columns=str).assign(day=pd.Timestamp("2020")), "'day'"),
        (
            lambda X: pd.DataFrame(X).rename(columns=str).assign(kind="B"),
            "row 0 .*'kind': could not .*'B'",
        ),
        (lambda X: [[1, 2], [3, "x"], [5, 6]], "row 1 .*column 1 .*: could not convert .*'x'"),
        (lambda X: [[1, 2], [3]], "inhomogeneous"),
        (lambda X: pd.DataFrame(X)[0], "2-dimensional"),
        (lambda X: X.astype("m8[s]"), "timedelta64"),
    ],
)
def test_what_is_no_number_is_named(wrap, text):
    with pytest.raises(DataError, match=text):
        NMF(2, random_state=0).fit(wrap(good()))


def test_one_rank_is_not_several():
    with pytest.raises(UsageError, match="several whole numbers, not 5"):
        select_rank(good(), 5)


def test_inverse_transform_takes_sparse_usage():
    model = NMF(2, random_state=0).fit(good())
    usage = model.transform(good())
    assert np.array_equal(
        model.inverse_transform(sp.csr_matrix(usage)), model.inverse_transform(usage)
    )
    with pytest.raises(DataError, match="numbers"):
        model.inverse_transform([["a", "b"]])
