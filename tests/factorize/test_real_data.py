"""Against scikit-learn on real cells; needs the public data sets, and is skipped without them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import decomposition

import reference
from partwise import NMF, MiniBatchNMF

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def cells(data_dir):
    """2638 blood cells, log1p of counts per ten thousand, float32."""
    with np.load(data_dir / "pbmc3k.npz", allow_pickle=False) as file:
        counts = sp.csr_matrix(
            (file["data"].astype(np.float32), file["indices"], file["indptr"]), file["shape"]
        )
    counts.data *= np.repeat(1e4 / counts.sum(axis=1).A1, np.diff(counts.indptr)).astype(np.float32)
    return counts.log1p()


def start(X, k, seed):
    rng = np.random.default_rng(seed)
    scale = np.sqrt(X.mean() / k)
    n, p = X.shape
    W, H = (np.abs(rng.standard_normal(s) * scale) for s in ((n, k), (k, p)))
    return W.astype(X.dtype), H.astype(X.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_default_is_as_good_as_coordinate_descent(cells, seed):
    W, H = start(cells, 20, seed)
    ours = NMF(20, init="custom")
    ours.fit_transform(cells, W=W.copy(), H=H.copy())
    theirs = decomposition.NMF(20, init="custom", solver="cd", max_iter=200)
    U = theirs.fit_transform(cells, W=W.copy(), H=H.copy())
    norm = np.sqrt(np.sum(cells.data.astype(np.float64) ** 2))
    expected = residual(cells, U, theirs.components_) / norm
    assert ours.result_.converged
    assert ours.result_.relative_error <= 1.0005 * expected


def residual(X, W, H):
    """Return ||X - W H|| without a dense residual, float64."""
    W, H = np.float64(W), np.float64(H)
    fit = np.sum((X.astype(np.float64) @ H.T) * W)
    return np.sqrt(np.sum(X.data.astype(np.float64) ** 2) - 2 * fit + np.sum((W.T @ W) * (H @ H.T)))


def test_reported_error_of_real_cells(cells):
    model = NMF(10, random_state=0, tol=1e-3)
    usage = model.fit_transform(cells)
    norm = np.sqrt(np.sum(cells.data.astype(np.float64) ** 2))
    expected = residual(cells, usage, model.components_)
    assert model.reconstruction_err_ == pytest.approx(expected, rel=1e-6)
    assert model.result_.relative_error == pytest.approx(expected / norm, rel=1e-6)
    assert reference.kkt_violation(cells[:200], usage[:200], model.components_) < 1e-5


def test_bits_of_real_cells(cells):
    usage = [
        NMF(20, random_state=0, max_iter=3, tol=0, n_threads=n).fit_transform(cells)
        for n in (1, 2, 3)
    ]
    np.testing.assert_array_equal(usage[0], usage[1])
    np.testing.assert_array_equal(usage[0], usage[2])


def test_mini_batches_say_how_far_they_are(cells):
    model = MiniBatchNMF(10, random_state=0, max_iter=5).fit(cells)
    full = NMF(10, random_state=0).fit(cells)
    possible = 1 - (full.reconstruction_err_ / model.reconstruction_err_) ** 2
    assert 0 <= model.result_.details["relative_gap"] <= possible + 1e-3
