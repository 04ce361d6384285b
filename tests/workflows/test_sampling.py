"""Some rows of tables in memory and on disk."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.workflows.sampling import SampledSource, take_rows


class Blocks:
    """A block source whose blocks have three rows, and which counts what it reads."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.read = X, X.shape, X.dtype, 0

    def blocks(self, start, stop):
        for first in range(start, stop, 3):
            block = self.X[first : min(first + 3, stop)]
            self.read += block.shape[0]
            yield first, block


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_rows_of_all_kinds(kind):
    X = np.random.default_rng(0).random((40, 4)).astype(np.float32)
    rows = np.array([0, 2, 3, 11, 12, 13, 38])
    for matrix in (kind(X), Blocks(kind(X))):
        found = take_rows(matrix, rows)
        assert sp.issparse(found) == (kind is not np.asarray)
        found = found.toarray() if sp.issparse(found) else found
        np.testing.assert_array_equal(found, X[rows])


def test_a_sample_too_large_for_memory_stays_on_disk():
    X = np.random.default_rng(0).random((40, 4))
    rows = np.flatnonzero(np.arange(40) % 5 != 2)
    inner = Blocks(X)
    source = take_rows(inner, rows, memory_limit=200)
    assert isinstance(source, SampledSource)
    assert inner.read < 20  # it stopped when the limit was reached
    assert source.shape == (32, 4)
    for start, stop in ((0, 32), (0, 1), (7, 8), (5, 31), (31, 32), (3, 3)):
        parts = list(source.blocks(start, stop))
        covered = [first + i for first, block in parts for i in range(len(block))]
        assert covered == list(range(start, stop))
        if parts:
            np.testing.assert_array_equal(
                np.concatenate([b for _, b in parts]), X[rows][start:stop]
            )
