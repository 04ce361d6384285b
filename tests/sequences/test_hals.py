"""Coordinate descent: each step against its definition, what it must reach, and its bits."""

import numpy as np
import pytest
from scipy.optimize import nnls

import sequence_reference as plain
from partwise.exceptions import UsageError
from partwise.sequences import SeqNMF, _hals
from partwise.sequences._fit import natural, windowed
from partwise.sequences._inputs import prepare
from partwise.sequences._problem import Penalty, State
from partwise.sequences._view import look

EPOCHS = [(0, 30), (31, 45), (50, 80)]


def planted(N=8, K=2, L=5, T=120, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    W = rng.random((N, K, L)) * (rng.random((N, K, L)) < 0.4)
    H = rng.random((K, T)) * (rng.random((K, T)) < 0.08)
    return plain.reconstruct(W, H) + noise * rng.random((N, T))


def long(X, L, epochs, mask=None):
    """Return X with L - 1 hidden frames before each epoch, what is hidden, and the epochs in it.

    Activations may stand in the hidden frames: sequences that were under way.
    """
    data, hidden, spans, at = [], [], [], 0
    for a, b in epochs:
        data += [np.zeros((len(X), L - 1)), X[:, a:b]]
        hidden += [np.ones((len(X), L - 1), bool)]
        hidden += [np.zeros((len(X), b - a), bool) if mask is None else mask[:, a:b]]
        spans.append((at, at + L - 1 + b - a))
        at = spans[-1][1]
    return np.hstack(data), np.hstack(hidden), spans


def long_activations(model, epochs):
    parts = [
        part
        for e, (a, b) in enumerate(epochs)
        for part in (model.before_[:, e], model.activations_[:, a:b])
    ]
    return np.hstack(parts)


def design(W, spans, T):
    """Return the matrix whose product with activations (frame by frame) is the model, flat."""
    N, K, L = W.shape
    A = np.zeros((N, T, T, K))
    for a, b in spans:
        for t in range(a, b):
            for lag in range(min(L, b - t)):
                A[:, t + lag, t] = W[:, :, lag]
    return A.reshape(N * T, T * K)


@pytest.mark.parametrize("epochs", [None, EPOCHS])
def test_a_sweep_over_activations_is_that_of_the_definition(epochs):
    N, K, L, T = 6, 3, 4, 80
    rng = np.random.default_rng(0)
    X, W = planted(N, K, L, T), rng.random((N, K, L))
    W[:, 0, 0], W[:, 1, -1] = 1e-3, 1e-3
    spans = epochs or [(0, T)]
    data, hidden, inner = long(X, L, spans)
    problem = prepare(X, L, epochs=epochs, exponent=0).problem
    timeline = problem.raster.timeline
    state = State(windowed(W, np.float64), rng.random((timeline.n_frames, K)))
    state.activations[~timeline.active] = 0

    A = design(W, inner, data.shape[1]) * ~hidden.reshape(-1, 1)
    h = state.activations[timeline.active].reshape(-1).copy()
    gap = A @ h - data.reshape(-1)
    # where less than a hundredth of a motif's square is seen, it may only shrink
    least = 0.01 * np.tile((W**2).sum(axis=(0, 2)), data.shape[1])
    for i in range(len(h)):
        square = A[:, i] @ A[:, i]
        new = max(h[i] - A[:, i] @ gap / square, 0.0) if square > 1e-12 else h[i]
        new = new if square >= least[i] else min(new, h[i])
        gap += (new - h[i]) * A[:, i]
        h[i] = new
    _hals.update_activations(problem, state, Penalty(), look(problem, state), np.ones(K, bool), 1)
    np.testing.assert_allclose(state.activations[timeline.active].reshape(-1), h, atol=1e-10)


def test_a_sweep_over_motifs_is_that_of_the_definition():
    N, K, L, T = 4, 3, 5, 60
    rng = np.random.default_rng(1)
    problem = prepare(planted(N, K, L, T), L, exponent=0).problem
    timeline = problem.raster.timeline
    # nothing under way at the ends: the gaps say nothing
    H = rng.random((timeline.n_frames, K)) * (rng.random((timeline.n_frames, K)) < 0.2)
    H[: L - 1], H[-2 * (L - 1) :] = 0, 0
    W = rng.random((N, K, L))
    state = State(windowed(W, np.float64), H)
    starts = np.stack([np.roll(H, lag, axis=0) for lag in range(L)], axis=2)  # F x K x L
    data = timeline.take(planted(N, K, L, T).T)
    want = W.copy()
    for n in range(N):
        gap = np.einsum("tkl,kl->t", starts, want[n]) - data[:, n]
        for k in range(K):
            for lag in range(L - 1, -1, -1):
                column = starts[:, k, lag]
                new = max(want[n, k, lag] - column @ gap / (column @ column), 0.0)
                gap += (new - want[n, k, lag]) * column
                want[n, k, lag] = new
    products, correlations = problem.raster.cross_motifs(H), problem.correlations(state)
    free = np.ones(K, bool)
    _hals.update_motifs(problem, state, Penalty(), products, correlations, free, 1)
    np.testing.assert_allclose(natural(state.motifs), want, atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("epochs", [None, EPOCHS])
def test_the_error_never_rises(masked, epochs):
    X = planted(T=80)
    mask = np.random.default_rng(2).random(X.shape) < 0.2 if masked else None
    model = SeqNMF(3, 5, lambda_=0, solver="hals", shift=False, max_iter=60, tol=0, random_state=0)
    cost = model.fit(X, mask=mask, epochs=epochs).cost_
    assert np.diff(cost).max() <= 1e-12 * cost[0]
    assert cost[-1] < 0.9 * cost[2]


@pytest.mark.parametrize("weights", [{"l1_W": 0.3}, {"l1_H": 0.05}, {"l1_W": 0.1, "l1_H": 0.02}])
def test_with_l1_the_penalised_loss_at_unit_activations_never_rises(weights):
    X = planted()

    def loss(n):
        model = SeqNMF(3, 5, lambda_=0, shift=False, max_iter=n, tol=0, random_state=0, **weights)
        model.fit(X)
        H = long_activations(model, [(0, X.shape[1])])
        norm = np.linalg.norm(H, axis=1)
        assert norm.min() > 0.5
        return (
            0.5 * X.size * model.cost_[-1] ** 2
            + weights.get("l1_W", 0) * model.motifs_.sum(axis=(0, 2)) @ norm
            + weights.get("l1_H", 0) * np.sum(H.sum(axis=1) / norm)
        )

    found = [loss(n) for n in range(2, 16)]
    assert np.diff(found).max() <= 1e-9 * found[0]
    assert found[-1] < found[0]


@pytest.mark.parametrize("masked", [False, True])
def test_conditions_of_a_minimum_hold_at_the_end(masked):
    X, L = planted(T=80), 5
    mask = np.random.default_rng(3).random(X.shape) < 0.1 if masked else None
    model = SeqNMF(2, L, lambda_=0, shift=False, max_iter=1200, tol=0, random_state=1)
    model.fit(X, mask=mask, epochs=EPOCHS)
    data, hidden, spans = long(X, L, EPOCHS, mask)
    W, H = model.motifs_, long_activations(model, EPOCHS)
    gap = -plain.residual(data, W, H, mask=hidden, epochs=spans)
    slope_w = plain.cross_motifs(gap, H, L, epochs=spans)
    slope_h = plain.cross_activations(W, gap, epochs=spans)
    observed = plain.cross_activations(W**2, ~hidden, epochs=spans)
    # of the others the data say next to nothing, and they only shrink
    known = observed >= 0.01 * (W**2).sum(axis=(0, 2))[:, None]
    scale_w = plain.cross_motifs(data, H, L, epochs=spans).max()
    scale_h = plain.cross_activations(W, data, epochs=spans).max()
    assert slope_w.min() > -1e-6 * scale_w
    assert np.abs(slope_w[W > 0]).max() < 1e-6 * scale_w
    assert slope_h[known].min() > -1e-6 * scale_h
    assert np.abs(slope_h[known & (H > 0)]).max() < 1e-6 * scale_h


@pytest.mark.parametrize("epochs", [None, [(0, 20), (22, 40)]])
def test_transform_solves_the_convex_problem(epochs):
    N, K, L, T = 5, 2, 4, 40
    X = planted(N, K, L, T)
    model = SeqNMF(K, L, lambda_=0, random_state=0).fit(X)
    # every part of a window holds more than a hundredth of the motif
    model.motifs_ = 0.5 + np.random.default_rng(0).random((N, K, L))
    data, hidden, inner = long(X, L, epochs or [(0, T)])
    A = design(model.motifs_, inner, data.shape[1])[~hidden.reshape(-1)]
    _, error = nnls(A, data.reshape(-1)[~hidden.reshape(-1)])
    total = np.sum(data[~hidden] ** 2)
    assert model.score(X, epochs=epochs) == pytest.approx(1 - error**2 / total, abs=1e-9)


def test_backends_agree():
    X = planted(T=300)
    costs = [
        SeqNMF(2, 5, lambda_=0, backend=name, max_iter=8, tol=0, random_state=0).fit(X).cost_
        for name in ("sparse", "fft", "direct")
    ]
    np.testing.assert_allclose(costs[1:], costs[:1] * 2, rtol=1e-9)


def test_float32_goes_the_way_of_float64():
    X = planted(T=400)
    settings = {"lambda_": 0, "solver": "hals", "max_iter": 10, "tol": 0, "random_state": 0}
    wide, narrow = (SeqNMF(3, 5, dtype=t, **settings).fit(X) for t in ("float64", "float32"))
    assert narrow.motifs_.dtype == np.float32
    np.testing.assert_allclose(narrow.cost_, wide.cost_, rtol=1e-4)


def test_bits_do_not_depend_on_threads():
    X = planted(6, 5, 5, 25_000)
    settings = {"lambda_": 0, "max_iter": 3, "tol": 0, "random_state": 0}
    one, two = (SeqNMF(5, 5, n_threads=n, **settings).fit(X) for n in (1, 2))
    assert len(_hals._blocks(25_000, _hals.Windows(9, 5, X.dtype))) > 4
    np.testing.assert_array_equal(one.motifs_, two.motifs_)
    np.testing.assert_array_equal(one.activations_, two.activations_)
    np.testing.assert_array_equal(one.cost_, two.cost_)


def test_a_random_start_is_not_wiped_out():
    # it exceeds the data many times; sweeps alone would end with all activations of the first
    # frames at zero and motifs as alike as they were drawn
    X = planted(T=600, noise=0.0)
    settings = {"lambda_": 0, "max_iter": 30, "tol": 0, "random_state": 0}
    model = SeqNMF(4, 20, solver="hals", **settings).fit(X)
    slow = SeqNMF(4, 20, solver="mu", **settings).fit(X)
    assert model.cost_[0] > 5 * np.sqrt(np.mean(X**2))
    assert model.cost_[-1] < slow.cost_[-1]
    assert not model.empty_.any()
    assert model.power_ > 0.98


def test_it_knows_no_cross_terms():
    for name in ("lambda_", "ortho_H", "ortho_W"):
        settings = {"lambda_": 0, name: 0.1}
        with pytest.raises(UsageError, match=r"solver='hals' knows no"):
            SeqNMF(2, 5, solver="hals", **settings).fit(planted())


def test_auto_takes_it_where_it_can():
    X = planted()
    settings = {"max_iter": 5, "tol": 0, "random_state": 0}

    def costs(**more):
        return SeqNMF(2, 5, **settings, **more).fit(X).cost_

    np.testing.assert_array_equal(costs(lambda_=0), costs(lambda_=0, solver="hals"))
    assert costs(lambda_=0)[-1] != costs(lambda_=0, solver="mu")[-1]
    np.testing.assert_array_equal(costs(lambda_=0.1), costs(lambda_=0.1, solver="mu"))
