"""Simulated tissue: shapes, design, niches, files."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from partwise.datasets import simulate_tissue, write_tissue
from partwise.exceptions import UsageError


def joined(tissue):
    return tissue.cells.assign(niche=tissue.truth["niche"])


def test_columns_and_identifiers():
    tissue = simulate_tissue(1003, n_fovs=4, seed=3)
    assert list(tissue.cells.columns) == [
        *("fov", "label", "cell_meta_cluster", "centroid-0", "centroid-1", "patient", "group")
    ]
    assert not tissue.cells.duplicated(["fov", "label"]).any()
    assert tissue.cells["fov"].value_counts()[["FOV_1", "FOV_2", "FOV_3", "FOV_4"]].tolist() == [
        *(251, 251, 251, 250)
    ]
    assert tissue.truth[["fov", "label"]].equals(tissue.cells[["fov", "label"]])
    np.testing.assert_allclose(tissue.programs.sum(axis=1), 1.0)


def test_a_seed_gives_one_table():
    first, second = (simulate_tissue(500, n_fovs=2, seed=5) for _ in range(2))
    assert first.cells.equals(second.cells)
    assert not first.cells.equals(simulate_tissue(500, n_fovs=2, seed=6).cells)


def test_about_twenty_cells_lie_within_fifty_pixels_and_none_on_another():
    tissue = simulate_tissue(4000, n_fovs=1, seed=1)
    tree = cKDTree(tissue.coordinates)
    inside = np.all((tissue.coordinates > 60) & (tissue.coordinates < 1200), axis=1)
    counts = tree.query_ball_point(tissue.coordinates[inside], 50.0, return_length=True) - 1
    assert 17 < counts.mean() < 22
    assert tree.query(tissue.coordinates, k=2)[0][:, 1].min() > 3.9


def test_niches_are_regions_with_their_own_types():
    tissue = simulate_tissue(20_000, n_fovs=4, n_niches=4, n_types=8, noise=0.1, seed=2)
    cells = joined(tissue)
    for _, fov in cells.groupby("fov", observed=True):
        xy = fov[["centroid-0", "centroid-1"]].to_numpy()
        niche = fov["niche"].cat.codes.to_numpy()
        _, near = cKDTree(xy).query(xy, k=7)
        assert (niche[near[:, 1:]] == niche[:, None]).mean() > 0.85
    observed = pd.crosstab(cells["niche"], cells["cell_meta_cluster"], normalize="index")
    assert abs(observed.to_numpy() - tissue.programs.to_numpy()).max() < 0.03
    for j, row in enumerate(tissue.programs.to_numpy()):
        assert row[[j, j + 4]].sum() > 0.6


def test_noise_makes_niches_alike():
    assert simulate_tissue(50, n_fovs=1, noise=1.0).programs.std().max() < 1e-12
    assert simulate_tissue(50, n_fovs=1, noise=0.0).programs.std().max() > 0.1


@pytest.mark.parametrize("n_niches", [3, 6, 12, 30])
def test_no_niche_is_missing_and_no_two_are_alike(n_niches):
    tissue = simulate_tissue(n_niches * 300, n_fovs=3, n_niches=n_niches, n_types=12, seed=4)
    assert tissue.truth["niche"].nunique() == n_niches
    assert np.unique(tissue.programs.round(6), axis=0).shape[0] == n_niches


def test_patients_lie_in_groups_and_fields_of_view_in_patients():
    cells = simulate_tissue(1200, n_fovs=12, n_patients=6, groups=2).cells
    assert (cells.groupby("fov", observed=True)["patient"].nunique() == 1).all()
    assert (cells.groupby("patient", observed=True)["group"].nunique() == 1).all()
    assert cells["patient"].nunique() == 6
    assert cells.groupby("group", observed=True)["patient"].nunique().tolist() == [3, 3]


def test_effect_shifts_one_niche_of_the_last_group():
    settings = {"n_fovs": 160, "n_patients": 80, "groups": 2, "n_niches": 5, "seed": 8}
    shares = {}
    for effect in (0.0, 0.3):
        cells = joined(simulate_tissue(160 * 600, effect=effect, **settings))
        table = pd.crosstab(cells["group"], cells["niche"], normalize="index")
        shares[effect] = table["Niche 1"].to_numpy()
    np.testing.assert_allclose(shares[0.0], [0.2, 0.2], atol=0.06)
    np.testing.assert_allclose(shares[0.3], [0.2, 0.5], atol=0.06)


def test_written_files_read_back(tmp_path):
    tissue = simulate_tissue(300, n_fovs=3)
    paths = write_tissue(tissue, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *("test_cells_300.csv", "test_cells_300_programs.csv", "test_cells_300_truth.csv")
    ]
    table = pd.read_csv(paths["table"], float_precision="round_trip")
    np.testing.assert_array_equal(table[["centroid-0", "centroid-1"]], tissue.coordinates)
    assert (table["patient"] == tissue.cells["patient"].astype(str)).all()
    programs = pd.read_csv(paths["programs"], index_col="cell_type")
    np.testing.assert_allclose(programs.T, tissue.programs)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_cells": 0}, "at least one cell"),
        ({"n_cells": 5, "n_fovs": 6}, "between 1 and the number of cells, 5"),
        ({"n_niches": 1}, "n_niches is 1"),
        ({"n_types": 1}, "n_types is 1"),
        ({"n_patients": 11}, "between 1 and the fields of view, 10"),
        ({"n_patients": 2, "groups": 3}, "between 1 and the number of patients, 2"),
        ({"effect": 0.1}, "there is one group"),
        ({"effect": 0.9, "groups": 2}, "between -0.167 and 0.833"),
        ({"noise": 1.5}, "between 0 and 1"),
    ],
)
def test_refusals_say_what_is_allowed(arguments, text):
    with pytest.raises(UsageError, match=text):
        simulate_tissue(**arguments)
