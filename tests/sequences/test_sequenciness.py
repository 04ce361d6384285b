"""Order in time beyond synchrony."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.datasets import simulate_sequences
from partwise.exceptions import DataError, UsageError
from partwise.sequences import SeqNMF, sequenciness
from partwise.sequences.sequence_score import _shuffled, sequenciness_of

SETTINGS = {"max_iter": 20, "n_threads": 1}
FITS = {"n_runs": 2, "n_shuffles": 3, "settings": SETTINGS, "random_state": 0}


@pytest.fixture(scope="module")
def sequential():
    return simulate_sequences(1000, n_sequences=1, n_neurons=8, gap=1, noise=0.005, seed=1).X


@pytest.fixture(scope="module")
def synchronous():
    rng = np.random.default_rng(0)
    return np.ones((8, 1)) * (rng.random(1000) < 0.02) + (rng.random((8, 1000)) < 0.005)


def test_sequences_score_high_and_synchrony_low(sequential, synchronous):
    high = sequenciness(sequential, 1, 10, **FITS)
    low = sequenciness(synchronous, 1, 10, **FITS)
    assert high.score > 0.7
    assert low.score < 0.3
    assert high.score_held_out > 0.7
    assert low.score_held_out < 0.3
    assert high.score == pytest.approx(
        (high.power - high.synchrony_floor) / (high.power - high.noise_floor)
    )
    assert low.noise_floor + 0.1 < low.synchrony_floor


def test_table_and_resume(sequential):
    rows = []
    whole = sequenciness(sequential, 1, 10, rows=rows, **FITS)
    assert whole.table["kind"].value_counts().to_dict() == {"data": 2, "noise": 6, "synchrony": 6}
    kept = json.loads(json.dumps(rows[3:10]))
    again = sequenciness(sequential, 1, 10, rows=kept, **FITS)
    assert len(kept) == 14
    pd.testing.assert_frame_equal(again.table, whole.table)
    two = sequenciness(sequential, 1, 10, **{**FITS, "settings": {**SETTINGS, "n_threads": 2}})
    pd.testing.assert_frame_equal(two.table, whole.table)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("spans", [((0, 90),), ((10, 40), (50, 85))])
def test_shuffles(form, spans):
    X = np.random.default_rng(2).random((5, 90)) * (np.random.default_rng(3).random((5, 90)) < 0.3)
    inside = np.zeros(90, bool)
    free = np.zeros(90, bool)
    for start, stop in spans:
        inside[start:stop] = True
        free[start + 7 : stop] = True
    found = {}
    for kind in ("noise", "synchrony"):
        out = _shuffled(form(X), kind, spans, 7, np.random.default_rng(0))
        found[kind] = np.asarray(out.toarray() if sp.issparse(out) else out)
    stays, moves = ~inside, inside
    np.testing.assert_array_equal(found["noise"][:, stays], X[:, stays])
    for before, after in zip(X[:, moves], found["noise"][:, moves], strict=True):
        np.testing.assert_array_equal(np.sort(before), np.sort(after))
        assert not np.array_equal(before, after)
    np.testing.assert_array_equal(found["synchrony"][:, ~free], X[:, ~free])
    before, after = (sorted(map(tuple, x[:, free].T)) for x in (X, found["synchrony"]))
    assert before == after
    assert not np.array_equal(found["synchrony"], X)
    # each unit by itself: the frames of two units do not go the same way
    assert sorted(map(tuple, found["noise"][:, moves].T)) != sorted(map(tuple, X[:, moves].T))


def test_all_shuffles_of_a_sparse_unit_are_equally_likely():
    X = sp.csr_matrix(np.array([[1.0, 2.0, 0.0]]))
    rng = np.random.default_rng(0)
    seen = {}
    for _ in range(1200):
        key = tuple(_shuffled(X, "noise", ((0, 3),), 1, rng).toarray()[0])
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert min(seen.values()) > 140


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_hidden_entries(sequential, form):
    X = np.asarray(sequential.toarray() if sp.issparse(sequential) else sequential, np.float64)
    mask = np.zeros(X.shape, bool)
    mask[:, 30:50] = mask[:, -60:-50] = True
    mask[2, ::7] = True
    fits = {"n_runs": 1, "n_shuffles": 1, "settings": {"max_iter": 5}}
    whole = sequenciness(form(np.where(mask, 0.0, X)), 1, 10, mask=mask, **fits)
    changed = sequenciness(form(np.where(mask, -5.0, X)), 1, 10, mask=mask, **fits)
    pd.testing.assert_frame_equal(changed.table, whole.table, check_exact=True)
    gaps = np.where(mask, np.nan, X)
    hide = {**fits, "settings": {"max_iter": 5, "missing": "hide"}}
    pd.testing.assert_frame_equal(sequenciness(form(gaps), 1, 10, **hide).table, whole.table)
    if form is np.asarray:
        masked = sequenciness(np.ma.masked_invalid(gaps), 1, 10, **fits)
        pd.testing.assert_frame_equal(masked.table, whole.table)
    first = whole.table.iloc[0]
    cut = 3 * X.shape[1] // 4
    rng = np.random.default_rng([int(np.random.default_rng(0).integers(2**62)), 0, 0, 0, 0])
    model = SeqNMF(1, 10, lambda_=0.0, max_iter=5, random_state=rng)
    model.fit(X[:, :cut], mask=mask[:, :cut])
    assert first["power"] == pytest.approx(model.power_, rel=1e-9)
    held = model.score(X[:, cut:], mask=mask[:, cut:])
    assert first["power_held_out"] == pytest.approx(held, rel=1e-9)
    with pytest.raises(DataError, match="unit 3 is NaN"):
        sequenciness(form(gaps), 1, 10, mask=mask & (np.arange(len(X)) != 2)[:, None], **fits)


def test_nothing_beyond_noise():
    rows = [
        {"kind": kind, "shuffle": 0, "run": 0, "power": power, "power_held_out": power}
        for kind, power in (("data", 0.1), ("noise", 0.12), ("synchrony", 0.11))
    ]
    found = sequenciness_of(rows)
    assert found.score == 0.0
    assert "no more" in found.advice[0]


def test_the_best_start_counts_and_the_median_shuffle():
    rows = [{"kind": "data", "shuffle": 0, "run": r, "power": p} for r, p in enumerate((0.7, 0.9))]
    for kind, powers in (("noise", (0.1, 0.2, 0.6)), ("synchrony", (0.3, 0.4, 0.8))):
        for s, power in enumerate(powers):
            rows += [{"kind": kind, "shuffle": s, "run": r, "power": power - r} for r in (0, 1)]
    found = sequenciness_of([{**row, "power_held_out": row["power"] / 2} for row in rows])
    assert (found.power, found.noise_floor, found.synchrony_floor) == (0.9, 0.2, 0.4)
    assert found.score == pytest.approx(0.5 / 0.7)
    assert found.score_held_out == pytest.approx(0.5 / 0.7)


def test_what_cannot_be_used(sequential):
    class Source:
        shape, dtype = (8, 1000), np.dtype(np.float32)

        def frames(self, start, stop):
            raise AssertionError

    with pytest.raises(UsageError, match="in memory"):
        sequenciness(Source(), 1, 10)
    with pytest.raises(UsageError, match="n_shuffles"):
        sequenciness(sequential, 1, 10, n_shuffles=0)
