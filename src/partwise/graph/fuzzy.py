"""Edge weights as UMAP has them, for tools that expect these in a neighbour graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.results import Neighbors

__all__ = ["fuzzy_connectivities"]

_STEPS = 64
_TOLERANCE = 1e-5
_LEAST_SHARE = 1e-3


def fuzzy_connectivities(neighbors: Neighbors) -> sp.csr_matrix:
    """Join each row with its neighbours by the weights of a fuzzy simplicial set.

    Row i is joined to its neighbour j by p_ij = exp(-max(0, d_ij - rho_i) / sigma_i), with rho_i
    the distance of its nearest neighbour (of those that are not at distance 0) and sigma_i such
    that the p_ij of a row sum to log2(k), k counting the row itself. The union of both directions
    is p + p^T - p o p^T.

    Parameters
    ----------
    neighbors
        Neighbour lists, n x (k - 1), self excluded.

    Returns
    -------
    scipy.sparse.csr_matrix
        Symmetric weights from 0 to 1, n x n, float32, no diagonal.

    Raises
    ------
    UsageError
        If there are no neighbours.

    References
    ----------
    McInnes, Healy & Melville (2018), arXiv:1802.03426, section 3.1.

    Examples
    --------
    >>> import partwise
    >>> near = partwise.neighbors(np.array([[0.0], [1.0], [3.0], [3.5]]), n_neighbors=2)
    >>> fuzzy_connectivities(near).diagonal().tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    n, k = neighbors.indices.shape
    if k < 1:
        raise UsageError("a graph needs at least one neighbour per row")
    if neighbors.distances.shape != (n, k):
        raise UsageError("these weights need distances, which the search was told not to keep")
    distances = np.asarray(neighbors.distances, np.float64)
    rho = _nearest(distances)
    strength = _memberships(distances, rho)
    pointer = np.arange(0, n * k + 1, k, dtype=np.int64)
    directed = sp.csr_matrix((strength.ravel(), neighbors.indices.ravel(), pointer), shape=(n, n))
    turned = directed.T.tocsr()
    union = (directed + turned - directed.multiply(turned)).tocsr().astype(np.float32)
    union.eliminate_zeros()
    union.sort_indices()
    return union


def _nearest(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the least distance above 0 of each row, 0 where there is none."""
    above = np.where(distances > 0, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(above), above, 0.0)


def _memberships(
    distances: npt.NDArray[np.float64], rho: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return exp(-(d - rho) / sigma), sigma by bisection for all rows at once."""
    n, k = distances.shape
    target = np.log2(k + 1)
    gaps = np.maximum(distances - rho[:, None], 0.0)
    low, high, sigma = np.zeros(n), np.full(n, np.inf), np.ones(n)
    for _ in range(_STEPS):
        total = np.exp(-gaps / sigma[:, None]).sum(axis=1)
        if np.all(np.abs(total - target) < _TOLERANCE):
            break
        large = total > target
        settled = np.abs(total - target) < _TOLERANCE
        high = np.where(large & ~settled, sigma, high)
        low = np.where(~large & ~settled, sigma, low)
        middle = np.where(np.isinf(high), 2 * sigma, (low + high) / 2)
        sigma = np.where(settled, sigma, middle)
    # a floor, so that rows whose neighbours are all equally far do not end at sigma 0
    mean_of_row = distances.sum(axis=1) / (k + 1)
    mean_of_all = distances.sum() / (n * (k + 1))
    floor = _LEAST_SHARE * np.where(rho > 0, mean_of_row, mean_of_all)
    sigma = np.maximum(sigma, np.maximum(floor, np.finfo(np.float64).tiny))
    memberships: npt.NDArray[np.float64] = np.exp(-gaps / sigma[:, None])
    return memberships
