"""Labels of new rows from those of rows that are known: a vote of the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.utils.threads import resolve_threads, run_tasks, single_thread_blas

__all__ = ["Assignment", "assign_labels", "nearest_rows"]

FloatArray = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Found = tuple[npt.NDArray[np.int64], FloatArray]
Search = Callable[[FloatArray, int], Found]

#: With more axes a search tree looks at most of its points anyway: compare with all of them.
_MOST_AXES_OF_A_TREE = 12
#: Rows per task; products of all with all need room.
_ROWS, _ROWS_OF_PRODUCTS = 8192, 128
#: Distances below this share of the spread of the known rows count as equal to it, so that a row
#: that is known already decides alone.
_CLOSEST = 1e-6


@dataclass(frozen=True)
class Assignment:
    """Labels of n new rows.

    Attributes
    ----------
    labels
        n; -1 for rows of zeros, which are like nothing.
    confidence
        Share of the vote that the label has, n: above 0, 1 if all neighbours agree; NaN where the
        label is -1.
    distance
        Mean distance to the nearest known rows, n; NaN where the label is -1.
    """

    labels: npt.NDArray[np.int32]
    confidence: FloatArray
    distance: FloatArray


def assign_labels(
    X: npt.ArrayLike,
    reference: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    n_neighbors: int = 15,
    n_threads: int | None = None,
) -> Assignment:
    """Give each row the label that its nearest known rows vote for.

    The vote for label c is the sum of v_j / d_j over those of the nearest rows j that have it,
    with d_j the distance and v_j what row j stands for; confidence is the winner's share of all
    votes. Ties go to the lower label.

    Parameters
    ----------
    X
        New rows, n x r. Rows of zeros get -1.
    reference
        Known rows, m x r, in the same space; best each once.
    labels
        Their labels, m whole numbers of 0 or more.
    weights
        How many rows each stands for where they are a sample, m; 1 each if None.
    n_neighbors
        Known rows that vote; at most m.
    n_threads
        Threads; the result does not depend on them.

    Returns
    -------
    Assignment
        Labels, confidence and distance of the n rows.

    Raises
    ------
    UsageError
        If shapes do not fit or a parameter is out of range.
    DataError
        If there is no known row, or a value is not finite.

    References
    ----------
    Dudani, "The distance-weighted k-nearest-neighbor rule", IEEE Transactions on Systems, Man, and
    Cybernetics 6, 325 (1976).

    Examples
    --------
    >>> import numpy as np
    >>> known = np.array([[1.0, 9.0], [1.0, 8.0], [9.0, 1.0]])
    >>> found = assign_labels(np.array([[2.0, 9.0], [8.0, 1.0], [0.0, 0.0]]), known, [0, 0, 1])
    >>> found.labels.tolist()
    [0, 1, -1]
    """
    points, known = _rows(X, "new"), np.asarray(_rows(reference, "known"), np.float64)
    names = np.asarray(labels)
    if names.shape != (len(known),) or names.dtype.kind not in "iu" or names.min(initial=0) < 0:
        raise UsageError("labels must be whole numbers of 0 or more, one per known row")
    stands_for = np.ones(len(known)) if weights is None else np.asarray(weights, np.float64)
    if stands_for.shape != names.shape or not (stands_for > 0).all():
        raise UsageError("weights must be positive numbers, one per known row")
    k = min(n_neighbors, len(known))
    search, rows = _searching(points, known, k)
    floor = _CLOSEST * _spread(known)
    result = Assignment(
        np.full(len(points), -1, np.int32),
        np.full(len(points), np.nan),
        np.full(len(points), np.nan),
    )

    # block by block, so that the lists of neighbours of all rows are never there together
    def task(first: int) -> None:
        block = np.asarray(points[first : first + rows], np.float64)
        used = np.flatnonzero(block.any(axis=1))
        near, distances = search(block[used], k)
        chosen, share = _winners(names[near], stands_for[near] / np.maximum(distances, floor))
        result.labels[first + used], result.confidence[first + used] = chosen, share
        result.distance[first + used] = distances.mean(axis=1)

    _in_blocks(task, len(points), rows, n_threads)
    return result


def nearest_rows(
    X: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    n_neighbors: int,
    n_threads: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the nearest of some known rows for each of other rows, exactly.

    Parameters
    ----------
    X
        Rows to search for, n x r.
    reference
        Rows to search in, m x r.
    n_neighbors
        At most m.
    n_threads
        Threads; the result does not depend on them.

    Returns
    -------
    indices, distances
        n x n_neighbors, from near to far.

    Raises
    ------
    UsageError
        If shapes do not fit or a parameter is out of range.
    DataError
        If there is no known row, or a value is not finite.

    Examples
    --------
    >>> nearest_rows([[2.0]], [[0.0], [1.0], [5.0]], n_neighbors=2)[0].tolist()
    [[1, 0]]
    """
    points, known = _rows(X, "new"), np.asarray(_rows(reference, "known"), np.float64)
    search, rows = _searching(points, known, n_neighbors)
    indices = np.empty((len(points), n_neighbors), np.int64)
    distances = np.empty((len(points), n_neighbors))

    def task(first: int) -> None:
        part = slice(first, first + rows)
        block = np.asarray(points[part], np.float64)
        indices[part], distances[part] = search(block, n_neighbors)

    _in_blocks(task, len(points), rows, n_threads)
    return indices, distances


def _searching(points: Floats, known: FloatArray, n_neighbors: int) -> tuple[Search, int]:
    """Return what finds the nearest known rows of a block of rows, and how many to give it."""
    if not len(known):
        raise DataError("there are no known rows to compare with")
    if points.shape[1] != known.shape[1]:
        raise UsageError(f"new rows have {points.shape[1]} columns, known {known.shape[1]}")
    if not 1 <= n_neighbors <= len(known):
        raise UsageError(f"n_neighbors must be from 1 to {len(known)}, not {n_neighbors}")
    if known.shape[1] > _MOST_AXES_OF_A_TREE:
        return partial(_by_products, known, np.square(known).sum(axis=1)), _ROWS_OF_PRODUCTS
    from scipy.spatial import cKDTree

    return partial(_by_tree, cKDTree(known)), _ROWS


def _in_blocks(task: Callable[[int], None], n: int, rows: int, n_threads: int | None) -> None:
    tasks: list[Callable[[], None]] = [partial(task, first) for first in range(0, n, rows)]
    with single_thread_blas():
        run_tasks(resolve_threads(n_threads), tasks)


def _rows(values: npt.ArrayLike, what: str) -> Floats:
    """Return a table of finite numbers, in single precision if it is given so: no copy is made."""
    rows = np.asarray(values)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim != 2:
        raise UsageError(f"{what} rows must be a table; got shape {rows.shape}")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"value {rows[row, column]} in {what} row {row + 1}, column {column + 1}")
    return rows


def _spread(known: FloatArray) -> float:
    """Root mean square distance of the known rows from their mean; 1 if they are all equal."""
    return float(np.sqrt(known.var(axis=0).sum())) or 1.0


def _by_tree(tree: object, points: FloatArray, k: int) -> Found:
    distances, indices = tree.query(points, k=list(range(1, k + 1)))  # type: ignore[attr-defined]
    return _in_order(np.asarray(indices, np.int64), np.asarray(distances, np.float64))


def _by_products(known: FloatArray, squares: FloatArray, points: FloatArray, k: int) -> Found:
    """Pick candidates by |y|^2 - 2 x.y, and measure these coordinate by coordinate."""
    far = squares - 2 * (points @ known.T)
    few = min(2 * k, len(known))  # rounding may exchange the last with the next
    indices = np.argpartition(far, few - 1, axis=1)[:, :few].astype(np.int64)
    gaps = known[indices] - points[:, None]
    indices, distances = _in_order(indices, np.sqrt(np.square(gaps).sum(axis=2)))
    return indices[:, :k], distances[:, :k]


def _in_order(indices: npt.NDArray[np.int64], distances: FloatArray) -> Found:
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)


def _winners(
    names: npt.NDArray[np.integer], votes: FloatArray
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Return the label with most votes in each row, and its share."""
    order = np.argsort(names, axis=1, kind="stable")
    names, votes = np.take_along_axis(names, order, 1), np.take_along_axis(votes, order, 1)
    sums = np.zeros_like(votes)
    sums[:, 0] = votes[:, 0]
    for j in range(1, votes.shape[1]):  # sums of runs of equal labels
        sums[:, j] = votes[:, j] + np.where(names[:, j] == names[:, j - 1], sums[:, j - 1], 0.0)
    best = sums.argmax(axis=1)
    rows = np.arange(len(names))
    share = sums[rows, best] / votes.sum(axis=1)
    return names[rows, best].astype(np.int32), np.minimum(share, 1.0)
