"""`partwise cluster` as a program: what it prints, where, and how it ends."""

import json
import os
import pty

import pandas as pd
import pytest


def test_prints_a_summary_and_no_progress_without_a_terminal(partwise, small_table, tmp_path):
    done = partwise("cluster", small_table, "-n", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("600 cells x 6 features, 5 factors: relative error ")
    assert "clusters of" in lines[1]
    assert lines[2].startswith("control: the raw features give")
    assert lines[-1] == f"report: {os.path.join('results', 'report.html')}"
    assert (tmp_path / "results" / "report.html").is_file()


def test_warnings_go_to_standard_error(partwise, small_table, tmp_path):
    done = partwise("cluster", small_table, "-b", "64", cwd=tmp_path)
    assert done.returncode == 0
    assert "warning: n_components (-n 10) exceeds the 6 features" in done.stderr
    assert "warning: batch_size (-b 64) has no effect" in done.stderr
    assert "warning" not in done.stdout


def test_quiet(partwise, small_table, tmp_path):
    done = partwise("cluster", small_table, "--quiet", "-o", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json(partwise, small_table, tmp_path):
    done = partwise("cluster", small_table, "-n", "5", "--json", "-o", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    summary = json.loads(done.stdout)
    assert summary["n_cells"] == 600
    assert summary["n_features"] == 6
    assert summary["converged"] is True
    assert sum(summary["cluster_sizes"]) + summary["n_isolated"] == 600
    assert summary["control"]["n_cells"] == 600
    for path in summary["outputs"].values():
        assert os.path.isfile(path)


def test_json_of_a_failure_leaves_standard_output_empty(partwise, tmp_path):
    done = partwise("cluster", "missing.csv", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "missing.csv" in done.stderr


def test_log_file(partwise, small_table, tmp_path):
    log = tmp_path / "run.log"
    for _ in range(2):
        done = partwise(
            "cluster", small_table, "--quiet", "--log-file", log, "-o", tmp_path / "out"
        )
        assert done.returncode == 0
    text = log.read_text("utf-8")
    for stage in ("read", "factorize", "cluster", "control", "write", "report"):
        assert text.count(f"{stage}: done in") == 2
    assert "WARNING n_components (-n 10) exceeds the 6 features" in text


def test_the_traceback_is_in_the_log_not_on_the_screen(partwise, tmp_path):
    log = tmp_path / "run.log"
    done = partwise("cluster", "missing.csv", "--log-file", log, cwd=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "Traceback" in log.read_text("utf-8")


def test_debug_shows_the_traceback(partwise, tmp_path):
    done = partwise("cluster", "missing.csv", "--debug", cwd=tmp_path)
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: missing.csv")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("missing.csv", None, "there is no such file"),
        ("empty.csv", "", "empty.csv"),
        ("negative.csv", "fov,label,cell_meta_cluster,A\nF,1,A,1\nF,2,A,-1\n", "negative"),
        ("columns.csv", "a,b,c\n1,2,3\n", "'fov', 'label', 'cell_meta_cluster'"),
        ("one.csv", "fov,label,cell_meta_cluster,A\nF,1,A,1\n", "one"),
    ],
)
def test_bad_tables_end_with_3_and_one_message(partwise, tmp_path, name, text, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    done = partwise("cluster", name, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert name in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_second_run_replaces_the_first(partwise, small_table, tmp_path):
    for n in ("4", "5"):
        assert partwise("cluster", small_table, "-n", n, "-o", tmp_path).returncode == 0
    (table,) = tmp_path.glob("*_clusters.csv")
    assert [c for c in pd.read_csv(table).columns if c.startswith("NMF")][-1] == "NMF_factor_5"
    assert json.loads((tmp_path / "run.json").read_text())["parameters"]["n_components"] == 5


def test_paths_with_spaces_and_letters_of_the_world(partwise, small_table, tmp_path):
    folder = tmp_path / "Ergebnisse für Zellen"
    folder.mkdir()
    path = folder / "zellen β.csv"
    path.write_bytes(small_table.read_bytes())
    done = partwise("cluster", path, "-n", "5", "-o", folder / "out put")
    assert done.returncode == 0, done.stderr
    assert (folder / "out put" / "zellen β_nmf_leiden_clusters.csv").is_file()


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_progress_on_a_terminal(small_table, tmp_path):
    import sys

    shown = []

    def read(descriptor):
        data = os.read(descriptor, 4096)
        shown.append(data)
        return data

    # everything of the child goes through the pseudo-terminal, whose output we keep
    saved = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        status = pty.spawn(
            [sys.executable, "-m", "partwise", "cluster", str(small_table), "-o", str(tmp_path)],
            read,
        )
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
    text = b"".join(shown).decode("utf-8", "replace")
    assert os.waitstatus_to_exitcode(status) == 0, text
    for stage in ("read", "factorize", "cluster", "write", "report"):
        assert stage in text


def test_pipe_that_closes(small_table, tmp_path):
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "partwise", "cluster", str(small_table), "-o", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    error = process.stderr.read().decode()
    process.wait(120)
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    assert (tmp_path / "report.html").is_file()
