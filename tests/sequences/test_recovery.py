"""What was planted comes out: motifs, their lags and the frames of the events."""

import numpy as np
import pytest

from partwise.datasets import simulate_sequences
from partwise.sequences import SeqNMF, event_times, match_factors, match_motifs, sort_neurons

NOISE = (0.002, 0.01, 0.03)


@pytest.fixture(scope="module", params=NOISE)
def fitted(request):
    sim = simulate_sequences(
        6000, n_neurons=12, noise=request.param, participation=0.9, n_background=6, seed=0
    )
    model = SeqNMF(3, sim.n_lags + 8, lambda_=1e-3, random_state=0)
    return sim, model.fit(sim.X)


def test_planted_motifs_are_matched(fitted):
    sim, model = fitted
    found = match_motifs(sim.motifs, model.motifs_)
    assert len(found.pairs) == 3
    assert found.scores.min() >= 0.9
    # one factor for each: the others are unlike
    rows, columns = found.pairs.T
    others = found.cosines.copy()
    others[rows, columns] = 0.0
    assert others.max() < 0.5


def test_reconstructions_are_those_of_the_planted_sequences(fitted):
    sim, model = fitted
    found = match_factors(sim.motifs, sim.activations, model.motifs_, model.activations_)
    assert len(found.pairs) == 3
    # the fit takes part of the noise for signal
    assert found.scores.min() >= {0.002: 0.95, 0.01: 0.85, 0.03: 0.65}[sim.options.noise]


def test_events_are_found_in_their_frames(fitted):
    """Not one frame early or late: activation and motif together give the planted frame."""
    sim, model = fitted
    motifs = match_motifs(sim.motifs, model.motifs_)
    events = event_times(model.activations_, min_interval=sim.n_lags // 2)
    for (a, b), shift in zip(motifs.pairs, motifs.shifts, strict=True):
        planted = sim.events.loc[sim.events["factor"] == a, "frame"].to_numpy()
        frames = events.loc[events["factor"] == b, "frame"].to_numpy() - shift
        assert np.isin(planted, frames).mean() >= 0.95
        assert np.isin(frames, planted).mean() >= 0.95


def test_the_lag_of_each_neuron_is_the_planted_one(fitted):
    sim, model = fitted
    motifs = match_motifs(sim.motifs, model.motifs_)
    found = sort_neurons(model.motifs_)
    units = sim.units[sim.units["factor"] >= 0]
    for (a, b), shift in zip(motifs.pairs, motifs.shifts, strict=True):
        mine = units[units["factor"] == a]
        assert (found.factor[mine["unit"]] == b).all()
        np.testing.assert_array_equal(found.lag[mine["unit"]] + shift, mine["lag"])
