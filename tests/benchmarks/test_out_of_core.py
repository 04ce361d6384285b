"""The benchmark of files: its data, and that memory, h5ad and zarr give one objective."""

import sys
from pathlib import Path

import anndata
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import out_of_core


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("out_of_core")
    out_of_core.simulate(25_000, 60, path)
    return path


def test_data(folder):
    X = anndata.read_h5ad(folder / "big.h5ad").X
    assert X.shape == (25_000, 60)
    assert X.nnz / (25_000 * 60) == pytest.approx(0.05, rel=0.1)
    assert (X.data == X.data.round()).all()
    assert sorted(path.name for path in folder.iterdir()) == ["big.h5ad", "big.zarr"]


def test_all_ways_end_at_the_same_objective(folder):
    found = {mode: out_of_core.fit(mode, folder, 1e-4, 2) for mode in out_of_core.MODES}
    assert len({record["loss"] for record in found.values()}) == 1
    told = out_of_core.summary({mode: [record] for mode, record in found.items()})
    assert told["memory"]["times_memory_wall"] == 1
    assert told["zarr"]["peak_mb"] > 0
