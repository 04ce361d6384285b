"""`partwise tune` and `partwise cluster --tune`: flags, prints, ends, and how a run goes on."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys

import pytest

from partwise.cli.cluster import cluster
from partwise.cli.tune import tune
from partwise.exceptions import DataError, UsageError

FAST = (
    "-n", "4,5", "-k", "15", "-r", "0.1", "-r", "0.2", "--n-cells", "300", "--n-replicates", "2",
    "--min-cluster-size", "5",
)  # fmt: skip
TABLES = ("grid_search", "stability", "nmf_reconstruction", "tune_points", "tune_cells")


def run(command, *words):
    """Run a command in this process; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command.main([str(word) for word in words], standalone_mode=False)
    return printed.getvalue()


@pytest.fixture(scope="module")
def finished(small_table, tmp_path_factory):
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(tune, small_table, *FAST, "-o", folder)


def tables(folder):
    (points,) = folder.glob("*_tune_points.csv")
    stem = points.name.removesuffix("_tune_points.csv")
    return {name: (folder / f"{stem}_{name}.csv").read_bytes() for name in TABLES}


def test_prints_the_recommendation_and_the_command(finished, small_table):
    folder, printed = finished
    lines = printed.splitlines()
    assert lines[0].startswith("recommended: n=")
    assert lines[1].startswith("rule: ")
    assert lines[2].startswith("4 settings on 300 of 600 cells, ")
    assert lines[3].startswith(f"to cluster all cells: partwise cluster {small_table} -n ")
    assert lines[-1] == f"report: {folder / 'report.html'}"


def test_cluster_tune_is_the_same_job(finished, small_table, tmp_path):
    folder, _ = finished
    words = (
        "--tune", "--tune-n", "4,5", "--tune-k", "15", "--tune-r", "0.1,0.2",
        "--tune-subsample", "300", "-o", tmp_path, "--json",
    )  # fmt: skip
    summary = json.loads(run(cluster, small_table, *words))
    assert summary["n_settings"] == 4
    assert summary["n_sampled"] == 300
    # the number of replicates is another, and so is what they say; the clusters are the same
    assert tables(tmp_path)["grid_search"] == tables(folder)["grid_search"]
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"].startswith("partwise tune ")


#: The program, but it gets a signal once it has kept so many parts of the work.
STOPS = """
import os, sys
from partwise.cli import main
from partwise.workflows.checkpoint import Checkpoint

number, parts = int(sys.argv[1]), int(sys.argv[2])
keep = Checkpoint.put

def put(self, key, arrays):
    global parts
    keep(self, key, arrays)
    parts -= 1
    if parts == 0:
        os.kill(os.getpid(), number)

Checkpoint.put = put
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_then_interrupted_then_resumed(finished, small_table, tmp_path):
    folder, _ = finished
    earlier = tmp_path / "report.html"
    earlier.write_text("earlier")
    words = ["tune", small_table, *FAST, "-o", tmp_path, "--threads", "1"]

    def stopped(number, *more):
        command = [sys.executable, "-c", STOPS, int(number), 2, *words, *more]
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def units():
        return len(list(tmp_path.glob(".partwise-state-tune/*.unit")))

    assert stopped(signal.SIGKILL).returncode == -signal.SIGKILL
    assert units() == 2
    done = stopped(signal.SIGINT, "--resume")
    assert done.returncode == 130
    assert units() == 4
    assert "go on with: partwise tune " in done.stderr
    assert done.stderr.rstrip().endswith("--resume")
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["report.html"]
    assert earlier.read_text() == "earlier"
    run(tune, *words[1:], "--resume")
    assert tables(tmp_path) == tables(folder)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


class TestFlags:
    @pytest.fixture
    def parsed(self, monkeypatch):
        """Parse arguments, and return the options that the job would get."""

        def parse(command, *arguments):
            taken = {}

            def job(input, *, options, progress):
                taken.update(options=options)
                raise UsageError("parsed")

            monkeypatch.setattr("partwise.workflows.tune", job, raising=False)
            with pytest.raises(UsageError, match="parsed"):
                command.main(["x.csv", *arguments], standalone_mode=False)
            return taken["options"]

        return parse

    def test_separated_and_repeated(self, parsed):
        options = parsed(tune, "-n", "5,8", "-n", "4", "--tune-k", "10", "-r", "0.05, 0.5")
        assert options.n_components == (4, 5, 8)
        assert options.n_neighbors == (10,)
        assert options.resolutions == (0.05, 0.5)

    def test_same_defaults(self, parsed):
        assert parsed(tune) == parsed(cluster, "--tune")

    def test_cluster_hands_on_what_tuning_has(self, parsed):
        options = parsed(
            cluster, "--tune", "--tune-r", "0.3", "--id-columns", "fov", "--features", "CD*",
            "-s", "7", "--threads", "1", "-o", "out", "-c", "10", "--resume",
        )  # fmt: skip
        assert options.resolutions == (0.3,)
        assert (options.id_columns, options.features) == (("fov",), ("CD*",))
        assert (options.seed, options.threads, options.chunksize) == (7, 1, 10)
        assert (options.output_dir, options.resume) == ("out", True)

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("--tune", "-n", "5"), "--n-components has no effect with --tune.*--tune-n"),
            (("--tune", "-k", "15"), "--n-neighbors has no effect with --tune.*--tune-k"),
            (("--tune", "-r", "0.1"), "--resolution has no effect with --tune.*--tune-r"),
            (("--tune", "--solver", "bpp"), "--solver has no effect with --tune"),
            (("--tune", "--umap"), "--umap has no effect with --tune"),
            (("--tune-n", "5"), "--tune-n goes with --tune"),
            (("--tune", "--tune-n", "many"), "--tune-n takes whole numbers"),
        ],
    )
    def test_what_has_no_effect_is_refused(self, arguments, text):
        with pytest.raises(UsageError, match=text):
            cluster.main(["x.csv", *arguments], standalone_mode=False)

    def test_help(self, partwise):
        text = partwise("tune", "--help").stdout
        for flag in ("--tune-subsample", "--tune-n", "--tune-k", "--tune-r", "--batch", "--resume"):
            assert flag in text


def test_a_missing_file(tmp_path):
    words = [str(tmp_path / "none.csv"), "-o", str(tmp_path / "out")]
    with pytest.raises(DataError, match="there is no such file"):
        tune.main(words, standalone_mode=False)
    assert not (tmp_path / "out").exists()
