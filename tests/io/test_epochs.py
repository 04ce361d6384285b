"""Lists of epochs, trials and events: which frames they are, and what is wrong with them."""

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io.clock import read_clock
from partwise.io.epochs import read_epochs, within
from partwise.io.recordings import open_recording


def written(folder, text):
    path = folder / "epochs.csv"
    path.write_text(text)
    return path


GOOD = {
    "start,stop\n0.0,1.5\n2.0,3.0\n": [(0, 15), (20, 30)],
    "stop;start\n3;2\n1,5;0\n": [(0, 15), (20, 30)],
    "trial\tonset\toffset\nA\t2.0\t3.0\nB\t0.04\t1.5\n": [(0, 15), (20, 30)],
    "begin_ms,end_ms\n0,1500\n2000,3000\n": [(0, 15), (20, 30)],
    "start_time,stop_time\n0,1\n2,3\n": [(0, 10), (20, 30)],
    "start (s),end (s)\n0,1\n2,3\n": [(0, 10), (20, 30)],
    "start_frame,stop_frame\n0,15\n20,30\n": [(0, 15), (20, 30)],
    "start frames,stop\n0,15\n20,30\n": [(0, 15), (20, 30)],
    "from,to\n0,15\n20,30\n": [(0, 15), (20, 30)],  # as seconds they would lie beyond the end
}


@pytest.mark.parametrize("text", GOOD)
def test_tables_of_epochs(tmp_path, text):
    assert read_epochs(written(tmp_path, text), rate=10, n_frames=100) == GOOD[text]


def test_parquet_and_spreadsheets_of_other_systems(tmp_path):
    frame = pd.DataFrame({"start_s": [0.0, 2.0], "stop_s": [1.5, 3.0]})
    frame.to_parquet(tmp_path / "e.parquet")
    assert read_epochs(tmp_path / "e.parquet", rate=10, n_frames=50) == [(0, 15), (20, 30)]
    frame.to_csv(tmp_path / "e.csv", index=False, encoding="utf-16")
    assert read_epochs(tmp_path / "e.csv", rate=10, n_frames=50) == [(0, 15), (20, 30)]


def test_seconds_or_frames_when_names_do_not_say(tmp_path):
    path = written(tmp_path, "start,stop\n1,2\n3,4\n")
    said = "column 'start': whole numbers that may be seconds or frames: name the columns start_s"
    with pytest.raises(DataError) as caught:
        read_epochs(path, rate=10, n_frames=100)
    assert said in str(caught.value)
    assert read_epochs(path, rate=10, n_frames=100, unit="seconds") == [(10, 20), (30, 40)]
    assert read_epochs(path, rate=10, n_frames=100, unit="frames") == [(1, 2), (3, 4)]
    assert read_epochs(path, rate=None, n_frames=100) == [(1, 2), (3, 4)]
    with pytest.raises(UsageError, match="unit must be 'auto', 'seconds' or 'frames', not 'ms'"):
        read_epochs(path, rate=10, n_frames=100, unit="ms")


def test_the_clock_of_the_file_counts(tmp_path):
    path = written(tmp_path, "start_s,stop_s\n100,101.5\n102,103\n")
    assert read_epochs(path, rate=10, n_frames=40, start=100.0) == [(0, 15), (20, 30)]
    times = np.r_[100 + np.arange(15) / 10, 102 + np.arange(10) / 10]  # half a second was lost
    assert read_epochs(path, rate=10, n_frames=25, times=times) == [(0, 15), (15, 25)]


def test_windows_around_events(tmp_path):
    path = written(tmp_path, "event_time\n1.0\n3.02\n8.0\n")
    found = read_epochs(path, rate=10, n_frames=100, align=(0.5, 1.0))
    assert found == [(5, 20), (25, 40), (75, 90)]
    with pytest.warns(PartwiseWarning, match="2 of 3 windows leave the recording and were left"):
        assert read_epochs(path, rate=10, n_frames=60, align=(2.0, 1.0)) == [(10, 40)]
    with pytest.raises(DataError, match=r"epochs 5 to 35 and 25 to 55 overlap .* shorter window"):
        read_epochs(path, rate=10, n_frames=200, align=(0.5, 2.5))
    with pytest.raises(DataError, match="none of 3 windows lies within the recording"):
        read_epochs(path, rate=10, n_frames=5, align=(0.5, 1.0))
    frames = written(tmp_path, "start_frame,stop_frame\n10,20\n40,44\n")
    assert read_epochs(frames, rate=10, n_frames=99, align=(0.2, 0.3)) == [(8, 13), (38, 43)]
    for align in ((-1, 2), (0, 0), (0, np.inf)):
        with pytest.raises(UsageError, match="align must be seconds before and after"):
            read_epochs(path, rate=10, n_frames=100, align=align)
    with pytest.raises(UsageError, match="are not one frame at 10 Hz"):
        read_epochs(path, rate=10, n_frames=100, align=(0, 0.01))


BAD = {
    "": "the file is empty",
    "start,stop\n": "the table has a header but no rows",
    "a,b\n1,2\n": "there is no column named start and stop, time or event; the table has 'a', 'b'",
    "start_s,duration\n1,2\n": "there is no column for the stop (such as stop_s or stop_frame)",
    "time\n1.5\n": "there is no column for the start (such as start_s or start_frame); the table "
    "has 'time'; for windows around events give seconds before and after (align)",
    "start_s,stop_s\n0,1\n2,x\n": "row 2, column 'stop_s': 'x' is not a number",
    "start_s,stop_s\n0,1\n2\n": "row 2, column 'stop_s': '' is not a number",
    "start_s,stop_s\n0,nan\n2,3\n": "row 1, column 'stop_s': nan is not a time in seconds",
    "start_frame,stop_frame\n0,1.5\n": "row 1, column 'stop_frame': 1.5 is not a whole number of",
    "start_s,stop_s\n2,1\n": "row 1: the epoch 20 to 10 is empty: its stop must be after its start",
    "start_s,stop_s\n0,1\n9,11\n": "row 2: the epoch 90 to 110 leaves the recording, frames 0 to",
    "start_s,stop_s\n-1,1\n": "row 1: the epoch -10 to 10 leaves the recording, frames 0 to 100",
    "start_s,stop_s\n0,3\n2,4\n": "the epochs 0 to 30 and 20 to 40 overlap (frames): no frame",
}


@pytest.mark.parametrize("text", BAD)
def test_tables_of_epochs_that_cannot_be_used(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_epochs(path, rate=10, n_frames=100)
    assert str(caught.value).removeprefix(str(path)).lstrip(",: ").startswith(BAD[text])


def test_seconds_without_a_rate(tmp_path):
    path = written(tmp_path, "start_s,stop_s\n0,1\n")
    with pytest.raises(UsageError, match="times in seconds need the frames per second"):
        read_epochs(path, rate=None, n_frames=100)
    with pytest.raises(UsageError, match="align is in seconds: give the frames per second"):
        read_epochs(written(tmp_path, "frame\n5\n"), rate=None, n_frames=100, align=(1.0, 1.0))
    with pytest.raises(DataError, match="there is no such file"):
        read_epochs(tmp_path / "no.csv", rate=1, n_frames=100)


def test_epochs_are_cut_at_gaps():
    assert within([(0, 10), (12, 20)], None) == [(0, 10), (12, 20)]
    assert within([(0, 10), (12, 20)], [(0, 5), (5, 15), (15, 30)]) == [
        (0, 5),
        (5, 10),
        (12, 15),
        (15, 20),
    ]


def test_the_rate_of_a_clock_is_the_mean_of_steps_without_gaps(tmp_path):
    times = np.arange(1000) / 30
    clock, epochs = read_clock(times.round(3), path=tmp_path)
    assert clock.rate == pytest.approx(30, rel=1e-5)
    assert epochs is None
    times[500:] += 10
    clock, epochs = read_clock(times, path=tmp_path)
    assert clock.rate == 30
    assert epochs == [(0, 500), (500, 1000)]
    seconds = np.array([0.0, times[499], times[499] + 5, times[500], times[999]])
    assert clock.frames(seconds).tolist() == [0, 499, 500, 500, 999]


def test_epochs_of_a_recording(tmp_path):
    np.save(tmp_path / "r.npy", np.ones((2, 100)))
    path = written(tmp_path, "time_s\n2\n5\n")
    recording = open_recording(tmp_path / "r.npy", rate=10, epochs=path, align=(1, 0.5))
    assert recording.epochs == ((10, 25), (40, 55))
