"""Nearest neighbours of every row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.graph import _kdtree
from partwise.graph._brute import nearest_of
from partwise.results import Neighbors
from partwise.utils.threads import resolve_threads, run_tasks, single_thread_blas

__all__ = ["neighbors", "unit_rows"]

METRICS = ("euclidean", "cosine")
METHODS = ("auto", "kd-tree", "brute", "nn-descent")

#: Leaves, or rows, per task: enough to keep a thread busy for a while.
_LEAVES_PER_TASK = 512
_ROWS_PER_TASK = 512
#: Queries on which the recall of an approximate search is measured.
_RECALL_SAMPLE = 1000
#: Leaves whose points the pilot searches for.
_PILOT_LEAVES = 32

#: Rough costs on one core, in nanoseconds. They decide between
#: methods, and being constants they decide the same way every time.
_LEAF_COST, _LEAF_COST_PER_AXIS = 40.0, 1.5
_PAIR_COST, _PAIR_COST_PER_AXIS = 1.6, 0.033
_DESCENT_COST, _DESCENT_COST_PER_AXIS, _DESCENT_START = 40_000.0, 300.0, 30e9
#: Exact search is kept up to this cost whatever an approximate one would take: a minute.
_PATIENCE = 60e9

Found = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


def neighbors(
    X: npt.ArrayLike,
    n_neighbors: int = 15,
    *,
    metric: str = "euclidean",
    method: str = "auto",
    multiplicity: npt.NDArray[np.int64] | None = None,
    random_state: int = 0,
    n_threads: int | None = None,
    distances: bool = True,
) -> Neighbors:
    """Find the nearest other rows of each row.

    Parameters
    ----------
    X
        Finite values, n x p; float32 is searched in float32, all else in float64.
    n_neighbors
        Neighbours per row, the row itself not counted; with fewer than n_neighbors + 1 rows, all
        others are listed.
    metric
        "euclidean", or "cosine": Euclidean between rows scaled to length one, sqrt(2 - 2 cos).
    method
        "kd-tree" and "brute" are exact and give the same lists bit for bit, ties by index;
        "nn-descent" is approximate and runs on one thread, for its result would depend on their
        number. "auto" takes the cheaper exact method, judged by the number of leaves that a few
        searches visit, unless it would take minutes and the approximate one far less.
    multiplicity
        How many observations each row stands for, n; passed on to the result.
    random_state
        Seed of the approximate method.
    n_threads
        Threads for the exact methods; the result does not depend on it.
    distances
        Whether to keep the distances, half of what the lists take; a graph does not need them.

    Returns
    -------
    Neighbors
        Lists from near to far. `recall` is 1 for exact methods, else measured on a sample.

    Raises
    ------
    UsageError
        If a parameter is unknown or out of range.
    DataError
        If values are not finite, or the metric is cosine and a row has length zero.

    Examples
    --------
    >>> import numpy as np
    >>> near = neighbors(np.array([[0.0], [1.0], [3.0]]), n_neighbors=1)
    >>> near.indices.ravel().tolist(), near.distances.ravel().tolist()
    ([1, 0, 1], [1.0, 1.0, 2.0])
    """
    points = _checked(X, n_neighbors, metric, method)
    n, p = points.shape
    k = min(n_neighbors, n - 1)
    threads = resolve_threads(n_threads)
    recall = 1.0
    if k < 1:
        method = "brute" if method == "auto" else method
        found: Found = np.empty((n, 0), np.int32), np.empty((n, 0), np.float32)
    elif p == 0:
        raise DataError("neighbours need at least one column")
    else:
        if method in ("auto", "kd-tree"):
            tree = _kdtree.build_tree(points, threads)
        if method == "auto":
            method = _choose(tree, k)
        if method == "kd-tree":
            found = _search_tree(tree, k, threads, distances)
        elif method == "brute":
            found = _search_all(points, np.arange(n), k, threads)
        else:
            found = _descend(points, k, random_state)
            recall = _recall(points, found[0], threads)
    kept = found[1] if distances else np.empty((n, 0), np.float32)
    return Neighbors(found[0], kept, metric, method, recall, multiplicity)


def unit_rows(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale each row to length one; rows of zeros stay zero."""
    length = np.sqrt(np.square(X, dtype=np.float64).sum(axis=1, keepdims=True))
    return (X / np.where(length > 0, length, 1.0)).astype(X.dtype)


def _checked(X: npt.ArrayLike, n_neighbors: int, metric: str, method: str) -> npt.NDArray[Any]:
    if metric not in METRICS:
        raise UsageError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    if method not in METHODS:
        raise UsageError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if n_neighbors < 1:
        raise UsageError(f"n_neighbors must be at least 1, not {n_neighbors}")
    points = np.asarray(X)
    if points.dtype != np.float32:
        points = points.astype(np.float64, copy=False)
    if points.ndim != 2:
        raise UsageError(f"neighbours are those of the rows of a table; got shape {points.shape}")
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        raise DataError(f"value {points[row, column]} in row {row + 1}, column {column + 1}")
    if metric == "cosine":
        zero = np.flatnonzero(~points.any(axis=1))
        if zero.size:
            raise DataError(f"row {zero[0] + 1} is all zero and has no direction for the cosine")
        points = unit_rows(points)
    return np.ascontiguousarray(points)


def _choose(tree: _kdtree.KDTree, k: int) -> str:
    """Pick a method by counting the leaves that a few searches visit."""
    n, p = tree.n_points, tree.n_axes
    count = min(_PILOT_LEAVES, tree.n_leaves)
    pilot = np.linspace(0, tree.n_leaves - 1, count).astype(np.int64)
    nothing = np.empty((0, k), np.int32), np.empty((0, k), np.float32)
    visited = _query(tree, pilot, *nothing)
    leaves = visited / int((tree.rows[pilot] >= 0).sum())
    by_tree = n * leaves * (_LEAF_COST + _LEAF_COST_PER_AXIS * p)
    by_pairs = n * n * (_PAIR_COST + _PAIR_COST_PER_AXIS * p)
    exact = min(by_tree, by_pairs)
    descent = _DESCENT_START + n * (_DESCENT_COST + _DESCENT_COST_PER_AXIS * p)
    if exact > max(_PATIENCE, 2 * descent):
        return "nn-descent"
    return "kd-tree" if by_tree <= by_pairs else "brute"


def _query(
    tree: _kdtree.KDTree,
    leaves: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    distances: npt.NDArray[np.float32],
) -> int:
    return _kdtree.query_leaves(
        tree.points,
        tree.rows,
        tree.boxes,
        tree.levels,
        tree.n_axes,
        leaves,
        indices,
        distances,
    )


def _search_tree(tree: _kdtree.KDTree, k: int, threads: int, measured: bool) -> Found:
    indices = np.empty((tree.n_points, k), np.int32)
    distances = np.empty((tree.n_points if measured else 0, k), np.float32)
    leaves = np.arange(tree.n_leaves)
    tasks: list[Callable[[], int]] = [
        partial(_query, tree, leaves[first : first + _LEAVES_PER_TASK], indices, distances)
        for first in range(0, tree.n_leaves, _LEAVES_PER_TASK)
    ]
    run_tasks(threads, tasks)
    return indices, distances


def _search_all(
    points: npt.NDArray[Any], queries: npt.NDArray[np.int64], k: int, threads: int
) -> Found:
    centred = (points - points.mean(axis=0, dtype=np.float64)).astype(points.dtype)
    squares = np.einsum("ij,ij->i", centred, centred)
    tasks = [
        partial(nearest_of, points, centred, squares, queries[first : first + _ROWS_PER_TASK], k)
        for first in range(0, queries.shape[0], _ROWS_PER_TASK)
    ]
    with single_thread_blas():
        parts = run_tasks(threads, tasks)
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _descend(points: npt.NDArray[Any], k: int, random_state: int) -> Found:
    """Approximate neighbours by nearest-neighbour descent, on one thread."""
    from pynndescent import NNDescent

    index = NNDescent(
        points.astype(np.float32), n_neighbors=k + 1, random_state=random_state, n_jobs=1
    )
    candidates = index.neighbor_graph[0].astype(np.int32)
    return _without_self(points, candidates, k)


def _without_self(points: npt.NDArray[Any], candidates: npt.NDArray[np.int32], k: int) -> Found:
    """Drop each row from its own list, wherever it stands, or the last if it is not there."""
    n = candidates.shape[0]
    kept = candidates != np.arange(n, dtype=np.int32)[:, None]
    # A list that does not hold its own row has one neighbour too many: the farthest goes.
    kept[kept.all(axis=1), -1] = False
    indices = candidates[kept].reshape(n, k)
    distances = np.empty((n, k), np.float32)
    for first in range(0, n, 4096):
        rows = slice(first, min(n, first + 4096))
        gaps = points[indices[rows]] - points[rows, None]
        distances[rows] = np.sqrt(np.square(gaps).sum(axis=2))
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)


def _recall(points: npt.NDArray[Any], indices: npt.NDArray[np.int32], threads: int) -> float:
    """Share of the true neighbours of evenly spaced rows that were found."""
    n, k = indices.shape
    queries = np.unique(np.linspace(0, n - 1, min(n, _RECALL_SAMPLE)).astype(np.int64))
    true, _ = _search_all(points, queries, k, threads)
    hits = (indices[queries][:, :, None] == true[:, None, :]).any(axis=2)
    return float(hits.mean())
