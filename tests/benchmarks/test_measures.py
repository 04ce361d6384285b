"""The benchmarks' own measures, against direct formulas and scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


measures = load("measures")


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.3, size=(50, 30)).astype(np.float32)
    return X, rng.random((50, 4), dtype=np.float32), rng.random((4, 30), dtype=np.float32)


@pytest.mark.parametrize("block", [7, 50, 1000])
def test_error_is_that_of_the_whole_residual(problem, block):
    X, W, H = problem
    exact = np.linalg.norm(X - W.astype(float) @ H) / np.linalg.norm(X.astype(float))
    assert measures.relative_error(X, W, H, block) == pytest.approx(exact, rel=1e-12)
    assert measures.relative_error(sp.csr_matrix(X), W, H, block) == pytest.approx(exact, rel=1e-12)


def test_error_of_an_exact_fit_is_zero(problem):
    _, W, H = problem
    assert measures.relative_error(W.astype(float) @ H, W, H) < 1e-15


@pytest.mark.parametrize("kinds", [(1, 1), (3, 5), (60, 2), (60, 60)])
def test_adjusted_rand_is_that_of_scikit_learn(kinds):
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, kind, size=60) for kind in kinds)
    assert measures.adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert measures.adjusted_rand(a, [f"type {x}" for x in a]) == 1.0


def test_random_start_repeats_and_fits_the_scale_of_the_data(problem):
    X, _, _ = problem
    W, H = measures.random_start(X.shape, float(X.mean()), 4, seed=3)
    again, _ = measures.random_start(X.shape, float(X.mean()), 4, seed=3)
    assert W.dtype == H.dtype == np.float32
    assert np.array_equal(W, again)
    assert (W.min(), H.min()) >= (0, 0)


def test_simulated_sparse_data_have_the_density_that_was_asked_for():
    X = load("data").simulate_sparse(400, 200, 0.05, rank=5)
    assert X.dtype == np.float32
    assert X.nnz / (400 * 200) == pytest.approx(0.05, rel=0.05)
    assert X.min() >= 0


def test_requirement_files_are_installed_block_by_block():
    blocks = load("make_env").blocks
    assert blocks("# why\na==1\n\n\n# more\nb\nc\n") == [["a==1"], ["b", "c"]]
