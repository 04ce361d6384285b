"""`cluster --model` beyond the small: what it would take, within a limit, and gone on with."""

import dataclasses
import json

import numpy as np
import pytest

import partwise
from partwise.cli.app import run
from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.report import Report
from partwise.workflows import ClusterOptions, cluster, plan_cluster
from partwise.workflows.clustering import assign as assign_job
from partwise.workflows.clustering import assign_plan, assign_stages
from partwise.workflows.clustering import job as cluster_job
from partwise.workflows.plan import Shape


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    monkeypatch.setattr(assign_job, "build_report", lambda *_: Report("no figures"))


@pytest.fixture(scope="module")
def known(small_table, tmp_path_factory):
    """A folder with the model of a run."""
    folder = tmp_path_factory.mktemp("known")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_job, "build_report", lambda *_: Report("no figures"))
        cluster(small_table, n_components=4, output_dir=folder)
    return folder


def files(folder):
    unequal = {"run.json", "report.html"}  # times
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name not in unequal}


def stop(*arguments, **named):
    raise KeyboardInterrupt


def never(*arguments, **named):
    raise AssertionError("this was kept, and need not be done again")


def test_the_files_are_those_of_the_run(small_table, known, tmp_path):
    options = ClusterOptions(
        model=known, output_dir=tmp_path / "new", formats=("parquet", "h5ad"), maps=0
    )
    plan = plan_cluster(small_table, options=options)
    assert not (tmp_path / "new").exists()
    assert (plan.shape.n_rows, plan.shape.n_features) == (600, 6)
    assert plan.command.endswith("--format parquet,h5ad")
    cluster(small_table, options=options)
    assert set(plan.files) == {path.name for path in (tmp_path / "new").iterdir()}


def test_a_plan_refuses_what_the_run_refuses(small_table, known, tmp_path):
    with pytest.raises(UsageError, match="--resolution cannot be used with --model"):
        plan_cluster(small_table, options=ClusterOptions(model=known, resolution=0.5))
    with pytest.raises(DataError, match="no model"):
        plan_cluster(small_table, options=ClusterOptions(model=tmp_path))
    other = tmp_path / "other.csv"
    other.write_text("fov,label,cell_meta_cluster,A,B\nF,1,a,1,2\n")
    with pytest.raises(DataError, match="none of the model's 6 features"):
        plan_cluster(other, options=ClusterOptions(model=known))


def table_of(n, p):
    return Shape("t.csv", "text", n, True, tuple(f"f{j}" for j in range(p)), 3, False, 9 * n * p)


def test_memory_adds_up(known):
    """One case by hand: 10 million cells x 6 features, 4 programs."""
    found = assign_plan.known_niches(ClusterOptions(model=known))
    m = len(found.niches.usage)
    shape = table_of(10_000_000, 6)
    held = assign_plan.estimate_memory(shape, found.options, found)
    base = 365_000_000 + 10**7 * (4 * 6 + 20) + m * (20 * 4 + 100)
    assert held["report"] == base + 10**7 * (4 * 4 + 29) + 50_000_000
    streamed = assign_plan.estimate_memory(shape, found.options, found, streamed=True)
    assert held["project"] - streamed["project"] == 4 * 6 * 10**7
    more = dataclasses.replace(found.options, normalize_by_fov=True)
    assert assign_plan.estimate_memory(shape, more, found)["write"] > held["write"]


def test_memory_decides_between_holding_and_streaming(known, monkeypatch):
    found = assign_plan.known_niches(ClusterOptions(model=known))
    wide = table_of(500_000, 500)
    monkeypatch.setattr(assign_plan, "shape_of", lambda *a: wide)

    def granted(n_bytes):
        options = dataclasses.replace(found.options, memory=f"{n_bytes}")
        return assign_plan.memory_to_assign("t.csv", options, found)

    whole, streamed = (
        max(assign_plan.estimate_memory(wide, found.options, found, streamed=s).values())
        for s in (False, True)
    )
    assert granted(whole) == wide.values
    assert granted(whole - 1) == granted(streamed) == 0
    with pytest.raises(ResourceError, match="was not started"):
        granted(streamed - 1)


def test_too_little_memory_is_refused_before_anything_is_written(
    small_table, known, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = ["cluster", str(small_table), "--model", str(known)]
    assert run([*command, "--memory", "200MB"]) == 4
    said = capsys.readouterr().err
    assert "was not started" in said
    assert "What helps: --memory " in said
    assert run([*command, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["n_rows"] == 600
    assert set(plan["estimated_memory_bytes"]) >= {"project", "assign"}
    assert list(tmp_path.iterdir()) == []


def test_values_from_disk_give_the_same_files(small_table, known, tmp_path, monkeypatch):
    cluster(small_table, model=known, output_dir=tmp_path / "held")
    monkeypatch.setattr(assign_job, "memory_to_assign", lambda *a: 0)
    cluster(small_table, model=known, output_dir=tmp_path / "read", memory="4GB")
    assert files(tmp_path / "held") == files(tmp_path / "read")


@pytest.mark.parametrize("n_done", [0, 1, 3])
def test_resumed_files_are_equal(small_table, known, tmp_path, monkeypatch, n_done):
    """Interrupted after so many of the six blocks of cells."""
    monkeypatch.setattr(assign_stages, "CELLS", 100)
    whole = cluster(small_table, model=known, output_dir=tmp_path / "whole")
    vote, voted = assign_stages._vote, []

    def interrupted(*arguments):
        if len(voted) == n_done:
            raise KeyboardInterrupt
        voted.append(len(arguments[0]))
        return vote(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(assign_stages, "_vote", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            cluster(small_table, model=known, output_dir=tmp_path / "part")
    assert caught.value.__notes__[0].endswith("--resume")
    counted = []

    def counting(*arguments):
        counted.append(len(arguments[0]))
        return vote(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(assign_stages, "_vote", counting)
        patch.setattr(assign_stages, "unexplained_of", never)
        again = cluster(small_table, model=known, output_dir=tmp_path / "part", resume=True)
    assert counted == [100] * (6 - n_done)
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    assert [p.name for p in (tmp_path / "part").iterdir() if p.name.startswith(".")] == []
    np.testing.assert_array_equal(again.unseen, whole.unseen)


def test_another_model_starts_anew(small_table, known, tmp_path, monkeypatch, caplog):
    model = partwise.load(known / f"{small_table.stem}_nmf_model.npz")
    partwise.save(model, tmp_path / "model.npz")
    options = {"model": tmp_path / "model.npz", "output_dir": tmp_path / "new"}
    with monkeypatch.context() as patch:
        patch.setattr(assign_job, "compare_niches", stop)
        with pytest.raises(KeyboardInterrupt):
            cluster(small_table, **options)
    model.niches_ = {**model.niches_, "unexplained": 0.5}
    partwise.save(model, tmp_path / "model.npz")
    cluster(small_table, resume=True, **options)
    assert "the input is another, or has changed" in caplog.text
