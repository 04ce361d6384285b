"""Which encoding a text file is in."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from partwise.exceptions import DataError

__all__ = ["encoding_note", "encoding_of", "refuse_nul", "single_byte_encoding"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES = {"latin-1": "Latin-1 (ISO 8859-1)", "cp1252": "Windows-1252"}


def encoding_of(sample: bytes) -> tuple[str, bytes, list[str]]:
    """Return the encoding of a file that starts with `sample`, its byte order mark, and notes."""
    for bom, name in _BOMS:
        if sample.startswith(bom):
            notes = [] if name == "utf-8" else [f"the text is encoded as {name.upper()}"]
            return name, bom, notes
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        name = single_byte_encoding(sample)
        return name, b"", [encoding_note(name)]
    return "utf-8", b"", []


def single_byte_encoding(sample: bytes) -> str:
    """Return the encoding of text that is not UTF-8: Windows' if it has Windows' quotes."""
    if re.search(rb"[\x80-\x9f]", sample):
        try:
            sample.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1"
        return "cp1252"
    return "latin-1"


def encoding_note(name: str) -> str:
    """Say that another encoding than UTF-8 was assumed."""
    return (
        f"the text is not UTF-8; it was read as {_NAMES[name]}: check names with accents, and save "
        "the file as UTF-8 if they are wrong"
    )


def refuse_nul(body: bytes, encoding: str, path: Path) -> None:
    """Raise if there is a NUL byte where the encoding has none."""
    at = -1 if encoding.startswith("utf-16") else body.find(b"\0")
    if at >= 0:
        raise DataError(
            "a NUL byte: the file is damaged, or not text (or UTF-16 without its mark); save it "
            "as UTF-8 text (rows are lines of the file; the header is line 1)",
            path=path,
            row=body.count(b"\n", 0, at) + 1,
        )
