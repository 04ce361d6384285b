"""The record of a run: what went in, what came out, with what, and how long it took.

Files are hashed in background threads, so that reading an input and hashing it overlap.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from partwise import __version__
from partwise.utils.atomic import write_json
from partwise.utils.memory import peak_memory_bytes

__all__ = ["RunRecord", "environment", "file_sha256"]

_SCHEMA = 1
_CHUNK = 1 << 20


def file_sha256(path: str | PathLike[str], *, stop: threading.Event | None = None) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Of a folder, such as a zarr store: that of the lines "<SHA-256>  <relative path>" of its files
    in the order of their paths, as `sha256sum` prints them.

    Parameters
    ----------
    path
        A file or a folder.
    stop
        When it is set, reading ends early; the value is then worthless.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty"
    >>> path.touch()
    >>> file_sha256(path)[:8]
    'e3b0c442'
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
        for name, file in files:
            digest.update(f"{file_sha256(file, stop=stop)}  {name}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as stream:
        while (piece := stream.read(_CHUNK)) and not (stop is not None and stop.is_set()):
            digest.update(piece)
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Return what software and machine this process runs on.

    Returns
    -------
    dict
        `python`, `platform`, `machine`, `cpus` (all, and those usable), `packages` (versions of
        what partwise depends on, extras included where installed), `blas` (one entry per library
        of threads that is loaded).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": {"all": os.cpu_count(), "usable": usable},
        "packages": _package_versions(),
        "blas": _blas(),
    }


def _package_versions() -> dict[str, str]:
    try:
        requirements = importlib.metadata.requires("partwise") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = ["numpy", "scipy", "numba", "pandas", "scikit-learn"]
    versions = {"partwise": __version__}
    for requirement in requirements:
        if "extra == 'test'" in requirement.replace('"', "'"):
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _blas() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    kept = ("user_api", "internal_api", "version", "num_threads", "architecture")
    # scipy's reader of Matrix Market files, once used, lists itself with a function as version
    return [
        {key: entry[key] for key in kept if key in entry and not callable(entry[key])}
        for entry in threadpool_info()
    ]


class _File:
    """A file of the run, hashed in a thread of its own."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.state = self._look()
        self.sha256: str | None = None
        self.stop = threading.Event()
        # a daemon: a run that fails does not wait for the hash of a large file
        self.thread = threading.Thread(target=self._hash, daemon=True)
        self.thread.start()

    def _look(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            if self.path.is_dir():
                stats = [p.stat() for p in self.path.rglob("*") if p.is_file()]
                return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
            stat = self.path.stat()
            return stat.st_size, stat.st_mtime_ns
        return None

    def _hash(self) -> None:
        with contextlib.suppress(OSError):
            self.sha256 = file_sha256(self.path, stop=self.stop)

    def changed(self) -> bool:
        """Whether the file is not what it was when the record learned of it."""
        return self._look() != self.state

    def entry(self) -> dict[str, Any]:
        self.thread.join()
        size = None if self.state is None else self.state[0]
        return {"path": self.path.as_posix(), "bytes": size, "sha256": self.sha256}


class RunRecord:
    """Collects what happens in a run and writes it as run.json.

    Parameters
    ----------
    command
        The command that repeats the run; a list of arguments is quoted for the shell.
    parameters
        Every parameter with the value that is used, defaults resolved. Dataclasses, enumerations,
        paths and numpy values are converted.
    seed, n_threads
        Seed of the run, and the threads that it uses.

    Attributes
    ----------
    command, parameters, seed, n_threads
        As given.
    warnings
        Texts of the warnings, in order, each once.
    results
        What came out, as numbers; free for the caller to fill.

    Examples
    --------
    >>> record = RunRecord(["partwise", "cluster", "my table.csv"], parameters={"n": 10}, seed=42)
    >>> with record.stage("read"):
    ...     pass
    >>> record.to_dict()["command"]
    "partwise cluster 'my table.csv'"
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.command = command if isinstance(command, str) else shlex.join(command)
        self.parameters: dict[str, Any] = dict(parameters or {})
        self.seed = seed
        self.n_threads = n_threads
        self.warnings: list[str] = []
        self.results: dict[str, Any] = {}
        self._inputs: list[_File] = []
        self._outputs: list[_File] = []
        self._stages: list[dict[str, Any]] = []
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._cpu = time.process_time()

    def add_input(self, path: str | PathLike[str]) -> None:
        """Record an input and start to hash it; call this before the file is read."""
        self._inputs.append(_File(path))

    def add_output(self, path: str | PathLike[str]) -> None:
        """Record an output and start to hash it; call this when the file is complete."""
        self._outputs.append(_File(path))

    def warn(self, text: str) -> None:
        """Record a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; it is recorded also if it fails."""
        clock, cpu = time.perf_counter(), time.process_time()
        entry: dict[str, Any] = {"name": name, "status": "failed"}
        self._stages.append(entry)
        try:
            yield
            entry["status"] = "done"
        finally:
            entry["wall_seconds"] = round(time.perf_counter() - clock, 4)
            entry["cpu_seconds"] = round(time.process_time() - cpu, 4)
            entry["peak_memory_bytes"] = peak_memory_bytes()

    @property
    def stages(self) -> tuple[dict[str, Any], ...]:
        """The stages so far: name, status, wall and CPU seconds, peak memory at the end."""
        return tuple(self._stages)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs so far: path, bytes, sha256; waits for the hashes."""
        return [file.entry() for file in self._inputs]

    def wall_seconds(self) -> float:
        """Return the time since the record was begun."""
        return time.perf_counter() - self._clock

    def to_dict(self, status: str = "done") -> dict[str, Any]:
        """Return the record as `write` writes it; waits for the hashes.

        Parameters
        ----------
        status
            "done", "failed" or "interrupted".
        """
        if status != "done":
            for file in (*self._inputs, *self._outputs):
                file.stop.set()
                file.thread.join()
                file.sha256 = None
        inputs = [file.entry() for file in self._inputs]
        outputs = [file.entry() for file in self._outputs]
        for file in self._inputs:
            if file.changed():
                self.warn(f"the input {file.path} changed or vanished during the run")
        return {
            "schema": _SCHEMA,
            "partwise": __version__,
            "status": status,
            "command": self.command,
            "started": self._started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(self.wall_seconds(), 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "seed": self.seed,
            "n_threads": self.n_threads,
            "parameters": _plain(self.parameters),
            "inputs": inputs,
            "outputs": outputs,
            "stages": list(self._stages),
            "results": _plain(self.results),
            "warnings": list(self.warnings),
            "environment": environment(),
        }

    def write(self, path: str | PathLike[str], status: str = "done") -> dict[str, Any]:
        """Write the record as JSON, whole or not at all, and return it.

        Parameters
        ----------
        path
            Where to write, commonly `run.json` in the folder of the outputs.
        status
            "done", "failed" or "interrupted"; unless done, unfinished hashes are given up.
        """
        record = self.to_dict(status)
        write_json(path, record)
        return record


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, keeping what it meant."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_plain(item) for item in items]
    if isinstance(value, PathLike):
        return os.fspath(value)
    if "numpy" in sys.modules and hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
