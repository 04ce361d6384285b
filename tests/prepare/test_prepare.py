"""Every step against plain, dense NumPy; and the genes of the cnmf package."""

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.prepare import (
    column_moments,
    log1p,
    normalize_total,
    overdispersed_genes,
    scale_to_unit_variance,
)

KINDS = pytest.mark.parametrize("kind", ["dense", "csr", "csc", "duplicates", "integers"])


def counts(n=120, p=60, seed=0):
    rng = np.random.default_rng(seed)
    mean = (0.05 + rng.gamma(0.5, size=p)) * rng.lognormal(0, 0.4, size=(n, 1))
    X = rng.poisson(4 * mean).astype(np.float64)
    X[: n // 2, :4] *= 5
    X[3] = 0
    X[:, 7] = 0
    X[:, 8] = 2.0
    X[3, 8] = 0
    return X


def as_kind(X, kind):
    if kind == "csr":
        return sp.csr_matrix(X)
    if kind == "csc":
        return sp.csc_matrix(X)
    if kind == "integers":
        return X.astype(np.int64)
    if kind == "duplicates":  # each entry stored as two halves
        return _doubled(sp.coo_matrix(X / 2), X.shape)
    return X


def _doubled(half, shape):
    rows = np.repeat(half.row, 2)
    order = np.argsort(rows, kind="stable")
    indptr = np.r_[0, np.cumsum(np.bincount(rows, minlength=shape[0]))]
    data, columns = np.repeat(half.data, 2)[order], np.repeat(half.col, 2)[order]
    return sp.csr_matrix((data, columns, indptr), shape)


def dense(X):
    return np.asarray(X.toarray() if sp.issparse(X) else X, np.float64)


@KINDS
@pytest.mark.parametrize("ddof", [0, 1])
def test_moments(kind, ddof):
    X = counts()
    moments = column_moments(as_kind(X, kind), ddof=ddof)
    np.testing.assert_allclose(moments.mean, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, X.var(axis=0, ddof=ddof), rtol=1e-10, atol=1e-12)


def test_moments_of_large_float32_values_keep_their_digits():
    X = (1e6 + np.random.default_rng(0).random((5000, 3))).astype(np.float32)
    for Y in (X, sp.csr_matrix(X)):
        np.testing.assert_allclose(
            column_moments(Y).variance, X.astype(np.float64).var(axis=0), rtol=1e-9
        )


def test_moments_do_not_depend_on_the_blocks(monkeypatch):
    from partwise.matrix import moments

    X = counts()
    one = column_moments(sp.csr_matrix(X))
    monkeypatch.setattr(moments, "_VALUES", 50)
    for Y in (X, sp.csr_matrix(X)):
        np.testing.assert_allclose(column_moments(Y).variance, one.variance, rtol=1e-12)


@KINDS
@pytest.mark.parametrize("target", [None, 1e4])
def test_normalize_total(kind, target):
    X = counts()
    given = as_kind(X, kind)
    before = dense(given).copy()
    done = normalize_total(given, target=target)
    totals = X.sum(axis=1)
    goal = np.median(totals[totals > 0]) if target is None else target
    np.testing.assert_allclose(done.totals, totals, rtol=1e-12)
    assert done.target == pytest.approx(goal)
    assert done.zero_rows.tolist() == [3]
    np.testing.assert_allclose(
        dense(done.X), X * (goal / np.where(totals > 0, totals, 1))[:, None], rtol=1e-12
    )
    np.testing.assert_array_equal(dense(given), before)
    assert sp.issparse(done.X) == (kind in ("csr", "csc", "duplicates"))
    assert done.parameters["zero_rows"] == 1


@KINDS
def test_log1p(kind):
    X = counts()
    done = log1p(as_kind(X, kind))
    np.testing.assert_allclose(dense(done.X), np.log1p(X), rtol=1e-12)
    assert done.parameters == {"step": "log1p", "base": "e"}


@KINDS
@pytest.mark.parametrize("ddof", [0, 1])
def test_scale_to_unit_variance(kind, ddof):
    X = counts()[[*range(3), *range(4, 120)]]
    done = scale_to_unit_variance(as_kind(X, kind), ddof=ddof)
    deviation = X.std(axis=0, ddof=ddof)
    assert done.constant.tolist() == np.flatnonzero(deviation == 0).tolist() == [7, 8]
    deviation[deviation == 0] = 1
    np.testing.assert_allclose(done.scale, deviation, rtol=1e-10)
    np.testing.assert_allclose(dense(done.X), X / deviation, rtol=1e-10)
    if sp.issparse(done.X):
        assert done.X.nnz == np.count_nonzero(X)


def test_totals_of_float32_keep_their_digits():
    X = np.full((2, 3000), 16_777_217.0 / 3, np.float32)
    for Y in (X, sp.csr_matrix(X)):
        np.testing.assert_allclose(
            normalize_total(Y).totals, X.astype(np.float64).sum(axis=1), rtol=1e-14
        )


def plain_scores(X):
    """The score in plain NumPy, gene by gene."""
    p = X.shape[1]
    mean = X.mean(axis=0)
    fano = np.array([X[:, j].var() / mean[j] if mean[j] > 0 else np.nan for j in range(p)])
    highest = sorted(range(p), key=lambda j: -mean[j])[:20]
    a = min(np.sqrt(X[:, j].var()) / mean[j] for j in highest)
    expressed = fano[~np.isnan(fano)]
    ordinary = [
        fano[j]
        for j in range(p)
        if np.quantile(mean, 0.1) < mean[j] < np.quantile(mean, 0.9)
        and np.quantile(expressed, 0.1) < fano[j] < np.quantile(expressed, 0.9)
    ]
    return fano / (a**2 * mean + np.median(ordinary)), np.array(ordinary)


@KINDS
def test_overdispersed_genes(kind):
    X = counts()
    found = overdispersed_genes(as_kind(X, kind), n_genes=4)
    score, _ = plain_scores(X)
    np.testing.assert_allclose(found.score, score, rtol=1e-10)
    assert found.indices.tolist() == sorted(np.argsort(-np.nan_to_num(score))[:4].tolist())
    assert np.isnan(found.score[7])
    assert found.parameters["n_genes"] == 4
    assert found.threshold is None


def test_overdispersed_genes_by_threshold():
    X = counts()
    found = overdispersed_genes(X, n_genes=None, min_mean=0.2)
    score, ordinary = plain_scores(X)
    threshold = 1 + np.std(ordinary, ddof=1)
    assert found.threshold == pytest.approx(threshold)
    np.testing.assert_array_equal(
        found.selected, (np.nan_to_num(score) > threshold) & (X.mean(axis=0) > 0.2)
    )


def test_no_more_genes_than_are_expressed():
    found = overdispersed_genes(counts(), n_genes=1000)
    assert found.selected.sum() == 59
    assert not found.selected[7]


def test_few_genes():
    X = np.random.default_rng(0).poisson(3, size=(50, 3)).astype(float)
    assert overdispersed_genes(X, n_genes=2).selected.sum() == 2


def test_float32_stays():
    X = counts().astype(np.float32)
    for Y in (X, sp.csr_matrix(X)):
        for done in (normalize_total(Y), log1p(Y), scale_to_unit_variance(Y)):
            assert done.X.dtype == np.float32


@pytest.mark.parametrize(
    "step", [normalize_total, log1p, scale_to_unit_variance, overdispersed_genes, column_moments]
)
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_bad_values_are_named(step, bad, kind):
    X = counts()
    X[5, 11] = bad
    with pytest.raises(DataError, match="row 5, column 11"):
        step(as_kind(X, kind))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda X: normalize_total(0 * X), "zero"),
        (lambda X: overdispersed_genes(0 * X), "zero"),
        (lambda X: normalize_total(X.astype(str)), "real numbers"),
        (lambda X: normalize_total(X[0]), "matrix"),
        (lambda X: scale_to_unit_variance(X[:1]), "rows"),
    ],
)
def test_bad_data(call, says):
    with pytest.raises(DataError, match=says):
        call(counts())


@pytest.mark.parametrize("target", [0, -1, np.nan, np.inf, "1e4", True])
def test_bad_targets(target):
    with pytest.raises(UsageError, match="target"):
        normalize_total(counts(), target=target)


@pytest.mark.parametrize("n_genes", [0, -1, 2.5, "all", True])
def test_bad_numbers_of_genes(n_genes):
    with pytest.raises(UsageError, match="n_genes"):
        overdispersed_genes(counts(), n_genes=n_genes)
