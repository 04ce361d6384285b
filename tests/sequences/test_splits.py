"""Recordings cut in time."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.sequences import split_time

X = np.arange(3 * 100.0).reshape(3, 100)


def test_parts_are_the_recording():
    for form in (np.asarray, sp.csr_matrix):
        parts = split_time(form(X), n_lags=5)
        together = sp.hstack([sp.csr_matrix(parts.train), sp.csr_matrix(parts.test)])
        np.testing.assert_array_equal(together.toarray(), X)
        assert parts.frame == 75
        assert parts.train_epochs is None


def test_source_of_frames():
    class Source:
        shape, dtype = X.shape, X.dtype

        def frames(self, start, stop):
            return X[:, start:stop]

    parts = split_time(Source(), n_lags=5, fraction=0.6)
    assert parts.test.shape == (3, 40)
    np.testing.assert_array_equal(parts.test.frames(3, 7), X[:, 63:67])


@pytest.mark.parametrize(
    ("epochs", "frame", "first", "last"),
    [
        # inside of an epoch, with room on both sides
        ([(0, 40), (50, 90)], 70, ((0, 40), (50, 70)), ((0, 20),)),
        # too near to the end of one, or to its start
        ([(0, 45), (50, 65), (70, 90)], 65, ((0, 45), (50, 65)), ((5, 25),)),
        ([(0, 56), (60, 80)], 60, ((0, 56),), ((0, 20),)),
    ],
)
def test_epochs(epochs, frame, first, last):
    parts = split_time(X, n_lags=8, epochs=epochs)
    assert parts.frame == frame
    assert parts.train_epochs == first
    assert parts.test_epochs == last


def test_too_short():
    with pytest.raises(DataError, match="last part is too short"):
        split_time(X, n_lags=25)
    with pytest.raises(DataError, match="first part is too short"):
        split_time(X, n_lags=10, fraction=0.05)
    with pytest.raises(UsageError, match="fraction"):
        split_time(X, n_lags=5, fraction=1.0)
