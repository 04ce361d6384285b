"""Where parsed rows go: memory while they are few, an unnamed file on disk when they are many."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from partwise.utils.atomic import TEMPORARY_PREFIX, explain_os_error

__all__ = ["BLOCK_BYTES", "Spool", "SpoolSource"]

#: About how many bytes a block source hands out at a time: fits in a CPU's cache.
BLOCK_BYTES = 4 * 2**20


class SpoolSource:
    """Rows of float32 in a file, read a block at a time; a `BlockSource`.

    The file has no name any more, so the system frees its space however the process ends. Rows are
    read with ordinary reads rather than mapped, so the memory held stays at one block.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.shape = shape
        self.dtype = np.dtype(np.float32)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        n, p = self.shape
        stop = min(stop, n)
        rows = max(1, BLOCK_BYTES // (4 * p))
        for first in range(max(start, 0), stop, rows):
            block = np.empty((min(rows, stop - first), p), dtype=np.float32)
            self._read(block, 4 * p * first)
            yield first, block

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _read(self, block: npt.NDArray[np.float32], offset: int) -> None:
        view = block.reshape(-1).view(np.uint8).data
        with self._lock:  # two threads share one file position
            self._file.seek(offset)
            got = self._file.readinto(view)  # type: ignore[attr-defined]
        if got != len(view):
            raise OSError(f"the spool ended early: {got} of {len(view)} bytes at {offset}")


class Spool:
    """Collects blocks of rows; ends as one array or as a `SpoolSource`.

    Parameters
    ----------
    n_features
        Columns.
    memory_limit
        Bytes that may be held in memory; beyond, all rows go to disk.
    most_bytes
        No more than this can come: what is set aside at first.
    folder
        Where the file is made; None means the system's folder for temporary files.
    """

    def __init__(
        self, n_features: int, memory_limit: int, most_bytes: int, folder: Path | None
    ) -> None:
        self._p = n_features
        self._folder = folder
        # the system gives pages only as they are written, so setting aside too much costs nothing
        capacity = min(memory_limit, most_bytes) // (4 * n_features)
        self._rows = np.empty((capacity, n_features), dtype=np.float32)
        self._used = 0
        self._written = 0
        self._file: IO[bytes] | None = None

    def room(self, n: int) -> npt.NDArray[np.float32]:
        """Return n x p to be filled by the caller before the next call."""
        if self._file is None and self._used + n > self._rows.shape[0]:
            self._file = self._unnamed_file()
        if self._file is not None:
            self._flush()
            self._rows = np.empty((n, self._p), dtype=np.float32)
        self._used += n
        return self._rows[self._used - n : self._used]

    def finish(self) -> npt.NDArray[np.float32] | SpoolSource:
        """Return all rows."""
        if self._file is None:
            # no view of the array is alive any more; realloc shrinks it where it is
            self._rows.resize((self._used, self._p), refcheck=False)
            return self._rows
        self._flush()
        try:
            self._file.flush()
        except OSError as error:
            raise explain_os_error(error, self._where) from error
        return SpoolSource(self._file, (self._written, self._p))

    def close(self) -> None:
        """Drop what was collected."""
        if self._file is not None:
            self._file.close()

    @property
    def _where(self) -> str:
        return str(self._folder or tempfile.gettempdir())

    def _unnamed_file(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._folder, prefix=TEMPORARY_PREFIX)
        except OSError as error:
            raise explain_os_error(error, self._where) from error

    def _flush(self) -> None:
        if self._file is None or self._used == 0:
            return
        try:
            self._file.write(self._rows[: self._used].data)
        except OSError as error:
            raise explain_os_error(error, self._where) from error
        self._written += self._used
        self._used = 0
