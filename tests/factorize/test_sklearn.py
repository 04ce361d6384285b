"""scikit-learn's grammar: all of its checks, and what users do with estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import check_estimator

from partwise import NMF, MiniBatchNMF

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BOTH = pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])
X = np.random.default_rng(0).random((60, 3)) @ np.random.default_rng(1).random((3, 6))


@pytest.mark.parametrize(
    "estimator",
    [NMF(), MiniBatchNMF(), NMF(2, solver="bpp"), NMF(2, l1_usage=0.01, l2_programs=0.01)],
    ids=["NMF", "MiniBatchNMF", "bpp", "elastic net"],
)
@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_pass(estimator):
    results = check_estimator(estimator, on_fail=None)
    assert len(results) > 40
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    # it needs an environment variable that is read when SciPy is imported
    failed.pop("check_array_api_input", None)
    assert failed == {}


@BOTH
class TestGrammar:
    def test_clone_has_the_parameters_and_nothing_learned(self, estimator):
        model = estimator(3, tol=1e-3, random_state=1, l1_usage=0.1, l1_programs=0.2).fit(X)
        copy = clone(model)
        assert copy.get_params() == model.get_params()
        assert not hasattr(copy, "components_")

    def test_set_params(self, estimator):
        model = estimator().set_params(n_components=2, max_iter=50, random_state=0).fit(X)
        assert model.components_.shape == (2, 6)

    def test_pickle(self, estimator):
        model = estimator(3, random_state=0).fit(X)
        copy = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copy.transform(X), model.transform(X))
        assert copy.result_.status is model.result_.status

    def test_names_of_the_components(self, estimator):
        names = estimator(3, random_state=0).fit(X).get_feature_names_out()
        prefix = estimator.__name__.lower()
        assert names.tolist() == [f"{prefix}0", f"{prefix}1", f"{prefix}2"]

    def test_pandas_output(self, estimator):
        frame = pd.DataFrame(X, columns=list("abcdef"), index=[f"cell{i}" for i in range(60)])
        model = estimator(3, random_state=0).set_output(transform="pandas")
        for usage in (model.fit_transform(frame), model.transform(frame)):
            assert isinstance(usage, pd.DataFrame)
            assert usage.index.equals(frame.index)
            assert usage.columns.tolist() == model.get_feature_names_out().tolist()
        assert model.feature_names_in_.tolist() == list("abcdef")
        np.testing.assert_array_equal(usage, estimator(3, random_state=0).fit(X).transform(X))

    def test_features_are_matched_by_name(self, estimator):
        frame = pd.DataFrame(X, columns=list("abcdef"))
        model = estimator(3, random_state=0).fit(frame)
        with pytest.raises(ValueError, match="feature names should match"):
            model.transform(frame[list("fedcba")])

    def test_pipeline(self, estimator):
        steps = make_pipeline(MaxAbsScaler(), estimator(3, random_state=0))
        usage = steps.fit_transform(X)
        assert usage.shape == (60, 3)
        np.testing.assert_allclose(steps.transform(X), usage, atol=1e-8)
        assert isinstance(steps, Pipeline)
        assert np.abs(steps.inverse_transform(usage) - X).max() < 0.1

    def test_score_chooses_a_number_of_components(self, estimator):
        search = GridSearchCV(
            estimator(random_state=0, max_iter=1000), {"n_components": [1, 3]}, cv=2
        )
        assert search.fit(X).best_params_ == {"n_components": 3}

    @pytest.mark.parametrize("method", ["transform", "inverse_transform", "score"])
    def test_not_fitted(self, estimator, method):
        with pytest.raises(NotFittedError):
            getattr(estimator(), method)(X)

    def test_shows_its_parameters(self, estimator):
        assert repr(estimator(3)) == f"{estimator.__name__}(n_components=3)"
