"""Stratified samples of tables in memory and on disk."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise.exceptions import UsageError
from partwise.workflows.sampling import SampledSource, shares, stratified_rows, take_rows


class Blocks:
    """A block source whose blocks have three rows, and which counts what it reads."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.read = X, X.shape, X.dtype, 0

    def blocks(self, start, stop):
        for first in range(start, stop, 3):
            block = self.X[first : min(first + 3, stop)]
            self.read += block.shape[0]
            yield first, block


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(1, 4000))
def test_shares_are_proportional(counts, n_rows):
    counts = np.array(counts)
    given = shares(counts, n_rows)
    total, strata = counts.sum(), np.count_nonzero(counts)
    assert given.sum() == min(total, max(n_rows, strata))
    assert (given <= counts).all()
    assert (given[counts > 0] >= 1).all()
    if n_rows < total:
        large = given > 1
        exact = counts * n_rows / total
        # what strata of one row are given beyond their share, others lack
        lifted = np.maximum(0, given - exact)[~large].sum()
        assert (given[large] < exact[large] + 1).all()
        assert (given[large] > exact[large] - 1 - lifted).all()


def test_every_stratum_is_there_in_proportion():
    column = pd.Series(["a"] * 600 + ["b"] * 300 + ["c"] * 97 + ["d"] * 3).sample(
        frac=1, random_state=0, ignore_index=True
    )
    rows = stratified_rows(column, 100, seed=1)
    assert (np.diff(rows) > 0).all()
    assert column[rows].value_counts().to_dict() == {"a": 59, "b": 30, "c": 10, "d": 1}
    assert not np.array_equal(rows, stratified_rows(column, 100, seed=2))


def test_the_draw_depends_on_names_not_on_their_type_or_codes():
    texts = pd.Series(["10", "9", "9", "10", "8"] * 40)
    rows = stratified_rows(texts, 50, seed=0)
    backwards = pd.Series(pd.Categorical(texts, categories=["9", "8", "10"]))
    for same in (backwards, texts.astype(int), texts.astype("string[pyarrow]")):
        np.testing.assert_array_equal(stratified_rows(same, 50, seed=0), rows)


def test_missing_names_are_a_stratum_of_their_own():
    column = pd.Series(["a", None, "a", "a", np.nan, "a", "a", "a"])
    rows = stratified_rows(column, 4, seed=0)
    assert column[rows].isna().sum() == 1


def test_all_rows_and_none():
    column = pd.Series(["a", "b"])
    assert stratified_rows(column, 5, seed=0).tolist() == [0, 1]
    with pytest.raises(UsageError, match="1 row or more"):
        stratified_rows(column, 0, seed=0)


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
