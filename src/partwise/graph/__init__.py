"""Neighbours, graphs, communities, and pictures of them."""

from __future__ import annotations

from partwise.graph.assign import Assignment, assign_labels
from partwise.graph.cluster import RowClustering, cluster_rows
from partwise.graph.distinct import DistinctRows, distinct_rows
from partwise.graph.leiden import canonical_labels, leiden, partition_quality
from partwise.graph.morton import morton_order
from partwise.graph.neighbors import neighbors
from partwise.graph.representation import clustering_space
from partwise.graph.resolution import link_length
from partwise.graph.spatial import (
    NeighborhoodTable,
    expected_neighbors,
    neighborhood_table,
    typical_radius,
)
from partwise.graph.weights import Graph, connectivities, graph_from_matrix

__all__ = [
    "Assignment",
    "DistinctRows",
    "Graph",
    "NeighborhoodTable",
    "RowClustering",
    "assign_labels",
    "canonical_labels",
    "cluster_rows",
    "clustering_space",
    "connectivities",
    "distinct_rows",
    "expected_neighbors",
    "graph_from_matrix",
    "leiden",
    "link_length",
    "morton_order",
    "neighborhood_table",
    "neighbors",
    "partition_quality",
    "typical_radius",
]
