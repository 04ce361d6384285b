"""The folder of a run: its outputs appear together at the end, or not at all.

Everything is written into a hidden folder inside the output folder, so on the same disk. At the
end a list of the files is written there, and the files are renamed into place. A run that dies
before the list leaves nothing but the hidden folder, which the next run removes; one that dies
while renaming has its files moved by the next run. A lock on the hidden folder, which ends with
the process, tells a run that died from one that still works.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from partwise.exceptions import ResourceError
from partwise.utils.atomic import (
    TEMPORARY_PREFIX,
    explain_os_error,
    fsync_folder,
    write_json,
)

__all__ = ["RunFolder", "open_run_folder"]

_RUN_PREFIX = f"{TEMPORARY_PREFIX}run-"
_LOCK, _LIST = "lock", "publish.json"
_STALE_SECONDS = 24 * 3600  # only where the system has no file locks


class RunFolder:
    """Where a run writes; use `open_run_folder`.

    Attributes
    ----------
    folder
        Where the outputs will be.
    staging
        Where they are until `publish`.
    """

    def __init__(self, folder: Path, staging: Path) -> None:
        self.folder = folder
        self.staging = staging
        self.names: list[str] = []

    def path(self, name: str) -> Path:
        """Return where to write the output `name`, and note it for `publish`."""
        if Path(name).name != name or name in (_LOCK, _LIST):
            raise ValueError(f"not a plain file name: {name!r}")
        if name not in self.names:
            self.names.append(name)
        return self.staging / name

    def publish(self) -> list[Path]:
        """Move all outputs into the folder, in the order in which they were asked for.

        Returns
        -------
        list of Path
            Where they are now.
        """
        with _signals_wait():
            write_json(self.staging / _LIST, self.names)
            _move(self.staging, self.folder, self.names)
        return [self.folder / name for name in self.names]


@contextlib.contextmanager
def open_run_folder(folder: str | os.PathLike[str]) -> Iterator[RunFolder]:
    """Make the output folder and a hidden one inside it for this run; clean up after dead runs.

    Parameters
    ----------
    folder
        Where the outputs will be; made with its parents if missing.

    Yields
    ------
    RunFolder
        Where to write. What is not published when the context ends is removed.

    Raises
    ------
    ResourceError
        If the folder cannot be made or written to.
    """
    target = Path(folder)
    new = not target.exists()
    staging = target / f"{_RUN_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        target.mkdir(parents=True, exist_ok=True)
        _finish_dead_runs(target)
        staging.mkdir()
        lock = _lock(staging)
    except FileExistsError:
        raise ResourceError(f"cannot write {target}: it is a file, not a folder") from None
    except OSError as error:
        raise explain_os_error(error, target) from error
    try:
        yield RunFolder(target, staging)
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(staging)):
            raise
        raise explain_os_error(error, target) from error
    finally:
        if lock is not None:
            lock.close()
        shutil.rmtree(staging, ignore_errors=True)
        if new:  # a run that failed at once leaves no empty folder behind
            with contextlib.suppress(OSError):
                target.rmdir()


def _move(staging: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # moved before the run died
            os.replace(staging / name, folder / name)
    fsync_folder(folder)


def _finish_dead_runs(folder: Path) -> None:
    """Publish what dead runs had ready, and remove their hidden folders."""
    for staging in sorted(folder.glob(f"{_RUN_PREFIX}*")):
        dead, lock = _is_dead(staging)
        if not dead:
            continue
        with contextlib.suppress(OSError, ValueError):
            _move(staging, folder, _listed(staging))
        if lock is not None:
            lock.close()
        shutil.rmtree(staging, ignore_errors=True)


def _listed(staging: Path) -> list[str]:
    """Return the names that a dead run had begun to publish; only plain names count."""
    names = json.loads((staging / _LIST).read_text(encoding="utf-8"))
    return [name for name in names if isinstance(name, str) and Path(name).name == name]


def _lock(staging: Path) -> BinaryIO | None:
    """Lock a hidden folder; None where the system has no file locks."""
    file = (staging / _LOCK).open("wb")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        file.close()
        return None
    return file


def _is_dead(staging: Path) -> tuple[bool, BinaryIO | None]:
    """Return whether the run of a hidden folder died, and the lock that was taken over."""
    try:
        import fcntl
    except ImportError:  # no locks here: only age tells
        with contextlib.suppress(OSError):
            return time.time() - staging.stat().st_mtime > _STALE_SECONDS, None
        return False, None
    try:
        file = (staging / _LOCK).open("r+b")
    except OSError:  # between making its folder and its lock, or killed there
        return not _process_lives(staging), None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False, None
    return True, file


def _process_lives(staging: Path) -> bool:
    try:
        os.kill(int(staging.name.removeprefix(_RUN_PREFIX).split("-")[0]), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
    return True


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and a polite kill wait until the files are in place; it takes milliseconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def note(number: int, frame: Any) -> None:
        waiting.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in waiting:
            signal.raise_signal(caught)
