"""Many settings in one run."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from partwise.exceptions import DataError, UsageError
from partwise.graph.representation import clustering_space
from partwise.metrics import adjusted_rand
from partwise.report import Report
from partwise.workflows import ClusterOptions, cluster
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.clustering import sweep as cluster_sweep
from partwise.workflows.clustering.settings import as_texts, read_settings, resolve_settings
from plain_report import write_plain

GRID = [(4, 15, 0.1), (4, 8, 0.1), (4, 15, 1.0), (5, 15, 1.0), (5, 8, 1.0)]
NAMES = ["n4_k15_r0.1", "n4_k8_r0.1", "n4_k15_r1", "n5_k15_r1", "n5_k8_r1"]


@pytest.fixture(scope="module")
def run(small_table, tmp_path_factory):
    """Run the job, without figures unless asked, into a new folder each time."""

    def job(*, figures=False, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster_job, "write_report", write_plain)
            if not figures:
                patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
            return cluster(small_table, output_dir=tmp_path_factory.mktemp("out"), **options)

    return job


@pytest.fixture(scope="module")
def result(run):
    return run(settings=GRID, figures=True)


def test_every_setting_gives_the_clusters_of_a_run_of_its_own(result, run, small_table):
    X = pd.read_csv(small_table).iloc[:, 3:].to_numpy(np.float32)
    table = pd.read_csv(result.outputs["settings_clusters"])
    assert list(table.columns) == ["fov", "label", "cell_meta_cluster", *NAMES]
    compared = pd.read_csv(result.outputs["settings"], index_col=0)
    for (n, k, r), name in zip(GRID, NAMES, strict=True):
        alone = run(n_components=n, n_neighbors=k, resolution=r)
        clusters = pd.read_csv(alone.outputs["clusters"])
        np.testing.assert_array_equal(table[name], clusters["leiden_cluster"], err_msg=name)
        row = compared.loc[name]
        assert tuple(row[["n_components", "n_neighbors", "resolution"]]) == (n, k, r)
        assert row["relative_error"] == pytest.approx(alone.factorization.relative_error)
        assert row["n_clusters"] == alone.rows.clustering.n_clusters
        assert row["min_cluster_size"] == alone.rows.clustering.sizes.min()
        assert row["modularity"] == pytest.approx(alone.rows.clustering.quality)
        space = clustering_space(alone.model.transform(X), alone.model.components_)
        width = silhouette_score(space, alone.rows.clustering.labels)
        assert row["silhouette"] == pytest.approx(width, abs=1e-3)
        first = adjusted_rand(table[NAMES[0]], table[name])
        assert row["adjusted_rand_to_first"] == pytest.approx(first)


def test_everything_else_is_about_the_first(result, run):
    alone = run(n_components=4)
    for kind in ("clusters", "basis"):
        assert result.outputs[kind].read_bytes() == alone.outputs[kind].read_bytes()
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert record["parameters"]["settings"] == [
        "4 15 0.1",
        *(" ".join(map(str, s)) for s in GRID[1:]),
    ]
    assert record["parameters"]["n_components"] == 4
    assert [row["setting"] for row in record["results"]["settings"]] == NAMES
    assert "--n-components" not in record["command"]
    html = result.outputs["report"].read_text("utf-8")
    assert "5 settings were run; this report is about the first, n4_k15_r0.1" in html
    assert "Agreement of the settings" in html


def test_work_is_shared(run, monkeypatch):
    fits, searches = [], []
    fit, graphs = cluster_sweep.fit_table, cluster_sweep.RowGraphs
    monkeypatch.setattr(
        cluster_sweep,
        "fit_table",
        lambda t, o, *rest: fits.append(o.n_components) or fit(t, o, *rest),
    )
    monkeypatch.setattr(
        cluster_sweep,
        "RowGraphs",
        lambda space, ks, **rest: searches.append(ks) or graphs(space, ks, **rest),
    )
    run(settings=GRID)
    assert fits == [5]  # four factors were fitted by the first setting
    assert searches == [[8, 15], [8, 15]]


def test_metric_shares_and_small_clusters_hold_for_every_setting(run):
    options = {"metric": "cosine", "min_cluster_size": 40, "small": "mark"}
    result = run(settings=["5 15 0.1", "5 15 2.0", "4 10 2.0"], **options)
    table = pd.read_csv(result.outputs["settings_clusters"])
    for n, k, r, name in ((5, 15, 2.0, "n5_k15_r2"), (4, 10, 2.0, "n4_k10_r2")):
        alone = run(n_components=n, n_neighbors=k, resolution=r, **options)
        labels = pd.read_csv(alone.outputs["clusters"])["leiden_cluster"]
        np.testing.assert_array_equal(table[name], labels)
        assert (labels == -2).sum() == result.sweep.table.loc[name, "n_unclustered"]


def test_an_interrupted_run_goes_on(run, small_table, tmp_path, monkeypatch):
    full = run(settings=GRID)
    real, done = cluster_sweep.settle_small, []

    def fails(*args, **kwargs):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cluster_sweep, "settle_small", fails)
        cluster(small_table, settings=GRID, output_dir=tmp_path)
    monkeypatch.setattr(cluster_sweep, "fit_table", None)  # all was fitted before
    again = cluster(small_table, settings=GRID, output_dir=tmp_path, resume=True)
    for kind in ("settings", "settings_clusters", "clusters"):
        assert again.outputs[kind].read_bytes() == full.outputs[kind].read_bytes()


FILES = {
    "lines": "# the original's\n5 60 0.05\n\n  5 60 0.10  # twice\n5\t60\t0.1\n",
    "table": "n,k,r\n5,60,0.05\n5,60,0.1\n",
    "grid": "n_components;score;n_neighbors;resolution\n5;0.9;60;0.05\n5.0;nan;60;1e-1\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_files(tmp_path, kind):
    path = tmp_path / "settings.txt"
    path.write_text(FILES[kind], encoding="utf-8-sig")
    settings, files = resolve_settings([str(path)])
    assert settings == ((5, 60, 0.05), (5, 60, 0.1))
    assert files == (path,)


def test_a_file_is_an_input_of_the_run(run, tmp_path):
    path = tmp_path / "settings.txt"
    path.write_text("3 15 0.1\n3 15 0.5\n")
    result = run(settings=path)
    record = json.loads(result.outputs["run"].read_text("utf-8"))
    assert [entry["path"] for entry in record["inputs"]][1].endswith("settings.txt")
    assert len(result.sweep.runs) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 60\n", "line 1 has 2 values"),
        ("5 60 0.1\n5 0 0.1\n", "line 2: 5 0 0.1 is not a setting"),
        ("5.5 60 0.1\n", "is not a setting"),
        ("5 60 inf\n", "is not a setting"),
        ("# nothing\n", "no setting in the file"),
        ("n,k\n5,60\n", "columns resolution are not there"),
        ("n,k,r\n5,60\n", "line 2 has only 2 values"),
        ("\x00\x01binary\n", "not there once each"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "settings.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_settings(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["nowhere.txt"], "neither three numbers"),
        (["5 15"], "is not a setting"),
        (["5 15 0"], "is not a setting"),
        ([f"5 {k} 0.1" for k in range(1, 300)], "more than the 200"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(UsageError, match=message):
        resolve_settings(settings)


def test_values_that_are_no_settings():
    for bad in ([(5, 15)], [5], [""]):
        with pytest.raises(UsageError, match="setting"):
            ClusterOptions(settings=bad)
    assert as_texts(None) == ()


def test_either_settings_or_single_options(small_table, tmp_path):
    with pytest.raises(UsageError, match="either settings or n_neighbors"):
        cluster(small_table, settings=["5 15 0.1"], n_neighbors=20, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
