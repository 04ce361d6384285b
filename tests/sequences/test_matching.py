"""Factors matched without reconstructions, against the formulas written down with them."""

import numpy as np
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.sequences.matching import (
    consistency,
    dissimilarity,
    match_factors,
    match_motifs,
    sort_neurons,
)


def _parts(motifs, activations, epochs=None):
    """Reconstruction of each factor, K x N x T, epoch by epoch."""
    n_frames = activations.shape[1]
    R = np.zeros((motifs.shape[1], motifs.shape[0], n_frames))
    for start, stop in epochs or [(0, n_frames)]:
        for lag in range(min(motifs.shape[2], stop - start)):
            for k in range(motifs.shape[1]):
                within = activations[k, start : stop - lag]
                R[k, :, start + lag : stop] += np.outer(motifs[:, k, lag], within)
    return R


def _dense_products(fit_a, fit_b, epochs=None):
    a, b = (_parts(*fit, epochs) for fit in (fit_a, fit_b))
    flat_a, flat_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    norms = np.linalg.norm(flat_a, axis=1), np.linalg.norm(flat_b, axis=1)
    return flat_a @ flat_b.T, *norms


def _dense_cosines(fit_a, fit_b, epochs=None):
    products, a, b = _dense_products(fit_a, fit_b, epochs)
    sizes = np.outer(a, b)
    return np.divide(products, sizes, out=np.zeros_like(sizes), where=sizes > 0)


def _fit(rng, n=7, k=3, n_lags=5, n_frames=60):
    motifs = rng.random((n, k, n_lags)) * (rng.random((n, k, n_lags)) < 0.4)
    activations = rng.random((k, n_frames)) * (rng.random((k, n_frames)) < 0.3)
    # an end at which something plays is what an uncut correlation would get wrong
    activations[:, -2:] = 1.0
    return motifs, activations


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("epochs", [None, [(0, 17), (20, 24), (24, 60)]], ids=["whole", "epochs"])
def test_cosines_are_those_of_the_reconstructions(seed, epochs):
    rng = np.random.default_rng(seed)
    n_lags = (1, 2, 5, 9, 60, 61)[seed]
    fit_a = _fit(rng, n_lags=n_lags)
    fit_b = _fit(rng, k=4, n_lags=(n_lags + 2) // 2)
    expected = _dense_cosines(fit_a, fit_b, epochs)
    found = match_factors(*fit_a, *fit_b, epochs=epochs)
    np.testing.assert_allclose(found.cosines, expected, atol=1e-12)
    # the greedy rule, on the dense cosines
    left, pairs = expected.copy(), []
    while left.max() > 0:
        i, j = np.unravel_index(left.argmax(), left.shape)
        pairs.append([i, j])
        left[i], left[:, j] = 0, 0
    assert found.pairs.tolist() == pairs
    np.testing.assert_allclose(found.scores, [expected[i, j] for i, j in pairs], atol=1e-12)
    assert len(pairs) > 1
    assert found.unmatched_a.size == 3 - len(pairs)
    assert found.unmatched_b.size == 4 - len(pairs)
    assert found.similarity == pytest.approx(found.scores.sum() / 3)


def test_frames_beyond_one_block_of_a_transform():
    rng = np.random.default_rng(0)
    fit_a, fit_b = (_fit(rng, n=3, k=2, n_lags=11, n_frames=5000) for _ in range(2))
    found = match_factors(*fit_a, *fit_b)
    np.testing.assert_allclose(found.cosines, _dense_cosines(fit_a, fit_b), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_factors_in_another_order(dtype):
    motifs, activations = (part.astype(dtype) for part in _fit(np.random.default_rng(1), k=5))
    order = [3, 0, 4, 2, 1]
    moved = motifs[:, order] * dtype(7), activations[order]
    found = match_factors(motifs, activations, *moved)
    assert {(a, order[b]) for a, b in found.pairs} == {(k, k) for k in range(5)}
    np.testing.assert_allclose(found.scores, 1.0, atol=1e-9)
    assert dissimilarity((motifs, activations), moved) == pytest.approx(0.0, abs=1e-9)


def test_ties_and_empty_factors():
    motifs, activations = _fit(np.random.default_rng(2), k=4)
    motifs[:, 1], activations[2] = 0.0, 0.0
    # factor 3 is factor 0 again: each may have either, and the lower numbers go first
    motifs[:, 3], activations[3] = motifs[:, 0], activations[0]
    found = match_factors(motifs, activations, motifs, activations)
    assert found.pairs.tolist() == [[0, 0], [3, 3]]
    assert found.unmatched_a.tolist() == found.unmatched_b.tolist() == [1, 2]
    assert not found.cosines[[1, 2]].any()
    assert not found.cosines[:, [1, 2]].any()
    assert found.similarity == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_dissimilarity_and_consistency_are_the_formulas(seed):
    rng = np.random.default_rng(seed)
    fit_a, fit_b = _fit(rng, k=4), _fit(rng, k=4)
    C = _dense_cosines(fit_a, fit_b)
    expected = (2 * 4 - C.max(axis=1).sum() - C.max(axis=0).sum()) / (2 * 4)
    assert dissimilarity(fit_a, fit_b) == pytest.approx(expected, abs=1e-12)
    assert dissimilarity(fit_b, fit_a) == pytest.approx(expected, abs=1e-12)
    products = _dense_products(fit_a, fit_b)[0]
    left, total = products.copy(), 0.0
    for _ in range(4):
        i, j = np.unravel_index(left.argmax(), left.shape)
        total += left[i, j]
        left[i], left[:, j] = 0, 0
    assert consistency(fit_a, fit_b) == pytest.approx(total / products.sum(), rel=1e-12)


def test_dissimilarity_of_unlike_fits_and_of_models():
    motifs, activations = _fit(np.random.default_rng(3))
    other = np.concatenate([np.zeros_like(motifs), motifs])
    mine = np.concatenate([motifs, np.zeros_like(motifs)])
    assert dissimilarity((mine, activations), (other, activations)) == 1.0
    assert consistency((mine, activations), (other, activations)) == 0.0

    class Model:
        motifs_, activations_ = motifs, activations

    assert dissimilarity(Model(), (motifs, activations)) == pytest.approx(0.0, abs=1e-9)
    # a half of the factors found again, and nothing else
    half = dissimilarity((motifs, activations), (motifs[:, :2], activations[:2]))
    C = _dense_cosines((motifs, activations), (motifs[:, :2], activations[:2]))
    assert half == pytest.approx(1 - (C.max(axis=1).mean() + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_motifs_are_matched_over_shifts(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((6, 3, 8)) ** 6, rng.random((6, 2, 5)) ** 6
    found = match_motifs(a, b)
    wide = np.zeros((6, 3, 8 + 2 * 8))
    wide[:, :, 8:16] = a
    for i in range(3):
        for j in range(2):
            scores = {}
            for shift in range(-7, 8):
                placed = np.zeros((6, 24))
                placed[:, 8 + shift : 13 + shift] = b[:, j]
                top = np.vdot(placed, wide[:, i])
                scores[shift] = top / np.linalg.norm(a[:, i]) / np.linalg.norm(b[:, j])
            assert found.cosines[i, j] == pytest.approx(max(scores.values()), abs=1e-12)
            for pair, shift in zip(found.pairs.tolist(), found.shifts, strict=True):
                if pair == [i, j]:
                    assert scores[shift] == pytest.approx(max(scores.values()), abs=1e-12)


def test_of_equal_shifts_the_smallest():
    motif = np.zeros((2, 1, 9))
    motif[0, 0, ::2] = 1.0
    for lag in range(9):
        probe = np.zeros((2, 1, 9))
        probe[0, 0, lag] = 1.0
        assert match_motifs(motif, probe).shifts.tolist() == [-(lag % 2)]
    assert match_motifs(motif, motif).shifts.tolist() == [0]
    assert match_motifs(motif, np.zeros_like(motif)).pairs.shape == (0, 2)


def test_neurons_by_factor_and_peak_lag():
    motifs = np.zeros((7, 2, 6))
    motifs[0, 1, 1] = 1.0
    motifs[1, 0, [2, 3]] = 0.9  # peak at 2, centre 2.5
    motifs[2, 0, [2, 1]] = [0.9, 0.1]  # peak at 2, centre 1.9
    motifs[4] = motifs[1]  # as neuron 1, which has the lower number
    motifs[5, 0, 5] = motifs[5, 1, 0] = 0.5  # either factor: the first
    motifs[6, 0], motifs[6, 1, 4] = 0.3, 0.7  # largest weight on 1, largest loading on 0
    found = sort_neurons(motifs)
    assert found.factor.tolist() == [1, 0, 0, -1, 0, 0, 0]
    assert found.lag.tolist() == [1, 2, 2, -1, 2, 5, 0]
    assert found.order.tolist() == [6, 2, 1, 4, 5, 0, 3]


def test_the_order_of_simulated_neurons_is_the_planted_one():
    from partwise.datasets import simulate_sequences

    sim = simulate_sequences(1000, n_neurons=[9, 4, 6], n_background=3, seed=0)
    shuffled = np.random.default_rng(0).permutation(sim.n_units)
    found = sort_neurons(sim.motifs[shuffled])
    planted = shuffled[found.order]
    assert planted[:19].tolist() == list(range(19))
    assert sorted(planted[19:]) == [19, 20, 21]


def test_input_is_left_as_it_is():
    fit = _fit(np.random.default_rng(4))
    before = [part.copy() for part in fit]
    match_factors(*fit, *fit)
    sort_neurons(fit[0])
    for part, copy in zip(fit, before, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_bad_input():
    motifs, activations = _fit(np.random.default_rng(5))
    with pytest.raises(UsageError, match="motifs_a must be units x factors x lags"):
        match_motifs(motifs[:, 0], motifs)
    with pytest.raises(UsageError, match="of 7 and of 6 units"):
        match_motifs(motifs, motifs[:6])
    with pytest.raises(UsageError, match="activations_b must be factors x frames with 3"):
        match_factors(motifs, activations, motifs, activations[:2])
    with pytest.raises(UsageError, match="of 60 and of 59 frames"):
        match_factors(motifs, activations, motifs, activations[:, 1:])
    with pytest.raises(DataError, match="finite and not negative"):
        sort_neurons(-motifs)
    with pytest.raises(DataError, match="activations_a must be finite"):
        match_factors(motifs, activations * np.nan, motifs, activations)
    with pytest.raises(UsageError, match="a fit must be a fitted SeqNMF"):
        dissimilarity(3, (motifs, activations))
    with pytest.raises(UsageError, match="overlap"):
        dissimilarity((motifs, activations), (motifs, activations), epochs=[(0, 30), (20, 60)])
