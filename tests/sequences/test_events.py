"""Events of activations, and the recording around them."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from partwise.datasets import simulate_sequences
from partwise.exceptions import DataError, UsageError
from partwise.sequences import match_motifs
from partwise.sequences._inside import weighed
from partwise.sequences.events import event_times, triggered_average, triggered_windows


def _events(*pairs):
    return pd.DataFrame(pairs, columns=["factor", "frame"])


def _found(activations, **given):
    events = event_times(activations, **given)
    return list(zip(events["factor"].tolist(), events["frame"].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_planted_activations_are_found_exactly(seed):
    sim = simulate_sequences(3000, n_sequences=4, overlap=0.3, rate=25.0, seed=seed)
    events = event_times(sim.activations, rate=25.0)
    assert list(events.columns) == ["factor", "frame", "time", "amplitude"]
    for name in ("factor", "frame", "time"):
        np.testing.assert_allclose(events[name], sim.events[name])
    assert (events["amplitude"] == 1).all()


@pytest.mark.parametrize(
    "given",
    [
        {"noise": 0.02},
        {"n_sequences": 1, "n_neurons": 6, "gap": 2, "interval": 2},  # every 13 frames
        {"noise": 0.001, "interval": 700},  # a few of each
        {"noise": 0.005, "participation": 0.8, "overlap": 0.3},
    ],
    ids=["noisy", "frequent", "rare", "overlapping"],
)
def test_events_of_fitted_activations(given):
    from partwise.sequences import SeqNMF

    sim = simulate_sequences(6000, **{"n_sequences": 2, "n_neurons": 12, "seed": 0, **given})
    model = SeqNMF(sim.n_sequences, sim.n_lags + 8, lambda_=1e-3, max_iter=80, random_state=1)
    model.fit(sim.X)
    found = event_times(model.activations_)
    matched = match_motifs(sim.motifs, model.motifs_)
    assert len(matched.pairs) == sim.n_sequences
    for (a, b), shift in zip(matched.pairs, matched.shifts, strict=True):
        true = sim.events.loc[sim.events["factor"] == a, "frame"].to_numpy()
        frames = found.loc[found["factor"] == b, "frame"].to_numpy() - shift
        near = np.abs(true[:, None] - frames[None, :]) <= 3
        assert near.any(axis=1).mean() >= 0.95  # found
        assert near.any(axis=0).mean() >= 0.95  # true


def test_the_default_height():
    # the middle one of the three highest, halved
    row = np.zeros(200)
    row[10:200:20] = [5.0, 1.0, 1.1, 0.9, 1.0, 0.65, 0.45, 1.0, 1.0, 0.3]
    found = event_times(row[None])["amplitude"].tolist()
    assert found == [5.0, 1.0, 1.1, 0.9, 1.0, 0.65, 1.0, 1.0]
    # few events: a third of the middle one counts, though six times the root mean square is less
    row = np.zeros(20_000)
    row[[100, 5000, 9000, 12_000, 15_000]] = [1.0, 1.1, 0.9, 0.4, 0.3]
    assert 6 * np.sqrt(np.mean(row**2)) < 0.1
    assert event_times(row[None])["amplitude"].tolist() == [1.0, 1.1, 0.9, 0.4]
    # a single event above noise is not joined by it
    noise = 0.03 * np.random.default_rng(0).random(3000)
    noise[1500] = 1.0
    assert _found(noise[None]) == [(0, 1500)]


def test_peaks_plateaus_and_ends():
    row = np.array([0.9, 0.2, 0, 0.7, 0.7, 0.7, 0.1, 0.8, 0.75, 0.8, 0, 0, 1.0])
    assert _found(row[None], threshold=0.0) == [(0, t) for t in (0, 3, 7, 9, 12)]
    assert _found(np.ones((1, 5))) == [(0, 0)]
    assert _found(np.zeros((3, 5))) == []
    assert _found(np.array([[0.0], [2.0]])) == [(1, 0)]


def test_scale_and_type_do_not_matter():
    rng = np.random.default_rng(0)
    activations = rng.random((3, 400)) ** 12
    expected = _found(activations)
    assert len(expected) > 10
    assert _found(activations * np.array([[1e-6], [1.0], [1e6]])) == expected
    assert _found(activations.astype(np.float32)) == expected
    # each factor by itself
    assert _found(activations[[2]]) == [(0, t) for k, t in expected if k == 2]


def test_a_higher_threshold_finds_fewer():
    activations = np.random.default_rng(1).random((2, 500)) ** 8
    low, high = (set(_found(activations, threshold=value)) for value in (0.2, 0.9))
    assert high < low


def test_of_close_peaks_the_highest_stays():
    row = np.zeros(40)
    row[[5, 8, 11, 30]] = [0.8, 1.0, 0.9, 0.9]
    assert _found(row[None]) == [(0, t) for t in (5, 8, 11, 30)]
    assert _found(row[None], min_interval=3) == [(0, t) for t in (5, 8, 11, 30)]
    assert _found(row[None], min_interval=4) == [(0, 8), (0, 30)]
    # 0.3 s at 10 Hz are 3 frames, though 0.3 * 10 may be more in binary
    assert _found(row[None], min_interval=0.1 * 3, rate=10.0) == [(0, t) for t in (5, 8, 11, 30)]
    assert _found(row[None], min_interval=0.4, rate=10.0) == [(0, 8), (0, 30)]


def test_epochs_are_looked_at_alone():
    row = np.zeros(40)
    row[[9, 10, 25]] = [0.8, 1.0, 0.9]
    assert _found(row[None]) == [(0, 10), (0, 25)]
    assert _found(row[None], epochs=[(0, 10), (10, 20)]) == [(0, 9), (0, 10)]
    assert _found(row[None], epochs=[(10, 20), (0, 10)], min_interval=5) == [(0, 9), (0, 10)]
    assert _found(row[None], epochs=[(21, 40)]) == [(0, 25)]


@pytest.mark.parametrize(
    ("activations", "given", "error", "text"),
    [
        (np.ones(5), {}, UsageError, "factors x frames"),
        (np.ones((1, 5)), {"rate": 0.0}, UsageError, "rate"),
        (np.ones((1, 5)), {"threshold": -1.0}, UsageError, "threshold"),
        (np.ones((1, 5)), {"min_interval": np.nan}, UsageError, "min_interval"),
        (np.ones((1, 5)), {"epochs": [(0, 6)]}, UsageError, "outside of the recording"),
        (-np.ones((1, 5)), {}, DataError, "not negative"),
        (np.full((1, 5), np.nan), {}, DataError, "finite"),
    ],
)
def test_bad_input(activations, given, error, text):
    with pytest.raises(error, match=text):
        event_times(activations, **given)


class Source:
    """A recording that is read a few frames at a time, and counts what was read."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.read = X, X.shape, X.dtype, 0

    def frames(self, start, stop):
        self.read += stop - start
        return self.X[:, start:stop]


def _dense_windows(X, frames, before, after, epochs):
    """Window by window, frame by frame."""
    found = np.full((len(frames), X.shape[0], before + after), np.nan)
    for i, frame in enumerate(frames):
        for start, stop in epochs:
            if start <= frame < stop:
                for t in range(max(frame - before, start), min(frame + after, stop)):
                    found[i, :, t - frame + before] = X[:, t]
    return found


@pytest.mark.parametrize("kind", ["array", "csr", "csc", "source", "sparse source"])
@pytest.mark.parametrize("epochs", [None, [(0, 40), (40, 90), (100, 200)]], ids=["whole", "epochs"])
def test_windows_and_averages_against_loops(kind, epochs, monkeypatch):
    monkeypatch.setattr("partwise.sequences.events._AT_A_TIME", 150)  # 30 frames at a time
    rng = np.random.default_rng(5)
    X = rng.random((5, 200)) * (rng.random((5, 200)) < 0.3)
    given = {
        "array": lambda: X,
        "csr": lambda: sparse.csr_matrix(X),
        "csc": lambda: sparse.csc_array(X),
        "source": lambda: Source(X),
        "sparse source": lambda: Source(sparse.csr_matrix(X)),
    }[kind]()
    frames = np.array([0, 3, 38, 41, 95, 120, 121, 199, 3])
    factors = np.array([0, 2, 0, 0, 2, 2, 0, 0, 2])
    events = pd.DataFrame({"factor": factors, "frame": frames})
    pieces = epochs or [(0, 200)]
    windows = triggered_windows(given, events, before=4, after=9, epochs=epochs)
    expected = _dense_windows(X, frames, 4, 9, pieces)
    np.testing.assert_array_equal(windows, expected)
    means = triggered_average(given, events, before=4, after=9, n_factors=4, epochs=epochs)
    assert means.shape == (4, 5, 13)
    for k in (0, 2):
        np.testing.assert_allclose(means[k], np.nanmean(expected[factors == k], axis=0))
    assert np.isnan(means[[1, 3]]).all()
    assert triggered_average(given, events, before=0, after=1).shape == (3, 5, 1)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_hidden_entries_are_left_out(kind):
    X = np.arange(24.0).reshape(2, 12)
    X[1, [3, 7]] = np.nan
    found = triggered_average(kind(X), _events((0, 3), (0, 8)), before=1, after=1)
    np.testing.assert_array_equal(found[0], [[4.5, 5.5], [14.0, 20.0]])
    alone = triggered_average(kind(X), _events((0, 3)), before=0, after=1)
    np.testing.assert_array_equal(alone[0], [[3.0], [np.nan]])


def test_without_noise_the_average_is_the_motif():
    sim = simulate_sequences(4000, n_sequences=3, noise=0.0, n_shared=2)
    found = triggered_average(sim.X, sim.events, before=2, after=sim.n_lags)
    np.testing.assert_array_equal(found[:, :, 2:].transpose(1, 0, 2), sim.motifs)
    assert not found[:, :, :2].any()


def test_only_the_frames_that_are_needed_are_read():
    source = Source(np.broadcast_to(np.float32(1), (4000, 100_000)))
    triggered_average(source, _events((0, 10), (0, 50_000)), before=5, after=5)
    assert source.read < 5000


@pytest.mark.parametrize(
    ("events", "given", "error", "text"),
    [
        (_events((0, 30)), {}, DataError, "frame 30 is outside of the recording, which has 30"),
        (_events((-1, 3)), {}, DataError, "factor -1"),
        (_events((2, 3)), {"n_factors": 2}, DataError, "factor 2; they count from 0 to 1"),
        (pd.DataFrame({"factor": [0]}), {}, DataError, "'frame'"),
        (pd.DataFrame({"factor": [0], "frame": [1.5]}), {}, DataError, "whole numbers"),
        (_events((0, 3)), {"before": -1}, UsageError, "before and after"),
        (_events((0, 3)), {"before": 0, "after": 0}, UsageError, "before and after"),
        (_events((0, 3)), {"after": 1.5}, UsageError, "before and after"),
    ],
)
def test_bad_events(events, given, error, text):
    with pytest.raises(error, match=text):
        triggered_average(np.ones((2, 30)), events, **{"before": 1, "after": 1, **given})


class TestEnds:
    def test_activations_count_by_what_lies_inside_of_their_motif(self):
        rng = np.random.default_rng(0)
        W, H = rng.random((5, 3, 6)), rng.random((3, 50))
        W[:, 2] = 0
        epochs = [(0, 4), (4, 30), (33, 50)]
        expected = H.copy()
        for start, stop in epochs:
            for t in range(start, stop):
                inside = np.linalg.norm(W[:, :2, : stop - t], axis=(0, 2))
                expected[:2, t] *= inside / np.linalg.norm(W[:, :2], axis=(0, 2))
        np.testing.assert_allclose(weighed(W, H, epochs), expected, rtol=1e-12)
        assert weighed(W.astype(np.float32), H.astype(np.float32)).dtype == np.float32
        np.testing.assert_array_equal(weighed(W[:, :, :1], H), H)

    def test_large_values_where_nothing_of_a_motif_is_left_are_no_events(self):
        motif = np.zeros((4, 1, 8))
        motif[np.arange(4), 0, 1 + 2 * np.arange(4)] = 1.0
        motif[0, 0, 0] = 1e-3
        row = np.zeros((1, 200))
        row[0, [20, 60, 140]] = [1.0, 0.9, 1.1]
        row[0, [99, 199]] = 50.0  # all that is inside of the motif is its first lag
        epochs = [(0, 100), (100, 200)]
        found = event_times(row, epochs=epochs, motifs=motif)
        assert found["frame"].tolist() == [20, 60, 140]
        assert found["amplitude"].tolist() == [1.0, 0.9, 1.1]
        assert 99 in event_times(row, epochs=epochs)["frame"].tolist()
        with pytest.raises(UsageError, match="1 factors x lags"):
            event_times(row, motifs=np.ones((4, 2, 8)))
