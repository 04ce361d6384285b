"""run.json: what a run must remember."""

from __future__ import annotations

import enum
import hashlib
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from partwise import __version__
from partwise.report import RunRecord, environment, file_sha256

FIELDS = [
    "schema", "partwise", "status", "command", "started", "finished", "wall_seconds",
    "cpu_seconds", "peak_memory_bytes", "seed", "n_threads", "parameters", "inputs", "outputs",
    "stages", "results", "warnings", "environment",
]  # fmt: skip


class Colour(enum.Enum):
    RED = "a long text"


@dataclass(frozen=True)
class Options:
    n: int
    path: Path
    where: tuple


def test_all_fields_are_written(tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("a,b\n1,2\n")
    record = RunRecord(["partwise", "cluster", "my in.csv", "-n", "3"], seed=42, n_threads=2)
    record.add_input(source)
    with record.stage("read"):
        time.sleep(0.01)
    target.write_text("x")
    record.add_output(target)
    record.warn("careful")
    record.warn("careful")
    record.results["relative_error"] = np.float32(0.5)
    returned = record.write(tmp_path / "run.json")
    written = json.loads((tmp_path / "run.json").read_text())
    assert written == json.loads(json.dumps(returned))
    assert list(written) == FIELDS
    assert written["command"] == "partwise cluster 'my in.csv' -n 3"
    assert written["seed"] == 42
    assert written["n_threads"] == 2
    assert written["partwise"] == __version__
    assert written["warnings"] == ["careful"]
    assert written["results"] == {"relative_error": 0.5}
    assert written["inputs"] == [
        {
            "path": source.as_posix(),
            "bytes": 8,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        }
    ]
    assert written["outputs"][0]["sha256"] == hashlib.sha256(b"x").hexdigest()
    (stage,) = written["stages"]
    assert stage["name"] == "read"
    assert stage["status"] == "done"
    assert stage["wall_seconds"] >= 0.01
    assert stage["peak_memory_bytes"] > 1_000_000
    assert written["wall_seconds"] >= 0.01
    assert written["started"] <= written["finished"]
    assert written["started"].endswith("+00:00")


def test_parameters_keep_their_meaning():
    record = RunRecord(
        "x",
        parameters={
            "options": Options(3, Path("a/b"), (1, None)),
            "colour": Colour.RED,
            "array": np.arange(3),
            "set": {"b", "a"},
            "bad": float("nan"),
            "scalar": np.int64(7),
            "type": complex(1, 2),
        },
    )
    parameters = record.to_dict()["parameters"]
    assert parameters["options"] == {"n": 3, "path": str(Path("a/b")), "where": [1, None]}
    assert parameters["colour"] == "RED"
    assert parameters["array"] == [0, 1, 2]
    assert parameters["set"] == ["a", "b"]
    assert parameters["scalar"] == 7
    assert parameters["type"] == "(1+2j)"


def test_nan_becomes_null_in_the_file(tmp_path):
    record = RunRecord("x", parameters={"tol": float("nan")})
    record.write(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["parameters"]["tol"] is None


def test_a_failing_stage_is_recorded():
    record = RunRecord("x")
    with pytest.raises(ValueError, match="boom"), record.stage("factorize"):
        raise ValueError("boom")
    assert record.stages[0]["status"] == "failed"
    assert record.to_dict("failed")["status"] == "failed"


def test_an_input_that_changes_is_reported(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("one")
    record = RunRecord("x")
    record.add_input(source)
    source.write_text("three")
    assert "changed or vanished" in record.to_dict()["warnings"][0]


def test_an_input_that_vanishes_is_reported(tmp_path):
    record = RunRecord("x")
    record.add_input(tmp_path / "nowhere")
    entry = record.to_dict()["inputs"][0]
    assert entry["sha256"] is None
    assert entry["bytes"] is None


def test_folders_have_a_hash_of_their_own(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a").write_text("a")
        (tmp_path / name / "b").write_text("b")
    assert file_sha256(tmp_path / "one") == file_sha256(tmp_path / "two")
    lines = "".join(
        f"{hashlib.sha256(text).hexdigest()}  {name}\n"
        for text, name in ((b"b", "b"), (b"a", "sub/a"))
    )
    assert file_sha256(tmp_path / "one") == hashlib.sha256(lines.encode()).hexdigest()
    (tmp_path / "two" / "b").rename(tmp_path / "two" / "c")
    assert file_sha256(tmp_path / "one") != file_sha256(tmp_path / "two")


def test_hash_of_a_file_of_several_pieces(tmp_path):
    data = np.random.default_rng(0).bytes(3_000_001)
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_failed_runs_do_not_wait_for_hashes(tmp_path, monkeypatch):
    from partwise.report import run_record

    begun = threading.Event()

    def slow(path, *, stop=None):
        begun.set()
        assert stop.wait(30), "was not told to stop"
        return "worthless"

    monkeypatch.setattr(run_record, "file_sha256", slow)
    (tmp_path / "f").write_text("x")
    record = RunRecord("x")
    record.add_input(tmp_path / "f")
    assert begun.wait(5)
    assert record.to_dict("interrupted")["inputs"][0]["sha256"] is None


def test_environment_names_what_matters():
    found = environment()
    assert {"numpy", "scipy", "numba", "pandas", "scikit-learn", "partwise"} <= set(
        found["packages"]
    )
    assert "pytest" not in found["packages"]
    assert found["python"].startswith("CPython 3.")
    assert found["cpus"]["usable"] >= 1
    assert any(entry["user_api"] == "blas" for entry in found["blas"])
    assert not any("filepath" in entry for entry in found["blas"])


def test_functions_among_the_versions_of_libraries(tmp_path, monkeypatch):
    import threadpoolctl

    entry = {"user_api": "blas", "num_threads": 2, "version": lambda: "1.0"}
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [entry])
    written = RunRecord("partwise").write(tmp_path / "run.json")
    assert written["environment"]["blas"] == [{"user_api": "blas", "num_threads": 2}]
