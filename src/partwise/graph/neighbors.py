"""Nearest neighbours of every row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.graph import _kdtree
from partwise.results import Neighbors
from partwise.utils.threads import resolve_threads, run_tasks

__all__ = ["neighbors", "unit_rows"]

METRICS = ("euclidean", "cosine")
METHODS = ("auto", "kd-tree", "brute", "nn-descent")

#: Queries per task: enough to keep a thread busy for a while.
_CHUNK = 8192


def neighbors(
    X: npt.ArrayLike,
    n_neighbors: int = 15,
    *,
    metric: str = "euclidean",
    method: str = "auto",
    multiplicity: npt.NDArray[np.integer] | None = None,
    random_state: int = 0,
    n_threads: int | None = None,
) -> Neighbors:
    """Find the nearest other rows of each row."""
    if metric not in METRICS:
        raise UsageError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    points = np.asarray(X)
    if points.dtype != np.float32:
        points = points.astype(np.float64, copy=False)
    points = np.ascontiguousarray(points)
    n = points.shape[0]
    k = min(n_neighbors, n - 1)
    if k < 1:
        return Neighbors(
            np.empty((n, 0), np.int32),
            np.empty((n, 0), np.float32),
            metric,
            "none",
            1.0,
            multiplicity,
        )
    if not np.isfinite(points).all():
        raise DataError("neighbours need finite values")
    if metric == "cosine":
        points = unit_rows(points)
    tree = _kdtree.build_tree(points)
    indices = np.empty((n, k), np.int32)
    distances = np.empty((n, k), np.float32)

    def task(first: int) -> int:
        return _kdtree.query_leaves(
            tree.points,
            tree.order,
            tree.bounds,
            tree.low,
            tree.high,
            first,
            min(n, first + _CHUNK),
            indices,
            distances,
        )

    starts = range(0, n, _CHUNK)
    run_tasks(resolve_threads(n_threads), [lambda first=first: task(first) for first in starts])
    return Neighbors(indices, distances, metric, "kd-tree", 1.0, multiplicity)


def unit_rows(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale each row to length one; rows of zeros stay zero."""
    length = np.sqrt(np.square(X, dtype=np.float64).sum(axis=1, keepdims=True))
    return (X / np.where(length > 0, length, 1.0)).astype(X.dtype)
