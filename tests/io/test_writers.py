"""Tables out: exact, harmless in spreadsheets, and whole or not at all."""

import csv
import gzip
import os
import signal
import subprocess
import sys
import time

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise.exceptions import ResourceError, UsageError
from partwise.io import open_table, write_csv, write_h5ad, write_parquet
from partwise.io.csv_text import cell_text, is_formula

COLUMNS = {
    "fov": pd.Categorical(["F1", "F2", "F1"]),
    "label": np.array([1, 2, 3], np.int32),
    "kind": ["T cell", 'say "hi"', "a,b\nc"],
    "cluster": np.array([0, -1, 10]),
    "usage": np.array([0.1, 0, 1e-7], np.float32),
    "wide": np.array([0.1, 1 / 3, 1e300]),
    "flag": np.array([True, False, True]),
}


def test_csv_by_the_letter(tmp_path):
    path = tmp_path / "a.csv"
    assert write_csv(path, COLUMNS) == ()
    assert path.read_bytes().decode() == (
        "fov,label,kind,cluster,usage,wide,flag\n"
        "F1,1,T cell,0,0.1,0.1,true\n"
        'F2,2,"say ""hi""",-1,0,0.3333333333333333,false\n'
        'F1,3,"a,b\nc",10,1e-7,1e+300,true\n'
    )


def test_csv_of_missing_values_has_empty_cells(tmp_path):
    columns = {
        "a": pd.Categorical(["x", None]),
        "b": pd.Series(["y", None]),
        "c": np.array([np.nan, 1], np.float32),
        "d": pd.array(["z", pd.NA], dtype="string[pyarrow]"),
    }
    write_csv(tmp_path / "a.csv", columns)
    assert (tmp_path / "a.csv").read_text() == "a,b,c,d\nx,y,,z\n,,1,\n"


def test_csv_of_one_column_and_of_no_rows(tmp_path):
    write_csv(tmp_path / "a.csv", {"a": np.arange(3)})
    assert (tmp_path / "a.csv").read_text() == "a\n0\n1\n2\n"
    write_csv(tmp_path / "b.csv", {"a": np.empty(0), "b": pd.Categorical([])})
    assert (tmp_path / "b.csv").read_text() == "a,b\n"


def test_csv_of_columns_of_a_larger_array(tmp_path):
    usage = np.arange(12, dtype=np.float32).reshape(4, 3)
    write_csv(tmp_path / "a.csv", {f"f{j}": usage[:, j] for j in range(3)}, chunk_rows=3)
    assert np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1).tolist() == usage.tolist()


def test_csv_compressed_by_its_name(tmp_path):
    write_csv(tmp_path / "a.csv", COLUMNS)
    write_csv(tmp_path / "a.csv.gz", COLUMNS)
    write_csv(tmp_path / "a.csv.zst", COLUMNS)
    plain = (tmp_path / "a.csv").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == plain
    table = open_table(tmp_path / "a.csv.zst", id_columns=["fov", "label"], features=["usage"])
    assert table.matrix[:, 0].tolist() == COLUMNS["usage"].tolist()


def test_threads_and_chunks_do_not_change_the_file(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "fov": pd.Categorical(rng.choice(["=1+1", "F,2", "F3"], 5000)),
        "cell": [f"-c{i}" if i % 100 == 0 else f"c{i}" for i in range(5000)],
        "usage": rng.random(5000, np.float32),
    }
    told, files = set(), set()
    for threads, rows in [(1, None), (2, None), (1, 1000), (2, 7), (3, 10**9)]:
        path = tmp_path / "a.csv"
        told.add(write_csv(path, columns, n_threads=threads, chunk_rows=rows))
        files.add(path.read_bytes())
    assert len(files) == 1
    assert told == {
        (
            "1 value of column 'fov' begin like a formula and were given an apostrophe in front",
            "50 values of column 'cell' begin like a formula and were given an apostrophe in front",
        )
    }


FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=100, deadline=None)
@given(values=FLOATS)
def test_floats_come_back_exactly(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "floats.csv"
    expected = np.array(values, np.float32)
    write_csv(path, {"i": np.arange(len(values)), "v": expected})
    back = np.array([row["v"] for row in csv.DictReader(path.open())], np.float32)
    np.testing.assert_array_equal(back.view(np.int32), expected.view(np.int32))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(TEXTS, min_size=2, max_size=20), categorical=st.booleans())
def test_harmless_identifiers_come_back_exactly(tmp_path_factory, values, categorical):
    path = tmp_path_factory.getbasetemp() / "texts.csv"
    column = pd.Categorical(values) if categorical else values
    columns = {"t": column, "v": np.ones(len(values))}
    write_csv(path, columns, identifiers=["t"])
    expected = ["'" + v if is_formula(v, identifier=True) else v for v in values]
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["t"] for row in csv.DictReader(file)] == expected
    if not any(v.startswith("\ufeff") for v in values):
        assert open_table(path, id_columns=["t"]).ids["t"].tolist() == expected


@pytest.mark.parametrize(
    ("text", "own", "identifier"),
    [
        ("=1+1", "'=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx", "'\tx"),
        ("\rx", '"\'\rx"', '"\'\rx"'),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-CD4", "'-CD4", "-CD4"),
        ("+", "'+", "+"),
        ("-", "'-", "-"),
        ("-1.5e3", "-1.5e3", "-1.5e3"),
        ("+7", "+7", "+7"),
        ("CD4=high", "CD4=high", "CD4=high"),
        ("", "", ""),
    ],
)
def test_formulas(text, own, identifier):
    assert cell_text(text, identifier=False, delimiter=",") == own
    assert cell_text(text, identifier=True, delimiter=",") == identifier


def test_formulas_in_the_header(tmp_path):
    write_csv(tmp_path / "a.csv", {"-CD4": [1], "-CD8": [2], "=x,y": [3]}, identifiers=["-CD8"])
    assert (tmp_path / "a.csv").read_text() == "'-CD4,-CD8,\"'=x,y\"\n1,2,3\n"


def test_parquet_keeps_everything(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {**COLUMNS, "=odd": ["=1+1", None, "-CD4"]}
    assert write_parquet(path, columns, chunk_rows=2) == ()
    back = pd.read_parquet(path)
    assert back["fov"].dtype == "category"
    assert back["usage"].dtype == np.float32
    for name, values in columns.items():
        assert back[name].tolist() == list(values)
    file = pq.ParquetFile(path, page_checksum_verification=True)
    assert file.num_row_groups == 2
    assert file.read().num_rows == 3


def test_a_flipped_bit_in_our_parquet_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    write_parquet(path, {"c": np.arange(5000), "v": rng.random(5000, np.float32)})
    data = bytearray(path.read_bytes())
    for place in rng.integers(len(data) // 10, len(data) * 8 // 10, 20):
        broken = data.copy()
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(Exception, match=r"damaged|cut off"):
            open_table(path, id_columns=["c"])


def test_columns_that_do_not_fit(tmp_path):
    for write in (write_csv, write_parquet):
        with pytest.raises(UsageError, match=r"differ in length: \{'a': 2, 'b': 3\}"):
            write(tmp_path / "a", {"a": [1, 2], "b": [1, 2, 3]})
        with pytest.raises(UsageError, match="no columns to write"):
            write(tmp_path / "a", {})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(
        "fov,label,cell/type,A/x,B\nF1,1,T,0.5,1\nF1,2,B,0,2\nF2,1,T,3,0\n", encoding="utf-8"
    )
    return open_table(path, id_columns=["fov", "label", "cell/type"])


RECORD = {
    "n_components": 2,
    "tol": np.float64(1e-4),
    "seed": None,
    "converged": True,
    "solver": "hals",
    "loss": np.array([3.0, 1.0]),
    "columns": ("fov", "label"),
    "mixed": ["a", 1],
    "nested": {"a/b": 1, "none": None},
    "empty": [],
}


def test_h5ad(table, tmp_path):
    usage = np.arange(6, dtype=np.float32).reshape(3, 2)
    programs = np.ones((2, 2), np.float32)
    notes = write_h5ad(
        tmp_path / "a.h5ad",
        table,
        usage=usage,
        programs=programs,
        labels=np.array([0, 10, -1]),
        record=RECORD,
    )
    assert notes == ("the column 'cell/type' is called 'cell_type' in the h5ad file",)
    data = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert data.obs_names.tolist() == ["F1_1", "F1_2", "F2_1"]
    assert data.var_names.tolist() == ["A/x", "B"]
    np.testing.assert_array_equal(data.X, table.matrix)
    np.testing.assert_array_equal(data.obsm["X_nmf"], usage)
    np.testing.assert_array_equal(data.varm["NMF_loadings"], programs.T)
    assert data.obs["leiden_cluster"].cat.categories.tolist() == ["-1", "0", "10"]
    assert data.obs["leiden_cluster"].tolist() == ["0", "10", "-1"]
    assert data.obs["label"].tolist() == [1, 2, 1]
    stored = data.uns["nmf"]
    assert stored["n_components"] == 2
    assert stored["converged"]
    assert stored["loss"].tolist() == [3, 1]
    assert stored["columns"].tolist() == ["fov", "label"]
    assert stored["mixed"] == '["a", 1]'
    assert stored["nested"] == {"a_b": 1}
    assert "seed" not in stored


def test_h5ad_of_values_that_are_not_in_memory(table, tmp_path):
    large = open_table(table.path, id_columns=["fov", "label", "cell/type"], memory_limit=0)
    notes = write_h5ad(tmp_path / "a.h5ad", large, usage=np.ones((3, 1)), programs=np.ones((1, 2)))
    assert notes[-1] == (
        "X was left out of the h5ad file, because the values exceed the memory limit"
    )
    data = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert data.X is None
    assert data.shape == (3, 2)


def test_h5ad_of_rows_that_have_no_names_of_their_own(tmp_path):
    (tmp_path / "in.csv").write_text("donor,A\nD1,1\nD1,2\n")
    table = open_table(tmp_path / "in.csv", id_columns=["donor"])
    write_h5ad(tmp_path / "a.h5ad", table, usage=np.ones((2, 1)), programs=np.ones((1, 1)))
    assert anndata.read_h5ad(tmp_path / "a.h5ad").obs_names.tolist() == ["0", "1"]


def test_h5ad_of_shapes_that_do_not_fit(table, tmp_path):
    with pytest.raises(UsageError, match=r"table 3 x 2, usage \(3, 1\), programs \(2, 2\)"):
        write_h5ad(tmp_path / "a.h5ad", table, usage=np.ones((3, 1)), programs=np.ones((2, 2)))
    assert not (tmp_path / "a.h5ad").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5ad"])
def test_a_folder_that_is_not_there(tmp_path, table, kind):
    path = tmp_path / "none" / f"a.{kind}"
    with pytest.raises((ResourceError, OSError), match="none"):
        write(kind, path, table)


def write(kind, path, table):
    if kind == "csv":
        write_csv(path, COLUMNS)
    elif kind == "parquet":
        write_parquet(path, COLUMNS)
    else:
        write_h5ad(path, table, usage=np.ones((3, 1)), programs=np.ones((1, 2)))


VICTIM = """
import sys, numpy as np, pandas as pd
from partwise import NMF
from partwise.io import open_table, save_model, write_csv, write_h5ad, write_parquet
folder, kind = sys.argv[1:]
n = 60_000
ids = pd.DataFrame({"fov": pd.Categorical(["F"] * n), "label": np.arange(n)})
usage = np.random.default_rng(0).random((n, 4), np.float32)
columns = {**ids, **{f"f{j}": usage[:, j] for j in range(4)}}
def rounds():
    if kind == "csv":
        return write_csv(f"{folder}/a.csv", columns)
    if kind == "parquet":
        return write_parquet(f"{folder}/a.parquet", columns)
    if kind == "npz":
        return save_model(model, f"{folder}/a.npz")
    return write_h5ad(f"{folder}/a.h5ad", table, usage=usage, programs=np.ones((4, 2)))
if kind == "npz":
    model = NMF(2, max_iter=2, random_state=0).fit(usage)
    model.components_ = np.ones((2, 2_000_000), np.float32)
    model.n_features_in_ = 2_000_000
if kind == "h5ad":
    from partwise.io import Table
    table = Table(path=None, name="a", kind="text", ids=ids, features=("A", "B"),
                  matrix=usage[:, :2].copy())
rounds()
print("ready", flush=True)
while True:
    rounds()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("kind", ["csv", "parquet", "h5ad", "npz"])
def test_killed_while_writing_leaves_the_earlier_file_whole(tmp_path, kind):
    rng = np.random.default_rng(len(kind))
    victim = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", VICTIM, str(tmp_path), kind],
        stdout=subprocess.PIPE,
    )
    path = tmp_path / f"a.{kind}"
    try:
        assert victim.stdout.readline() == b"ready\n"
        whole = path.read_bytes()
        time.sleep(rng.uniform(0.05, 0.4))
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()
    left = [name for name in os.listdir(tmp_path) if not name.startswith(".partwise-")]
    assert left == [path.name]
    if kind == "h5ad":  # HDF5 notes the time, so bytes differ from write to write
        assert anndata.read_h5ad(path).shape == (60_000, 2)
    else:
        assert path.read_bytes() == whole
