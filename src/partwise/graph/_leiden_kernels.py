"""The four steps of Leiden on plain arrays: move, refine, aggregate, split.

All work in the units of edge weight. With links counted from both ends, the objective of a
partition is

    sum over communities c of  [ E_c - gamma K_c^2 ],

where E_c is the weight inside c (each edge twice, each self-loop twice) and K_c the sum of the
nodes' sizes: strengths and gamma = resolution / (total strength) for modularity, node sizes and
gamma = resolution for the constant Potts model. An empty weight array means weight one everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit

__all__ = [
    "aggregate",
    "local_move",
    "node_order",
    "objective_value",
    "refine",
    "renumber",
    "split_components",
    "strengths",
]

IntVector = npt.NDArray[np.int32]
LongVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

#: Gains below this share of a node's links are rounding errors, not improvements.
_TINY = 1e-12


@jit
def strengths(
    indptr: LongVector, indices: IntVector, weights: npt.NDArray[Any], loops: FloatVector
) -> FloatVector:
    """Sum the weights at each node; a self-loop counts twice."""
    n = indptr.shape[0] - 1
    result = 2.0 * loops
    for i in range(n):
        if weights.shape[0] == 0:
            result[i] += indptr[i + 1] - indptr[i]
        else:
            for e in range(indptr[i], indptr[i + 1]):
                result[i] += weights[e]
    return result


@jit
def objective_value(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    loops: FloatVector,
    sizes: FloatVector,
    gamma: float,
    labels: IntVector,
) -> float:
    """Compute the objective of a partition from scratch; labels are below the number of nodes."""
    n = indptr.shape[0] - 1
    inside = 0.0
    totals = np.zeros(n)
    for i in range(n):
        totals[labels[i]] += sizes[i]
        inside += 2.0 * loops[i]
        for e in range(indptr[i], indptr[i + 1]):
            if labels[indices[e]] == labels[i]:
                inside += 1.0 if weights.shape[0] == 0 else weights[e]
    penalty = 0.0
    for c in range(n):
        penalty += totals[c] * totals[c]
    return inside - gamma * penalty


@jit
def _next_random(state: npt.NDArray[np.uint64]) -> Any:
    """Advance a splitmix64 generator."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
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
    _shuffle(blocks, 0, n_blocks, state)
    order = np.empty(n, np.int32)
    filled = 0
    for b in blocks:
        start = filled
        for i in range(int(b) * block, min(n, (int(b) + 1) * block)):
            order[filled] = i
            filled += 1
        _shuffle(order, start, filled, state)
    return order


@jit
def renumber(labels: IntVector) -> int:
    """Number the labels 0, 1, ... by first appearance, in place; returns how many there are."""
    fresh = np.full(labels.shape[0], -1, np.int32)
    count = 0
    for i in range(labels.shape[0]):
        c = labels[i]
        if fresh[c] < 0:
            fresh[c] = count
            count += 1
        labels[i] = fresh[c]
    return count


@jit
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
    """Move single nodes until none gains, in place; returns the gain of the objective.

    Nodes wait in a queue, at first all of them in the given order; a move calls back the
    neighbours that stayed behind.
    """
    n = indptr.shape[0] - 1
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
    queue = order.copy()
    waiting = np.ones(n, np.uint8)
    head = 0
    length = n
    links = np.zeros(n)
    touched = np.empty(n, np.int32)
    total_gain = 0.0
    while length > 0:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        waiting[i] = 0
        home = labels[i]
        n_touched = 0
        for e in range(indptr[i], indptr[i + 1]):
            c = labels[indices[e]]
            if links[c] == 0.0:
                touched[n_touched] = c
                n_touched += 1
            links[c] += 1.0 if weights.shape[0] == 0 else weights[e]
        target, gain, stay = _best_community(
            home, sizes[i], gamma, links, touched, n_touched, totals
        )
        if gain < 0.0 and members[home] > 1:
            # Better alone than anywhere else.
            target = empty[n_empty - 1]
            gain = 0.0
        if target == home:
            continue
        total_gain += 2.0 * (gain - stay)
        if members[target] == 0:
            n_empty -= 1
        totals[home] -= sizes[i]
        members[home] -= 1
        if members[home] == 0:
            totals[home] = 0.0
            empty[n_empty] = home
            n_empty += 1
        totals[target] += sizes[i]
        members[target] += 1
        labels[i] = target
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if waiting[j] == 0 and labels[j] != target:
                waiting[j] = 1
                tail = head + length
                queue[tail if tail < n else tail - n] = j
                length += 1
    return total_gain


@jit
def _inner_links(
    indptr: LongVector, indices: IntVector, weights: npt.NDArray[Any], labels: IntVector
) -> FloatVector:
    """Weight from each node to the rest of its community."""
    n = indptr.shape[0] - 1
    result = np.zeros(n)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            if labels[indices[e]] == labels[i]:
                result[i] += 1.0 if weights.shape[0] == 0 else weights[e]
    return result


@jit
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
    n_communities: int,
    order: IntVector,
) -> IntVector:
    """Cut each community into well-connected parts; returns the part of each node.

    Every node starts alone. A node that is still alone and well connected to its community joins
    the well-connected part of that community that gains most.
    """
    n = indptr.shape[0] - 1
    community_sizes = np.zeros(n_communities)
    for i in range(n):
        community_sizes[labels[i]] += sizes[i]
    outer = _inner_links(indptr, indices, weights, labels)
    parts = np.arange(n).astype(np.int32)
    part_sizes = sizes.copy()
    alone = np.ones(n, np.uint8)
    links = np.zeros(n)
    touched = np.empty(n, np.int32)
    for i in order:
        c = labels[i]
        total = community_sizes[c]
        if alone[i] == 0 or outer[i] < gamma * sizes[i] * (total - sizes[i]):
            continue
        n_touched = 0
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if labels[j] == c:
                s = parts[j]
                if links[s] == 0.0:
                    touched[n_touched] = s
                    n_touched += 1
                links[s] += 1.0 if weights.shape[0] == 0 else weights[e]
        s = _best_part(sizes[i], gamma, total, links, touched, n_touched, outer, part_sizes)
        if s >= 0:
            outer[s] += outer[i] - 2.0 * links[s]
            part_sizes[s] += sizes[i]
            parts[i] = s
            alone[i] = 0
            alone[s] = 0
        for t in range(n_touched):
            links[touched[t]] = 0.0
    return parts


@jit
def _members(parts: IntVector, n_parts: int) -> tuple[LongVector, IntVector]:
    """List the nodes of each part: bounds and nodes."""
    bounds = np.zeros(n_parts + 1, np.int64)
    for s in parts:
        bounds[s + 1] += 1
    for s in range(n_parts):
        bounds[s + 1] += bounds[s]
    position = bounds[:-1].copy()
    nodes = np.empty(parts.shape[0], np.int32)
    for i in range(parts.shape[0]):
        nodes[position[parts[i]]] = i
        position[parts[i]] += 1
    return bounds, nodes


@jit
def _count_links(
    indptr: LongVector,
    indices: IntVector,
    parts: IntVector,
    bounds: LongVector,
    nodes: IntVector,
) -> LongVector:
    """Row pointer of the graph between parts."""
    n_parts = bounds.shape[0] - 1
    seen = np.full(n_parts, -1, np.int32)
    pointer = np.zeros(n_parts + 1, np.int64)
    for s in range(n_parts):
        count = 0
        for t in range(bounds[s], bounds[s + 1]):
            i = nodes[t]
            for e in range(indptr[i], indptr[i + 1]):
                other = parts[indices[e]]
                if other != s and seen[other] != s:
                    seen[other] = s
                    count += 1
        pointer[s + 1] = pointer[s] + count
    return pointer


@jit
def aggregate(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    loops: FloatVector,
    sizes: FloatVector,
    parts: IntVector,
    n_parts: int,
) -> tuple[LongVector, IntVector, FloatVector, FloatVector, FloatVector]:
    """Make each part a node: indptr, indices, weights, self-loops and sizes of the new graph."""
    bounds, nodes = _members(parts, n_parts)
    pointer = _count_links(indptr, indices, parts, bounds, nodes)
    new_indices = np.empty(pointer[n_parts], np.int32)
    new_weights = np.empty(pointer[n_parts], np.float64)
    new_loops = np.zeros(n_parts)
    new_sizes = np.zeros(n_parts)
    place = np.full(n_parts, -1, np.int64)
    for s in range(n_parts):
        filled = pointer[s]
        inside = 0.0
        for t in range(bounds[s], bounds[s + 1]):
            i = nodes[t]
            new_sizes[s] += sizes[i]
            new_loops[s] += loops[i]
            for e in range(indptr[i], indptr[i + 1]):
                other = parts[indices[e]]
                weight = 1.0 if weights.shape[0] == 0 else np.float64(weights[e])
                if other == s:
                    inside += weight
                elif place[other] >= pointer[s]:
                    new_weights[place[other]] += weight
                else:
                    place[other] = filled
                    new_indices[filled] = other
                    new_weights[filled] = weight
                    filled += 1
        new_loops[s] += 0.5 * inside
    return pointer, new_indices, new_weights, new_loops, new_sizes


@jit
def split_components(indptr: LongVector, indices: IntVector, labels: IntVector) -> int:
    """Give each connected piece of a community its own label, in place; returns their number."""
    n = indptr.shape[0] - 1
    fresh = np.full(n, -1, np.int32)
    stack = np.empty(n, np.int32)
    count = 0
    for root in range(n):
        if fresh[root] >= 0:
            continue
        fresh[root] = count
        stack[0] = root
        depth = 1
        while depth > 0:
            depth -= 1
            i = stack[depth]
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if fresh[j] < 0 and labels[j] == labels[i]:
                    fresh[j] = count
                    stack[depth] = j
                    depth += 1
        count += 1
    labels[:] = fresh
    return count
