"""Samples and normalised fields of view in the cluster job."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import partwise
from partwise.exceptions import DataError, UsageError
from partwise.report import Report
from partwise.workflows import ClusterOptions, cluster
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.clustering.prepare import divide_by_group, group_means
from plain_report import write_plain


class Blocks:
    """A block source whose blocks have `step` rows."""

    def __init__(self, X, step):
        self.X, self.step, self.shape, self.dtype = X, step, X.shape, X.dtype

    def blocks(self, start, stop):
        for first in range(start, stop, self.step):
            yield first, self.X[first : min(first + self.step, stop)]


@pytest.fixture
def run(small_table, tmp_path, monkeypatch):
    """Run the job without figures, into a new folder each time."""
    count = iter(range(100))

    def job(table=small_table, *, figures=False, **options):
        with monkeypatch.context() as patch:
            patch.setattr(cluster_job, "write_report", write_plain)
            if not figures:
                patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
            folder = tmp_path / f"out{next(count)}"
            return cluster(table, n_components=5, output_dir=folder, **options)

    return job


@pytest.fixture(scope="module")
def frame(small_table):
    frame = pd.read_csv(small_table)
    frame["batch"] = np.where(np.arange(len(frame)) % 6 == 0, 2, 1)  # numbers, 100 and 500 cells
    return frame


def _saved(frame, tmp_path, name="cells"):
    frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path / f"{name}.csv"


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_and_division_for_all_kinds_of_matrices(kind, dtype):
    rng = np.random.default_rng(0)
    X = (rng.random((60, 5)) * (rng.random((60, 5)) < 0.6)).astype(dtype)
    codes = rng.integers(-1, 4, 60)
    X[codes == 2, 3] = 0
    means = group_means(kind(X), codes, 4)
    expected = np.stack([X[codes == g].astype(np.float64).mean(axis=0) for g in range(4)])
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    for step in (1, 7, 60):
        np.testing.assert_array_equal(group_means(Blocks(kind(X), step), codes, 4), means)
    codes = np.abs(codes)
    divided = divide_by_group(kind(X), codes, means)
    assert divided.dtype == dtype
    dense = divided.toarray() if sp.issparse(divided) else divided
    safe = np.where(means > 0, means, 1)[codes]
    np.testing.assert_allclose(dense, X / safe, rtol=1e-6)
    assert not dense[codes == 2, 3].any()
    source = divide_by_group(Blocks(kind(X), 7), codes, means)
    parts = [sp.csr_matrix(block).toarray() for _, block in source.blocks(3, 50)]
    np.testing.assert_array_equal(np.concatenate(parts), dense[3:50])


def test_fields_of_view_are_divided_by_their_means(run, frame, tmp_path):
    features = frame.columns[3:9]
    expected = frame.copy()
    expected[features] = frame[features] / frame.groupby("fov")[features].transform("mean")
    found = run(_saved(frame, tmp_path), features=tuple(features), normalize_by_fov=True)
    by_hand = run(_saved(expected, tmp_path, "divided"), features=tuple(features))
    np.testing.assert_allclose(
        found.factorization.relative_error, by_hand.factorization.relative_error, rtol=1e-4
    )
    same = found.rows.clustering.labels == by_hand.rows.clustering.labels
    assert same.mean() > 0.99
    record = json.loads(found.outputs["run"].read_text("utf-8"))
    step = {"step": "normalize_by_fov", "column": "fov"}
    assert record["parameters"]["normalize_by_fov"] is True
    assert record["results"]["preparation"] == [step]
    assert partwise.load(found.outputs["model"]).preparation_ == [step]


def test_a_cell_without_field_of_view_is_refused(run, frame, tmp_path):
    frame = frame.copy()
    frame.loc[4, "fov"] = None
    with pytest.raises(DataError, match="row 5 has no field of view"):
        run(_saved(frame, tmp_path), normalize_by_fov=True)


def test_a_table_without_fields_of_view_is_refused(run, frame, tmp_path):
    path = _saved(frame.rename(columns={"fov": "image"}), tmp_path)
    with pytest.raises(DataError, match="column 'fov' not found"):
        run(path, id_columns=("image", "label", "cell_meta_cluster"), normalize_by_fov=True)
    named = run(
        path,
        id_columns=("label", "cell_meta_cluster"),
        features=tuple(frame.columns[3:9]),
        fov_column="image",
        normalize_by_fov=True,
    )
    usual = run(_saved(frame, tmp_path), features=tuple(frame.columns[3:9]), normalize_by_fov=True)
    np.testing.assert_array_equal(named.rows.clustering.labels, usual.rows.clustering.labels)
    assert named.model.preparation_[0]["column"] == "image"


def test_few_cells_in_a_field_of_view_are_told(run, frame, tmp_path):
    frame = frame.copy()
    frame.loc[:2, "fov"] = "tiny"
    result = run(_saved(frame, tmp_path), normalize_by_fov=True)
    assert any("'tiny' (3)" in text for text in result.warnings)


def test_a_sample_has_the_same_share_of_each_stratum(run, frame, tmp_path):
    path = _saved(frame, tmp_path)
    options = {"subsample": "batch", "subsample_fraction": 0.5}
    result = run(path, figures=True, **options)
    table = pd.read_csv(result.outputs["clusters"])
    assert table["batch"].value_counts().to_dict() == {1: 250, 2: 50}
    assert result.n_cells == 300
    source = frame.set_index(["fov", "label"]).loc[
        list(zip(table["fov"], table["label"], strict=True))
    ]
    assert list(source["cell_meta_cluster"]) == list(table["cell_meta_cluster"])
    W = table.filter(like="NMF_factor").to_numpy()
    H = pd.read_csv(result.outputs["basis"], index_col=0)
    assert "batch" not in H.index
    X = source[H.index].to_numpy()
    error = np.linalg.norm(X - W @ H.to_numpy().T) / np.linalg.norm(X)
    assert error == pytest.approx(result.factorization.relative_error, rel=1e-3)
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["results"]["sample"] == {
        "stratified_by": "batch",
        "n_cells": 600,
        "n_sampled": 300,
        "n_strata": 2,
    }
    assert "Of the 600 cells of the table 300 were drawn" in result.outputs["report"].read_text(
        "utf-8"
    )
    other = pd.read_csv(run(path, seed=7, **options).outputs["clusters"])
    assert not table[["fov", "label"]].equals(other[["fov", "label"]])


def test_a_plain_sample(run, small_table):
    result = run(subsample_fraction=0.25, figures=True)
    assert result.n_cells == 150
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["results"]["sample"]["stratified_by"] is None
    assert record["parameters"]["subsample_fraction"] == 0.25
    assert "150 were drawn at random;" in result.outputs["report"].read_text("utf-8")
    fov = pd.read_csv(result.outputs["clusters"])["fov"].value_counts()
    assert fov.min() != fov.max()  # by fov they would be equal


def test_a_sample_from_disk_is_the_same(run, frame, tmp_path, monkeypatch):
    from partwise.workflows import sampling

    path = _saved(frame, tmp_path)
    options = {"subsample": "fov", "subsample_fraction": 0.3, "normalize_by_fov": True}
    result = run(path, features=tuple(frame.columns[3:9]), **options)
    real = cluster_job.open_either

    def on_disk(*args, **kwargs):
        table = real(*args, **{**kwargs, "memory_limit": 0})
        assert not table.in_memory
        return table

    monkeypatch.setattr(cluster_job, "open_either", on_disk)
    for limit in (sampling.MEMORY_LIMIT, 0):
        monkeypatch.setitem(sampling.take_rows.__kwdefaults__, "memory_limit", limit)
        same = run(path, features=tuple(frame.columns[3:9]), **options)
        assert same.outputs["clusters"].read_bytes() == result.outputs["clusters"].read_bytes()


def test_means_are_those_of_all_cells_also_of_a_sample(frame, tmp_path):
    from partwise.io import open_table
    from partwise.workflows.clustering.prepare import normalize_by_fov, prepare_cells

    options = ClusterOptions(subsample="fov", subsample_fraction=0.2, normalize_by_fov=True)
    with open_table(_saved(frame, tmp_path), metadata=["batch"]) as table:
        sample, prepared = prepare_cells(table, options)
        whole = normalize_by_fov(table)
        rows = whole.ids["label"].astype(str) + whole.ids["fov"].astype(str)
        drawn = sample.ids["label"].astype(str) + sample.ids["fov"].astype(str)
        np.testing.assert_array_equal(sample.matrix, whole.matrix[rows.isin(drawn).to_numpy()])
    assert prepared.strata["n_sampled"].sum() == 120


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subsample": "fov", "subsample_fraction": 1.5}, "from 0 to 1"),
        ({"subsample": "fov", "subsample_fraction": 0.0}, "above 0"),
        ({"subsample": ""}, "name of a column"),
        ({"normalize_by_fov": True, "fov_column": "none"}, "says there are none"),
    ],
)
def test_options_that_cannot_be_used(options, text):
    with pytest.raises(UsageError, match=text):
        ClusterOptions(**options)


def test_other_jobs_refuse_a_model_whose_preparation_they_cannot_repeat(run, frame, tmp_path):
    from partwise.workflows import project

    path = _saved(frame.drop(columns="batch"), tmp_path)
    result = run(path, normalize_by_fov=True)
    with pytest.raises(DataError, match="means of their fields of view"):
        project(result.outputs["model"], path, output_dir=tmp_path / "projected")
