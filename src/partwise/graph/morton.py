"""Morton (Z-curve) order: rows that are close in space become close in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import jit

__all__ = ["morton_order"]

#: Interleaving more axes than this leaves each too few bits to matter.
_MAX_AXES = 8


@jit
def _morton_codes(
    X: npt.NDArray[Any],
    axes: npt.NDArray[np.int64],
    low: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    n_bits: int,
) -> npt.NDArray[np.uint64]:
    """Interleave the leading bits of the chosen columns."""
    n = X.shape[0]
    codes = np.empty(n, np.uint64)
    top = (1 << n_bits) - 1
    cell = np.empty(axes.shape[0], np.int64)
    for i in range(n):
        for a in range(axes.shape[0]):
            cell[a] = min(top, max(0, int((X[i, axes[a]] - low[a]) * scale[a])))
        code = np.uint64(0)
        for bit in range(n_bits - 1, -1, -1):
            for a in range(axes.shape[0]):
                code = (code << np.uint64(1)) | np.uint64((cell[a] >> bit) & 1)
        codes[i] = code
    return codes


def morton_order(X: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Order rows along a Z-curve through their (at most eight) most variable columns.

    Parameters
    ----------
    X
        Finite values, n x p.

    Returns
    -------
    numpy.ndarray
        Permutation of the rows; rows with the same code keep their order.

    Examples
    --------
    >>> import numpy as np
    >>> morton_order(np.array([[0.9, 0.9], [0.1, 0.1], [0.8, 0.9], [0.1, 0.2]])).tolist()
    [1, 3, 2, 0]
    """
    n, p = X.shape
    if n < 2 or p == 0:
        return np.arange(n, dtype=np.int64)
    low = X.min(axis=0).astype(np.float64)
    span = X.max(axis=0).astype(np.float64) - low
    axes = np.arange(p)
    if p > _MAX_AXES:
        axes = np.sort(np.argsort(-_variances(X), kind="stable")[:_MAX_AXES])
    axes = axes[span[axes] > 0]
    if axes.size == 0:
        return np.arange(n, dtype=np.int64)
    n_bits = min(20, 63 // int(axes.size))
    # One scale for all columns: the curve should follow distances, not ranks.
    scale = np.full(axes.size, 2.0**n_bits / span.max())
    codes = _morton_codes(X, axes, low[axes], scale, n_bits)
    return np.argsort(codes, kind="stable").astype(np.int64, copy=False)


def _variances(X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Variance of each column, in float64 without a copy of all of them."""
    blocks = [X[first : first + 2**15] for first in range(0, X.shape[0], 2**15)]
    mean = np.sum([block.sum(axis=0, dtype=np.float64) for block in blocks], axis=0) / X.shape[0]
    return np.asarray(np.sum([np.square(block - mean).sum(axis=0) for block in blocks], axis=0))
