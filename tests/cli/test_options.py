"""Flags, help and usage errors; what jobs do with them is tested with the jobs."""

import click
import pytest

from partwise.cli.cluster import cluster as command
from partwise.exceptions import UsageError
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.options import specs
from partwise.workflows.simulate_options import SimulateOptions

ORIGINAL = {
    "output_dir": ("-o", "--output-dir", "results"),
    "n_components": ("-n", "--n-components", 10),
    "resolution": ("-r", "--resolution", 0.1),
    "batch_size": ("-b", "--batch-size", 1024),
    "n_neighbors": ("-k", "--n-neighbors", 15),
    "chunksize": ("-c", "--chunksize", 100000),
    "seed": ("-s", "--seed", 42),
}


@pytest.fixture
def parsed(monkeypatch):
    """Parse arguments of `partwise cluster` and return the options that the job would get."""

    def parse(*arguments):
        taken = {}

        def job(input, *, options, progress):
            taken.update(input=input, options=options)
            raise UsageError("parsed")

        monkeypatch.setattr("partwise.workflows.cluster", job, raising=False)
        with pytest.raises(UsageError, match="parsed"):
            command.main(["x.csv", *arguments], standalone_mode=False)
        return taken["options"]

    return parse


def test_defaults_and_names_are_those_of_the_original(parsed):
    by_name = {spec.name: spec for spec in specs(ClusterOptions)}
    options = parsed()
    for name, (short, long, default) in ORIGINAL.items():
        assert by_name[name].flags == (short, long)
        value = options.batch_rows if name == "batch_size" else getattr(options, name)
        assert value == default


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-o", "out"], "output_dir", "out"),
        (["--output-dir", "out"], "output_dir", "out"),
        (["-n", "7"], "n_components", 7),
        (["-r", "0.5"], "resolution", 0.5),
        (["-b", "64"], "batch_size", 64),
        (["-k", "30"], "n_neighbors", 30),
        (["-c", "1000"], "chunksize", 1000),
        (["-s", "0"], "seed", 0),
        (["--solver", "bpp"], "solver", "bpp"),
        (["--init", "random"], "init", "random"),
        (["--max-iter", "3"], "max_iter", 3),
        (["--tol", "1e-6"], "tol", 1e-6),
        (["--id-columns", "sample, cell"], "id_columns", ("sample", "cell")),
        (["--id-columns", "a", "--id-columns", "b"], "id_columns", ("a", "b")),
        (["--id-columns", '"a, b",c'], "id_columns", ("a, b", "c")),
        (["--features", "CD*,Ki?67"], "features", ("CD*", "Ki?67")),
        (["--format", "parquet,h5ad"], "formats", ("parquet", "h5ad")),
        (["--format", "csv", "--format", "h5ad"], "formats", ("csv", "h5ad")),
        (["--umap"], "umap", True),
        (["--threads", "3"], "threads", 3),
        (["--resume"], "resume", True),
        (["--memory", "4GB"], "memory", "4GB"),
    ],
)
def test_every_flag_reaches_its_option(parsed, arguments, name, value):
    options = parsed(*arguments)
    assert getattr(options, name) == value
    rest = {s.name for s in specs(ClusterOptions)} - {name}
    assert all(getattr(options, other) == getattr(ClusterOptions(), other) for other in rest)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("n_components", 0, "n_components must be a whole number from 1 up, not 0"),
        ("n_components", 2.5, "n_components must be a whole number"),
        ("n_components", True, "n_components must be a whole number"),
        ("n_neighbors", 0, "n_neighbors must be a whole number from 1 up"),
        ("chunksize", 0, "chunksize must be a whole number from 1 up"),
        ("batch_size", 0, "batch_size must be a whole number from 1 up"),
        ("max_iter", 0, "max_iter must be a whole number from 1 up"),
        ("threads", 0, "threads must be a whole number from 1 up"),
        ("seed", -1, "seed must be a whole number from 0 up"),
        ("resolution", 0, "resolution must be a number above 0"),
        ("resolution", float("nan"), "resolution must be a number above 0"),
        ("resolution", "0.1", "resolution must be a number above 0"),
        ("tol", -1e-4, "tol must be a number of 0 or more"),
        ("solver", "cd", "solver must be one of hals, bpp, minibatch; not 'cd'"),
        ("init", "nndsvdar", "init must be one of nndsvda, nndsvd, random"),
        ("formats", ("xlsx",), "format must be one of csv, parquet, h5ad; not 'xlsx'"),
        ("features", [3], "features must be names"),
    ],
)
def test_values_that_cannot_be_used(field, value, text):
    with pytest.raises(UsageError) as caught:
        ClusterOptions(**{field: value})
    assert text in str(caught.value)


def test_simulate_flags_are_those_of_the_original():
    flags = {spec.name: spec.flags[0] for spec in specs(SimulateOptions) if len(spec.flags) > 1}
    assert flags == {"n_cells": "-n", "n_fovs": "-f", "output_dir": "-o", "seed": "-s"}


def test_every_option_is_in_the_help_with_its_default():
    text = " ".join(command.get_help(click.Context(command)).split())
    for spec in specs(ClusterOptions):
        for flag in spec.flags:
            assert flag in text
        if spec.default_text:
            assert f"[default: {spec.default_text}]" in text, spec.name


def test_version(partwise):
    from partwise import __version__

    done = partwise("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"partwise {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["clutser"], "there is no command 'clutser'. Did you mean 'cluster'?"),
        (["cluster"], "Missing argument 'INPUT'"),
        (["cluster", "x.csv", "--resolutoin", "1"], "No such option"),
        (["cluster", "x.csv", "-n", "ten"], "'ten' is not a valid integer"),
        (["cluster", "x.csv", "-n", "0"], "n_components must be a whole number from 1 up"),
        (["cluster", "x.csv", "--solver", "cd"], "'cd' is not one of"),
        (["cluster", "x.csv", "--format", "xlsx"], "format must be one of csv, parquet, h5ad"),
        (["simulate", "neighborhoods", "-n", "0"], "n_cells must be a whole number from 1 up"),
        (["simulate", "neighborhoods", "-n", "2", "-f", "3"], "n_fovs"),
    ],
)
def test_usage_errors(partwise, tmp_path, arguments, text):
    done = partwise(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_command(partwise, small_table):
    done = partwise(small_table)
    assert done.returncode == 2
    assert f"partwise cluster {small_table}" in done.stderr
