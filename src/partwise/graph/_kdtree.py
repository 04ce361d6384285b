"""A kd-tree for the nearest neighbours of all points of a set, exact and with ties by index.

The points are cut at the median of the widest side of their box until sixteen are left. A search
starts in the query's own leaf, then walks from the root to the near child before the far one and
leaves out boxes that are farther than the worst neighbour so far. Leaves are stored coordinate by
coordinate, so that the distances to all points of one are computed together.

Distances are summed coordinate by coordinate in the type of the data, exactly like those of the
other exact method, and neighbours at the same distance are ordered by index: the answer is a
function of the data alone, whatever the tree, the method or the thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import inline, jit
from partwise.graph._lanes import add_square_difference, first_bit, not_above
from partwise.graph._lists import offer
from partwise.kernels._simd import LANE, load, splat, store

__all__ = ["LANE", "KDTree", "build_tree", "query_leaves"]

_LANES = (0,)


@dataclass(frozen=True)
class KDTree:
    """Points leaf by leaf, and the nodes in the order of a walk that goes left first.

    The left child of node i is i + 1. Leaf l has the points l * 16 ... of the tree's order.

    Attributes
    ----------
    points
        Coordinates: leaf, then coordinate, then point; the last leaf is filled up with infinity.
    rows
        Row of the original matrix for each point, leaves x 16; -1 where there is none.
    right
        Right child of each node, -1 for leaves.
    leaf
        First leaf below each node.
    boxes
        Lowest and highest value of each coordinate in each node: node, coordinate, two values.
    n_points, n_axes
        Shape of the matrix.
    """

    points: npt.NDArray[Any]
    rows: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    leaf: npt.NDArray[np.int32]
    boxes: npt.NDArray[Any]
    n_points: int
    n_axes: int

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return int(self.rows.shape[0])


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
def _write_box(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    start: int,
    stop: int,
    box: npt.NDArray[Any],
) -> int:
    """Write the tight box of some points and return its widest axis."""
    p = X.shape[1]
    for d in range(p):
        box[d, 0] = X[order[start], d]
        box[d, 1] = box[d, 0]
    for t in range(start + 1, stop):
        row = order[t]
        for d in range(p):
            value = X[row, d]
            box[d, 0] = min(box[d, 0], value)
            box[d, 1] = max(box[d, 1], value)
    axis = 0
    for d in range(1, p):
        if box[d, 1] - box[d, 0] > box[axis, 1] - box[axis, 0]:
            axis = d
    return axis


@jit
def _build(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    right: npt.NDArray[np.int32],
    leaf: npt.NDArray[np.int32],
    boxes: npt.NDArray[Any],
) -> None:
    """Split until each leaf has sixteen points, the last one what is left."""
    n = X.shape[0]
    # Pending nodes: number, first leaf, leaves below.
    pending = np.empty((128, 3), np.int64)
    pending[0, 0], pending[0, 1], pending[0, 2] = 0, 0, (n + LANE - 1) // LANE
    depth = 1
    while depth > 0:
        depth -= 1
        node, first, count = pending[depth, 0], pending[depth, 1], pending[depth, 2]
        start, stop = first * LANE, min(n, (first + count) * LANE)
        axis = _write_box(X, order, start, stop, boxes[node])
        leaf[node] = first
        right[node] = -1
        if count == 1:
            continue
        on_left = (count + 1) // 2
        _select(X, order, start, stop, start + on_left * LANE, axis)
        right[node] = node + 2 * on_left
        pending[depth, 0], pending[depth, 1] = right[node], first + on_left
        pending[depth, 2] = count - on_left
        depth += 1
        pending[depth, 0], pending[depth, 1], pending[depth, 2] = node + 1, first, on_left
        depth += 1


@jit
def _pack(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
) -> None:
    """Copy the points into their leaves."""
    n, p = X.shape
    for i in range(rows.shape[0]):
        for j in range(LANE):
            t = i * LANE + j
            rows[i, j] = order[t] if t < n else -1
            for d in range(p):
                points[(i * p + d) * LANE + j] = X[order[t], d] if t < n else np.inf


def build_tree(X: npt.NDArray[Any]) -> KDTree:
    """Build the tree of at least one point; X is C-contiguous, float32 or float64, n x p."""
    n, p = X.shape
    n_leaves = -(-n // LANE)
    n_nodes = 2 * n_leaves - 1
    order = np.arange(n, dtype=np.int32)
    right = np.empty(n_nodes, dtype=np.int32)
    leaf = np.empty(n_nodes, dtype=np.int32)
    boxes = np.empty((n_nodes, p, 2), dtype=X.dtype)
    _build(X, order, right, leaf, boxes)
    points = np.empty(n_leaves * p * LANE, dtype=X.dtype)
    rows = np.empty((n_leaves, LANE), dtype=np.int32)
    _pack(X, order, points, rows)
    return KDTree(points, rows, right, leaf, boxes.reshape(-1), n, p)


@inline
def _box_distance(point: npt.NDArray[Any], boxes: npt.NDArray[Any], node: Any, n_axes: int) -> Any:
    """Squared distance from a point to a box, summed like distances between points.

    Each term is at most that of any point in the box, also after rounding, and so is the sum.
    """
    total = point[0] - point[0]  # zero in the type of the data
    first = node * 2 * n_axes
    for d in range(n_axes):
        gap = max(boxes[first + 2 * d] - point[d], point[d] - boxes[first + 2 * d + 1])
        if gap > 0:
            total += gap * gap
    return total


@inline
def _scan_leaf(
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    leaf: int,
    point: npt.NDArray[Any],
    n_axes: int,
    self_row: int,
    buffer: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    indices: npt.NDArray[np.int32],
) -> None:
    """Offer every point of a leaf except the query itself."""
    last = distances.shape[0] - 1
    first = leaf * n_axes * LANE
    total = splat(_LANES, points, point[0] - point[0])
    for d in range(n_axes):
        values = load(_LANES, points, first + d * LANE)
        total = add_square_difference(values, splat(_LANES, points, point[d]), total)
    close = not_above(total, splat(_LANES, points, distances[last]))
    if close != 0:
        store(_LANES, buffer, 0, total)
        while close != 0:
            j = first_bit(close)
            close &= close - np.uint64(1)
            if rows[leaf, j] != self_row:
                offer(distances, indices, buffer[j], rows[leaf, j])


@jit
def query_leaves(
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    right: npt.NDArray[np.int32],
    leaf: npt.NDArray[np.int32],
    boxes: npt.NDArray[Any],
    n_axes: int,
    queries: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    distances: npt.NDArray[np.float32],
) -> int:
    """Neighbours of all points in some leaves, written to the rows of these points.

    Returns the number of leaves visited. `indices` and `distances` have a row for each point of
    the tree, or no rows if only the number is wanted.
    """
    k = indices.shape[1]
    n = indices.shape[0]
    stack = np.empty(128, np.int64)
    gaps = np.empty(128, points.dtype)
    nearest = np.empty(k, points.dtype)
    found = np.empty(k, np.int32)
    buffer = np.empty(LANE, points.dtype)
    point = np.empty(n_axes, points.dtype)
    visited = 0
    for q in queries:
        for i in range(LANE):
            me = rows[q, i]
            if me < 0:
                break
            for d in range(n_axes):
                point[d] = points[(q * n_axes + d) * LANE + i]
            nearest[:] = np.inf
            found[:] = np.iinfo(np.int32).max
            _scan_leaf(points, rows, q, point, n_axes, me, buffer, nearest, found)
            visited += 1
            stack[0] = 0
            gaps[0] = 0
            depth = 1
            while depth > 0:
                depth -= 1
                node = stack[depth]
                gap = gaps[depth]
                while gap <= nearest[k - 1]:
                    far = np.int64(right[node])
                    if far < 0:
                        if leaf[node] != q:
                            _scan_leaf(
                                points, rows, leaf[node], point, n_axes, me, buffer, nearest, found
                            )
                            visited += 1
                        break
                    near = node + 1
                    near_gap = _box_distance(point, boxes, near, n_axes)
                    far_gap = _box_distance(point, boxes, far, n_axes)
                    if far_gap < near_gap:
                        near, far = far, near
                        near_gap, far_gap = far_gap, near_gap
                    if far_gap <= nearest[k - 1]:
                        stack[depth] = far
                        gaps[depth] = far_gap
                        depth += 1
                    node = near
                    gap = near_gap
            if n > 0:
                for j in range(k):
                    indices[me, j] = found[j]
                    distances[me, j] = np.sqrt(nearest[j])
    return visited
