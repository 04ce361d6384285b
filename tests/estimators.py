"""Every estimator, fitted to whatever users bring: shared by the tests of values and of storage.

A new estimator is one line of `ESTIMATORS`.
"""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from partwise import NMF, MiniBatchNMF
from partwise.exceptions import DataError, PartwiseError
from partwise.factorize import ConsensusNMF

ESTIMATORS = {
    "nmf": lambda k: NMF(k, max_iter=30, random_state=0),
    "bpp": lambda k: NMF(k, solver="bpp", max_iter=15, random_state=0),
    "penalised": lambda k: NMF(
        k, l1_usage=0.01, l2_usage=0.1, l1_programs=0.01, l2_programs=0.1, max_iter=30,
        random_state=0,
    ),
    "semi": lambda k: NMF(k, signed="programs", l2_usage=1, l2_programs=1, random_state=0),
    "minibatch": lambda k: MiniBatchNMF(k, batch_size=16, max_iter=5, random_state=0),
    "counts": lambda k: NMF(k, loss="kullback-leibler", max_iter=40, random_state=0),
    "counts by batches": lambda k: MiniBatchNMF(
        k, loss="kullback-leibler", batch_size=16, max_iter=5, random_state=0
    ),
    "consensus": lambda k: ConsensusNMF(k, n_replicates=4, max_iter=60, tol=1e-4, random_state=0),
}  # fmt: skip
#: Those that take negative values, and those whose penalties have units.
SIGNED = {"semi"}
UNITS = {"penalised", "semi"}
#: Those whose errors are deviances, relative to that of the best model of rank one.
COUNTS = {"counts", "counts by batches"}
#: Those that say so where replicates have too little in common, and whose error depends on that.
CHOOSY = {"consensus"}

EACH = pytest.mark.parametrize("name", ESTIMATORS)
SPARSE = pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])


def good(n=40, p=6, dtype=np.float64, k=3, seed=0):
    X = reference.planted(n, p, k, noise=0.2, seed=seed)[0]
    return (X * (np.random.default_rng(1).random(X.shape) < 0.8)).astype(dtype)


def fitted(name, X, k=2):
    """Fit and check that every number is as it should be."""
    model = ESTIMATORS[name](k)
    usage = model.fit_transform(X)
    healthy(name, model, usage, X.shape)
    healthy(name, model, model.transform(X), X.shape)
    return model, usage


def degenerate(name, X, k=2):
    """Do the same with data that have no programs to agree on: some estimators say so instead."""
    try:
        return fitted(name, X, k)
    except DataError as error:
        if name in CHOOSY and "replicate" in str(error):
            return None, None
        if name in COUNTS and "nothing to fit" in str(error) and not np.sum(X):
            return None, None
        raise


def healthy(name, model, usage, shape):
    H = model.components_
    assert usage.shape == (shape[0], H.shape[0])
    assert H.shape[1] == shape[1]
    assert usage.dtype == H.dtype
    for factor in (usage, H):
        assert np.isfinite(factor).all()
        assert name in SIGNED or (factor >= 0).all()
    assert np.isfinite(model.inverse_transform(usage)).all()
    error = model.result_.relative_error
    # counts: relative to the best model of rank one, which a few batches do not reach
    assert 0 <= error <= (2.0 if name == "counts by batches" else 1.001)
    assert np.isfinite(model.reconstruction_err_)


def refused(name, X, message="", method="fit"):
    model = ESTIMATORS[name](2)
    if method == "transform":
        model.fit(good())
    with pytest.raises(PartwiseError, match=message):
        getattr(model, method)(X)


def similar(name, one, two, rel=0.02):
    """Two fits of the same data in another guise are equally good."""
    a, b = one.result_.relative_error, two.result_.relative_error
    assert a == pytest.approx(b, rel=rel, abs=1e-3)
