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


@pytest.fixture
def here(capsys):
    """Run the command line in this process; returns (exit code, output, errors)."""
    from partwise.cli.app import run

    def inner(*arguments):
        code = run([str(argument) for argument in ("sequences", *arguments)])
        return code, *capsys.readouterr()

    return inner


def test_simulate_fit_significance_and_plot(partwise, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = here(
        "simulate", "-t", "1500", "-k", "2", "-n", "6", "--gap", "2", "-o", "demo"
    )
    assert code == 0, err
    file = os.path.join("demo", "sequences_12_1500.npz")
    assert out.splitlines()[1] == f"recording: {file}"

    done = partwise("sequences", "fit", file, *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "note: 30 frames per second, from rate in the file"
    assert lines[1].startswith("2 factors of 20 frames (0.667 s), 12 units x 1,500 frames")
    assert "of the part held out" in lines[2]
    assert lines[3].startswith("significant sequences: ")
    assert lines[-1] == f"report: {os.path.join('sequence_results', 'report.html')}"
    assert (tmp_path / "sequence_results" / "report.html").is_file()

    code, out, err = here(
        "significance", "sequence_results", file, "--n-null", "40", "--json", "--figure", "svg"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["frames"] == [1125, 1500]

    code, out, err = here("plot", "sequence_results", "--stop", "20", "--show", "reconstruction")
    assert code == 0, err
    name = "sequences_12_1500_plot_reconstruction.png"
    assert (tmp_path / "sequence_results" / name).is_file()


def test_json_and_the_run_again_from_its_record(here, recording, tmp_path):
    code, out, err = here("fit", recording, *FAST, "--json", "-o", tmp_path)
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert summary["n_components"] == 2
    assert summary["n_frames_held_out"] == 375
    first = (tmp_path / "sequences_12_1500_sequences.npz").read_bytes()
    # a second run into the same folder
    config = tmp_path / "run.json"
    assert here("fit", recording, "--config", config, "-o", tmp_path, "--quiet") == (0, "", "")
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
        (("--side", "SONG", "-l", "5"), 2, "SONG"),
        (("--solver", "admm"), 2, "--solver"),
        (("--in-memory", "much"), 2, "such as 4GB"),
    ],
)
def test_errors(here, recording, tmp_path, arguments, code, text):
    found, _, err = here("fit", recording, *arguments, "-o", tmp_path / "out")
    assert found == code, err
    assert text in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_wrong_variable_says_what_is_there(here, tmp_path):
    np.savez(tmp_path / "x.npz", spikes=np.ones((3, 50)), song=np.ones((4, 90)))
    code, _, err = here("fit", tmp_path / "x.npz", "-l", "5", "-o", tmp_path / "out")
    assert code == 3
    for text in ("spikes (3 x 50", "song (4 x 90", "--variable"):
        assert text in err


def test_files_that_are_no_recordings(here, tmp_path):
    (tmp_path / "x.mat").write_text("nothing of the kind")
    code, _, err = here("fit", tmp_path / "x.mat", "-o", tmp_path / "out")
    assert code == 3
    assert "x.mat" in err
    code, _, err = here("sweep", tmp_path / "none.mat", "-o", tmp_path / "out")
    assert code == 3
    assert "there is no such file" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option(command, capsys):
    from partwise.cli.app import run
    from partwise.workflows.options import specs
    from partwise.workflows.sequence_jobs.options import options_of_commands

    assert run(["sequences", command, "--help"]) == 0
    page = capsys.readouterr().out
    for spec in specs(options_of_commands()[command]):
        assert spec.flags[-1] in page


def test_config_has_a_table_for_each_command(here, recording, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        "seed = 3\n[sequences]\nmax_iter = 2\n[sequences.fit]\nn-components = 1\nn_lags = 7\n"
        'lambda = 0.5\nfigure = []\nn-null = 0\n[sequences.sweep]\nlambdas = "0.1,0.2"\n'
    )
    code, _, err = here("fit", recording, "--config", config, "--json", "-o", tmp_path)
    assert code == 0, err
    found = json.loads((tmp_path / "run.json").read_text())["parameters"]
    assert (found["seed"], found["max_iter"], found["n_components"]) == (3, 2, 1)
    assert (found["n_lags"], found["lambda_"]) == (7, 0.5)


def test_ctrl_c_leaves_earlier_outputs_and_says_how_to_go_on(recording, tmp_path):
    (tmp_path / "report.html").write_text("earlier")
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
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".partwise-state-sequences-sweep", "report.html"]
    assert (tmp_path / "report.html").read_text() == "earlier"
