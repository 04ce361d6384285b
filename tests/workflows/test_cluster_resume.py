"""What the cluster job keeps gives the same files as what it computes."""

import pytest

from partwise.workflows import cluster


def _stop(*arguments, **named):
    raise KeyboardInterrupt


def _never(*arguments, **named):
    raise AssertionError("this was kept, and need not be done again")


def files(folder):
    unequal = {"run.json", "report.html"}  # times; test_resume compares the rest of the report
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name not in unequal}


@pytest.fixture(scope="module", params=["hals", "minibatch"])
def whole(request, small_table, tmp_path_factory):
    """Options, and the files of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    settings = {"n_components": 4, "solver": request.param, "max_iter": 20}
    cluster(small_table, output_dir=folder, **settings)
    return settings, files(folder)


def test_resumed_files_are_equal(whole, small_table, tmp_path, monkeypatch):
    settings, expected = whole
    with monkeypatch.context() as patch:
        patch.setattr("partwise.workflows.clustering.job.compare_with_raw", _stop)
        with pytest.raises(KeyboardInterrupt) as caught:
            cluster(small_table, output_dir=tmp_path / "part", **settings)
    assert "--resume" in caught.value.__notes__[0]
    with monkeypatch.context() as patch:
        patch.setattr("partwise.workflows.clustering.job.fit_table", _never)
        patch.setattr("partwise.workflows.clustering.job.cluster_space", _never)
        result = cluster(small_table, output_dir=tmp_path / "part", resume=True, **settings)
    assert files(tmp_path / "part") == expected
    assert result.factorization.wall_time > 0
    assert [p for p in (tmp_path / "part").iterdir() if p.name.startswith(".")] == []


def test_damaged_units_are_done_again(whole, small_table, tmp_path, monkeypatch, caplog):
    settings, expected = whole
    if settings["solver"] != "hals":
        pytest.skip("one solver is enough")
    with monkeypatch.context() as patch:
        patch.setattr("partwise.workflows.clustering.job.compare_with_raw", _stop)
        with pytest.raises(KeyboardInterrupt):
            cluster(small_table, output_dir=tmp_path / "part", **settings)
    units = list(tmp_path.glob("part/.partwise-state-cluster/*.unit"))
    for path in units:
        path.write_bytes(path.read_bytes()[:-3])
    # values that are read from disk, as with --memory, give the same bits
    monkeypatch.setattr("partwise.workflows.clustering.job.memory_for_values", lambda *a: 0)
    cluster(small_table, output_dir=tmp_path / "part", resume=True, **settings)
    assert len(units) == 2
    assert caplog.text.count("is damaged") == 2
    assert files(tmp_path / "part") == expected


def test_other_options_start_anew(small_table, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("partwise.workflows.clustering.job.compare_with_raw", _stop)
        with pytest.raises(KeyboardInterrupt):
            cluster(small_table, output_dir=tmp_path, n_components=4)
    with monkeypatch.context() as patch:
        patch.setattr("partwise.workflows.clustering.job.fit_table", _never)
        with pytest.raises(AssertionError, match="need not be done again"):
            cluster(small_table, output_dir=tmp_path, n_components=5, resume=True)
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []
