"""Columns that describe rows beside the identifiers, in every kind of file that has columns."""

import anndata
import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.io import open_table

FRAME = pd.DataFrame(
    {
        "fov": ["F1", "F1", "F2"],
        "batch": [1, 1, 2],
        "label": [1, 2, 3],
        "A": [1.0, 0.0, 2.0],
        "cell_meta_cluster": ["a", "b", "a"],
        "B": [0.0, 1.0, 3.0],
    }
)


def _write(tmp_path, kind):
    path = tmp_path / f"cells.{kind}"
    if kind == "csv":
        FRAME.to_csv(path, index=False)
    elif kind == "parquet":
        FRAME.to_parquet(path)
    else:
        obs = FRAME[["fov", "batch", "label"]].set_index(pd.Index(["x", "y", "z"]))
        anndata.AnnData(
            FRAME[["A", "B"]].to_numpy(np.float32),
            obs=obs,
            var=pd.DataFrame(index=["A", "B"]),
        ).write_h5ad(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5ad"])
def test_metadata_joins_the_identifiers(tmp_path, kind):
    path = _write(tmp_path, kind)
    with open_table(path, metadata=["batch", "fov"]) as table:
        assert table.features == ("A", "B")
        first = (
            ["cell", "fov", "label"] if kind == "h5ad" else ["fov", "label", "cell_meta_cluster"]
        )
        assert list(table.ids.columns) == [*first, "batch"]
        assert table.ids["batch"].astype(str).tolist() == ["1", "1", "2"]
    with open_table(path, id_columns=["label"], features=["A"], metadata="batch") as table:
        assert list(table.ids.columns) == ["label", "batch"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5ad"])
def test_a_column_that_is_not_there(tmp_path, kind):
    with pytest.raises(DataError, match=r"column 'Batch'.*batch"):
        open_table(_write(tmp_path, kind), metadata=["Batch"])


def test_bare_arrays_have_no_columns(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(UsageError, match="leave out 'batch'"):
        open_table(tmp_path / "x.npy", metadata=["batch"])
