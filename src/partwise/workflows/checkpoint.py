"""What a long run keeps as it goes, so that `--resume` goes on where it was interrupted.

Each finished unit of work (a factorization, a clustering, a point of a grid) is one file in a
hidden folder inside the output folder: a line of JSON that describes its arrays, and their bytes.
A file appears whole or not at all and carries a hash of its contents, so whatever is wrong with it
shows, and that unit is computed again. `state.json` says what the units belong to: inputs, options
and versions. A lock that ends with the process keeps two runs apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from partwise.exceptions import ResourceError
from partwise.report import RunRecord
from partwise.utils.atomic import TEMPORARY_PREFIX, atomic_path, write_json
from partwise.utils.progress import Progress, silent
from partwise.workflows.checkpoint_identity import Identity, differences, identity_of

__all__ = ["Checkpoint", "open_checkpoint"]

_PREFIX = f"{TEMPORARY_PREFIX}state-"
_LOCK, _STATE, _UNIT = "lock", "state.json", ".unit"
_UNITS = f"[!.]*{_UNIT}"  # not those that are being written
_KINDS = "biufcSU"  # plain values: no objects, so nothing in a file can run code
_LONGEST_HEADER = 2**26

Arrays = dict[str, npt.NDArray[Any]]


class Checkpoint:
    """Units of work that are done; use `open_checkpoint`.

    Parameters
    ----------
    folder
        Where they are kept; None keeps nothing.
    identity
        What they belong to; written beside the first unit.
    progress
        Told of what could not be kept or read.

    Examples
    --------
    >>> import tempfile
    >>> kept = Checkpoint(Path(tempfile.mkdtemp()), lambda: {"job": "example"})
    >>> kept.get("a sum") is None
    True
    >>> kept.put("a sum", {"value": np.array([42])})
    >>> kept.get("a sum")["value"].tolist()
    [42]
    """

    def __init__(
        self, folder: Path | None, identity: Identity, *, progress: Progress | None = None
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._progress = progress or silent()

    @property
    def n_units(self) -> int:
        """Units that are kept."""
        return 0 if self._folder is None else len(list(self._folder.glob(_UNITS)))

    def get(self, key: str) -> Arrays | None:
        """Return the arrays of a unit; None if it is not kept or its file is damaged.

        Arrays have the order (C or Fortran) in memory that they were put with.
        """
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            with path.open("rb") as file:
                return _read(file, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._progress.warn(f"what was kept of {key!r} is damaged ({error}): done again")
            return None

    def put(self, key: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep the arrays of a unit.

        Where the disk does not take them the user is told, and the run goes on without.

        Parameters
        ----------
        key
            Any text.
        arrays
            Numbers, truth values or text of fixed width; no objects.

        Raises
        ------
        TypeError
            If an array holds objects.
        """
        contiguous = {name: _contiguous(name, array) for name, array in arrays.items()}
        if self._folder is None:
            return
        try:
            if not (self._folder / _STATE).exists():
                write_json(self._folder / _STATE, self._identity())
            with atomic_path(self._path(key)) as path, path.open("wb") as file:
                _write(file, key, contiguous)
        except (OSError, ResourceError) as error:
            self._progress.warn(f"the state to resume from cannot be kept: {error}")
            self._folder = None

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{_UNIT}"


@contextlib.contextmanager
def open_checkpoint(
    folder: str | os.PathLike[str],
    job: str,
    *,
    options: Any,
    record: RunRecord,
    resume: bool = False,
    progress: Progress | None = None,
) -> Iterator[Checkpoint]:
    """Open what an earlier run of a job left in an output folder, or begin anew.

    What is there is used if `resume` is true and it belongs to the same inputs, options (those
    that matter for the result) and versions; else the user is told, and it is removed. When the
    context ends well it is removed, too; when it ends by an exception (also Ctrl-C) or the process
    dies, it stays, and the exception gets a note with the command that goes on.

    Parameters
    ----------
    folder
        The output folder; it must exist.
    job
        Name of the job, e.g. "cluster": jobs do not see each other's units.
    options
        The options dataclass of the job.
    record
        The record of the run, which knows all inputs already.
    resume
        Whether to go on with what is there.
    progress
        Told of what was found and what becomes of it.

    Yields
    ------
    Checkpoint
        To ask for units, and to put them.

    Raises
    ------
    ResourceError
        If `resume` is true and another run is using the state.
    """
    progress = progress or silent()
    place = Path(folder) / f"{_PREFIX}{job}"
    taken = _take(place, resume, progress)
    if taken is None:
        yield Checkpoint(None, dict, progress=progress)
        return

    def identity() -> dict[str, Any]:
        return identity_of(job, options, record)

    try:
        _settle(place, identity, resume, progress)
        kept = Checkpoint(place, identity, progress=progress)
        yield kept
        _remove(place)
    except BaseException as error:
        if any(place.glob(_UNITS)):
            error.add_note(f"what was done is kept; go on with: {record.command} --resume")
        else:
            _remove(place)
        raise
    finally:
        taken.close()


def _settle(place: Path, identity: Identity, resume: bool, progress: Progress) -> None:
    """Decide what becomes of what is there, and tell."""
    for leftover in place.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)
    there = any(place.glob(_UNITS))
    if not there:
        _clear(place)
        if resume:
            progress.warn(f"there is nothing to resume in {place.parent}: starting anew")
        return
    try:
        before = json.loads((place / _STATE).read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError("not a description")
    except (OSError, ValueError):
        before = {}
    if not resume:
        _clear(place)
        progress.warn(
            f"what an interrupted run had done in {place.parent} is discarded; "
            "--resume would have gone on with it"
        )
        return
    different = differences(before, identity())
    if different:
        _clear(place)
        progress.warn(
            f"the state in {place.parent} cannot be resumed ({'; '.join(different)}): starting anew"
        )
        return
    n = len(list(place.glob(_UNITS)))
    parts = "1 part" if n == 1 else f"{n:,} parts"
    progress.info(f"resuming: {parts} of the work done already")


def _take(place: Path, resume: bool, progress: Progress) -> BinaryIO | None:
    """Make the folder and lock it; None if it cannot be had."""
    try:
        while True:
            place.mkdir(exist_ok=True)
            file = (place / _LOCK).open("ab")
            if not _lock(file):
                file.close()
                break
            with contextlib.suppress(OSError):
                # a run that just ended may have removed the file that we opened and locked
                if os.path.samestat(os.fstat(file.fileno()), (place / _LOCK).stat()):
                    return file
            file.close()
    except OSError as error:
        progress.warn(
            f"no state to resume from can be kept in {place.parent}: {error.strerror or error}"
        )
        return None
    if resume:
        raise ResourceError(
            f"another run is at work in {place.parent}, and the state to resume is its own: wait "
            "until it has ended"
        )
    progress.warn(
        f"another run is at work in {place.parent}: this one keeps no state to resume from"
    )
    return None


def _lock(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:  # no locks here: two runs at once overwrite each other's units, whole
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def _clear(place: Path) -> None:
    """Remove units, the description last: without it no unit counts."""
    for path in sorted(place.glob(_UNITS)):
        path.unlink(missing_ok=True)
    (place / _STATE).unlink(missing_ok=True)


def _remove(place: Path) -> None:
    with contextlib.suppress(OSError):
        _clear(place)
    shutil.rmtree(place, ignore_errors=True)


class _Described(NamedTuple):
    """An array as the header describes it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def n_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> _Described:
        dtype, shape = np.dtype(str(entry["dtype"])), tuple(int(m) for m in entry["shape"])
        if dtype.kind not in _KINDS or min(shape, default=0) < 0:
            raise ValueError(f"an array of {dtype}")
        return cls(str(entry["name"]), dtype, shape, entry["fortran"] is True)


def _contiguous(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(array)
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"{name} is an array of {array.dtype}, which cannot be kept")
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    return array if contiguous else array.copy(order="C")


def _raw(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, in the order in which they lie in memory."""
    return array.reshape(-1, order="A").view(np.uint8).data


def _write(file: BinaryIO, key: str, arrays: Arrays) -> None:
    described = [
        {
            "name": name,
            "dtype": array.dtype.str,
            "shape": array.shape,
            "fortran": not array.flags.c_contiguous,
        }
        for name, array in arrays.items()
    ]
    content = json.dumps({"key": key, "arrays": described}).encode()
    digest = hashlib.blake2b(content, digest_size=32)
    parts = [_raw(array) for array in arrays.values() if array.nbytes]
    for part in parts:
        digest.update(part)
    file.write(digest.hexdigest().encode() + b" " + content + b"\n")
    for part in parts:
        file.write(part)


def _read(file: BinaryIO, key: str) -> Arrays:
    """Return the arrays in a file; anything that `_write` did not write is a ValueError."""
    line = file.readline(_LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise ValueError("it was cut off")
    expected, _, content = line[:-1].partition(b" ")
    header = json.loads(content)
    described = [_Described.from_json(entry) for entry in header["arrays"]]
    size = os.fstat(file.fileno()).st_size - len(line)
    if sum(one.n_bytes for one in described) != size:  # before memory is set aside for them
        raise ValueError("its size is not what it should be")
    digest = hashlib.blake2b(content, digest_size=32)
    arrays: Arrays = {}
    for one in described:
        array = np.empty(one.shape, one.dtype, order="F" if one.fortran else "C")
        if array.nbytes:
            file.readinto(_raw(array))  # type: ignore[attr-defined]
            digest.update(_raw(array))
        arrays[one.name] = array
    if digest.hexdigest().encode() != expected or header["key"] != key:
        raise ValueError("its contents are not what was written")
    return arrays
