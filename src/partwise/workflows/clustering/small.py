"""What becomes of clusters that are too small to be believed or named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.graph.leiden import canonical_labels
from partwise.graph.neighbors import unit_rows
from partwise.workflows.clustering.extra_options import least_cells

if TYPE_CHECKING:
    from partwise.results import Clustering
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["SMALL_LABEL", "SmallClusters", "settle_small"]

#: Label of cells whose cluster is too small; -1 is that of isolated cells.
SMALL_LABEL = -2
_ROWS = 4096


@dataclass(frozen=True)
class SmallClusters:
    """What became of small clusters.

    Attributes
    ----------
    least
        Cells that a cluster must have.
    action
        "reassign" or "mark".
    moves
        One row per small cluster and goal: the small cluster by its rank among all clusters that
        were found (`small_cluster`, 0 the largest), the cluster that its cells are in now
        (`cluster`, -2 if they are marked), and how many (`n_cells`).
    none_large
        Whether no cluster was large enough, and so nothing was done.
    """

    least: int
    action: str
    moves: pd.DataFrame
    none_large: bool = False

    @property
    def n_clusters(self) -> int:
        """Small clusters."""
        return int(self.moves["small_cluster"].nunique())

    @property
    def n_cells(self) -> int:
        """Cells in them."""
        return int(self.moves["n_cells"].sum())

    @property
    def n_marked(self) -> int:
        """Cells that have the label -2 now."""
        return self.n_cells if self.action == "mark" else 0

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        if self.none_large:
            return (
                f"no cluster has the {self.least:,} cells that min_cluster_size asks for: all were "
                "left as they are"
            )
        if not self.n_clusters:
            return f"all clusters have the {self.least:,} cells that min_cluster_size asks for"
        what = "cluster has" if self.n_clusters == 1 else "clusters have"
        done = (
            "are marked: leiden_cluster is -2"
            if self.action == "mark"
            else "went to the nearest of the other clusters"
        )
        return (
            f"{self.n_clusters:,} {what} fewer than {self.least:,} cells; their {self.n_cells:,} "
            f"cells {done}"
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "min_cluster_size": self.least,
            "action": self.action,
            "n_small_clusters": self.n_clusters,
            "n_cells": self.n_cells,
            "none_large_enough": self.none_large,
        }


def settle_small(
    space: npt.NDArray[np.floating[Any]],
    clustering: Clustering,
    options: ClusterOptions,
    *,
    n_cells: int | None = None,
) -> tuple[Clustering, SmallClusters | None]:
    """Reassign or mark the cells of small clusters, if that is asked for.

    A cell goes to the cluster whose centroid is nearest in the space in which cells were clustered
    (Euclidean; for the metric cosine between rows of length one). Centroids are those of the
    clusters that are large enough, as they were found.

    Parameters
    ----------
    space
        Coordinates in which the cells were clustered, n x r.
    clustering
        What was found.
    options
        Their `min_cluster_size`, `small` and `metric`.
    n_cells
        Cells of the table that the n are a sample of: the size is scaled to the sample.

    Returns
    -------
    clustering
        Labels numbered by size again; -1 stays isolated. Its quality is that of the partition that
        was found.
    small
        What happened; None if nothing was asked for.
    """
    if options.min_cluster_size is None:
        return clustering, None
    labels, n = clustering.labels, clustering.labels.shape[0]
    least = least_cells(options.min_cluster_size, n_cells or n)
    if n_cells is not None:
        least = max(1, round(least * n / n_cells))
    n_large = int(np.count_nonzero(clustering.sizes >= least))  # they come first: sorted by size
    if n_large == clustering.n_clusters or n_large == 0:
        none = _moves(np.empty(0, np.int32), np.empty(0, np.int32))
        return clustering, SmallClusters(least, options.small, none, n_large == 0 < n)
    cells = np.flatnonzero(labels >= n_large)
    settled = labels.copy()
    if options.small == "mark":
        settled[cells] = SMALL_LABEL
        moves = _moves(labels[cells], settled[cells])
        done = replace(clustering, labels=settled, sizes=clustering.sizes[:n_large])
        return done, SmallClusters(least, "mark", moves)
    points = unit_rows(space) if options.metric == "cosine" else space
    settled[cells] = _nearest(points[cells], _centroids(points, labels, n_large))
    settled, sizes = canonical_labels(settled)
    moves = _moves(labels[cells], settled[cells])
    return replace(clustering, labels=settled, sizes=sizes), SmallClusters(least, "reassign", moves)


def _centroids(
    points: npt.NDArray[Any], labels: npt.NDArray[np.int32], n_clusters: int
) -> npt.NDArray[np.float64]:
    """Return the mean of each of the first clusters, clusters x r."""
    shifted = np.where((labels >= 0) & (labels < n_clusters), labels, n_clusters)
    counts = np.bincount(shifted, minlength=n_clusters + 1)[:n_clusters]
    sums = [np.bincount(shifted, axis, minlength=n_clusters + 1)[:n_clusters] for axis in points.T]
    means: npt.NDArray[np.float64] = np.stack(sums, axis=1) / counts[:, None]
    return means


def _nearest(points: npt.NDArray[Any], centroids: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the nearest centroid of each point, ties to the first."""
    found = np.empty(points.shape[0], np.int64)
    for first in range(0, points.shape[0], _ROWS):
        rows = points[first : first + _ROWS].astype(np.float64)
        gaps = np.zeros((rows.shape[0], centroids.shape[0]))
        for axis in range(rows.shape[1]):  # term by term: equal cells stay together
            gaps += np.square(rows[:, axis, None] - centroids[None, :, axis])
        found[first : first + _ROWS] = gaps.argmin(axis=1)
    return found


def _moves(before: npt.NDArray[np.int32], after: npt.NDArray[np.int32]) -> pd.DataFrame:
    frame = pd.DataFrame({"small_cluster": before, "cluster": after})
    counted = frame.groupby(["small_cluster", "cluster"]).size().rename("n_cells")
    return counted.reset_index()
