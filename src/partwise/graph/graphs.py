"""Neighbour lists as the two matrices that other tools read."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.graph.fuzzy import fuzzy_connectivities
from partwise.graph.weights import connectivities
from partwise.results import Neighbors

__all__ = ["distance_matrix", "neighbor_weights"]

WEIGHTS = ("umap", "unweighted", "jaccard")


def distance_matrix(neighbors: Neighbors) -> sp.csr_matrix:
    """Return the distances of neighbour lists as compressed rows, in the order of the lists.

    Parameters
    ----------
    neighbors
        Lists, n x k, self excluded; a cosine distance becomes 1 - cos.

    Returns
    -------
    scipy.sparse.csr_matrix
        n x n, float64, k stored entries per row, zeros among them stored.

    Raises
    ------
    UsageError
        If the distances were not kept.
    """
    n, k = neighbors.indices.shape
    if neighbors.distances.shape != (n, k):
        raise UsageError("the search was told not to keep the distances")
    distances = neighbors.distances.astype(np.float64)
    if neighbors.metric == "cosine":
        distances = np.square(distances) / 2  # between rows of length one
    pointer = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, np.int64)
    return sp.csr_matrix((distances.ravel(), neighbors.indices.ravel(), pointer), shape=(n, n))


def neighbor_weights(neighbors: Neighbors, *, weights: str = "umap") -> sp.csr_matrix:
    """Return the symmetric weighted graph of neighbour lists.

    Parameters
    ----------
    neighbors
        Lists, n x k, self excluded.
    weights
        "umap", "unweighted" or "jaccard"; see `fuzzy_connectivities` and `connectivities`.

    Returns
    -------
    scipy.sparse.csr_matrix
        n x n, float32.

    Raises
    ------
    UsageError
        If the weights have an unknown name.
    """
    if weights not in WEIGHTS:
        raise UsageError(f"weights must be one of {', '.join(WEIGHTS)}; got {weights!r}")
    if weights == "umap":
        return fuzzy_connectivities(neighbors)
    return connectivities(neighbors, weights=weights).to_scipy()
