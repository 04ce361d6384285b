"""`--config`: the same options as by flags, and errors that name the key."""

import json

import pytest

from partwise.cli.app import app
from partwise.exceptions import UsageError
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.options import command_line, specs
from partwise.workflows.simulate_options import SimulateOptions

COMMANDS = ["cluster", "tune", "rank", "factorize", "programs", "project"]


@pytest.fixture
def values(tmp_path):
    """Parse a command with a config file; return its parameters."""

    def parse(text, *arguments, command=("cluster", "x.csv"), name="run.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        words = [*command, "--config", str(path), *arguments]
        context = app.make_context("partwise", words)
        with context:
            names = app.resolve_command(context, [*context._protected_args, *context.args])
        context = names[1].make_context(names[0], names[2], parent=context)
        while hasattr(context.command, "resolve_command"):
            names = context.command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            context = names[1].make_context(names[0], names[2], parent=context)
        return context.params

    return parse


def options_of(params, kind=ClusterOptions):
    return kind(**{spec.name: params[spec.name] for spec in specs(kind)})


ALL = """
n_components = 6
"n-neighbors" = 30
resolution = 1
solver = "bpp"
umap = true
tol = 1e-6
features = ["CD*", "Ki, 67"]
format = "csv,h5ad"
output_dir = "my results"
log-file = "run.log"
"""


def test_every_kind_of_option(values):
    params = values(ALL)
    assert options_of(params) == ClusterOptions(
        n_components=6,
        n_neighbors=30,
        resolution=1.0,
        solver="bpp",
        umap=True,
        tol=1e-6,
        features=("CD*", "Ki, 67"),
        formats=("csv", "h5ad"),
        output_dir="my results",
    )
    assert params["log_file"] == "run.log"
    assert isinstance(params["resolution"], float)


def test_the_command_line_wins(values):
    params = values(ALL, "-n", "3", "--features", "A", "-o", "here")
    assert params["n_components"] == 3
    assert params["features"] == ("A",)
    assert params["output_dir"] == "here"
    assert params["n_neighbors"] == 30


def test_one_file_for_several_commands(values):
    text = "seed = 1\n[cluster]\nn_components = 4\nseed = 2\n[rank]\nanything = 3\n"
    assert options_of(values(text)) == ClusterOptions(seed=2, n_components=4)
    text = "seed = 1\n[simulate.neighborhoods]\nn_cells = 5\n[cluster]\nresolution = 2\n"
    params = values(text, command=("simulate", "neighborhoods"))
    assert options_of(params, SimulateOptions) == SimulateOptions(seed=1, n_cells=5)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_job_takes_its_own_options(values, command):
    files = ["model.npz", "x.csv"] if command == "project" else ["x.csv"]
    params = values(f"[{command}]\nthreads = 1\nquiet = true\n", command=(command, *files))
    assert params["threads"] == 1
    assert params["quiet"] is True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "n_component = 3",
            "n_component is not an option of partwise cluster; did you mean n_comp",
        ),
        ("n_component = 3", "goes into a table of its name"),
        ("[cluster]\nresolutoin = 3", "[cluster] resolutoin is not an option"),
        ("[clutser]\nseed = 3", "[clutser] is no command; did you mean cluster?"),
        ("[cluster.deep]\nseed = 3", "[cluster.deep]: there is no such table"),
        ("[simulate.neighbors]\nseed = 3\n[cluster]\nseed = 'a'", "seed must be a whole number"),
        ("n_components = 2.5", "n_components must be a whole number, not 2.5"),
        ("n_components = true", "n_components must be a whole number, not true"),
        ("n_components = '8'", "n_components must be a whole number, not '8'"),
        ("resolution = 'high'", "resolution must be a number, not 'high'"),
        ("umap = 1", "umap must be true or false, not 1"),
        ("output_dir = 3", "output_dir must be text in quotes, not 3"),
        ("solver = 'cd'", "solver must be one of hals, bpp, minibatch, not 'cd'"),
        ("features = [['a']]", "features must be a list of names or numbers"),
        ("n_components = 3\nn-components = 4", "n-components is there twice"),
        ("input_file = 'a.csv'", "input_file is not an option"),
        ("debug = true", "debug is not an option"),
        ("config = 'a.toml'", "config is not an option"),
        ("n_components = ", "is not TOML: Invalid value (at end of document)"),
        ("{}", "is neither TOML nor the run.json of a run"),
        ('{"command": "partwise rank x.csv"}', "is of another command: partwise rank x.csv"),
        ('{"command": "partwise cluster x.csv --gone 3"}', "is of another version"),
    ],
)
def test_errors_name_the_key(values, text, told):
    with pytest.raises(UsageError) as caught:
        values(text)
    assert told in str(caught.value)
    assert "run.toml" in str(caught.value)


def test_files_that_cannot_be_read(partwise, tmp_path):
    done = partwise("cluster", "x.csv", "--config", tmp_path / "no.toml")
    assert done.returncode == 2
    assert "no.toml cannot be read: No such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_byte_order_mark_is_no_error(values):
    assert values("\ufeffseed = 3")["seed"] == 3


def test_the_options_of_an_earlier_run(values):
    options = ClusterOptions(n_components=4, features=("a, b", "c"), umap=True, output_dir="old")
    command = command_line("partwise cluster", "old table.csv", options)
    params = values(json.dumps({"command": command}), "-o", "new", name="run.json")
    assert params["input_file"] == "x.csv"
    assert params["output_dir"] == "new"
    assert params["features"] == ("a, b", "c")
    assert params["n_components"] == 4
    assert params["umap"] is True
