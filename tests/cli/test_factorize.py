"""`partwise factorize` and `partwise project`, in processes of their own."""

import json

import pandas as pd


def test_factorize_and_project(partwise, small_table, tmp_path):
    done = partwise("factorize", small_table, "-k", 4, "-o", tmp_path / "fit", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["n_components"] == 4
    done = partwise("project", summary["outputs"]["model"], small_table, "-o", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "covered to 100.0 % or more" in done.stdout
    usage = pd.read_csv(tmp_path / "new" / f"{small_table.stem}_usage.csv")
    assert list(usage.columns[:3]) == ["fov", "label", "cell_meta_cluster"]


def test_exit_codes(partwise, small_table, tmp_path):
    out = tmp_path / "out"
    bad = partwise("factorize", small_table, "-k", 0, "-o", out)
    assert bad.returncode == 2
    assert "n_components" in bad.stderr
    assert partwise("factorize", small_table, "--loss", "l1").returncode == 2
    lost = partwise("project", tmp_path / "none.npz", small_table, "-o", out)
    assert lost.returncode == 3
    assert "there is no such file" in lost.stderr
    table = partwise("project", small_table, small_table, "-o", out)
    assert table.returncode == 3
    assert "no model that partwise saved" in table.stderr
    assert not out.exists()
