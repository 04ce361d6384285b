"""The test of significance: its statistic, its nulls, when it stops, what it says."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, skew

from partwise.datasets import simulate_sequences
from partwise.exceptions import DataError, UsageError
from partwise.sequences import SeqNMF, _nulls, significance, split_time
from partwise.sequences._skewness import moments_of

run = significance.test_significance


def seen(X, motif, epochs=None):
    """Z of one motif (N x L) by its definition, each epoch closed to a ring."""
    spans = [(0, X.shape[1])] if epochs is None else epochs
    parts = []
    for start, stop in spans:
        x = np.float64(X[:, start:stop])
        parts.append(sum(motif[:, lag] @ np.roll(x, -lag, axis=1) for lag in range(motif.shape[1])))
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    X = rng.random((7, 230)) * (rng.random((7, 230)) < 0.3)
    return X, rng.random((7, 3, 9)) * (rng.random((7, 3, 9)) < 0.5)


@pytest.fixture(scope="module")
def planted():
    sim = simulate_sequences(3000, n_sequences=2, n_neurons=8, gap=2, noise=0.005, seed=3)
    return sim.X, sim.motifs


class TestStatistic:
    @pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
    @pytest.mark.parametrize("epochs", [None, [(0, 100), (130, 230)], [(5, 15), (20, 90)]])
    def test_is_the_skewness_of_the_definition(self, recording, form, epochs):
        X, W = recording
        found = run(form(X), W, epochs=epochs, n_null=10, random_state=0)
        expected = [skew(seen(X, W[:, k], epochs)) for k in range(3)]
        np.testing.assert_allclose(found.statistic, expected, rtol=1e-10)

    def test_epochs_shorter_than_a_motif_are_rings_too(self, recording):
        X, W = recording
        epochs = [(0, 4), (10, 210)]
        found = run(X, W, epochs=epochs, n_null=10, random_state=0)
        np.testing.assert_allclose(
            found.statistic, [skew(seen(X, W[:, k], epochs)) for k in range(3)], rtol=1e-10
        )

    def test_does_not_depend_on_pieces(self, recording, monkeypatch):
        X, W = recording
        whole = run(X, W, n_null=30, early_stop=False, random_state=0)
        monkeypatch.setattr(_nulls, "_PIECE", 40)
        monkeypatch.setattr(_nulls, "_TIMES_LAGS", 1)
        pieces = run(X, W, n_null=30, early_stop=False, random_state=0)
        np.testing.assert_allclose(pieces.statistic, whole.statistic, rtol=1e-10)
        np.testing.assert_allclose(pieces.null, whole.null, rtol=1e-10)

    def test_does_not_depend_on_the_scale_of_data_or_motif(self, recording):
        X, W = recording
        found = run(X, W, n_null=30, random_state=0)
        tiny = run(X * 2.0**20, W * 2.0**-90, n_null=30, random_state=0)
        np.testing.assert_array_equal(tiny.statistic, found.statistic)

    def test_float32(self, recording):
        X, W = recording
        found = run(X.astype(np.float32), W.astype(np.float32), n_null=10, random_state=0)
        expected = [skew(seen(X, W[:, k])) for k in range(3)]
        np.testing.assert_allclose(found.statistic, expected, rtol=1e-4)

    def test_moments_of_pieces_add_up(self):
        values = np.random.default_rng(1).gamma(0.3, size=(500, 4)) + np.array([0, 1, 100, 1e4])
        cuts = [0, 1, 17, 400, 500]
        parts = [moments_of(values[a:b]) for a, b in itertools.pairwise(cuts)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        np.testing.assert_allclose(total.skewness(1e-16), skew(values), rtol=1e-9)

    def test_original_toolbox(self, data_dir):
        file = np.load(data_dir / "seqnmf_octave_reference.npz")
        found = run(file["Xtest"], file["significance/W"], random_state=0)
        np.testing.assert_allclose(found.statistic, file["significance/skew"], rtol=1e-12)
        assert found.significant[:2].all()
        assert [bool(reason) for reason in found.excluded] == [False] * 6 + [True] * 4


def seen_around_gaps(X, motif, hidden, epochs=None):
    """Z of one motif by its definition with hidden entries, at the frames that count."""
    spans = [(0, X.shape[1])] if epochs is None else epochs
    inside = np.zeros(X.shape[1], bool)
    for start, stop in spans:
        inside[start:stop] = True
    deviation = np.zeros(X.shape)
    for row, values, gone in zip(deviation, X, hidden, strict=True):
        there = inside & ~gone
        if there.any():
            row[there] = values[there] - values[there].mean()
    parts = []
    for start, stop in spans:
        lags = range(motif.shape[1])
        z = sum(motif[:, lag] @ np.roll(deviation[:, start:stop], -lag, axis=1) for lag in lags)
        some = ~hidden[:, start:stop].all(axis=0)
        parts.append(z[np.any([np.roll(some, -lag) for lag in lags], axis=0)])
    return np.concatenate(parts)


class TestHidden:
    @pytest.fixture
    def hidden(self):
        """Single entries, a gap in all units, and a unit that is hidden throughout."""
        hidden = np.random.default_rng(2).random((7, 230)) < 0.05
        hidden[:, 50:75] = True
        hidden[3] = True
        return hidden

    @pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
    @pytest.mark.parametrize("epochs", [None, [(0, 60), (62, 230)]])
    def test_statistic_and_nulls_are_of_what_is_observed(self, recording, hidden, form, epochs):
        X, W = recording
        found = run(form(X), W, mask=form(hidden), epochs=epochs, n_null=5, random_state=11)
        seed = int(np.random.default_rng(11).integers(2**62))
        for k in range(3):
            expected = skew(seen_around_gaps(X, W[:, k], hidden, epochs))
            assert found.statistic[k] == pytest.approx(expected, rel=1e-9)
            lags = np.random.default_rng([seed, k]).integers(9, size=(120, 7), dtype=np.int32)
            copy = np.stack([np.roll(W[n, k], lags[3, n]) for n in range(7)])
            expected = skew(seen_around_gaps(X, copy, hidden, epochs))
            assert found.null[k][3] == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
    def test_hidden_values_do_not_matter(self, recording, hidden, form):
        X, W = recording
        given = {"n_null": 30, "random_state": 0}
        found = run(form(np.where(hidden, 0.0, X)), W, mask=hidden, **given)
        for other in (np.nan, -3.0, 1e9, X):
            again = run(form(np.where(hidden, other, X)), W, mask=hidden, **given)
            np.testing.assert_array_equal(again.statistic, found.statistic)
            for a, b in zip(again.null, found.null, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_ways_to_hide(self, recording, hidden):
        X, W = recording
        found = run(X, W, mask=hidden, n_null=20, random_state=0)
        gaps = np.where(hidden, np.nan, X)
        for given in (
            run(gaps, W, missing="hide", n_null=20, random_state=0),
            run(np.ma.masked_invalid(gaps), W, n_null=20, random_state=0),
            run(gaps, W, mask=sp.csc_matrix(hidden), n_null=20, random_state=0),
        ):
            np.testing.assert_array_equal(given.pvalues, found.pvalues)

    def test_nothing_hidden_is_the_same(self, recording):
        X, W = recording
        found = run(X, W, n_null=30, random_state=0)
        again = run(X, W, mask=np.zeros(X.shape, bool), n_null=30, random_state=0)
        np.testing.assert_array_equal(again.statistic, found.statistic)
        # one entry of a long recording changes next to nothing, though the sums are others
        one = np.zeros(X.shape, bool)
        one[4, 100] = True
        near = run(X, W, mask=one, n_null=30, random_state=0)
        np.testing.assert_allclose(near.statistic, found.statistic, atol=0.05)
        assert not np.array_equal(near.statistic, found.statistic)

    def test_pieces_and_sources(self, recording, hidden, monkeypatch):
        X, W = recording
        whole = run(X, W, mask=hidden, n_null=30, early_stop=False, random_state=0)

        class Source:
            shape, dtype = X.shape, X.dtype

            def frames(self, start, stop):
                return np.where(hidden, np.nan, X)[:, start:stop]

        monkeypatch.setattr(_nulls, "_PIECE", 40)
        monkeypatch.setattr(_nulls, "_TIMES_LAGS", 1)
        pieces = run(Source(), W, missing="hide", n_null=30, early_stop=False, random_state=0)
        np.testing.assert_allclose(pieces.statistic, whole.statistic, rtol=1e-9)
        np.testing.assert_allclose(pieces.null, whole.null, rtol=1e-9)

    def test_planted_motifs_are_found_beside_gaps(self, planted):
        X, W = planted
        rng = np.random.default_rng(0)
        mask = np.zeros(X.shape, bool)
        for start in rng.integers(2980, size=15):
            mask[:, start : start + 20] = True
        baseline = X.toarray() + 0.3
        turned = np.stack([np.roll(row, rng.integers(W.shape[2]), axis=1) for row in W])
        both = np.concatenate([W, turned], axis=1)
        for data in (X, baseline):
            found = run(data, both, mask=mask, random_state=0)
            assert found.significant.tolist() == [True, True, False, False]
        # a baseline is no part of the statistic, gap or not
        first, second = (run(data, W, mask=mask, random_state=0) for data in (X, baseline))
        np.testing.assert_allclose(first.statistic, second.statistic, rtol=1e-4)

    def test_what_cannot_be_used(self, recording, hidden):
        X, W = recording
        with pytest.raises(DataError, match=r"all entries .* hidden"):
            run(X, W, mask=np.ones(X.shape, bool))
        with pytest.raises(UsageError, match="missing must be"):
            run(X, W, missing="zero")
        with pytest.raises(UsageError, match="the mask is"):
            run(X, W, mask=hidden[:, :-1])
        with pytest.raises(DataError, match="or hide them"):
            run(np.where(hidden, np.nan, X), W)


class TestNulls:
    def test_rotate_each_unit_by_itself(self, recording):
        X, W = recording
        found = run(X, W, n_null=5, early_stop=False, random_state=11)
        seed = int(np.random.default_rng(11).integers(2**62))
        count = len(found.null[0])
        assert count == 2 * 3 / 0.05
        for k in range(3):
            lags = np.random.default_rng([seed, k]).integers(9, size=(count, 7), dtype=np.int32)
            for b in (0, 1, count - 1):
                copy = np.stack([np.roll(W[n, k], lags[b, n]) for n in range(7)])
                assert found.null[k][b] == pytest.approx(skew(seen(X, copy)), rel=1e-9)

    def test_enough_that_many_factors_can_become_significant(self):
        X = np.random.default_rng(0).random((6, 120))
        W = np.random.default_rng(1).random((6, 30, 4))
        found = run(X, W, random_state=0, early_stop=False)
        assert set(found.n_null) == {1200}
        assert found.threshold > 1 / 1201

    def test_bits_do_not_depend_on_threads(self, planted, monkeypatch):
        X, W = planted
        monkeypatch.setattr(_nulls, "_PIECE", 700)
        monkeypatch.setattr(_nulls, "_MOTIFS", 13)
        one = run(X, W, n_null=200, random_state=5, n_threads=1)
        two = run(X, W, n_null=200, random_state=5, n_threads=2)
        np.testing.assert_array_equal(one.statistic, two.statistic)
        for a, b in zip(one.null, two.null, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_source_of_frames_is_like_an_array(self, recording, monkeypatch):
        X, W = recording

        class Source:
            shape, dtype = X.shape, X.dtype

            def frames(self, start, stop):
                assert 0 <= start < stop <= X.shape[1]
                return X[:, start:stop]

        monkeypatch.setattr(_nulls, "_PIECE", 64)
        monkeypatch.setattr(_nulls, "_TIMES_LAGS", 1)
        for epochs in (None, [(3, 50), (60, 200)]):
            array = run(X, W, n_null=20, epochs=epochs, random_state=0)
            source = run(Source(), W, n_null=20, epochs=epochs, random_state=0)
            np.testing.assert_array_equal(array.pvalues, source.pvalues)
            np.testing.assert_array_equal(array.statistic, source.statistic)


class TestStopping:
    def test_nulls_are_those_of_the_full_test_until_enough_reached_the_statistic(self, recording):
        X, W = recording
        full = run(X, W, early_stop=False, random_state=0)
        short = run(X, W, random_state=0)
        assert short.n_null.min() < 1000
        for k in range(3):
            np.testing.assert_array_equal(short.null[k], full.null[k][: short.n_null[k]])
            if short.n_null[k] < 1000:
                assert short.exceedances[k] == significance._ENOUGH
                assert short.null[k][-1] >= short.statistic[k]
            assert short.pvalues[k] == (1 + short.exceedances[k]) / (1 + short.n_null[k])

    @pytest.mark.parametrize("early_stop", [True, False])
    def test_pvalues_are_not_too_small_under_the_null(self, early_stop):
        # statistic and nulls from the same distribution, with ties
        rng = np.random.default_rng(4)
        trials, most = 1500, 400
        pvalues = np.empty(trials)
        for i in range(trials):
            one = significance._Draws(np.eye(2), 0, 0)
            one.statistic = one.reached = float(rng.integers(1000))
            size = 64
            while not one.stopped and one.drawn < most:
                count = min(size, most - one.drawn)
                one.take(rng.integers(1000, size=count).astype(float), early_stop)
                size *= 2
            pvalues[i] = (1 + one.exceedances) / (1 + len(one.null))
        for level in (0.01, 0.02, 0.05, 0.1, 0.3, 0.6):
            expected = level * trials
            found = np.count_nonzero(pvalues <= level)
            assert found <= expected + 3 * np.sqrt(expected), level
            assert found >= 0.5 * expected - 3 * np.sqrt(expected), level  # and not without power


class TestJudgement:
    def test_planted_motifs_are_significant_and_turned_ones_are_not(self, planted):
        X, W = planted
        rng = np.random.default_rng(0)
        turned = np.stack([np.roll(row, rng.integers(W.shape[2]), axis=1) for row in W])
        found = run(X, np.concatenate([W, turned], axis=1), random_state=0)
        assert found.significant.tolist() == [True, True, False, False]
        assert (found.pvalues[:2] == 1 / 1001).all()
        assert (found.n_null[2:] < 1000).all()

    def test_factors_that_cannot_be_sequences_are_reported(self, planted):
        X, W = planted
        empty = np.zeros_like(W[:, :1])
        lone = empty.copy()
        lone[3, 0, :] = 1.0
        lone[4, 0, 0] = 1e-3
        found = run(X, np.concatenate([empty, W, lone], axis=1), random_state=0)
        assert [reason[:5] for reason in found.excluded] == ["empty", "", "", "more "]
        assert found.significant.tolist() == [False, True, True, False]
        assert found.pvalues[[0, 3]].tolist() == [1.0, 1.0]
        assert found.threshold == 0.05 / 2
        assert found.table["excluded"].tolist() == list(found.excluded)
        assert found.n_null.tolist() == [0, 1000, 1000, 0]

    def test_without_any_factor_to_test(self, planted):
        found = run(planted[0], np.zeros((16, 3, 5)), random_state=0)
        assert len(found.table) == 3
        assert not found.significant.any()
        assert np.isfinite(found.pvalues).all()
        none = run(planted[0], np.zeros((16, 0, 5)), random_state=0)
        assert len(none.table) == 0

    def test_data_that_do_not_vary(self):
        W = np.random.default_rng(0).random((4, 2, 5))
        for X in (np.zeros((4, 50)), np.full((4, 50), 0.1), sp.csr_matrix((4, 50))):
            found = run(X, W, random_state=0)
            assert found.statistic.tolist() == [0.0, 0.0]
            assert found.pvalues.tolist() == [1.0, 1.0]

    def test_one_frame_has_no_order(self, planted):
        found = run(planted[0], planted[1][:, :, :1] + 0.1, random_state=0)
        assert found.pvalues.tolist() == [1.0, 1.0]

    def test_corrections(self):
        p = np.array([0.001, 0.04, 0.011, 0.02, 0.9])
        adjusted, threshold = significance._corrected(p, 0.05, "bonferroni")
        np.testing.assert_allclose(adjusted, np.minimum(1, 5 * p))
        assert threshold == pytest.approx(0.01)
        adjusted, threshold = significance._corrected(p, 0.05, "bh")
        np.testing.assert_allclose(adjusted, false_discovery_control(p))
        np.testing.assert_array_equal(p <= threshold, adjusted <= 0.05)
        assert (adjusted <= 0.05).sum() == 4

    def test_same_seed_same_numbers(self, recording):
        X, W = recording
        a, b, c = (run(X, W, random_state=seed).pvalues for seed in (1, 1, 2))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"p": 1.5}, UsageError, "p must"),
            ({"n_null": 0}, UsageError, "n_null"),
            ({"correction": "holm"}, UsageError, "correction"),
            ({"motifs": np.ones((6, 2, 3))}, DataError, "6 units"),
            ({"motifs": np.ones((7, 3))}, UsageError, "units x factors x lags"),
            ({"motifs": -np.ones((7, 2, 3))}, DataError, "from 0 up"),
            ({"motifs": np.ones((7, 2, 300))}, DataError, "300 lags"),
            ({"X": np.full((7, 230), np.nan)}, DataError, "NaN"),
            ({"X": np.full((7, 230), -1.0)}, DataError, "negative"),
        ],
    )
    def test_what_cannot_be_used(self, recording, change, error, text):
        given = {"X": recording[0], "motifs": recording[1], "random_state": 0, **change}
        with pytest.raises(error, match=text):
            run(given.pop("X"), given.pop("motifs"), **given)


def fitted(X, seed):
    parts = split_time(X, n_lags=30)
    model = SeqNMF(4, 30, lambda_=0.003, random_state=seed, n_threads=1).fit(parts.train)
    return run(parts.test, model.motifs_, random_state=seed, n_threads=1)


def simulated(seed):
    return simulate_sequences(
        2400, n_sequences=3, n_neurons=8, gap=3, noise=0.01, jitter=0.5, seed=seed
    ).X.toarray()


@pytest.mark.slow
def test_false_positives_on_shuffled_data():
    wrong = 0
    for seed in range(200):
        X, rng = simulated(seed), np.random.default_rng([seed, 1])
        # moved around in time, any two by 40 frames or more: no sequence is left of pairs either
        lags = rng.permutation(24) * 100 + rng.integers(60, size=24)
        shuffled = np.stack([np.roll(row, lag) for row, lag in zip(X, lags, strict=True)])
        wrong += fitted(shuffled, seed).significant.any()
    assert wrong <= 16


@pytest.mark.slow
def test_power_on_planted_sequences():
    found = [min(3, int(fitted(simulated(seed), seed).significant.sum())) for seed in range(20)]
    assert sum(found) >= 0.8 * 3 * 20
