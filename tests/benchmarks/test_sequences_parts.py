"""The further benchmarks of sequences: what they count, on small data."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import sequences_large as large
import sequences_recovery as recovery
import sequences_songbird as songbird
from partwise.sequences import SeqNMF


@pytest.mark.parametrize("by", [-7, 0, 5])
def test_how_late_activations_are(by):
    planted = np.zeros(200)
    planted[[20, 60, 61, 150]] = 1.0
    assert recovery.late(np.roll(planted, by), planted, 10) == by


def test_sequences_that_are_not_found_count_as_such(monkeypatch):
    monkeypatch.setattr(recovery, "FRAMES", 1500)
    monkeypatch.setattr(recovery, "CASES", {"one": (1, 0.0)})
    row = recovery.recover("one", 0.001, 0)
    assert len(row["cosines"]) == len(row["lags_exact"]) == recovery.SEQUENCES
    assert row["cosines"][1:] == [0.0, 0.0]
    assert row["lags_exact"][1:] == [False, False]


def test_seconds_are_those_until_the_cost_is_reached(monkeypatch):
    monkeypatch.setattr(songbird, "FACTORS", 2)
    monkeypatch.setattr(songbird, "LAGS", 4)
    X = np.random.default_rng(0).random((5, 80))
    model = SeqNMF(2, 4, lambda_=0, solver="hals", max_iter=40, tol=0, random_state=3).fit(X)
    seconds, starts = songbird.seconds_to(X, model.cost_[20], 3)
    assert seconds > 0
    assert starts == 1
    assert songbird.seconds_to(X, 0.0, 3, starts=2, iterations=3) == (None, 2)


def test_what_goes_with_the_number_of_sequences():
    rows = [
        {"significant": n, "train": n / 10, "held_out": 0.2, "factors": 5 - n} for n in (2, 3, 2, 4)
    ]
    found = songbird._summary(rows)
    assert found["counts"] == {2: 2, 3: 1, 4: 1}
    assert found["share_2_or_3"] == 0.75
    assert found["correlation_with_train"] == pytest.approx(1)
    assert found["correlation_with_factors"] == pytest.approx(-1)
    assert found["correlation_with_held_out"] == 0


def test_a_recording_is_fitted_from_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(large, "IN_MEMORY", 1000)
    path = large.make(tmp_path / "small.h5", frames=3000, units=40, factors=4)
    stamp = path.stat().st_mtime_ns
    assert large.make(path).stat().st_mtime_ns == stamp
    found = large.fit(path, "hals", 1, n_lags=12)
    assert found["from_disk"]
    assert len(found["steps"]) == large.ITERATIONS - 2
    assert len(found["costs"]) == large.ITERATIONS
    assert found["peak_bytes"] > 1e7
