import io
import logging
import subprocess
import sys

import numpy as np
import pytest

from partwise.exceptions import MissingDependencyError, ResourceError, UsageError
from partwise.utils.logs import log_to_file
from partwise.utils.memory import available_memory_bytes, peak_memory_bytes
from partwise.utils.optional import require
from partwise.utils.progress import silent, terminal
from partwise.utils.random import generator


class Tty(io.StringIO):
    def isatty(self):
        return True


def test_generator():
    assert generator(1).integers(1 << 40) == generator(np.int32(1)).integers(1 << 40)
    rng = np.random.default_rng(0)
    assert generator(rng) is rng
    state = np.random.RandomState(0)
    assert generator(state).random() != generator(state).random()
    assert generator(np.random.RandomState(0)).random() == pytest.approx(
        generator(np.random.RandomState(0)).random(), abs=0
    )
    generator(None)


def _global_state():
    return np.random.get_state()  # noqa: NPY002


def test_generator_leaves_the_global_state_alone():
    before = _global_state()[1].copy()
    generator(None).random(10)
    generator(3).random(10)
    assert (_global_state()[1] == before).all()


@pytest.mark.parametrize("bad", [-1, 1.5, "42", True, [1]])
def test_generator_refuses(bad):
    with pytest.raises(UsageError):
        generator(bad)


def test_require():
    assert require("json", "umap").__name__ == "json"
    with pytest.raises(MissingDependencyError, match=r"pip install 'partwise\[umap\]'"):
        require("no_such_module_here.sub", "umap")


def test_silent_is_silent(capfd):
    progress = silent()
    with progress.stage("read", total=10) as stage:
        stage.advance(10)
        progress.info("info")
        progress.warn("warning")
    assert capfd.readouterr() == ("", "")


def test_terminal_shows_only_warnings_without_one():
    stream = io.StringIO()
    progress = terminal(stream)
    with progress.stage("read"):
        progress.info("x")
    assert stream.getvalue() == ""
    progress.warn("look [here]")
    assert stream.getvalue() == "warning: look [here]\n"


def test_terminal_shows_stages_units_and_texts():
    stream = Tty()
    progress = terminal(stream)
    with progress.stage("reading cells", total=1_200_000) as stage:
        with progress.stage("inner"):
            progress.warn("3 cells [are] empty")
        stage.advance(1_200_000)
    shown = stream.getvalue()
    for text in ("reading cells", "1,200,000/1,200,000", "  inner", "3 cells [are] empty"):
        assert text in shown


def test_terminal_closes_after_an_error():
    stream = Tty()
    progress = terminal(stream)
    with pytest.raises(ValueError, match="x"), progress.stage("one"):
        raise ValueError("x")
    with progress.stage("two"):
        pass
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is shown again


def test_log_file(tmp_path):
    progress = silent()
    with log_to_file(tmp_path / "run.log"), progress.stage("read", total=5):
        progress.warn("look")
    progress.info("after")
    text = (tmp_path / "run.log").read_text()
    assert "read: started (5 units)" in text
    assert "WARNING look" in text
    assert "read: done in" in text
    assert "after" not in text
    assert logging.getLogger("partwise").level == logging.NOTSET


def test_log_file_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"), log_to_file(tmp_path / "file" / "log"):
        pass


def test_memory():
    assert 10_000_000 < peak_memory_bytes() < 1 << 40
    assert available_memory_bytes() > 1_000_000


def test_peak_memory_is_not_that_of_the_launching_process():
    ballast = np.ones(40_000_000)
    code = "from partwise.utils.memory import peak_memory_bytes as p; print(p())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) < ballast.nbytes
