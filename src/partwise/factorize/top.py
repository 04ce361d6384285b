"""Which features make up each program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["top_features"]

ORDERS = ("weight", "share")


def top_features(
    programs: npt.NDArray[Any],
    features: Sequence[str],
    *,
    n: int = 20,
    by: str = "weight",
    name: str = "feature",
) -> pd.DataFrame:
    """Return the leading features of each program, one row per program and feature.

    The share of a feature j in program i is h_ij ||h_i||_1^-1 over the sum of that over all
    programs: programs are made to weigh the same before they are compared.

    Parameters
    ----------
    programs
        H, k x p.
    features
        Names, p.
    n
        Features per program, fewer where the program has fewer that are not zero.
    by
        "weight" or "share"; with "share", features below a hundredth of the program's largest
        weight are left out.
    name
        Name of the column of features.

    Returns
    -------
    pandas.DataFrame
        Columns program, rank (from 1), the feature, weight, share.

    Raises
    ------
    UsageError
        If a parameter cannot be used.

    Examples
    --------
    >>> H = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    >>> top_features(H, ["A", "B", "C"], n=1)["feature"].tolist()
    ['A', 'B']
    """
    import pandas as pd

    if by not in ORDERS:
        raise UsageError(f"by must be one of {', '.join(ORDERS)}; got {by!r}")
    if n < 1:
        raise UsageError(f"the number of features per program must be 1 or more, not {n}")
    weights = np.asarray(programs, np.float64)
    total = np.abs(weights).sum(axis=1, keepdims=True)
    even = np.abs(weights) / np.where(total > 0, total, 1.0)
    column = even.sum(axis=0, keepdims=True)
    shares = even / np.where(column > 0, column, 1.0)
    rows: dict[str, list[Any]] = {"program": [], "rank": [], name: [], "weight": [], "share": []}
    for i, (row, share) in enumerate(zip(weights, shares, strict=True)):
        size = np.abs(row)
        usable = size > (0.01 * size.max() if by == "share" else 0)
        score = np.where(usable, share if by == "share" else size, -1.0)
        order = np.argsort(-score, kind="stable")[: min(n, int(usable.sum()))]
        rows["program"] += [f"program_{i + 1}"] * len(order)
        rows["rank"] += range(1, len(order) + 1)
        rows[name] += [str(features[j]) for j in order]
        rows["weight"] += row[order].tolist()
        rows["share"] += share[order].tolist()
    return pd.DataFrame(rows)
