"""Stability of clusters: replicates of the whole way to them, beside data without clusters.

A replicate changes all that is arbitrary: which cells were measured, the start of the
factorization, how ties of neighbours fall, where Leiden starts. Partitions of two replicates are
compared on the cells that both have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.factorize import NMF
from partwise.graph import clustering_space
from partwise.graph.row_graphs import RowGraphs
from partwise.metrics import adjusted_rand
from partwise.utils.threads import single_thread_blas

__all__ = [
    "NullCurve",
    "Replicate",
    "co_clustering",
    "draw_rows",
    "null_curve",
    "pairwise_agreement",
    "replicate_labels",
]

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]

#: Share of the cells in a replicate, and how many at most.
SHARE, MOST_CELLS = 0.8, 50_000
#: Clouds without clusters for each number of programs: so many cells in all, but from 2 to 8.
_NULL_CELLS, _FEWEST_CLOUDS, _MOST_CLOUDS = 20_000, 2, 8
#: Resolutions at which they are cut.
_NULL_STEPS = 8
#: The resolutions of these samples reach so far beyond the grid, to meet its numbers of clusters.
_NULL_BELOW, _NULL_ABOVE = 6.0, 1.6
#: What a seed is for.
_CELLS, _SEEDS, _NULL = 11, 12, 13


@dataclass(frozen=True)
class Replicate:
    """Which cells a replicate has, and its seeds.

    Attributes
    ----------
    rows
        Sorted numbers of its cells, m.
    fit_seed, graph_seed
        Seeds of the factorization, and of graph and Leiden.
    """

    rows: npt.NDArray[np.int64]
    fit_seed: int
    graph_seed: int


def draw_rows(n: int, replicate: int, seed: int) -> Replicate:
    """Draw the cells and the seeds of a replicate.

    Parameters
    ----------
    n
        Cells in all.
    replicate
        Its number.
    seed
        Seed of the run.

    Returns
    -------
    Replicate
        Four fifths of the cells, at most 50,000.

    Examples
    --------
    >>> draw_rows(10, 0, 42).rows.shape
    (8,)
    """
    m = max(2, min(round(SHARE * n), MOST_CELLS))
    rng = np.random.default_rng([seed, _CELLS, replicate])
    rows = np.sort(rng.choice(n, size=min(m, n), replace=False)).astype(np.int64)
    fit, graph = np.random.SeedSequence([seed, _SEEDS, replicate]).generate_state(2)
    return Replicate(rows, int(fit), int(graph))


def replicate_labels(
    X: Any,
    replicate: Replicate,
    n_components: int,
    n_neighbors: Sequence[int],
    resolutions: Sequence[float],
) -> npt.NDArray[np.int32]:
    """Cluster the cells of a replicate with one n and every k and r.

    Leiden has one start: a partition that the data ask for is found from any.

    Parameters
    ----------
    X
        All cells, n x p.
    replicate
        Which of them, and the seeds.
    n_components, n_neighbors, resolutions
        n, every k, every r.

    Returns
    -------
    ndarray, number of k x number of r x m
        Labels; -1 for cells without neighbourhood.
    """
    model = NMF(n_components, random_state=replicate.fit_seed, n_threads=1)
    usage = model.fit_transform(X[replicate.rows])
    space = clustering_space(usage, model.components_)
    return _partitions(space, n_neighbors, resolutions, replicate.graph_seed)


def _partitions(
    space: npt.NDArray[Any], ks: Sequence[int], rs: Sequence[float], seed: int
) -> npt.NDArray[np.int32]:
    """Cluster points with every k and r, from one start each."""
    graphs = RowGraphs(space, ks, random_state=seed, n_threads=1)
    labels = np.empty((len(ks), len(rs), space.shape[0]), np.int32)
    for i, k in enumerate(ks):
        graph = graphs.graph(k)
        for j, r in enumerate(rs):
            found, _ = graph.cluster(r, random_state=seed, n_starts=1, n_threads=1)
            labels[i, j] = found.labels
    return labels


def pairwise_agreement(
    rows: Sequence[npt.NDArray[np.int64]], labels: Sequence[npt.NDArray[Any]]
) -> FloatArray:
    """Adjusted Rand index of every two replicates on the cells that both have.

    Parameters
    ----------
    rows
        Sorted numbers of the cells of each of R replicates.
    labels
        Their labels, points x m; -1 for cells that belong to no cluster, which are left out.

    Returns
    -------
    ndarray, points x R x R
        Symmetric, 1 on the diagonal; NaN where two replicates share fewer than two cells. 0 where
        either has all cells in one cluster or each in its own: that they agree says nothing.

    References
    ----------
    Hubert & Arabie (1985), Journal of Classification 2, 193.

    Examples
    --------
    >>> rows = [np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4])]
    >>> labels = [np.array([[0, 0, 1, 1]]), np.array([[1, 0, 0, 0]])]
    >>> pairwise_agreement(rows, labels)[0, 0, 1].item()
    1.0
    """
    count, points = len(rows), labels[0].shape[0]
    agreement = np.full((points, count, count), np.nan)
    agreement[:, range(count), range(count)] = 1.0
    for a in range(count):
        for b in range(a):
            _, in_a, in_b = np.intersect1d(
                rows[a], rows[b], assume_unique=True, return_indices=True
            )
            for point in range(points):
                one, two = labels[a][point, in_a], labels[b][point, in_b]
                found = _agreement(one, two)
                agreement[point, a, b] = agreement[point, b, a] = found
    return agreement


def _agreement(one: Labels, two: Labels) -> float:
    """Adjusted Rand index of cells that both place; a trivial partition agrees with nothing."""
    both = (one >= 0) & (two >= 0)
    one, two = one[both], two[both]
    if one.size < 2:
        return float("nan")
    if _is_trivial(one) or _is_trivial(two):
        return 0.0
    return adjusted_rand(one, two)


def _is_trivial(labels: Labels) -> bool:
    """Whether all cells are together, or each is alone."""
    counts = np.bincount(labels)
    return bool(np.count_nonzero(counts) in (1, labels.size))


@dataclass(frozen=True)
class NullCurve:
    """What data without clusters reach, by number of clusters.

    Attributes
    ----------
    n_clusters
        Mean number of clusters at each step, ascending.
    ari
        Mean adjusted Rand index of pairs of samples.
    """

    n_clusters: FloatArray
    ari: FloatArray

    def at(self, n_clusters: float) -> float:
        """Return the index at a number of clusters, between steps by its logarithm."""
        if not self.n_clusters.size or n_clusters < 2:
            return float("nan")
        return float(np.interp(np.log(n_clusters), np.log(self.n_clusters), self.ari))


def null_curve(
    space: npt.NDArray[Any],
    n_neighbors: Sequence[int],
    resolutions: Sequence[float],
    *,
    seed: int,
) -> NullCurve:
    """Stability of partitions of data without clusters, by number of clusters.

    One normal distribution with the covariance of the cells has no clusters, but Leiden cuts it
    into as many as the resolution asks for, and cuts across its long axes are found again. The
    stability of such cuts is what a partition of the cells must exceed.

    Parameters
    ----------
    space
        Coordinates in which cells are clustered, n x p.
    n_neighbors, resolutions
        Every k and r of the grid.
    seed
        Seed of the run.

    Returns
    -------
    NullCurve
        The mean over the smallest and the largest k, which differ by less than samples do.

    References
    ----------
    Lange, Roth, Braun & Buhmann (2004), Neural Computation 16, 1299: stability relative to that of
    random partitions. Tibshirani, Walther & Hastie (2001), JRSS B 63, 411: a reference
    distribution without clusters.
    """
    # as many cells and as much in common as replicates have: both make cuts more stable
    pair = [draw_rows(space.shape[0], sample, seed) for sample in range(2)]
    ks = sorted({min(n_neighbors), max(n_neighbors)})
    low, high = min(resolutions) / _NULL_BELOW, max(resolutions) * _NULL_ABOVE
    steps = np.geomspace(low, high, _NULL_STEPS).tolist()
    count = _NULL_CELLS // pair[0].rows.size
    rng = np.random.default_rng([seed, _NULL])
    found = []
    for _ in range(max(_FEWEST_CLOUDS, min(count, _MOST_CLOUDS))):
        cloud = _without_clusters(space, rng)
        labels = [_partitions(cloud[one.rows], ks, steps, one.graph_seed) for one in pair]
        found.append(
            [_cuts([one.rows for one in pair], [x[i] for x in labels]) for i in range(len(ks))]
        )
    counts, ari = np.array(found).transpose(2, 1, 3, 0)
    return _mean_curve([_curve(*both) for both in zip(counts, ari, strict=True)])


def _cuts(
    rows: list[npt.NDArray[np.int64]], labels: list[npt.NDArray[Any]]
) -> tuple[FloatArray, FloatArray]:
    """Return number of clusters and agreement at each step; NaN where a sample was not cut."""
    counts = np.array([found.max(axis=1) + 1.0 for found in labels])
    ari = pairwise_agreement(rows, labels)[:, 0, 1]
    cut = (counts > 1).all(axis=0)
    return np.where(cut, counts.mean(axis=0), np.nan), np.where(cut, ari, np.nan)


def _curve(counts: FloatArray, ari: FloatArray) -> NullCurve:
    """Mean over clouds at each step, steps x clouds; steps that leave most of them whole are out.

    Where a cloud is only just cut, it is cut by chance, and the cut does not return.
    """
    known = np.isnan(counts).mean(axis=1) < 0.5
    mean, value = np.nanmean(counts[known], axis=1), np.nanmean(ari[known], axis=1)
    distinct = np.unique(mean)
    return NullCurve(distinct, np.array([value[mean == c].mean() for c in distinct]))


def _mean_curve(curves: list[NullCurve]) -> NullCurve:
    """Mean of curves at whole numbers of clusters, each between its own steps."""
    curves = [curve for curve in curves if curve.n_clusters.size]
    if not curves:
        return NullCurve(np.empty(0), np.empty(0))
    most = max(float(curve.n_clusters[-1]) for curve in curves)
    at = np.unique(np.round(np.geomspace(2.0, most, _NULL_STEPS)))
    means = np.array([[curve.at(c) for c in at] for curve in curves]).mean(axis=0)
    return NullCurve(at, means)


def _without_clusters(space: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw as many rows from one normal distribution with the covariance of those not zero."""
    kept = space[np.asarray(space.any(axis=1))].astype(np.float64)
    centred = kept - kept.mean(axis=0)
    with single_thread_blas():
        values, axes = np.linalg.eigh(centred.T @ centred / max(1, kept.shape[0]))
        root = axes * np.sqrt(np.maximum(values, 0.0))
        drawn = rng.standard_normal((space.shape[0], root.shape[1])) @ root.T
    points: npt.NDArray[np.float32] = drawn.astype(np.float32)
    return points


def co_clustering(
    labels: Labels, rows: Sequence[npt.NDArray[np.int64]], runs: Sequence[Labels]
) -> tuple[FloatArray, FloatArray]:
    """How often cells of the same cluster, and of two clusters, are together in replicates.

    With n_cj the cells of cluster c that a replicate puts into its cluster j, and n_c their sum,
    two cells of c are together with chance sum_j n_cj (n_cj - 1) / n_c (n_c - 1), a cell of c and
    one of d with chance sum_j n_cj n_dj / n_c n_d, and a given cell in j is with a share
    (n_cj - 1) / (n_c - 1) of its cluster.

    Parameters
    ----------
    labels
        Cluster of each of n cells; -1 none.
    rows, runs
        Cells and labels of each replicate.

    Returns
    -------
    together
        Clusters x clusters, means over replicates.
    per_cell
        n; NaN for cells in no replicate or no cluster.
    """
    n_clusters = int(labels.max(initial=-1)) + 1
    total, seen = np.zeros((n_clusters, n_clusters)), np.zeros((n_clusters, n_clusters))
    share, times = np.zeros(labels.shape[0]), np.zeros(labels.shape[0])
    for own_rows, run in zip(rows, runs, strict=True):
        used = (labels[own_rows] >= 0) & (run >= 0)
        c, j = labels[own_rows][used].astype(np.int64), run[used].astype(np.int64)
        width = int(j.max(initial=0)) + 1
        table = np.bincount(c * width + j, minlength=n_clusters * width)
        table = table.reshape(n_clusters, width).astype(np.float64)
        size = table.sum(axis=1)
        joint = table @ table.T
        pairs = np.outer(size, size)
        joint[range(n_clusters), range(n_clusters)] -= size
        pairs[range(n_clusters), range(n_clusters)] -= size
        total += np.divide(joint, pairs, out=np.zeros_like(joint), where=pairs > 0)
        seen += pairs > 0
        place = own_rows[used]
        share[place] += np.where(size[c] > 1, (table[c, j] - 1) / np.maximum(size[c] - 1, 1), 1.0)
        times[place] += 1
    together = np.divide(total, seen, out=np.full_like(total, np.nan), where=seen > 0)
    per_cell = np.divide(share, times, out=np.full_like(share, np.nan), where=times > 0)
    return together, per_cell
