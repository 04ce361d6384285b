"""Recordings that can be opened: every kind of file gives the same values, names, rate, epochs."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from matlab_files import write_mat73
from partwise.exceptions import PartwiseWarning
from partwise.io.recordings import open_recording
from partwise.sequences.sources import FrameSource

N, T, RATE = 5, 90, 30.0
NAMES = ("007", "b 2", "ü", "d", "e")


def values():
    rng = np.random.default_rng(0)
    return rng.random((N, T)).round(3) * (rng.random((N, T)) < 0.3)


X = values()
SONG = np.random.default_rng(1).random((7, 600))


def table(**columns):
    frame = pd.DataFrame(X.T, columns=NAMES)
    for place, (name, column) in enumerate(columns.items()):
        frame.insert(place, name, column)
    return frame


def write_mat5(path):
    scipy.io.savemat(path, {"traces": X, "note": "a text"})


def write_zarr(path):
    import zarr

    zarr.save_array(str(path), X)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["session/traces"] = X
        file["session/unit_names"] = list(NAMES)
        file["fs"] = RATE


KINDS = {
    "r.mat": ("mat", write_mat5),
    "r73.mat": ("mat73", lambda path: write_mat73(path, {"traces": X, "note": "a text"})),
    "r.npy": ("npy", lambda path: np.save(path, X)),
    "r.npz": ("npz", lambda path: np.savez(path, traces=X, unit_names=np.array(NAMES))),
    "r.h5": ("hdf5", write_hdf5),
    "r.zarr": ("zarr", write_zarr),
    "r.csv": ("text", lambda path: table().to_csv(path, index=False)),
    "r.tsv": ("text", lambda path: table().to_csv(path, index=False, sep="\t")),
    "r.csv.gz": ("text", lambda path: table().to_csv(path, index=False)),
    "r.parquet": ("parquet", lambda path: table().to_parquet(path)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_values(tmp_path, name):
    kind, write = KINDS[name]
    path = tmp_path / name
    write(path)
    with open_recording(path, rate=RATE) as recording:
        np.testing.assert_array_equal(recording.data, X)
        assert recording.kind == kind
        assert (recording.shape, recording.rate, recording.seconds) == ((N, T), RATE, 3.0)
        assert recording.path == path
        assert recording.name == name.split(".")[0]
        assert recording.in_memory
        assert recording.epochs is None
        assert recording.hidden is None
        named = kind in ("text", "parquet") or name in ("r.npz", "r.h5")
        assert recording.unit_names == (NAMES if named else tuple(f"unit_{i}" for i in range(1, 6)))


@pytest.mark.parametrize("name", ["r.mat", "r73.mat", "r.npy", "r.npz", "r.h5", "r.zarr"])
def test_a_matrix_is_turned_only_when_that_is_asked_for(tmp_path, name):
    path = tmp_path / name
    KINDS[name][1](path)
    # asked for, so nothing is said of more units than frames; warnings are errors in tests
    turned = open_recording(path, layout="time-by-units")
    np.testing.assert_array_equal(turned.data, X.T)
    assert turned.shape == (T, N)
    np.testing.assert_array_equal(open_recording(path, layout="units-by-time").data, X)


def test_more_units_than_frames_is_warned_of_with_what_to_do(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, X.T)
    said = (
        "90 units but only 5 frames: are the two exchanged? The file was read as units-by-time; if "
        "it is time-by-units, say so with --layout time-by-units (layout='time-by-units')"
    )
    with pytest.warns(PartwiseWarning) as caught:
        recording = open_recording(path)
    assert [str(one.message) for one in caught] == [f"{path}: {said}"]
    assert recording.notes == (said,)


@pytest.mark.parametrize("kind", [scipy.io.savemat, write_mat73])
def test_rates_side_channels_and_known_names_in_matlab_files(tmp_path, kind):
    path = tmp_path / "bird.mat"
    kind(path, {"NEURAL": X, "SONG": SONG, "SONGfs": 200, "VIDEOfs": 30, "TAIL": SONG})
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.data, X)
    assert (recording.variable, recording.rate) == ("NEURAL", 30.0)
    assert list(recording.side) == ["SONG"]  # TAIL has no rate of its own
    np.testing.assert_array_equal(recording.side["SONG"][0], SONG)
    assert recording.side["SONG"][1] == 200.0
    assert recording.notes == (
        "NEURAL was taken for the recording; the file also has SONG (7 x 600 double), TAIL "
        "(7 x 600 double)",
        "30 frames per second, from VIDEOfs in the file",
        "SONG (7 x 600 at 200 Hz) goes beside it, for figures",
    )
    song = open_recording(path, variable="SONG")
    assert (song.shape, song.rate, song.side) == (SONG.shape, 200.0, {})
    other = open_recording(path, rate=60)  # then the song is twice as long, and does not belong
    assert (other.rate, other.side) == (60.0, {})
    assert "60 frames per second as asked, not 30" in other.notes


def test_the_published_songbird_recording(data_dir):
    for recording in (
        open_recording(data_dir / "MackeviciusData.mat"),
        open_recording(data_dir / "MackeviciusData.mat", variable="NEURAL"),
    ):
        assert (recording.shape, recording.rate) == ((75, 666), 30.0)
        matrix, rate = recording.side["SONG"]
        assert (matrix.shape, rate) == ((141, 4440), 200.0)
        assert np.mean(recording.data == 0) == pytest.approx(0.933, abs=5e-4)


@pytest.mark.parametrize("matrix", [sp.csr_matrix(X), sp.csc_matrix(X), sp.coo_matrix(X)])
def test_sparse_matrices_stay_sparse(tmp_path, matrix):
    path = tmp_path / "r.npz"
    sp.save_npz(path, matrix)
    scipy.io.savemat(tmp_path / "r5.mat", {"raster": sp.csc_matrix(matrix)})
    write_mat73(tmp_path / "r73.mat", {"raster": sp.csc_matrix(matrix)})
    for name in ("r.npz", "r5.mat", "r73.mat"):
        recording = open_recording(tmp_path / name)
        assert sp.issparse(recording.data)
        assert recording.data.format == "csr"
        np.testing.assert_array_equal(recording.data.toarray(), X)


@pytest.mark.parametrize(
    ("stored", "handed_out"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (np.uint8, np.float32),
        (bool, np.float32),
        (np.int64, np.float32),
        (">f8", np.float64),
    ],
)
def test_types_of_values(tmp_path, stored, handed_out):
    array = np.arange(12).reshape(3, 4).astype(stored)
    np.save(tmp_path / "r.npy", array)
    recording = open_recording(tmp_path / "r.npy")
    assert recording.data.dtype == handed_out
    np.testing.assert_array_equal(recording.data, array.astype(float))


def test_large_whole_numbers_stay_exact(tmp_path):
    array = np.array([[2**24 + 1, 0], [1, 2]], np.int64)
    np.save(tmp_path / "r.npy", array)
    recording = open_recording(tmp_path / "r.npy")
    assert recording.data.dtype == np.float64
    np.testing.assert_array_equal(recording.data, array)


# Tables


def test_a_column_of_times_gives_the_rate(tmp_path):
    times = (10 + np.arange(T) / 30).round(3)  # rounding must not turn 30 Hz into 30.3
    path = tmp_path / "r.csv"
    for name, scale in (("time", 1), ("Time (s)", 1), ("timestamps", 1), ("time_ms", 1000)):
        table(**{name: times * scale}).to_csv(path, index=False)
        recording = open_recording(path)
        assert recording.rate == pytest.approx(30, abs=0.01)
        assert recording.start == pytest.approx(10.0)
        assert recording.unit_names == NAMES
        np.testing.assert_array_equal(recording.data, X)
        assert recording.notes[-1].endswith(f"frames per second, from column {name!r}")


def test_frames_that_are_missing_make_epochs(tmp_path):
    times = np.arange(T) / 10
    times[40:] += 3
    table(time_s=times).to_parquet(tmp_path / "r.parquet")
    recording = open_recording(tmp_path / "r.parquet")
    assert recording.epochs == ((0, 40), (40, T))
    assert recording.rate == 10
    assert recording.notes[0] == (
        "frames are missing at 1 places: the stretches between are epochs, and no sequence reaches "
        "across"
    )
    # epochs in seconds are found on the file's clock, and cut at the gap
    (tmp_path / "e.csv").write_text("start_s,stop_s\n3.0,7.5\n8,9\n")
    cut = open_recording(tmp_path / "r.parquet", epochs=tmp_path / "e.csv")
    assert cut.epochs == ((30, 40), (40, 45), (50, 60))


def test_a_column_of_trials_makes_epochs(tmp_path):
    path = tmp_path / "r.csv"
    table(trial=np.repeat(["A", "B", "A"], 30)).to_csv(path)
    recording = open_recording(path)
    assert recording.epochs == ((0, 30), (30, 60), (60, 90))
    assert recording.unit_names == NAMES
    assert recording.notes == (
        "column 1 ('') numbers the rows: left out",
        "3 epochs, from column 'trial': no sequence reaches across",
    )


def test_a_row_per_unit_where_the_first_column_names_units(tmp_path):
    wide = pd.DataFrame(X, columns=[f"{t / 20:.2f}" for t in range(T)])
    wide.insert(0, "neuron", [f"n{name}" for name in NAMES])
    wide.to_csv(tmp_path / "r.csv", index=False)
    recording = open_recording(tmp_path / "r.csv")
    assert recording.unit_names == ("n007", "nb 2", "nü", "nd", "ne")
    assert recording.rate == 20
    np.testing.assert_array_equal(recording.data, X)


def test_identifiers_that_look_like_numbers_are_text(tmp_path):
    wide = pd.DataFrame(X, columns=[f"f{t}" for t in range(T)])
    wide.insert(0, "unit", ["007", "7", "1e3", "NA", "-2"])
    wide.to_csv(tmp_path / "r.csv", index=False)
    recording = open_recording(tmp_path / "r.csv", layout="units-by-time")
    assert recording.unit_names == ("007", "7", "1e3", "NA", "-2")


def test_numbers_as_names_are_names_and_other_numbers_are_data(tmp_path):
    path = tmp_path / "r.csv"
    pd.DataFrame(X.T).to_csv(path, index=False)
    assert open_recording(path).unit_names == ("0", "1", "2", "3", "4")
    np.savetxt(path, X, delimiter=",", fmt="%.3f")
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.data, X)
    assert recording.notes == (
        "the first line has numbers, no names: taken as a matrix, units x time",
    )
    np.savetxt(path, X.T, delimiter="\t", fmt="%.3f")
    np.testing.assert_array_equal(open_recording(path, layout="time-by-units").data, X)


def test_decimal_commas_and_compression(tmp_path):
    text = "zeit;a;b\n1,5;0,25;1\n2,5;0;0,5\n3,5;1;0\n"
    (tmp_path / "r.csv").write_bytes(gzip.compress(text.replace("zeit", "time").encode()))
    recording = open_recording(tmp_path / "r.csv")
    np.testing.assert_array_equal(recording.data, [[0.25, 0, 1], [1, 0.5, 0]])
    assert (recording.rate, recording.start) == (1.0, 1.5)


# Spike times


@pytest.mark.parametrize("time", ["time", "spike_times", "time_ms"])
@pytest.mark.parametrize("unit", ["unit", "cluster_id", "Neuron"])
def test_spike_times_become_a_raster(tmp_path, time, unit):
    scale = 1000 if time.endswith("ms") else 1
    spikes = pd.DataFrame({unit: ["007", "b", "007", "007"], time: [0.05, 0.1, 0.32, 0.38]})
    spikes[time] *= scale
    spikes["quality"] = "good"
    for path, write in (
        (tmp_path / "s.csv", lambda path: spikes.to_csv(path, index=False)),
        (tmp_path / "s.parquet", spikes.to_parquet),
    ):
        write(path)
        recording = open_recording(path, bin_width=0.1)
        assert sp.issparse(recording.data)
        np.testing.assert_array_equal(recording.data.toarray(), [[1, 0, 0, 2], [0, 1, 0, 0]])
        assert (recording.unit_names, recording.rate) == (("007", "b"), 10.0)
        assert recording.notes == (
            "4 spikes of 2 units in bins of 0.1 s",
            "columns 'quality' were left out: only unit and time count",
        )


# What is done to values


def test_epochs_by_frames(tmp_path):
    np.save(tmp_path / "r.npy", X)
    recording = open_recording(tmp_path / "r.npy", epochs=[(50, 90), (0, 40)])
    assert recording.epochs == ((0, 40), (50, 90))


@pytest.mark.parametrize("sparse", [False, True])
def test_negative_values_are_clipped_or_split(tmp_path, sparse):
    signed = X - 0.4 * (X > 0)
    if sparse:
        sp.save_npz(tmp_path / "r.npz", sp.csr_matrix(signed))
    else:
        np.savez(tmp_path / "r.npz", X=signed)
    path = tmp_path / "r.npz"

    def dense(recording):
        return recording.data.toarray() if sparse else recording.data

    clipped = open_recording(path, negative="clip")
    np.testing.assert_array_equal(dense(clipped), np.maximum(signed, 0))
    n = int((signed < 0).sum())
    assert clipped.notes[-1].startswith(f"{n} negative values ")
    assert clipped.notes[-1].endswith(" were set to 0")
    split = open_recording(path, negative="split")
    assert split.unit_names[:6:5] == ("unit_1 +", "unit_1 -")
    assert split.shape == (2 * N, T)
    np.testing.assert_array_equal(dense(split)[:N] - dense(split)[N:], signed)
    assert dense(split).min() == 0


def test_negative_values_are_raised_by_an_offset(tmp_path):
    signed = X.copy()
    signed[1] -= 0.25
    signed[1, 3] = -0.5
    np.save(tmp_path / "r.npy", signed)
    recording = open_recording(tmp_path / "r.npy", negative="offset")
    np.testing.assert_array_equal(recording.data[[0, 2, 3, 4]], X[[0, 2, 3, 4]])
    np.testing.assert_array_equal(recording.data[1], signed[1] + 0.5)
    assert (
        "lowest -0.5) were raised by subtracting the lowest value of each unit that has any"
        in (recording.notes[-1])
    )


@pytest.mark.parametrize("negative", ["raise", "split"])
def test_missing_values_are_hidden_when_asked(tmp_path, negative):
    holes = X.copy()
    holes[2, 5:8] = np.nan
    np.save(tmp_path / "r.npy", holes)
    recording = open_recording(tmp_path / "r.npy", missing="hide", negative=negative)
    gone = np.isnan(holes)
    if negative == "split":
        gone = np.concatenate([gone, gone])
    np.testing.assert_array_equal(recording.hidden.toarray(), gone)
    np.testing.assert_array_equal(recording.data[:N], np.where(gone[:N], 0, X))
    assert recording.notes[-1] == "3 values are missing (0.67 %) and hidden"


def test_missing_cells_of_a_table_are_hidden_when_asked(tmp_path):
    (tmp_path / "r.csv").write_text("time,a,b\n0,1,\n1,NA,2\n2,3,nan\n")
    recording = open_recording(tmp_path / "r.csv", missing="hide")
    np.testing.assert_array_equal(recording.data, [[1, 0, 3], [0, 2, 0]])
    np.testing.assert_array_equal(
        recording.hidden.toarray(), [[False, True, False], [True, False, True]]
    )


def test_missing_values_of_a_sparse_matrix(tmp_path):
    holes = sp.csr_matrix(X)
    holes.data[4] = np.nan
    sp.save_npz(tmp_path / "r.npz", holes)
    recording = open_recording(tmp_path / "r.npz", missing="hide")
    assert recording.hidden.nnz == 1
    assert recording.data.nnz == np.count_nonzero(X) - 1
    assert recording.data[recording.hidden.nonzero()].max() == 0


def test_recordings_are_frame_sources_only_on_disk(tmp_path):
    np.save(tmp_path / "r.npy", X)
    assert isinstance(open_recording(tmp_path / "r.npy", memory_limit=0).data, FrameSource)
    assert not isinstance(open_recording(tmp_path / "r.npy").data, FrameSource)
