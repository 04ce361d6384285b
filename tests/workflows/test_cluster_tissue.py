"""Clusters back on the tissue: which fields of view are drawn, and where cells lie in them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.io import Table
from partwise.workflows import ClusterOptions
from partwise.workflows.clustering.tissue import (
    check_maps,
    choose_fovs,
    fov_column,
    spatial_of,
    tissue_sections,
)


def table(n_fovs=3, per_fov=50, axes=("centroid-0", "centroid-1"), column="fov"):
    n = n_fovs * per_fov
    rng = np.random.default_rng(0)
    ids = pd.DataFrame({column: np.repeat([f"F{i + 1}" for i in range(n_fovs)], per_fov)})
    ids["label"] = np.arange(n)
    if axes:
        ids[axes[0]], ids[axes[1]] = 1000 + rng.random(n), rng.random(n)
    return Table("a.csv", "a", "text", ids, ("A",), np.ones((n, 1)), coordinates=tuple(axes))


def labels_of(tissue, n_clusters=4):
    return np.random.default_rng(1).integers(0, n_clusters, tissue.shape[0]).astype(np.int32)


def test_few_fields_of_view_are_all_drawn():
    counts = np.array([[5, 5], [3, 7], [9, 1]])
    assert [pick.fov for pick in choose_fovs(counts, 3)] == [0, 1, 2]
    assert {pick.cluster for pick in choose_fovs(counts, 12)} == {None}


def test_of_many_those_are_drawn_that_show_the_clusters():
    counts = np.array([[50, 50, 0], [10, 80, 10], [90, 5, 5], [40, 20, 40], [60, 40, 0], [1, 0, 2]])
    chosen = choose_fovs(counts, 3)
    assert [(pick.cluster, pick.fov) for pick in chosen] == [(0, 2), (1, 1), (2, 3)]
    assert chosen[0].share == pytest.approx(0.9)
    more = choose_fovs(counts, 5)  # a second round; no field of view twice, the tiny one last
    assert [pick.fov for pick in more] == [2, 1, 3, 4, 0]
    rare = np.array([[50, 0], [50, 0], [2, 1]])  # in a tiny field of view only: there it is
    assert (1, 2) in [(pick.cluster, pick.fov) for pick in choose_fovs(rare, 2)]


def test_rows_of_images_are_vertical():
    tissue = table()
    xy = spatial_of(tissue)
    np.testing.assert_array_equal(xy[:, 1], tissue.ids["centroid-0"])
    plain = table(axes=("x", "y"))
    np.testing.assert_array_equal(spatial_of(plain)[:, 0], plain.ids["x"])
    assert spatial_of(table(axes=())) is None


def test_column_of_pictures():
    assert fov_column(pd.DataFrame({"Sample": ["a"], "FOV": ["b"]})) == "FOV"
    assert fov_column(pd.DataFrame({"cell": ["a"]})) is None


@pytest.mark.parametrize("column", ["fov", "other"])
def test_section(column):
    tissue = table(n_fovs=12, column=column)
    labels = labels_of(tissue)
    labels[:5] = -1
    (section,) = tissue_sections(tissue, labels, 4, ClusterOptions(maps=5))
    maps, places = section.figures
    panels = [axes.get_title(loc="left") for axes in maps.figure.axes if axes.axison]
    if column == "fov":
        assert len(panels) == 5
        assert "Drawn are 5 of 12 fields of view" in section.paragraphs[0]
        assert maps.table.data.to_numpy().sum() == (labels >= 0).sum()
        assert list(maps.table.data.index[:3]) == ["F1", "F2", "F3"]  # not F1, F10, F11
    else:
        assert panels == ["all cells"]
    assert [axes.get_title(loc="left") for axes in places.figure.axes] == [
        f"Cluster {c}" for c in range(4)
    ]
    named = ClusterOptions(map_fovs=("F10", "F2"))
    if column == "fov":
        (section,) = tissue_sections(tissue, labels, 4, named)
        assert [axes.get_title(loc="left") for axes in section.figures[0].figure.axes][:2] == [
            "F10",
            "F2",
        ]


def test_nothing_without_coordinates_or_wish():
    bare, tissue = table(axes=()), table()
    assert tissue_sections(bare, labels_of(bare), 4, ClusterOptions()) == []
    assert tissue_sections(tissue, labels_of(tissue), 4, ClusterOptions(maps=0)) == []


def test_maps_that_cannot_be_drawn_are_refused():
    bare, tissue = table(axes=()), table()
    check_maps(bare, ClusterOptions())
    check_maps(bare, ClusterOptions(maps=0))
    check_maps(tissue, ClusterOptions(map_fovs=("F1",)))
    with pytest.raises(DataError, match="--maps: the table has no coordinates"):
        check_maps(bare, ClusterOptions(maps=3))
    with pytest.raises(DataError, match="no field of view 'F9'; there are 3: F1, F2, F3"):
        check_maps(tissue, ClusterOptions(map_fovs=("F1", "F9")))
    with pytest.raises(UsageError, match="either maps, a number, or map_fovs"):
        ClusterOptions(maps=3, map_fovs=("F1",))
    with pytest.raises(UsageError, match="maps must be a whole number"):
        ClusterOptions(maps=-1)


def test_positions_are_those_of_the_kept_rows():
    tissue = table()
    part = dataclasses.replace(tissue, ids=tissue.ids.iloc[10:20], matrix=tissue.matrix[10:20])
    np.testing.assert_array_equal(spatial_of(part), spatial_of(tissue)[10:20])
