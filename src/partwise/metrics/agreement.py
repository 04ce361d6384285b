"""Agreement between two partitions of the same observations.

Both measures come from the table of how many observations fall into each pair of clusters, held
sparse: linear in the observations and in the pairs that occur, whatever the number of clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError

__all__ = ["adjusted_rand", "contingency", "normalized_mutual_information"]


def contingency(a: npt.ArrayLike, b: npt.ArrayLike) -> sp.csr_array:
    """Count the observations in each pair of clusters.

    Parameters
    ----------
    a, b
        Two labels for each of n observations: numbers or text.

    Returns
    -------
    scipy.sparse.csr_array
        Counts, clusters of a x clusters of b, both in sorted order of the labels.

    Raises
    ------
    UsageError
        If the lengths differ or there are no observations.

    Examples
    --------
    >>> contingency([0, 0, 1], ["x", "y", "y"]).toarray().tolist()
    [[1, 1], [0, 1]]
    """
    rows, n_rows = _codes(a)
    columns, n_columns = _codes(b)
    if rows.shape != columns.shape or rows.size == 0:
        raise UsageError(
            f"two labels are needed for each observation; got {rows.size} and {columns.size}"
        )
    pairs, counts = np.unique(rows * n_columns + columns, return_counts=True)
    table = sp.coo_array(
        (counts, (pairs // n_columns, pairs % n_columns)), shape=(n_rows, n_columns)
    )
    return table.tocsr()


def adjusted_rand(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Adjusted Rand index: agreement on pairs of observations, beyond chance.

    With S = sum over cells of C(n_ij, 2), A and B the same sums over row and column totals, and
    E = A B / C(n, 2): (S - E) / ((A + B) / 2 - E). 1 for equal partitions, 0 expected by chance.

    Parameters
    ----------
    a, b
        Two labels for each of n observations: numbers or text.

    Returns
    -------
    float
        At most 1; 1 too if both partitions are trivial in the same way.

    Raises
    ------
    UsageError
        If the lengths differ or there are no observations.

    Notes
    -----
    Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 193 (1985).

    Examples
    --------
    >>> adjusted_rand([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    table = contingency(a, b)
    n = int(table.sum())
    both = _pairs(table.data)
    in_a = _pairs(np.asarray(table.sum(axis=1)).ravel())
    in_b = _pairs(np.asarray(table.sum(axis=0)).ravel())
    every = n * (n - 1) // 2
    if in_a == in_b == both:
        return 1.0
    expected = in_a * in_b / every
    return float((both - expected) / ((in_a + in_b) / 2 - expected))


def normalized_mutual_information(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Mutual information of two partitions over the mean of their entropies.

    Parameters
    ----------
    a, b
        Two labels for each of n observations: numbers or text.

    Returns
    -------
    float
        Between 0 (independent) and 1 (equal); 1 if both have one cluster only.

    Raises
    ------
    UsageError
        If the lengths differ or there are no observations.

    Examples
    --------
    >>> round(normalized_mutual_information([0, 0, 1, 1], [1, 1, 0, 0]), 12)
    1.0
    """
    table = contingency(a, b).tocoo()
    share = table.data / table.data.sum()
    in_a = np.bincount(table.row, share).astype(np.float64)
    in_b = np.bincount(table.col, share).astype(np.float64)
    entropy_a, entropy_b = _entropy(in_a), _entropy(in_b)
    if entropy_a + entropy_b == 0:
        return 1.0
    information = float(np.sum(share * np.log(share / (in_a[table.row] * in_b[table.col]))))
    return min(1.0, max(0.0, 2 * information / (entropy_a + entropy_b)))


def _codes(labels: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], int]:
    """Number the labels 0, 1, ... in sorted order; small whole numbers without sorting."""
    values = np.asarray(labels).ravel()
    if values.size and values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * values.size + 1024:
            shifted = values.astype(np.int64) - low
            used = np.bincount(shifted) > 0
            return (np.cumsum(used) - 1)[shifted], int(used.sum())
    names, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), int(names.size)


def _pairs(counts: npt.NDArray[Any]) -> int:
    """Sum of n (n - 1) / 2 in whole numbers, which do not overflow."""
    values = counts.astype(np.int64)
    return int((values * (values - 1) // 2).sum())


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-np.sum(positive * np.log(positive)))
