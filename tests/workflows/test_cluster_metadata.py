"""Clusters beside metadata: columns, profiles, compositions, the report by column."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.io import Table
from partwise.workflows import cluster
from partwise.workflows.clustering.metadata import (
    Column,
    crosstab,
    enrichment_figure,
    normalized_entropy,
    profiles_of,
)


def _column(values, name="column"):
    return Column.of(pd.Series(values, name=name))


def test_columns_that_name_and_columns_that_measure():
    batch = _column(["10", "9", "", "9"])
    assert batch.numbers is None
    assert list(batch.names.cat.categories) == ["9", "10"]
    assert batch.names.cat.codes.tolist() == [1, 0, -1, 0]
    area = _column([f"{i}.5" for i in range(20)] + [None, ""])
    assert area.names is None
    np.testing.assert_array_equal(area.numbers[:20], np.arange(20) + 0.5)
    assert area.numbers[20:].isna().all()
    mixed = _column(["2", "a", "10", " a"])
    assert list(mixed.names.cat.categories) == ["2", "10", "a"]
    fovs = _column(["F 10", "F 9", "F 9b", "E", "9"])
    assert list(fovs.names.cat.categories) == ["9", "E", "F 9", "F 9b", "F 10"]
    codes = _column(pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"]))
    assert list(codes.names.cat.categories) == ["a", "b"]
    assert codes.names.tolist() == ["b", "a", "b"]
    assert _column([1, 2, 1]).names.tolist() == ["1", "2", "1"]
    assert _column([None, None]).names.isna().all()
    label = _column(pd.array([*range(50), None], dtype="Int64"))
    assert label.names is None
    assert label.numbers.isna().sum() == 1
    many = Column.of(pd.Series([f"cell {i}" for i in range(30)]), most=20)
    assert many.names is None
    assert many.numbers is None


def test_counts_by_value_and_cluster():
    labels = np.array([0, 0, 1, -1, -2, 1, 0, 0], np.int32)
    counts = crosstab(labels, _column(["b", "a", "a", "a", "b", None, "b", "b"]))
    assert counts.columns.tolist() == [-2, -1, 0, 1]
    assert counts.loc["a"].tolist() == [0, 1, 1, 1]
    assert counts.loc["b"].tolist() == [1, 0, 3, 0]
    without = crosstab(np.maximum(labels, 0), _column(list("baaabbbb")))
    assert without.columns.tolist() == [0, 1]
    assert crosstab(labels, _column(list("aaaaaaaa"))) is None
    assert crosstab(labels, _column(list("abcdefgh"))) is None


def test_entropy():
    counts = pd.DataFrame({-1: [9, 0, 0], 0: [4, 4, 4], 1: [6, 0, 0], 2: [2, 2, 0], 3: [0, 0, 0]})
    by_cluster, overall = normalized_entropy(counts)
    assert by_cluster.index.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(by_cluster, [1, 0, np.log(2) / np.log(3), np.nan])
    shares = np.array([21, 6, 4]) / 31
    assert overall == pytest.approx(-(shares * np.log(shares)).sum() / np.log(3))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_profiles(tmp_path, kind):
    rng = np.random.default_rng(0)
    X = rng.random((90, 4)) * (rng.random((90, 4)) < 0.7)
    X[:, 3] = 2.5
    labels = rng.integers(-2, 3, 90).astype(np.int32)
    table = Table(tmp_path, "t", "npy", pd.DataFrame(index=range(90)), tuple("ABCD"), kind(X))
    profiles = profiles_of(table, labels, 3)
    means = np.stack([X[labels == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(profiles.means, means)
    scores = (means - X.mean(axis=0))[:, :3] / X.std(axis=0)[:3]
    np.testing.assert_allclose(profiles.scores.iloc[:, :3], scores)
    assert not profiles.scores["D"].any()


def test_enrichment_is_in_doublings():
    counts = pd.DataFrame({-1: [100, 0], 0: [299, 99], 1: [0, 202]}, index=["a", "b"])
    counts.index.name = "type"
    table = enrichment_figure(counts).table.data
    expected = 399 * 398 / 700
    assert table.loc["a", 0] == pytest.approx(np.log2(300 / (expected + 1)))
    assert list(table.columns) == [0, 1]


@pytest.fixture(scope="module")
def described(small_table, tmp_path_factory):
    """A run on a table with a batch in numbers, a patient, an area and a remark for every cell."""
    folder = tmp_path_factory.mktemp("described")
    frame = pd.read_csv(small_table)
    rng = np.random.default_rng(0)
    frame.insert(4, "batch", rng.integers(1, 4, len(frame)))
    frame["patient"] = np.where(frame["cell_meta_cluster"] == "Fibroblast", "P1", "P2")
    frame["area"] = rng.normal(100, 10, len(frame)).round(2)
    frame["remark"] = [f"remark {i}" for i in range(len(frame))]
    frame["site"] = "here"
    frame.to_csv(folder / "cells.csv", index=False)
    columns = ("batch", "patient", "area", "remark", "site")
    result = cluster(
        folder / "cells.csv", n_components=5, color_by=columns, output_dir=folder / "out"
    )
    return result, frame


def test_columns_to_colour_by_are_no_features(described):
    result, frame = described
    assert set(result.features) == set(frame.columns[3:]) - {
        "batch",
        "patient",
        "area",
        "remark",
        "site",
    }
    table = pd.read_csv(result.outputs["clusters"])
    assert table["batch"].tolist() == frame["batch"].tolist()
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["parameters"]["color_by"] == ["batch", "patient", "area", "remark", "site"]


def test_the_report_has_a_part_for_each_column(described):
    html = described[0].outputs["report"].read_text("utf-8")
    for text in (
        "Clusters by batch",
        "How well clusters mix batch",
        "Cells in the plane by batch",
        "How well clusters mix patient",
        "area by cluster",
        "Cells in the plane by area",
        "Cells in the plane by remark",
        "What the cells of each cluster have around them",
        "More and less common cell_meta_cluster in each cluster",
    ):
        assert html.count(f"{text}<") + html.count(f"{text}.") >= 1, text
    assert "How well clusters mix remark" not in html
    assert html.count("Clusters by batch") == html.count("Clusters by patient")


def test_columns_that_say_little_are_told(described):
    warnings = "\n".join(described[0].warnings)
    assert "'site' has the same value in all cells" in warnings
    assert "'remark' has 600 different values" in warnings
    assert "'batch'" not in warnings


def test_means_are_written(described):
    result, frame = described
    table = pd.read_csv(result.outputs["means"])
    labels = result.rows.clustering.labels
    assert list(table.columns) == ["cluster", "n_cells", *result.features]
    assert table["n_cells"].tolist() == np.bincount(labels).tolist()
    means = frame[list(result.features)].groupby(labels).mean()
    np.testing.assert_allclose(table[list(result.features)], means, rtol=1e-5)


def test_a_column_that_is_not_there(small_table, tmp_path):
    with pytest.raises(DataError, match="column 'batch' not found"):
        cluster(small_table, color_by="batch", output_dir=tmp_path / "out")
