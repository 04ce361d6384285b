"""What a run would do: counted or told by the file, and nothing written."""

import dataclasses
import gzip
import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from partwise.datasets import simulate_tissue
from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.graph.repeats import neighbors_per_row
from partwise.io.size import size_of
from partwise.workflows import (
    NeighborhoodsOptions,
    TuneOptions,
    cluster,
    neighborhoods,
    plan_cluster,
    plan_neighborhoods,
    plan_tune,
    tune,
)
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.clustering.plan import estimate_memory, estimate_seconds, memory_for_values
from partwise.workflows.plan import Shape, listed_neighbors, parse_bytes, shape_of
from partwise.workflows.tuning.plan import memory_for_values as tune_memory

N, P = 37, 3
FRAME = pd.DataFrame(
    {
        "fov": "F",
        "label": range(N),
        "cell_meta_cluster": "a",
        **{f"CD{j}": np.arange(N) + 1.0 for j in range(P)},
    }
)


def _annotated(path):
    import anndata

    anndata.AnnData(sp.csr_matrix(FRAME.iloc[:, 3:].to_numpy(np.float32))).write_h5ad(path)


WRITERS = {
    "plain.csv": lambda path: FRAME.to_csv(path, index=False),
    "no end.csv": lambda path: path.write_text(FRAME.to_csv(index=False).rstrip("\n")),
    "packed.csv.gz": lambda path: path.write_bytes(
        gzip.compress(FRAME.to_csv(index=False).encode())
    ),
    "windows.tsv": lambda path: path.write_bytes(
        FRAME.to_csv(index=False, sep="\t", lineterminator="\r\n").encode()
    ),
    "a.parquet": lambda path: FRAME.to_parquet(path),
    "a.h5ad": _annotated,
    "a.npy": lambda path: np.save(path, np.ones((N, P))),
    "a.npz": lambda path: np.savez(path, X=np.ones((N, P)), names=np.ones(5)),
    "sparse.npz": lambda path: sp.save_npz(path, sp.csr_matrix(np.ones((N, P)))),
    "a.mtx": lambda path: scipy.io.mmwrite(path, sp.coo_matrix(np.ones((N, P)))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_kind_of_file(tmp_path, name):
    WRITERS[name](tmp_path / name)
    size = size_of(tmp_path / name)
    assert (size.n_rows, size.exact) == (N, True)
    assert size.n_columns in (None, P)


def test_rows_of_large_files_are_estimated(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    values = np.random.default_rng(0).integers(10**9, 10**10, (100_000, 2))
    path.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in values))
    packed = tmp_path / "large.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr("partwise.io.size._COUNTED", 1000)
    monkeypatch.setattr("partwise.io.size._PIECE", 2**12)
    monkeypatch.setattr("partwise.io.size._UNPACKED", 2**20)
    plain = size_of(path)
    assert not plain.exact
    assert plain.n_rows == pytest.approx(100_000, rel=0.01)
    compressed = size_of(packed)
    assert not compressed.exact
    assert compressed.n_rows == pytest.approx(100_000, rel=0.25)


def test_files_that_are_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="damaged or cut off"):
        size_of(path)
    with pytest.raises(DataError, match="no such file"):
        size_of(tmp_path / "none.csv")


def test_columns_are_those_of_the_job(tmp_path):
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False)
    shape = shape_of(path, ClusterOptions())
    assert shape.features == ("CD0", "CD1", "CD2")
    assert shape.text == "37 rows x 3 features"
    assert shape_of(path, ClusterOptions(features=("CD[12]",))).features == ("CD1", "CD2")
    with pytest.raises(DataError, match="'patient'"):
        shape_of(path, ClusterOptions(id_columns=("fov", "patient")))


def test_a_table_of_cells(tmp_path):
    frame = FRAME[["fov", "label"]].assign(
        cell_meta_cluster=["a", "b"] * 18 + ["c"], x=range(N), y=range(N)
    )
    frame.to_csv(tmp_path / "cells.csv", index=False)
    shape = shape_of(tmp_path / "cells.csv", ClusterOptions())
    assert shape.cells
    assert shape.features == ("a", "b", "c")
    assert "types around each" in shape.text


def test_the_files_are_those_of_the_run(small_table, tmp_path):
    options = ClusterOptions(
        output_dir=tmp_path / "results", n_components=4, formats=("parquet", "h5ad"), svd=True
    )
    plan = plan_cluster(small_table, options=options)
    assert not (tmp_path / "results").exists()
    cluster(small_table, options=options)
    assert set(plan.files) == {path.name for path in (tmp_path / "results").iterdir()}
    assert any("--svd" in note for note in plan.notes)


def test_the_files_of_several_settings(small_table, tmp_path):
    options = ClusterOptions(output_dir=tmp_path / "results", settings=("3 10 0.1", "4 15 0.1"))
    plan = plan_cluster(small_table, options=options)
    cluster(small_table, options=options)
    assert set(plan.files) == {path.name for path in (tmp_path / "results").iterdir()}


def shape(n, p, cells=False):
    names = tuple(f"f{j}" for j in range(p))
    return Shape("t.csv", "text", n, True, names, 3, cells, 9 * n * (p + 2))


def test_memory_adds_up():
    """One case by hand: 1.2 million cells x 6 features, 6 factors, 15 neighbours."""
    n, held = 1_200_000, 4 * 6
    stages = estimate_memory(shape(n, 6), ClusterOptions(n_components=6))
    fit = 365_000_000 + n * (held + 20 + 8 * 6 + 20)
    # the singular vectors in place of the copy of the usage
    assert stages["factorize"] == fit + n * (20 * 6 - 4 * 6 - 20)
    assert stages["cluster"] == fit + 8_000_000 + n * (4 * 6 + 30) + round(9.2 * 15 * n)
    assert max(stages, key=stages.get) == "cluster"


def test_rows_that_repeat_have_more_links():
    """As many as the number of distinct rows that has most of them."""
    n, k = 20_000, 15
    most = max(m * neighbors_per_row(k, n, m) for m in range(1, n))
    assert listed_neighbors(n, k, math.inf) == pytest.approx(most, rel=0.01)
    few = max(m * neighbors_per_row(k, n, m) for m in range(1, 500))
    assert listed_neighbors(n, k, 500) == pytest.approx(few, rel=0.01)
    assert listed_neighbors(n, k, None) == n * k
    once, repeated = (
        estimate_memory(dataclasses.replace(shape(n, 6), kinds=kinds), ClusterOptions())
        for kinds in (None, math.inf)
    )
    assert repeated["cluster"] > once["cluster"]
    assert repeated["factorize"] == once["factorize"]


def test_the_first_rows_say_whether_rows_repeat(tmp_path):
    rng = np.random.default_rng(0)
    ids = pd.DataFrame({"fov": "F", "label": range(2000), "cell_meta_cluster": "a"})
    counts = rng.poisson(1, (2000, 3))
    for name, values in (("counts", counts), ("once", rng.random((2000, 3)))):
        frame = pd.concat([ids, pd.DataFrame(values).add_prefix("CD")], axis=1)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    assert shape_of(tmp_path / "once.csv", ClusterOptions()).kinds is None
    kinds = shape_of(tmp_path / "counts.csv", ClusterOptions()).kinds
    distinct = len(np.unique(counts, axis=0))
    assert distinct <= kinds < 20 * distinct


@pytest.mark.parametrize(
    "more",
    [{"n_neighbors": 60}, {"n_components": 30}, {"settings": ("6 15 0.1", "6 60 0.1")}],
)
def test_more_work_takes_more(more):
    table = shape(500_000, 6)
    less = ClusterOptions(n_components=6) if "settings" not in more else ClusterOptions()
    options = ClusterOptions(**({"n_components": 6} | more if "settings" not in more else more))
    assert sum(estimate_memory(table, options).values()) > sum(
        estimate_memory(table, less).values()
    )
    assert sum(estimate_seconds(table, options).values()) > sum(
        estimate_seconds(table, ClusterOptions(n_components=6)).values()
    )


def test_a_sample_takes_less():
    sampled = ClusterOptions(subsample="fov", subsample_fraction=0.1)
    table = shape(1_000_000, 6)
    whole = estimate_memory(table, ClusterOptions())["cluster"]
    assert estimate_memory(table, sampled)["cluster"] < 0.7 * whole


@pytest.mark.parametrize(
    ("text", "n"), [("4GB", 4e9), ("800 mb", 8e8), ("1.5GiB", 1.5 * 2**30), ("2e", None)]
)
def test_sizes(text, n):
    if n is not None:
        assert parse_bytes(text) == n
        return
    for wrong in (text, "", "GB", "-1GB", "0MB", "4 apples", "iB"):
        with pytest.raises(UsageError, match="such as 4GB or 800MB"):
            parse_bytes(wrong)


def test_memory_decides_between_holding_and_streaming(monkeypatch):
    wide = shape(200_000, 500)  # 400 MB of values
    monkeypatch.setattr("partwise.workflows.clustering.plan.shape_of", lambda *a: wide)
    plain = ClusterOptions()
    whole = max(estimate_memory(wide, plain).values())
    streamed = max(estimate_memory(wide, plain, streamed=True).values())
    assert streamed < whole

    def granted(n_bytes):
        return memory_for_values("t.csv", ClusterOptions(memory=f"{n_bytes}"))

    assert granted(whole) == 4 * 200_000 * 500
    assert granted(streamed) == 0
    with pytest.raises(ResourceError, match="was not started") as caught:
        granted(streamed - 1)
    assert "--memory" in str(caught.value)


def test_what_is_said_to_help_does(monkeypatch):
    large = shape(3_000_000, 6)
    monkeypatch.setattr("partwise.workflows.clustering.plan.shape_of", lambda *a: large)
    options = ClusterOptions(n_neighbors=120, memory="2GB")
    with pytest.raises(ResourceError, match="the neighbours of 3,000,000 cells") as caught:
        memory_for_values("t.csv", options)
    words = str(caught.value).split()
    fewer = int(words[words.index("--n-neighbors") + 1].rstrip(";"))
    memory_for_values("t.csv", ClusterOptions(n_neighbors=fewer, memory="2GB"))
    share = float(words[words.index("--subsample-fraction") + 1])
    memory_for_values(
        "t.csv",
        ClusterOptions(n_neighbors=120, memory="2GB", subsample="fov", subsample_fraction=share),
    )


def test_on_the_command_line(partwise, small_table, tmp_path):
    done = partwise("cluster", small_table, "--dry-run", "-n", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (
        "600 rows x 6 features",
        "estimated",
        "results",
        "run.json",
        "nothing was written",
    ):
        assert text in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = partwise("cluster", small_table, "--dry-run", "--json", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert plan["n_rows"] == 600
    assert plan["estimated_peak_memory_bytes"] == max(plan["estimated_memory_bytes"].values())
    done = partwise("cluster", small_table, "--memory", "200MB", cwd=tmp_path)
    assert done.returncode == 4
    assert "was not started" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_neighborhoods(tmp_path):
    cells = simulate_tissue(600, n_fovs=3).cells
    cells.to_csv(tmp_path / "cells.csv", index=False)
    options = NeighborhoodsOptions(output_dir=tmp_path / "results", formats=("parquet",))
    plan = plan_neighborhoods(tmp_path / "cells.csv", options=options)
    assert not (tmp_path / "results").exists()
    assert (plan.shape.n_rows, plan.shape.n_features) == (600, cells["cell_meta_cluster"].nunique())
    neighborhoods(tmp_path / "cells.csv", options=options)
    assert set(plan.files) == {path.name for path in (tmp_path / "results").iterdir()}
    with pytest.raises(DataError, match="'kind'"):
        plan_neighborhoods(tmp_path / "cells.csv", options=NeighborhoodsOptions(type_column="kind"))


def test_neighborhoods_keep_within_memory(tmp_path):
    simulate_tissue(600, n_fovs=3).cells.to_csv(tmp_path / "cells.csv", index=False)
    folder = tmp_path / "results"
    options = NeighborhoodsOptions(output_dir=folder, memory="200MB")
    for job in (plan_neighborhoods, neighborhoods):
        with pytest.raises(ResourceError, match=r"was not started. The program alone takes 300 MB"):
            job(tmp_path / "cells.csv", options=options)
        with pytest.raises(ResourceError, match=r"counts of the types.*same --radius"):
            job(tmp_path / "cells.csv", options=dataclasses.replace(options, memory="301MB"))
    assert not folder.exists()
    enough = dataclasses.replace(options, memory="2GB")
    plain = dataclasses.replace(options, memory=None, output_dir=tmp_path / "plain")
    within, without = (neighborhoods(tmp_path / "cells.csv", options=o) for o in (enough, plain))
    assert within.outputs["table"].read_bytes() == without.outputs["table"].read_bytes()
    with pytest.raises(UsageError, match="such as 4GB"):
        neighborhoods(tmp_path / "cells.csv", memory="much")


def test_tuning_keeps_within_memory(small_table, tmp_path, monkeypatch):
    wide = shape(1_000_000, 100)  # 400 MB of values
    monkeypatch.setattr("partwise.workflows.tuning.plan.shape_of", lambda *a: wide)
    whole = plan_tune("t.csv", options=TuneOptions(memory="100GB")).peak_memory_bytes
    assert tune_memory("t.csv", TuneOptions(memory=f"{whole}")) == wide.values
    assert tune_memory("t.csv", TuneOptions(memory=f"{whole - 1}")) == 0
    streamed = plan_tune("t.csv", options=TuneOptions(memory=f"{whole - 1}"))
    assert streamed.peak_memory_bytes < whole
    assert any("read from disk" in note for note in streamed.notes)
    limit = f"{streamed.peak_memory_bytes - 1}"
    for job in (tune_memory, tune):
        with pytest.raises(ResourceError, match="200,000 cells and their graph") as caught:
            job("t.csv", options=TuneOptions(memory=limit, output_dir=tmp_path / "results"))
    assert not (tmp_path / "results").exists()
    words = str(caught.value).split()
    fewer = int(words[words.index("--n-cells") + 1])
    assert tune_memory("t.csv", TuneOptions(memory=limit, n_cells=fewer)) == 0


@pytest.mark.parametrize("command", [["tune"], ["cluster", "--tune"], ["neighborhoods"]])
def test_every_command_shows_its_plan(small_table, tmp_path, monkeypatch, command):
    from click.testing import CliRunner

    from partwise.cli.app import app

    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command, str(small_table), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "nothing was written" in done.output
    assert list(tmp_path.iterdir()) == []
