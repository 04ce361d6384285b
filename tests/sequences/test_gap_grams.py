"""Gaps between epochs through Grams: the same as through the model's values there."""

import numpy as np
import pytest

from partwise.sequences import SeqNMF, _missing
from partwise.sequences._gap_grams import pays
from partwise.sequences._inputs import prepare
from partwise.sequences._problem import State
from partwise.sequences._view import look

SHAPES = [
    (5, 2, 4, 60, [(0, 20), (20, 26), (30, 31), (33, 60)]),
    (7, 3, 9, 200, [(0, 50), (60, 75), (80, 200)]),
    (6, 1, 2, 40, None),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_agree(monkeypatch, shape, masked):
    N, K, L, T, epochs = shape
    rng = np.random.default_rng(0)
    X = rng.random((N, T))
    mask = rng.random((N, T)) < 0.1 if masked else None
    problem = prepare(X, L, mask=mask, epochs=epochs, exponent=0).problem
    timeline = problem.raster.timeline
    activations = rng.random((timeline.n_frames, K)) * timeline.active[:, None]
    state = State(rng.random((N, L, K)), activations)

    def found(grams):
        monkeypatch.setattr(_missing, "pays", lambda *_: grams)
        view, correlations = look(problem, state), problem.correlations(state)
        return (
            view.below[timeline.active],
            view.error,
            problem.model_cross_motifs(state, correlations),
            problem.square(state, correlations),
        )

    for one, two in zip(found(False), found(True), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-11, atol=1e-11 * np.max(one))


def test_grams_pay_for_many_epochs_only():
    assert not pays(100, 2, 30, 10)
    assert pays(100, 200, 30, 10)
    assert not pays(100, 200, 1, 10)
    assert not pays(100, 10_000, 1000, 30)  # a Gram of 3.6e9 numbers


def test_many_epochs_are_fitted_as_few():
    X = np.random.default_rng(1).random((20, 3000))
    epochs = [(a, a + 30) for a in range(0, 3000, 30)]
    assert pays(20, 101, 8, 2)
    model = SeqNMF(2, 8, lambda_=0, max_iter=6, tol=0, random_state=0).fit(X, epochs=epochs)
    assert np.diff(model.cost_).max() < 0
    H = [
        np.hstack([model.before_[:, e], model.activations_[:, a:b]])
        for e, (a, b) in enumerate(epochs)
    ]
    rest = 0.0
    for h, (a, b) in zip(H, epochs, strict=True):
        whole = sum(
            model.motifs_[:, :, lag] @ np.roll(np.pad(h, ((0, 0), (0, 8))), lag, axis=1)
            for lag in range(8)
        )
        rest += np.sum((X[:, a:b] - whole[:, 7:37]) ** 2)
    assert model.cost_[-1] == pytest.approx(np.sqrt(rest / X.size), rel=1e-10)
