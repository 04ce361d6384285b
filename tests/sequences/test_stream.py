"""Recordings on disk: read in pieces, with the results of the same data in memory."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.sequences import FrameSource, SeqNMF, _inputs, _stream
from partwise.sequences._inputs import prepare
from partwise.sequences._raster import SparseRaster
from partwise.sequences._stream import Streamed

N, T = 7, 9000
EPOCHS = [(0, 3500), (3600, 9000)]


class Source:
    """Frames that are handed out a few at a time, and counted."""

    def __init__(self, data, form=np.asarray):
        self.data, self.form = data, form
        self.shape, self.dtype = data.shape, data.dtype
        self.most = self.reads = 0

    def frames(self, start, stop):
        assert 0 <= start < stop <= self.shape[1]
        self.most, self.reads = max(self.most, stop - start), self.reads + 1
        return self.form(self.data[:, start:stop])


@pytest.fixture
def tight(monkeypatch):
    """Nothing that is dense fits into memory."""
    monkeypatch.setattr(_inputs, "_LARGEST", 1000)
    monkeypatch.setattr(_stream, "_CHUNK", 1000 * N)


def recording(share=1.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (rng.random((N, T)) * (rng.random((N, T)) < share)).astype(dtype)


def both(X, backend, **options):
    settings = {"max_iter": 2, "tol": 0, "random_state": 0, "backend": backend, "n_threads": 1}
    source = Source(X)
    assert isinstance(source, FrameSource)
    memory = SeqNMF(2, 12, **settings).fit(X, **options)
    return memory, SeqNMF(2, 12, **settings).set_params(n_threads=2).fit(source, **options), source


@pytest.mark.parametrize("backend", ["fft", "direct"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"epochs": EPOCHS}])
def test_bits_are_those_of_the_data_in_memory(tight, backend, dtype, options):
    memory, disk, source = both(8 * recording(dtype=dtype), backend, **options)
    for name in ("motifs_", "activations_", "before_", "cost_", "power_", "loadings_"):
        np.testing.assert_array_equal(getattr(disk, name), getattr(memory, name))
    assert source.most < T / 2
    assert source.reads > 10


def test_hidden_entries_of_what_is_streamed(tight):
    X = recording()
    mask = np.random.default_rng(1).random(X.shape) < 0.02
    holes = np.where(mask, np.nan, X)
    memory, disk, _ = both(X, "fft", mask=mask)
    again = SeqNMF(2, 12, max_iter=2, tol=0, random_state=0, backend="fft", missing="hide")
    for model in (disk, again.fit(Source(holes))):
        np.testing.assert_array_equal(model.motifs_, memory.motifs_)
        np.testing.assert_array_equal(model.activations_, memory.activations_)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_bad_values_are_named_by_unit_and_frame(tight, bad):
    X = recording()
    X[4, 8123] = bad
    with pytest.raises(DataError, match=r"unit 5 is .* at frame 8124"):
        SeqNMF(2, 12, backend="fft").fit(Source(X))


def test_what_is_dense_and_large_is_streamed(tight):
    raster = prepare(Source(recording()), 12).problem.raster
    assert raster.name in ("fft", "direct")
    assert isinstance(raster._rows, Streamed)


def test_what_is_small_is_held():
    raster = prepare(Source(recording()), 12).problem.raster
    assert not isinstance(raster._rows, Streamed)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_what_is_sparse_is_held_as_non_zeros(tight, form):
    X = recording(0.02)
    problem = prepare(Source(X, form), 12).problem
    assert isinstance(problem.raster, SparseRaster)
    settings = {"max_iter": 2, "tol": 0, "random_state": 0}
    want = SeqNMF(2, 12, **settings).fit(sp.csr_matrix(X))
    found = SeqNMF(2, 12, **settings).fit(Source(X, form))
    np.testing.assert_array_equal(found.motifs_, want.motifs_)
    np.testing.assert_array_equal(found.activations_, want.activations_)
    np.testing.assert_array_equal(found.transform(Source(X, form)), want.transform(X))


def test_what_turns_out_dense_later_is_streamed(tight):
    X = recording(0.02)
    X[:, 5000:] = recording()[:, 5000:]
    assert isinstance(prepare(Source(X), 12).problem.raster._rows, Streamed)
    # unless it was asked for
    assert isinstance(prepare(Source(X), 12, backend="sparse").problem.raster, SparseRaster)


def test_large_values_are_brought_to_about_one(tight):
    X = recording() * 1e6
    X[:, 3550] = 1e9  # in no epoch
    ready = prepare(Source(X), 12, epochs=EPOCHS)
    assert 0.25 < ready.problem.raster.largest <= 1
    assert ready.exponent == prepare(X, 12, epochs=EPOCHS).exponent
