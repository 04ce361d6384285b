"""A look at a table never stops what the reader would explain better."""

import gzip

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError
from partwise.io.peek import peek

TEXT = "fov,label,x,kind\nF,1,1.5,T\nF,2,2.5,U\n"


def test_text(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    found = peek(tmp_path / "a.csv")
    assert found.kind == "text"
    assert found.names == ("fov", "label", "x", "kind")
    assert found.rows["kind"].tolist() == ["T", "U"]
    assert [name for name in found.names if found.numeric(name)] == ["label", "x"]


def test_parquet_with_missing_values(tmp_path):
    frame = pd.DataFrame({"x": [1.0, None], "kind": ["T", None]})
    frame.to_parquet(tmp_path / "a.parquet")
    found = peek(tmp_path / "a.parquet")
    assert found.rows.to_numpy().tolist() == [["1.0", "T"], ["", ""]]


def test_annotated(tmp_path):
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["T", "U"]), "number": [1, 2], "text": ["a", "b"]}, index=["p", "q"]
    )
    adata = anndata.AnnData(np.eye(2), obs=obs, obsm={"spatial": np.eye(2)})
    adata.var_names = ["G1", "G2"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for name in ("a.h5ad", "a.zarr"):
        found = peek(tmp_path / name)
        assert found.spatial
        assert found.features == ("G1", "G2")
        assert {text for text in found.rows["kind"] if text} == {"T", "U"}
        assert {text for text in found.rows["text"] if text} == {"a", "b"}


@pytest.mark.parametrize(
    "content",
    [
        (TEXT + 'F,3,"' + "x" * 300_000).encode(),  # a quotation mark that is never closed
        TEXT.encode() + b"F,3,\xff\xfe,T\n" * 50,
        gzip.compress((TEXT + "".join(f"F,{i},{i * 0.7},T\n" for i in range(300_000))).encode())[
            :-30
        ],
        TEXT.encode() + b"F,3\n",
    ],
    ids=["quote", "encoding", "cut off", "ragged"],
)
def test_damage_is_left_to_the_reader(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    assert peek(tmp_path / "a.csv").names == ("fov", "label", "x", "kind")


def test_files_without_named_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    assert peek(tmp_path / "a.npy") is None
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["matrix"] = np.eye(2)
    assert peek(tmp_path / "a.h5ad") is None


def test_a_file_of_which_not_even_the_start_can_be_unpacked(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((TEXT * 20).encode())[:-12])
    with pytest.raises(DataError, match="the compressed file ends too early"):
        peek(tmp_path / "a.csv.gz")
