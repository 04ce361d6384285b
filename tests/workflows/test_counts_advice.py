"""Who is told that a table holds counts."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.workflows.counts_advice import counts_advice


def counts(seed=0):
    rng = np.random.default_rng(seed)
    return rng.negative_binomial(0.1, 0.02, (200, 30)).astype(np.float32)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_counts_under_the_squared_error_are_named(wrap):
    (text,) = counts_advice(wrap(counts()), "frobenius")
    assert "--loss kullback-leibler" in text


@pytest.mark.parametrize(
    ("table", "loss", "prepared"),
    [
        (counts(), "kullback-leibler", False),
        (counts(), "frobenius", True),
        (np.log1p(counts()), "frobenius", False),
        (np.minimum(counts(), 5), "frobenius", False),
        (counts() + 1, "frobenius", False),
        (np.zeros((5, 4)), "frobenius", False),
    ],
    ids=["right loss", "prepared", "logarithms", "small", "no zeros", "nothing"],
)
def test_others_are_not(table, loss, prepared):
    assert counts_advice(table, loss, prepared=prepared) == []
