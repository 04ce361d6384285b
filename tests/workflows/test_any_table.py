"""Tables of any kind of rows: which columns identify them where nobody says."""

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError
from partwise.workflows import factorize, project
from partwise.workflows.any_table import open_any


def frame(n=6, p=3):
    values = np.random.default_rng(0).integers(1, 9, (n, p))
    return pd.DataFrame(values, columns=[f"g{j}" for j in range(p)])


def opened(table, path, **settings):
    table.to_csv(path, **settings)
    return open_any(path)


SAMPLES = [f"s{i}" for i in range(6)]


class TestIdentifiers:
    @pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
    def test_columns_of_texts(self, form, tmp_path):
        table = frame()
        table.insert(0, "sample", SAMPLES)
        table.insert(2, "tissue", ["skin", "", "gut", "gut", "skin", "eye"])
        path = tmp_path / f"t.{form}"
        if form == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep="," if form == "csv" else "\t")
        found = open_any(path)
        assert found.features == ("g0", "g1", "g2")
        assert found.ids.columns.tolist() == ["sample", "tissue"]
        assert found.ids["sample"].tolist() == SAMPLES
        np.testing.assert_array_equal(found.matrix, frame().to_numpy())
        assert "'sample', 'tissue'; --id-columns names others" in found.notes[0]

    def test_an_index_without_a_name(self, tmp_path):
        found = opened(frame().set_axis(SAMPLES), tmp_path / "t.csv")
        assert found.ids.columns.tolist() == ["name"]
        assert found.ids["name"].tolist() == SAMPLES
        assert "the first, without a name" in found.notes[0]

    def test_rows_that_are_counted(self, tmp_path):
        table = frame()
        table.insert(0, "cell", np.arange(1, 7))
        found = opened(table, tmp_path / "t.csv", index=False)
        assert found.ids.columns.tolist() == ["cell"]

    def test_columns_that_are_counted(self, tmp_path):
        found = opened(pd.DataFrame(frame().to_numpy()), tmp_path / "t.csv")
        assert found.features == ("0", "1", "2")

    def test_none(self, tmp_path):
        found = opened(frame(), tmp_path / "t.csv", index=False)
        assert found.ids["row"].tolist() == list(range(6))
        assert "all 3 columns are factorized" in found.notes[0]

    def test_features_that_are_asked_for_are_none(self, tmp_path):
        table = frame()
        table.insert(0, "count", np.arange(6))
        table.to_csv(tmp_path / "t.csv", index=False)
        assert open_any(tmp_path / "t.csv", features=["count", "g*"]).features[0] == "count"


class TestLeftToTheReader:
    def test_one_text_among_numbers_is_a_mistake(self, tmp_path):
        table = frame().astype(object)
        table.iloc[3, 1] = "many"
        with pytest.raises(DataError, match="column 'g1': 'many' is not a number"):
            opened(table, tmp_path / "t.csv", index=False)

    def test_some_of_the_usual_names(self, tmp_path):
        table = frame()
        table.insert(0, "fov", SAMPLES)
        with pytest.raises(DataError, match="identifier columns 'label', 'cell_meta_cluster'"):
            opened(table, tmp_path / "t.csv", index=False)

    def test_no_header(self, tmp_path):
        with pytest.raises(DataError, match="first line looks like data"):
            opened(frame(), tmp_path / "t.csv", index=False, header=False)

    def test_no_rows(self, tmp_path):
        with pytest.raises(DataError, match="a header but no rows"):
            opened(frame(0), tmp_path / "t.csv", index=False)


def test_jobs_take_them(tmp_path):
    """From a table as pandas writes it to a model, and one new row to its usage."""
    table = frame(30, 6).set_axis([f"s{i}" for i in range(30)])
    table.to_csv(tmp_path / "t.csv")
    fitted = factorize(tmp_path / "t.csv", n_components=2, output_dir=tmp_path / "out")
    usage = pd.read_csv(fitted.outputs["usage"], index_col="name")
    assert usage.shape == (30, 2)
    table.iloc[[4]].to_csv(tmp_path / "one.csv")
    found = project(fitted.outputs["model"], tmp_path / "one.csv", output_dir=tmp_path / "new")
    np.testing.assert_allclose(found.usage, fitted.usage[[4]], rtol=1e-3, atol=1e-4)
    (table.iloc[[4]] * 0).to_csv(tmp_path / "zero.csv")
    found = project(fitted.outputs["model"], tmp_path / "zero.csv", output_dir=tmp_path / "new")
    assert "no row has values other than zero" in found.lines()[1]
    (table * 0).to_csv(tmp_path / "zeros.csv")
    with pytest.raises(DataError, match="all values are zero"):
        factorize(tmp_path / "zeros.csv", n_components=2, output_dir=tmp_path / "out")


def test_cells_of_an_anndata_keep_their_names(tmp_path):
    import anndata

    adata = anndata.AnnData(frame().to_numpy("float32"), obs=pd.DataFrame(index=SAMPLES))
    adata.obs["batch"] = ["a", "a", "b", "b", "b", "a"]
    adata.write_h5ad(tmp_path / "t.h5ad")
    found = open_any(tmp_path / "t.h5ad", id_columns=["batch"])
    assert found.ids.columns.tolist() == ["cell", "batch"]
    assert found.ids["cell"].tolist() == SAMPLES
    assert not any("have the identifiers" in note for note in found.notes)


def test_files_of_an_earlier_run_are_told(tmp_path):
    frame(30, 6).to_csv(tmp_path / "t.csv")
    options = {"n_components": 2, "output_dir": tmp_path / "out"}
    first = factorize(tmp_path / "t.csv", formats=("parquet",), **options)
    assert not any("earlier run" in text for text in first.warnings)
    again = factorize(tmp_path / "t.csv", **options)
    told = next(text for text in again.warnings if "earlier run" in text)
    assert told.endswith("this one: t_usage.parquet, t_programs.parquet")
    assert "earlier run" in again.outputs["report"].read_text("utf-8")
