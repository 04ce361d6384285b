"""The first steps on a sample of the rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise import NMF
from partwise.solvers import hals


@pytest.fixture
def small_samples(monkeypatch):
    monkeypatch.setattr(hals, "_SAMPLE_LEAST", 512)
    monkeypatch.setattr(hals, "_SAMPLE_MOST", 1024)


def planted(n=6000, p=40, k=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.5, 1.0, (n, k)) @ rng.gamma(0.3, 1.0, (k, p))
    return (X + rng.exponential(0.02, (n, p))).astype(np.float32)


class Rows:
    """A block source with chunks of 100 rows."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def blocks(self, start, stop):
        for first in range(start, stop, 100):
            yield first, self.X[first : min(first + 100, stop)]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_fewer_passes_to_the_same_error(small_samples, monkeypatch, kind):
    X = kind(planted())
    sampled = NMF(4, init="random", random_state=0, tol=0, max_iter=1).fit(X)
    assert sampled.result_.details["steps_on_sample"] > 0
    monkeypatch.setattr(hals, "_SAMPLE_STEPS", 0)
    plain = NMF(4, init="random", random_state=0, tol=0, max_iter=1).fit(X)
    assert plain.result_.details["steps_on_sample"] == 0
    assert sampled.result_.relative_error < plain.result_.relative_error


def test_it_ends_where_a_plain_fit_ends(small_samples, monkeypatch):
    X = planted()
    sampled = NMF(4, random_state=0, tol=1e-7).fit(X).result_
    monkeypatch.setattr(hals, "_SAMPLE_STEPS", 0)
    plain = NMF(4, random_state=0, tol=1e-7).fit(X).result_
    assert sampled.converged
    assert sampled.relative_error <= 1.0005 * plain.relative_error


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_bits_of_threads_and_sources(small_samples, kind):
    X = kind(planted())
    one = NMF(4, random_state=0, n_threads=1, max_iter=5, tol=0).fit_transform(X)
    two = NMF(4, random_state=0, n_threads=2, max_iter=5, tol=0).fit_transform(X)
    read = NMF(4, random_state=0, n_threads=2, max_iter=5, tol=0).fit_transform(Rows(X))
    assert np.array_equal(one, two)
    assert np.array_equal(one, read)


def test_penalised_fits_and_few_rows_go_without(small_samples):
    penalised = NMF(4, l2_usage=0.1, l2_programs=0.1, random_state=0, max_iter=2, tol=0)
    assert penalised.fit(planted()).result_.details["steps_on_sample"] == 0
    few = NMF(4, random_state=0, max_iter=2, tol=0)
    assert few.fit(planted(n=1000)).result_.details["steps_on_sample"] == 0
