"""From rows to clusters: distinct rows, neighbours, graph, Leiden, labels for all rows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from partwise.graph.distinct import distinct_rows
from partwise.graph.leiden import canonical_labels, leiden
from partwise.graph.morton import morton_order
from partwise.graph.neighbors import neighbors
from partwise.graph.weights import connectivities
from partwise.results import Clustering
from partwise.utils.progress import Progress, silent

__all__ = ["RowClustering", "cluster_rows"]


@dataclass(frozen=True)
class RowClustering:
    """Clusters of all rows, and how they were found.

    Attributes
    ----------
    clustering
        Label of each row; -1 for rows without any usage, which have no neighbours to speak of.
    method, recall, n_neighbors
        How neighbours were found, the share of true ones among them, and how many per distinct row.
    n_distinct, n_isolated, n_edges
        Distinct rows that were clustered, rows labelled -1, edges of the graph.
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
    timings: dict[str, float] = field(default_factory=dict)


def cluster_rows(
    X: npt.ArrayLike,
    *,
    n_neighbors: int = 15,
    resolution: float = 0.1,
    metric: str = "euclidean",
    weights: str = "spread",
    objective: str = "modularity",
    n_iterations: int = 2,
    random_state: int = 0,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> RowClustering:
    """Cluster rows by Leiden on the neighbour graph of the distinct rows."""
    progress = progress or silent()
    timings: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        timings[stage] = now - clock
        clock = now

    values = np.asarray(X)
    if values.dtype != np.float32:
        values = values.astype(np.float64, copy=False)
    used = values.any(axis=1)
    n_isolated = int(values.shape[0] - np.count_nonzero(used))
    kept = values if n_isolated == 0 else values[used]
    found = distinct_rows(kept)
    points = kept[found.rows]
    order = morton_order(points)
    multiplicity = found.multiplicity[order]
    lap("distinct rows")
    near = neighbors(
        points[order],
        n_neighbors,
        metric=metric,
        multiplicity=multiplicity,
        random_state=random_state,
        n_threads=n_threads,
    )
    lap("neighbours")
    graph = connectivities(near, weights=weights)
    lap("graph")
    partition = leiden(
        graph,
        resolution,
        objective=objective,
        n_iterations=n_iterations,
        random_state=random_state,
    )
    kind_labels = np.empty(found.n_distinct, np.int32)
    kind_labels[order] = partition.labels
    labels = np.full(values.shape[0], -1, np.int32)
    labels[used] = kind_labels[found.inverse]
    labels, sizes = canonical_labels(labels)
    lap("leiden")
    clustering = Clustering(
        labels, sizes, partition.quality, objective, resolution, random_state, n_iterations
    )
    return RowClustering(
        clustering,
        near.method,
        near.recall,
        near.n_neighbors,
        found.n_distinct,
        n_isolated,
        graph.n_edges,
        timings,
    )
