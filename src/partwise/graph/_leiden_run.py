"""The run of Leiden over the kernels: levels, iterations, and how threads share the work.

Refinement is shared by communities, aggregation by parts: neither looks at another's result, so
that the bits are those of one thread. Moving nodes is left to one thread, see
docs/decisions/027-leiden-at-scale.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph import _leiden_graph, _leiden_moves
from partwise.utils.threads import run_tasks

__all__ = ["Level", "optimise"]

#: Nodes per block of the visiting order.
_BLOCK = 2048
#: Nodes per task of refinement and aggregation.
_TASK = 16384
#: Rounds after which "until nothing improves" gives up.
_MANY = 100
#: Gain of a round, as a share of the total strength, below which no other follows.
_SETTLED = 1e-4
#: Whole numbers below it are exact in float32.
_WHOLE = 2.0**24

IntVector = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Level:
    """A graph in the kernels' terms, see `_leiden_graph`.

    `whole` says that all weights are whole numbers: sums of links of weight one.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    weights: npt.NDArray[Any]
    loops: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]
    whole: bool

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.sizes.shape[0])

    @property
    def links(self) -> tuple[Any, Any, Any]:
        """Pointer, neighbours and weights."""
        return self.indptr, self.indices, self.weights

    def move(self, gamma: float, labels: IntVector, state: npt.NDArray[np.uint64]) -> float:
        """Move single nodes until no move gains, in place; returns the gain."""
        order = _leiden_moves.node_order(self.n_nodes, _BLOCK, state)
        return float(_leiden_moves.local_move(*self.links, self.sizes, gamma, labels, order))

    def refine(
        self,
        gamma: float,
        labels: IntVector,
        n_communities: int,
        state: npt.NDArray[np.uint64],
        n_threads: int,
    ) -> tuple[IntVector, int]:
        """Return the well-connected parts of communities, and their number."""
        n = self.n_nodes
        order = _leiden_moves.node_order(n, _BLOCK, state)
        bounds, nodes = _leiden_graph.members_of(labels, n_communities, order)
        del order
        totals = _leiden_graph.group_sizes(labels, self.sizes, n_communities)
        parts = np.arange(n, dtype=np.int32)
        part_sizes, outer, links = self.sizes.copy(), np.empty(n), np.zeros(n)
        alone = np.ones(n, np.uint8)
        cut = partial(
            _leiden_moves.refine, *self.links, self.sizes, gamma, labels, totals, bounds, nodes,
            parts, part_sizes, outer, alone, links,
        )  # fmt: skip
        run_tasks(n_threads, [partial(cut, a, b) for a, b in _spans(bounds)])
        return parts, int(_leiden_graph.renumber(parts))

    def aggregate(self, parts: IntVector, n_parts: int, n_threads: int) -> Level:
        """Make each part a node."""
        bounds, nodes = _leiden_graph.members_of(parts, n_parts, np.empty(0, np.int32))
        spans = _spans(bounds)
        pointer = np.zeros(n_parts + 1, np.int64)
        count = partial(_leiden_graph.count_links, *self.links, parts, bounds, nodes, pointer)
        most = max(run_tasks(n_threads, [partial(count, a, b) for a, b in spans]), default=0.0)
        np.cumsum(pointer, out=pointer)
        small = self.whole and most < _WHOLE
        indices = np.empty(int(pointer[-1]), np.int32)
        weights = np.empty(indices.shape[0], np.float32 if small else np.float64)
        loops, sizes = np.zeros(n_parts), np.zeros(n_parts)
        join = partial(
            _leiden_graph.join_links, *self.links, self.loops, self.sizes, parts, bounds, nodes,
            pointer, indices, weights, loops, sizes,
        )  # fmt: skip
        run_tasks(n_threads, [partial(join, a, b) for a, b in spans])
        return replace(
            self, indptr=pointer, indices=indices, weights=weights, loops=loops, sizes=sizes
        )


def _spans(bounds: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut groups, given where their members begin, into ranges of about as many members."""
    starts = np.searchsorted(bounds, np.arange(0, bounds[-1], _TASK))
    edges = np.unique(np.concatenate([[0], starts, [bounds.shape[0] - 1]]))
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def optimise(
    level: Level,
    gamma: float,
    total: float,
    *,
    n_iterations: int,
    seed: tuple[int, int],
    n_threads: int,
) -> IntVector:
    """Run Leiden from the partition in single nodes.

    The first round merges whole communities, as Louvain's method does; only those after it cut
    them into well-connected parts. On large graphs of neighbours that ends higher, see
    docs/decisions/033-leiden-begins-without-refinement.md.

    Parameters
    ----------
    level
        The graph, with at least one node and link.
    gamma
        Of the objective.
    total
        Total strength.
    n_iterations
        Rounds after the first at most; negative: until one changes nothing.
    seed
        Of the visiting orders.
    n_threads
        Threads; the result does not depend on them.

    Returns
    -------
    numpy.ndarray
        Connected community of each node.
    """
    labels = np.arange(level.n_nodes, dtype=np.int32)
    state: npt.NDArray[np.uint64] = np.array(
        np.random.SeedSequence(seed).generate_state(1, np.uint64), dtype=np.uint64
    )
    settled = _SETTLED * total if n_iterations > 0 else 0.0
    labels, _ = _iterate(level, gamma, labels, state, n_threads, refined=False)
    for _ in range(n_iterations if n_iterations > 0 else _MANY):
        labels, gain = _iterate(level, gamma, labels, state, n_threads)
        if gain <= settled:
            break
    # Aggregating a community that refinement left whole can disconnect it later.
    _leiden_graph.split_components(level.indptr, level.indices, labels)
    return labels


def _iterate(
    level: Level,
    gamma: float,
    labels: IntVector,
    state: npt.NDArray[np.uint64],
    n_threads: int,
    *,
    refined: bool = True,
) -> tuple[IntVector, float]:
    """Move, refine and aggregate until nothing moves; returns the new labels and the gain."""
    node: IntVector | None = None  # of each first node; None while levels are the first
    gain = 0.0
    while True:
        gain += level.move(gamma, labels, state)
        n_communities = _leiden_graph.renumber(labels)
        if n_communities == level.n_nodes:
            return labels if node is None else labels[node], gain
        parts, n_parts = labels, n_communities
        if refined:
            parts, n_parts = level.refine(gamma, labels, n_communities, state, n_threads)
        if n_parts == level.n_nodes:
            # Nothing merged: aggregate the communities themselves, or the loop would not end.
            parts, n_parts = labels, n_communities
        community = np.empty(n_parts, dtype=np.int32)
        community[parts] = labels
        level = level.aggregate(parts, n_parts, n_threads)
        node = parts if node is None else parts[node]
        labels = community
