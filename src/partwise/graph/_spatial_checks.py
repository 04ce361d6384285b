"""What is given as coordinates, types and fields of view, checked and put into one form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fields_of", "points_of", "sorted_names", "type_codes"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_AXES = ("first", "second", "third")


def points_of(coordinates: npt.ArrayLike) -> tuple[FloatArray, int]:
    """Return the coordinates as n x 3, and how many axes they have."""
    given = np.asarray(coordinates)
    if given.ndim != 2 or given.shape[1] not in (2, 3):
        raise UsageError(f"coordinates must be n x 2 or n x 3; their shape is {given.shape}")
    try:
        given = given.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"coordinates must be numbers ({error})") from error
    if given.shape[0] == 0:
        raise DataError("there are no cells")
    bad = ~np.isfinite(given)
    if bad.any():
        row, axis = np.argwhere(bad)[0]
        n = int(bad.any(axis=1).sum())
        more = f" ({n:,} such cells in all)" if n > 1 else ""
        raise DataError(
            f"the {_AXES[axis]} coordinate is {given[row, axis]}{more}: a cell needs a position; "
            "repair it or leave the cell out",
            row=int(row) + 1,
        )
    points = np.zeros((given.shape[0], 3))
    points[:, 3 - given.shape[1] :] = given
    return points, given.shape[1]


def type_codes(types: Any, n: int) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Return the code of each cell's type, and the names."""
    import pandas as pd

    series = _column(types, n, "types")
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, names = series.cat.codes.to_numpy(), list(series.cat.categories)
    else:
        codes, names = pd.factorize(series)
    _refuse_missing(codes, "type", "name it, for example 'unknown', or leave the cell out")
    texts = [str(name) for name in names]
    if not isinstance(series.dtype, pd.CategoricalDtype):
        texts, codes = _in_order(texts, codes)
    if len(set(texts)) < len(texts):
        raise DataError("two types have the same name when written as text")
    return codes.astype(np.int32), tuple(texts)


def _in_order(texts: list[str], codes: npt.NDArray[Any]) -> tuple[list[str], npt.NDArray[Any]]:
    """Sort names, and renumber."""
    names = sorted_names(texts)
    place = {name: j for j, name in enumerate(names)}
    return names, np.array([place[text] for text in texts], dtype=np.int64)[codes]


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort names as people do: "T 2" before "T 10"; whole numbers by their value.

    Examples
    --------
    >>> sorted_names(["T 10", "T 2", "B"]), sorted_names(["3", "-1"])
    (['B', 'T 2', 'T 10'], ['-1', '3'])
    """
    names = list(names)
    if all(re.fullmatch("-?[0-9]{1,18}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))

    def key(name: str) -> tuple[list[tuple[str, int]], str]:
        parts = re.findall("([^0-9]*)([0-9]{0,18})", name)
        return [(text, int(number or -1)) for text, number in parts], name

    return sorted(names, key=key)


def fields_of(fov: Any, n: int) -> list[IntArray]:
    """Return the rows of each field of view."""
    if fov is None:
        return [np.arange(n, dtype=np.int64)]
    import pandas as pd

    codes, _ = pd.factorize(_column(fov, n, "fov"))
    _refuse_missing(codes, "field of view", "name it or leave the cell out")
    order = np.argsort(codes, kind="stable").astype(np.int64)
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _column(values: Any, n: int, name: str) -> pd.Series:
    import pandas as pd

    series = pd.Series(values).reset_index(drop=True)
    if len(series) != n:
        raise UsageError(f"{name} has {len(series):,} entries, but there are {n:,} cells")
    return series


def _refuse_missing(codes: npt.NDArray[Any], what: str, advice: str) -> None:
    missing = codes < 0
    if missing.any():
        n = int(missing.sum())
        more = f" ({n:,} such cells in all)" if n > 1 else ""
        row = int(np.argmax(missing)) + 1
        raise DataError(f"the {what} is missing{more}; {advice}", row=row)
