"""How well one partition fits its data: separation, cuts, sizes, mixing of groups.

Each is linear in the observations, or takes a sample of fixed size. Labels below 0 belong to no
cluster and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.metrics.agreement import contingency
from partwise.utils.threads import single_thread_blas

__all__ = [
    "conductance",
    "group_entropy",
    "modularity",
    "share_in_small",
    "silhouettes",
]

FloatArray = npt.NDArray[np.float64]

#: Rows of distances that are in memory at a time.
_BLOCK = 512


def silhouettes(
    X: npt.NDArray[Any],
    partitions: Sequence[npt.ArrayLike],
    *,
    n_sample: int = 3_000,
    random_state: int = 0,
) -> FloatArray:
    """Mean silhouette width of partitions of the same observations, on a sample of these.

    With a(i) the mean distance of i to the others of its cluster and b(i) the smallest mean
    distance to another cluster, s(i) = (b(i) - a(i)) / max(a(i), b(i)), 0 in clusters of one.
    Distances are Euclidean and computed once for all partitions, some rows at a time.

    Parameters
    ----------
    X
        Coordinates, n x p.
    partitions
        Labels of the n observations, one array per partition.
    n_sample
        Observations in the sample; all if there are not more. They stand for the rest: distances
        are those within the sample.
    random_state
        Seed of the sample.

    Returns
    -------
    ndarray
        One value from -1 to 1 per partition; NaN where the sample is not in two clusters at least.

    References
    ----------
    Rousseeuw (1987), Journal of Computational and Applied Mathematics 20, 53.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> silhouettes(X, [[0, 0, 1, 1], [0, 0, 0, 0]]).round(3).tolist()
    [0.9, nan]
    """
    n = X.shape[0]
    rows = np.arange(n)
    if n > n_sample:
        drawn = np.random.default_rng(random_state).choice(n, n_sample, replace=False)
        rows = np.sort(drawn)
    points = X[rows].astype(np.float64)
    points -= points.mean(axis=0)
    parts = [_Members(np.asarray(labels)[rows]) for labels in partitions]
    parts_of = np.concatenate([part.indicator for part in parts], axis=1)
    squares = np.einsum("ij,ij->i", points, points)
    with single_thread_blas():
        for first in range(0, points.shape[0], _BLOCK):
            block = slice(first, first + _BLOCK)
            gaps = squares[block, None] + squares - 2.0 * (points[block] @ points.T)
            distances = np.sqrt(np.maximum(gaps, 0.0, out=gaps), out=gaps)
            own = np.arange(distances.shape[0])
            distances[own, first + own] = 0.0  # rounding leaves a trace there
            sums = distances @ parts_of  # to all clusters of all partitions
            last = 0
            for part in parts:
                last += part.sizes.size
                part.add(block, sums[:, last - part.sizes.size : last])
    return np.array([part.mean for part in parts])


class _Members:
    """Adds up the silhouettes of one partition."""

    def __init__(self, labels: npt.NDArray[Any]) -> None:
        used = np.flatnonzero(labels >= 0)
        found = np.unique(labels[used], return_inverse=True)[1].reshape(-1)
        self._codes = np.full(labels.shape[0], -1)
        self._codes[used] = found
        self.sizes = np.bincount(found).astype(np.float64)
        self.indicator = np.zeros((labels.shape[0], self.sizes.size))
        self.indicator[used, found] = 1.0
        self._total = 0.0

    def add(self, block: slice, sums: FloatArray) -> None:
        """Take in some rows, given the sums of their distances to each cluster."""
        codes = self._codes[block]
        keep = np.flatnonzero(codes >= 0)
        if self.sizes.size < 2 or keep.size == 0:
            return
        own, at = codes[keep], np.arange(keep.size)
        size = self.sizes[own]
        inner = sums[keep, own] / np.maximum(size - 1, 1)
        means = sums[keep] / self.sizes
        means[at, own] = np.inf
        outer = means.min(axis=1)
        scale = np.maximum(inner, outer)
        fine = (size > 1) & (scale > 0)
        width = np.divide(outer - inner, scale, out=np.zeros_like(scale), where=fine)
        self._total += float(width.sum())

    @property
    def mean(self) -> float:
        """Mean over all observations that are in a cluster."""
        if self.sizes.size < 2:
            return float("nan")
        return float(self._total / self.sizes.sum())


def modularity(inside: npt.ArrayLike, volume: npt.ArrayLike) -> float:
    """Modularity of a partition of a graph, at resolution 1.

    Q = sum over clusters of E_c / 2m - (K_c / 2m)^2, with E_c the weight of links inside (both
    directions), K_c the weight of all links at the cluster, and 2m the sum of the K_c.

    Parameters
    ----------
    inside, volume
        E_c and K_c per cluster; see `partwise.graph.row_graphs.link_sums`.

    Returns
    -------
    float
        At most 1; 0 for one cluster, and for a graph without links.

    References
    ----------
    Newman & Girvan (2004), Physical Review E 69, 026113.

    Examples
    --------
    >>> modularity([6.0, 6.0], [6.0, 6.0])
    0.5
    """
    within, total = np.asarray(inside, np.float64), np.asarray(volume, np.float64)
    twice = float(total.sum())
    if twice == 0:
        return 0.0
    return float(within.sum() / twice - np.square(total / twice).sum())


def conductance(inside: npt.ArrayLike, volume: npt.ArrayLike) -> FloatArray:
    """Share of each cluster's links that leave it.

    (K_c - E_c) / min(K_c, 2m - K_c), in the letters of `modularity`: 0 for a component of its
    own, 1 for a cluster without links inside.

    Parameters
    ----------
    inside, volume
        E_c and K_c per cluster.

    Returns
    -------
    ndarray
        One value per cluster, from 0 to 1; 0 where a cluster has no links or all of them.

    References
    ----------
    Kannan, Vempala & Vetta (2004), Journal of the ACM 51, 497.

    Examples
    --------
    >>> conductance([2.0, 4.0], [3.0, 5.0]).round(3).tolist()
    [0.333, 0.333]
    """
    within, total = np.asarray(inside, np.float64), np.asarray(volume, np.float64)
    smaller = np.minimum(total, total.sum() - total)
    leaving = np.maximum(total - within, 0.0)
    shares: FloatArray = np.divide(leaving, smaller, out=np.zeros_like(total), where=smaller > 0)
    return shares


def share_in_small(sizes: npt.ArrayLike, least: int) -> float:
    """Share of the observations that are in clusters of fewer than `least`.

    Parameters
    ----------
    sizes
        Observations per cluster.
    least
        Size from which a cluster is not small.

    Returns
    -------
    float
        From 0 to 1; 0 without clusters.

    Examples
    --------
    >>> share_in_small([90, 6, 4], 10)
    0.1
    """
    counts = np.asarray(sizes, np.int64)
    return float(counts[counts < least].sum() / max(int(counts.sum()), 1))


def group_entropy(labels: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[FloatArray, float]:
    """How evenly each cluster is spread over groups (fields of view, batches).

    H_c / H: the entropy of the groups in cluster c over that in all observations that are in
    clusters. 0: one group only; 1: mixed as all are; more where a cluster is mixed more evenly.

    Parameters
    ----------
    labels
        Cluster of each observation, n; below 0 none.
    groups
        Group of each observation, n: numbers or text.

    Returns
    -------
    per_cluster, mean
        One value per cluster in the order of the labels, and their mean by size, at most 1. Both
        are NaN where there is one group only.

    Examples
    --------
    >>> per_cluster, mean = group_entropy([0, 0, 1, 1], ["a", "b", "a", "b"])
    >>> per_cluster.round(6).tolist(), round(mean, 6)
    ([1.0, 1.0], 1.0)
    >>> group_entropy([0, 0, 1, 1], ["a", "a", "b", "b"])[1]
    0.0
    """
    clusters, names = np.asarray(labels).ravel(), np.asarray(groups).ravel()
    if clusters.shape != names.shape:
        raise UsageError(f"{clusters.size} labels and {names.size} groups do not fit")
    member = clusters >= 0
    if not member.any():
        return np.empty(0), float("nan")
    table = contingency(clusters[member], names[member]).toarray().astype(np.float64)
    sizes = table.sum(axis=1)
    overall = _entropy(table.sum(axis=0, keepdims=True))[0]
    if overall <= 0:
        return np.full(sizes.shape, np.nan), float("nan")
    share: FloatArray = _entropy(table) / overall
    return share, float(np.average(share, weights=sizes))


def _entropy(counts: FloatArray) -> FloatArray:
    """Entropy of each row of counts."""
    p = counts / counts.sum(axis=1, keepdims=True)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    found: FloatArray = np.abs(terms.sum(axis=1))
    return found
