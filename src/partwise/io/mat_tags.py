"""A look at the tags of a MATLAB 5 file before SciPy reads it.

SciPy takes the type of a matrix's numbers from the file as an index; where a damaged file has no
such type, the process is gone. The tags are walked here first; the numbers are passed over.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import IO

__all__ = ["check_length", "check_tags"]

_MATRIX, _PACKED = 14, 15
#: miINT8 to miUINT32, miSINGLE, miDOUBLE, miINT64, miUINT64: what numbers may be stored as.
_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
#: mxSPARSE, mxDOUBLE to mxUINT64: classes of plain numbers.
_CLASSES = {5, *range(6, 16)}
_HEADER = 128
_STEP = 2**20


class _Part:
    """The bytes of one element, in order; unpacked if they are packed."""

    def __init__(self, file: IO[bytes], n: int, packed: bool) -> None:
        self._file = file
        self._left = n
        self._unpack = zlib.decompressobj() if packed else None
        self._held = b""

    def read(self, n: int) -> bytes:
        """Return the next n bytes, or fewer where there are no more."""
        if self._unpack is None:
            n = min(n, self._left)
            self._left -= n
            return self._file.read(n)
        found = b""
        while len(found) < n:
            if not self._held and self._left:
                self._held = self._file.read(min(_STEP, self._left))
                self._left -= len(self._held)
            if not self._held or self._unpack.eof:
                break
            found += self._unpack.decompress(self._held, n - len(found))
            self._held = self._unpack.unconsumed_tail
        return found

    def skip(self, n: int) -> None:
        """Pass over n bytes."""
        if self._unpack is None:
            self._file.seek(min(n, self._left), os.SEEK_CUR)
            self._left -= min(n, self._left)
            return
        while n > 0:
            got = len(self.read(min(n, _STEP)))
            if not got:
                return
            n -= got


def check_length(path: Path) -> None:
    """Make sure that no element of a MATLAB 5 file reaches behind its end.

    SciPy lists the variables that are whole and says nothing of the one that is cut off, or of
    those behind it: a rate that is gone would not be missed.

    Raises
    ------
    ValueError
        If the file ends within an element.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        order = "<" if file.read(_HEADER)[126:128] == b"IM" else ">"
        place = _HEADER
        while place + 8 <= size:
            file.seek(place)
            _, n = struct.unpack(order + "II", file.read(8))
            place += 8 + n
    if place > size:
        raise ValueError(f"the file ends {place - size} bytes too early")


def check_tags(path: Path, name: str) -> None:
    """Walk the tags of the variable `name` in a MATLAB 5 file.

    Parameters
    ----------
    path
        The file.
    name
        A variable of numbers at its top level.

    Raises
    ------
    ValueError
        If a tag says what no writer would.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        order = "<" if file.read(_HEADER)[126:128] == b"IM" else ">"
        place = _HEADER
        while place + 8 <= size:
            file.seek(place)
            kind, n = struct.unpack(order + "II", file.read(8))
            if kind not in (_MATRIX, _PACKED) or n == 0:
                raise ValueError(f"an element of type {kind} with {n} bytes at byte {place}")
            part = _Part(file, n, kind == _PACKED)
            if kind == _PACKED:
                part.read(8)  # the tag of the matrix within
            if _is_sound(part, order, name):
                return
            place += 8 + n


def _tag(part: _Part, order: str) -> tuple[int, int, int, bytes] | None:
    """Return type, bytes, bytes with padding of an element, and its data if they are in the tag."""
    head = part.read(8)
    if len(head) < 8:
        return None
    kind, n = struct.unpack(order + "II", head)
    if kind >> 16:  # up to four bytes stand in the tag itself
        return kind & 0xFFFF, kind >> 16, 0, head[4 : 4 + (kind >> 16)]
    return kind, n, -(-n // 8) * 8, b""


def _is_sound(part: _Part, order: str, name: str) -> bool:
    """Walk a matrix; whether it is the one of that name."""
    texts = []
    for _ in range(3):  # flags, dimensions, name
        tag = _tag(part, order)
        if tag is None or tag[2] > _STEP:
            raise ValueError("the head of a matrix is cut off")
        texts.append(tag[3] or part.read(tag[2])[: tag[1]])
    if texts[2].decode("latin-1") != name:
        return False
    if len(texts[0]) < 4:
        raise ValueError("the flags of a matrix are cut off")
    if struct.unpack(order + "I", texts[0][:4])[0] & 0xFF not in _CLASSES:
        return True  # no numbers; not read
    tag = _tag(part, order)
    while tag is not None:
        if tag[0] not in _NUMBERS:
            raise ValueError(f"numbers of type {tag[0]}, which there is not")
        part.skip(tag[2])
        tag = _tag(part, order)
    return True
