"""Recordings that cannot be used: errors name the file and the place, and say what to do."""

import zlib

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from matlab_files import write_mat73
from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.io.recordings import open_recording

X = np.arange(12.0).reshape(3, 4)
LINES = "(rows are lines of the file; the header is line 1)"
MATLAB = [scipy.io.savemat, write_mat73]


def failure(path, error=DataError, **parameters):
    """Return what the error says after the file's name."""
    with pytest.raises(error) as caught:
        open_recording(path, **parameters)
    text = str(caught.value)
    assert text.startswith(str(path)), text
    return text.removeprefix(str(path)).lstrip(",: ")


def saved(folder, array):
    np.save(folder / "r.npy", array)
    return folder / "r.npy"


def written(folder, text):
    path = folder / "r.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Which variable


@pytest.mark.parametrize("write", MATLAB)
def test_a_wrong_variable_lists_what_is_there(tmp_path, write):
    path = tmp_path / "r.mat"
    write(path, {"traces": X, "note": "text", "fs": 30.0})
    said = failure(path, variable="Traces")
    assert said.startswith("there is no variable 'Traces' in the file; it has ")
    assert "traces (3 x 4 double)" in said
    assert "fs (1 x 1 double)" in said
    assert said.endswith("Upper and lower case count: is 'traces' meant?")
    assert "meant" not in failure(path, variable="raster")


@pytest.mark.parametrize("write", MATLAB)
def test_several_matrices_are_asked_about(tmp_path, write):
    path = tmp_path / "r.mat"
    write(path, {"a": X, "b": X.T, "note": "text"})
    assert failure(path) == (
        "several matrices may be the recording: a (3 x 4 double), b (4 x 3 double); choose one by "
        "its name with --variable (variable=...)"
    )


@pytest.mark.parametrize("write", MATLAB)
def test_what_is_no_matrix_of_numbers(tmp_path, write):
    path = tmp_path / "r.mat"
    arrays = {"cube": np.ones((2, 3, 4)), "none": np.ones((0, 5))}
    write(path, {"s": {"X": X}, "note": "text", **arrays})
    assert failure(path).startswith("there is no matrix of numbers in the file; it has ")
    assert failure(path, variable="s").startswith(
        "'s' is 1 x 1 struct, not a matrix of numbers; the file also has "
    )
    assert "text, not a matrix of numbers" in failure(path, variable="note")
    assert failure(path, variable="cube") == (
        "'cube' is 2 x 3 x 4 double: it has 3 dimensions, but units x time are needed; put trials "
        "one after the other along time, and give their borders with --epochs (epochs=...)"
    )
    assert "'none' is 0 x 5 double: it is empty" in failure(path, variable="none")


def test_cells_of_matlab(tmp_path):
    path = tmp_path / "r.mat"
    scipy.io.savemat(path, {"trials": np.array([np.ones(3), np.ones(4)], dtype=object)})
    assert failure(path, variable="trials") == (
        "'trials' is 1 x 2 cell array, not a matrix of numbers"
    )


@pytest.mark.parametrize("write", MATLAB)
def test_complex_numbers(tmp_path, write):
    path = tmp_path / "r.mat"
    write(path, {"z": X + 1j})
    assert failure(path) == (
        "the values are complex; take their real part, or their absolute value, and save that"
    )


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), ()])
def test_other_than_two_dimensions(tmp_path, shape):
    said = failure(saved(tmp_path, np.ones(shape)))
    if len(shape) == 3:
        assert said.startswith("'the array' is 2 x 3 x 4 float64: it has 3 dimensions, but units x")
    else:
        n = "1 dimension" if shape else "0 dimensions"
        assert said.endswith(f"it has {n}, but 2 are needed, units x time")


@pytest.mark.parametrize("name", ["r.npy", "r.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    array = np.array([[1, 2], [3, None]], dtype=object)
    (np.save if name.endswith("npy") else np.savez)(tmp_path / name, array, allow_pickle=True)
    assert failure(tmp_path / name) == (
        f"the {name[2:]} file holds Python objects, which could run code when loaded; save plain "
        "numbers"
    )


def test_texts_dates_and_long_numbers(tmp_path):
    for array, what in ((np.array([["a", "b"]] * 2), "text"), (np.zeros((2, 2), "M8[s]"), "date")):
        said = failure(saved(tmp_path, array))
        assert said.startswith("there is no matrix of numbers in the file; it has the array (2 x 2")
        assert what in said
    whole = np.array([[0, 2**60], [1, 2]], np.uint64)
    assert failure(saved(tmp_path, whole)).startswith(
        "whole numbers up to 1.15292e+18 are beyond 2^53, where they are no longer exact"
    )
    whole = np.array([[0, -(2**63)], [1, 2]])
    assert "beyond 2^53" in failure(saved(tmp_path, whole), negative="clip")


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 1)])
def test_too_few_frames(tmp_path, shape):
    said = failure(saved(tmp_path, np.ones(shape)))
    assert ("it is empty" in said) or said == "the recording has one frame; at least 2 are needed"


def test_anndata_has_no_time(tmp_path):
    with h5py.File(tmp_path / "r.h5ad", "w") as file:
        file["X"] = X
        file.create_group("obs")
        file.create_group("var")
    assert failure(tmp_path / "r.h5ad").startswith("this is AnnData, observations x variables")


# Damage


def test_no_file_an_empty_one_and_a_folder(tmp_path):
    assert failure(tmp_path / "no.mat") == "there is no such file"
    assert failure(written(tmp_path, "")) == "the file is empty"
    assert failure(tmp_path).startswith("this is a folder; name a file in it")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def denied(*arguments, **others):
        raise PermissionError(13, "denied")

    path = saved(tmp_path, X)
    monkeypatch.setattr("partwise.io.recordings.recording_kind", denied)
    assert failure(path, ResourceError) == "permission to read was denied"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_that_was_cut_off_behind_the_recording(tmp_path, compressed):
    # the recording is whole, but its rate, which comes last, is gone
    path = tmp_path / "r.mat"
    noise = np.random.default_rng(0).random((30, 100))
    contents = {"NEURAL": noise, "other": noise[:, :50], "VIDEOfs": 30.0}
    scipy.io.savemat(path, contents, do_compression=compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.8 * len(whole))])
    assert failure(path).startswith("the .mat file is damaged or cut off (ValueError: the file end")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_mat_file_that_was_cut_off(tmp_path, share, compressed):
    path = tmp_path / "r.mat"
    noise = np.random.default_rng(0).random((30, 100))
    scipy.io.savemat(path, {"a": noise, "fs": 30.0}, do_compression=compressed)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert failure(path).startswith(("the .mat file is damaged or cut off", "there is no matrix"))


@pytest.mark.parametrize("packed", [False, True])
def test_types_of_numbers_that_there_are_not(tmp_path, packed):
    # SciPy would take the number for an index, and the process would be gone
    path = tmp_path / "r.mat"
    scipy.io.savemat(path, {"note": "text", "a": X}, do_compression=packed)
    assert open_recording(path).shape == X.shape
    right, wrong = (bytes([kind]) + b"\0\0\0\x60\0\0\0" for kind in (9, 99))
    data = path.read_bytes()
    if packed:
        start = 128 + 8 + int.from_bytes(data[132:136], "little")  # after the first element
        packed = zlib.compress(zlib.decompress(data[start + 8 :]).replace(right, wrong))
        data = data[: start + 4] + len(packed).to_bytes(4, "little") + packed
    path.write_bytes(data.replace(right, wrong))
    assert failure(path).startswith(
        "the .mat file is damaged or cut off (ValueError: numbers of type 99, which there is not);"
    )


def test_a_mat_file_of_version_7_3_that_was_cut_off(tmp_path):
    path = write_mat73(tmp_path / "r.mat", {"a": np.ones((30, 100))})
    path.write_bytes(path.read_bytes()[:9000])
    assert failure(path).startswith("the .mat file is damaged or cut off (OSError")


def test_matlab_files_of_other_kinds(tmp_path):
    path = tmp_path / "r.mat"
    path.write_bytes(b"# Created by Octave 7.3.0\n# name: X\n")
    assert failure(path).startswith("this is Octave's own text format; save it again with")
    scipy.io.savemat(path, {"X": X}, format="4")
    assert failure(path).startswith("this is no MATLAB file of version 5, 7 or 7.3: it may be")
    path.write_bytes(b"MATLAB 8.0 MAT-file" + bytes(500))
    assert failure(path).startswith("this is a MATLAB file of another version ('MATLAB 8.0 MAT-")


def test_a_damaged_sparse_matrix(tmp_path):
    matrix = sp.csc_matrix(X)
    matrix.indices[0] = 99
    write_mat73(tmp_path / "r.mat", {"a": matrix})
    assert failure(tmp_path / "r.mat").startswith("the sparse matrix 'a' is damaged (")


@pytest.mark.parametrize("name", ["r.npy", "r.npz", "r.h5", "r.parquet", "r.csv.gz"])
def test_other_files_that_were_cut_off(tmp_path, name):
    path = tmp_path / name
    noise = np.random.default_rng(0).random((40, 100))
    if name.endswith("npz"):
        np.savez(path, X=noise)
    elif name.endswith("npy"):
        np.save(path, noise)
    elif name.endswith("h5"):
        with h5py.File(path, "w") as file:
            file["X"] = noise
    else:
        frame = pd.DataFrame(noise.T, columns=[f"u{i}" for i in range(40)])
        frame.to_parquet(path) if "parquet" in name else frame.to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert any(word in failure(path) for word in ("damaged", "cut off"))


# Values


@pytest.mark.parametrize("sparse", [False, True])
def test_values_that_cannot_be_used(tmp_path, sparse):
    def said(value, **parameters):
        array = X.copy()
        array[2, 1] = value
        if not sparse:
            return failure(saved(tmp_path, array), **parameters)
        sp.save_npz(tmp_path / "r.npz", sp.csr_matrix(array))
        return failure(tmp_path / "r.npz", **parameters)

    for value, text in ((np.inf, "the value is infinite"), (np.nan, "the value is missing (NaN)")):
        assert text in said(value)
    assert "the value is infinite" in said(-np.inf, negative="clip", missing="hide")
    negative = said(-2.5)
    assert "1 values are negative, the lowest -2.5" in negative
    assert "--negative clip (negative='clip') sets them to 0, split makes two units" in negative
    assert ("offset subtracts the lowest value of each unit" in negative) != sparse
    assert "'unit_3'" in negative
    assert "frame 1" in negative


def test_the_first_five_places_are_listed(tmp_path):
    array = X.copy()
    array[1:, :] = np.nan
    assert failure(saved(tmp_path, array)).endswith(
        "at unit 'unit_2' frame 0, unit 'unit_2' frame 1, unit 'unit_2' frame 2, unit 'unit_2' "
        "frame 3, unit 'unit_3' frame 0 and 3 more (frames count from 0)"
    )


def test_sparse_matrices_cannot_be_offset_or_have_a_baseline(tmp_path):
    sp.save_npz(tmp_path / "r.npz", sp.csr_matrix(X - 1))
    path = tmp_path / "r.npz"
    assert "an offset would fill every zero" in failure(path, UsageError, negative="offset")
    assert "a baseline is for traces" in failure(path, UsageError, baseline=10)


def test_baselines_that_are_not_positive(tmp_path):
    said = failure(saved(tmp_path, X), baseline=0)
    assert said.startswith("the baseline of unit 'unit_1' at frame 0 is 0; ΔF/F needs fluorescence")
    said = failure(saved(tmp_path, X + 5), baseline=50)
    assert "ΔF/F is negative wherever the trace is below its baseline." in said
    said = failure(saved(tmp_path, X + 5), UsageError, baseline=50, baseline_window=1)
    assert said.startswith("a window in seconds needs the frames per second: give --rate")


# Tables

TABLES = {
    "time,a,a\n0,1,2\n1,2,3\n": "column 'a': 2 columns have this name; each unit needs one of its",
    "unit,f,g\nn1,1,2\nn1,3,4\n": "units 1 and 2 have one name, 'n1'; each unit needs one of",
    "time,a,b\n0,1,x\n1,2,3\n2,2,3\n": "row 2, column 'b': 'x' is not a number;",
    "time,a,b\n0,1,\n1,2,3\n": "row 2, column 'b': the cell is empty; a missing value is not zero",
    "time,a,b\n0,1,NA\n1,2,3\n": "row 2, column 'b': 'NA' is a missing value; a missing value is",
    "time,a,b\n0,1,2\n1,2\n": "row 3: the line has 2 cells, but the header has 3; cells are",
    "time,a,b\n": "the file has a header but no rows",
    "time,a,b\n0,1,2\n": "the recording has one frame; at least 2 are needed",
    "time,frame\n0,1\n1,2\n": "there is no column of a unit; the table has 'time', 'frame'",
    "time,a,b\n1,1,2\n0,2,3\n": "row 2, column 'time': times must increase, but 0 follows 1 (rows",
    "time,a,b\n0,1,2\n1,2,3\n1.1,2,3\n2.1,0,0\n": "column 'time': frames are not evenly spaced:",
    "time,a,b\n0,1,2\n1,2,3\n9,2,3\n10,1,1\n": "column 'time': frames are not evenly spaced: steps",
    "time,a,b\nnan,1,2\n1,2,3\n": "row 2, column 'time': 'nan' is a missing value;",
    "a,b,what\n1,2,up\n2,3,down\n": "column 'what': the column holds text (so do 1 in all: 'what')",
    "a,b\n1,-2\n2,3\n": "1 values are negative, the lowest -2; at unit 'b' frame 0",
    "a,b\n1,inf\n2,3\n": "the value is infinite; at unit 'b' frame 0 (frames count from 0)",
    "a b c\n1 2 3\n": "row 1: no delimiter found",
    'time,a\n0,1\n1,"2\n2,3\n': "row 3, column 'a': a quotation mark is opened in this line",
    b"time,a\n0,1\n1,\x002\n": "row 3: a NUL byte",
}


@pytest.mark.parametrize("text", TABLES)
def test_tables_that_cannot_be_used(tmp_path, text):
    assert failure(written(tmp_path, text)).startswith(TABLES[text])


def test_a_bad_cell_late_in_a_long_table(tmp_path):
    rows = "".join(f"{t},1,2\n" for t in range(5000))
    said = failure(written(tmp_path, f"time,a,b\n{rows}5000,1,oops\n"))
    assert said == (
        "row 5002, column 'b': 'oops' is not a number; correct it, or leave the column out of the "
        f"table {LINES}"
    )


def test_parquet_tables_that_cannot_be_used(tmp_path):
    path = tmp_path / "r.parquet"
    pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}).to_parquet(path)
    assert failure(path).startswith("column 'b': the column holds text")
    pd.DataFrame({"a": [1.0, None], "b": [1, 2]}).to_parquet(path)
    assert failure(path).startswith("the value is missing (NaN)")
    pd.DataFrame({"a": np.zeros(0)}).to_parquet(path)
    assert failure(path) == "the table has no rows"


SPIKES = {
    "unit,time\na,\nb,1\n": "row 2, column 'time': the cell is empty",
    "unit,time\n,0.5\nb,1\n": "row 1, column 'unit': the spike has no unit",
    "unit,time\na,-0.5\nb,1\n": "a spike is at -0.5 s, before the recording begins; add what makes",
    "unit,time\na,inf\nb,1\n": "row 1, column 'time': the spike has no time",
    "unit,time\na,x\nb,1\n": "row 2, column 'time': 'x' is not a number",
    "unit,time_samples\na,5\nb,1\n": "column 'time_samples': spike times are needed in seconds",
}


@pytest.mark.parametrize("text", SPIKES)
def test_spike_tables_that_cannot_be_used(tmp_path, text):
    assert failure(written(tmp_path, text), bin_width=0.1).startswith(SPIKES[text])


def test_spikes_need_bins_and_nothing_else_has_them(tmp_path):
    path = written(tmp_path, "unit,time\na,0.5\nb,1\n")
    assert failure(path, UsageError).startswith(
        "these are spike times; give the width of the bins in seconds with --bin-width"
    )
    assert failure(path, UsageError, rate=20) == (
        "spike times have no rate; give the width of the bins in seconds with --bin-width "
        "(bin_width=0.05)"
    )
    for other in (saved(tmp_path, X), written(tmp_path, "time,a,b\n0,1,2\n1,2,3\n")):
        assert failure(other, bin_width=0.1).startswith("bin_width is for spike times, but these")


# Parameters


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"layout": "sideways"}, "layout must be one of auto, units-by-time, time-by-units, not"),
        ({"negative": "abs"}, "negative must be one of raise, clip, split, offset, not 'abs'"),
        ({"missing": "zero"}, "missing must be one of raise, hide, not 'zero'"),
        ({"rate": 0}, "rate must be more than 0, not 0"),
        ({"rate": np.nan}, "rate must be more than 0, not nan"),
        ({"bin_width": -1}, "bin_width must be more than 0, not -1"),
        ({"baseline": 101}, "baseline must be a percentile, 0 to 100, not 101"),
        (
            {"baseline_window": 3},
            "baseline_window is the window of a baseline: give its percentile",
        ),
        ({"align": (1, 1)}, "align needs a table of events: give its path as epochs"),
        ({"memory_limit": -1}, "memory_limit must be 0 or more bytes, not -1"),
        ({"epochs": []}, "there is no epoch: leave epochs out to use the whole recording"),
        ({"epochs": [(0, 9)]}, "the epoch 0 to 9 leaves the recording, frames 0 to 4"),
        ({"epochs": [(2, 2)]}, "the epoch 2 to 2 is empty: its stop must be after its start"),
        ({"epochs": [(0, 3), (2, 4)]}, "the epochs 0 to 3 and 2 to 4 overlap (frames)"),
        ({"epochs": [(0, 1.5)]}, "an epoch must be a pair of frames (start, stop), not (0, 1.5)"),
    ],
)
def test_parameters_that_cannot_be_used(tmp_path, parameters, said):
    with pytest.raises(UsageError) as caught:
        open_recording(saved(tmp_path, X), **parameters)
    assert str(caught.value).startswith(said)


def test_a_variable_of_what_has_none(tmp_path):
    assert "leave out --variable" in failure(saved(tmp_path, X), variable="X")
    path = written(tmp_path, "time,a,b\n0,1,2\n1,2,3\n")
    assert "a table has no variables" in failure(path, variable="a")
