"""Nearest neighbours by comparing with every row: exact, and fast where BLAS is.

Matrix products give squared distances up to rounding. They only rule rows out: whatever could be
among the nearest within the error bound of the product is measured again coordinate by coordinate,
so that the answer is the same, bit for bit, as that of the kd-tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit
from partwise.graph._lists import offer

__all__ = ["nearest_of"]

#: Rows of a tile of products and its columns: a tile stays in cache.
_TILE_COLUMNS = 2048


@jit
def _scan_tile(
    products: npt.NDArray[Any],
    squares: npt.NDArray[Any],
    first: int,
    query_squares: npt.NDArray[Any],
    slack: npt.NDArray[Any],
    X: npt.NDArray[Any],
    queries: npt.NDArray[np.int64],
    nearest: npt.NDArray[Any],
    found: npt.NDArray[np.int32],
) -> None:
    """Offer the rows of one tile that may be close enough to each query."""
    last = nearest.shape[1] - 1
    for i in range(products.shape[0]):
        row = queries[i]
        # |y|^2 - 2 x.y has to be below this for y to be a candidate; the products hold -2 x.y.
        bound = nearest[i, last] + slack[i] - query_squares[i]
        for j in range(products.shape[1]):
            if squares[first + j] + products[i, j] <= bound:
                other = first + j
                if other == row:
                    continue
                total = X[row, 0] - X[row, 0]
                for d in range(X.shape[1]):
                    gap = X[other, d] - X[row, d]
                    total += gap * gap
                offer(nearest[i], found[i], total, other)
                bound = nearest[i, last] + slack[i] - query_squares[i]


def nearest_of(
    X: npt.NDArray[Any],
    centred: npt.NDArray[Any],
    squares: npt.NDArray[Any],
    queries: npt.NDArray[np.int64],
    n_neighbors: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Find the nearest other rows of some rows.

    Parameters
    ----------
    X
        Rows, n x p, C-contiguous.
    centred
        The same minus their mean: products of small numbers have small errors.
    squares
        Squared length of each centred row, n.
    queries
        Which rows to search for, q.
    n_neighbors
        At most n - 1.

    Returns
    -------
    indices, distances
        q x n_neighbors.
    """
    n, p = X.shape
    nearest = np.full((queries.shape[0], n_neighbors), np.inf, dtype=X.dtype)
    found = np.full((queries.shape[0], n_neighbors), np.iinfo(np.int32).max, dtype=np.int32)
    points = -2 * centred[queries]
    own = squares[queries]
    # Products, norms and the final sums are off by at most this share of the norms.
    slack = X.dtype.type((4 * p + 32) * np.finfo(X.dtype).eps) * (own + squares.max())
    for first in range(0, n, _TILE_COLUMNS):
        products = points @ centred[first : first + _TILE_COLUMNS].T
        _scan_tile(products, squares, first, own, slack, X, queries, nearest, found)
    return found, np.sqrt(nearest).astype(np.float32)
