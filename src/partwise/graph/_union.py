"""The union of neighbour lists and their reverse, in compressed rows, by several threads.

What node i lists is there already; what it lacks are the nodes that list i without being listed
back. These entries are marked by all threads, collected by one, and merged into the rows by all.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import helper, jit
from partwise.utils.threads import run_tasks

__all__ = ["contains", "union_of_lists"]

IntVector = npt.NDArray[np.int32]
LongVector = npt.NDArray[np.int64]
Lists = npt.NDArray[np.int32]

#: Rows per task.
_ROWS = 2**15


@helper
def contains(lists: Lists, row: int, value: int) -> bool:
    """Whether a row's list has a value."""
    found = False
    for j in range(lists.shape[1]):
        found = found | (lists[row, j] == value)
    return found


@jit
def _mark(lists: Lists, one_way: npt.NDArray[np.bool_], start: int, stop: int) -> None:
    """Mark the entries of some rows whose node does not list the row."""
    for i in range(start, stop):
        for j in range(lists.shape[1]):
            one_way[i, j] = not contains(lists, lists[i, j], i)


@jit
def _count(lists: Lists, one_way: npt.NDArray[np.bool_]) -> LongVector:
    """Where the nodes begin and end that list a node without being listed back."""
    n, k = lists.shape
    bounds = np.zeros(n + 1, np.int64)
    for i in range(n):
        for j in range(k):
            if one_way[i, j]:
                bounds[lists[i, j] + 1] += 1
    for i in range(n):
        bounds[i + 1] += bounds[i]
    return bounds


@jit
def _place(lists: Lists, one_way: npt.NDArray[np.bool_], bounds: LongVector) -> IntVector:
    """List them, increasing."""
    n, k = lists.shape
    incoming = np.empty(bounds[n], np.int32)
    filled = np.zeros(n, np.int32)
    for i in range(n):
        for j in range(k):
            if one_way[i, j]:
                other = lists[i, j]
                incoming[bounds[other] + filled[other]] = i
                filled[other] += 1
    return incoming


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
    one_way = np.empty((n, k), np.bool_)
    run_tasks(n_threads, [partial(_mark, lists, one_way, a, b) for a, b in spans])
    bounds = _count(lists, one_way)
    incoming = _place(lists, one_way, bounds)
    del one_way
    union = np.empty(n * k + incoming.shape[0], np.int32)
    run_tasks(n_threads, [partial(_merge, lists, bounds, incoming, union, a, b) for a, b in spans])
    for a, b in spans:
        bounds[a + 1 : b + 1] += np.arange((a + 1) * k, (b + 1) * k, k)
    return bounds, union
