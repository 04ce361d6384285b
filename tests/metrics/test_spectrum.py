"""The spectrum beside noise: what a permutation keeps, and how many components it finds."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.datasets import simulate_programs
from partwise.metrics import permutation_spectrum
from partwise.metrics.spectrum import Spectrum, permuted


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_each_column_keeps_its_values_in_an_order_of_its_own(kind):
    rng = np.random.default_rng(0)
    X = kind((rng.random((60, 12)) * (rng.random((60, 12)) < 0.5)).astype(np.float32))
    before = X.copy()
    Y = permuted(X, np.random.default_rng(1))
    dense = [np.asarray(M.toarray() if sp.issparse(M) else M) for M in (X, Y)]
    np.testing.assert_array_equal(np.sort(dense[0], axis=0), np.sort(dense[1], axis=0))
    moved = [(dense[0][:, j] != dense[1][:, j]).any() for j in range(12)]
    assert all(moved)
    # rows are not moved as a whole
    assert not any((dense[1] == row).all(axis=1).any() for row in dense[0])
    assert (before != X).sum() == 0


def test_values_are_singular_values():
    X = np.random.default_rng(0).random((80, 30))
    found = permutation_spectrum(X, 5, n_permutations=2, seed=0, n_threads=1)
    expected = np.linalg.svd(X, compute_uv=False)[:5]
    np.testing.assert_allclose(found.values, expected, rtol=2e-2)
    assert found.null.shape == (2, 5)


@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_planted_components_are_counted(rank, noise):
    sim = simulate_programs(500, p=200, rank=rank, noise=noise, level=0.3, evenness=1.0, seed=2)
    X = sim.X.astype(np.float32)
    found = permutation_spectrum(X, 15, n_permutations=5, seed=0, n_threads=2)
    assert found.n_above == rank
    assert not found.truncated


def test_noise_alone_has_its_mean_profile_only():
    X = np.random.default_rng(3).random((300, 60))
    assert permutation_spectrum(X, 10, n_permutations=9, seed=0, n_threads=1).n_above == 1


def test_the_count_ends_at_the_first_value_below():
    null = np.array([[9.0, 2.0, 2.0, 2.0]])
    assert Spectrum(np.array([10.0, 5.0, 1.0, 4.0]), null).n_above == 2
    every = Spectrum(np.array([10.0, 5.0, 4.0, 3.0]), null)
    assert every.n_above == 4
    assert every.truncated


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_threads(kind):
    X = kind(simulate_programs(300, p=90, rank=4).X.astype(np.float32))
    one, two = (permutation_spectrum(X, 8, n_permutations=3, seed=5, n_threads=t) for t in (1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.null, two.null)
