"""From rows to clusters: distinct rows, neighbours, graph, Leiden, labels for all rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.graph.distinct import DistinctRows, distinct_rows
from partwise.graph.leiden import canonical_labels, leiden
from partwise.graph.morton import morton_order
from partwise.graph.neighbors import METRICS, neighbors, unit_rows
from partwise.graph.repeats import neighbors_per_row, scatter_ties
from partwise.graph.resolution import REFERENCE_LENGTH, link_length
from partwise.graph.weights import Graph, connectivities
from partwise.results import Clustering
from partwise.utils.progress import Progress, silent

__all__ = ["RowClustering", "cluster_rows"]

OBJECTIVES = ("relative", "modularity", "cpm")

#: Leiden is run from several starts and the best kept, as long as they visit at most so many links.
_START_LINKS = 10_000_000
_MOST_STARTS = 10


@dataclass(frozen=True)
class RowClustering:
    """Clusters of all rows, and how they were found.

    Attributes
    ----------
    clustering
        Label of each row; -1 for rows of zeros. Its `resolution` is the one that Leiden was run
        with, in the graph's own terms.
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
    """Cluster rows: Leiden on the neighbour graph of the distinct rows.

    Rows that are equal are one node with a multiplicity, so they get one label; nodes are joined
    with their nearest neighbours (more of them where rows repeat, see `repeats`), edges weighted,
    communities found and lifted back to all rows. Choices and defaults are those measured in
    docs/decisions/015-clusters-of-rows.md.

    Parameters
    ----------
    X
        Finite values, n x p: usage in `clustering_space`, or features. Rows of zeros have no
        neighbourhood; they are left out and labelled -1.
    n_neighbors
        k, neighbours per row.
    resolution
        r, at least 0; higher values give more clusters.
    metric
        "euclidean", or "cosine" for directions only.
    weights
        Edge weights, see `connectivities`.
    objective
        "relative": modularity at r l / (1/15), where l is the length of the graph's links relative
        to the spread of the rows (`link_length`); a given r then means the same for few and many
        rows, neighbours and features, and for tables of counts. "modularity" and "cpm": r as it
        is, see `leiden`.
    n_iterations
        Iterations of Leiden, see `leiden`.
    random_state
        Seed. Small graphs are clustered from up to ten starts, of which the best is kept.
    n_threads
        Threads; the result does not depend on them.
    progress
        Told of the stages.

    Returns
    -------
    RowClustering
        Labels of all n rows, numbered by size, ties by first row; and how they were found.

    Raises
    ------
    UsageError
        If a parameter is unknown or out of range.
    DataError
        If a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1, 9], [1.1, 9], [1, 9.1], [9, 1], [9.1, 1], [9, 1.1], [0, 0]])
    >>> cluster_rows(X, n_neighbors=2).clustering.labels.tolist()
    [0, 0, 0, 1, 1, 1, -1]
    """
    values = _checked(X, objective)
    progress = progress or silent()
    clock = _Clock(progress)
    with clock.stage("distinct rows"):
        used = np.asarray(values.any(axis=1))
        kept = values if used.all() else values[used]
        found: DistinctRows | None = distinct_rows(kept)
        assert found is not None
        n_kept, n_distinct = kept.shape[0], found.n_distinct
        if n_distinct < n_kept:
            kept = kept[found.rows]
        points = _points(kept, found, metric, random_state, n_threads)
        if n_distinct == n_kept:
            found = None  # rows are their own kinds: nothing to remember
        del kept
        order = morton_order(points)
        points = points[order]
    with clock.stage("neighbours"):
        near = neighbors(
            points,
            neighbors_per_row(n_neighbors, n_kept, n_distinct),
            multiplicity=None if found is None else found.multiplicity[order],
            random_state=random_state,
            n_threads=n_threads,
            distances=False,
        )
    with clock.stage("graph"):
        graph = connectivities(near, weights=weights, n_threads=n_threads)
        method, recall, n_listed = near.method, near.recall, near.n_neighbors
        del near  # the largest arrays of all; the graph has what is needed
        length = link_length(graph, points, n_threads=n_threads)
        del points
    with clock.stage("communities"):
        scale = length / REFERENCE_LENGTH if objective == "relative" else 1.0
        partition = leiden(
            graph,
            resolution * scale,
            objective="cpm" if objective == "cpm" else "modularity",
            n_iterations=n_iterations,
            n_starts=_starts(graph),
            random_state=random_state,
            n_threads=n_threads,
        )
        n_edges = graph.n_edges
        del graph
        labels, sizes = _lift(partition.labels, order, found, used)
    return RowClustering(
        clustering=replace(partition, labels=labels, sizes=sizes),
        method=method,
        recall=recall,
        n_neighbors=n_listed,
        n_distinct=n_distinct,
        n_isolated=int(used.shape[0] - np.count_nonzero(used)),
        n_edges=n_edges,
        link_length=length,
        timings=clock.times,
    )


def _checked(X: npt.ArrayLike, objective: str) -> npt.NDArray[Any]:
    if objective not in OBJECTIVES:
        raise UsageError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
    values = np.asarray(X)
    if values.dtype != np.float32:
        values = values.astype(np.float64, copy=False)
    if values.ndim != 2:
        raise UsageError(f"clusters are those of the rows of a table; got shape {values.shape}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"value {values[row, column]} in row {row + 1}, column {column + 1}")
    return values


def _points(
    rows: npt.NDArray[Any],
    found: DistinctRows,
    metric: str,
    random_state: int,
    n_threads: int | None,
) -> npt.NDArray[Any]:
    """Coordinates of the distinct rows, ties scattered if rows repeat."""
    if metric not in METRICS:
        raise UsageError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    points = unit_rows(rows) if metric == "cosine" else rows
    if found.n_distinct < found.inverse.shape[0]:
        return scatter_ties(points, random_state=random_state, n_threads=n_threads)
    return points


def _lift(
    labels: npt.NDArray[np.int32],
    order: npt.NDArray[np.int64],
    found: DistinctRows | None,
    used: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """From labels of the ordered distinct rows to labels of all rows, numbered by size.

    No `found` means that no row repeats.
    """
    of_kind = np.empty(order.shape[0], np.int32)
    of_kind[order] = labels
    lifted = np.full(used.shape[0], -1, np.int32)
    lifted[used] = of_kind if found is None else of_kind[found.inverse]
    return canonical_labels(lifted)


def _starts(graph: Graph) -> int:
    """More starts where they cost little, judged by the size of the graph alone."""
    return max(1, min(_MOST_STARTS, _START_LINKS // max(1, 2 * graph.n_edges)))


class _Clock:
    """Tell of stages and keep their seconds."""

    def __init__(self, progress: Progress) -> None:
        self.times: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        with self._progress.stage(name):
            yield
        self.times[name] = time.perf_counter() - start
