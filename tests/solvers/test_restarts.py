"""Many fits at once: each is the fit of its seed, in order, for any number of threads."""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from partwise.matrix.matrix import DataMatrix
from partwise.objectives import ElasticNet, Penalties
from partwise.solvers.hals import fit_hals
from partwise.solvers.init import initialize
from partwise.solvers.restarts import fit_restarts
from partwise.solvers.state import Settings

K = 4


def data(kind):
    p = 20 if kind == "narrow" else 90
    X, _, _ = reference.planted(300, p, K, noise=0.2, density=0.5, seed=1, dtype=np.float32)
    return sp.csr_matrix(X) if kind == "sparse" else X


def settings(max_iter=20):
    none = ElasticNet.build(0.0, 0.0, K, factor="usage")
    return Settings(1e-4, max_iter, Penalties(none, none))


def layout(X, n_threads):
    return DataMatrix(X, K, dtype=np.dtype(np.float32), n_threads=n_threads)


def factors(outcome):
    return outcome.usage.copy(), outcome.programs.copy(), tuple(outcome.loss)


@pytest.mark.parametrize("kind", ["narrow", "wide", "sparse"])
def test_equal_to_fits_one_by_one_for_any_threads(kind):
    X = data(kind)
    alone = []
    matrix = layout(X, 1)
    for seed in (3, 1, 2):
        rng = np.random.default_rng(seed)
        outcome = fit_hals(matrix, *initialize(matrix, K, "random", rng), settings(), rng)
        alone.append(factors(outcome))
    for n_threads, at_once in ((1, None), (2, None), (3, None), (3, 1)):
        found = fit_restarts(
            layout(X, n_threads), K, [3, 1, 2], settings(), keep=factors, at_once=at_once
        )
        for (w, h, loss), (w0, h0, loss0) in zip(found, alone, strict=True):
            np.testing.assert_array_equal(w, w0)
            np.testing.assert_array_equal(h, h0)
            assert loss == loss0


def test_a_fit_depends_on_its_own_seed_alone():
    matrix = layout(data("sparse"), 2)
    many = fit_restarts(matrix, K, [5, 6, 7], settings(), keep=factors)
    (one,) = fit_restarts(matrix, K, [7], settings(), keep=factors)
    np.testing.assert_array_equal(one[1], many[2][1])
    assert (many[0][1] != many[1][1]).any()


def test_given_factors_are_the_start():
    matrix = layout(data("wide"), 2)
    start = initialize(matrix, K, "random", np.random.default_rng(9))
    first = fit_restarts(
        matrix, K, [(start[0].copy(), start[1].copy())], settings(5), keep=lambda o: o.loss
    )
    rng = np.random.default_rng(9)
    again = fit_hals(matrix, *initialize(matrix, K, "random", rng), settings(5), rng)
    assert first[0] == again.loss


def test_the_first_error_in_order_is_raised():
    def fail(outcome):
        raise RuntimeError("kept nothing")

    with pytest.raises(RuntimeError, match="kept nothing"):
        fit_restarts(layout(data("wide"), 2), K, [0, 1], settings(2), keep=fail)
