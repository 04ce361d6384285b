"""A kd-tree for all nearest neighbours of a point set, exact and with ties by index.

The points are cut at the median of the widest side of their box until few remain. A search walks
the tree from the near child to the far one and leaves out boxes that are farther than the worst
neighbour so far. Distances are summed coordinate by coordinate in the type of the data, exactly
like those of the other exact method, and two neighbours at the same distance are ordered by index:
the answer is a function of the data alone, whatever the tree, the method or the thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit

__all__ = ["KDTree", "build_tree", "query_leaves", "search_rows"]

#: Points per leaf: smaller leaves cost more steps, larger ones more distances.
_LEAF_SIZE = 12


@dataclass(frozen=True)
class KDTree:
    """Points in the order of the leaves, and a box for each node.

    Node i has the children 2i + 1 and 2i + 2; the last level holds the leaves.

    Attributes
    ----------
    points
        The points, leaf by leaf, n x p.
    order
        Row of the original matrix for each point, n.
    bounds
        First point of each node of the last level, and n: leaves + 1.
    low, high
        Corners of each node's box, nodes x p.
    """

    points: npt.NDArray[Any]
    order: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.int64]
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]

    @property
    def n_leaves(self) -> int:
        """Number of leaves, a power of two."""
        return int(self.bounds.shape[0]) - 1


@jit
def _select(
    X: npt.NDArray[Any], order: npt.NDArray[np.int32], start: int, stop: int, middle: int, axis: int
) -> None:
    """Partition order[start:stop] so that the entry at `middle` splits it along one axis."""
    low, high = start, stop - 1
    while low < high:
        # Median of three guards against sorted input.
        a, b, c = X[order[low], axis], X[order[(low + high) >> 1], axis], X[order[high], axis]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while X[order[i], axis] < pivot:
                i += 1
            while X[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@jit
def _node_box(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    start: int,
    stop: int,
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
) -> int:
    """Write the tight box of some points and return its widest axis."""
    p = X.shape[1]
    for d in range(p):
        low[d] = X[order[start], d]
        high[d] = low[d]
    for t in range(start + 1, stop):
        row = order[t]
        for d in range(p):
            value = X[row, d]
            low[d] = min(low[d], value)
            high[d] = max(high[d], value)
    axis = 0
    for d in range(1, p):
        if high[d] - low[d] > high[axis] - low[axis]:
            axis = d
    return axis


@jit
def _build(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    n_levels: int,
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
) -> npt.NDArray[np.int64]:
    """Split level by level; returns the bounds of the leaves."""
    bounds = np.array([0, order.shape[0]])
    for level in range(n_levels + 1):
        n_nodes = bounds.shape[0] - 1
        first_node = n_nodes - 1
        finer = np.empty(2 * n_nodes + 1, np.int64)
        for node in range(n_nodes):
            start, stop = bounds[node], bounds[node + 1]
            corner = first_node + node
            axis = _node_box(X, order, start, stop, low[corner], high[corner])
            middle = (start + stop) >> 1
            finer[2 * node] = start
            finer[2 * node + 1] = middle
            if level < n_levels:
                _select(X, order, start, stop, middle, axis)
        finer[2 * n_nodes] = bounds[n_nodes]
        if level < n_levels:
            bounds = finer
    return bounds


def build_tree(X: npt.NDArray[Any]) -> KDTree:
    """Build the tree of at least one point; X is C-contiguous, n x p."""
    n, p = X.shape
    n_levels = 0
    while (n >> (n_levels + 1)) >= _LEAF_SIZE:
        n_levels += 1
    n_nodes = 2 ** (n_levels + 1) - 1
    order = np.arange(n, dtype=np.int32)
    low = np.empty((n_nodes, p), dtype=X.dtype)
    high = np.empty((n_nodes, p), dtype=X.dtype)
    bounds = _build(X, order, n_levels, low, high)
    return KDTree(X[order], order, bounds, low, high)


@jit
def _offer(
    distances: npt.NDArray[Any], indices: npt.NDArray[np.int32], distance: Any, index: int
) -> None:
    """Insert a neighbour that is known to come before the last one into a sorted list."""
    t = distances.shape[0] - 1
    while t > 0 and (
        distances[t - 1] > distance or (distances[t - 1] == distance and indices[t - 1] > index)
    ):
        distances[t] = distances[t - 1]
        indices[t] = indices[t - 1]
        t -= 1
    distances[t] = distance
    indices[t] = index


@jit
def _box_distance(point: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Any:
    """Squared distance from a point to a box, summed like distances between points."""
    total = point[0] - point[0]
    for d in range(point.shape[0]):
        gap = max(low[d] - point[d], point[d] - high[d])
        if gap > 0:
            total += gap * gap
    return total


@jit
def _scan_leaf(
    points: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    start: int,
    stop: int,
    point: npt.NDArray[Any],
    self_row: int,
    distances: npt.NDArray[Any],
    indices: npt.NDArray[np.int32],
) -> None:
    """Offer every point of a leaf except the query itself."""
    last = distances.shape[0] - 1
    for t in range(start, stop):
        total = point[0] - point[0]
        for d in range(point.shape[0]):
            gap = points[t, d] - point[d]
            total += gap * gap
        if total <= distances[last]:
            row = order[t]
            if row != self_row and (total < distances[last] or row < indices[last]):
                _offer(distances, indices, total, row)


@jit
def _search(
    points: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    bounds: npt.NDArray[np.int64],
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
    point: npt.NDArray[Any],
    self_row: int,
    stack: npt.NDArray[np.int64],
    gaps: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    indices: npt.NDArray[np.int32],
) -> int:
    """Find the neighbours of one point; returns the number of leaves visited."""
    first_leaf = bounds.shape[0] - 2
    last = distances.shape[0] - 1
    distances[:] = np.inf
    indices[:] = points.shape[0]
    stack[0] = 0
    gaps[0] = 0
    depth = 1
    visited = 0
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if gaps[depth] > distances[last]:
            continue
        while node < first_leaf:
            near, far = 2 * node + 1, 2 * node + 2
            near_gap = _box_distance(point, low[near], high[near])
            far_gap = _box_distance(point, low[far], high[far])
            if far_gap < near_gap:
                near, far = far, near
                near_gap, far_gap = far_gap, near_gap
            if far_gap <= distances[last]:
                stack[depth] = far
                gaps[depth] = far_gap
                depth += 1
            if near_gap > distances[last]:
                node = -1
                break
            node = near
        if node >= 0:
            leaf = node - first_leaf
            visited += 1
            _scan_leaf(
                points, order, bounds[leaf], bounds[leaf + 1], point, self_row, distances, indices
            )
    return visited


@jit
def query_leaves(
    points: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    bounds: npt.NDArray[np.int64],
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
    first: int,
    stop: int,
    indices: npt.NDArray[np.int32],
    distances: npt.NDArray[np.float32],
) -> int:
    """Neighbours of the points first..stop of the tree's order, written to their rows.

    Returns the number of leaves visited.
    """
    k = indices.shape[1]
    stack = np.empty(128, np.int64)
    gaps = np.empty(128, points.dtype)
    nearest = np.empty(k, points.dtype)
    rows = np.empty(k, np.int32)
    visited = 0
    for t in range(first, stop):
        row = order[t]
        visited += _search(
            points, order, bounds, low, high, points[t], row, stack, gaps, nearest, rows
        )
        for j in range(k):
            indices[row, j] = rows[j]
            distances[row, j] = np.sqrt(nearest[j])
    return visited


@jit
def search_rows(
    points: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    bounds: npt.NDArray[np.int64],
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
    places: npt.NDArray[np.int64],
    k: int,
) -> int:
    """Count the leaves visited for the points at some places of the tree's order."""
    stack = np.empty(128, np.int64)
    gaps = np.empty(128, points.dtype)
    nearest = np.empty(k, points.dtype)
    rows = np.empty(k, np.int32)
    visited = 0
    for t in places:
        visited += _search(
            points, order, bounds, low, high, points[t], order[t], stack, gaps, nearest, rows
        )
    return visited
