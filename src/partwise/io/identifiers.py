"""Identifiers of rows: collected from a stream, kept exactly and small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from partwise.io.positions import as_numbers

__all__ = ["Identifiers", "find_duplicate", "identifying_columns", "row_numbers"]

#: The column whose whole numbers are kept as numbers.
NUMBER_COLUMN = "label"
#: Beyond this many distinct values, and if most rows differ, categories save nothing.
_MANY = 2**16

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def row_numbers(n: int) -> pd.DataFrame:
    """Return the identifiers of a matrix without names: its rows, counted from 0."""
    return pd.DataFrame({"row": np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)})


class Identifiers:
    """Collects the identifier columns of a table, batch by batch.

    Parameters
    ----------
    names
        Names of the columns.
    coordinates
        Those that hold positions: they become float64, unless a cell is empty or no number.
    """

    def __init__(self, names: Sequence[str], coordinates: Sequence[str] = ()) -> None:
        self._columns: dict[str, _Collected | _Positions] = {
            name: _Positions() if name in coordinates else _Collected(name == NUMBER_COLUMN)
            for name in names
        }

    def read_type(self, name: str) -> pa.DataType:
        """Return the type as which a parser should hand over the column `name`."""
        plain = name == NUMBER_COLUMN or isinstance(self._columns[name], _Positions)
        return pa.string() if plain else _DICTIONARY

    def add(self, batch: Sequence[pa.Array]) -> None:
        """Add the next rows, one array of text per column."""
        for column, array in zip(self._columns.values(), batch, strict=True):
            column.add(array)

    def finish(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the identifiers and notes about them."""
        frame = pd.DataFrame({name: column.finish() for name, column in self._columns.items()})
        notes = [
            f"column {name!r} is empty in {column.empty:,} rows"
            for name, column in self._columns.items()
            if column.empty
        ]
        return frame, notes

    def find(self, text: str) -> str | None:
        """Return the first column in which a value contains `text`."""
        for name, column in self._columns.items():
            if column.contains(text):
                return name
        return None


class _Collected:
    """One column: integers as long as every value is one in its plain form, then text."""

    def __init__(self, numbers: bool) -> None:
        self._numbers: list[np.ndarray] | None = [] if numbers else None
        self._texts: list[pa.DictionaryArray] = []
        self.empty = 0

    def add(self, array: pa.Array) -> None:
        if self._numbers is not None:
            numbers = plain_integers(array)
            if numbers is not None:
                self._numbers.append(smallest_integers(numbers))
                return
            for earlier in self._numbers:
                self._texts.append(_encoded(pa.array(earlier).cast(pa.string())))
            self._numbers = None
        encoded = _encoded(array)
        blank = pc.index(encoded.dictionary, "").as_py()
        if blank >= 0:
            self.empty += int(np.count_nonzero(encoded.indices.to_numpy() == blank))
        self._texts.append(encoded)

    def contains(self, text: str) -> bool:
        """Whether any value contains `text`."""
        return any(
            pc.any(pc.match_substring(chunk.dictionary, text)).as_py() for chunk in self._texts
        )

    def finish(self) -> Any:
        """Return the whole column; the parts are given up."""
        if self._numbers is not None:
            numbers, self._numbers = self._numbers, []
            return smallest_integers(np.concatenate(numbers) if numbers else np.empty(0, np.int64))
        texts, self._texts = self._texts, []
        return categories(pa.chunked_array(texts, type=_DICTIONARY))


class _Positions:
    """One column of positions: text until all of it is there."""

    def __init__(self) -> None:
        self._texts: list[pa.Array] = []
        self.empty = 0

    def add(self, array: pa.Array) -> None:
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        self.empty += pc.sum(pc.equal(array, "")).as_py() or 0
        self._texts.append(array)

    def contains(self, text: str) -> bool:
        """Whether any value contains `text`."""
        return any(pc.any(pc.match_substring(chunk, text)).as_py() for chunk in self._texts)

    def finish(self) -> Any:
        numbers = as_numbers(self._texts)
        if numbers is not None:
            return numbers
        return categories(pa.chunked_array([_encoded(chunk) for chunk in self._texts]))


def _encoded(array: pa.Array) -> pa.DictionaryArray:
    return array if isinstance(array, pa.DictionaryArray) else array.dictionary_encode()


def plain_integers(array: pa.Array) -> np.ndarray | None:
    """Return text as int64, or None if writing the numbers would not give the same text."""
    try:
        numbers = array.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    same = pc.equal(numbers.cast(pa.string()), array)
    return numbers.to_numpy() if same.true_count == len(array) else None


def smallest_integers(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers as int32 if they fit."""
    limits = np.iinfo(np.int32)
    fits = numbers.size == 0 or (numbers.min() >= limits.min and numbers.max() <= limits.max)
    return numbers.astype(np.int32, copy=False) if fits else numbers


def categories(chunks: pa.ChunkedArray) -> Any:
    """Return text as categories in the order of first appearance; as text if most rows differ."""
    whole = chunks.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # what combine_chunks gives for no or huge chunks
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], _DICTIONARY)
    if len(whole.dictionary) > max(_MANY, len(whole) // 2):
        return pd.array(whole.cast(pa.string()), dtype="string[pyarrow]")
    return pd.Categorical.from_codes(whole.indices.to_numpy(), whole.dictionary.to_pylist())


def identifying_columns(names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the columns that together name a row, and whether they must be unique."""
    if "fov" in names and "label" in names:
        return ("fov", "label"), True
    return tuple(names), False


def find_duplicate(ids: pd.DataFrame, columns: Sequence[str]) -> tuple[int, int, int] | None:
    """Return (first row, a later row with the same identifiers, number of such later rows)."""
    keys, size = _keys([_codes(ids[name]) for name in columns])
    if keys is None:
        again = ids.duplicated(list(columns)).to_numpy()
    else:
        if _all_differ(keys, size):
            return None
        again = pd.Series(keys).duplicated().to_numpy()
    later = int(np.argmax(again))
    if not again[later]:
        return None
    same = np.ones(len(ids), dtype=bool)
    for name in columns:
        same &= (ids[name] == ids[name].iloc[later]).to_numpy(dtype=bool)
    return int(np.argmax(same)), later, int(again.sum())


def _codes(column: pd.Series) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy()
    if column.dtype.kind in "iu":
        return column.to_numpy()
    return pd.factorize(column)[0]


def _all_differ(keys: np.ndarray, size: int) -> bool:
    """Whether no number occurs twice; all are in 0..size."""
    if size > 8 * len(keys):
        ordered = np.sort(keys)
        return not np.any(ordered[1:] == ordered[:-1])
    seen = np.zeros(size, dtype=bool)
    seen[keys] = True
    return int(np.count_nonzero(seen)) == len(keys)


def _keys(codes: Sequence[np.ndarray]) -> tuple[np.ndarray | None, int]:
    """Return a number per row, equal where all codes are, and a bound; None if beyond int64."""
    total = np.zeros(len(codes[0]), dtype=np.int64)
    size = 1
    for code in codes:
        low, high = int(code.min()), int(code.max())
        size *= high - low + 1
        if size >= 2**62:
            return None, size
        total *= high - low + 1
        # in place: at millions of rows each copy counts; what wraps around comes back with `low`
        total += code.astype(np.int64) if code.dtype == np.uint64 else code
        total -= low
    return total, size


def duplicate_text(ids: pd.DataFrame, columns: Sequence[str], row: int) -> str:
    """Return the identifiers of one row as text."""
    return ", ".join(f"{name} {ids[name].iloc[row]!s}" for name in columns)
