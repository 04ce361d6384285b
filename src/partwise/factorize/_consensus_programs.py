"""From the programs of many fits to their consensus: filter, cluster, median."""

from __future__ import annotations

import numbers
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import check_count
from partwise.factorize._consensus_record import Consensus
from partwise.utils.threads import single_thread_blas

__all__ = ["check_replicates", "consensus_programs", "reordered", "silhouette"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

#: Starts of the clustering, as in cNMF.
_STARTS = 10
#: Thresholds that an error lists.
_THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
#: Two programs of length 1 are at most this far apart; a threshold from here on filters nothing.
_FARTHEST = 2.0


def consensus_programs(
    replicates: npt.ArrayLike,
    n_components: int,
    *,
    density_threshold: float = 0.5,
    local_neighborhood_size: float = 0.3,
    seed: int = 1,
) -> Consensus:
    """Return the consensus of given replicate programs.

    Each program is scaled to length 1. Its local density is the sum of the Euclidean distances to
    its L nearest neighbours, divided by L, with L = local_neighborhood_size x number of fits;
    programs at or above the threshold are left out. The others are clustered by k-means (10
    starts); the median of each cluster, scaled to sum 1, is a program.

    Parameters
    ----------
    replicates : array-like, m x p, or fits x k x p
        Programs of several fits of the same data at the same k, fit by fit.
    n_components : int
        Number of programs k.
    density_threshold : float
        Local density from which programs are left out; 2 or more keeps all.
    local_neighborhood_size : float
        Neighbours of a program, as a share of the number of fits; at least one is used.
    seed : int
        Seed of k-means; 1 is cNMF's.

    Returns
    -------
    Consensus
        Programs ordered by the number of replicate programs behind them.

    Raises
    ------
    DataError
        If the filter leaves too few programs (the text says which threshold keeps how many), fewer
        than k programs are distinct, or values are negative or missing.
    UsageError
        If a parameter cannot be used.

    References
    ----------
    Kotliar et al. (2019), eLife 8:e43803.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.factorize import consensus_programs
    >>> a, b, stray = [4.0, 1, 0], [0.0, 1, 1], [0.0, 0, 1]
    >>> fits = np.array([[a, b], [b, a], [a, b], [a, stray]])
    >>> found = consensus_programs(fits, 2, local_neighborhood_size=0.5)
    >>> found.programs.round(3).tolist(), int(found.kept.sum())
    ([[0.8, 0.2, 0.0], [0.0, 0.5, 0.5]], 7)
    """
    k = check_count(n_components, "n_components")
    threshold = _check_threshold(density_threshold)
    spectra = check_replicates(replicates, k)
    size = _check_size(local_neighborhood_size)
    lengths = np.linalg.norm(spectra, axis=1)
    alive = lengths > 0
    spectra /= np.where(alive, lengths, 1.0)[:, None]
    with single_thread_blas(), threadpool_limits(1, user_api="openmp"):
        points = _in_own_span(spectra)
        distances = _distances(points)
        n_neighbors = max(1, int(size * len(spectra) / k))
        density = _local_density(distances, alive, n_neighbors)
        kept = alive if threshold >= _FARTHEST else density < threshold
        _check_enough(int(kept.sum()), k, threshold, density, alive)
        labels = _cluster(points[kept], k, seed)
        stability_kept = silhouette(distances[np.ix_(kept, kept)], labels)
        stability = stability_kept
        if not np.array_equal(kept, alive):
            everything = _cluster(points[alive], k, seed)
            stability = silhouette(distances[np.ix_(alive, alive)], everything)
    cluster = np.full(len(spectra), -1, np.int32)
    cluster[kept] = labels
    programs, cluster = _medians(spectra, cluster, k)
    return Consensus(
        programs=programs,
        replicates=spectra,
        cluster=cluster,
        kept=kept,
        local_density=density,
        n_neighbors=n_neighbors,
        density_threshold=threshold,
        stability=stability,
        stability_kept=stability_kept,
    )


def reordered(found: Consensus, order: npt.NDArray[np.intp]) -> Consensus:
    """Return a consensus with its programs in another order; `order` names the old numbers."""
    return replace(found, programs=found.programs[order], cluster=_renumbered(found.cluster, order))


def check_replicates(replicates: npt.ArrayLike, k: int, p: int | None = None) -> Floats:
    """Return replicate programs as a new m x p array of float64, m at least 2 k."""
    try:
        spectra = np.array(replicates, np.float64)
    except (TypeError, ValueError):
        raise DataError("the replicate programs must be an array of numbers") from None
    if spectra.ndim == 3:
        if spectra.shape[1] != k:
            raise UsageError(f"the replicates have {spectra.shape[1]} programs each, not {k}")
        spectra = spectra.reshape(-1, spectra.shape[2])
    if spectra.ndim != 2 or spectra.shape[0] % k or spectra.shape[0] < 2 * k:
        raise UsageError(
            f"the replicates must be the {k} programs of each of at least 2 fits, below each other:"
            f" {2 * k}, {3 * k}, ... rows, not shape {spectra.shape}"
        )
    if p is not None and spectra.shape[1] != p:
        raise UsageError(f"the replicates have {spectra.shape[1]} features, but X has {p}")
    if not (np.isfinite(spectra).all() and (spectra >= 0).all()):
        raise DataError("the replicate programs have negative, missing or infinite values")
    return spectra


def _check_threshold(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not 0 < float(value) < np.inf
    ):
        raise UsageError(f"density_threshold must be a number above 0, not {value!r}")
    return float(value)


def _check_size(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) <= 1:
        raise UsageError(
            f"local_neighborhood_size must be a number above 0 and up to 1, not {value!r}"
        )
    return float(value)


def _in_own_span(spectra: Floats) -> Floats:
    """Return the rows in an orthonormal basis of their span: fewer columns, the same distances."""
    m, p = spectra.shape
    if m >= p:
        return spectra
    triangle = np.linalg.qr(spectra.T, mode="r")
    return np.ascontiguousarray(np.asarray(triangle).T)


def _distances(spectra: Floats) -> Floats:
    """Return all Euclidean distances of rows of length 1 (or 0), m x m."""
    squares = np.einsum("ij,ij->i", spectra, spectra)
    distances: Floats = spectra @ spectra.T
    distances *= -2.0
    distances += squares[:, None]
    distances += squares
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    return np.sqrt(distances, out=distances)


def _local_density(distances: Floats, alive: npt.NDArray[np.bool_], n_neighbors: int) -> Floats:
    density = np.full(len(distances), np.inf)
    rows = np.flatnonzero(alive)
    if len(rows) > 1:
        among = distances[np.ix_(alive, alive)]
        count = min(n_neighbors, len(rows) - 1)
        # the least of all is the distance 0 to itself
        nearest = np.partition(among, count, axis=1)[:, : count + 1]
        density[rows] = nearest.sum(axis=1) / n_neighbors
    return density


def _check_enough(
    left: int, k: int, threshold: float, density: Floats, alive: npt.NDArray[np.bool_]
) -> None:
    if left >= k:
        return
    m = len(density)
    if alive.sum() < k:
        raise DataError(
            f"only {int(alive.sum())} of {m} replicate programs are not zero, fewer than the {k} "
            "asked for: take fewer components"
        )
    listed = []
    for value in _THRESHOLDS:
        count = int((density < value).sum())
        if value > threshold and count > left:
            listed.append(f"{value:g} keeps {count}")
    listed.append(f"2 keeps all {int(alive.sum())}")
    raise DataError(
        f"density_threshold={threshold:g} keeps {left} of {m} replicate programs, fewer than the "
        f"{k} asked for ({', '.join(listed)}). Few fits found the same programs: raise the "
        "threshold, take fewer components, or more replicates"
    )


def _cluster(spectra: Floats, k: int, seed: int) -> Labels:
    """Return the k-means cluster of each row."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # too few distinct rows: said below
        labels = KMeans(k, n_init=_STARTS, random_state=seed).fit(spectra).labels_
    found = len(np.unique(labels))
    if found < k:
        raise DataError(
            f"the replicates hold only {found} distinct programs, fewer than the {k} asked for: "
            f"take {found} components"
        )
    return np.asarray(labels, np.int32)


def silhouette(distances: Floats, labels: Labels) -> float:
    """Return the mean silhouette of a clustering from all distances.

    (b - a) / max(a, b) with a the mean distance to the own cluster, b to the nearest other one; 0
    for what is alone in its cluster, and in all for a single cluster.
    """
    k = int(labels.max()) + 1
    sizes = np.bincount(labels, minlength=k)
    if k < 2 or k >= len(labels):
        return 0.0
    sums = distances @ np.eye(k)[labels]
    rows = np.arange(len(labels))
    own = sizes[labels]
    within = sums[rows, labels] / np.maximum(own - 1, 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(within, nearest)
    values = np.divide(nearest - within, larger, out=np.zeros_like(larger), where=larger > 0)
    values[own == 1] = 0.0
    return float(values.mean())


def _medians(spectra: Floats, cluster: Labels, k: int) -> tuple[Floats, Labels]:
    """Return the programs by descending size of their cluster, and the clusters in that order."""
    medians = np.stack([np.median(spectra[cluster == t], axis=0) for t in range(k)])
    sums = medians.sum(axis=1)
    if (sums == 0).any():
        # the members share no feature that more than half of them use
        raise DataError(
            f"the median of {int((sums == 0).sum())} of {k} clusters of replicate programs is zero:"
            " their members have nothing in common. Take fewer components, or a lower "
            "density_threshold"
        )
    order = np.argsort(-np.bincount(cluster[cluster >= 0], minlength=k), kind="stable")
    return (medians / sums[:, None])[order], _renumbered(cluster, order)


def _renumbered(cluster: Labels, order: npt.NDArray[np.intp]) -> Labels:
    """Return clusters by their new numbers; `order` names the old ones, -1 stays."""
    place = np.empty(len(order) + 1, np.int32)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return place[cluster]
