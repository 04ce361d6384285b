"""The same bits, whatever the number of threads and the chunks that data come in."""

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from partwise import NMF, MiniBatchNMF
from partwise.matrix import matrix as matrix_module

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ("narrow", "wide", "sparse")


def data(kind, n, dtype=np.float32):
    X, _, _ = reference.planted(
        n, 24 if kind == "narrow" else 120, 6, noise=0.2, density=0.5, seed=3, dtype=dtype
    )
    return sp.csr_matrix(X) if kind == "sparse" else X


def outputs(model, X):
    """Return all numbers that a fit leaves, and the usage of new rows."""
    usage = model.fit_transform(X)
    result = model.result_
    return {
        "usage": usage,
        "programs": model.components_,
        "loss": result.loss,
        "explained": result.explained,
        "details": np.array(list(result.details.values())),
        "errors": np.array([result.relative_error, model.reconstruction_err_, model.score(X)]),
        "transform": model.transform(X),
    }


def same(one, two):
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)


def estimators(n_threads=None):
    yield NMF(6, max_iter=5, tol=0, random_state=0, n_threads=n_threads)
    yield NMF(6, max_iter=5, tol=0, init="random", n_init=2, random_state=0, n_threads=n_threads)
    yield NMF(6, solver="bpp", max_iter=3, tol=0, random_state=0, n_threads=n_threads)
    yield NMF(
        6, l1_usage=0.1, l2_usage=0.1, l1_programs=0.2, l2_programs=0.1, max_iter=4, tol=0,
        random_state=0, n_threads=n_threads,
    )  # fmt: skip
    yield MiniBatchNMF(6, batch_size=500, max_iter=2, random_state=0, n_threads=n_threads)


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_threads(kind, which):
    X = data(kind, 3000)
    one = outputs(list(estimators(1))[which], X)
    for n_threads in (2, 3):
        same(one, outputs(list(estimators(n_threads))[which], X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_on_many_rows(dtype):
    X = np.random.default_rng(0).random((40_000, 8)).astype(dtype)
    for Y in (X, sp.csr_matrix(X * (X > 0.5))):
        one = outputs(NMF(5, max_iter=3, tol=0, random_state=0, n_threads=1), Y)
        same(one, outputs(NMF(5, max_iter=3, tol=0, random_state=0, n_threads=2), Y))


@pytest.mark.parametrize("kind", KINDS)
def test_threads_by_environment(kind, monkeypatch):
    X = data(kind, 2000)
    one = outputs(NMF(6, max_iter=3, tol=0, random_state=0, n_threads=1), X)
    monkeypatch.setenv("PARTWISE_NUM_THREADS", "2")
    same(one, outputs(NMF(6, max_iter=3, tol=0, random_state=0), X))


@pytest.mark.parametrize("kind", KINDS)
def test_repeats(kind):
    X = data(kind, 1000)
    for first, second in zip(estimators(), estimators(), strict=True):
        one = outputs(first, X)
        same(one, outputs(second, X))
        same(one, outputs(first, X))


@pytest.fixture
def small_panels(monkeypatch):
    """Panels of 256 rows, so that some hundred rows make several."""
    monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))


@pytest.mark.usefixtures("small_panels")
class TestSources:
    """From a source, the same bits as from memory."""

    @pytest.mark.parametrize("chunk", [1, 7, 1000])
    @pytest.mark.parametrize("kind", KINDS)
    def test_chunks(self, kind, chunk):
        X = data(kind, 700)
        for in_memory, streamed in zip(estimators(1), estimators(2), strict=True):
            one = outputs(in_memory, X)
            same(one, outputs(streamed, reference.Chunks(X, chunk, offset=3)))

    @pytest.mark.parametrize("kind", KINDS)
    def test_partial_fit(self, kind):
        X = data(kind, 700)
        one, two = MiniBatchNMF(4, random_state=0), MiniBatchNMF(4, random_state=0)
        for start in (0, 350):
            batch = X[start : start + 350]
            one.partial_fit(batch)
            two.partial_fit(reference.Chunks(batch, 11))
        np.testing.assert_array_equal(one.components_, two.components_)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("given", [np.int32, np.uint8, np.float64])
    def test_types(self, kind, given):
        X = (3 * data(kind, 300)).astype(given)
        source = reference.Chunks(X, 50)
        dtype = np.float64 if given == np.float64 else np.float32
        one = outputs(NMF(4, max_iter=3, tol=0, random_state=0), X.astype(dtype))
        same(one, outputs(NMF(4, max_iter=3, tol=0, random_state=0), source))

    def test_unsorted_and_repeated_entries_of_blocks(self):
        X = data("sparse", 300)
        messy = messed_up(X)
        one = outputs(NMF(4, max_iter=3, tol=0, random_state=0), messy)
        same(one, outputs(NMF(4, max_iter=3, tol=0, random_state=0), reference.Chunks(messy, 40)))


def messed_up(X):
    """Return the same CSR matrix with entries out of order, split in two, and explicit zeros."""
    X = X.tocoo()
    rng = np.random.default_rng(0)
    half = (X.data * np.float32(0.5)).astype(X.dtype)
    rows = np.r_[X.row, X.row, rng.integers(0, X.shape[0], 500)]
    columns = np.r_[X.col, X.col, rng.integers(0, X.shape[1], 500)]
    values = np.r_[half, half, np.zeros(500, X.dtype)]
    order = np.lexsort((rng.random(len(rows)), rows))
    indptr = np.r_[0, np.cumsum(np.bincount(rows, minlength=X.shape[0]))]
    return sp.csr_matrix((values[order], columns[order], indptr), shape=X.shape)


class TestStorage:
    """The same matrix in another storage gives the same factors."""

    def fit(self, X):
        return outputs(NMF(4, max_iter=4, tol=0, random_state=0), X)

    @pytest.mark.parametrize("kind", ["narrow", "wide"])
    def test_dense(self, kind, tmp_path):
        X = data(kind, 300)
        one = self.fit(X)
        np.save(tmp_path / "x.npy", X)
        frozen = X.copy()
        frozen.setflags(write=False)
        for other in (np.load(tmp_path / "x.npy", mmap_mode="r"), frozen, X.tolist()):
            Y = np.asarray(other, np.float32) if isinstance(other, list) else other
            same(one, self.fit(Y))
        same(one, self.fit(np.asfortranarray(X)))

    def test_sparse(self):
        X = data("sparse", 300)
        one = self.fit(X)
        wide = X.copy()
        wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
        frozen = X.copy()
        for array in (frozen.data, frozen.indices, frozen.indptr):
            array.setflags(write=False)
        for other in (X.tocsc(), X.tocoo(), wide, frozen, sp.csr_array(X), sp.csc_array(X)):
            same(one, self.fit(other))

    def test_unsorted_repeated_and_explicit_zeros(self):
        X = data("sparse", 300)
        messy = messed_up(X)
        assert not messy.has_canonical_format
        before = messy.data.copy(), messy.indices.copy(), messy.indptr.copy()
        one, two = self.fit(X), self.fit(messy)
        for name, values in one.items():
            np.testing.assert_allclose(two[name], values, rtol=1e-3, atol=1e-4, err_msg=name)
        for array, old in zip((messy.data, messy.indices, messy.indptr), before, strict=True):
            np.testing.assert_array_equal(array, old)


def test_a_process_that_compiles_gives_the_bits_of_one_that_loads(tmp_path):
    """What a kernel computes must not depend on which other kernels were compiled before it."""
    code = (
        "import hashlib, numpy as np, scipy.sparse as sp\n"
        "from partwise import NMF\n"
        "X = sp.random(600, 80, 0.2, 'csr', np.float32, random_state=np.random.default_rng(0))\n"
        "model = NMF(9, init='random', tol=0, max_iter=4, random_state=0)\n"
        "usage = model.fit_transform(X)\n"
        "print(hashlib.sha256(usage.tobytes() + model.components_.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    cold, warm = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert cold == warm
