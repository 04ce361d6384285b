"""Tables of cells: told from neighbourhood tables, read, counted, clustered."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from partwise.datasets import simulate_tissue, write_tissue
from partwise.exceptions import DataError, UsageError
from partwise.graph import neighborhood_table, spatial
from partwise.io import open_table
from partwise.workflows import (
    ClusterOptions,
    NeighborhoodsOptions,
    cells_options,
    cluster,
    neighborhoods,
)
from partwise.workflows.cells import (
    coordinates_of,
    counted_text,
    open_cells,
    open_either,
    resolved_of,
    with_types,
)

IDS = ["fov", "label", "cell_meta_cluster", "centroid-0", "centroid-1"]


@pytest.fixture(scope="module")
def tissue():
    return simulate_tissue(1500, n_fovs=3, n_niches=3, n_types=11, seed=1)


@pytest.fixture(scope="module")
def path(tissue, tmp_path_factory):
    return write_tissue(tissue, tmp_path_factory.mktemp("cells"))["table"]


@pytest.fixture(scope="module")
def expected(tissue):
    cells = tissue.cells
    return neighborhood_table(
        tissue.coordinates, cells["cell_meta_cluster"], fov=cells["fov"], radius=50.0
    )


@pytest.fixture(scope="module")
def result(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return neighborhoods(path, radius=50, output_dir=folder, formats=("csv", "parquet"))


def test_choices_are_those_of_the_function():
    assert cells_options.MODES == spatial.MODES
    assert cells_options.KERNELS == spatial.KERNELS


def test_files(result):
    names = {kind: file.name for kind, file in result.outputs.items()}
    assert names == {
        "table": "test_cells_1500_neighborhoods.csv",
        "fovs": "test_cells_1500_neighborhoods_by_fov.csv",
        "types": "test_cells_1500_neighborhoods_by_type.csv",
        "parquet": "test_cells_1500_neighborhoods.parquet",
        "report": "report.html",
        "run": "run.json",
    }
    folder = result.outputs["run"].parent
    assert {file.name for file in folder.iterdir()} == set(names.values())


def test_table_is_what_the_function_counts_in_the_layout_of_cluster(result, tissue, expected):
    table = pd.read_csv(result.outputs["table"])
    types = [f"Type {i + 1}" for i in range(11)]
    assert list(table.columns) == [*IDS, *types]
    np.testing.assert_array_equal(table[types].astype(np.float32), expected.frequencies)
    np.testing.assert_array_equal(table[IDS[3:]], tissue.coordinates)
    assert (table["label"] == tissue.cells["label"]).all()
    pd.testing.assert_frame_equal(
        pd.read_parquet(result.outputs["parquet"])[types], table[types], check_dtype=False
    )
    opened = open_table(result.outputs["table"])
    assert opened.features == tuple(types)
    np.testing.assert_array_equal(coordinates_of(opened), tissue.coordinates)


def test_numbers_by_field_of_view_and_by_type(result, tissue, expected):
    fovs = pd.read_csv(result.outputs["fovs"], index_col="fov")
    own = tissue.cells["fov"] == "FOV_2"
    assert fovs.loc["FOV_2", "cells"] == own.sum()
    assert fovs.loc["FOV_2", "mean_neighbors"] == pytest.approx(expected.n_neighbors[own].mean())
    assert fovs.loc["FOV_2", "high"] == np.quantile(expected.n_neighbors[own], 0.95)
    types = pd.read_csv(result.outputs["types"], index_col="cell_meta_cluster")
    around = expected.frequencies[tissue.cells["cell_meta_cluster"] == "Type 3"]
    np.testing.assert_allclose(types.loc["Type 3"], around.mean(axis=0), rtol=1e-5)
    assert result.summary["mean_neighbors"] == pytest.approx(expected.n_neighbors.mean())


def test_record_holds_what_was_used(result):
    record = json.loads(result.outputs["run"].read_text())
    assert record["parameters"]["radius"] == 50.0
    assert record["parameters"]["neighborhood"] == "radius"
    assert record["parameters"]["coordinates"] == IDS[3:]
    assert record["results"]["n_alone"] == 0
    assert "--radius 50" in record["command"]
    report = result.outputs["report"].read_text()
    assert "within a distance of 50" in report


def test_a_radius_is_chosen_by_the_data_and_told(path, tmp_path):
    found = neighborhoods(path, output_dir=tmp_path)
    radius = found.resolved["radius"]
    assert 45 <= radius <= 60
    assert np.median(found.table.n_neighbors) >= 20
    assert any(f"no radius was given: {radius:g}" in text for text in found.warnings)
    assert json.loads(found.outputs["run"].read_text())["parameters"]["radius"] == radius


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"neighborhood": "knn", "nearest": 7}, {"mode": "knn", "n_neighbors": 7}),
        ({"neighborhood": "delaunay", "radius": 30.0}, {"mode": "delaunay", "radius": 30.0}),
        ({"neighborhood": "hops", "hops": 3}, {"mode": "hops", "n_hops": 3}),
        (
            {"radius": 40.0, "kernel": "gaussian", "bandwidth": 15.0, "include_self": True},
            {"radius": 40.0, "kernel": "gaussian", "bandwidth": 15.0, "include_self": True},
        ),
    ],
)
def test_every_option_reaches_the_function(path, tissue, options, settings):
    cells = tissue.cells
    asked = NeighborhoodsOptions(counts=True, **options)
    found = open_cells(path, _with_features(asked))
    expected = neighborhood_table(
        tissue.coordinates, cells["cell_meta_cluster"], fov=cells["fov"], **settings
    )
    np.testing.assert_array_equal(found.matrix, expected.counts)


def _with_features(options):
    object.__setattr__(options, "features", ())
    return options


def test_cluster_counts_and_clusters(path, tissue, expected):
    options = ClusterOptions(radius=50.0)
    with open_either(path, options, metadata=("patient",)) as table:
        assert list(table.ids.columns) == [*IDS, "patient"]
        assert table.features == expected.types
        np.testing.assert_array_equal(table.matrix, expected.frequencies)
        np.testing.assert_array_equal(coordinates_of(table), tissue.coordinates)
        assert resolved_of(table)["radius"] == 50.0
        assert "within a distance of 50" in counted_text(table)


def test_features_choose_among_the_types(path):
    table = open_cells(path, ClusterOptions(radius=50.0, features=("Type 1*",)))
    assert table.features == ("Type 1", "Type 10", "Type 11")
    assert table.matrix.shape == (1500, 3)


def test_a_neighbourhood_table_is_opened_as_one_and_refuses_to_be_counted(result):
    with open_either(result.outputs["table"], ClusterOptions()) as table:
        assert table.features[0] == "Type 1"
        assert resolved_of(table) == {}
        assert counted_text(table) == ""
        assert table.coordinates == ("centroid-0", "centroid-1")
        assert any("not factorized" in note for note in table.notes)
    for options in ({"radius": 5.0}, {"neighborhood": "delaunay"}, {"counts": True}):
        with pytest.raises(
            UsageError, match=r"this is a neighbourhood table already.* no use here"
        ):
            open_either(result.outputs["table"], ClusterOptions(**options))


def test_a_table_of_measurements_with_coordinates_is_not_counted_unless_asked(tissue, tmp_path):
    cells = tissue.cells.assign(CD3=1.0, CD8=np.arange(1500.0))
    cells[[*IDS, "CD3", "CD8"]].to_csv(tmp_path / "m.csv", index=False)
    with open_either(tmp_path / "m.csv", ClusterOptions()) as table:
        assert table.features == ("CD3", "CD8")
        assert any("add --neighborhood radius" in note for note in table.notes)
    with open_either(tmp_path / "m.csv", ClusterOptions(neighborhood="radius")) as table:
        assert table.features[0] == "Type 1"


def test_without_coordinates_the_options_are_refused(small_table):
    assert open_cells(small_table, ClusterOptions()) is None
    with pytest.raises(UsageError, match="no coordinates were found"):
        open_cells(small_table, ClusterOptions(radius=5.0))


def _variant(cells, tmp_path, kind, change):
    cells = change(cells.copy())
    file = tmp_path / f"cells.{kind}"
    if kind == "csv":
        cells.to_csv(file, index=False)
    elif kind == "tsv":
        cells.to_csv(file, index=False, sep="\t")
    else:
        cells.to_parquet(file)
    return file


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_other_names_of_columns(tissue, expected, tmp_path, kind):
    names = {"fov": "slide", "cell_meta_cluster": "cell type"} | {
        "centroid-0": "r",
        "centroid-1": "c",
    }
    file = _variant(tissue.cells, tmp_path, kind, lambda cells: cells.rename(columns=names))
    options = ClusterOptions(
        radius=50.0, coordinates=("r", "c"), type_column="cell type", fov_column="slide"
    )
    table = open_cells(file, options)
    assert list(table.ids.columns) == IDS  # what cluster knows, whatever they were
    np.testing.assert_array_equal(table.matrix, expected.frequencies)


def test_without_labels_cells_are_numbered_in_each_field_of_view(tissue, tmp_path):
    shuffled = tissue.cells.sample(frac=1.0, random_state=0)
    file = _variant(shuffled, tmp_path, "csv", lambda cells: cells.drop(columns="label"))
    table = open_cells(file, ClusterOptions(radius=50.0))
    for _, labels in table.ids.groupby("fov", observed=True)["label"]:
        assert labels.tolist() == list(range(1, len(labels) + 1))
    assert any("cells were numbered" in note for note in table.notes)


def test_one_field_of_view_without_a_column(tissue, tmp_path):
    file = _variant(
        tissue.cells,
        tmp_path,
        "csv",
        lambda cells: cells[cells["fov"] == "FOV_1"].drop(columns="fov"),
    )
    with pytest.raises(DataError, match=r"no column 'fov'.*--fov none"):
        neighborhoods(file, radius=50, output_dir=tmp_path / "out")
    table = open_cells(file, ClusterOptions(radius=50.0, fov_column="none"))
    own = tissue.cells["fov"] == "FOV_1"
    expected = neighborhood_table(
        tissue.coordinates[own], tissue.cells["cell_meta_cluster"][own], radius=50.0
    )
    np.testing.assert_array_equal(table.matrix, expected.frequencies)
    assert table.ids["fov"].unique().tolist() == ["all"]


@pytest.mark.parametrize("x", [None, np.ones((1500, 2))])
def test_h5ad_with_positions_in_obsm(tissue, expected, tmp_path, x):
    cells = tissue.cells
    obs = pd.DataFrame(
        {"fov": cells["fov"].to_numpy(), "kind": cells["cell_meta_cluster"].to_numpy()},
        index=[f"cell{i}" for i in range(len(cells))],
    )
    adata = anndata.AnnData(X=x, obs=obs, obsm={"spatial": tissue.coordinates})
    adata.write_h5ad(tmp_path / "cells.h5ad")
    table = open_cells(tmp_path / "cells.h5ad", ClusterOptions(type_column="kind", radius=50.0))
    np.testing.assert_array_equal(table.matrix, expected.frequencies)
    assert table.ids["label"].iloc[3] == "cell3"
    np.testing.assert_array_equal(coordinates_of(table), tissue.coordinates)
    assert table.coordinates == ("spatial-0", "spatial-1")


def _set(row, column, value):
    def change(cells):
        cells = cells.astype({column: object})
        cells.loc[row, column] = value
        return cells

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set(7, "centroid-1", "NA"), "row 8, column 'centroid-1': 'NA' is no position"),
        (
            _set(7, "cell_meta_cluster", ""),
            "row 8, column 'cell_meta_cluster': the cell has no type",
        ),
        (_set(7, "label", 3), "FOV_1, label 3 is in"),
        (lambda cells: cells.drop(columns="cell_meta_cluster"), "Name what is meant with --type"),
        (lambda cells: cells.drop(columns="centroid-1"), "Name their columns with --coordinates"),
        (_set(7, "cell_meta_cluster", "label"), "has the name of a column"),
    ],
)
def test_bad_input_says_where(tissue, tmp_path, change, text):
    file = _variant(tissue.cells, tmp_path, "csv", change)
    with pytest.raises(DataError, match=text):
        neighborhoods(file, radius=50, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_duplicates_under_other_names_are_found(tissue, tmp_path):
    def change(cells):
        return _set(7, "label", 3)(cells).rename(columns={"fov": "slide"})

    file = _variant(tissue.cells, tmp_path, "csv", change)
    with pytest.raises(DataError, match="row 8, column 'label': fov FOV_1, label 3 is in row 3"):
        neighborhoods(file, radius=50, fov_column="slide", output_dir=tmp_path / "out")


def test_a_radius_that_cannot_be_meant(path, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"no cell has a neighbour within 0.1. --radius 5\d would"):
        neighborhoods(path, radius=0.1, output_dir=tmp_path)
    few = neighborhoods(path, radius=12.0, output_dir=tmp_path)
    assert any("have no neighbour within 12" in text for text in few.warnings)
    monkeypatch.setattr("partwise.workflows.cells_count._MANY", 100)
    many = neighborhoods(path, radius=150.0, output_dir=tmp_path)
    assert any("niches smaller than such a neighbourhood" in text for text in many.warnings)
    monkeypatch.setattr("partwise.workflows.cells_count._TOO_MANY", 100)
    with pytest.raises(
        UsageError, match=r"about 1\d\d neighbours.*--radius 5\d would hold about 20"
    ):
        neighborhoods(path, radius=150.0, output_dir=tmp_path)


def test_cells_that_are_all_alone_have_no_radius(tissue, tmp_path):
    file = _variant(
        tissue.cells,
        tmp_path,
        "csv",
        lambda cells: cells.assign(fov=[f"F{i}" for i in range(1500)]),
    )
    with pytest.raises(DataError, match="no distance to take as the radius"):
        neighborhoods(file, output_dir=tmp_path / "out")
    with pytest.raises(UsageError, match="All cells are alone"):
        neighborhoods(file, radius=50, output_dir=tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"radius": 0}, "radius must be a number above 0"),
        ({"neighborhood": "box"}, "neighborhood must be one of"),
        ({"kernel": "box"}, "kernel must be one of"),
        ({"nearest": 5}, "--nearest belongs to --neighborhood knn, not to radius"),
        ({"neighborhood": "knn", "hops": 5}, "--hops belongs to --neighborhood hops"),
        ({"bandwidth": 5.0}, "no use without --kernel"),
        ({"neighborhood": "knn", "kernel": "linear"}, "needs --bandwidth"),
        ({"coordinates": ("x",)}, "two or three columns"),
        ({"formats": ("xlsx",)}, "format must be one of"),
        ({"metadata": (1,)}, "metadata must be names"),
    ],
)
def test_options_are_checked_before_anything_is_read(options, text):
    with pytest.raises(UsageError, match=text):
        NeighborhoodsOptions(**options)


def test_sizes_of_cells_are_no_measurements(tissue, expected, tmp_path):
    tissue.cells.assign(area=3.0, cell_size=5.0).to_csv(tmp_path / "m.csv", index=False)
    with open_either(tmp_path / "m.csv", ClusterOptions()) as table:
        assert table.features == expected.types


def test_what_cannot_be_a_feature_is_an_error_that_says_what_else_there_is(tissue, tmp_path):
    tissue.cells.assign(CD3=1.0).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(
        DataError, match=r"'group' hold text, such as 'Patient 1'.*add --neighborhood radius"
    ):
        open_either(tmp_path / "m.csv", ClusterOptions())


def test_types_that_no_cell_has_are_zero_in_a_counted_table_only(path, result):
    table = open_cells(path, ClusterOptions(radius=50.0))
    wider = with_types(table, ["Type 3", "Mast cell"])
    assert wider.features == (*table.features, "Mast cell")
    np.testing.assert_array_equal(wider.matrix[:, :-1], table.matrix)
    assert not wider.matrix[:, -1].any()
    assert any("'Mast cell'" in note for note in wider.notes)
    assert with_types(table, ["Type 3"]) is table
    with open_table(result.outputs["table"]) as given:
        assert with_types(given, ["Mast cell"]) is given


def test_new_cells_without_a_type_of_the_model_are_assigned(tissue, tmp_path):
    tissue.cells.to_csv(tmp_path / "a.csv", index=False)
    few = tissue.cells[tissue.cells["cell_meta_cluster"] != "Type 11"]
    few.to_csv(tmp_path / "b.csv", index=False)
    settings = {"n_components": 3, "output_dir": tmp_path / "a"}
    cluster(tmp_path / "a.csv", radius=50.0, **settings)
    found = cluster(tmp_path / "b.csv", model=str(tmp_path / "a"), output_dir=tmp_path / "b")
    assert found.coverage.missing == ()
    assert any("no cell is of the type 'Type 11'" in text for text in found.warnings)


def test_files_that_hold_no_cells_say_why(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(DataError, match="no named columns; save the cells as CSV"):
        neighborhoods(tmp_path / "a.npy", output_dir=tmp_path / "out")
    (tmp_path / "b.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 500)
    with pytest.raises(DataError, match="damaged or cut off"):
        neighborhoods(tmp_path / "b.h5ad", output_dir=tmp_path / "out")
