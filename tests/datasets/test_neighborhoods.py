"""The simulators: shapes, sums, seeds, truth, and that what is planted can be found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from partwise.datasets import simulate_neighborhoods, write_simulated
from partwise.datasets.profiles import (
    ORIGINAL_TYPE_SHARES,
    anchored_programs,
    original_profiles,
)
from partwise.exceptions import UsageError

MODES = ("original", "discrete", "anchored")


def frequencies(simulated):
    return simulated.table[list(simulated.features)].to_numpy()


@pytest.mark.parametrize("mode", MODES)
def test_shape_names_and_sums(mode):
    simulated = simulate_neighborhoods(1003, n_fovs=10, mode=mode, seed=1)
    table = simulated.table
    assert list(table.columns[:3]) == ["fov", "label", "cell_meta_cluster"]
    assert len(table) == len(simulated.truth) == simulated.n_cells == 1003
    assert len(simulated.features) == (15 if mode == "anchored" else 6)
    values = frequencies(simulated)
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-12)
    assert set(table["cell_meta_cluster"]) <= set(simulated.features)
    assert simulated.programs.shape[1] == len(simulated.features)
    np.testing.assert_allclose(simulated.programs.sum(axis=1), 1.0)


def test_every_cell_is_kept_and_the_remainder_is_reported():
    simulated = simulate_neighborhoods(1003, n_fovs=10)
    sizes = simulated.table.groupby("fov", observed=True).size()
    assert list(sizes) == [101, 101, 101, *[100] * 7]
    assert list(sizes.index) == [f"TEST_FOV_{i}" for i in range(1, 11)]
    assert "do not divide" in simulated.notes[0]
    assert simulate_neighborhoods(1000, n_fovs=10).notes == ()
    labels = simulated.table.groupby("fov", observed=True)["label"]
    assert (labels.min() == 1).all()
    assert (labels.max() == sizes).all()
    assert not simulated.table.duplicated(["fov", "label"]).any()


@pytest.mark.parametrize("mode", MODES)
def test_seed_decides_everything_and_global_state_nothing(mode):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = simulate_neighborhoods(500, mode=mode, seed=3)
    np.random.seed(1)  # noqa: NPY002
    again = simulate_neighborhoods(500, mode=mode, seed=3)
    other = simulate_neighborhoods(500, mode=mode, seed=4)
    pd.testing.assert_frame_equal(first.table, again.table)
    pd.testing.assert_frame_equal(first.truth, again.truth)
    assert not np.array_equal(frequencies(first), frequencies(other))
    np.random.seed(0)  # noqa: NPY002
    simulate_neighborhoods(10, mode=mode)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_original_rows_follow_the_formula():
    simulated = simulate_neighborhoods(60_000, seed=5)
    values, types = frequencies(simulated), simulated.planted
    shares = types.value_counts(normalize=True)[list(simulated.features)]
    np.testing.assert_allclose(shares, ORIGINAL_TYPE_SHARES, atol=0.01)
    assert (types.to_numpy() == simulated.table["cell_meta_cluster"].to_numpy()).all()
    for i, name in enumerate(simulated.features):
        noise = (values[types == name] - 0.7 * original_profiles()[i]) / 0.3
        np.testing.assert_allclose(noise.sum(axis=1), 1.0, atol=1e-9)
        assert noise.min() > 0
        np.testing.assert_allclose(noise.mean(axis=0), 1 / 6, atol=0.006)
        # variance of a Dirichlet of six fives: (1/6)(5/6)/31
        np.testing.assert_allclose(noise.var(axis=0), 5 / 36 / 31, rtol=0.15)


def test_discrete_rows_are_counts_and_repeat():
    simulated = simulate_neighborhoods(20_000, mode="discrete")
    counts = frequencies(simulated) * 15
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    distinct = np.unique(np.round(counts), axis=0)
    assert len(distinct) < 10_000
    coarse = simulate_neighborhoods(2000, mode="discrete", n_neighbors=3)
    assert len(np.unique(frequencies(coarse), axis=0)) <= 56


def test_anchors_occur_in_one_niche_only():
    programs = anchored_programs()
    assert ((programs[:, :12] > 0).sum(axis=0) == 1).all()
    assert ((programs[:, :12] > 0).sum(axis=1) == 2).all()
    assert (programs[:, 12:] > 0).all()


def test_anchored_truth():
    simulated = simulate_neighborhoods(20_000, mode="anchored", seed=2)
    truth = simulated.truth
    shares = truth.filter(like="share ").to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    names = [column.removeprefix("share ") for column in truth if column.startswith("share ")]
    assert (np.array(names)[shares.argmax(axis=1)] == truth["niche"].to_numpy()).all()
    dominant = shares.max(axis=1)
    assert 0.75 < (dominant > 0.8).mean() < 0.95
    assert (dominant < 0.6).mean() > 0.02
    # the mean row is what the weights and programs say: states and counting add no bias
    expected = (shares @ simulated.programs.to_numpy()).mean(axis=0)
    np.testing.assert_allclose(frequencies(simulated).mean(axis=0), expected, atol=0.004)
    by_fov = pd.crosstab(truth["fov"], truth["niche"], normalize="index")
    assert by_fov.std().max() > 0.05


def test_anchored_niches_can_be_found_by_a_factorization_of_rank_six():
    from sklearn.decomposition import NMF
    from sklearn.metrics import adjusted_rand_score

    simulated = simulate_neighborhoods(6000, mode="anchored", seed=7)
    values, planted = frequencies(simulated), simulated.programs.to_numpy()
    model = NMF(6, init="nndsvda", max_iter=500, tol=1e-5)
    usage = model.fit_transform(values)
    scale = model.components_.sum(axis=1)
    found = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
    planted /= np.linalg.norm(planted, axis=1, keepdims=True)
    cosine = planted @ found.T
    assert len(set(cosine.argmax(axis=1))) == 6
    assert cosine.max(axis=1).min() >= 0.95
    assert adjusted_rand_score(simulated.planted, (usage * scale).argmax(axis=1)) > 0.85


@pytest.mark.parametrize("mode", MODES)
def test_written_files_read_back(mode, tmp_path):
    simulated = simulate_neighborhoods(200, n_fovs=3, mode=mode)
    paths = write_simulated(simulated, tmp_path / "new" / "folder")
    assert paths["table"].name == "test_neighborhood_freqs_200.csv"
    assert paths["truth"].name == "test_neighborhood_freqs_200_truth.csv"
    assert sorted(path.name for path in paths["table"].parent.iterdir()) == sorted(
        path.name for path in paths.values()
    )
    table = pd.read_csv(paths["table"], float_precision="round_trip")
    np.testing.assert_array_equal(table[list(simulated.features)], frequencies(simulated))
    assert (table["fov"] == simulated.table["fov"].astype(str)).all()
    truth = pd.read_csv(paths["truth"])
    assert list(truth.columns) == list(simulated.truth.columns)
    programs = pd.read_csv(paths["programs"], index_col="cell_type")
    np.testing.assert_allclose(programs.T, simulated.programs)
    assert '"' not in paths["table"].read_text()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_cells": 0}, "at least one cell"),
        ({"n_cells": 5, "n_fovs": 6}, "between 1 and the number of cells, 5"),
        ({"n_cells": 5, "n_fovs": 0}, "between 1"),
        ({"mode": "other"}, "original, anchored, discrete"),
        ({"n_neighbors": 10}, "counts no neighbours"),
        ({"n_neighbors": 0, "mode": "discrete"}, "at least one neighbour"),
    ],
)
def test_refusals_say_what_is_allowed(arguments, text):
    with pytest.raises(UsageError, match=text):
        simulate_neighborhoods(**arguments)


@pytest.mark.parametrize("mode", MODES)
def test_one_cell(mode):
    simulated = simulate_neighborhoods(1, n_fovs=1, mode=mode)
    assert frequencies(simulated).sum() == pytest.approx(1.0)
