"""The simulator of sequences: what it plants is what it says, whatever disturbs it."""

import numpy as np
import pytest
from scipy import sparse

from partwise.datasets import simulate_sequences
from partwise.exceptions import UsageError


def _model(motifs, activations):
    """The model written down: sum over factors and lags, nothing before the first frame."""
    n_frames = activations.shape[1]
    X = np.zeros((motifs.shape[0], n_frames))
    for lag in range(motifs.shape[2]):
        X[:, lag:] += motifs[:, :, lag] @ activations[:, : n_frames - lag]
    return X


def _simulate(n_frames=3000, **given):
    return simulate_sequences(n_frames, **{"noise": 0.0, "seed": 3, **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"n_sequences": 1, "n_neurons": 1},
        {"n_sequences": 2, "n_neurons": [7, 4], "gap": [1, 6]},
        {"n_shared": 4},
        {"n_shared": 5, "shared_order": "different"},
        {"overlap": 0.7},
        {"n_background": 3},
    ],
    ids=lambda given: "-".join(given) or "plain",
)
def test_without_noise_the_data_are_the_model(given):
    sim = _simulate(**given)
    assert sparse.isspmatrix_csr(sim.X)
    assert sim.X.dtype == np.float32
    assert sim.X.nnz > 0
    np.testing.assert_array_equal(sim.X.toarray(), _model(sim.motifs, sim.activations))


def test_a_calcium_kernel_is_the_model_but_for_its_cut_tail():
    sim = _simulate(calcium=6.0)
    assert isinstance(sim.X, np.ndarray)
    spikes = _simulate().X.toarray()
    kernel = np.exp(-np.arange(3000) / 6.0)
    expected = np.apply_along_axis(lambda row: np.convolve(row, kernel)[:3000], 1, spikes)
    np.testing.assert_allclose(sim.X, expected, atol=1e-4)
    # the tail behind five time constants, of at most one event at a time
    assert np.abs(sim.X - _model(sim.motifs, sim.activations)).max() < np.exp(-5.0) * 1.2


def test_events_and_units_say_what_was_planted():
    sim = _simulate(n_sequences=2, n_neurons=[5, 3], n_shared=2, n_background=2, rate=20.0)
    events, units = sim.events, sim.units
    np.testing.assert_array_equal(np.argwhere(sim.activations.T > 0), events[["frame", "factor"]])
    np.testing.assert_allclose(events["time"], events["frame"] / 20.0)
    assert events["n_units"].tolist() == [7 if k == 0 else 5 for k in events["factor"]]
    found = np.argwhere(sim.motifs.transpose(0, 1, 2) > 0)
    planted = units[units["factor"] >= 0]
    np.testing.assert_array_equal(found, planted[["unit", "factor", "lag"]])
    assert units["group"].value_counts().to_dict() == {
        "sequence": 8,
        "shared": 4,
        "background": 2,
    }
    assert sim.n_units == sim.X.shape[0] == units["unit"].nunique() == 12
    first = events.iloc[0]
    for unit, lag in units.loc[units["factor"] == first["factor"], ["unit", "lag"]].to_numpy():
        assert sim.X[unit, int(first["frame"]) + lag] == 1


def test_events_do_not_overlap_unless_asked_to():
    apart, mixed = _simulate(50_000), _simulate(50_000, overlap=0.4)
    length = apart.n_lags
    idle = np.diff(apart.events["frame"]) - length
    assert idle.min() >= 1
    assert idle.max() <= 99
    assert idle.mean() == pytest.approx(50, rel=0.1)
    steps = np.diff(mixed.events["frame"])
    assert np.mean(steps < length) == pytest.approx(0.4, abs=0.06)
    same = np.diff(mixed.events["factor"]) == 0
    assert not (same & (steps < length)).any()
    assert (same & (steps >= length)).any()


def test_every_sequence_occurs_and_ends_within_the_recording():
    for seed in range(5):
        sim = _simulate(600, n_sequences=4, seed=seed)
        assert set(sim.events["factor"]) == {0, 1, 2, 3}
        assert sim.events["frame"].max() + sim.n_lags <= 600


def test_noise_jitter_participation_and_drift_have_the_asked_size():
    sim = _simulate(20_000, noise=0.02, n_background=20, drift=0.6)
    background = sim.X[-20:].toarray()
    assert set(np.unique(background)) <= {0.0, 1.0}
    # half of the units lose up to 60 % of their rate, half gain it
    assert background.mean() == pytest.approx(0.02 * 0.7, rel=0.05)
    first, last = background[:, :4000].mean(axis=1), background[:, -4000:].mean(axis=1)
    assert (first > 1.3 * last).any()
    assert (last > 1.3 * first).any()

    some = _simulate(40_000, participation=[0.3, 0.6, 0.9])
    shares = some.events.groupby("factor")["n_units"].mean() / 10
    np.testing.assert_allclose(shares, [0.3, 0.6, 0.9], atol=0.04)

    moved = _simulate(40_000, n_sequences=1, jitter=2.0)
    start = moved.events["frame"].to_numpy()
    deviations = []
    for unit in range(10):
        when = moved.X[unit].nonzero()[1]
        expected = start + 3 * unit
        nearest = expected[np.abs(when[:, None] - expected[None, :]).argmin(axis=1)]
        deviations.append(when - nearest)
    spread = np.concatenate(deviations)
    assert spread.std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.05)
    assert spread.mean() == pytest.approx(0.0, abs=0.1)


def test_warp_stretches_events_and_says_by_how_much():
    sim = _simulate(20_000, warp=3)
    assert set(sim.events["gap"]) == {3, 4, 5, 6}
    for _, event in sim.events.head(20).iterrows():
        factor, frame, gap = (int(event[name]) for name in ("factor", "frame", "gap"))
        for i in range(10):
            assert sim.X[10 * factor + i, frame + gap * i] == 1
    assert sim.n_lags == 28  # motifs are those of the planted gap


def test_bursts_have_the_asked_mean_and_the_motifs_expect_them():
    sim = _simulate(60_000, burst=3, gap=8)
    per_neuron = sim.X.sum() / sim.events["n_units"].sum()
    assert per_neuron == pytest.approx(3.0, rel=0.03)
    np.testing.assert_allclose(sim.motifs[0, 0, :6], [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert sim.motifs[0, 0].sum() == pytest.approx(3.0)
    factors, frames = sim.events["factor"], sim.events["frame"]
    mine = frames[factors == 0].to_numpy()
    seen = np.mean([sim.X[0, f : f + 6].toarray()[0] for f in mine], axis=0)
    np.testing.assert_allclose(seen, sim.motifs[0, 0, :6], atol=0.1)


@pytest.mark.parametrize("calcium", [None, 5.0])
@pytest.mark.parametrize(("missing", "run"), [(0.1, 20), (0.003, 20), (0.5, 7)])
def test_lost_frames(missing, run, calcium):
    sim = _simulate(5000, noise=0.05, missing=missing, missing_run=run, calcium=calcium)
    dense = sim.X if calcium else sim.X.toarray()
    assert sim.missing.shape == (5000,)
    assert sim.missing.mean() == pytest.approx(missing, rel=0.01)
    assert not dense[:, sim.missing].any()
    assert dense[:, ~sim.missing].any()
    np.testing.assert_array_equal(
        sim.mask.toarray(), np.broadcast_to(sim.missing, (sim.n_units, 5000))
    )
    # nothing else changes
    whole = _simulate(5000, noise=0.05, calcium=calcium)
    assert whole.missing is None
    assert whole.mask is None
    there = whole.X if calcium else whole.X.toarray()
    np.testing.assert_array_equal(dense[:, ~sim.missing], there[:, ~sim.missing])


def test_seeds():
    one, again, other = (_simulate(noise=0.01, jitter=1.0, seed=s) for s in (3, 3, 4))
    assert (one.X != again.X).nnz == 0
    assert one.events.equals(again.events)
    assert (one.X != other.X).nnz > 0


def test_many_units_over_many_frames_take_memory_for_spikes_only():
    import tracemalloc

    tracemalloc.start()
    sim = simulate_sequences(200_000, n_neurons=20, n_background=440, noise=0.01, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sim.X.shape == (500, 200_000)
    assert sim.X.nnz / 1e8 == pytest.approx(0.01, rel=0.05)
    assert peak < 80 * sim.X.nnz  # dense float32 would be 400 bytes per spike


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"n_frames": 0}, "n_frames must be a whole number, 1 or more"),
        ({"n_frames": 20}, "an event can take 28 frames, but n_frames is 20"),
        ({"n_sequences": 2, "n_neurons": [1, 2, 3]}, "n_neurons has 3 values for 2 sequences"),
        ({"gap": 0}, "gap must be"),
        ({"interval": 0}, "interval must be"),
        ({"rate": 0.0}, "rate must be"),
        ({"noise": -0.1}, "noise must be between 0 and 0.5"),
        ({"noise": np.nan}, "noise must be"),
        ({"jitter": -1}, "jitter must be"),
        ({"participation": [1, 1, 2]}, "participation must be"),
        ({"shared_order": "any"}, "shared_order must be one of same, different"),
        ({"overlap": 0.5, "n_sequences": 1}, "overlap needs two sequences"),
        ({"missing": 1.0}, "missing must be"),
        ({"burst": 0}, "burst must be"),
        ({"warp": 1.5}, "warp must be a whole number"),
        ({"calcium": 0.0}, "calcium must be"),
    ],
)
def test_bad_values(given, text):
    with pytest.raises(UsageError, match=text):
        simulate_sequences(**given)
