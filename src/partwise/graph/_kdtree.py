"""A kd-tree for the nearest neighbours of all points of a set, exact and with ties by index.

The points are cut at the widest side of their box until sixteen are left. Sixteen leaves make a
group, sixteen groups a larger one, and so on: a node has sixteen children, and whether they can
hold a neighbour is computed for all at once, as are the distances to the sixteen points of a leaf.
A search starts in the query's own leaf and goes up: at each node it searches the children it did
not come from, the nearest first, and leaves out those farther than the worst neighbour so far.

Distances are summed coordinate by coordinate in the type of the data, exactly like those of the
other exact method, and neighbours at the same distance are ordered by index: the answer is a
function of the data alone, whatever the tree, the method or the thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import helper, inline, jit
from partwise.graph._lanes import add_square_difference, add_square_gap, first_bit, not_above
from partwise.graph._lists import offer
from partwise.kernels._jit import ZERO
from partwise.kernels._simd import LANE, load, splat, store
from partwise.utils.threads import run_tasks

__all__ = ["LANE", "KDTree", "build_tree", "query_leaves"]

_LANES = (0,)
#: A child that no group has.
_NO_CHILD = np.int64(-1)
#: Children that can wait for their turn: at most sixteen per level, and levels are few.
_STACK = 16 * 16
#: Leaves of a subtree that one task sorts.
_SUBTREE = 2**12


@dataclass(frozen=True)
class KDTree:
    """Points leaf by leaf, and boxes of sixteen children at a time.

    Leaf l holds the points at 16 l ... of the tree's order, and is child l % 16 of group l // 16;
    that group is a child of the next level in the same way, up to a single one.

    Attributes
    ----------
    points
        Coordinates: leaf, then coordinate, then point; the last leaf is filled up with infinity.
    rows
        Row of the original matrix for each point, leaves x 16; -1 where there is none.
    boxes
        Sides of the children: group, then coordinate, then lowest and highest, then child. Missing
        children have sides that are infinitely far.
    levels
        First group of each level, from the one above the leaves to the top.
    n_points, n_axes
        Shape of the matrix.
    """

    points: npt.NDArray[Any]
    rows: npt.NDArray[np.int32]
    boxes: npt.NDArray[Any]
    levels: npt.NDArray[np.int64]
    n_points: int
    n_axes: int

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return int(self.rows.shape[0])


@helper
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


@helper
def _widest_axis(X: npt.NDArray[Any], order: npt.NDArray[np.int32], start: int, stop: int) -> int:
    """Axis along which some points are spread most."""
    p = X.shape[1]
    low, high = np.empty(p, X.dtype), np.empty(p, X.dtype)
    for d in range(p):
        low[d] = X[order[start], d]
        high[d] = low[d]
    for t in range(start + 1, stop):
        row = order[t]
        for d in range(p):
            low[d] = min(low[d], X[row, d])
            high[d] = max(high[d], X[row, d])
    axis = 0
    for d in range(1, p):
        if high[d] - low[d] > high[axis] - low[axis]:
            axis = d
    return axis


@jit
def _sort_points(
    X: npt.NDArray[Any], order: npt.NDArray[np.int32], first: int, count: int, least: int
) -> npt.NDArray[np.int64]:
    """Order the points of some leaves so that each group of each level is compact.

    A range of leaves is cut at a power of two, so that groups are whole subtrees. Ranges of at most
    `least` leaves are not cut further but returned: first leaf and number of leaves.
    """
    n = X.shape[0]
    pending = np.empty((128, 2), np.int64)
    pending[0, 0], pending[0, 1] = first, count
    depth = 1
    left = np.empty((2 * (count // max(1, least)) + 2, 2), np.int64)
    n_left = 0
    while depth > 0:
        depth -= 1
        first, count = pending[depth, 0], pending[depth, 1]
        if count <= least:
            if count > 1:
                left[n_left, 0], left[n_left, 1] = first, count
                n_left += 1
            continue
        half = 1
        while 2 * half < count:
            half *= 2
        start, stop = first * LANE, min(n, (first + count) * LANE)
        axis = _widest_axis(X, order, start, stop)
        _select(X, order, start, stop, start + half * LANE, axis)
        pending[depth, 0], pending[depth, 1] = first + half, count - half
        pending[depth + 1, 0], pending[depth + 1, 1] = first, half
        depth += 2
    return left[:n_left].copy()


@jit
def _fill_leaves(
    X: npt.NDArray[Any],
    order: npt.NDArray[np.int32],
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    boxes: npt.NDArray[Any],
) -> None:
    """Copy the points into their leaves and write the sides of these."""
    n, p = X.shape
    for i in range(rows.shape[0]):
        for j in range(LANE):
            t = i * LANE + j
            rows[i, j] = order[t] if t < n else -1
            for d in range(p):
                points[i, d, j] = X[order[t], d] if t < n else np.inf
        for d in range(p):
            low = points[i, d, 0]
            high = low
            for j in range(1, min(LANE, n - i * LANE)):
                low = min(low, points[i, d, j])
                high = max(high, points[i, d, j])
            boxes[i // LANE, d, 0, i % LANE] = low
            boxes[i // LANE, d, 1, i % LANE] = high


def build_tree(X: npt.NDArray[Any], n_threads: int = 1) -> KDTree:
    """Build the tree of at least one point; X is C-contiguous, float32 or float64, n x p."""
    n, p = X.shape
    n_leaves = -(-n // LANE)
    order = np.arange(n, dtype=np.int32)
    subtrees = _sort_points(X, order, 0, n_leaves, _SUBTREE)
    sort = partial(_sort_points, X, order)
    run_tasks(n_threads, [partial(sort, int(first), int(m), 1) for first, m in subtrees])
    points = np.empty((n_leaves, p, LANE), dtype=X.dtype)
    rows = np.empty((n_leaves, LANE), dtype=np.int32)
    level = _empty_boxes(n_leaves, p, X.dtype)
    _fill_leaves(X, order, points, rows, level)
    levels = [level]
    while level.shape[0] > 1:
        upper = _empty_boxes(level.shape[0], p, X.dtype)
        group, child = np.divmod(np.arange(level.shape[0]), LANE)
        upper[group, :, 0, child] = level[:, :, 0].min(axis=2)
        upper[group, :, 1, child] = level[:, :, 1].max(axis=2)
        levels.append(upper)
        level = upper
    first = np.cumsum([0, *(level.shape[0] for level in levels[:-1])])
    boxes = np.concatenate(levels).reshape(-1)
    return KDTree(points.reshape(-1), rows, boxes, first.astype(np.int64), n, p)


def _empty_boxes(n_children: int, p: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    boxes = np.empty((-(-n_children // LANE), p, 2, LANE), dtype=dtype)
    boxes[:, :, 0] = np.inf
    boxes[:, :, 1] = -np.inf
    return boxes


@inline
def _scan_leaf(
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    leaf: Any,
    point: npt.NDArray[Any],
    self_row: int,
    buffer: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    indices: npt.NDArray[np.int32],
) -> None:
    """Offer every point of a leaf except the query itself."""
    p = point.shape[0]
    first = leaf * p * LANE
    total = splat(_LANES, points, point[0] - point[0])
    for d in range(p):
        values = load(_LANES, points, first + d * LANE)
        total = add_square_difference(values, splat(_LANES, points, point[d]), total)
    close = not_above(total, splat(_LANES, points, distances[distances.shape[0] - 1]))
    if close != 0:
        store(_LANES, buffer, 0, total)
        while close != 0:
            j = first_bit(close)
            close &= close - np.uint64(1)
            if rows[leaf, j] != self_row:
                offer(distances, indices, buffer[j], rows[leaf, j])


@inline
def _open_group(
    boxes: npt.NDArray[Any],
    first_group: Any,
    group: Any,
    n_children: Any,
    skip: Any,
    point: npt.NDArray[Any],
    worst: Any,
    buffer: npt.NDArray[Any],
    stack: npt.NDArray[np.int64],
    gaps: npt.NDArray[Any],
    depth: int,
    level: int,
) -> int:
    """Put the children of a group that may hold neighbours on the stack, the nearest on top.

    The last group has fewer than sixteen; the level has `n_children` in all. As long as fewer than
    k neighbours are known, missing children are not farther than the worst of them.

    The squared distance to a box is summed like distances between points: each term is at most
    that of any point inside, also after rounding, and so is the sum.
    """
    p = point.shape[0]
    first = (first_group + group) * p * 2 * LANE
    total = splat(_LANES, boxes, point[0] - point[0])
    for d in range(p):
        low = load(_LANES, boxes, first + 2 * d * LANE)
        high = load(_LANES, boxes, first + (2 * d + 1) * LANE)
        total = add_square_gap(low, high, splat(_LANES, boxes, point[d]), total)
    close = not_above(total, splat(_LANES, boxes, worst))
    if close != 0:
        store(_LANES, buffer, 0, total)
    bottom = depth
    while close != 0:
        j = first_bit(close)
        close &= close - np.uint64(1)
        child = group * LANE + j
        if child != skip and child < n_children:
            t = depth
            while t > bottom and gaps[t - 1] < buffer[j]:
                gaps[t] = gaps[t - 1]
                stack[t, 0], stack[t, 1] = stack[t - 1, 0], stack[t - 1, 1]
                t -= 1
            gaps[t] = buffer[j]
            stack[t, 0], stack[t, 1] = level, child
            depth += 1
    return depth


@inline
def _n_children(rows: npt.NDArray[np.int32], levels: npt.NDArray[np.int64], level: int) -> Any:
    """Return how many children the groups of a level have: leaves, or groups of the one below."""
    return rows.shape[0] if level == 0 else levels[level] - levels[level - 1]


@inline
def _search(
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    boxes: npt.NDArray[Any],
    levels: npt.NDArray[np.int64],
    home: Any,
    point: npt.NDArray[Any],
    self_row: int,
    buffer: npt.NDArray[Any],
    stack: npt.NDArray[np.int64],
    gaps: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    indices: npt.NDArray[np.int32],
) -> int:
    """Find the neighbours of one point of leaf `home`; returns the number of leaves visited."""
    last = distances.shape[0] - 1
    distances[:] = np.inf
    indices[:] = np.iinfo(np.int32).max
    _scan_leaf(points, rows, home, point, self_row, buffer, distances, indices)
    visited = 1
    came_from = home
    for level in range(levels.shape[0]):
        group = came_from // LANE
        depth = _open_group(
            boxes, levels[level], group, _n_children(rows, levels, level), came_from, point,
            distances[last], buffer, stack, gaps, ZERO, level,
        )  # fmt: skip
        while depth > 0:
            depth -= 1
            below, child = stack[depth, 0], stack[depth, 1]
            if gaps[depth] > distances[last]:
                continue
            if below == 0:
                _scan_leaf(points, rows, child, point, self_row, buffer, distances, indices)
                visited += 1
            else:
                depth = _open_group(
                    boxes, levels[below - 1], child, _n_children(rows, levels, below - 1),
                    _NO_CHILD, point, distances[last], buffer, stack, gaps, depth, below - 1,
                )  # fmt: skip
        came_from = group
    return visited


@jit
def query_leaves(
    points: npt.NDArray[Any],
    rows: npt.NDArray[np.int32],
    boxes: npt.NDArray[Any],
    levels: npt.NDArray[np.int64],
    n_axes: int,
    leaves: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    distances: npt.NDArray[np.float32],
) -> int:
    """Neighbours of all points in some leaves, written to the rows of these points.

    Returns the number of leaves visited. `indices` has a row for each point of the tree, or no rows
    if only the number is wanted; `distances` likewise, or no rows if it is not wanted.
    """
    k = indices.shape[1]
    nearest, found = np.empty(k, points.dtype), np.empty(k, np.int32)
    stack, gaps = np.empty((_STACK, 2), np.int64), np.empty(_STACK, points.dtype)
    buffer, point = np.empty(LANE, points.dtype), np.empty(n_axes, points.dtype)
    visited = 0
    for leaf in leaves:
        for i in range(LANE):
            row = rows[leaf, i]
            if row < 0:
                break
            for d in range(n_axes):
                point[d] = points[(leaf * n_axes + d) * LANE + i]
            visited += _search(
                points, rows, boxes, levels, leaf, point, row, buffer, stack, gaps, nearest, found
            )
            if indices.shape[0] > 0:
                for j in range(k):
                    indices[row, j] = found[j]
            if distances.shape[0] > 0:
                for j in range(k):
                    distances[row, j] = np.sqrt(nearest[j])
    return visited
