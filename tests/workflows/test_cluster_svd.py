"""`--svd` of the cluster job."""

import json

import numpy as np
import pandas as pd
import pytest

from partwise.report import Report
from partwise.workflows import cluster
from partwise.workflows.clustering import job as cluster_job
from plain_report import write_plain


def test_file_record_and_report(small_table, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_job, "write_report", write_plain)
    result = cluster(small_table, n_components=3, svd=True, output_dir=tmp_path / "out")
    table = pd.read_csv(result.outputs["svd"])
    assert list(table.columns) == ["component", "singular_value", "share", "cumulative"]
    X = pd.read_csv(small_table).iloc[:, 3:].to_numpy()
    values = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(table["singular_value"], values, rtol=1e-5, atol=1e-9)
    cumulative = np.cumsum(values**2) / np.sum(values**2)
    np.testing.assert_allclose(table["cumulative"], cumulative, rtol=1e-5)
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    counts = {f"{s:g}": int((cumulative < s).sum()) + 1 for s in (0.9, 0.95, 0.99)}
    assert record["results"]["svd"]["n_components"] == counts
    assert record["parameters"]["svd"] is True
    html = result.outputs["report"].read_text("utf-8")
    assert f"90 % of the variance: {counts['0.9']} components" in html
    assert "with the mean of each feature taken away" in html
    assert "svd: 90 % of" in "\n".join(result.lines())


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_values_that_do_not_vary(tmp_path, monkeypatch, value):
    monkeypatch.setattr(cluster_job, "write_report", write_plain)
    frame = pd.DataFrame({"fov": "F", "label": range(9), "cell_meta_cluster": "a"})
    frame["A"] = frame["B"] = value
    frame.to_csv(tmp_path / "flat.csv", index=False)
    result = cluster(tmp_path / "flat.csv", n_components=1, svd=True, output_dir=tmp_path / "out")
    assert result.svd.sentence.startswith("the values do not vary")
    assert not pd.read_csv(result.outputs["svd"])["share"].any()


def test_without_it_there_is_no_file(small_table, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    result = cluster(small_table, n_components=3, output_dir=tmp_path / "out")
    assert "svd" not in result.outputs
    assert "svd" not in result.summary
