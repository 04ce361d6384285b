"""`partwise sequences` as a program: what it prints, where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

FAST = ("-k", "2", "-l", "20", "--max-iter", "10", "--n-null", "40", "--figure", "svg")
COMMANDS = ("fit", "sweep", "select-k", "significance", "plot", "simulate")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    from partwise.workflows import sequences_simulate

    folder = tmp_path_factory.mktemp("sequences")
    made = sequences_simulate(n_frames=1500, n_sequences=2, n_neurons=6, gap=2, output_dir=folder)
    return made.outputs["recording"]


def test_simulate_fit_significance_and_plot(partwise, tmp_path):
    done = partwise(
        "sequences", "simulate", "-t", "1500", "-k", "2", "-n", "6", "--gap", "2", "-o", "demo",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file = os.path.join("demo", "sequences_12_1500.npz")
    assert done.stdout.splitlines()[1] == f"recording: {file}"

    done = partwise("sequences", "fit", file, *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 factors of 20 frames (0.667 s), 12 units x 1,500 frames")
    assert "of the part held out" in lines[1]
    assert lines[2].startswith("significant sequences: ")
    assert lines[-1] == f"report: {os.path.join('sequence_results', 'report.html')}"
    assert (tmp_path / "sequence_results" / "report.html").is_file()

    done = partwise(
        "sequences", "significance", "sequence_results", file, "--n-null", "40", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == [1125, 1500]

    done = partwise("sequences", "plot", "sequence_results", "--stop", "20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sequence_results" / "sequences_12_1500_plot_data.png").is_file()


def test_json_and_the_run_again_from_its_record(partwise, recording, tmp_path):
    done = partwise("sequences", "fit", recording, *FAST, "--json", "-o", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["n_components"] == 2
    assert summary["n_frames_held_out"] == 375
    first = (tmp_path / "sequences_12_1500_sequences.npz").read_bytes()
    done = partwise(
        "sequences", "fit", recording, "--config", tmp_path / "run.json", "-o", tmp_path, "--quiet"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "sequences_12_1500_sequences.npz").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("-l", "2000"), 3, "not shorter than the recording"),
        (("-l", "1400"), 3, "--test-fraction"),
        (("-l", "5", "--length", "1"), 2, "--n-lags"),
        (("-k", "99999", "-l", "3"), 2, "n_components is 99999"),
        (("--variable", "NEURAL"), 3, "NEURAL"),
        (("--bin-width", "0.1"), 3, "bin_width is for spike times"),
        (("--epochs", "none.csv"), 3, "none.csv"),
        (("--motifs", "none.npz"), 3, "none.npz"),
        (("--side", "SONG"), 2, "SONG"),
        (("--solver", "admm"), 2, "--solver"),
        (("--in-memory", "much"), 2, "such as 4GB"),
    ],
)
def test_errors(partwise, recording, tmp_path, arguments, code, text):
    done = partwise("sequences", "fit", recording, *arguments, "-o", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_wrong_variable_says_what_is_there(partwise, tmp_path):
    np.savez(tmp_path / "x.npz", spikes=np.ones((3, 50)), song=np.ones((4, 90)))
    done = partwise("sequences", "fit", tmp_path / "x.npz", "-l", "5", "-o", tmp_path / "out")
    assert done.returncode == 3
    for text in ("spikes (3 x 50", "song (4 x 90", "--variable"):
        assert text in done.stderr


def test_files_that_are_no_recordings(partwise, tmp_path):
    (tmp_path / "x.mat").write_text("nothing of the kind")
    done = partwise("sequences", "fit", tmp_path / "x.mat", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    done = partwise("sequences", "sweep", tmp_path / "none.mat", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "there is no such file" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option(command, capsys):
    from partwise.cli.app import run
    from partwise.workflows.options import specs
    from partwise.workflows.sequences_options import options_of_commands

    assert run(["sequences", command, "--help"]) == 0
    page = capsys.readouterr().out
    for spec in specs(options_of_commands()[command]):
        assert spec.flags[-1] in page


def test_config_has_a_table_for_each_command(partwise, recording, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        "seed = 3\n[sequences]\nmax_iter = 2\n[sequences.fit]\nn-components = 1\nn_lags = 7\n"
        'lambda = 0.5\nfigure = []\n[sequences.sweep]\nlambdas = "0.1,0.2"\n'
    )
    done = partwise("sequences", "fit", recording, "--config", config, "--json", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run.json").read_text())["parameters"]
    assert (found["seed"], found["max_iter"], found["n_components"]) == (3, 2, 1)
    assert (found["n_lags"], found["lambda_"]) == (7, 0.5)


def test_ctrl_c_leaves_earlier_outputs(recording, tmp_path):
    earlier = tmp_path / "report.html"
    earlier.write_text("earlier")
    command = [sys.executable, "-m", "partwise", "sequences", "fit", recording, "-o", tmp_path]
    command += ["-k", "5", "-l", "30", "--max-iter", "100000", "--tol", "0"]
    run = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 130, error
    assert "interrupted" in error
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert earlier.read_text() == "earlier"


def test_ctrl_c_says_how_to_go_on(recording, tmp_path):
    command = [sys.executable, "-m", "partwise", "sequences", "sweep", recording, "-o", tmp_path]
    command += ["-k", "3", "-l", "20", "--max-iter", "60", "--tol", "0", "-r", "100"]
    run = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".partwise-state-*/*.unit")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 130, error
    assert f"go on with: partwise sequences sweep {recording}" in error
    assert error.rstrip().endswith("--resume")
    assert [path.name for path in tmp_path.iterdir()] == [".partwise-state-sequences-sweep"]
