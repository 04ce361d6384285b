"""The union of neighbour lists and their reverse, in compressed rows, by several threads.

What node i lists is there already; what it lacks are the nodes that list i without being listed
back. These are found for many rows at a time, put in order by one thread, and merged into the rows.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit
from partwise.utils.threads import run_tasks

__all__ = ["contains", "union_of_lists"]

IntVector = npt.NDArray[np.int32]
LongVector = npt.NDArray[np.int64]
Lists = npt.NDArray[np.int32]

#: Rows per task.
_ROWS = 2**15


@jit
def contains(lists: Lists, row: int, value: int) -> bool:
    """Whether a row's list has a value."""
    found = False
    for j in range(lists.shape[1]):
        found = found | (lists[row, j] == value)
    return found


@jit
def _one_way(lists: Lists, start: int, stop: int) -> tuple[IntVector, IntVector]:
    """Links of some rows to nodes that do not list them: ends and rows, rows increasing."""
    k = lists.shape[1]
    ends = np.empty((stop - start) * k, np.int32)
    rows = np.empty((stop - start) * k, np.int32)
    count = 0
    for i in range(start, stop):
        for j in range(k):
            other = lists[i, j]
            if not contains(lists, other, i):
                ends[count] = other
                rows[count] = i
                count += 1
    return ends[:count].copy(), rows[:count].copy()


@jit
def _count(ends: IntVector, pointer: LongVector) -> None:
    """Add the number of links that come in at node i to pointer[i + 1]."""
    for other in ends:
        pointer[other + 1] += 1


@jit
def _place(
    ends: IntVector, rows: IntVector, filled: IntVector, bounds: LongVector, incoming: IntVector
) -> None:
    """Append each row to those that come in at the other end."""
    for t in range(ends.shape[0]):
        other = ends[t]
        incoming[bounds[other] + filled[other]] = rows[t]
        filled[other] += 1


@jit
def _merge(
    lists: Lists,
    bounds: LongVector,
    incoming: IntVector,
    union: IntVector,
    start: int,
    stop: int,
) -> None:
    """Write some rows of the union, each increasing."""
    k = lists.shape[1]
    own = np.empty(k, np.int32)
    for i in range(start, stop):
        for j in range(k):
            value = lists[i, j]
            t = j
            while t > 0 and own[t - 1] > value:
                own[t] = own[t - 1]
                t -= 1
            own[t] = value
        here = bounds[i] + i * k
        j = 0
        for e in range(bounds[i], bounds[i + 1]):
            while j < k and own[j] < incoming[e]:
                union[here] = own[j]
                here += 1
                j += 1
            union[here] = incoming[e]
            here += 1
        while j < k:
            union[here] = own[j]
            here += 1
            j += 1


def union_of_lists(lists: Lists, n_threads: int) -> tuple[LongVector, IntVector]:
    """Return row pointer and neighbours, increasing, of the graph that joins who lists whom.

    Parameters
    ----------
    lists
        Neighbours of each node, itself and repetitions excluded, n x k with k at least 1.
    n_threads
        Threads; the result does not depend on them.
    """
    n, k = lists.shape
    edges = [*range(0, n, _ROWS), n]
    spans = list(pairwise(edges))
    found = run_tasks(n_threads, [partial(_one_way, lists, a, b) for a, b in spans])
    bounds = np.zeros(n + 1, np.int64)
    for ends, _ in found:
        _count(ends, bounds)
    np.cumsum(bounds, out=bounds)
    incoming = np.empty(int(bounds[-1]), np.int32)
    filled = np.zeros(n, np.int32)
    found.reverse()
    while found:  # each is given back as soon as it is placed
        _place(*found.pop(), filled, bounds, incoming)
    del filled
    union = np.empty(n * k + incoming.shape[0], np.int32)
    run_tasks(n_threads, [partial(_merge, lists, bounds, incoming, union, a, b) for a, b in spans])
    bounds += np.arange(0, (n + 1) * k, k)
    return bounds, union
