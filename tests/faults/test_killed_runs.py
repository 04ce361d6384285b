"""A run that ends early, in whatever way, leaves an earlier result in its folder whole."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

N_KILLS = 10


def fingerprint(folder):
    """Return name -> hash of all files that a user sees."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def hidden(folder, *, kept=False):
    """Return hidden names; with `kept`, but for what `--resume` goes on with."""
    names = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return [name for name in names if not (kept and name.startswith(".partwise-state-"))]


def start(table, folder, *arguments, preexec=None):
    command = [sys.executable, "-m", "partwise", "cluster", table, "-o", folder, *arguments]
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec,
    )


def wait_until_at_work(process, folder, file="lock"):
    """Wait until the run has its hidden folder, and a file in it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(folder.glob(f".partwise-run-*/{file}")):
            return
        time.sleep(0.002)
    raise AssertionError(f"the run never began: {process.communicate()}")


@pytest.fixture(scope="module")
def finished(small_table, tmp_path_factory):
    """A folder with a finished run, what is in it, and the seconds that a run is at work."""
    folder = tmp_path_factory.mktemp("faults") / "results"
    for _ in range(2):  # the first may compile kernels
        process = start(small_table, folder, "-n", "4")
        _, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
    process = start(small_table, folder, "-n", "4")
    wait_until_at_work(process, folder)
    begin = time.monotonic()
    assert process.wait(60) == 0
    seconds = time.monotonic() - begin
    assert hidden(folder) == []
    return folder, fingerprint(folder), seconds


def test_killed_at_ten_random_moments(finished, small_table):
    folder, before, seconds = finished
    dice = random.Random(7)
    killed = 0
    for attempt in range(N_KILLS):
        process = start(small_table, folder, "-n", "5", "--format", "parquet")
        wait_until_at_work(process, folder)
        time.sleep(dice.uniform(0, seconds) * (attempt + 1) / N_KILLS)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:  # it was faster than we
            continue
        killed += 1
        assert fingerprint(folder) == before, f"kill {attempt} left a changed result"
    assert killed >= N_KILLS // 2
    # and the folder is usable: the next run works and sweeps up
    process = start(small_table, folder, "-n", "4")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert hidden(folder) == []
    assert set(before) <= set(fingerprint(folder))


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("file", ["lock", "*_clusters.csv"])
def test_interrupted(finished, small_table, number, code, text, file):
    folder, _, _ = finished
    before = fingerprint(folder)
    process = start(small_table, folder, "-n", "5")
    wait_until_at_work(process, folder, file)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert text in err
    assert "Traceback" not in err
    assert fingerprint(folder) == before
    assert hidden(folder, kept=True) == []
    if file != "lock":  # the work is done: Ctrl-C says how to go on with it
        assert f"go on with: partwise cluster {small_table}" in err
        assert err.rstrip().endswith("--resume")
        assert hidden(folder) == [".partwise-state-cluster"]


def test_files_that_may_not_grow(finished, small_table):
    import resource

    folder, _, _ = finished
    before = fingerprint(folder)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = start(small_table, folder, "-n", "5", preexec=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "cannot write" in err
    assert "Traceback" not in err
    assert fingerprint(folder) == before
    assert hidden(folder, kept=True) == []


def test_interrupted_factorization(small_table, tmp_path):
    """The other jobs write through the same hidden folder."""
    folder = tmp_path / "results"
    command = [sys.executable, "-m", "partwise", "factorize", small_table, "-o", folder, "-k", "4"]
    run = [str(part) for part in command]
    subprocess.run(run, check=True, capture_output=True)
    before = fingerprint(folder)
    process = subprocess.Popen(
        [*run, "--log1p"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until_at_work(process, folder, "*_usage.csv")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert fingerprint(folder) == before
    assert hidden(folder) == []


def test_killed_sequences(tmp_path, monkeypatch):
    """A fit of sequences that is killed while it writes leaves the earlier one whole."""
    from partwise.figures import message_figure
    from partwise.workflows import sequences_fit, sequences_simulate
    from partwise.workflows.sequence_jobs import report as sequences_report

    # runs in this process need no pictures
    monkeypatch.setattr(sequences_report, "_factors", lambda found, show: message_figure(show))
    monkeypatch.setattr(sequences_report, "_triggered", lambda found: message_figure("events"))
    made = sequences_simulate(n_frames=800, n_sequences=1, output_dir=tmp_path / "data")
    recording, folder = made.outputs["recording"], tmp_path / "results"
    sequences_fit(recording, n_components=1, n_lags=20, max_iter=3, n_null=20, output_dir=folder)
    before = fingerprint(folder)
    command = [sys.executable, "-m", "partwise", "sequences", "fit", recording, "-o", folder]
    process = subprocess.Popen(
        [str(part) for part in (*command, "-k", "2", "-l", "25", "--n-null", "20")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_at_work(process, folder, "*_sequences.npz")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert fingerprint(folder) == before
    assert len(hidden(folder)) == 1
    sequences_fit(recording, n_components=1, n_lags=20, max_iter=3, n_null=20, output_dir=folder)
    assert set(fingerprint(folder)) == set(before)
    assert hidden(folder) == []
