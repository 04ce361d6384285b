import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from partwise.utils import interrupts

# A shell that starts us in the background has us ignore Ctrl-C, and our children with us.
signal.signal(signal.SIGINT, signal.default_int_handler)

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _signals_as_before():
    """A command run in this process listens to signals, and remembers those that tests raise."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupts._came.clear()


@pytest.fixture(scope="session")
def data_dir():
    """Folder of the public data sets that some tests need; they are skipped without it."""
    folder = os.environ.get("PARTWISE_DATA_DIR")
    if not folder:
        pytest.skip("PARTWISE_DATA_DIR is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"PARTWISE_DATA_DIR is not a folder: {path}")
    return path


@pytest.fixture
def partwise():
    """Run the command line in a process of its own, without a terminal."""

    def run(*arguments, cwd=None, env=None, timeout=240):
        return subprocess.run(
            [sys.executable, "-m", "partwise", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def small_table(tmp_path_factory):
    """A simulated neighbourhood table of 600 cells as CSV."""
    from partwise.workflows import simulate

    folder = tmp_path_factory.mktemp("small")
    return simulate(n_cells=600, n_fovs=6, output_dir=folder).outputs["table"]
