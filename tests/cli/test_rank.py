"""`partwise rank` as a program: what it prints, where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

FAST = ("--ranks", "3-6", "-r", "2", "--methods", "cv")


def test_prints_the_rank_and_where_the_report_is(partwise, small_table, tmp_path):
    done = partwise("rank", small_table, *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("recommended rank: ")
    assert lines[1].startswith("rule: the smallest rank")
    assert lines[2].startswith("by criterion: held-out error ")
    assert lines[-1] == f"report: {os.path.join('rank_results', 'report.html')}"
    assert (tmp_path / "rank_results" / "report.html").is_file()


def test_json(partwise, small_table, tmp_path):
    done = partwise("rank", small_table, *FAST, "--json", "-o", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["ranks"][:2] == [3, 4]
    assert summary["recommended"] in summary["ranks"]
    assert summary["n_features"] == 6


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--ranks", "many"), 2, "ranks must be whole numbers"),
        (("--min", "4"), 2, "--max"),
        (("--methods", "gap"), 2, "methods must be one of"),
        (("--ranks", "7"), 2, "rank 7 exceeds the 6"),
        (("--loss", "l1"), 2, "--loss"),
    ],
)
def test_errors(partwise, small_table, tmp_path, arguments, code, text):
    done = partwise("rank", small_table, *arguments, "-o", tmp_path / "out")
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_file(partwise, tmp_path):
    done = partwise("rank", tmp_path / "none.csv", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "there is no such file" in done.stderr


def test_help_lists_every_option(partwise):
    done = partwise("rank", "--help")
    for flag in ("--ranks", "--min", "--max", "--methods", "--fraction", "--figure", "--threads"):
        assert flag in done.stdout


def test_ctrl_c_leaves_earlier_outputs(small_table, tmp_path):
    earlier = tmp_path / "report.html"
    earlier.write_text("earlier")
    run = subprocess.Popen(
        [sys.executable, "-m", "partwise", "rank", small_table, "-r", "500", "-o", tmp_path],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in error
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert earlier.read_text() == "earlier"
