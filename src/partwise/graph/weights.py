"""From neighbour lists to a symmetric weighted graph in compressed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.graph._jit import jit
from partwise.graph._union import contains, union_of_lists
from partwise.results import Neighbors
from partwise.utils.threads import resolve_threads

__all__ = ["Graph", "connectivities", "graph_from_matrix"]

#: Names of the edge weights, in the order of the kernel's codes.
WEIGHTS = ("spread", "unweighted", "jaccard")


@dataclass(frozen=True)
class Graph:
    """An undirected graph: each edge stands in the rows of both its ends, self-loops apart.

    Attributes
    ----------
    indptr, indices
        Neighbours of node i: ``indices[indptr[i]:indptr[i + 1]]``, increasing, without i.
    weights
        Positive weights in the order of `indices`; None means one each.
    self_weights
        Weight of each node's self-loop, counted once; None means zero.
    node_sizes
        How many observations each node stands for; None means one each.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    weights: npt.NDArray[np.floating[Any]] | None = None
    self_weights: npt.NDArray[np.float64] | None = None
    node_sizes: npt.NDArray[np.int64] | None = None

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.indptr.shape[0]) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges between different nodes."""
        return int(self.indices.shape[0]) // 2

    def to_scipy(self) -> sp.csr_matrix:
        """Return the adjacency matrix without self-loops."""
        n = self.n_nodes
        values = (
            np.ones(self.indices.shape[0], np.float32) if self.weights is None else self.weights
        )
        return sp.csr_matrix((values, self.indices, self.indptr), shape=(n, n))


@jit
def _spread_masses(
    indices: npt.NDArray[np.int32], multiplicity: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Observations over which each one of a node spreads its links: its copies and neighbours."""
    n, k = indices.shape
    mass = np.empty(n)
    for i in range(n):
        total = multiplicity[i] - 1
        for j in range(k):
            total += multiplicity[indices[i, j]]
        mass[i] = total
    return mass


@jit
def _spread_weights(
    indices: npt.NDArray[np.int32],
    pointer: npt.NDArray[np.int64],
    union: npt.NDArray[np.int32],
    multiplicity: npt.NDArray[np.int64],
    mass: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Weights between the observations of two nodes: each spreads k links over its mass."""
    n, k = indices.shape
    result = np.empty(union.shape[0], np.float32)
    for i in range(n):
        for e in range(pointer[i], pointer[i + 1]):
            j = union[e]
            share = 0.0
            if contains(indices, i, j):
                share = k / mass[i]
            if contains(indices, j, i):
                share = max(share, k / mass[j])
            result[e] = share * multiplicity[i] * multiplicity[j]
    return result


@jit
def _jaccard_weights(
    indices: npt.NDArray[np.int32],
    pointer: npt.NDArray[np.int64],
    union: npt.NDArray[np.int32],
    multiplicity: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Shared over joint neighbours, each node counted as its own neighbour, by multiplicity."""
    n, k = indices.shape
    result = np.empty(union.shape[0], np.float32)
    mark = np.full(n, -1, np.int32)
    for i in range(n):
        mark[i] = i
        own = multiplicity[i]
        for t in range(k):
            mark[indices[i, t]] = i
            own += multiplicity[indices[i, t]]
        for e in range(pointer[i], pointer[i + 1]):
            j = union[e]
            shared = multiplicity[j] if mark[j] == i else 0
            other = multiplicity[j]
            for t in range(k):
                m = multiplicity[indices[j, t]]
                other += m
                if mark[indices[j, t]] == i:
                    shared += m
            result[e] = shared / (own + other - shared)
    return result


def connectivities(
    neighbors: Neighbors, *, weights: str = "spread", n_threads: int | None = None
) -> Graph:
    """Join each row with its neighbours and weight the edges.

    The graph is the union of the neighbour lists: an edge if either end lists the other. Where
    rows stand for several observations (m_u copies of row u), the graph is the exact quotient of a
    graph of all observations, in which two observations of rows u and v are joined with b_uv:

        W_uv = m_u m_v b_uv,   self-weight m_u (m_u - 1) / 2 b_uu.

    Parameters
    ----------
    neighbors
        Neighbour lists, n x k.
    weights
        "spread": each observation spreads k links evenly over all observations of its
        neighbouring rows and its own copies, M_u = m_u - 1 + sum of its neighbours' m of them:
        b_uv = max(k / M_u if u lists v, k / M_v if v lists u), b_uu = k / M_u. Without
        repeated rows this is the plain graph with weight one. "unweighted": one per edge between
        rows, whatever they stand for. "jaccard": shared over joint neighbours.
    n_threads
        Threads; the result does not depend on them.

    Returns
    -------
    Graph
        Symmetric graph in compressed rows.

    Raises
    ------
    UsageError
        If the weights have an unknown name.
    """
    if weights not in WEIGHTS:
        raise UsageError(f"weights must be one of {', '.join(WEIGHTS)}; got {weights!r}")
    indices = np.ascontiguousarray(neighbors.indices)
    n, k = indices.shape
    multiplicity = neighbors.multiplicity
    repeated = multiplicity is not None and n > 0 and int(multiplicity.max()) > 1
    if k == 0:
        pointer = np.zeros(n + 1, np.int64)
        union = np.empty(0, np.int32)
    else:
        pointer, union = union_of_lists(indices, resolve_threads(n_threads))
    sizes = multiplicity if repeated else None
    if weights == "jaccard":
        counts = multiplicity if multiplicity is not None else np.ones(n, np.int64)
        values = _jaccard_weights(indices, pointer, union, counts)
        return Graph(pointer, union, values, None, sizes)
    if weights == "unweighted" or not repeated or multiplicity is None:
        return Graph(pointer, union, None, None, sizes)
    mass = _spread_masses(indices, multiplicity)
    values = _spread_weights(indices, pointer, union, multiplicity, mass)
    m = multiplicity.astype(np.float64)
    loops = np.where(mass > 0, k * m * (m - 1) / (2 * np.maximum(mass, 1)), 0.0)
    return Graph(pointer, union, values, loops, sizes)


def graph_from_matrix(matrix: Any) -> Graph:
    """Take a symmetric adjacency matrix as a graph; its diagonal gives the self-loops.

    Parameters
    ----------
    matrix
        Square scipy sparse or dense matrix of non-negative weights, n x n. A diagonal entry is
        the self-loop's weight counted once.

    Returns
    -------
    Graph
        The same graph in this room's form.

    Raises
    ------
    UsageError
        If the matrix is not square, not symmetric, or has negative or non-finite weights.
    """
    csr = sp.csr_matrix(matrix)
    if csr.shape[0] != csr.shape[1]:
        raise UsageError(f"an adjacency matrix must be square; got {csr.shape[0]} x {csr.shape[1]}")
    if not np.isfinite(csr.data).all() or (csr.data < 0).any():
        raise UsageError("edge weights must be finite and not negative")
    if (csr != csr.T).nnz:
        raise UsageError("an adjacency matrix must be symmetric: add its transpose first")
    loops = csr.diagonal().astype(np.float64)
    csr = csr.copy().astype(np.float64)
    csr.setdiag(0)
    csr.eliminate_zeros()
    csr.sort_indices()
    weights = None if (csr.data == 1).all() else csr.data
    return Graph(
        csr.indptr.astype(np.int64),
        csr.indices.astype(np.int32),
        weights,
        loops if loops.any() else None,
    )
