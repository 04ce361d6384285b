"""Groups of patients compared by their niches: files, statements, and designs that are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.metrics import compare_fractions
from partwise.report import Report
from partwise.workflows import cluster
from partwise.workflows.clustering import compare as cluster_compare
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.clustering.compare import compare_niches, read_design


def cells(per_patient=60, patients=8, seed=0):
    """Cells in three niches; the second group has more of niche 0."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), per_patient)
    group = np.where(patient < patients // 2, "control", "case")
    shares = np.where(group[:, None] == "case", [[0.6, 0.3, 0.1]], [[0.2, 0.6, 0.2]])
    labels = (rng.random(len(patient))[:, None] > shares.cumsum(axis=1)).sum(axis=1)
    ids = pd.DataFrame({"donor": [f"P{i}" for i in patient], "diagnosis": group})
    return ids, labels.astype(np.int32)


def test_fractions_are_those_of_patients():
    ids, labels = cells()
    labels[:7] = -1
    found = compare_niches(read_design(ids, "diagnosis", "donor"), labels, 3, seed=1)
    known = labels >= 0
    counts = pd.crosstab(ids["donor"][known], labels[known])
    expected = compare_fractions(counts, ["control"] * 4 + ["case"] * 4, random_state=1)
    np.testing.assert_array_equal(found.result.test.p_values, expected.test.p_values)
    table, patients = found.table, found.patients
    assert list(table["cluster"]) == [0, 1, 2]
    assert (table["group_a"] == "case").all()
    assert (table["group_b"] == "control").all()
    own = patients.groupby("group")["cluster_0"].mean()
    assert table["difference"][0] == pytest.approx(own["control"] - own["case"])
    assert table["low"][0] < table["difference"][0] < table["high"][0] < 0
    assert patients["n_cells"].tolist() == counts.sum(axis=1).tolist()
    np.testing.assert_allclose(patients.filter(like="cluster_").sum(axis=1), 1)
    assert "2 of 3 clusters differ" in found.line or "3 of 3 clusters differ" in found.line


def test_what_few_patients_can_show_is_said():
    ids, labels = cells(patients=6)
    found = compare_niches(read_design(ids, "diagnosis", "donor"), labels, 3, seed=0)
    assert any("(3, 3) no p-value of --compare diagnosis can be below 0.1" in t
               for t in found.warnings)  # fmt: skip
    ids, labels = cells(patients=8)
    found = compare_niches(read_design(ids, "diagnosis", "donor"), labels, 3, seed=0)
    assert any("3 clusters a cluster that differs alone cannot reach" in t for t in found.warnings)
    ids, labels = cells(patients=14, per_patient=30)
    found = compare_niches(read_design(ids, "diagnosis", "donor"), labels, 3, seed=0)
    assert [t for t in found.warnings if "p-value" in t] == []
    assert any("14 of 14 patients have fewer than 50 cells" in t for t in found.warnings)


def test_cells_that_are_of_nobody_are_left_out():
    ids, labels = cells()
    ids.loc[:9, "donor"] = ""
    ids.loc[100:104, "diagnosis"] = None
    design = read_design(ids, "diagnosis", "donor")
    assert (design.codes < 0).sum() == 15
    labels[ids["donor"] == "P3"] = -1
    found = compare_niches(design, labels, 3, seed=0)
    assert len(found.patients) == 7
    assert any("15 cells without 'diagnosis' or 'donor'" in text for text in found.warnings)
    assert any("1 of 8 patients have no cell in a cluster" in text for text in found.warnings)


def test_designs_that_are_refused():
    ids, _ = cells()
    with pytest.raises(DataError, match=r"--by names the column 'patient'.*'donor', 'diagnosis'"):
        read_design(ids, "diagnosis", "patient")
    with pytest.raises(UsageError, match="the same column"):
        read_design(ids, "donor", "donor")
    mixed = ids.copy()
    mixed.loc[0, "diagnosis"] = "case"
    with pytest.raises(DataError, match="donor 'P0' is in two groups of 'diagnosis', 'case' and"):
        read_design(mixed, "diagnosis", "donor")
    with pytest.raises(DataError, match=r"the group 'P0' of 'donor' has one|is in two groups"):
        read_design(ids.assign(site=ids["donor"]), "donor", "site")
    with pytest.raises(DataError, match="two groups or more; there is only 'case'"):
        read_design(ids[ids["diagnosis"] == "case"], "diagnosis", "donor")
    with pytest.raises(DataError, match="two groups or more; there is none at all"):
        read_design(ids.assign(diagnosis=""), "diagnosis", "donor")


def test_three_groups():
    ids, labels = cells(patients=12)
    names = {f"P{i}": "abc"[i % 3] for i in range(12)}
    ids["site"] = ids["donor"].map(names)
    found = compare_niches(read_design(ids, "site", "donor"), labels, 3, seed=0)
    table = found.table
    assert len(table) == 9
    assert set(zip(table["group_a"], table["group_b"], strict=True)) == {
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    }
    assert table.groupby("cluster")["p_value"].nunique().tolist() == [1, 1, 1]
    (section,) = cluster_compare.comparison_sections(found)
    assert "all pairs of groups together" in section.paragraphs[1]


def test_the_job_compares_and_refuses_before_the_work(small_table, tmp_path, monkeypatch):
    frame = pd.read_csv(small_table)
    names = sorted(frame["fov"].unique())
    frame["donor"] = frame["fov"].map({name: f"D{i}" for i, name in enumerate(names)})
    frame["arm"] = frame["fov"].map({name: "xy"[i % 2] for i, name in enumerate(names)})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    run = {"n_components": 5, "output_dir": tmp_path / "out", "compare": "arm"}
    result = cluster(path, **run, by="donor")
    table = pd.read_csv(result.outputs["compare"])
    np.testing.assert_array_equal(table["p_value"], result.compared.result.test.p_values)
    assert len(pd.read_csv(result.outputs["compare_patients"])) == len(names)
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["results"]["compare"]["patients"] == {"x": 3, "y": 3}
    assert result.summary["compare"]["smallest_p"] == pytest.approx(0.1)
    assert result.compared.line in result.lines()
    assert "--compare arm --by donor" in record["command"]

    def never(*_):
        raise AssertionError("the work had begun")

    monkeypatch.setattr(cluster_job, "fit_table", never)
    frame.loc[0, "arm"] = "y"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match="is in two groups of 'arm'"):
        cluster(path, **run, by="donor")
    with pytest.raises(UsageError, match="compare needs by"):
        cluster(path, **run)
    with pytest.raises(UsageError, match="by needs compare"):
        cluster(path, by="donor")
