"""How coarse a graph is, and a resolution that means the same on all of them.

Cut a cloud of points in two: the share of a neighbour graph's links that cross the cut grows with
their length. On a graph with long links (few observations, many neighbours, a coarse lattice)
each cut costs modularity more, and a resolution that gives five clusters on a million cells gives
one on ten thousand. With l the mean length of a link in units of the data's spread, modularity is

    1 - l * (surface of the clusters) - r * (sum of squared volumes),

so that the partition that maximises it stays the same if r grows in proportion to l.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit
from partwise.graph.weights import Graph
from partwise.utils.threads import resolve_threads, run_tasks

__all__ = ["REFERENCE_LENGTH", "link_length"]

#: Where relative and plain resolution agree: links of a fifteenth of the spread.
REFERENCE_LENGTH = 1 / 15

#: Nodes per task.
_ROWS = 2**15


@jit
def _total_length(
    X: npt.NDArray[Any],
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    weights: npt.NDArray[Any],
    start: int,
    stop: int,
) -> tuple[float, float]:
    """Sums of weight x length and of weight over the links of some nodes."""
    total = 0.0
    mass = 0.0
    for i in range(start, stop):
        for e in range(indptr[i], indptr[i + 1]):
            square = 0.0
            for d in range(X.shape[1]):
                gap = np.float64(X[indices[e], d]) - np.float64(X[i, d])
                square += gap * gap
            weight = 1.0 if weights.shape[0] == 0 else np.float64(weights[e])
            total += weight * np.sqrt(square)
            mass += weight
    return total, mass


def link_length(graph: Graph, X: npt.NDArray[Any], *, n_threads: int | None = None) -> float:
    """Mean length of a graph's links, relative to the spread of its observations.

    With weights W_uv, self-weights (length 0) and m_u observations at row x_u, mean x:

        l = sum W_uv |x_u - x_v| / total weight / sqrt(2 sum m_u |x_u - x|^2 / sum m_u);

    the root is the root mean squared distance between two random observations.

    Parameters
    ----------
    graph
        A graph of n nodes.
    X
        Their coordinates, n x p.
    n_threads
        Threads; the result does not depend on them.

    Returns
    -------
    float
        About the n-th part to the power 1/p of a neighbourhood; 0 without links or spread.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.graph import graph_from_matrix
    >>> pair = graph_from_matrix(np.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> round(link_length(pair, np.array([[0.0], [3.0]])), 6)
    1.414214
    """
    values = np.ascontiguousarray(X)
    variance = _variance(values, graph.node_sizes)
    weights = np.empty(0, np.float32) if graph.weights is None else graph.weights
    sums = partial(_total_length, values, graph.indptr, graph.indices, weights)
    tasks = [partial(sums, a, b) for a, b in _spans(graph.n_nodes)]
    parts = run_tasks(resolve_threads(n_threads), tasks)
    total, mass = (float(sum(column)) for column in zip((0.0, 0.0), *parts, strict=True))
    if graph.self_weights is not None:
        mass += 2.0 * float(graph.self_weights.sum())
    return float(total / mass / np.sqrt(2.0 * variance)) if mass > 0 and variance > 0 else 0.0


def _spans(n: int) -> list[tuple[int, int]]:
    """Cut n nodes into ranges that depend on nothing else, so that sums do not either."""
    return [(first, min(n, first + _ROWS)) for first in range(0, n, _ROWS)]


def _variance(X: npt.NDArray[Any], sizes: npt.NDArray[Any] | None) -> float:
    """Mean squared distance of the observations from their mean; rows are taken in turns."""
    n = X.shape[0]
    share = np.ones(n) if sizes is None else sizes
    total = float(share.sum())
    if total == 0:
        return 0.0
    blocks = [slice(a, b) for a, b in _spans(n)]
    mean = np.sum([share[rows] @ X[rows].astype(np.float64) for rows in blocks], axis=0) / total
    squares = [share[rows] @ np.square(X[rows] - mean).sum(axis=1) for rows in blocks]
    return float(sum(squares)) / total
