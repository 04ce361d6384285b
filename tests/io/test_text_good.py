"""Text tables that are read: exact values, exact identifiers."""

import bz2
import gzip

import numpy as np
import pandas as pd
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partwise.exceptions import UsageError
from partwise.io import open_table
from partwise.io.request import Request
from partwise.io.text import read_text
from partwise.utils.progress import silent

HEADER = "fov,label,cell_meta_cluster,A,B\n"
ROWS = "F1,1,T cell,0.5,0.1\nF1,2,B cell,1.5,0.2\nF2,1,T cell,2.5,1e-3\n"
VALUES = np.array([[0.5, 0.1], [1.5, 0.2], [2.5, 1e-3]], np.float32)


def write(folder, data, name="cells.csv"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def assert_is_the_table(table):
    np.testing.assert_array_equal(table.matrix, VALUES)
    assert table.matrix.dtype == np.float32
    assert table.features == ("A", "B")
    assert table.ids["fov"].tolist() == ["F1", "F1", "F2"]
    assert table.ids["label"].tolist() == [1, 2, 1]
    assert table.ids["cell_meta_cluster"].tolist() == ["T cell", "B cell", "T cell"]


TEXT = HEADER + ROWS
WAYS = {
    "plain": (TEXT.encode(), ()),
    "tab": (TEXT.replace(",", "\t").encode(), ()),
    "semicolon": (TEXT.replace(",", ";").encode(), ()),
    "bar": (TEXT.replace(",", "|").encode(), ()),
    "crlf": (TEXT.replace("\n", "\r\n").encode(), ()),
    "cr": (TEXT.replace("\n", "\r").encode(), ()),
    "no last line end": (TEXT.strip().encode(), ()),
    "blank lines": (TEXT.replace("\n", "\n\n").encode(), ()),
    "blank first line": (b"\n" + TEXT.encode(), ()),
    "bom": (b"\xef\xbb\xbf" + TEXT.encode(), ()),
    "quoted": (TEXT.replace("T cell", '"T cell"').replace("0.5", '"0.5"').encode(), ()),
    "blanks in header": (TEXT.replace("label,", " label ,").encode(), ()),
    "blanks around numbers": (TEXT.replace("0.5", " 0.5 ").encode(), ()),
    "gzip": (gzip.compress(TEXT.encode()), ()),
    "gzip in two members": (gzip.compress(HEADER.encode()) + gzip.compress(ROWS.encode()), ()),
    "zstd": (zstandard.compress(TEXT.encode()), ()),
    "bzip2": (bz2.compress(TEXT.encode()), ()),
    "utf-16": (TEXT.encode("utf-16"), ("the text is encoded as UTF-16-LE",)),
    "decimal comma": (
        TEXT.replace(",", ";").replace(".", ",").encode(),
        ("numbers have a decimal comma (such as 0,5); columns are separated by semicolon",),
    ),
    "decimal comma, quoted": (
        "".join(
            ",".join(f'"{cell}"'.replace(".", ",") for cell in line.split(",")) + "\n"
            for line in TEXT.splitlines()
        ).encode(),
        ("numbers have a decimal comma (such as 0,5); columns are separated by comma",),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_writing_the_same_table(tmp_path, way):
    data, notes = WAYS[way]
    table = open_table(write(tmp_path, data))
    assert_is_the_table(table)
    assert table.notes == notes
    assert table.kind == "text"
    assert table.in_memory


def test_the_name_of_the_file_does_not_count(tmp_path):
    assert_is_the_table(open_table(write(tmp_path, TEXT, "cells.csv.gz")))
    table = open_table(write(tmp_path, gzip.compress(TEXT.encode()), "cells.v2.tsv"))
    assert_is_the_table(table)
    assert table.name == "cells.v2"


def test_columns_are_found_by_name_not_by_position(tmp_path):
    frame = pd.DataFrame([line.split(",") for line in TEXT.splitlines()[1:]])
    frame.columns = HEADER.strip().split(",")
    order = ["label", "A", "cell_meta_cluster", "B", "fov"]
    table = open_table(write(tmp_path, frame[order].to_csv(index=False)))
    assert_is_the_table(table)
    assert list(table.ids.columns) == ["fov", "label", "cell_meta_cluster"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_index_that_a_program_added_is_left_out_and_noted(tmp_path, name):
    lines = [f"{i},{line}" for i, line in enumerate(TEXT.splitlines())]
    lines[0] = f"{name},{HEADER.strip()}"
    table = open_table(write(tmp_path, "\n".join(lines)))
    assert_is_the_table(table)
    assert table.notes == (
        f"column 1 has no name of its own ({name!r}): left out, as an index that a program added",
    )


def test_identifiers_are_text_and_come_back_exactly(tmp_path):
    text = HEADER + (
        'NA,007,nan,1,0\n"a,b",7,"x\ny",0,1\n null ,1e3,"say ""hi""",1,1\nTrue,-0,,1,2\n'
    )
    table = open_table(write(tmp_path, text))
    assert table.ids["fov"].tolist() == ["NA", "a,b", " null ", "True"]
    assert table.ids["label"].tolist() == ["007", "7", "1e3", "-0"]
    assert table.ids["cell_meta_cluster"].tolist() == ["nan", "x\ny", 'say "hi"', ""]
    assert table.notes == ("column 'cell_meta_cluster' is empty in 1 rows",)
    assert not table.ids.isna().any(axis=None)


def test_labels_that_stop_being_plain_numbers_are_text_from_the_start(tmp_path):
    rows = "".join(f"F,{i},T,1,{i}\n" for i in range(5000)) + "F,05000,T,1,1\n"
    request = request_for(write(tmp_path, HEADER + rows))
    ids = read_text(request, block_bytes=1000).ids
    assert ids["label"].tolist() == [*map(str, range(5000)), "05000"]


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [([1, -5], "int32"), ([1, 2**31], "int64"), ([-(2**63), 2**63 - 1], "int64")],
)
def test_labels_that_are_numbers_take_the_smallest_type(tmp_path, labels, dtype):
    text = HEADER + "".join(f"F,{label},T,1,2\n" for label in labels)
    table = open_table(write(tmp_path, text))
    assert table.ids["label"].dtype == dtype
    assert table.ids["label"].tolist() == labels


def test_labels_beyond_64_bits_stay_text(tmp_path):
    table = open_table(write(tmp_path, HEADER + f"F,{2**63},T,1,2\nF,1,T,2,1\n"))
    assert table.ids["label"].tolist() == [str(2**63), "1"]


def test_many_distinct_identifiers_are_text_not_categories(tmp_path):
    n = 70_000
    text = "cell,A\n" + "".join(f"barcode-{i},1\n" for i in range(n))
    table = open_table(write(tmp_path, text), id_columns="cell")
    assert str(table.ids["cell"].dtype) == "string"
    assert table.ids["cell"].iloc[-1] == f"barcode-{n - 1}"


def test_features_by_pattern_in_the_order_of_the_file(tmp_path):
    text = "fov,label,cell_meta_cluster,CD4,x,CD8[a],CD3\nF,1,T,1,2,3,4\nF,2,T,5,6,7,8\n"
    path = write(tmp_path, text)
    table = open_table(path, features=["CD3", "CD8[a]", "CD4"])
    assert table.features == ("CD4", "CD8[a]", "CD3")
    assert table.matrix.tolist() == [[1, 3, 4], [5, 7, 8]]
    assert open_table(path, features="CD*").features == ("CD4", "CD8[a]", "CD3")


def test_columns_that_are_not_chosen_may_hold_anything(tmp_path):
    text = "fov,label,cell_meta_cluster,A,why,why\nF,1,T,1,text,\nF,2,T,2,,-5\n"
    table = open_table(write(tmp_path, text), features=["A"])
    assert table.matrix.tolist() == [[1], [2]]


def test_id_columns_of_ones_own(tmp_path):
    path = write(tmp_path, "donor,cell,A\nD1,a,1\nD1,b,2\n")
    table = open_table(path, id_columns=["cell", "donor"])
    assert list(table.ids.columns) == ["cell", "donor"]
    assert table.features == ("A",)
    repeated = open_table(path, id_columns=["donor"], features=["A"])
    assert repeated.notes == ("1 rows share their identifiers (donor) with an earlier",)


def test_without_identifiers_rows_are_numbered(tmp_path):
    table = open_table(write(tmp_path, "A,B\n1,2\n3,4\n"), id_columns=[])
    assert table.ids["row"].tolist() == [0, 1]
    assert table.matrix.tolist() == [[1, 2], [3, 4]]


def test_what_is_allowed_is_noted(tmp_path):
    header = "fov,label,cell_meta_cluster,A,zero,same,centroid-0\n"
    rows = "F,1,T,1,0,7,1\nF,2,T,0,0,7,2\nF,3,T,3,0,7,3\n"
    table = open_table(write(tmp_path, header + rows))
    assert table.notes == (
        "'centroid-0' may be a position or a size rather than a measurement to factorize; choose "
        "the features by pattern, or name it an identifier, to leave it out",
        "all-zero column: 'zero'",
        "column with one value in all rows: 'same'",
    )
    zeros = open_table(write(tmp_path, HEADER + "F,1,T,1,2\nF,2,T,0,0\nF,3,T,2,0\nF,4,T,0,0\n"))
    assert zeros.notes == ("2 rows are all zero (first: data row 2)",)


@pytest.mark.parametrize(
    ("encoding", "word", "name"),
    [("latin-1", "Zellé", "Latin-1 (ISO 8859-1)"), ("cp1252", "Zell\u2019s", "Windows-1252")],
)
@pytest.mark.parametrize("late", [False, True])
def test_text_that_is_not_utf8_is_read_and_noted(tmp_path, encoding, word, name, late):
    n = 60_000 if late else 3
    text = HEADER + "".join(f"FIELD_OF_VIEW_1,{i},some cell,{i}.5,2.5\n" for i in range(n))
    text += f"F,1,{word},1,2\n"
    table = open_table(write(tmp_path, text.encode(encoding)), features=["A"])
    assert table.ids["cell_meta_cluster"].iloc[-1] == word
    assert table.notes == (
        f"the text is not UTF-8; it was read as {name}: check names with accents, and save the "
        "file as UTF-8 if they are wrong",
    )


def test_bytes_that_windows_does_not_know_are_latin_1(tmp_path):
    text = (HEADER + "".join(f"F{'x' * 20},{i},T,1,2\n" for i in range(60_000))).encode()
    text += b"F,1,\x93a\x94,1,2\n"
    text += "".join(f"G{'x' * 20},{i},T,1,2\n" for i in range(60_000)).encode()
    text += b"F,3,\x81,1,2\n"
    table = open_table(write(tmp_path, text))
    assert table.ids["cell_meta_cluster"].iloc[-1] == "\x81"
    assert sum("not UTF-8" in note for note in table.notes) == 1


def test_a_decimal_comma_that_comes_late(tmp_path):
    text = "".join(f"F;{i};T;1;2\n" for i in range(300)) + "F;300;T;0,5;1,25\n"
    table = open_table(write(tmp_path, HEADER.replace(",", ";") + text))
    assert table.matrix[-1].tolist() == [0.5, 1.25]
    assert table.matrix[:300].tolist() == [[1, 2]] * 300
    assert "numbers have a decimal comma (such as 0,5)" in table.notes


def test_more_columns_than_a_sample_of_the_usual_size_holds(tmp_path):
    names = [f"gene_with_a_rather_long_name_{j:06d}" for j in range(40_000)]
    text = "cell," + ",".join(names) + "\n"
    text += "".join(f"c{i}," + ",".join([str(i + 1)] * len(names)) + "\n" for i in range(3))
    table = open_table(write(tmp_path, text), id_columns="cell")
    assert table.shape == (3, 40_000)
    assert table.matrix[:, -1].tolist() == [1, 2, 3]


def request_for(path, **changes):
    request = Request(
        path=path,
        id_columns=None,
        features=None,
        spool_dir=None,
        memory_limit=2**20,
        n_threads=1,
        progress=silent(),
    )
    return request if not changes else Request(**{**request.__dict__, **changes})


NAMES = st.text(st.sampled_from(list("aé,\" \n;'#=1")), max_size=6)
NUMBERS = st.floats(0, 2.0**100, width=32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cells=st.lists(st.tuples(NAMES, NUMBERS, NUMBERS), min_size=2, max_size=30),
    block=st.integers(1, 400),
    limit=st.sampled_from([0, 40, 2**20]),
    threads=st.sampled_from([1, 2]),
)
def test_neither_chunks_nor_memory_nor_threads_change_what_is_read(
    tmp_path_factory, cells, block, limit, threads
):
    frame = pd.DataFrame(cells, columns=["cell_meta_cluster", "A", "B"])
    frame["fov"], frame["label"] = "F", np.arange(len(frame))
    path = tmp_path_factory.mktemp("chunks") / "cells.csv"
    frame.astype({"A": np.float32, "B": np.float32}).to_csv(path, index=False)
    parsed = read_text(request_for(path, memory_limit=limit, n_threads=threads), block_bytes=block)
    matrix = parsed.matrix
    if hasattr(matrix, "blocks"):
        matrix = np.concatenate([part for _, part in matrix.blocks(0, len(frame))])
        parsed.matrix.close()
    np.testing.assert_array_equal(matrix, frame[["A", "B"]].to_numpy(np.float32))
    assert parsed.ids["cell_meta_cluster"].tolist() == frame["cell_meta_cluster"].tolist()
    whole = read_text(request_for(path))
    assert parsed.notes == whole.notes


def test_chunk_rows_do_not_change_what_is_read(tmp_path):
    rows = "".join(f"F{i % 7},{i},T{i % 3},{i}.25,{i % 5}\n" for i in range(5000))
    path = write(tmp_path, HEADER + rows)
    whole = open_table(path)
    for chunk in (1, 10, 333):
        table = open_table(path, chunk_rows=chunk)
        np.testing.assert_array_equal(table.matrix, whole.matrix)
        pd.testing.assert_frame_equal(table.ids, whole.ids)


def test_large_tables_go_to_a_spool_that_leaves_nothing_behind(tmp_path):
    rows = "".join(f"F1,{i},T,{i}.5,0.25\n" for i in range(20_000))
    path = write(tmp_path, HEADER + rows)
    spool = tmp_path / "spool"
    spool.mkdir()
    with open_table(path, spool_dir=spool, memory_limit=1000) as table:
        assert not table.in_memory
        assert table.matrix.shape == (20_000, 2)
        parts = dict(table.matrix.blocks(123, 20_000))
        assert next(iter(parts)) == 123
        values = np.concatenate(list(parts.values()))
        np.testing.assert_array_equal(values[:, 0], np.arange(123, 20_000) + np.float32(0.5))
        assert list(spool.iterdir()) == []
    with pytest.raises(ValueError, match="closed file"):
        list(table.matrix.blocks(0, 1))


def test_progress_is_told(tmp_path):
    told = []

    class Stage:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def advance(self, n=1):
            told.append(n)

    class Listener:
        def stage(self, name, total=None):
            told.append((name, total))
            return Stage()

    rows = "".join(f"FIELD_OF_VIEW,{i},some cell,{i}.5,0.25\n" for i in range(60_000))
    path = write(tmp_path, HEADER + rows)
    open_table(path, progress=Listener())
    (name, total), *steps = told
    assert name == "read cells.csv (MB)"
    assert sum(steps) == total == path.stat().st_size // 2**20


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"memory_limit": -1}, "memory_limit must be 0 or more bytes, not -1"),
        ({"id_columns": ["fov", "fov"]}, "id_columns names a column twice: fov, fov"),
        ({"n_threads": 0}, "whole number from 1 up, not 0"),
    ],
)
def test_parameters_that_cannot_be_used(tmp_path, parameters, message):
    with pytest.raises(UsageError, match=message):
        open_table(write(tmp_path, TEXT), **parameters)
