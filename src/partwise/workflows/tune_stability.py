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
SHARE, MOST_CELLS = 0.8, 60_000
#: Cells of a sample without clusters, samples per number of programs, resolutions.
_NULL_CELLS, _NULL_SAMPLES, _NULL_STEPS = 10_000, 3, 10
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
        Four fifths of the cells, at most 60,000.

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
        known = self.n_clusters > 1.0
        if not known.any() or n_clusters < 2:
            return float("nan")
        steps = np.log(self.n_clusters[known])
        return float(np.interp(np.log(n_clusters), steps, self.ari[known]))


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
        The mean over every k: how many neighbours there are matters less than the luck of samples.

    References
    ----------
    Lange, Roth, Braun & Buhmann (2004), Neural Computation 16, 1299: stability relative to that of
    random partitions. Tibshirani, Walther & Hastie (2001), JRSS B 63, 411: a reference
    distribution without clusters.
    """
    n = space.shape[0]
    rng = np.random.default_rng([seed, _NULL])
    share = min(round(SHARE * n), MOST_CELLS) / n
    size = max(2, min(round(share * n), _NULL_CELLS))
    points = _without_clusters(space, max(size, round(size / share)), rng)
    steps = np.geomspace(
        min(resolutions) / _NULL_BELOW, max(resolutions) * _NULL_ABOVE, _NULL_STEPS
    )
    rows, labels = [], []
    for sample in range(_NULL_SAMPLES):
        drawn = np.sort(rng.choice(points.shape[0], size=size, replace=False))
        rows.append(drawn)
        labels.append(_partitions(points[drawn], n_neighbors, steps.tolist(), seed + sample))
    above = np.triu_indices(_NULL_SAMPLES, 1)
    counts, values = [], []
    for i in range(len(n_neighbors)):
        pairs = pairwise_agreement(rows, [found[i] for found in labels])
        counts.append(np.mean([found[i].max(axis=1) + 1.0 for found in labels], axis=0))
        values.append(pairs[:, above[0], above[1]].mean(axis=1))
    return _mean_curve(counts, values)


def _mean_curve(counts: list[FloatArray], values: list[FloatArray]) -> NullCurve:
    """Mean of curves at whole numbers of clusters, each between its own steps."""
    most = max(float(count.max()) for count in counts)
    at = np.unique(np.round(np.geomspace(2.0, max(most, 2.0), _NULL_STEPS)))
    curves = [_ascending(count, value) for count, value in zip(counts, values, strict=True)]
    means = np.array([[curve.at(c) for c in at] for curve in curves]).mean(axis=0)
    return NullCurve(at, means)


def _ascending(counts: FloatArray, ari: FloatArray) -> NullCurve:
    """Sort by number of clusters; steps with the same number become one."""
    distinct = np.unique(counts)
    return NullCurve(distinct, np.array([ari[counts == c].mean() for c in distinct]))


def _without_clusters(
    space: npt.NDArray[Any], n: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Draw from one normal distribution with the covariance of the rows that are not zero."""
    kept = space[np.asarray(space.any(axis=1))].astype(np.float64)
    centred = kept - kept.mean(axis=0)
    with single_thread_blas():
        values, axes = np.linalg.eigh(centred.T @ centred / max(1, kept.shape[0]))
        root = axes * np.sqrt(np.maximum(values, 0.0))
        drawn = rng.standard_normal((n, root.shape[1])) @ root.T
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
