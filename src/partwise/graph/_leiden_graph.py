"""Graphs as Leiden sees them: the objective, aggregation and connected pieces.

With links counted from both ends, the objective of a partition is

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
