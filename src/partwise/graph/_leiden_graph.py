"""Graphs as Leiden sees them: the objective, aggregation and connected pieces.

With links counted from both ends, the objective of a partition is

    sum over communities c of  [ E_c - gamma K_c^2 ],

where E_c is the weight inside c (each edge twice, each self-loop twice) and K_c the sum of the
nodes' sizes: strengths and gamma = resolution / (total strength) for modularity, node sizes and
gamma = resolution for the constant Potts model. An empty weight array means weight one everywhere,
an empty array of loops none.

Kernels with `first` and `last` do a range of groups, so that several threads can share the work: a
group's result depends on nothing but the group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit

__all__ = [
    "count_links",
    "group_sizes",
    "join_links",
    "members_of",
    "objective_value",
    "renumber",
    "split_components",
    "strengths",
]

IntVector = npt.NDArray[np.int32]
LongVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]


@jit
def strengths(
    indptr: LongVector, indices: IntVector, weights: npt.NDArray[Any], loops: FloatVector
) -> FloatVector:
    """Sum the weights at each node; a self-loop counts twice."""
    n = indptr.shape[0] - 1
    result = np.zeros(n)
    for i in range(n):
        if loops.shape[0] > 0:
            result[i] = 2.0 * loops[i]
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
        if loops.shape[0] > 0:
            inside += 2.0 * loops[i]
        for e in range(indptr[i], indptr[i + 1]):
            if labels[indices[e]] == labels[i]:
                inside += 1.0 if weights.shape[0] == 0 else weights[e]
    penalty = 0.0
    for c in range(n):
        penalty += totals[c] * totals[c]
    return inside - gamma * penalty


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
def group_sizes(labels: IntVector, sizes: FloatVector, n_groups: int) -> FloatVector:
    """Summed size of each group."""
    totals = np.zeros(n_groups)
    for i in range(labels.shape[0]):
        totals[labels[i]] += sizes[i]
    return totals


@jit
def members_of(labels: IntVector, n_groups: int, order: IntVector) -> tuple[LongVector, IntVector]:
    """List the nodes of each group, in the given order, or increasing if it is empty."""
    n = labels.shape[0]
    bounds = np.zeros(n_groups + 1, np.int64)
    for c in labels:
        bounds[c + 1] += 1
    for c in range(n_groups):
        bounds[c + 1] += bounds[c]
    filled = np.zeros(n_groups, np.int32)
    nodes = np.empty(n, np.int32)
    for t in range(n):
        i = t if order.shape[0] == 0 else order[t]
        c = labels[i]
        nodes[bounds[c] + filled[c]] = i
        filled[c] += 1
    return bounds, nodes


@jit
def count_links(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    parts: IntVector,
    bounds: LongVector,
    nodes: IntVector,
    pointer: LongVector,
    first: int,
    last: int,
) -> float:
    """Write how many parts some parts are linked with; returns the largest weight of all links."""
    seen = np.full(bounds.shape[0] - 1, -1, np.int32)
    most = 0.0
    for s in range(first, last):
        count = 0
        weight = 0.0
        for t in range(bounds[s], bounds[s + 1]):
            i = nodes[t]
            for e in range(indptr[i], indptr[i + 1]):
                other = parts[indices[e]]
                if other != s:
                    weight += 1.0 if weights.shape[0] == 0 else weights[e]
                    if seen[other] != s:
                        seen[other] = s
                        count += 1
        pointer[s + 1] = count
        most = max(most, weight)
    return most


@jit
def join_links(
    indptr: LongVector,
    indices: IntVector,
    weights: npt.NDArray[Any],
    loops: FloatVector,
    sizes: FloatVector,
    parts: IntVector,
    bounds: LongVector,
    nodes: IntVector,
    pointer: LongVector,
    new_indices: IntVector,
    new_weights: npt.NDArray[Any],
    new_loops: FloatVector,
    new_sizes: FloatVector,
    first: int,
    last: int,
) -> None:
    """Make some parts nodes: sums the links between parts, turns those inside into a self-loop."""
    place = np.full(bounds.shape[0] - 1, -1, np.int64)
    for s in range(first, last):
        filled = pointer[s]
        inside = 0.0
        for t in range(bounds[s], bounds[s + 1]):
            i = nodes[t]
            new_sizes[s] += sizes[i]
            if loops.shape[0] > 0:
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
    for i in range(n):
        labels[i] = fresh[i]
    return count
