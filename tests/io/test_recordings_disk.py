"""Recordings that stay on disk: the same values as in memory, whatever the pieces."""

import h5py
import numpy as np
import pandas as pd
import pytest

from matlab_files import write_mat73
from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.io.recordings import open_recording
from partwise.sequences import SeqNMF
from partwise.sequences.sources import FrameSource

N, T = 4, 200


def values():
    rng = np.random.default_rng(2)
    slow = 5 + np.sin(np.arange(T) / 20)
    return (slow + rng.random((N, T)) * (rng.random((N, T)) < 0.2)).round(4)


X = values()


def write_h5(path, array, time_first=False):
    with h5py.File(path, "w") as file:
        data = array.T if time_first else array
        chunks = (17, N) if time_first else (2, 17)
        file.create_dataset("traces", data=data, chunks=chunks, compression="gzip")


def write_zarr(path, array):
    import zarr

    zarr.save_array(str(path), array)


WRITERS = {
    "r.h5": write_h5,
    "r.npy": np.save,
    "r.zarr": write_zarr,
    "r.mat": lambda path, array: write_mat73(path, {"traces": array}, chunks=(23, 3)),
}


def pieces(source, steps=(1, 7, 50, T)):
    """Read a source in pieces of several sizes, which must not matter."""
    whole = source.frames(0, T)
    for step in steps:
        parts = [source.frames(a, min(a + step, T)) for a in range(0, T, step)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    return whole


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_pieces_are_what_memory_holds(tmp_path, name, dtype):
    path = tmp_path / name
    array = X.astype(dtype)
    WRITERS[name](path, array)
    with open_recording(path, memory_limit=100) as recording:
        assert not recording.in_memory
        assert recording.shape == recording.data.shape == (N, T)
        whole = pieces(recording.data)
        assert whole.dtype == recording.data.dtype
        np.testing.assert_array_equal(whole, open_recording(path).data)


def test_either_orientation(tmp_path):
    write_h5(tmp_path / "r.h5", X, time_first=True)
    with open_recording(tmp_path / "r.h5", layout="time-by-units", memory_limit=0) as recording:
        np.testing.assert_array_equal(pieces(recording.data), X)
    write_mat73(tmp_path / "r.mat", {"X": X.T})
    with open_recording(tmp_path / "r.mat", layout="time-by-units", memory_limit=0) as recording:
        np.testing.assert_array_equal(pieces(recording.data), X)


@pytest.mark.parametrize("negative", ["clip", "split", "offset"])
@pytest.mark.parametrize("missing", ["raise", "hide"])
@pytest.mark.parametrize("window", [None, 3.0])
def test_what_is_done_to_values_is_what_memory_does(tmp_path, negative, missing, window):
    array = X if window else X - 5
    if missing == "hide":
        array = array.copy()
        array[1, 20:25] = np.nan
        array[3] = np.where(np.arange(T) == 7, np.nan, array[3])
    settings = {
        "negative": negative,
        "missing": missing,
        "rate": 10.0,
        "epochs": [(0, 90), (95, T)],
    }
    if window:
        settings |= {"baseline": 20, "baseline_window": window}
    path = tmp_path / "r.h5"
    write_h5(path, array)
    inside = open_recording(path, **settings)
    with open_recording(path, memory_limit=1000, **settings) as recording:
        np.testing.assert_array_equal(pieces(recording.data), inside.data)
        assert recording.unit_names == inside.unit_names
        assert (recording.hidden is None) == (missing == "raise")
        if missing == "hide":
            assert (recording.hidden != inside.hidden).nnz == 0
            assert recording.notes == inside.notes


def test_the_baseline_is_a_running_percentile_within_epochs(tmp_path):
    np.save(tmp_path / "r.npy", X)
    recording = open_recording(
        tmp_path / "r.npy",
        rate=10,
        baseline=50,
        baseline_window=2.0,
        negative="offset",
        epochs=[(0, 60), (60, T)],
    )
    expected = np.empty_like(X)
    for first, last in ((0, 60), (60, T)):
        for t in range(first, last):
            around = X[:, max(first, t - 10) : min(last, t + 11)]
            level = np.percentile(around, 50, axis=1)
            expected[:, t] = (X[:, t] - level) / level
    expected -= np.minimum(expected.min(axis=1, keepdims=True), 0)
    np.testing.assert_allclose(recording.data, expected, rtol=0, atol=1e-14)
    assert recording.notes[0] == (
        "the values are ΔF/F; the baseline is percentile 50 of 2 s around each frame"
    )


def test_a_baseline_over_all_frames(tmp_path):
    np.save(tmp_path / "r.npy", X)
    recording = open_recording(tmp_path / "r.npy", baseline=0)
    lowest = X.min(axis=1, keepdims=True)
    np.testing.assert_allclose(recording.data, (X - lowest) / lowest, rtol=1e-15)
    with pytest.raises(UsageError, match="a baseline over all frames needs them in memory"):
        open_recording(tmp_path / "r.npy", baseline=0, memory_limit=0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "the value is missing (NaN); a missing value is not zero: hide missing values"),
        (np.inf, "the value is infinite; at unit 'unit_2' frame 100 (frames count from 0)"),
        (-1.0, "1 values are negative, the lowest -1; at unit 'unit_2' frame 100 (frames count"),
    ],
)
def test_values_are_looked_at_as_they_are_read(tmp_path, value, said):
    array = X.copy()
    array[1, 100] = value
    write_h5(tmp_path / "r.h5", array)
    with open_recording(tmp_path / "r.h5", memory_limit=0) as recording:
        recording.data.frames(0, 100)
        with pytest.raises(DataError) as caught:
            recording.data.frames(90, 120)
    assert str(caught.value).startswith(f"{tmp_path / 'r.h5'}: {said}")
    with pytest.raises(DataError) as caught:
        open_recording(tmp_path / "r.h5")
    assert str(caught.value).startswith(f"{tmp_path / 'r.h5'}: {said}")


def test_a_damaged_chunk_is_named(tmp_path):
    path = tmp_path / "r.h5"
    noise = np.random.default_rng(0).random((N, T))
    write_h5(path, noise)
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"the file may be damaged|is damaged"):
        with open_recording(path, memory_limit=0) as recording:
            pieces(recording.data)


def test_a_fit_from_disk_is_the_fit_from_memory(tmp_path):
    write_h5(tmp_path / "r.h5", X, time_first=True)
    with open_recording(tmp_path / "r.h5", layout="time-by-units", memory_limit=0) as recording:
        assert isinstance(recording.data, FrameSource)
        fits = [SeqNMF(2, 5, max_iter=3, random_state=0).fit(data) for data in (recording.data, X)]
    np.testing.assert_array_equal(fits[0].motifs_, fits[1].motifs_)
    np.testing.assert_array_equal(fits[0].activations_, fits[1].activations_)


def test_frames_outside_the_recording(tmp_path):
    np.save(tmp_path / "r.npy", X)
    recording = open_recording(tmp_path / "r.npy", memory_limit=0)
    with pytest.raises(UsageError, match="frames 5 to 201 are not within 0 to 200"):
        recording.data.frames(5, 201)


def test_too_many_missing_values_to_list(tmp_path):
    np.save(tmp_path / "r.npy", np.full((N, T), np.nan))
    with pytest.raises(ResourceError, match="too many values are missing"):
        open_recording(tmp_path / "r.npy", missing="hide", memory_limit=500)


def test_lost_chunks_of_zarr_are_noted(tmp_path):
    import zarr

    path = tmp_path / "r.zarr"
    array = zarr.create_array(str(path), shape=X.shape, chunks=(N, 50), dtype="f8")
    array[:] = X
    next(p for p in (path / "c").rglob("*") if p.is_file()).unlink()
    recording = open_recording(path)
    assert recording.notes[-1].startswith("1 of 4 chunks are absent and read as zeros")


def test_pieces_that_are_long_in_time_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr("partwise.io.variables._UNPACKED", N * 100 * 8)
    for time_first in (False, True):
        for frames, noted in ((100, False), (101, True)):
            with h5py.File(tmp_path / "r.h5", "w") as file:
                chunks = (frames, 1) if time_first else (1, frames)
                file.create_dataset("X", data=X.T if time_first else X, chunks=chunks)
            layout = "time-by-units" if time_first else "units-by-time"
            with open_recording(tmp_path / "r.h5", layout=layout, memory_limit=0) as recording:
                shown = f"{chunks[0]} x {chunks[1]}"
                text = f"the matrix is stored in pieces of {shown}, 101 frames long, so"
                assert any(note.startswith(text) for note in recording.notes) == noted


def test_closing_releases_the_file(tmp_path):
    write_h5(tmp_path / "r.h5", X)
    recording = open_recording(tmp_path / "r.h5", memory_limit=0)
    recording.close()
    with pytest.raises(DataError, match="cannot be read"):
        recording.data.frames(0, 5)
    held = open_recording(tmp_path / "r.h5")
    held.close()
    np.testing.assert_array_equal(held.data, X)


def test_the_table_of_a_frame_per_row_and_the_disk_agree(tmp_path):
    pd.DataFrame(X.T, columns=list("abcd")).to_csv(tmp_path / "r.csv", index=False)
    write_h5(tmp_path / "r.h5", X)
    with open_recording(tmp_path / "r.h5", memory_limit=0) as recording:
        np.testing.assert_array_equal(
            recording.data.frames(0, T), open_recording(tmp_path / "r.csv").data
        )
