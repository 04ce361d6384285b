"""The spectrum of centred data."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.metrics import variance
from partwise.metrics.variance import VarianceSpectrum, variance_spectrum


class Blocks:
    """A block source whose blocks have `step` rows."""

    def __init__(self, X, step):
        self.X, self.step, self.shape, self.dtype = X, step, X.shape, X.dtype

    def blocks(self, start, stop):
        for first in range(start, stop, self.step):
            yield first, self.X[first : min(first + self.step, stop)]


def _data(n, p, rank, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = rng.random((n, rank)) @ (rng.random((rank, p)) ** 4) + 0.01 * rng.random((n, p))
    X[rng.random((n, p)) < 0.3] = 0
    return (X + 3 * (rng.random(p) < 0.2)).astype(dtype)


def _reference(X):
    return np.linalg.svd(X - X.mean(axis=0), compute_uv=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(300, 12), (8, 12), (1, 3)])
def test_few_features_give_all_values(dtype, shape):
    X = _data(*shape, 4, dtype)
    found = variance_spectrum(X)
    expected = _reference(X.astype(np.float64))
    np.testing.assert_allclose(found.values, expected, atol=1e-6 * max(1, expected[0]))
    np.testing.assert_allclose(found.total, np.square(expected).sum(), atol=1e-12)
    assert found.complete


@pytest.mark.parametrize("sparse", [False, True])
def test_many_features_give_the_leading_values(sparse):
    X = _data(700, 600, 8)
    expected = _reference(X)
    found = variance_spectrum(sp.csr_matrix(X) if sparse else X, n_components=9)
    np.testing.assert_allclose(found.values[:8], expected[:8], rtol=5e-3)
    np.testing.assert_allclose(found.total, np.square(expected).sum())
    assert len(found.values) == 9
    assert not found.complete
    assert found.components_for(0.9999) is None
    share = np.square(expected[:3]).sum() / np.square(expected).sum()
    assert found.components_for(0.999 * share) == 3


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("p", [5, 530])
def test_bits_depend_neither_on_blocks_nor_on_threads(monkeypatch, sparse, p):
    monkeypatch.setattr(variance, "_ROWS", 64)
    X = _data(300, p, 4, np.float32)
    X = sp.csr_matrix(X) if sparse else X
    found = variance_spectrum(X, n_components=4)
    for step, threads in ((1, 1), (37, 2), (64, 1), (299, 3), (300, 2)):
        other = variance_spectrum(Blocks(X, step), n_components=4, n_threads=threads)
        np.testing.assert_array_equal(other.values, found.values)
        assert other.total == found.total


def test_what_does_not_vary():
    found = variance_spectrum(np.full((5, 3), 2.5))
    assert found.total == 0
    assert not found.shares.any()
    assert found.components_for(0.9) == 0


def test_components_for():
    spectrum = VarianceSpectrum(np.sqrt([90.0, 5.0, 4.0, 1.0]), 100.0, 4)
    assert [spectrum.components_for(share) for share in (0.9, 0.95, 0.99, 1.0)] == [1, 2, 3, 4]


def test_what_cannot_be_done():
    with pytest.raises(DataError, match="at least one row"):
        variance_spectrum(np.empty((0, 3)))
    with pytest.raises(UsageError, match="at least 1"):
        variance_spectrum(np.ones((2, 3)), n_components=0)
