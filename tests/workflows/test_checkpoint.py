"""What a run keeps: whole or not at all, and only for what it belongs to."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from partwise.exceptions import ResourceError
from partwise.report import RunRecord
from partwise.workflows.checkpoint import Checkpoint, open_checkpoint
from partwise.workflows.options import option
from partwise.workflows.shared_options import output_dir_option, resume_option, threads_option


@dataclass(frozen=True, kw_only=True)
class Options:
    resolution: float = option(0.1, "--resolution", kind=float, help="r.", section="A")
    names: tuple[str, ...] = option((), "--names", kind=tuple, help="n.", section="A")
    output_dir: str = output_dir_option("results")
    resume: bool = resume_option()
    threads: int | None = threads_option()


class Told:
    """A progress that keeps the texts."""

    def __init__(self):
        self.texts = []

    def info(self, text):
        self.texts.append(text)

    warn = info


ARRAYS = {
    "floats": np.array([[0.1, np.nan], [-0.0, np.inf]], np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "names": np.array(["a", "längst"]),
    "truth": np.array([True, False]),
    "scalar": np.array(2**62),
    "empty": np.empty((0, 3), np.int32),
    "strided": np.arange(10)[::2],
}


@pytest.fixture
def run(tmp_path):
    """Open the state of a job on a file; returns the checkpoint and what the user was told."""
    table = tmp_path / "cells.csv"
    table.write_text("a,b\n1,2\n")
    folder = tmp_path / "results"
    folder.mkdir()

    def begin(*, resume=False, options=None, job="cluster", content=None):
        if content is not None:
            table.write_text(content)
        record = RunRecord("partwise cluster cells.csv")
        record.add_input(table)
        told = Told()
        context = open_checkpoint(
            folder, job, options=options or Options(), record=record, resume=resume, progress=told
        )
        return context, told

    begin.folder = folder
    return begin


def interrupted(context, **units):
    """Put units and end as Ctrl-C does; return the exception."""
    with pytest.raises(KeyboardInterrupt) as caught, context as kept:
        for key, arrays in units.items():
            kept.put(key, arrays)
        raise KeyboardInterrupt
    return caught.value


def test_arrays_come_back_as_they_were(tmp_path):
    kept = Checkpoint(tmp_path, dict)
    kept.put("k=15, n=8", ARRAYS)
    back = kept.get("k=15, n=8")
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
        assert back[name].flags.writeable
    assert back["fortran"].flags.f_contiguous
    assert not back["fortran"].flags.c_contiguous
    assert kept.get("another") is None
    assert kept.n_units == 1


def test_a_later_put_replaces(tmp_path):
    kept = Checkpoint(tmp_path, dict)
    kept.put("a", {"x": np.zeros(1000)})
    kept.put("a", {"x": np.ones(2)})
    assert kept.get("a")["x"].tolist() == [1, 1]
    assert kept.n_units == 1


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="x is an array of object, which cannot be kept"):
        Checkpoint(tmp_path, dict).put("a", {"x": np.array([{}])})
    with pytest.raises(TypeError, match="x is an array of object"):  # also where nothing is kept
        Checkpoint(None, dict).put("a", {"x": np.array([None])})


def test_any_changed_byte_shows(tmp_path):
    kept = Checkpoint(tmp_path, dict)
    kept.put("a", {"x": np.arange(5, dtype=np.int16), "y": np.array(["b"])})
    (path,) = tmp_path.glob("*.unit")
    good = path.read_bytes()
    for position in range(len(good)):
        for flip in (1, 128):
            path.write_bytes(
                good[:position] + bytes([good[position] ^ flip]) + good[position + 1 :]
            )
            assert kept.get("a") is None, position
    path.write_bytes(good)
    assert kept.get("a")["x"].tolist() == [0, 1, 2, 3, 4]


def test_any_cut_shows(tmp_path):
    kept = Checkpoint(tmp_path, dict)
    kept.put("a", {"x": np.arange(5)})
    (path,) = tmp_path.glob("*.unit")
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert kept.get("a") is None, length
    path.write_bytes(good + b"0")
    assert kept.get("a") is None


def test_the_file_of_another_unit_is_not_taken(tmp_path):
    kept = Checkpoint(tmp_path, dict)
    kept.put("a", {"x": np.arange(5)})
    (path,) = tmp_path.glob("*.unit")
    kept.put("b", {"x": np.arange(3)})
    (other,) = set(tmp_path.glob("*.unit")) - {path}
    other.replace(path)
    assert kept.get("a") is None


def test_damage_is_told(run):
    interrupted(run()[0], a=ARRAYS, b=ARRAYS)
    path = next(run.folder.glob(".partwise-state-cluster/*.unit"))
    path.write_bytes(path.read_bytes()[:-1])
    context, told = run(resume=True)
    with context as kept:
        got = [kept.get("a"), kept.get("b")]
    assert [one is None for one in got].count(True) == 1
    assert any("is damaged" in text and "done again" in text for text in told.texts)


def test_a_run_that_ends_well_leaves_nothing(run):
    context, told = run()
    with context as kept:
        kept.put("a", ARRAYS)
        assert (run.folder / ".partwise-state-cluster").is_dir()
    assert list(run.folder.iterdir()) == []
    assert told.texts == []


def test_an_interrupted_run_is_resumed_twice(run):
    error = interrupted(run()[0], a=ARRAYS)
    assert error.__notes__ == [
        "what was done is kept; go on with: partwise cluster cells.csv --resume"
    ]
    context, told = run(resume=True)
    with pytest.raises(KeyboardInterrupt), context as kept:
        assert kept.get("a") is not None
        assert kept.get("b") is None
        kept.put("b", ARRAYS)
        raise KeyboardInterrupt
    assert told.texts == ["resuming: 1 part of the work done already"]
    context, told = run(resume=True)
    with context as kept:
        assert kept.get("a") is not None
        assert kept.get("b") is not None
    assert told.texts == ["resuming: 2 parts of the work done already"]
    assert list(run.folder.iterdir()) == []


def test_a_run_interrupted_before_its_first_unit_leaves_nothing(run):
    error = interrupted(run()[0])
    assert not hasattr(error, "__notes__")
    assert list(run.folder.iterdir()) == []


def test_without_resume_it_is_discarded_and_told(run):
    interrupted(run()[0], a=ARRAYS)
    context, told = run()
    with context as kept:
        assert kept.get("a") is None
    (text,) = told.texts
    assert "discarded" in text
    assert "--resume" in text


def test_nothing_to_resume_is_told(run):
    context, told = run(resume=True)
    with context as kept:
        assert kept.get("a") is None
    assert told.texts == [f"there is nothing to resume in {run.folder}: starting anew"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"options": Options(resolution=0.5)}, "resolution was 0.1, is 0.5"),
        ({"options": Options(names=("a", "b"))}, "names was not given, is a,b"),
        ({"content": "a,b\n1,3\n"}, "the input is another, or has changed"),
    ],
)
def test_what_belongs_to_something_else_is_not_used(run, change, text):
    interrupted(run()[0], a=ARRAYS)
    context, told = run(resume=True, **change)
    with context as kept:
        assert kept.get("a") is None
    (told_text,) = told.texts
    assert f"cannot be resumed ({text}): starting anew" in told_text


def test_another_version_is_not_resumed(run, monkeypatch):
    interrupted(run()[0], a=ARRAYS)
    monkeypatch.setattr("partwise.workflows.checkpoint_identity.__version__", "99.0")
    context, told = run(resume=True)
    with context as kept:
        assert kept.get("a") is None
    assert "is 99.0" in told.texts[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"options": 3}', "\udcff"])
def test_a_damaged_description_is_not_resumed(run, text):
    interrupted(run()[0], a=ARRAYS)
    path = run.folder / ".partwise-state-cluster" / "state.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    context, told = run(resume=True)
    with context as kept:
        assert kept.get("a") is None
    assert "starting anew" in told.texts[0]


def test_options_that_do_not_matter_may_change(run):
    interrupted(run()[0], a=ARRAYS)
    options = Options(threads=1, output_dir="elsewhere", resume=True)
    context, _ = run(resume=True, options=options)
    with context as kept:
        assert kept.get("a") is not None


def test_jobs_do_not_see_each_others_units(run):
    interrupted(run()[0], a=ARRAYS)
    context, _ = run(resume=True, job="tune")
    with context as kept:
        assert kept.get("a") is None
    context, _ = run(resume=True)
    with context as kept:
        assert kept.get("a") is not None


def test_two_runs_at_once(run):
    first, _ = run()
    with first as kept:
        kept.put("a", ARRAYS)
        second, told = run()
        with second as other:
            other.put("b", ARRAYS)
            assert other.get("b") is None
        assert "another run is at work" in told.texts[0]
        third, _ = run(resume=True)
        with pytest.raises(ResourceError, match="another run is at work"), third:
            pass
        assert kept.get("a") is not None
    assert list(run.folder.iterdir()) == []


def test_a_killed_process_leaves_what_it_had_put(run, tmp_path):
    code = f"""
import os, numpy as np
from partwise.report import RunRecord
from partwise.workflows.checkpoint import open_checkpoint
from partwise.workflows.clustering.options import ClusterOptions
record = RunRecord("x")
record.add_input({str(tmp_path / "cells.csv")!r})
folder, options = {str(run.folder)!r}, ClusterOptions()
with open_checkpoint(folder, "cluster", options=options, record=record) as kept:
    kept.put("a", {{"x": np.arange(3)}})
    open({str(run.folder / ".partwise-state-cluster")!r} + "/.partwise-1-half", "w").write("half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    from partwise.workflows.clustering.options import ClusterOptions

    context, told = run(resume=True, options=ClusterOptions())
    with context as kept:
        assert kept.get("a")["x"].tolist() == [0, 1, 2]
        names = {path.name for path in (run.folder / ".partwise-state-cluster").iterdir()}
        assert not any("half" in name for name in names)
    assert told.texts == ["resuming: 1 part of the work done already"]


def test_a_full_disk_does_not_stop_the_run(run, monkeypatch):
    context, told = run()
    with context as kept:
        kept.put("a", ARRAYS)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        kept.put("b", ARRAYS)
        monkeypatch.undo()
        kept.put("c", ARRAYS)  # not tried again
    (text,) = told.texts
    assert "cannot be kept" in text
    assert "no space is left on the disk" in text


def test_other_files_are_left_alone(run):
    hashes = {}
    for name in ("cells_nmf.csv", ".partwise-run-1-0"):
        (run.folder / name).write_text(name)
        hashes[name] = hashlib.sha256(name.encode()).digest()
    context, _ = run()
    with context as kept:
        kept.put("a", ARRAYS)
    assert {path.name for path in run.folder.iterdir()} == set(hashes)


def test_every_option_says_what_depends_on_it():
    from partwise.workflows.checkpoint_identity import options_that_matter
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.options import specs

    assert all(spec.matters in ("result", "run", "once") for spec in specs(ClusterOptions))
    options = Options(names=("a",), threads=3)
    assert options_that_matter(options) == {"resolution": 0.1, "names": ["a"]}
    assert options_that_matter(dataclasses.replace(options, resume=True)) == {
        "resolution": 0.1,
        "names": ["a"],
    }


def test_a_unit_that_was_being_written_does_not_count(run):
    place = run.folder / ".partwise-state-cluster"
    place.mkdir()
    (place / ".partwise-1-ab-0.unit").write_text("half")
    context, told = run(resume=True)
    with context as kept:
        assert kept.n_units == 0
    assert "nothing to resume" in told.texts[0]
    interrupted(run()[0])
    assert list(run.folder.iterdir()) == []
