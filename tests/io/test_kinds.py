"""Files that are not text: the same values from memory and from disk; what is wrong with them."""

import gzip
import io
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.io import open_table
from partwise.matrix.sources import BlockSource

# anndata tells what its next release will do
pytestmark = pytest.mark.filterwarnings("ignore:.*[zZ]arr", "ignore:.*shard")

N, P = 700, 12
NAMES = [f"g{j}" for j in range(P)]


def values():
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 5, (N, P)) * (rng.random((N, P)) < 0.3)
    dense[:, 0] += 1  # no row is all zero
    return dense.astype(np.float32)


X = values()


def annotated(matrix, *, full=True):
    obs = pd.DataFrame({"fov": pd.Categorical([f"F{i % 3}" for i in range(N)])})
    if full:
        obs["label"] = np.arange(N)
        obs["cell_meta_cluster"] = pd.Categorical(["T", None] * (N // 2))
    obs["donor"] = ["D1", "D2"] * (N // 2)
    obs.index = [f"cell-{i}" for i in range(N)]
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=NAMES))


def write_h5ad(folder, matrix, **changes):
    path = folder / "cells.h5ad"
    annotated(matrix, **changes).write_h5ad(path, compression="gzip")
    return path


def write_zarr(folder, matrix, **changes):
    path = folder / "cells.zarr"
    annotated(matrix, **changes).write_zarr(path, chunks=(100, P))
    return path


def write_parquet(folder, matrix):
    path = folder / "cells.parquet"
    frame = pd.DataFrame(matrix, columns=NAMES)
    frame.insert(0, "fov", [f"F{i % 3}" for i in range(N)])
    frame.insert(3, "label", np.arange(N))
    frame["cell_meta_cluster"] = pd.Categorical(["T", None] * (N // 2))
    frame.to_parquet(path, row_group_size=97)
    return path


def write_npy(folder, matrix):
    path = folder / "cells.npy"
    np.save(path, matrix)
    return path


def write_npz(folder, matrix):
    path = folder / "cells.npz"
    if sp.issparse(matrix):
        sp.save_npz(path, matrix)
    else:
        np.savez(path, X=matrix, names=np.arange(3))
    return path


def write_mtx(folder, matrix):
    path = folder / "matrix.mtx"
    scipy.io.mmwrite(path, matrix)
    return path


def write_mtx_gz(folder, matrix):
    path = write_mtx(folder, matrix)
    packed = folder / "matrix.mtx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


CSR = sp.csr_matrix(X)
FILES = {
    "h5ad dense": (write_h5ad, X),
    "h5ad csr": (write_h5ad, CSR),
    "h5ad csc": (write_h5ad, CSR.tocsc()),
    "h5ad float64": (write_h5ad, X.astype(np.float64)),
    "h5ad int64": (write_h5ad, sp.csr_matrix(X.astype(np.int64))),
    "h5ad int64 indices": (write_h5ad, "wide"),
    "zarr dense": (write_zarr, X),
    "zarr csr": (write_zarr, CSR),
    "parquet": (write_parquet, X),
    "parquet int": (write_parquet, X.astype(np.int32)),
    "parquet float64": (write_parquet, X.astype(np.float64)),
    "parquet bool": (write_parquet, X > 0),
    "npy": (write_npy, X),
    "npy fortran float64": (write_npy, np.asfortranarray(X.astype(np.float64))),
    "npy float16": (write_npy, X.astype(np.float16)),
    "npz dense": (write_npz, X),
    "npz csr": (write_npz, CSR),
    "npz coo": (write_npz, CSR.tocoo()),
    "mtx": (write_mtx, CSR),
    "mtx dense": (write_mtx, X),
    "mtx integers": (write_mtx, sp.csr_matrix(X.astype(np.int32))),
    "mtx gz": (write_mtx_gz, CSR),
}


def make(name, folder):
    write, matrix = FILES[name]
    if isinstance(matrix, str):
        matrix = CSR.copy()
        matrix.indices, matrix.indptr = matrix.indices.astype("i8"), matrix.indptr.astype("i8")
    return write(folder, matrix)


def gathered(matrix, start=0, stop=N):
    if not isinstance(matrix, BlockSource):
        return (matrix.toarray() if sp.issparse(matrix) else matrix)[start:stop]
    parts, at = [], start
    for first, block in matrix.blocks(start, stop):
        assert first == at
        assert block.dtype == matrix.dtype
        assert sp.issparse(block) or block.flags.c_contiguous
        at += block.shape[0]
        parts.append(block.toarray() if sp.issparse(block) else block)
    assert at == stop
    return np.concatenate(parts)


@pytest.mark.parametrize("name", FILES)
def test_every_kind_gives_the_same_values_from_memory_and_from_disk(tmp_path, monkeypatch, name):
    monkeypatch.setattr("partwise.io.sources.BLOCK_BYTES", 1500)
    path = make(name, tmp_path)
    expected = (X > 0).astype(np.float32) if name == "parquet bool" else X
    dtype = np.float64 if "float64" in name else np.float32
    with open_table(path) as table:
        assert table.in_memory
        assert table.matrix.dtype == dtype
        np.testing.assert_array_equal(gathered(table.matrix), expected)
        ids, features = table.ids, table.features
    with open_table(path, memory_limit=100) as table:
        matrix = table.matrix
        assert isinstance(matrix, BlockSource) != name.startswith(("npz", "mtx"))
        np.testing.assert_array_equal(gathered(matrix), expected)
        np.testing.assert_array_equal(gathered(matrix, 55, 501), expected[55:501])
        assert list(matrix.blocks(5, 5)) == [] if isinstance(matrix, BlockSource) else True
        pd.testing.assert_frame_equal(table.ids, ids)
    some = [features[7], features[2]]
    for limit in (100, 10**9):
        with open_table(path, features=some, memory_limit=limit) as table:
            assert table.features == (features[2], features[7])
            np.testing.assert_array_equal(gathered(table.matrix), expected[:, [2, 7]])


@pytest.mark.parametrize("name", ["h5ad csr", "zarr dense", "parquet"])
def test_identifiers_of_tables(tmp_path, name):
    with open_table(make(name, tmp_path)) as table:
        ids = table.ids
        assert table.features == tuple(NAMES)
        assert table.notes[0] == "column 'cell_meta_cluster' is empty in 350 rows"
    assert list(ids.columns) == ["fov", "label", "cell_meta_cluster"]
    assert ids["fov"].tolist() == [f"F{i % 3}" for i in range(N)]
    assert ids["label"].tolist() == list(range(N))
    assert ids["label"].dtype == np.int32
    assert ids["cell_meta_cluster"].tolist() == ["T", ""] * (N // 2)


def test_h5ad_without_all_identifiers_names_the_cells(tmp_path):
    path = write_h5ad(tmp_path, CSR, full=False)
    table = open_table(path)
    assert list(table.ids.columns) == ["cell", "fov"]
    assert table.ids["cell"].iloc[3] == "cell-3"
    table = open_table(path, id_columns=["donor"])
    assert table.ids["donor"].tolist() == ["D1", "D2"] * (N // 2)


@pytest.mark.parametrize("name", ["npy", "npz csr", "mtx"])
def test_bare_matrices_number_rows_and_features(tmp_path, name):
    path = make(name, tmp_path)
    table = open_table(path)
    assert table.ids["row"].tolist() == list(range(N))
    assert table.features[:2] == ("feature_1", "feature_2")
    with pytest.raises(UsageError, match="this kind of file has no identifier columns"):
        open_table(path, id_columns=["fov"])


def test_what_is_allowed_is_noted_whatever_the_kind(tmp_path):
    matrix = X.copy()
    matrix[[4, 9]] = 0
    matrix[:, 3] = 0
    for file in (write_npy(tmp_path, matrix), write_h5ad(tmp_path, sp.csr_matrix(matrix))):
        notes = open_table(file).notes[-2:]
        assert notes[0] == "2 rows are all zero (first: data row 5)"
        assert notes[1].startswith("all-zero column: ")
    matrix = X.copy()
    matrix[:, 3] = 7
    for file in (write_npy(tmp_path, matrix), write_h5ad(tmp_path, sp.csr_matrix(matrix))):
        assert open_table(file).notes[-1].startswith("column with one value in all rows: ")


MISSING = "the value is missing (NaN); a missing value is not zero: fill it or drop the row"


@pytest.mark.parametrize("limit", [100, 10**9])
@pytest.mark.parametrize("name", ["h5ad csr", "h5ad dense", "zarr csr", "parquet", "npy"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            np.nan,
            "the value is missing (NaN); a missing value is not zero: fill it or drop the row",
        ),
        (np.inf, "the value is infinite"),
        (-2.5, "-2.5 is negative; values must be 0 or more: shift, clip or leave it out"),
    ],
)
def test_values_that_cannot_be_used(tmp_path, monkeypatch, name, limit, value, problem):
    monkeypatch.setattr("partwise.io.sources.BLOCK_BYTES", 1500)
    matrix = X.copy()
    matrix[600, 4], matrix[601, 5] = value, -1
    write, like = FILES[name]
    path = write(tmp_path, sp.csr_matrix(matrix) if sp.issparse(like) else matrix)
    with pytest.raises(DataError) as caught:
        open_table(path, memory_limit=limit)
    column = "feature_5" if name == "npy" else "g4"
    other = "feature_6" if name == "npy" else "g5"
    assert str(caught.value) == (
        f"{path}, row 601, column {column!r}: {problem} (rows count from 1). "
        f"Also: row 602, column {other!r}: -1"
    )


def refused(path, **parameters):
    with pytest.raises(DataError) as caught:
        open_table(path, **parameters)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.removeprefix(str(path)).lstrip(",: ")


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.97])
@pytest.mark.parametrize("name", ["h5ad csr", "parquet", "npy", "npz csr", "mtx", "mtx gz"])
def test_files_that_were_cut_off(tmp_path, name, share):
    path = make(name, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(path)


@pytest.mark.parametrize("name", ["parquet", "zarr dense", "npz csr"])
def test_damage_in_the_middle_of_compressed_data(tmp_path, name):
    path = make(name, tmp_path)
    file = path / "X" / "2.0" if path.is_dir() else path
    if not file.exists():
        file = next(part for part in (path / "X").rglob("*") if part.is_file() and "2" in part.name)
    data = bytearray(file.read_bytes())
    for i in range(len(data) // 3, len(data) // 3 + 30):
        data[i] ^= 0xFF
    file.write_bytes(data)
    assert refused(path)


def test_missing_columns_of_obs(tmp_path):
    said = refused(write_h5ad(tmp_path, CSR), id_columns=["fov", "patient"])
    assert said == (
        "obs has no column 'patient'; it has 'fov', 'label', 'cell_meta_cluster', 'donor'"
    )


def test_duplicate_feature_names(tmp_path):
    data = annotated(CSR)
    data.var_names = ["g0", *NAMES[:-1]]
    data.write_h5ad(tmp_path / "a.h5ad")
    assert refused(tmp_path / "a.h5ad") == (
        "column 'g0': 1 features have the name of an earlier one; rename them, for example with "
        "adata.var_names_make_unique()"
    )


@pytest.mark.parametrize("write", [write_h5ad, write_parquet])
def test_duplicate_cells(tmp_path, write):
    path = write(tmp_path, X)
    if write is write_h5ad:
        data = anndata.read_h5ad(path)
        data.obs["label"] = np.r_[np.arange(N - 1), 1]
        data.obs["fov"] = "F"
        data.write_h5ad(path)
    else:
        frame = pd.read_parquet(path)
        frame["label"], frame["fov"] = np.r_[np.arange(N - 1), 1], "F"
        frame.to_parquet(path)
    assert refused(path) == (
        f"row {N}, column 'label': fov F, label 1 is in row 2 already: each cell must be there "
        "once (rows count from 1)"
    )


def test_h5_files_that_are_not_anndata(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_group("matrix")
    assert refused(path) == (
        "this is not AnnData: it has no obs and no var. It is a 10x Genomics matrix: convert it to "
        "h5ad first."
    )
    path = write_h5ad(tmp_path, CSR)
    with h5py.File(path, "a") as file:
        file["layers/counts"] = file["X"]
        del file["X"]
    assert refused(path) == ("there is no X in the file (layers: 'counts'); name a layer")


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("indices", lambda a: np.where(a == 3, 99, a), "points outside its columns"),
        ("indptr", lambda a: np.r_[a[:-2], 0, a[-1]], "row pointers of the sparse matrix decrease"),
        ("indptr", lambda a: np.r_[a[:-1], a[-1] + 5], "should hold"),
        ("indptr", lambda a: a[:-1], "X should have 700 rows but has pointers for 699"),
    ],
)
def test_sparse_parts_that_do_not_fit(tmp_path, part, change, problem):
    path = write_h5ad(tmp_path, CSR)
    with h5py.File(path, "a") as file:
        array = file["X"][part][:]
        del file["X"][part]
        file["X"][part] = change(array)
    assert problem in refused(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_lost_chunks_of_a_sparse_matrix_in_zarr(tmp_path, version, part):
    with anndata.settings.override(zarr_write_format=version):
        path = write_zarr(tmp_path, CSR)
    assert open_table(path).shape == (N, P)
    (path / "X" / part / ("0" if version == 2 else "c/0")).unlink()
    assert refused(path) == (
        f"1 of 1 chunks of X/{part} are missing: files were lost from the folder; copy it again"
    )


def test_lost_chunks_of_a_dense_matrix_in_zarr(tmp_path):
    path = write_zarr(tmp_path, X)
    (path / "X" / "2.0").unlink()
    table = open_table(path)
    assert table.notes[0] == (
        "1 of 7 chunks of X are absent and read as zeros: Zarr leaves out chunks that are all "
        "zero, but a lost file looks the same"
    )


def test_a_sparse_matrix_of_one_gene_in_zarr_lacks_no_chunk(tmp_path):
    matrix = sp.csr_matrix(np.ones((N, 1), np.float32) * (np.arange(N)[:, None] % 2))
    anndata.AnnData(matrix).write_zarr(tmp_path / "a.zarr")
    assert open_table(tmp_path / "a.zarr").matrix.sum() == N // 2


def test_text_in_a_parquet_feature(tmp_path):
    frame = pd.DataFrame({"cell": ["a", "b"], "A": [1.0, 2], "kind": ["x", "y"]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet", id_columns=["cell"]) == (
        "column 'kind': the column holds string, not numbers (so do 1 in all: 'kind'); choose the "
        "features by pattern, or name it an identifier"
    )


def test_python_objects_are_never_loaded(tmp_path):
    payload = np.array([[print]], dtype=object)
    np.save(tmp_path / "a.npy", payload)
    np.savez(tmp_path / "a.npz", X=payload)
    for name in ("a.npy", "a.npz"):
        assert refused(tmp_path / name).endswith(
            "holds Python objects, which could run code when loaded; save plain numbers"
        )


def test_arrays_that_are_no_matrix(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    assert refused(tmp_path / "a.npy") == (
        "the array has 1 dimensions; a matrix with rows and columns is needed"
    )
    np.save(tmp_path / "b.npy", np.ones((2, 2), complex))
    assert refused(tmp_path / "b.npy") == (
        "the values are of type complex128, which is not a real number that can be used"
    )
    np.savez(tmp_path / "c.npz", left=X, right=X)
    assert refused(tmp_path / "c.npz") == (
        "the file should hold one matrix; it has the arrays left, right"
    )
    np.save(tmp_path / "d.npy", np.ones((1, 3)))
    assert refused(tmp_path / "d.npy") == ("the file has only one row; at least 2 are needed")
    np.save(tmp_path / "e.npy", np.ones((0, 3)))
    assert refused(tmp_path / "e.npy") == "the matrix is empty: 0 rows, 3 features"


def test_an_array_that_promises_more_than_is_there(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue() + bytes(100))
    assert "should have 8,000,000,000,000,000 bytes but has" in refused(tmp_path / "a.npz")


def test_archives_of_other_kinds(tmp_path):
    for name, said in {
        "xl/workbook.xml": "this is an Excel workbook; save the sheet as CSV",
        "zarr.json": "this is a zipped Zarr folder; unpack it first",
        "cells.csv": "this is a zip file; unpack it first",
    }.items():
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(name, "x")
        assert refused(tmp_path / "a.zip") == said


HEAD = "%%MatrixMarket matrix coordinate real general\n% a remark\n\n3 2 2\n"


def test_matrix_market_by_hand(tmp_path):
    path = tmp_path / "a.mtx"
    path.write_text(HEAD + "1 1  0.5\n\n3\t2 2e1\n")
    assert open_table(path).matrix.toarray().tolist() == [[0.5, 0], [0, 0], [0, 20]]
    path.write_text(HEAD.replace("real", "pattern") + "1 1\n3 2\n")
    assert open_table(path).matrix.toarray().tolist() == [[1, 0], [0, 0], [0, 1]]
    head = "%%MatrixMarket matrix coordinate integer symmetric\n2 2 2\n"
    path.write_text(head + "1 1 3\n2 1 4\n")
    assert open_table(path).matrix.toarray().tolist() == [[3, 4], [4, 0]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + "1 1 0.5\n3 2\n", "row 6: '3 2' should be row column value"),
        (HEAD + "1 1 0.5\n3 x 1\n", "row 6: '3 x 1' should be row column value"),
        (HEAD + "1 1 0.5 7\n3 1 1\n", "row 5: '1 1 0.5 7' should be row column value"),
        (HEAD + "1 1 0.5\n3 1 nan\n", "row 6: 'nan' is a missing value, which is not zero"),
        (HEAD + "1 1 0.5\n3 1 1 7\n", "row 6: '3 1 1 7' should be row column value"),
        (HEAD + "1 1 0.5\n4 2 1\n", "entry 2 is outside the matrix of 3 x 2"),
        (HEAD + "0 1 0.5\n3 2 1\n", "entry 1 is outside the matrix of 3 x 2"),
        (HEAD + "1 1 0.5\n", "2 entries were announced, but there are 1: the file was cut off"),
        (HEAD, "2 entries were announced, but there are 0: the file was cut off"),
        (HEAD + "1 1 1\n2 1 1\n3 1 1\n", "2 entries were announced, but there are more"),
        (HEAD.replace("real", "complex"), "row 1: the matrix is complex and general; real"),
        (HEAD.replace("3 2 2", "3 2"), "row 4: the line should give the numbers of rows and"),
        ("%%MatrixMarket vector\n", "row 1: the first line is not that of a matrix"),
    ],
)
def test_matrix_market_that_cannot_be_used(tmp_path, text, problem):
    path = tmp_path / "a.mtx"
    path.write_text(text)
    assert refused(path).startswith(problem)


@pytest.mark.parametrize("name", ["h5ad csr", "zarr dense", "parquet", "npy"])
def test_a_factorization_does_not_depend_on_where_the_values_are(tmp_path, monkeypatch, name):
    from partwise import NMF

    monkeypatch.setattr("partwise.io.sources.BLOCK_BYTES", 1500)
    path = make(name, tmp_path)
    found = []
    for limit in (100, 10**9):
        with open_table(path, memory_limit=limit) as table:
            model = NMF(3, max_iter=20, tol=0.01, random_state=0).fit(table.matrix)
        found.append(model.components_)
    np.testing.assert_array_equal(*found)
