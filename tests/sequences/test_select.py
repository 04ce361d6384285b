"""Sweeps over lambda and over the number of factors."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.datasets import simulate_sequences
from partwise.exceptions import DataError, UsageError
from partwise.sequences import SeqNMF, reconstruct, select_k, select_lambda, seqnmf_costs
from partwise.sequences import _crossover as crossover
from partwise.sequences._hidden import hidden_entries, hidden_error
from partwise.sequences.k_sweep import k_selection
from partwise.sequences.lambda_sweep import lambda_selection

LAMBDAS = [1e-4, 1e-3, 1e-2, 1e-1]
SETTINGS = {"max_iter": 40, "n_threads": 1}


@pytest.fixture(scope="module")
def recording():
    return simulate_sequences(
        1200, n_sequences=2, n_neurons=6, gap=1, noise=0.01, interval=20, seed=2
    ).X


@pytest.fixture(scope="module")
def swept(recording):
    rows = []
    found = select_lambda(
        recording, 4, 8, lambdas=LAMBDAS, n_repeats=2, random_state=7, rows=rows,
        settings=SETTINGS,
    )  # fmt: skip
    return found, rows


@pytest.fixture(scope="module")
def chosen(recording):
    rows = []
    found = select_k(
        recording, [1, 2, 3], 8, n_repeats=3, random_state=7, rows=rows,
        settings=SETTINGS,
    )  # fmt: skip
    return found, rows


class TestCrossover:
    def test_running_mean_does_not_shift(self):
        line = np.arange(10.0)
        np.testing.assert_allclose(crossover.smoothed(line), line, atol=1e-12)
        peak = np.zeros(11)
        peak[5] = 9.0
        np.testing.assert_allclose(crossover.smoothed(peak)[3:8], [1, 2, 3, 2, 1], atol=1e-12)
        np.testing.assert_array_equal(crossover.smoothed(np.array([3.0, 1.0])), [3.0, 1.0])

    def test_scale(self):
        raw = np.arange(1.0, 12.0) ** 2
        scaled = crossover.rescaled(raw, raw)
        ends = np.percentile(raw, [10, 90], method="hazen")
        assert crossover.rescaled(ends, raw).tolist() == [0.0, 1.0]
        assert (np.diff(scaled) > 0).all()
        assert crossover.rescaled(np.ones(5), np.ones(5)).tolist() == [0.0] * 5

    def test_between_two_points_on_the_logarithm(self):
        lambdas = np.array([1e-4, 1e-3, 1e-2])
        found = crossover.crossing(lambdas, np.array([1.0, 0.6, 0.0]), np.array([0.0, 0.4, 1.0]))
        # -0.2 at 1e-3, +1 at 1e-2: a sixth of the way
        assert found == pytest.approx(10 ** (-3 + 1 / 6))

    def test_of_several_the_one_with_fewest_points_on_the_wrong_side(self):
        lambdas = np.logspace(-5, 0, 6)
        above = np.array([-1, 1, -1, -1, 1, 1.0])
        assert crossover.crossing(lambdas, np.zeros(6), above) == pytest.approx(10**-1.5)

    def test_none(self):
        lambdas = np.logspace(-3, -1, 3)
        assert np.isnan(crossover.crossing(lambdas, np.ones(3), np.zeros(3)))


class TestLambda:
    def test_rows_are_what_a_fit_gives(self, recording, swept):
        found, _ = swept
        assert found.table["lambda_"].tolist() == LAMBDAS * 2
        row = found.table.iloc[2]
        train, test = recording[:, :900], recording[:, 900:]
        entropy = int(np.random.default_rng(7).integers(2**62))
        rng = np.random.default_rng([entropy, 0])
        model = SeqNMF(4, 8, lambda_=1e-2, max_iter=40, tol=0, random_state=rng).fit(train)
        cost, penalty = seqnmf_costs(train, model.motifs_, model.activations_)
        assert row["reconstruction"] == cost
        assert row["penalty"] == penalty
        assert row["power"] == model.power_
        assert row["power_held_out"] == model.score(test)
        assert row["n_factors"] == (model.loadings_ > 0.01).sum()

    def test_reconstruction_suffers_and_factors_part(self, swept):
        means = swept[0].table.groupby("lambda_").mean()
        assert means["reconstruction"].iloc[-1] > means["reconstruction"].iloc[0]
        assert means["penalty"].iloc[-1] < means["penalty"].iloc[0]

    def test_crossover_lies_between_what_was_tried(self, swept):
        found, _ = swept
        low, high = found.interval
        assert LAMBDAS[0] < low <= found.crossover <= high < LAMBDAS[-1]
        assert found.recommended == pytest.approx(1.7 * found.crossover)
        assert f"{found.crossover:.2g}" in found.rule
        assert len(found.crossovers) == 2
        assert np.median(found.crossovers) == pytest.approx(found.crossover, rel=0.5)

    def test_each_row_is_told_once(self, swept):
        found, rows = swept
        told = pd.DataFrame(rows).sort_values(["repeat", "lambda_"], ignore_index=True)
        pd.testing.assert_frame_equal(told, found.table)

    def test_goes_on_from_rows_that_are_done(self, recording, swept):
        found, rows = swept
        kept = json.loads(json.dumps(rows[:5]))
        again = select_lambda(
            recording, 4, 8, lambdas=LAMBDAS, n_repeats=2, random_state=7, rows=kept,
            settings=SETTINGS,
        )  # fmt: skip
        assert kept[5:] == rows[5:]
        pd.testing.assert_frame_equal(again.table, found.table)
        assert again.crossover == found.crossover

    def test_numbers_do_not_depend_on_threads(self, recording, swept):
        again = select_lambda(
            recording, 4, 8, lambdas=LAMBDAS, n_repeats=2, random_state=7,
            settings={**SETTINGS, "n_threads": 2},
        )  # fmt: skip
        pd.testing.assert_frame_equal(again.table, swept[0].table)

    def test_test_data_of_their_own_and_epochs(self, recording):
        found = select_lambda(
            recording[:, :900], 2, 8, lambdas=[1e-3, 1e-2], n_repeats=1, smooth=False,
            X_test=recording[:, 900:], epochs=[(0, 400), (420, 900)], settings={"max_iter": 5},
        )  # fmt: skip
        rng = np.random.default_rng([int(np.random.default_rng(0).integers(2**62)), 0])
        model = SeqNMF(2, 8, lambda_=1e-3, max_iter=5, tol=0, random_state=rng)
        model.fit(recording[:, :900], epochs=[(0, 400), (420, 900)])
        assert found.table["power"][0] == model.power_
        assert found.table["power_held_out"][0] == model.score(recording[:, 900:])

    @pytest.mark.slow
    def test_songbird(self, data_dir):
        file = np.load(data_dir / "seqnmf_octave_reference.npz")
        found = select_lambda(
            file["Xtrain"], 10, 20, X_test=file["Xtest"], n_repeats=2, settings={"l1_W": 0.1}
        )
        assert 1e-3 < found.interval[0] <= found.interval[1] < 1e-2

    def test_costs_that_do_not_cross(self):
        rows = [
            {"lambda_": lambda_, "repeat": repeat, "reconstruction": 1.0, "penalty": 2.0}
            for lambda_ in LAMBDAS
            for repeat in (0, 1)
        ]
        found = lambda_selection(rows)
        assert np.isnan(found.recommended)
        assert "do not cross" in found.rule
        assert "2 of 2" in found.advice[0]

    def test_repeats_that_differ(self):
        rows = []
        for repeat, center in ((0, -4.0), (1, -2.0)):
            for exponent in np.linspace(-5, -1, 20):
                up = 1 / (1 + np.exp(-3 * (exponent - center)))
                rows.append(
                    {
                        "lambda_": 10**exponent,
                        "repeat": repeat,
                        "reconstruction": up,
                        "penalty": 1 - up,
                    }
                )
        found = lambda_selection(rows, smooth=False)
        assert found.interval[0] < 10**-3.4
        assert found.interval[1] > 10**-2.6
        assert any("differs between repeats" in text for text in found.advice)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"lambdas": [1e-3]}, "two different"),
            ({"lambdas": [0.0, 1e-3]}, "above 0"),
            ({"n_repeats": 0}, "n_repeats"),
            ({"n_components": 1}, "from 2 up"),
            ({"settings": {"lamda": 1}}, "no parameter 'lamda'"),
            ({"settings": {"lambda_": 1}}, "must not give 'lambda_'"),
            ({"settings": {"random_state": 1}}, "must not give 'random_state'"),
            ({"X_test": np.ones((3, 50))}, "3 units"),
        ],
    )
    def test_what_cannot_be_used(self, recording, change, text):
        with pytest.raises(UsageError, match=text):
            select_lambda(recording, **{"n_components": 2, "n_lags": 8, **change})

    def test_recording_too_short_to_leave_a_quarter_out(self, recording):
        with pytest.raises(DataError, match="too short"):
            select_lambda(recording[:, :30], 2, 8)


class TestHidden:
    def test_error_on_hidden_entries(self):
        rng = np.random.default_rng(0)
        X = rng.random((5, 60))
        W, H = rng.random((5, 2, 4)), rng.random((2, 60))
        mask = hidden_entries(X.shape, 0.2, rng)
        hidden = mask.toarray()
        for epochs in (None, [(0, 20), (25, 60)]):
            inside = np.zeros(60, bool)
            for start, stop in epochs or [(0, 60)]:
                inside[start:stop] = True
            gap = np.where(hidden & inside, X - reconstruct(W, H * inside, epochs=epochs), 0.0)
            expected = np.linalg.norm(gap) / np.linalg.norm(np.where(hidden & inside, X, 0.0))
            for form in (np.asarray, sp.csr_matrix):
                found = hidden_error(form(X), mask, W, H * inside, epochs=epochs)
                assert found == pytest.approx(expected, rel=1e-12)

    def test_share(self):
        mask = hidden_entries((200, 500), 0.05, np.random.default_rng(0))
        assert mask.nnz == pytest.approx(5000, rel=0.1)
        assert mask.sum(axis=1).std() > 2

    def test_nothing_but_zeros_hidden(self):
        mask = sp.csr_matrix(([True], ([0], [1])), shape=(2, 30))
        with pytest.raises(DataError, match="larger fraction"):
            hidden_error(np.zeros((2, 30)), mask, np.ones((2, 1, 3)), np.ones((1, 30)))


class TestK:
    def test_planted_number(self, chosen):
        found, _ = chosen
        assert found.recommended == 2
        assert found.by_method == {"dissimilarity": 2, "cv": 2}
        assert found.confidence > 0.5
        assert found.rule.startswith("2: ")

    def test_table_and_summary(self, chosen):
        found, rows = chosen
        assert found.table["measure"].value_counts().to_dict() == {"cv": 9, "fit": 9, "pair": 9}
        assert len(rows) == 27
        assert found.summary["k"].tolist() == [1, 2, 3]
        assert (np.diff(found.summary["train_error"]) < 0).all()
        assert found.summary["dissimilarity"].between(0, 1).all()
        assert found.summary["power_held_out"][1] > found.summary["power_held_out"][0] + 0.1

    def test_goes_on_from_rows_that_are_done(self, recording, chosen):
        found, rows = chosen
        # one number of factors was interrupted between its rows
        kept = json.loads(json.dumps(rows[:4] + rows[9:14]))
        again = select_k(
            recording, [1, 2, 3], 8, n_repeats=3, random_state=7, rows=kept,
            settings=SETTINGS,
        )  # fmt: skip
        assert len(kept) == 9 + 27 - 4
        pd.testing.assert_frame_equal(again.table, found.table, check_like=True)
        assert again.recommended == found.recommended

    def test_one_method(self, recording):
        for method in ("cv", "dissimilarity"):
            found = select_k(
                recording, [2, 3], 8, methods=[method], n_repeats=2, settings={"max_iter": 10}
            )
            assert list(found.by_method) == [method]

    def test_hidden_values_do_not_matter(self, recording):
        # the same entries are hidden whatever they hold: training errors must be the same
        rows = []
        fit = {"methods": "cv", "n_repeats": 1, "settings": {"max_iter": 5}, "random_state": 3}
        first = select_k(recording, [2], 8, rows=rows, **fit)
        entropy = int(np.random.default_rng(3).integers(2**62))
        mask = hidden_entries((12, 900), 0.05, np.random.default_rng([entropy, 1, 0]))
        changed = recording.toarray()
        changed[:, :900][mask.toarray()] += 0.25
        second = select_k(sp.csr_matrix(changed), [2], 8, **fit)
        assert second.table["train_error"][0] == pytest.approx(
            first.table["train_error"][0], rel=1e-5
        )
        assert second.table["test_error"][0] != first.table["test_error"][0]

    def test_criteria_that_differ_and_the_last_number(self):
        rows = []
        for k, test, unlike in ((1, 0.9, 0.105), (2, 0.8, 0.1), (3, 0.6, 0.4), (4, 0.61, 0.3)):
            rows += [
                {"measure": "cv", "k": k, "repeat": r, "test_error": test + r, "train_error": test}
                for r in range(3)
            ]
            rows += [
                {"measure": "pair", "k": k, "repeat": pair, "first": a, "second": b,
                 "dissimilarity": unlike}
                for pair, (a, b) in enumerate(((0, 1), (0, 2), (1, 2)))
            ]  # fmt: skip
        found = k_selection(rows)
        assert found.by_method == {"dissimilarity": 2, "cv": 3}
        assert found.recommended == 2
        assert found.confidence == 1.0
        assert found.advice == ("the criteria differ: dissimilarity says 2, cv says 3",)
        masked = k_selection([row for row in rows if row["measure"] == "cv" and row["k"] < 4])
        assert masked.recommended == 3
        assert "largest number" in masked.advice[0]

    def test_power_held_out_that_asks_for_more(self):
        rows = []
        for k, held in ((1, 0.2), (2, 0.25), (3, 0.31), (4, 0.32)):
            pair = {"measure": "pair", "k": k, "first": 0, "second": 1, "dissimilarity": 0.1 * k}
            rows += [{"measure": "fit", "k": k, "repeat": 0, "power": 0.4, "power_held_out": held}]
            rows += [pair]
        found = k_selection(rows)
        assert found.recommended == 1
        (told,) = found.advice
        assert told.startswith("3 factors explain 31.0% of what was held out, 1 only 20.0%")
        near = [{**row, "power_held_out": 0.3} if "power" in row else row for row in rows]
        assert not k_selection(near).advice

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"ks": []}, "at least one"),
            ({"ks": [0, 1]}, "from 1 up"),
            ({"methods": ["bic"]}, "methods"),
            ({"n_repeats": 1}, "n_repeats"),
            ({"fraction": 0.9}, "fraction"),
        ],
    )
    def test_what_cannot_be_used(self, recording, change, text):
        given = {"ks": [1, 2], **change}
        with pytest.raises(UsageError, match=text):
            select_k(recording, given.pop("ks"), 8, **given)
