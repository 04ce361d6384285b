"""How cells become text that every reader of CSV understands, and no spreadsheet runs."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["TextColumn", "cell_text", "is_formula"]

_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: What a cell that starts with + or - needs in order to call anything.
_CALLS = re.compile(r"[(|!]")


def is_formula(text: str, *, identifier: bool) -> bool:
    """Whether a spreadsheet might run a cell.

    Parameters
    ----------
    text
        The cell.
    identifier
        Whether it came from the input's own identifiers. These must come back as they were, so
        they count as formulas only where they could do something: `-CD4` and `+7` do not.

    Examples
    --------
    >>> is_formula("-CD4", identifier=True), is_formula("-CD4", identifier=False)
    (False, True)
    >>> is_formula("+cmd|' /C calc'!A0", identifier=True)
    True
    """
    if not text.startswith(_STARTS) or _NUMBER.fullmatch(text):
        return False
    return not identifier or text[0] not in "+-" or bool(_CALLS.search(text))


def cell_text(text: str, *, identifier: bool, delimiter: str) -> str:
    """Return a cell as it stands in the file: harmless, and quoted where it must be."""
    if is_formula(text, identifier=identifier):
        text = "'" + text
    if delimiter in text or '"' in text or "\n" in text or "\r" in text:
        text = '"' + text.replace('"', '""') + '"'
    return text


class TextColumn:
    """One column of a table, turned into text a range of rows at a time.

    Parameters
    ----------
    values
        Numbers, text or categories.
    identifier
        Whether the values came from the input's own identifiers.
    delimiter
        What separates columns.
    """

    def __init__(self, values: Any, *, identifier: bool, delimiter: str) -> None:
        self._identifier = identifier
        self._delimiter = delimiter
        self._special = f'[{re.escape(delimiter)}"\r\n]|^[=+\\-@\t]'
        #: how many values (of a categorical column: categories) were made harmless
        self.changed = 0
        self._lock = threading.Lock()
        self._codes: np.ndarray | None = None
        if isinstance(values, pd.Series):
            values = values.array
        if isinstance(values, pd.Categorical):
            self._codes = values.codes
            words = pa.array([str(word) for word in values.categories], pa.string())
            # one more for what is missing
            self._words = pa.concat_arrays([self._safe(words), pa.array([""])])
        elif isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        self._values = values
        self.n_rows = len(values)

    def text(self, start: int, stop: int) -> pa.Array:
        """Return rows start..stop as text, ready to be joined."""
        if self._codes is not None:
            codes = self._codes[start:stop].astype(np.int32)
            codes[codes < 0] = len(self._words) - 1
            return self._words.take(pa.array(codes))
        array = self._values[start:stop]
        if not isinstance(array, pa.Array):
            array = pa.array(array, from_pandas=True)  # NaN becomes missing
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        written = array.cast(pa.string())
        if written.null_count:
            written = written.fill_null("")
        number = pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
        return written if number or pa.types.is_boolean(array.type) else self._safe(written)

    def _safe(self, words: pa.Array) -> pa.Array:
        """Return the words as they stand in the file; looks closely only at unusual ones."""
        unusual = np.flatnonzero(
            pc.match_substring_regex(words, self._special).to_numpy(zero_copy_only=False)
        )
        if not unusual.size:
            return words
        texts = words.to_pylist()
        changed = 0
        for i in unusual:
            text = texts[i]
            changed += is_formula(text, identifier=self._identifier)
            texts[i] = cell_text(text, identifier=self._identifier, delimiter=self._delimiter)
        with self._lock:
            self.changed += changed
        return pa.array(texts, pa.string())
