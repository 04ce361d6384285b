"""Sweeps over recordings of which entries are hidden."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.datasets import simulate_sequences
from partwise.exceptions import DataError, UsageError
from partwise.sequences import (
    SeqNMF,
    power,
    select_k,
    select_lambda,
    seqnmf,
    seqnmf_costs,
    split_time,
)
from partwise.sequences._hidden import beside, hidden_entries, hidden_error
from partwise.sequences._inputs import observed

LAMBDA = {"lambdas": [1e-3, 1e-2], "n_repeats": 1, "settings": {"max_iter": 8, "n_threads": 1}}
K = {"n_repeats": 2, "settings": {"max_iter": 4, "n_threads": 1}}


@pytest.fixture(scope="module")
def recording():
    return simulate_sequences(
        800, n_sequences=2, n_neurons=6, gap=1, noise=0.01, interval=20, seed=2
    ).X.toarray()


@pytest.fixture(scope="module")
def mask(recording):
    """Lost frames, and single entries."""
    rng = np.random.default_rng(0)
    hidden = rng.random(recording.shape) < 0.03
    for start in (50, 210, 400, 640, 700):
        hidden[:, start : start + 15] = True
    return hidden


def sweep(X, **given):
    return select_lambda(X, 2, 8, **{**LAMBDA, **given}).table


def choose(X, **given):
    return select_k(X, [2], 8, **{**K, **given}).table


@pytest.fixture(scope="module")
def tables(recording, mask):
    X = np.where(mask, 0, recording)
    return {run: run(X, mask=mask) for run in (sweep, choose)}


@pytest.mark.parametrize("run", [sweep, choose])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_hidden_values_do_not_matter(recording, mask, tables, run, form):
    rng = np.random.default_rng(1)
    same = form(np.where(mask, 0, recording))
    expected = run(same, mask=mask) if form is sp.csr_matrix else tables[run]
    for other in (np.nan, -rng.random(mask.shape).astype(np.float32)):
        changed = np.where(mask, other, recording).astype(same.dtype)
        pd.testing.assert_frame_equal(run(form(changed), mask=mask), expected, check_exact=True)


@pytest.mark.parametrize("run", [sweep, choose])
def test_ways_to_hide(recording, mask, tables, run):
    gaps = np.where(mask, np.nan, recording).astype(recording.dtype)
    settings = (LAMBDA if run is sweep else K)["settings"] | {"missing": "hide"}
    for table in (
        run(gaps, settings=settings),
        run(np.ma.masked_invalid(gaps)),
        run(np.ma.masked_array(gaps, mask & (np.arange(800) < 300)), mask=sp.csc_matrix(mask)),
    ):
        pd.testing.assert_frame_equal(table, tables[run], check_exact=True)


def test_both_costs_and_powers_are_those_of_what_is_observed(recording, mask, tables):
    row = tables[sweep].iloc[1]
    train, test = slice(0, 600), slice(600, 800)
    rng = np.random.default_rng([int(np.random.default_rng(0).integers(2**62)), 0])
    model = SeqNMF(2, 8, lambda_=1e-2, max_iter=8, tol=0, random_state=rng)
    model.fit(recording[:, train], mask=mask[:, train])
    there, pair = ~mask[:, train], (model.motifs_, model.activations_)
    gap = (recording[:, train] - model.reconstruct())[there]
    under_way = seqnmf_costs(recording[:, train], *pair, mask=mask[:, train])
    assert (row["reconstruction"], row["penalty"]) == under_way
    assert row["power"] == model.power_
    total = np.sum(recording[:, train][there] ** 2.0)
    assert row["power"] == pytest.approx(1 - np.sum(gap**2.0) / total, rel=1e-4)
    assert row["power_held_out"] == model.score(recording[:, test], mask=mask[:, test])
    # the penalty by its definition: hidden entries are in no product
    seen = np.where(there, recording[:, train], 0.0)
    z = sum(
        model.motifs_[:, :, lag].T @ np.pad(seen[:, lag:], ((0, 0), (0, lag))) for lag in range(8)
    )
    smooth = np.stack([np.convolve(one, np.ones(15), "same") for one in z])
    products = np.abs(smooth @ model.activations_.T)
    expected = products.sum() - np.trace(products)
    assert row["penalty"] == pytest.approx(expected, rel=1e-4)


def test_hidden_entries_of_cv_come_on_top(recording, mask, tables):
    table = tables[choose]
    row = table[table["measure"] == "cv"].iloc[0]
    X, own = recording[:, :600], mask[:, :600]
    entropy = int(np.random.default_rng(0).integers(2**62))
    chosen = hidden_entries(X.shape, 0.05, np.random.default_rng([entropy, 1, 0]))
    both = own | chosen.toarray()
    rng = np.random.default_rng([entropy, 2, 2, 0])
    model = SeqNMF(2, 8, lambda_=0, max_iter=4, random_state=rng).fit(X, mask=both)
    explained = power(X, model.motifs_, model.activations_, mask=both)
    assert row["train_error"] == pytest.approx(np.sqrt(1 - model.power_), rel=1e-6)
    assert model.power_ == pytest.approx(explained, abs=0.02)  # sequences under way apart
    # what the user hides is not asked for
    asked, hidden = beside(chosen, sp.csr_matrix(own))
    np.testing.assert_array_equal(asked.toarray(), chosen.toarray() & ~own)
    np.testing.assert_array_equal(hidden.toarray(), both)
    wrong = np.where(own, 1e3, X)
    assert hidden_error(wrong, asked, model.motifs_, model.activations_) < 3


def test_test_data_of_their_own(recording, mask):
    given = {"mask": mask[:, :600], "X_test": np.ma.masked_array(recording, mask)[:, 600:]}
    pd.testing.assert_frame_equal(
        sweep(recording[:, :600], **given), sweep(recording, mask=mask), check_exact=True
    )


def test_parts_have_their_hidden_entries(recording, mask):
    parts = split_time(np.ma.masked_array(recording, mask), n_lags=8, epochs=[(0, 640), (650, 800)])
    np.testing.assert_array_equal(parts.train_mask.toarray(), mask[:, : parts.frame])
    np.testing.assert_array_equal(parts.test_mask.toarray(), mask[:, parts.frame :])
    assert parts.tested == {"epochs": parts.test_epochs, "mask": parts.test_mask}
    early = mask & (np.arange(800) < 100)
    assert split_time(recording, n_lags=8, mask=early).test_mask is None
    assert split_time(recording, n_lags=8).train_mask is None


def test_what_is_hidden_of_sources(recording, mask, monkeypatch):
    from partwise.sequences import _stream

    class Source:
        shape, dtype = recording.shape, np.dtype(np.float32)

        def frames(self, start, stop):
            return np.where(mask, np.nan, recording).astype(np.float32)[:, start:stop]

    monkeypatch.setattr(_stream, "_CHUNK", 1000)
    for X in (Source(), sp.csr_matrix(np.where(mask, np.nan, recording))):
        _, hidden = observed(X, mask[:, ::-1], missing="hide")
        np.testing.assert_array_equal(hidden.toarray(), mask | mask[:, ::-1])
        assert observed(X)[1] is None


def test_masked_arrays_are_fitted_as_masks(recording, mask):
    for compat in (None, "matlab"):
        model = SeqNMF(2, 8, max_iter=5, random_state=0, compat=compat)
        power_ = model.fit(recording, mask=mask).power_
        assert model.fit(np.ma.masked_array(recording, mask)).power_ == power_
        assert model.fit(recording).power_ != power_
    own, other = mask & (np.arange(800) < 300), mask & (np.arange(800) >= 300)
    settings = {"K": 2, "L": 8, "max_iter": 5, "random_state": 0}
    whole = seqnmf(recording, M=~mask, **settings)
    both = seqnmf(np.ma.masked_array(recording, own), M=~other, **settings)
    np.testing.assert_array_equal(both[2], whole[2])


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"mask": np.ones((3, 3), bool)}, UsageError, "the mask is"),
        ({"mask": np.tile(np.arange(800) < 600, (12, 1))}, DataError, "part that is fitted"),
        ({"mask": np.tile(np.arange(800) >= 600, (12, 1))}, DataError, "left out to test on"),
    ],
)
def test_what_cannot_be_used(recording, given, error, text):
    for run in (sweep, choose):
        with pytest.raises(error, match=text):
            run(recording, **given)
