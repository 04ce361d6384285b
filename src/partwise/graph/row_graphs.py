"""Graphs of the same rows with several numbers of neighbours, from one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit
from partwise.graph.cluster import _starts
from partwise.graph.distinct import distinct_rows
from partwise.graph.leiden import canonical_labels, leiden
from partwise.graph.morton import morton_order
from partwise.graph.neighbors import neighbors, unit_rows
from partwise.graph.repeats import neighbors_per_row, scatter_ties
from partwise.graph.resolution import REFERENCE_LENGTH, link_length
from partwise.graph.weights import Graph, connectivities
from partwise.results import Clustering

__all__ = ["RowGraph", "RowGraphs", "link_sums"]


class RowGraphs:
    """Neighbours of all rows, searched once for the largest k; smaller k are cut from the lists.

    Exact lists run from near to far with ties by index, so that the first k entries of a longer
    list are the list for k, and the graph for k is the one that `cluster_rows` builds. Where
    neighbours are searched approximately (many rows in many dimensions), the lists come from a
    wider search and are at least as good.

    Parameters
    ----------
    X
        Finite values, n x p, as for `cluster_rows`.
    n_neighbors
        All k that will be asked for.
    metric
        "euclidean", or "cosine" for directions only.
    random_state
        Seed.
    n_threads
        Threads; the lists do not depend on them.

    Examples
    --------
    >>> X = np.random.default_rng(0).random((200, 3))
    >>> graphs = RowGraphs(X, (5, 10), random_state=0)
    >>> graphs.graph(5).graph.n_edges < graphs.graph(10).graph.n_edges
    True
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        n_neighbors: Sequence[int],
        *,
        metric: str = "euclidean",
        random_state: int = 0,
        n_threads: int | None = None,
    ) -> None:
        values = np.asarray(X)
        if values.dtype != np.float32:
            values = values.astype(np.float64, copy=False)
        self._used = np.asarray(values.any(axis=1))
        kept = values if self._used.all() else values[self._used]
        found = distinct_rows(kept)
        self._inverse, self._n = found.inverse, kept.shape[0]
        self._n_distinct = found.n_distinct
        points: npt.NDArray[Any] = kept[found.rows]
        if metric == "cosine":
            points = unit_rows(points)
        if self._n_distinct < self._n:
            points = scatter_ties(points, random_state=random_state, n_threads=n_threads)
        self._order = morton_order(points)
        self._points = points[self._order]
        self._near = neighbors(
            self._points,
            max(self._listed(k) for k in n_neighbors),
            multiplicity=found.multiplicity[self._order],
            random_state=random_state,
            n_threads=n_threads,
        )

    def _listed(self, k: int) -> int:
        return int(neighbors_per_row(k, self._n, self._n_distinct))

    @property
    def n_rows(self) -> int:
        """Rows that are not zero."""
        return int(self._n)

    def graph(self, n_neighbors: int) -> RowGraph:
        """Return the graph for one of the k that were named."""
        near = self._near
        k = min(self._listed(n_neighbors), near.n_neighbors)
        if k < near.n_neighbors:
            near = replace(
                near,
                indices=np.ascontiguousarray(near.indices[:, :k]),
                distances=near.distances[:, :k],
            )
        graph = connectivities(near)
        return RowGraph(graph, link_length(graph, self._points), self)

    def lift(
        self, labels: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return labels of all rows from those of the nodes, and the sizes of the clusters.

        Clusters are numbered by size, ties by first row; rows of zeros have -1.
        """
        of_kind = np.empty(self._order.shape[0], np.int32)
        of_kind[self._order] = labels
        lifted = np.full(self._used.shape[0], -1, np.int32)
        lifted[self._used] = of_kind[self._inverse]
        return canonical_labels(lifted)

    def node_of_row(self) -> npt.NDArray[np.int64]:
        """Return the node of each row, n; -1 for rows of zeros."""
        place = np.empty(self._order.shape[0], np.int64)
        place[self._order] = np.arange(self._order.shape[0])
        nodes = np.full(self._used.shape[0], -1, np.int64)
        nodes[self._used] = place[self._inverse]
        return nodes


class RowGraph:
    """The graph for one k, with what is needed to cluster all rows by it.

    Parameters
    ----------
    graph
        Graph of the distinct rows.
    length
        Its `link_length`.
    rows
        Where it comes from.
    """

    def __init__(self, graph: Graph, length: float, rows: RowGraphs) -> None:
        self.graph = graph
        self.length = length
        self._rows = rows

    def cluster(
        self,
        resolution: float,
        *,
        random_state: int = 0,
        n_starts: int | None = None,
        n_threads: int | None = None,
    ) -> tuple[Clustering, npt.NDArray[np.int32]]:
        """Cluster all rows, as `cluster_rows` does with the same seed.

        Parameters
        ----------
        resolution
            r, in the sense of the objective "relative".
        random_state
            Seed of Leiden.
        n_starts
            Starts of which the best is kept; None: as many as `cluster_rows` takes.
        n_threads
            Threads for the starts.

        Returns
        -------
        clustering, nodes
            Clusters of all rows, and the same of the nodes of the graph.
        """
        found = leiden(
            self.graph,
            resolution * (self.length / REFERENCE_LENGTH),
            objective="modularity",
            n_iterations=2,
            n_starts=_starts(self.graph) if n_starts is None else n_starts,
            random_state=random_state,
            n_threads=n_threads,
        )
        labels, sizes = self._rows.lift(found.labels)
        return replace(found, labels=labels, sizes=sizes), found.labels


@jit
def _link_sums(
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    weights: npt.NDArray[Any],
    loops: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int32],
    n_clusters: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights inside clusters and all weights at clusters, both ends of each link counted."""
    inside = np.zeros(n_clusters)
    volume = np.zeros(n_clusters)
    for i in range(labels.shape[0]):
        own = labels[i]
        if loops.shape[0]:
            inside[own] += 2.0 * loops[i]
            volume[own] += 2.0 * loops[i]
        for e in range(indptr[i], indptr[i + 1]):
            weight = 1.0 if weights.shape[0] == 0 else np.float64(weights[e])
            volume[own] += weight
            if labels[indices[e]] == own:
                inside[own] += weight
    return inside, volume


def link_sums(
    graph: Graph, labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the weight of the links inside each cluster, and of all links at it.

    Parameters
    ----------
    graph
        A graph of n nodes.
    labels
        Cluster of each node, from 0, n.

    Returns
    -------
    inside, volume
        Per cluster; a link counts once for each of its ends, a self-loop twice.

    Examples
    --------
    >>> from partwise.graph import graph_from_matrix
    >>> path = graph_from_matrix(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    >>> inside, volume = link_sums(path, np.array([0, 0, 1], np.int32))
    >>> inside.tolist(), volume.tolist()
    ([2.0, 0.0], [3.0, 1.0])
    """
    weights = np.empty(0, np.float32) if graph.weights is None else graph.weights
    loops = np.empty(0) if graph.self_weights is None else graph.self_weights
    groups = np.ascontiguousarray(labels, dtype=np.int32)
    n_clusters = int(groups.max(initial=-1)) + 1
    return _link_sums(graph.indptr, graph.indices, weights, loops, groups, n_clusters)
