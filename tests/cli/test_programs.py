"""`partwise programs` as a program: what it prints, how it ends, and what a signal leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.3, size=(150, 4)) @ rng.gamma(0.3, size=(4, 60))
    path = tmp_path_factory.mktemp("counts") / "cells.npy"
    np.save(path, rng.poisson(20 * mean).astype(np.float32))
    return path


SMALL = ("-k", "3-5", "-r", "6", "--genes", "40")


def test_prints_a_summary_and_no_progress_without_a_terminal(partwise, counts, tmp_path):
    done = partwise("programs", counts, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("150 cells x 60 genes, 40 of them factorized 6 times for k = 3-5")
    assert "programs (recommended): stability" in lines[1]
    assert lines[-1] == f"report: {os.path.join('results', 'report.html')}"
    assert (tmp_path / "results" / "cells_gene_scores.csv").is_file()


def test_json_and_a_second_run_into_the_same_folder(partwise, counts, tmp_path):
    for k in (3, 4):
        done = partwise(
            "programs", counts, *SMALL, "--choose", k, "--json", "--quiet", "-o", tmp_path
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["n_programs"] == k
        assert len(summary["stability"]) == 3
        for path in summary["outputs"].values():
            assert os.path.isfile(path)
    names = {os.path.basename(path) for path in summary["outputs"].values()}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-k", "13-5"), 2, "like 9, 5-13 or 5,7,9"),
        (("-k", "3", "--choose", "4"), 2, "must be one of"),
        (("-k", "50"), 2, "exceed"),
        (("--density-threshold", "1e-9", "-k", "4", "-r", "3"), 3, "keeps all"),
        (("--layer", "counts"), 2, "layer"),
    ],
)
def test_mistakes_end_with_one_message(partwise, counts, tmp_path, arguments, code, says):
    done = partwise("programs", counts, "--genes", "40", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_leaves_what_was_there(counts, tmp_path):
    (tmp_path / "report.html").write_text("old")
    log = tmp_path.parent / "log.txt"
    process = subprocess.Popen(
        [sys.executable, "-m", "partwise", "programs", str(counts), "-k", "3-9", "-r", "20000",
         "--genes", "40", "--tol", "0", "--max-iter", "30", "--log-file", str(log),
         "-o", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and "factorize: started" not in _text(log):
        time.sleep(0.05)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    try:
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert out == ""
    # a callback of the compiler may swallow the exception, and says so; the work ends all the same
    assert "Traceback" not in error or "Exception ignored" in error
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def _text(path):
    return path.read_text("utf-8") if path.exists() else ""
