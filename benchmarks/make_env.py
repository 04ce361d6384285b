"""Make the environment of one rival: `python benchmarks/make_env.py NAME`.

Reads benchmarks/envs/NAME.txt and makes benchmarks/.envs/NAME with plain pip. Blocks of the file
that are separated by a blank line are installed by separate calls of pip, in order.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVS = HERE / ".envs"


def blocks(text: str) -> list[list[str]]:
    """Split a requirements text at blank lines; comments are dropped."""
    groups: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip():
            groups.append([])
        elif not line.lstrip().startswith("#"):
            groups[-1].append(line.strip())
    return [group for group in groups if group]


def env_python(name: str) -> Path:
    """Return the interpreter of environment NAME, which must have been made."""
    python = ENVS / name / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"no environment {name!r}: run python benchmarks/make_env.py {name}")
    return python


def make(name: str) -> None:
    """Make the environment; a half-made one is removed, so that a rerun starts clean."""
    groups = blocks((HERE / "envs" / f"{name}.txt").read_text())
    folder = ENVS / name
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    try:
        for group in groups:
            pip = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
            subprocess.run([*pip, *group], check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def main() -> None:
    names = sorted(path.stem for path in (HERE / "envs").glob("*.txt"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="+", choices=[*names, "all"])
    asked = parser.parse_args().name
    for name in names if "all" in asked else asked:
        print(f"making {ENVS / name} with {sys.version.split()[0]}", flush=True)
        make(name)


if __name__ == "__main__":
    main()
