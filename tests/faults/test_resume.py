"""A run that was killed and resumed gives the files of one that was not."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

#: what a run's clock and its machine say; all the rest of a report is the same
_MEASURED = re.compile(
    r'<tr><th scope="row">(time: [^<]*|time until this report|largest memory)</th>'
    r"<td>[^<]*</td></tr>"
)


def files(folder):
    """Return name -> contents of the files of a run but run.json, without times in the report."""
    found = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "run.json"}
    found["report.html"] = _MEASURED.sub("", found["report.html"].decode()).encode()
    return found


def command(table, folder, *arguments):
    parts = [sys.executable, "-m", "partwise", "cluster", table, "-o", folder, "-n", "5"]
    return [str(part) for part in (*parts, "--format", "parquet,h5ad", *arguments)]


def run(*arguments, cwd):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=240, check=False, cwd=cwd
    )


@pytest.fixture(scope="module")
def whole(small_table, tmp_path_factory):
    """Files of a run that was not interrupted, and its seconds. Folders have one name, as it is in
    the report."""
    base = tmp_path_factory.mktemp("whole")
    begin = time.monotonic()
    done = run(small_table, "results", cwd=base)
    assert done.returncode == 0, done.stderr
    return files(base / "results"), time.monotonic() - begin


def killed_when(small_table, base, ready, *arguments):
    """Start a run and kill it as soon as `ready()`; return whether it was still at work."""
    with subprocess.Popen(
        command(small_table, "results", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=base,
    ) as process:
        deadline = time.monotonic() + 120
        while not ready() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL


def test_killed_after_a_unit(whole, small_table, tmp_path):
    expected, _ = whole

    def ready():
        return len(list(tmp_path.glob("results/.partwise-state-cluster/[!.]*.unit"))) >= 1

    assert killed_when(small_table, tmp_path, ready)
    assert ready()
    done = run(small_table, "results", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "starting anew" not in done.stderr
    assert files(tmp_path / "results") == expected


@pytest.mark.parametrize("n_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_and_resumed(whole, small_table, tmp_path, n_kills):
    """Each run goes on with what the runs before it, killed too, have left."""
    expected, longest = whole
    dice = random.Random(n_kills)
    killed = 0
    while killed < n_kills:
        end = time.monotonic() + dice.uniform(0.3, 1.0) * longest
        if killed_when(small_table, tmp_path, lambda end=end: time.monotonic() > end, "--resume"):
            killed += 1
        else:  # the machine is faster now than it was for the first run
            longest *= 0.7
    done = run(small_table, "results", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "results") == expected
