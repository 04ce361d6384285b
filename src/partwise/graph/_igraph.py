"""The same problem solved by igraph, as a reference and for who prefers it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from partwise.graph.leiden import _Problem

__all__ = ["leiden_igraph"]


def leiden_igraph(problem: _Problem, n_iterations: int, seed: int) -> npt.NDArray[np.int32]:
    """Run igraph's Leiden; returns the community of each node.

    igraph's own modularity leaves self-loops out of the node weights, so that modularity is put to
    it as the constant Potts model with the strengths as node weights.
    """
    import igraph

    n = problem.n_nodes
    level = problem.level
    if n == 0 or problem.total == 0:
        return np.arange(n, dtype=np.int32)
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(level.indptr))
    once = rows < level.indices
    # Buffers of int32 are read item by item; arrays would first become lists of lists.
    ends: list[Any] = [rows[once], level.indices[once]]
    pairs = zip(memoryview(ends[0]), memoryview(ends[1]), strict=True)
    graph = igraph.Graph(n, pairs)
    weights = level.weights[once].tolist() if level.weights.size else None
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden(
            objective_function="CPM",
            weights=weights,
            resolution=problem.gamma,
            node_weights=level.sizes.tolist(),
            n_iterations=n_iterations,
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int32)
