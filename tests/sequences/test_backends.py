"""All ways of holding the data give what the plain definition gives."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

import sequence_reference as plain
from partwise.sequences import _mu, loadings, motif_products, power, seqnmf_costs
from partwise.sequences._fit import natural, windowed
from partwise.sequences._inputs import prepare
from partwise.sequences._moves import normalize, recenter
from partwise.sequences._problem import Penalty, State

BACKENDS = ("sparse", "fft", "direct")
SHAPES = [
    (1, 1, 1, 2),
    (3, 2, 1, 9),
    (5, 3, 4, 40),
    (2, 1, 17, 18),
    (7, 4, 11, 300),
    (20, 5, 33, 3000),
]
SPLITS = {
    "whole": lambda T: None,
    "two": lambda T: [(0, T // 3), (T // 2, T)],
    "short": lambda T: [(0, 2), (3, T - 1)],
}


def draw(rng, N, K, L, T, dtype=np.float64):
    X = rng.random((N, T)) * (rng.random((N, T)) < 0.3)
    return X.astype(dtype), rng.random((N, K, L)).astype(dtype), rng.random((K, T)).astype(dtype)


def close(a, b, tol=1e-10):
    scale = max(np.abs(b).max(), 1e-300)
    assert np.abs(np.asarray(a, np.float64) - b).max() <= tol * scale


def problem_of(X, L, backend, **options):
    return prepare(X, L, backend=backend, exponent=0, **options).problem


def has_room(split, L, T):
    """Whether one of the epochs is longer than a motif."""
    epochs = SPLITS[split](T)
    return epochs is None or (T >= 9 and max(b - a for a, b in epochs) > L)


CASES = [(split, shape) for split in SPLITS for shape in SHAPES if has_room(split, *shape[2:])]


@pytest.mark.filterwarnings("ignore:X has")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("split", "shape"), CASES)
@pytest.mark.parametrize("masked", [False, True])
def test_one_iteration_is_that_of_the_definition(backend, shape, split, masked):
    N, K, L, T = shape
    epochs = SPLITS[split](T)
    rng = np.random.default_rng([N, K, L, T])
    X, W, H = draw(rng, *shape)
    mask = rng.random(X.shape) < 0.1 if masked else None
    keep = np.zeros(T, bool)
    for a, b in epochs or [(0, T)]:
        keep[a:b] = True
    H[:, ~keep] = 0
    weights = {"lambda_": 0.02, "l1_W": 0.1, "l1_H": 0.05, "ortho_H": 0.03, "ortho_W": 0.04}
    long = lengthened(X, H, L, epochs or [(0, T)], mask, rng)
    want_w, want_h = plain.mu_step(
        long["X"], W, long["H"], mask=long["mask"], epochs=long["epochs"], **weights
    )

    problem = problem_of(X, L, backend, mask=mask, epochs=epochs)
    timeline = problem.raster.timeline
    inner = np.zeros((timeline.n_frames, K))
    inner[timeline.active] = long["H"].T
    state = State(windowed(W, np.float64), inner)
    penalty = Penalty(0.02, 0.1, 0.05, 0.03, 0.04)
    free = np.ones(K, bool)
    _mu.update_activations(problem, state, penalty)
    recenter(state, timeline, free, 1e-6 * problem.raster.largest)
    normalize(state, free)
    products = problem.raster.cross_motifs(state.activations)
    correlations = problem.correlations(state)
    _mu.update_motifs(problem, state, penalty, products, correlations)
    close(state.activations[timeline.active].T, want_h)
    close(natural(state.motifs), want_w)
    error = problem.error(state, products, correlations)
    where = {"mask": long["mask"], "epochs": long["epochs"]}
    seen = [problem.power(error), *problem.loadings(state, products)]
    want = plain.power(long["X"], want_w, want_h, **where)
    close(seen, [want, *plain.loadings(long["X"], want_w, want_h, **where)])


def lengthened(X, H, L, epochs, mask, rng):
    """Return epochs one behind the other, with L - 1 hidden frames before each.

    That is what it means that a sequence may have begun before the recording.
    """
    N, K = len(X), len(H)
    data, starts, hidden, spans = [], [], [], []
    for a, b in epochs:
        data += [np.full((N, L - 1), np.nan), X[:, a:b]]
        starts += [rng.random((K, L - 1)), H[:, a:b]]
        flags = np.zeros((N, b - a), bool) if mask is None else mask[:, a:b]
        hidden += [np.ones((N, L - 1), bool), flags]
        first = spans[-1][1] if spans else 0
        spans.append((first, first + L - 1 + b - a))
    return {
        "X": np.hstack(data),
        "H": np.hstack(starts),
        "mask": np.hstack(hidden),
        "epochs": spans,
    }


@pytest.mark.filterwarnings("ignore:X has")
@pytest.mark.parametrize(("backend", "shape"), list(itertools.product(BACKENDS, SHAPES)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(backend, shape, dtype):
    X, W, H = draw(np.random.default_rng(1), *shape, dtype)
    tol = 1e-10 if dtype == np.float64 else 2e-5
    close(motif_products(X, W, backend=backend), plain.cross_activations(W, X), tol)
    problem = problem_of(X, shape[2], backend)
    found = problem.raster.cross_motifs(problem.raster.timeline.take(H.T.copy()))
    close(natural(found), plain.cross_motifs(X, H, shape[2]), tol)


def test_power_loadings_and_costs():
    X, W, H = draw(np.random.default_rng(2), 6, 3, 5, 80)
    W /= 20
    for form in (X, sp.csr_matrix(X), sp.csc_array(X)):
        close(power(form, W, H), plain.power(X, W, H))
        close(loadings(form, W, H), plain.loadings(X, W, H))
        error, penalty = seqnmf_costs(form, W, H)
        close(error, np.linalg.norm(plain.residual(X, W, H)))
        close(penalty, plain.cross_penalty(X, W, H))
