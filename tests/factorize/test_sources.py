"""Data that are read block by block, from several threads, and models that live on."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import reference
from partwise import NMF, MiniBatchNMF
from partwise.matrix import matrix as matrix_module
from partwise.matrix.sources import BlockSource

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(n=700, p=24, dtype=np.float32):
    return reference.planted(n, p, 5, noise=0.2, seed=3, dtype=dtype)[0]


class Counting(reference.Chunks):
    """Counts the rows that are read, and can fail after so many."""

    def __init__(self, X, size, fail_after=np.inf):
        super().__init__(X, size)
        self.rows = 0
        self._fail_after = fail_after

    def blocks(self, start, stop):
        for first, block in super().blocks(start, stop):
            self.rows += block.shape[0]
            if self.rows > self._fail_after:
                raise OSError("the disk is gone")
            yield first, block


@pytest.fixture(autouse=True)
def small_panels(monkeypatch):
    monkeypatch.setattr(matrix_module, "_CELLS", dict.fromkeys(matrix_module._CELLS, 1000))


def test_the_protocol():
    assert isinstance(reference.Chunks(data(), 10), BlockSource)
    assert not isinstance(data(), BlockSource)


@pytest.mark.parametrize("sparse", [False, True])
def test_each_iteration_reads_the_data_once(sparse):
    X = sp.csr_matrix(data()) if sparse else data()
    rows = []
    for passes in (3, 8):
        source = Counting(X, 50)
        NMF(4, init="random", max_iter=passes, tol=0, random_state=0).fit(source)
        rows.append(source.rows)
    assert rows[1] - rows[0] == 5 * 700


@pytest.mark.parametrize("after", [0, 300, 2000])
@pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])
def test_an_error_of_the_source_is_the_error_of_the_fit(estimator, after):
    with pytest.raises(OSError, match="the disk is gone"):
        estimator(4, random_state=0).fit(Counting(data(), 50, fail_after=after))


def test_fits_at_the_same_time_do_not_disturb_each_other():
    X = data(3000)
    jobs = [
        (NMF(4, max_iter=10, tol=0, random_state=seed, n_threads=threads), Y)
        for seed, threads, Y in ((0, 1, X), (1, 2, sp.csr_matrix(X)), (2, 3, X), (3, 2, X))
    ]
    alone = [model.fit(Y).components_.copy() for model, Y in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: job[0].fit(job[1]).components_, jobs))
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def test_bits_do_not_depend_on_the_threads_of_blas():
    X = data(600, 90)
    programs = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            programs.append(NMF(6, max_iter=10, tol=0, random_state=0).fit(X).components_)
    np.testing.assert_array_equal(*programs)


def test_names_of_an_earlier_fit_are_forgotten():
    frame = pd.DataFrame(data(), columns=[f"gene{i}" for i in range(24)])
    model = NMF(3, random_state=0).fit(frame)
    model.fit(reference.Chunks(data(p=24), 50))
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.filterwarnings("error")
def test_rows_of_a_frame_as_a_source_or_an_array_are_the_same_rows():
    frame = pd.DataFrame(data())
    model = NMF(3, random_state=0, max_iter=20, tol=0).fit(frame)
    usage = model.transform(frame)
    np.testing.assert_array_equal(model.transform(reference.Chunks(data(), 9)), usage)
    np.testing.assert_array_equal(model.transform(data()), usage)


class TestMiniBatchLivesOn:
    def test_partial_fit_after_fit_goes_on_from_the_programs_one_sees(self):
        X = data()
        model = MiniBatchNMF(5, random_state=0, max_iter=20).fit(X)
        before = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
        model.partial_fit(X[:100])
        after = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
        assert (np.sum(before * after, axis=1) > 0.95).all()

    def test_pickled_in_between(self):
        X = data()
        model = MiniBatchNMF(5, random_state=0).partial_fit(X[:300])
        copy = pickle.loads(pickle.dumps(model))
        model.partial_fit(X[300:])
        copy.partial_fit(X[300:])
        np.testing.assert_array_equal(copy.components_, model.components_)
        assert copy.n_steps_ == 2

    def test_components_one_has_taken_do_not_change_under_ones_hands(self):
        X = data()
        model = MiniBatchNMF(5, random_state=0).partial_fit(X[:300])
        taken = model.components_
        kept = taken.copy()
        model.partial_fit(X[300:])
        np.testing.assert_array_equal(taken, kept)
