"""What importing costs, and what it must not load."""

import pkgutil
import subprocess
import sys
import time

import pytest

import partwise

HEAVY = ("torch", "dask", "scanpy", "matplotlib", "anndata", "umap", "sklearn", "igraph")


def _run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout


def _loaded_after(code, names):
    out = _run(f"{code}\nimport sys\nprint([n for n in {names!r} if n in sys.modules])")
    return out.strip()


def test_importing_partwise_loads_nothing_heavy():
    assert _loaded_after("import partwise", (*HEAVY, "numba", "pandas", "scipy")) == "[]"


def test_help_loads_nothing_heavy():
    code = (
        "import contextlib, io\n"
        "from partwise.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    run(['--help']); run(['cluster', '--help'])\n"
    )
    assert _loaded_after(code, (*HEAVY, "numba", "numpy", "pandas", "scipy", "rich")) == "[]"


ALLOWED = {
    "figures": {"matplotlib"},
    "report": {"matplotlib"},
    "workflows": set(),
    "factorize": {"sklearn"},
    "graph": {"igraph"},
}


@pytest.mark.parametrize("room", [m.name for m in pkgutil.iter_modules(partwise.__path__)])
def test_rooms_load_only_what_they_may(room):
    if room == "__main__":
        pytest.skip("runs the program")
    names = [name for name in HEAVY if name not in ALLOWED.get(room, set())]
    assert _loaded_after(f"import partwise.{room}", names) == "[]"


def _best_of_seven(code):
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        _run(code)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_import_takes_less_than_150_ms_over_numpy():
    assert _best_of_seven("import numpy, partwise") - _best_of_seven("import numpy") < 0.15


def test_help_takes_less_than_600_ms():
    code = "from partwise.cli import main\nmain(['--help'])"
    assert _best_of_seven(code) < 0.6


def test_public_names_exist():
    for name in partwise.__all__:
        assert getattr(partwise, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        partwise.nonsense  # noqa: B018
    assert set(partwise.__all__) <= set(dir(partwise))
