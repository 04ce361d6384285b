"""Neighbourhoods of rows that stand for several observations.

Tables of counts lie on a lattice. Two things follow that a table of measurements does not know.
A row's k nearest cells are mostly its own copies, so that k neighbouring rows per row are needed
only where rows do not repeat, and more where they do. And a row has many neighbours at exactly the
same distance: which of them make the list must not depend on the order of the columns or rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph.neighbors import neighbors

__all__ = ["neighbors_per_row", "scatter_ties"]

#: Displacement per axis, as a share of the typical distance to the nearest row.
_SCATTER = 0.05
#: Rows from which that distance is taken.
_SAMPLE = 1024


def neighbors_per_row(n_neighbors: int, n_observations: int, n_rows: int) -> int:
    """Neighbouring rows to list for each distinct row, given neighbours per observation.

    For n observations in m distinct rows: k (2 n / m - 1), each copy beyond the first calling for
    2 k more, but not more than the square root of m, the usual bound for a neighbourhood to stay
    local. The number of links stays below 2 n k.

    Parameters
    ----------
    n_neighbors
        k, neighbours per observation.
    n_observations, n_rows
        n and m.

    Returns
    -------
    int
        k where no row repeats, else more.

    Examples
    --------
    >>> neighbors_per_row(15, 10_000, 10_000), neighbors_per_row(15, 20_000, 10_000)
    (15, 45)
    >>> neighbors_per_row(15, 1_000_000, 10_000)
    100
    """
    if n_rows == 0:
        return n_neighbors
    wanted = round(n_neighbors * (2 * n_observations / n_rows - 1))
    return max(n_neighbors, min(wanted, math.isqrt(n_rows)))


def scatter_ties(
    points: npt.NDArray[Any], *, random_state: int = 0, n_threads: int | None = None
) -> npt.NDArray[np.float64]:
    """Displace each row a little, so that equal distances are ordered at random.

    Parameters
    ----------
    points
        Distinct rows, m x p.
    random_state
        Seed of the displacements.
    n_threads
        Threads for the search of the typical distance.

    Returns
    -------
    numpy.ndarray
        The rows plus normal noise, in each axis with a standard deviation of a twentieth of the
        median distance to the nearest row (in a sample).
    """
    values = points.astype(np.float64)
    if values.shape[0] < 3:
        return values
    rng = np.random.default_rng(random_state)
    nearest = neighbors(values, 1, n_threads=n_threads).distances[:, 0]
    return values + rng.normal(0.0, _SCATTER * float(np.median(nearest)), values.shape)
