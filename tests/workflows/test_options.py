import shlex

import pytest

from partwise.cli.cluster import cluster as command
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.options import command_line, specs

CHANGED = {
    "coordinates": ("x pos", "y pos"),
    "type_column": "cell type",
    "fov_column": "image",
    "neighborhood": "knn",
    "radius": 12.5,
    "nearest": 7,
    "hops": 3,
    "kernel": "gaussian",
    "bandwidth": 4.5,
    "include_self": True,
    "counts": True,
    "model": "old results",
    "min_coverage": 0.5,
    "allow": True,
    "compare": "group",
    "by": "patient",
    "maps": 3,
    "map_fovs": ("FOV 1", "FOV 2"),
    "id_columns": ("fov", "cell, id"),
    "features": ("CD*", "Ki 67"),
    "subsample": "patient 1",
    "subsample_fraction": 0.25,
    "normalize_by_fov": True,
    "color_by": ("batch", "area, in px"),
    "svd": True,
    "settings": ("5 15 0.1", "more settings.txt"),
    "metric": "cosine",
    "normalize_usage": True,
    "min_cluster_size": "1%",
    "small": "mark",
    "n_components": 6,
    "solver": "bpp",
    "batch_size": 64,
    "init": "random",
    "max_iter": 7,
    "tol": 1e-6,
    "n_neighbors": 30,
    "resolution": 0.25,
    "output_dir": "my results",
    "formats": ("csv", "h5ad"),
    "umap": True,
    "seed": 1,
    "threads": 2,
    "memory": "4GB",
    "resume": True,
    "chunksize": 10,
}


def test_every_option_has_a_changed_value_here():
    assert set(CHANGED) == {spec.name for spec in specs(ClusterOptions)}


def test_what_belongs_to_one_call_is_not_repeated():
    assert command_line("partwise cluster", "a.csv", ClusterOptions(resume=True)) == (
        "partwise cluster a.csv"
    )


def test_defaults_are_not_repeated():
    assert command_line("partwise cluster", "a b.csv", ClusterOptions()) == (
        "partwise cluster 'a b.csv'"
    )


#: What an option needs beside it.
NEEDS = {
    "compare": ("by",),
    "by": ("compare",),
    "min_coverage": ("model",),
    "allow": ("model",),
    "nearest": ("neighborhood",),
    "hops": ("neighborhood",),
    "bandwidth": ("kernel",),
}
#: What cannot stand beside others.
ALONE = ("map_fovs", "radius", "hops")
REPEATED = [spec.name for spec in specs(ClusterOptions) if spec.matters != "once"]


@pytest.mark.parametrize(
    "names",
    [[name, *NEEDS.get(name, ())] for name in REPEATED]
    + [[name for name in REPEATED if name not in ALONE]],
    ids=str,
)
def test_the_command_line_gives_the_same_options_back(names):
    values = {name: CHANGED[name] for name in names}
    if "hops" in names:
        values["neighborhood"] = "hops"
    options = ClusterOptions(**values)
    words = shlex.split(command_line("partwise cluster", "a b.csv", options))
    context = command.make_context("cluster", words[2:])
    values = {spec.name: context.params[spec.name] for spec in specs(ClusterOptions)}
    assert context.params["input_file"] == "a b.csv"
    assert ClusterOptions(**values) == options
