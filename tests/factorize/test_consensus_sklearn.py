"""scikit-learn's grammar for ConsensusNMF: all checks, and what users do with estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import check_estimator

from partwise import ConsensusNMF

X = np.random.default_rng(0).random((60, 3)) @ np.random.default_rng(1).random((3, 6))
#: random data have no programs that many fits find: nothing is filtered
SMALL = {"n_replicates": 3, "density_threshold": 2.0}


@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_pass():
    results = check_estimator(ConsensusNMF(**SMALL), on_fail=None)
    assert len(results) > 40
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    # it needs an environment variable that is read when SciPy is imported
    failed.pop("check_array_api_input", None)
    assert failed == {}


def model(k=3, **settings):
    return ConsensusNMF(k, **{**SMALL, "random_state": 0, **settings})


def test_clone_has_the_parameters_and_nothing_learned():
    fitted = model(tol=1e-3, local_neighborhood_size=0.5).fit(X)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "components_")
    assert "l1_usage" not in copy.get_params()


def test_pickle():
    fitted = model().fit(X)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(copy.result_.cluster, fitted.result_.cluster)


def test_names_and_pandas_output():
    frame = pd.DataFrame(X, columns=list("abcdef"), index=[f"cell{i}" for i in range(60)])
    fitted = model().set_output(transform="pandas")
    usage = fitted.fit_transform(frame)
    assert usage.index.equals(frame.index)
    assert usage.columns.tolist() == ["consensusnmf0", "consensusnmf1", "consensusnmf2"]
    assert fitted.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame[list("fedcba")])


def test_pipeline():
    steps = make_pipeline(MaxAbsScaler(), model())
    usage = steps.fit_transform(X)
    np.testing.assert_array_equal(steps.transform(X), usage)
    assert np.abs(steps.inverse_transform(usage) - X).max() < 0.3


def test_not_fitted():
    for method in ("transform", "inverse_transform", "score", "gene_scores"):
        with pytest.raises(NotFittedError):
            getattr(ConsensusNMF(), method)(X)


def test_shows_its_parameters():
    assert repr(ConsensusNMF(3)) == "ConsensusNMF(n_components=3)"
