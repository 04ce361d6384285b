"""Recordings binned to the dots of a picture."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.figures import factor_plot, rasters
from partwise.sequences import reconstruct
from sequence_figures import WHITE, Recorded, image, panel, planted, reconstructed


@pytest.mark.parametrize("how", ["largest", "mean"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "frames", "sparse frames"])
def test_binning(kind, how, monkeypatch):
    monkeypatch.setattr(rasters, "_BLOCK", 40)
    rng = np.random.default_rng(0)
    X = rng.random((7, 53)) * (rng.random((7, 53)) < 0.4)
    given = {
        "dense": X,
        "sparse": sp.csc_array(X),
        "frames": Recorded(X),
        "sparse frames": Recorded(sp.csc_array(X)),
    }[kind]
    order, window = np.array([3, 0, 6, 5, 1]), (4, 49)
    picture = rasters.bin_data(given, order, window, (2, 6), how=how)
    rows, columns = rasters.bin_edges(5, 2), rasters.bin_edges(45, 6)
    reduce = np.max if how == "largest" else np.mean
    expected = [
        [reduce(X[order, 4:49][a:b, c:d]) for c, d in itertools.pairwise(columns)]
        for a, b in itertools.pairwise(rows)
    ]
    np.testing.assert_allclose(picture.values, expected)
    assert (picture.rows, picture.frames) == (2.5, 7.5)
    if isinstance(given, Recorded):
        assert given.read[0][0] == 4
        assert given.read[-1][1] == 49
        assert len(given.read) > 1
        assert all(a[1] == b[0] for a, b in itertools.pairwise(given.read))


def test_sparse_stays_sparse(monkeypatch):
    W, H, X = planted(n=40, t=300)
    expected = image(panel(factor_plot(W, H, X), "center"))

    def dense(*_, **__):
        raise AssertionError("made dense")

    for kind in (sp.csr_matrix, sp.csc_matrix, sp.coo_matrix):
        for name in ("toarray", "todense"):
            monkeypatch.setattr(kind, name, dense)
    drawn = image(panel(factor_plot(W, H, sp.csr_matrix(X)), "center"))
    np.testing.assert_array_equal(drawn, expected)


def test_full_pictures_show_the_mean_and_sparse_ones_the_largest():
    order, window = np.arange(4), (0, 100)
    spikes = np.zeros((4, 100))
    spikes[:, 50] = 1
    found = rasters.bin_data(spikes, order, window, (4, 10))
    assert found.largest
    assert found.values.max() == 1
    noise = np.random.default_rng(0).random((4, 100))
    assert not rasters.bin_data(noise, order, window, (4, 10)).largest
    assert rasters.bin_data(noise, order, window, (4, 100)).largest  # nothing to average


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, np.ma.masked_invalid])
def test_missing_entries(kind):
    X = np.ones((2, 6))
    X[0, :3] = np.nan
    X[1, 0] = np.nan
    data = rasters.unmasked(kind(X))
    found = rasters.bin_data(data, np.arange(2), (0, 6), (2, 2), how="mean")
    np.testing.assert_array_equal(found.values, [[np.nan, 1], [1, 1]])
    assert np.isnan(rasters.unmasked(np.ma.masked_invalid(X))).sum() == 4
    dots = image(panel(factor_plot(np.ones((2, 1, 1)), np.ones((1, 6)), kind(X)), "center"))
    assert (dots[0, 0] == dots[1, 0]).all()
    assert not (dots[0, 0] == dots[0, 3]).all()
    assert not (dots[0, 0] == WHITE).all()


@pytest.mark.parametrize("size", [(12, 200), (5, 31)])
@pytest.mark.parametrize("window", [(0, 200), (17, 120)])
def test_binned_reconstruction_is_the_mean_of_the_reconstruction(size, window):
    W, H, _ = planted(t=200)
    order = np.arange(12)[::-1]
    found = rasters.bin_reconstruction(W, H, order, window, size)
    for k in range(3):
        whole = reconstructed(W[:, [k]], H[[k]])
        expected = rasters.bin_data(whole, order, window, size, how="mean").values
        np.testing.assert_allclose(found[k], expected, atol=1e-12)


@pytest.mark.parametrize("size", [(12, 200), (5, 31)])
@pytest.mark.parametrize("window", [(0, 200), (17, 120), (95, 105)])
def test_binned_reconstruction_ends_with_its_epochs(size, window):
    W, H, _ = planted(t=200)
    H[:, ::3] += 0.5
    epochs = [(0, 14), (14, 20), (40, 100), (103, 200)]
    order = np.arange(12)
    found = rasters.bin_reconstruction(W, H, order, window, size, epochs)
    for k in range(3):
        whole = reconstruct(W[:, [k]], H[[k]], epochs=epochs)
        expected = rasters.bin_data(whole, order, window, size, how="mean").values
        np.testing.assert_allclose(found[k], expected, atol=1e-12)
