"""NWB files as pynwb writes them: spike times of units, fluorescence of regions of interest."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest
import scipy.sparse as sp

from partwise.exceptions import DataError, MissingDependencyError, UsageError
from partwise.io.recordings import open_recording
from partwise.sequences.sources import FrameSource

N, T = 3, 120
SPIKES = {11: [0.05, 0.32, 0.38], 4: [], 7: [0.1]}
TRACES = np.random.default_rng(0).random((T, N)).astype(np.float32)


def session():
    import pynwb

    return pynwb.NWBFile("a test", "id", datetime(2024, 1, 1, tzinfo=UTC))


def write(path, file):
    import pynwb

    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


def add_units(file):
    for unit, times in SPIKES.items():
        file.add_unit(id=unit, spike_times=times)


def regions(file):
    from pynwb.ophys import ImageSegmentation, OpticalChannel

    device = file.create_device(name="microscope")
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=OpticalChannel(name="c", description="d", emission_lambda=500.0),
        description="d",
        device=device,
        excitation_lambda=600.0,
        indicator="GCaMP",
        location="HVC",
    )
    module = file.create_processing_module("ophys", "what was derived")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(description="d", imaging_plane=plane)
    for i in range(N + 1):
        table.add_roi(pixel_mask=[(i, i, 1.0)], id=100 + i)
    region = table.create_roi_table_region(description="d", region=[3, 0, 1])
    return module, region


def add_series(file, data=TRACES, name="traces", container=None, made=None, **clock):
    from pynwb.ophys import Fluorescence, RoiResponseSeries

    module, region = made or regions(file)
    clock = clock or {"rate": 10.0, "starting_time": 100.0}
    series = RoiResponseSeries(name=name, data=data, rois=region, unit="a.u.", **clock)
    module.add(Fluorescence(name=container or "Fluorescence", roi_response_series=series))
    return module, region


@pytest.fixture
def pynwb():
    return pytest.importorskip("pynwb")


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.mark.usefixtures("pynwb")
def test_units_become_a_raster(tmp_path):
    file = session()
    add_units(file)
    path = write(tmp_path / "s.nwb", file)
    recording = open_recording(path, bin_width=0.1)
    assert sp.issparse(recording.data)
    np.testing.assert_array_equal(recording.data.toarray(), [[1, 0, 0, 2], [0] * 4, [0, 1, 0, 0]])
    assert (recording.kind, recording.variable, recording.rate) == ("nwb", "units", 10.0)
    assert recording.unit_names == ("11", "4", "7")
    with pytest.raises(UsageError, match="these are spike times; give the width of the bins"):
        open_recording(path)


@pytest.mark.usefixtures("pynwb")
@pytest.mark.parametrize("memory_limit", [0, 2**20])
def test_traces_in_memory_and_on_disk(tmp_path, memory_limit):
    file = session()
    add_series(file)
    path = write(tmp_path / "s.nwb", file)
    with open_recording(path, memory_limit=memory_limit) as recording:
        assert isinstance(recording.data, FrameSource) == (memory_limit == 0)
        data = recording.data if memory_limit else recording.data.frames(0, T)
        np.testing.assert_array_equal(data, TRACES.T)
        assert recording.unit_names == ("103", "100", "101")
        assert (recording.rate, recording.start, recording.variable) == (10.0, 100.0, "traces")
    with pytest.raises(DataError, match="bin_width is for spike times"):
        open_recording(path, bin_width=0.1)


@pytest.mark.usefixtures("pynwb")
def test_trials_are_epochs_when_they_are_named(tmp_path):
    file = session()
    add_series(file)
    file.add_trial(start_time=100.0, stop_time=103.0)
    file.add_trial(start_time=105.0, stop_time=112.0)
    path = write(tmp_path / "s.nwb", file)
    assert open_recording(path).epochs is None
    assert open_recording(path, epochs="trials").epochs == ((0, 30), (50, 120))
    aligned = open_recording(path, epochs="trials", align=(0.0, 2.0))
    assert aligned.epochs == ((0, 20), (50, 70))
    with pytest.raises(DataError, match="no table of intervals 'trails'; the file has 'trials'"):
        open_recording(path, epochs="trails")


@pytest.mark.usefixtures("pynwb")
def test_timestamps_with_a_gap(tmp_path):
    times = 5 + np.arange(T) / 20
    times[50:] += 2
    file = session()
    add_series(file, timestamps=times)
    recording = open_recording(write(tmp_path / "s.nwb", file))
    assert (recording.rate, recording.start) == (20.0, 5.0)
    assert recording.epochs == ((0, 50), (50, T))


@pytest.mark.usefixtures("pynwb")
def test_stored_numbers_are_converted(tmp_path):
    file = session()
    add_series(file, data=np.arange(T * N, dtype=np.int16).reshape(T, N), rate=1.0, conversion=0.5)
    recording = open_recording(write(tmp_path / "s.nwb", file))
    np.testing.assert_array_equal(recording.data, np.arange(T * N).reshape(T, N).T * 0.5)


@pytest.mark.usefixtures("pynwb")
def test_negative_fluorescence_needs_a_word(tmp_path):
    file = session()
    add_series(file, data=TRACES - 0.5)
    path = write(tmp_path / "s.nwb", file)
    with pytest.raises(DataError, match="values are negative, the lowest"):
        open_recording(path)
    clipped = open_recording(path, negative="clip")
    np.testing.assert_array_equal(clipped.data, np.maximum(TRACES.T - np.float32(0.5), 0))
    assert open_recording(path, negative="split").unit_names[3] == "103 -"


@pytest.mark.usefixtures("pynwb")
def test_which_of_several(tmp_path):
    file = session()
    add_units(file)
    made = add_series(file)
    add_series(file, data=TRACES[:, ::-1], container="Neuropil", made=made)
    path = write(tmp_path / "s.nwb", file)
    there = {
        "Fluorescence/traces (fluorescence, 3 x 120)",
        "Neuropil/traces (fluorescence, 3 x 120)",
        "units (spike times of 3 units)",
    }
    with pytest.raises(DataError) as caught:
        open_recording(path, bin_width=0.1)
    listed, choose = str(caught.value).removeprefix(f"{path}: the file has ").split("; ")
    assert set(re.split(r"(?<=\)), ", listed)) == there
    assert choose == "choose one by its name with --variable (variable=...)"
    with pytest.raises(DataError, match="there is no 'traces' in the file; it has "):
        open_recording(path, variable="traces")
    np.testing.assert_array_equal(
        open_recording(path, variable="Neuropil/traces").data, TRACES[:, ::-1].T
    )
    assert open_recording(path, variable="units", bin_width=0.1).shape == (3, 4)


@pytest.mark.usefixtures("pynwb")
def test_files_without_a_recording_and_damaged_ones(tmp_path):
    path = write(tmp_path / "s.nwb", session())
    with pytest.raises(DataError, match="neither spike times of units nor ROI response series"):
        open_recording(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="damaged or cut off"):
        open_recording(path)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    import h5py

    with h5py.File(tmp_path / "s.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'partwise\[nwb\]'"):
        open_recording(tmp_path / "s.nwb")
