"""What the drivers share: configuration, results in JSON, workers, random starts as files."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np

import data
from make_env import env_python
from measures import HERE, load_matrix, machine, random_start
from protocol import Worker

RESULTS = HERE / "results"


def config() -> dict:
    return tomllib.loads((HERE / "config.toml").read_text())


def python_of(worker: str) -> str:
    """Return the interpreter of a worker: this one for partwise, else the rival's own."""
    return sys.executable if worker == "partwise" else str(env_python(worker))


def read_json(path: Path, default: dict) -> dict:
    return json.loads(path.read_text()) if path.exists() else default


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


class Session:
    """Workers with one data set loaded, and a folder for what passes between them and us."""

    def __init__(self, name: str, workers, threads: int, folder: Path, log=None) -> None:
        path = data.matrix_path(name)
        self.X = load_matrix(path)
        self.mean = float(self.X.mean(dtype=np.float64))
        self.folder = Path(folder)
        log = subprocess.DEVNULL if log is None else log
        self.workers = {w: Worker(w, python_of(w), threads, log=log) for w in workers}
        for worker in self.workers.values():
            worker.ask("load", path=str(path))

    def start(self, k: int, seed: int) -> str:
        """Return the file of random start number `seed`."""
        path = self.folder / f"start-{k}-{seed}.npz"
        if not path.exists():
            usage, programs = random_start(self.X.shape, self.mean, k, seed)
            np.savez(path, usage=usage, programs=programs)
        return str(path)

    def ask(self, engine: str, do: str, **arguments) -> dict:
        """Ask the worker of "WORKER:SOLVER"."""
        worker, solver = engine.split(":")
        return self.workers[worker].ask(do, solver=solver, **arguments)

    def fit(self, engine: str, **arguments):
        """Fit; return the answer and the factors."""
        out = self.folder / "factors.npz"
        answer = self.ask(engine, "fit", out=str(out), **arguments)
        with np.load(out) as file:
            return answer, file["usage"], file["programs"]

    def versions(self) -> dict:
        return {name: worker.ask("about")["versions"] for name, worker in self.workers.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for worker in self.workers.values():
            worker.close()


__all__ = [
    "RESULTS",
    "Session",
    "config",
    "machine",
    "python_of",
    "read_json",
    "write_json",
]
