"""Leiden community detection: modularity or the constant Potts model, weights and node sizes.

Traag, Waltman and van Eck, "From Louvain to Leiden: guaranteeing well-connected communities",
Scientific Reports 9, 5233 (2019). The same bits for the same graph and seed, with any number of
threads.
Three choices differ from the paper. Nodes are visited in shuffled blocks of consecutive numbers: it
keeps a graph that is numbered along a space-filling curve in cache. The refinement joins the best
part rather than a random one of those that gain. And it begins only after a first round without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.graph import _leiden_graph
from partwise.graph._leiden_run import Level, optimise
from partwise.graph.weights import Graph, connectivities, graph_from_matrix
from partwise.results import Clustering, Neighbors
from partwise.utils.threads import resolve_threads, run_tasks

__all__ = ["canonical_labels", "leiden", "partition_quality"]

OBJECTIVES = ("modularity", "cpm")
FLAVORS = ("partwise", "igraph")


@dataclass(frozen=True)
class _Problem:
    """A graph, gamma of the objective, and the total strength by which it is divided."""

    level: Level
    gamma: float
    total: float

    @property
    def n_nodes(self) -> int:
        return self.level.n_nodes

    def quality(self, labels: npt.NDArray[np.int32]) -> float:
        """Objective of a partition, divided by the total strength."""
        if self.total == 0:
            return 0.0
        level = self.level
        value = _leiden_graph.objective_value(
            level.indptr,
            level.indices,
            level.weights,
            level.loops,
            level.sizes,
            self.gamma,
            labels,
        )
        return float(value) / self.total


def leiden(
    graph: Neighbors | Graph | Any,
    resolution: float = 1.0,
    *,
    objective: str = "modularity",
    node_sizes: npt.ArrayLike | None = None,
    n_iterations: int = 2,
    n_starts: int = 1,
    random_state: int = 0,
    n_threads: int | None = None,
    flavor: str = "partwise",
) -> Clustering:
    """Find communities of a graph with the Leiden algorithm.

    Modularity maximises the sum over communities of E_c / 2m - r (K_c / 2m)^2, with E_c the weight
    inside (both directions), K_c the summed strength and 2m the total strength; the constant Potts
    model maximises the sum of [E_c - r N_c^2] / 2m with N_c the summed node sizes.

    Parameters
    ----------
    graph
        Neighbours (joined with the default weights), a `Graph`, or a symmetric adjacency matrix,
        sparse or dense.
    resolution
        r, at least 0; higher values give more communities.
    objective
        "modularity" or "cpm".
    node_sizes
        Sizes of the nodes for "cpm", n; None takes the graph's own (how many observations each
        node stands for), else one each. Modularity takes sizes from the strengths.
    n_iterations
        Rounds at most, each starting from the partition of the one before; one that raises the
        objective by less than 1e-4 is the last. Negative: until a round changes nothing. A round
        without refinement goes before them, and does not count.
    n_starts
        Runs with different visiting orders, of which the best is kept.
    random_state
        Seed of the visiting orders, a whole number from 0.
    n_threads
        Threads among which the starts are shared, or the work of a single one; the result does not
        depend on it.
    flavor
        "partwise", or "igraph" for that library's implementation.

    Returns
    -------
    Clustering
        Connected communities, numbered by size (in observations), ties by first node.

    Raises
    ------
    UsageError
        If a parameter is out of range or weights are negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> two_triangles = np.kron(np.eye(2, dtype=int), 1 - np.eye(3, dtype=int))
    >>> leiden(two_triangles).labels.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    _check_options(resolution, objective, n_iterations, n_starts, random_state, flavor)
    if isinstance(graph, Neighbors):
        graph = connectivities(graph)
    elif not isinstance(graph, Graph):
        graph = graph_from_matrix(graph)
    problem = _make_problem(graph, resolution, objective, node_sizes)

    def run(start: int) -> tuple[float, npt.NDArray[np.int32]]:
        if flavor == "igraph":
            from partwise.graph._igraph import leiden_igraph

            found = leiden_igraph(problem, n_iterations, random_state + start)
        else:
            found = _optimise(problem, n_iterations, (random_state, start), threads)
        return problem.quality(found), found

    threads = resolve_threads(n_threads)
    starts = [partial(run, start) for start in range(n_starts)]
    results = run_tasks(1 if flavor == "igraph" else threads, starts)
    # The first of equally good runs, so that the answer does not depend on which ended first.
    quality, labels = max(results, key=lambda result: result[0])
    labels, sizes = canonical_labels(labels, graph.node_sizes)
    return Clustering(labels, sizes, quality, objective, resolution, random_state, n_iterations)


def partition_quality(
    graph: Graph,
    labels: npt.NDArray[np.integer[Any]],
    resolution: float = 1.0,
    *,
    objective: str = "modularity",
    node_sizes: npt.ArrayLike | None = None,
) -> float:
    """Value of the objective of `leiden` for any partition of a graph.

    Parameters
    ----------
    graph
        The graph.
    labels
        Community of each node, n, at least 0.
    resolution, objective, node_sizes
        As in `leiden`.

    Returns
    -------
    float
        At most 1; 0 for a graph without edges.
    """
    problem = _make_problem(graph, resolution, objective, node_sizes)
    compact = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int32)
    return problem.quality(compact)


def canonical_labels(
    labels: npt.NDArray[np.integer[Any]], multiplicity: npt.NDArray[np.integer[Any]] | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number clusters by size, ties by first member; negative labels stay apart as -1.

    Parameters
    ----------
    labels
        Cluster of each row, n, in any numbering; negative means none.
    multiplicity
        How many observations each row stands for, n; None means one each.

    Returns
    -------
    labels, sizes
        New labels, n, and observations per cluster in their order.

    Examples
    --------
    >>> import numpy as np
    >>> labels, sizes = canonical_labels(np.array([7, 3, 3, -1]))
    >>> labels.tolist(), sizes.tolist()
    ([1, 0, 0, -1], [2, 1])
    """
    member = labels >= 0
    kept = labels[member]
    if kept.size == 0:
        return np.full(labels.shape, -1, np.int32), np.empty(0, np.int64)
    compact = kept.astype(np.int64)
    # Labels are mostly small numbers: counting is linear, sorting is not.
    n_slots = int(compact.max()) + 1
    if n_slots > 4 * labels.shape[0] + 16:
        compact = np.unique(kept, return_inverse=True)[1].reshape(-1)
        n_slots = int(compact.max()) + 1
    counts = None if multiplicity is None else np.asarray(multiplicity)[member].astype(np.float64)
    size = np.bincount(compact, counts, minlength=n_slots).astype(np.int64)
    first = np.full(n_slots, labels.shape[0], np.int64)
    first[compact[::-1]] = np.arange(compact.size - 1, -1, -1)
    used = np.flatnonzero(np.bincount(compact, minlength=n_slots))
    ranked = used[np.lexsort((first[used], -size[used]))]
    rank = np.empty(n_slots, np.int32)
    rank[ranked] = np.arange(ranked.size, dtype=np.int32)
    result = np.full(labels.shape, -1, np.int32)
    result[member] = rank[compact]
    return result, size[ranked]


def _check_options(
    resolution: float,
    objective: str,
    n_iterations: int,
    n_starts: int,
    random_state: int,
    flavor: str,
) -> None:
    if not (math.isfinite(resolution) and resolution >= 0):
        raise UsageError(f"resolution must be a finite number of at least 0, not {resolution}")
    if objective not in OBJECTIVES:
        raise UsageError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
    if flavor not in FLAVORS:
        raise UsageError(f"flavor must be one of {', '.join(FLAVORS)}; got {flavor!r}")
    if n_iterations == 0:
        raise UsageError("n_iterations must be at least 1, or negative for as many as it takes")
    if n_starts < 1:
        raise UsageError(f"n_starts must be at least 1, not {n_starts}")
    if random_state < 0:
        raise UsageError(f"random_state must be at least 0, not {random_state}")


def _make_problem(
    graph: Graph, resolution: float, objective: str, node_sizes: npt.ArrayLike | None
) -> _Problem:
    n = graph.n_nodes
    loops = np.empty(0) if graph.self_weights is None else graph.self_weights
    weights = np.empty(0, np.float32) if graph.weights is None else graph.weights
    for values, what in ((weights, "edge weights"), (loops, "self-weights")):
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise UsageError(f"{what} must be finite and not negative")
    if weights.size and weights.min() == 0:
        raise UsageError("edges of weight 0 must be left out of the graph")
    if weights.size or loops.any():
        weights, loops = _quantise(weights, loops)
    strengths = _leiden_graph.strengths(graph.indptr, graph.indices, weights, loops)
    total = float(strengths.sum())
    if objective == "modularity":
        gamma = resolution / total if total > 0 else 0.0
        level = Level(graph.indptr, graph.indices, weights, loops, strengths, not weights.size)
        return _Problem(level, gamma, total)
    if node_sizes is None:
        node_sizes = np.ones(n) if graph.node_sizes is None else graph.node_sizes
    sizes = np.ascontiguousarray(node_sizes, dtype=np.float64)
    if sizes.shape != (n,) or not np.isfinite(sizes).all() or (sizes < 0).any():
        raise UsageError(f"node_sizes must be {n} finite numbers of at least 0")
    level = Level(graph.indptr, graph.indices, weights, loops, sizes, not weights.size)
    return _Problem(level, resolution, total)


def _quantise(
    weights: npt.NDArray[Any], loops: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Round weights to a multiple of a power of two so small that all sums of them are exact.

    Then sums do not depend on their order, and aggregation keeps the objective to the last bit.
    """
    total = 2.0 * float(weights.sum(dtype=np.float64)) + 4.0 * float(loops.sum())
    quantum = 2.0 ** (math.ceil(math.log2(max(total, 1e-300))) - 52)
    if weights.size:
        # Weights of less than one quantum cannot matter, but a zero weight would not be an edge.
        scaled = np.maximum(np.rint(weights.astype(np.float64) / quantum), 1.0) * quantum
        weights = scaled.astype(weights.dtype)
    # Halves of inner sums arise in aggregation: self-loops live on the same grid, halved.
    return weights, np.rint(loops / quantum) * quantum


def _optimise(
    problem: _Problem, n_iterations: int, seed: tuple[int, int], n_threads: int
) -> npt.NDArray[np.int32]:
    """Run our own Leiden, where there is anything to run it on."""
    if problem.n_nodes == 0 or problem.total == 0:
        return np.arange(problem.n_nodes, dtype=np.int32)
    return optimise(
        problem.level,
        problem.gamma,
        problem.total,
        n_iterations=n_iterations,
        seed=seed,
        n_threads=n_threads,
    )
