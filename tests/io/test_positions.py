"""Positions of cells: recognised, read as numbers, kept beside the identifiers."""

import anndata
import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError
from partwise.io import open_table
from partwise.io.positions import known_coordinates, numbers_of

HEAD = "fov,label,cell_meta_cluster"
ROWS = "F,1,T,{},1,2\nF,2,U,{},3,4\n"


def write(tmp_path, text):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["x", "y"], ("x", "y")),
        (["z", "y", "x", "fov"], ("x", "y", "z")),
        (["x", "Y"], ()),
        (["centroid-1", "x", "centroid-0", "y"], ("centroid-0", "centroid-1")),
        (["X_centroid", "Y_centroid"], ("X_centroid", "Y_centroid")),
    ],
)
def test_known_names(names, found):
    assert known_coordinates(names) == found


def test_positions_beside_identifiers_are_numbers_and_no_features(tmp_path):
    path = write(tmp_path, f"{HEAD},centroid-0,A,B\nF,1,T,-1.5,1,2\nF,2,U,2e3,3,4\n")
    path.write_text(f"{HEAD},centroid-0,centroid-1,A,B\nF,1,T,-1.5,0.10,1,2\nF,2,U,2e3,7,3,4\n")
    table = open_table(path)
    assert table.features == ("A", "B")
    assert table.coordinates == ("centroid-0", "centroid-1")
    assert table.ids["centroid-0"].tolist() == [-1.5, 2000.0]
    assert table.ids["centroid-1"].dtype == np.float64
    assert table.notes == (
        "'centroid-0', 'centroid-1' say where a cell is: kept beside the identifiers, not "
        "factorized (name them with --features if they are measurements)",
    )


def test_parquet_and_text_agree(tmp_path):
    frame = pd.DataFrame(
        {"fov": ["F", "F"], "label": [1, 2], "cell_meta_cluster": ["T", "U"],
         "x": [0.1, 1 / 3], "y": [-5.0, 1e-12], "A": [1.0, 2.0]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.parquet", "a.csv"):
        table = open_table(tmp_path / name)
        np.testing.assert_array_equal(table.ids[["x", "y"]], frame[["x", "y"]])
        assert table.coordinates == ("x", "y")


def test_positions_named_as_features_are_features(tmp_path):
    path = write(tmp_path, f"{HEAD},x,y,A\n" + ROWS.format(1, 2))
    table = open_table(path, features=["x", "y", "A"])
    assert table.features == ("x", "y", "A")
    assert table.coordinates == ()
    assert open_table(path, features=["A"]).coordinates == ("x", "y")


def test_without_fov_and_label_nothing_is_recognised(tmp_path):
    path = write(tmp_path, f"{HEAD},x,y,A\n" + ROWS.format(1, 2))
    table = open_table(path, id_columns=["fov", "cell_meta_cluster"])
    assert table.features == ("label", "x", "y", "A")
    named = open_table(path, id_columns=["fov", "cell_meta_cluster"], coordinates=["x", "y"])
    assert named.features == ("label", "A")
    assert named.coordinates == ("x", "y")


def test_decimal_commas(tmp_path):
    path = write(tmp_path, "fov;label;cell_meta_cluster;x;y;A\nF;1;T;1,5;2,5;3\nF;2;T;-1;0,5;4\n")
    assert open_table(path).ids["x"].tolist() == [1.5, -1.0]


def test_identifiers_alone(tmp_path):
    path = write(tmp_path, f"{HEAD},x,y\nF,1,T,1,2\nF,2,U,3,4\n")
    table = open_table(path, features=[])
    assert table.shape == (2, 0)
    assert table.features == ()
    assert table.coordinates == ("x", "y")
    pd.read_csv(path).to_parquet(tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet", features=[]).ids["y"].tolist() == [2.0, 4.0]


def test_h5ad_positions(tmp_path):
    obs = pd.DataFrame({"fov": ["F", "F"], "cell_meta_cluster": ["T", "U"]}, index=["a", "b"])
    adata = anndata.AnnData(obs=obs, obsm={"spatial": np.array([[1.0, 2.0], [-3.0, 4.5]])})
    adata.write_h5ad(tmp_path / "a.h5ad")
    table = open_table(tmp_path / "a.h5ad", features=[], coordinates=["spatial"])
    assert list(table.ids.columns) == ["cell", "fov", "cell_meta_cluster", "spatial-0", "spatial-1"]
    assert table.coordinates == ("spatial-0", "spatial-1")
    assert table.ids["spatial-0"].tolist() == [1.0, -3.0]
    del adata.obsm["spatial"]
    adata.write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(DataError, match=r"no obsm\['spatial'\] \(obsm: none\)"):
        open_table(tmp_path / "b.h5ad", features=[], coordinates=["spatial"])


@pytest.mark.parametrize("text", ["", "nan", "left", "inf"])
def test_what_is_no_position_is_refused_with_its_row(tmp_path, text):
    path = write(tmp_path, f"{HEAD},x,y,A\n" + f"F,1,T,1,1,2\nF,2,U,{text},3,4\n")
    table = open_table(path)
    assert table.features == ("A",)
    with pytest.raises(DataError, match=r"row 2, column 'x': .* is no position"):
        numbers_of(table.ids["x"], path=path, name="x")
