"""Columns that say where a cell is: recognised by name, read as numbers, never factorized."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from partwise.exceptions import DataError

__all__ = ["KNOWN", "SPATIAL", "known_coordinates", "numbers_of"]

#: Names that programs give to positions, two axes or three; the first set that is there counts.
KNOWN = (
    ("centroid-0", "centroid-1", "centroid-2"),
    ("x", "y", "z"),
    ("X", "Y", "Z"),
    ("x_centroid", "y_centroid", "z_centroid"),
    ("X_centroid", "Y_centroid", "Z_centroid"),
    ("centroid_x", "centroid_y", "centroid_z"),
    ("spatial-0", "spatial-1", "spatial-2"),
)
#: Where AnnData keeps positions.
SPATIAL = "spatial"


def known_coordinates(names: Collection[str]) -> tuple[str, ...]:
    """Return the columns among `names` that are known to hold positions, two or three; or none.

    Examples
    --------
    >>> known_coordinates(["fov", "y", "x"])
    ('x', 'y')
    """
    for axes in KNOWN:
        if axes[0] in names and axes[1] in names:
            return tuple(name for name in axes if name in names)
    return ()


def numbers_of(column: Any, *, path: Path, name: str) -> npt.NDArray[np.float64]:
    """Return a column of positions as float64.

    Raises
    ------
    DataError
        If a value is missing or no number; names its row, counted from 1 without the header.
    """
    if isinstance(column, pd.Series) and column.dtype.kind in "iuf":
        numbers = column.to_numpy(dtype=np.float64)
        shown: Any = numbers
    else:
        shown = np.asarray(column, dtype=object)
        numbers = np.asarray(pd.to_numeric(pd.Series(shown), errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        more = f" ({bad.size:,} such rows in all)" if bad.size > 1 else ""
        raise DataError(
            f"{str(shown[bad[0]])!r} is no position{more}: repair it, or leave the cell out (rows "
            "count from 1, the header not counted)",
            path=path,
            row=int(bad[0]) + 1,
            column=name,
        )
    checked: npt.NDArray[np.float64] = numbers
    return checked


def as_numbers(texts: Sequence[pa.Array]) -> npt.NDArray[np.float64] | None:
    """Return text as float64, decimal commas allowed; None if any is empty or no number."""
    column = pa.chunked_array(texts, type=pa.string())
    trimmed = pc.utf8_trim_whitespace(column)
    for cells in (trimmed, pc.replace_substring(trimmed, ",", ".", max_replacements=1)):
        try:
            numbers = cells.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            continue
        found: npt.NDArray[np.float64] = numbers
        return found if np.isfinite(found).all() else None
    return None
