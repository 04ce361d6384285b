"""From rows to clusters: distinct rows, neighbours, graph, Leiden, labels for all rows."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from partwise.graph.distinct import distinct_rows
from partwise.graph.leiden import canonical_labels, leiden
from partwise.graph.morton import morton_order
from partwise.graph.neighbors import neighbors, unit_rows
from partwise.graph.repeats import neighbors_per_row, scatter_ties
from partwise.graph.resolution import REFERENCE_LENGTH, link_length
from partwise.graph.weights import Graph, connectivities
from partwise.results import Clustering
from partwise.utils.progress import Progress, silent

__all__ = ["RowClustering", "cluster_rows"]

#: Leiden is run from several starts and the best kept, as long as they visit at most so many links.
_START_LINKS = 10_000_000
_MOST_STARTS = 10


@dataclass(frozen=True)
class RowClustering:
    """Clusters of all rows, and how they were found.

    Attributes
    ----------
    clustering
        Label of each row; -1 for rows without any usage, which have no neighbours to speak of.
        Its resolution is in the graph's own terms.
    method, recall, n_neighbors
        How neighbours were found, the share of true ones among them, and how many per distinct row.
    n_distinct, n_isolated, n_edges
        Distinct rows that were clustered, rows labelled -1, edges of the graph.
    link_length
        Mean length of the graph's links over the spread of the rows.
    timings
        Seconds by stage.
    """

    clustering: Clustering
    method: str
    recall: float
    n_neighbors: int
    n_distinct: int
    n_isolated: int
    n_edges: int
    link_length: float
    timings: dict[str, float] = field(default_factory=dict)


def cluster_rows(
    X: npt.ArrayLike,
    *,
    n_neighbors: int = 15,
    resolution: float = 0.1,
    metric: str = "euclidean",
    weights: str = "spread",
    objective: str = "relative",
    n_iterations: int = 2,
    random_state: int = 0,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> RowClustering:
    """Cluster rows by Leiden on the neighbour graph of the distinct rows."""
    progress = progress or silent()
    clock = _Clock()
    values = np.asarray(X)
    if values.dtype != np.float32:
        values = values.astype(np.float64, copy=False)
    used = values.any(axis=1)
    n_isolated = int(values.shape[0] - np.count_nonzero(used))
    kept = values if n_isolated == 0 else values[used]
    found = distinct_rows(kept)
    points = kept[found.rows]
    if metric == "cosine":
        points = unit_rows(points)
    n, m = kept.shape[0], found.n_distinct
    if m < n:
        points = scatter_ties(points, random_state=random_state, n_threads=n_threads)
    order = morton_order(points)
    points = points[order]
    clock.lap("distinct rows")
    near = neighbors(
        points,
        neighbors_per_row(n_neighbors, n, m),
        multiplicity=found.multiplicity[order],
        random_state=random_state,
        n_threads=n_threads,
    )
    clock.lap("neighbours")
    graph = connectivities(near, weights=weights)
    length = link_length(graph, points)
    clock.lap("graph")
    plain = resolution
    if objective == "relative":
        plain = resolution * length / REFERENCE_LENGTH
    partition = leiden(
        graph,
        plain,
        objective="modularity" if objective == "relative" else objective,
        n_iterations=n_iterations,
        n_starts=_starts(graph),
        random_state=random_state,
        n_threads=n_threads,
    )
    kind_labels = np.empty(m, np.int32)
    kind_labels[order] = partition.labels
    labels = np.full(values.shape[0], -1, np.int32)
    labels[used] = kind_labels[found.inverse]
    labels, sizes = canonical_labels(labels)
    clock.lap("leiden")
    clustering = dataclasses.replace(partition, labels=labels, sizes=sizes)
    return RowClustering(
        clustering,
        near.method,
        near.recall,
        near.n_neighbors,
        m,
        n_isolated,
        graph.n_edges,
        length,
        clock.times,
    )


def _starts(graph: Graph) -> int:
    """More starts where they cost little, judged by the size of the graph alone."""
    return max(1, min(_MOST_STARTS, _START_LINKS // max(1, 2 * graph.n_edges)))


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.times[stage] = now - self._last
        self._last = now
