"""The two steps of Leiden that change a partition: moving single nodes, and refining communities.

For the objective and the meaning of `gamma` and `sizes` see `_leiden_graph`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import helper, inline, jit
from partwise.graph._leiden_graph import FloatVector, IntVector, LongVector
from partwise.kernels._jit import ZERO

__all__ = ["local_move", "node_order", "refine"]

#: Gains below this share of a node's links are rounding errors, not improvements.
_TINY = 1e-12


@helper
def _next_random(state: npt.NDArray[np.uint64]) -> Any:
    """Advance a splitmix64 generator."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@helper
def _shuffle(values: npt.NDArray[Any], start: int, stop: int, state: Any) -> None:
    """Put values[start:stop] in random order."""
    for i in range(stop - 1, start, -1):
        j = start + np.int64(_next_random(state) % np.uint64(i - start + 1))
        values[i], values[j] = values[j], values[i]


@jit
def node_order(n: int, block: int, state: npt.NDArray[np.uint64]) -> IntVector:
    """Visit blocks of consecutive nodes in random order, and the nodes of a block in random order.

    Where neighbours in number are neighbours in the graph, a block stays in cache. Inside a block
    the order has to be random: a community that is visited from end to end grows like a snowball,
    and the partition is worse.
    """
    n_blocks = (n + block - 1) // block
    blocks = np.arange(n_blocks)
    _shuffle(blocks, ZERO, n_blocks, state)
    order = np.empty(n, np.int32)
    filled = ZERO
    for b in blocks:
        start = filled
        for i in range(int(b) * block, min(n, (int(b) + 1) * block)):
            order[filled] = i
            filled += 1
        _shuffle(order, start, filled, state)
    return order


@inline
def _largest_degree(indptr: LongVector) -> int:
    """Most links of any node."""
    most = 0
    for i in range(indptr.shape[0] - 1):
        most = max(most, indptr[i + 1] - indptr[i])
    return most


@inline
def _gather(
    node: Any,
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    groups: IntVector,
    links: FloatVector,
    touched: IntVector,
) -> int:
    """Add up the links of a node by group of the other end; lists the groups, counts them.

    `links` is zero before and is zeroed again by who reads it.
    """
    count = 0
    for e in range(indptr[node], indptr[node + 1]):
        group = groups[indices[e]]
        if links[group] == 0.0:
            touched[count] = group
            count += 1
        links[group] += 1.0 if weights.shape[0] == 0 else weights[e]
    return count


@helper
def _occupancy(
    labels: IntVector, sizes: FloatVector
) -> tuple[FloatVector, IntVector, IntVector, int]:
    """Total size and members of each community, the empty ones, and how many these are."""
    n = labels.shape[0]
    totals = np.zeros(n)
    members = np.zeros(n, np.int32)
    for i in range(n):
        totals[labels[i]] += sizes[i]
        members[labels[i]] += 1
    empty = np.empty(n, np.int32)
    n_empty = 0
    for c in range(n - 1, -1, -1):
        if members[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    return totals, members, empty, n_empty


@inline
def _reassign(
    node: Any,
    size: float,
    target: int,
    labels: IntVector,
    totals: FloatVector,
    members: IntVector,
    empty: IntVector,
    n_empty: int,
) -> int:
    """Move a node to another community; returns the number of empty communities."""
    home = labels[node]
    if members[target] == 0:
        n_empty -= 1  # only the last of the list is ever filled
    totals[home] -= size
    members[home] -= 1
    if members[home] == 0:
        totals[home] = 0.0
        empty[n_empty] = home
        n_empty += 1
    totals[target] += size
    members[target] += 1
    labels[node] = target
    return n_empty


@inline
def _call_back(
    node: Any,
    indptr: LongVector,
    indices: IntVector,
    labels: IntVector,
    waiting: npt.NDArray[np.uint8],
    queue: IntVector,
    head: int,
    length: int,
) -> int:
    """Queue the neighbours that are not in the node's community; returns the queue's length."""
    n = queue.shape[0]
    for e in range(indptr[node], indptr[node + 1]):
        other = indices[e]
        if waiting[other] == 0 and labels[other] != labels[node]:
            waiting[other] = 1
            tail = head + length
            queue[tail if tail < n else tail - n] = other
            length += 1
    return length


@inline
def _best_community(
    home: int,
    size: float,
    gamma: float,
    links: FloatVector,
    touched: IntVector,
    n_touched: int,
    totals: FloatVector,
) -> tuple[int, float, float]:
    """Return the best neighbour community, its gain and that of staying; clears the links."""
    weight = gamma * size
    stay = links[home] - weight * (totals[home] - size)
    best = stay
    target = home
    reach = 0.0
    for t in range(n_touched):
        c = touched[t]
        reach += links[c]
        if c != home:
            gain = links[c] - weight * totals[c]
            if gain > best or (gain == best and target != home and c < target):
                best = gain
                target = c
        links[c] = 0.0
    if best <= stay + _TINY * reach:
        target = home
        best = stay
    return target, best, stay


@jit
def local_move(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    sizes: FloatVector,
    gamma: float,
    labels: IntVector,
    order: IntVector,
) -> float:
    """Move single nodes between communities, in place; returns the gain of the objective.

    Nodes wait in a queue, at first all of them in the given order; a move calls back the
    neighbours that stayed behind. It ends when nobody waits. The order is used up as the queue.
    """
    n = indptr.shape[0] - 1
    totals, members, empty, n_empty = _occupancy(labels, sizes)
    queue = order
    waiting = np.ones(n, np.uint8)
    head, length = 0, n
    links = np.zeros(n)
    touched = np.empty(_largest_degree(indptr), np.int32)
    total_gain = 0.0
    while length > 0:
        node = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        waiting[node] = 0
        home = labels[node]
        count = _gather(node, indptr, indices, weights, labels, links, touched)
        target, gain, stay = _best_community(
            home, sizes[node], gamma, links, touched, count, totals
        )
        if gain < 0.0 and members[home] > 1:
            # Better alone than anywhere else.
            target, gain = empty[n_empty - 1], 0.0
        if target != home:
            total_gain += 2.0 * (gain - stay)
            n_empty = _reassign(node, sizes[node], target, labels, totals, members, empty, n_empty)
            length = _call_back(node, indptr, indices, labels, waiting, queue, head, length)
    return total_gain


@inline
def _inner_links(
    node: Any,
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    labels: IntVector,
) -> float:
    """Weight from a node to the rest of its community."""
    result = 0.0
    for e in range(indptr[node], indptr[node + 1]):
        if labels[indices[e]] == labels[node]:
            result += 1.0 if weights.shape[0] == 0 else weights[e]
    return result


@inline
def _best_part(
    size: float,
    gamma: float,
    total: float,
    links: FloatVector,
    touched: IntVector,
    n_touched: int,
    outer: FloatVector,
    part_sizes: FloatVector,
) -> int:
    """Return the well-connected part whose merger with a node gains most, or -1."""
    best = 0.0
    target = -1
    for t in range(n_touched):
        s = touched[t]
        if outer[s] >= gamma * part_sizes[s] * (total - part_sizes[s]):
            gain = links[s] - gamma * size * part_sizes[s]
            if gain > best or (gain == best and target >= 0 and s < target):
                best = gain
                target = s
    return target


@jit
def refine(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    sizes: FloatVector,
    gamma: float,
    labels: IntVector,
    totals: FloatVector,
    bounds: LongVector,
    nodes: IntVector,
    parts: IntVector,
    part_sizes: FloatVector,
    outer: FloatVector,
    alone: npt.NDArray[np.uint8],
    links: FloatVector,
    first: int,
    last: int,
) -> None:
    """Cut communities first..last into well-connected parts, in place.

    Every node starts alone (`parts` are numbers of nodes, `part_sizes` their sizes, `alone` one,
    `links` zero). A node that is still alone and well connected to its community joins the
    well-connected part of that community that gains most. Communities do not see each other.
    """
    degree = 0
    for t in range(bounds[first], bounds[last]):
        i = nodes[t]
        outer[i] = _inner_links(i, indptr, indices, weights, labels)
        degree = max(degree, indptr[i + 1] - indptr[i])
    touched = np.empty(degree, np.int32)
    for t in range(bounds[first], bounds[last]):
        i = nodes[t]
        total = totals[labels[i]]
        if alone[i] == 0 or outer[i] < gamma * sizes[i] * (total - sizes[i]):
            continue
        count = 0
        for e in range(indptr[i], indptr[i + 1]):
            if labels[indices[e]] == labels[i]:
                s = parts[indices[e]]
                if links[s] == 0.0:
                    touched[count] = s
                    count += 1
                links[s] += 1.0 if weights.shape[0] == 0 else weights[e]
        s = _best_part(sizes[i], gamma, total, links, touched, count, outer, part_sizes)
        if s >= 0:
            outer[s] += outer[i] - 2.0 * links[s]
            part_sizes[s] += sizes[i]
            parts[i] = s
            alone[i] = 0
            alone[s] = 0
        for j in range(count):
            links[touched[j]] = 0.0
