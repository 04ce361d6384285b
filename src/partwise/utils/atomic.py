"""Files appear whole or not at all.

A file is written under a hidden temporary name in the folder where it will live, flushed to the
disk, and renamed. A rename within one folder is atomic, so whoever looks at the final name sees
the old file or the new one, whenever the process dies.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from partwise.exceptions import ResourceError

__all__ = [
    "TEMPORARY_PREFIX",
    "atomic_path",
    "explain_os_error",
    "fsync_folder",
    "fsync_path",
    "write_json",
    "write_text",
]

#: Names of unfinished files and folders start with this.
TEMPORARY_PREFIX = ".partwise-"

_REASONS = {
    errno.ENOSPC: "no space is left on the disk; free some, or choose another output folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another output folder",
    errno.EFBIG: "the file would exceed the size that this system allows",
    errno.EROFS: "the disk is mounted read-only; choose another output folder",
    errno.EACCES: "permission to write was denied; choose another output folder",
    errno.EPERM: "permission to write was denied; choose another output folder",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.EISDIR: "there is a folder of that name",
    errno.ENAMETOOLONG: "the file name is too long for this disk",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
}


def explain_os_error(error: OSError, path: str | os.PathLike[str]) -> ResourceError:
    """Return a `ResourceError` that says why `path` could not be written.

    Parameters
    ----------
    error
        What the system reported.
    path
        The file or folder that the user knows, not a temporary name.

    Returns
    -------
    ResourceError
        The error to raise, with what to do about it where that is known.
    """
    known = _REASONS.get(error.errno) if error.errno is not None else None
    folder = Path(path).parent
    if error.errno == errno.ENOENT and not folder.exists():
        known = f"there is no folder {folder}"
    return ResourceError(f"cannot write {os.fspath(path)}: {known or error.strerror or error}")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name ends as the final one does, because some writers choose their format by the
    suffix.

    Parameters
    ----------
    path
        Where the file shall be. Its folder must exist.

    Yields
    ------
    Path
        Where to write. It does not exist yet.

    Raises
    ------
    ResourceError
        If the disk is full, read-only or not ours to write. The temporary file is gone then, and
        what was at `path` before is untouched.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    final = Path(path)
    temporary = final.with_name(
        f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{final.name}"
    )
    try:
        yield temporary
        fsync_path(temporary)
        os.replace(temporary, final)
        fsync_folder(final.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        lost = isinstance(error, FileNotFoundError) and not final.parent.exists()
        if isinstance(error, OSError) and (lost or error.errno in _REASONS):
            raise explain_os_error(error, final) from error
        raise


def fsync_path(path: str | os.PathLike[str]) -> None:
    """Make sure that the contents of a file are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(folder: str | os.PathLike[str]) -> None:
    """Make sure that the names in a folder are on the disk, where the system can do so."""
    # some network file systems and Windows cannot open or sync folders: the rename stays atomic
    with contextlib.suppress(OSError):
        fsync_path(folder)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Write `obj` to `path` as indented JSON, whole or not at all.

    Parameters
    ----------
    path
        Where the file shall be.
    obj
        Anything `json` takes; numpy scalars and arrays, paths and sets are converted. NaN and
        infinity become null, because JSON has neither; what else JSON does not know becomes text.
    """
    write_text(path, json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(obj: Any) -> Any:
    """Return `obj` as the types that JSON knows."""
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [_plain(value) for value in obj]
    if isinstance(obj, (set, frozenset)):
        return sorted(_plain(value) for value in obj)
    if isinstance(obj, float):
        return obj if obj == obj and abs(obj) != float("inf") else None
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    if hasattr(obj, "tolist"):  # numpy scalars and arrays, without importing numpy
        return _plain(obj.tolist())
    return obj if obj is None or isinstance(obj, (str, int)) else str(obj)
