import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from partwise.exceptions import ResourceError
from partwise.utils.atomic import atomic_path, write_json, write_text


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "a.csv.gz"
    for text in ("one", "two"):
        with atomic_path(target) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.name.endswith("a.csv.gz")
            assert temporary.name.startswith(".partwise-")
            temporary.write_text(text)
        assert target.read_text() == text
    assert os.listdir(tmp_path) == ["a.csv.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_rest(tmp_path, error):
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_says_so(tmp_path):
    with pytest.raises(ResourceError, match="no space is left") as caught:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert str(tmp_path / "a") in str(caught.value)
    assert caught.value.exit_code == 4
    assert os.listdir(tmp_path) == []


def test_other_os_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        raise FileNotFoundError(errno.ENOENT, "an input is missing", "input.csv")


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "t", "β-cells\n")
    assert (tmp_path / "t").read_bytes() == "β-cells\n".encode()


def test_json_takes_what_runs_record(tmp_path):
    write_json(
        tmp_path / "run.json",
        {
            "int": np.int64(3),
            "array": np.arange(3),
            "nan": float("nan"),
            "float": np.float32(0.5),
            "inf": np.float64("inf"),
            "path": Path("x"),
            "set": {2, 1},
            "none": None,
            "other": 1j,
            "bool": np.True_,
            4: ("a", "β"),
        },
    )
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == {
        "int": 3,
        "array": [0, 1, 2],
        "nan": None,
        "float": 0.5,
        "inf": None,
        "path": "x",
        "set": [1, 2],
        "none": None,
        "other": "1j",
        "bool": True,
        "4": ["a", "β"],
    }
