"""Text tables that cannot be used: errors name the file and the place, and say what to do."""

import gzip
import os
import re

import pytest
import zstandard

from partwise.exceptions import DataError, ResourceError
from partwise.io import open_table

HEADER = "fov,label,cell_meta_cluster,A,B\n"
ROWS = "".join(f"F1,{i},T{i % 2},{i}.5,0.{i}\n" for i in range(1, 6))
MANY = "".join(f"FIELD_OF_VIEW_1,{i},some cell,{i * 0.37:.6f},2.5\n" for i in range(60_000))
LINES = "(rows are lines of the file; the header is line 1)"


def failure(folder, data, **parameters):
    """Return what the error says after the file's name."""
    path = folder / "cells.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(DataError) as caught:
        open_table(path, **parameters)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert caught.value.path == path
    return text.removeprefix(str(path)).lstrip(",: ")


VALUES = {
    "": "the cell is empty; a missing value is not zero: fill it or drop the row",
    "nan": "'nan' is a missing value, which is not zero: fill it or drop the row",
    "NaN": "'NaN' is a missing value, which is not zero: fill it or drop the row",
    "NA": "'NA' is a missing value, which is not zero: fill it or drop the row",
    "inf": "'inf' is infinite",
    "-Infinity": "'-Infinity' is infinite",
    "-0.1": "'-0.1' is negative; values must be 0 or more: shift, clip or leave it out",
    "-1e-17": "'-1e-17' is negative; values must be 0 or more: shift, clip or leave it out",
    "1e39": "'1e39' is larger than a 32-bit number can hold (3.4e+38): rescale",
    "abc": "'abc' is not a number; correct it, or choose the feature columns by pattern",
    "1_0": "'1_0' is not a number; correct it, or choose the feature columns by pattern",
    "0x10": "'0x10' is not a number; correct it, or choose the feature columns by pattern",
    "TRUE": "'TRUE' is not a number; correct it, or choose the feature columns by pattern",
    "#REF!": "'#REF!' is not a number; correct it, or choose the feature columns by pattern",
    "5 %": "'5 %' is not a number; correct it, or choose the feature columns by pattern",
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_value_that_cannot_be_used(tmp_path, value, packed):
    data = (HEADER + ROWS + f"F1,9,T,1,{value}\n" + "F1,10,T,1,2\n").encode()
    said = failure(tmp_path, gzip.compress(data) if packed else data)
    assert said == f"row 7, column 'B': {VALUES[value]} {LINES}"


@pytest.mark.parametrize("value", ["nan", "-2", "x"])
def test_a_value_that_cannot_be_used_late_in_a_large_file(tmp_path, value):
    said = failure(tmp_path, HEADER + MANY + f"F1,9,T,{value},1\n")
    assert said.startswith(f"row 60002, column 'A': '{value}' is ")


def test_the_first_five_places_are_listed(tmp_path):
    bad = "F1,9,T,abc,2\nF1,10,T,1,NA\nF1,11,T,,nan\nF1,12,T,inf,-1\n"
    said = failure(tmp_path, HEADER + ROWS + bad)
    assert said == (
        "row 7, column 'A': 'abc' is not a number; correct it, or choose the feature columns by "
        f"pattern {LINES}. Also: row 8, column 'B': 'NA'; row 9, column 'A': ''; row 9, column "
        "'B': 'nan'; row 10, column 'A': 'inf' (the search stopped there)"
    )


def test_columns_of_text_are_named(tmp_path):
    rows = "F1,9,T,low,x\n" * 5
    said = failure(tmp_path, HEADER + rows)
    assert said.startswith("row 2, column 'A': the columns 'A', 'B' hold text, such as 'low', and")
    assert "--id-columns" in said
    said = failure(tmp_path, HEADER + rows.replace("low", "1"))
    assert said.startswith("row 2, column 'B': the column holds text, such as 'x', and cannot")
    said = failure(tmp_path, HEADER + "F1,9,T,low,x\nF1,9,T,2,NA\n" * 5)
    assert "is not a number" in said


def test_lines_are_counted_over_blank_lines_and_quoted_line_ends(tmp_path):
    text = "\n" + HEADER + '\nF,1,"T\nT",1,2\n\nF,2,T,1,x\n'
    assert failure(tmp_path, text).startswith("row 7, column 'B': 'x' is not a number")
    text = text.replace("\n", "\r\n")
    assert failure(tmp_path, text).startswith("row 7, column 'B': 'x' is not a number")


RAGGED = {
    "F1,9,T,1\n": "4 cells, but the header has 5; cells are missing, or the file was cut off here",
    "F1,9\n": "2 cells, but the header has 5; cells are missing, or the file was cut off here",
    "F1,9,T,1,2,3\n": (
        "6 cells, but the header has 5; if every line has one more, the first column may be row "
        "names without a name (in R: write with col.names = NA, or row.names = FALSE)"
    ),
    "F1,9,T,1,2,\n": "6 cells, but the header has 5; the line ends in a delimiter",
    "F1,9,T,0,5,0,1\n": (
        "7 cells, but the header has 5; decimal commas cannot be told from commas between columns: "
        "save the table with decimal points, or with semicolons between the columns"
    ),
    "   \n": "1 cells, but the header has 5; cells are missing, or the file was cut off here",
}


@pytest.mark.parametrize("line", RAGGED)
def test_a_ragged_row(tmp_path, line):
    said = failure(tmp_path, HEADER + ROWS + line + "F1,10,T,1,2\n")
    assert said == f"row 7: the line has {RAGGED[line]} {LINES}"


def test_a_file_cut_off_in_its_last_line(tmp_path):
    said = failure(tmp_path, (HEADER + ROWS)[:-9])
    assert said.startswith("row 6: the line has 3 cells, but the header has 5; cells are missing")


def test_a_quotation_that_never_ends(tmp_path):
    said = failure(tmp_path, HEADER + ROWS + 'F1,9,"T,1,2\n' + ROWS)
    assert said == (
        "row 7: the line has 3 cells, but the header has 5: a quotation mark opened here is not "
        f"closed {LINES}"
    )
    said = failure(tmp_path, HEADER + 'F1,9,"T,1,2\n' + MANY)
    assert said == f"row 2: a quotation mark is opened in this line and never closed {LINES}"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"  \r\n\n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"]
)
def test_an_empty_file(tmp_path, data):
    assert failure(tmp_path, data) == "the file is empty"


@pytest.mark.parametrize("text", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_a_header_without_rows(tmp_path, text):
    assert failure(tmp_path, text) == "the file has a header but no rows"


def test_one_cell(tmp_path):
    said = failure(tmp_path, HEADER + "F1,1,T,1,2\n")
    assert said == "the file has only one row; at least 2 are needed"


def test_missing_columns(tmp_path):
    said = failure(tmp_path, "fov,Label,A,B\nF,1,2,3\nF,2,3,4\n")
    assert said == (
        "the identifier columns 'label', 'cell_meta_cluster' not found; the file has 'fov', "
        "'Label', 'A', 'B'. Upper and lower case count: is 'Label' meant to be 'label'? Name the "
        "identifier columns of this file with --id-columns (id_columns=...)."
    )
    said = failure(tmp_path, HEADER + ROWS, id_columns=["fov", "donor"])
    assert said == (
        "the identifier column 'donor' not found; the file has 'fov', 'label', "
        "'cell_meta_cluster', 'A', 'B'."
    )


def test_no_header(tmp_path):
    said = failure(tmp_path, ROWS)
    assert "The first line looks like data: a line with the names of the columns is needed" in said


def test_no_features(tmp_path):
    said = failure(tmp_path, "fov,label,cell_meta_cluster\nF,1,T\nF,2,T\n")
    assert said == (
        "there are no feature columns beside the identifiers 'fov', 'label', 'cell_meta_cluster'"
    )
    said = failure(tmp_path, HEADER + ROWS, features=["B", "Q*"])
    assert said == "the pattern 'Q*' matches none of the feature columns; there are: 'A', 'B'"


def test_duplicate_feature_names(tmp_path):
    said = failure(tmp_path, HEADER.replace("\n", ",A\n") + ROWS.replace("\n", ",1\n"))
    assert said == (
        "column 'A': the name stands at 2 columns (4, 6): each needs a name of its own; rename or "
        "remove all but one"
    )
    said = failure(tmp_path, HEADER.replace("B", "fov") + ROWS)
    assert said.startswith("column 'fov': the name stands at 2 columns (1, 5)")


def test_duplicate_cells(tmp_path):
    said = failure(tmp_path, HEADER + ROWS + "F2,2,T,1,2\n\nF1,2,T,1,2\n")
    assert said == (
        f"row 9, column 'label': fov F1, label 2 is in line 3 already: each cell must be there "
        f"once {LINES}"
    )
    said = failure(tmp_path, HEADER + MANY * 2)
    assert said == (
        "row 60002, column 'label': fov FIELD_OF_VIEW_1, label 0 is in line 2 already: each cell "
        f"must be there once; 60,000 rows repeat an earlier one {LINES}"
    )


def test_duplicate_cells_with_text_labels(tmp_path):
    text = HEADER + "F1,a,T,1,2\nF1,07,T,1,2\nF1,7,T,1,2\nF1,a,T,1,2\n"
    assert failure(tmp_path, text).startswith(
        "row 5, column 'label': fov F1, label a is in line 2 already"
    )


def test_no_delimiter(tmp_path):
    said = failure(tmp_path, (HEADER + ROWS).replace(",", " "))
    assert said == (
        "row 1: no delimiter found: the first line 'fov label cell_meta_cluster A B' has one "
        "column whether split at comma, semicolon, tab or vertical bar. It seems to separate "
        "columns by blanks. Save the table with commas or tabs between the columns"
    )


SEMICOLONS = (HEADER + ROWS).replace(",", ";")


def test_numbers_that_can_be_read_in_two_ways(tmp_path):
    rows = "F;1;T;1,234;2,000\nF;2;T;3,234;1\n"
    said = failure(tmp_path, HEADER.replace(",", ";") + rows)
    assert said == (
        "row 2, column 'A': '1,234' can be read with a decimal comma or with a thousands "
        f"separator; save the numbers with a decimal point and no thousands separators {LINES}"
    )


def test_decimal_points_and_commas_in_one_file(tmp_path):
    said = failure(tmp_path, SEMICOLONS + "\nF1;9;T;0,5;1\nF1;10;T;1;1\n")
    assert said == (
        "row 8, column 'A': '0,5' has a comma, but '1.5' (column 'A') has a point: use one "
        f"decimal mark and no thousands separators {LINES}"
    )
    whole = "".join(f"F1;{i};T;1;2\n" for i in range(300))
    late = HEADER.replace(",", ";") + whole + "F1;300;T;0,5;1\nF1;301;T;0.5;1\n"
    assert failure(tmp_path, late) == (
        "row 303, column 'A': '0.5' has a decimal point, but other numbers have a decimal comma "
        f"{LINES}"
    )
    late = SEMICOLONS + whole.replace("F1", "F2") + "F1;300;T;0,5;1\n"
    assert failure(tmp_path, late) == (
        "row 307, column 'A': '0,5' has a decimal comma, but other numbers have a decimal point "
        f"{LINES}"
    )


def test_a_nul_byte(tmp_path):
    said = failure(tmp_path, HEADER + ROWS.replace("T1", "T\0", 1))
    assert said == (
        "row 2: a NUL byte: the file is damaged, or not text (or UTF-16 without its mark); save it "
        f"as UTF-8 text {LINES}"
    )
    said = failure(tmp_path, HEADER + MANY + "F1,1,T\0,1,2\n")
    assert said == f"row 60002, column 'cell_meta_cluster': the cell has a NUL byte {LINES}"
    said = failure(tmp_path, HEADER + MANY + "F1,1,T,1\0,2\n")
    assert said.startswith("row 60002, column 'A': '1\\x00' is not a number")
    said = failure(tmp_path, (HEADER + ROWS).encode("utf-16-le"))
    assert said.startswith("row 1: a NUL byte")


def test_two_encodings_in_one_file(tmp_path):
    data = (HEADER + ROWS.replace("T1", "Zellé") + MANY).encode() + b"F1,9,Zell\xe9,1,2\n"
    assert failure(tmp_path, data) == (
        "row 60007: the byte 0xE9 is not UTF-8, as the text before it is: two encodings were "
        f"mixed, or the file is damaged {LINES}"
    )


@pytest.mark.parametrize("cut", [4, 30, 3000])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_was_cut_off(tmp_path, pack, cut):
    said = failure(tmp_path, pack((HEADER + MANY).encode())[:-cut])
    assert said == (
        "the compressed file ends too early: it was cut off while it was copied or written; fetch "
        "or make it again"
    )


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_is_damaged(tmp_path, pack):
    data = pack((HEADER + MANY).encode())
    middle = len(data) // 2
    said = failure(tmp_path, data[:middle] + bytes(40) + data[middle + 40 :])
    assert said.startswith("the file cannot be read to its end, it may be damaged (")


def test_a_wrong_checksum(tmp_path):
    data = gzip.compress((HEADER + MANY).encode())
    said = failure(tmp_path, data[:-8] + b"\0\0\0\0" + data[-4:])
    assert said.startswith("the file cannot be read to its end, it may be damaged (")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv: there is no such file"):
        open_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r"this is a folder; name a file in it"):
        open_table(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + ROWS)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    # root may read everything, so a mode of 0 would prove nothing
    monkeypatch.setattr("partwise.io.sniff.compression_of", refuse)
    with pytest.raises(ResourceError, match=r"cells\.csv: permission to read was denied"):
        open_table(path)


OTHERS = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500): "this is an old Excel workbook; save",
    b"\xfd7zXZ\0\0": "the file is compressed by xz; unpack it",
    b"ARROW1\0\0": "this is an Arrow (Feather) file; save the table as Parquet",
    b"MATLAB 5.0 MAT-file" + bytes(200): "this is a MATLAB file; save the table as CSV",
    b"PK\x03\x04" + bytes(100): "the file is a damaged or cut off zip or npz file",
}


@pytest.mark.parametrize("data", OTHERS)
def test_files_of_other_programs(tmp_path, data):
    assert failure(tmp_path, data).startswith(OTHERS[data])


def test_a_folder_for_the_spool_that_is_not_there(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + MANY)
    with pytest.raises(ResourceError, match=re.escape(str(tmp_path / "none"))):
        open_table(path, spool_dir=tmp_path / "none", memory_limit=0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_while_spooling(tmp_path, monkeypatch):
    from partwise.io import spool

    path = tmp_path / "cells.csv"
    path.write_text(HEADER + MANY)
    with (
        open("/dev/full", "w+b", buffering=0) as full,
        pytest.raises(ResourceError, match="no space is left on the disk"),
    ):
        monkeypatch.setattr(spool.tempfile, "TemporaryFile", lambda **_: full)
        open_table(path, spool_dir=tmp_path, memory_limit=0)
