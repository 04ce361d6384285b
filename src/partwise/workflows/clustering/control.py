"""The control of the cluster job: the same clustering without the factorization.

If the raw features give the same clusters, the factors were not needed for them; if they do not,
the user should know before believing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.graph import cluster_rows
from partwise.metrics import adjusted_rand
from partwise.utils.random import generator
from partwise.utils.threads import single_thread_blas
from partwise.workflows.clustering.small import settle_small
from partwise.workflows.tuning.text import counted

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.results import Clustering
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["Control", "compare_with_raw", "gather_rows", "sample_rows"]

_MOST_CELLS = 50_000
_NARROW = 16  # up to so many features a search tree is fast
_MOST_CELLS_WIDE = 20_000
_MOST_VALUES = 2**26  # cells x features, so that very wide tables stay within memory
_FEWEST_CELLS = 1_000
_MOST_FEATURES = 50  # with more, as is usual for genes, their first principal components


@dataclass(frozen=True)
class Control:
    """Clusters from the raw features beside those from the factors.

    Attributes
    ----------
    rows
        Cells that were compared, sorted; None if all.
    factors, raw
        Labels of these cells from the factors and from the raw features; -1 is isolated.
    adjusted_rand
        Agreement of the two: 1 if equal, about 0 by chance; NaN with fewer than two cells.
    n_cells
        Number of cells compared.
    n_axes
        Principal components that stand for the raw features; 0 if these were used as they are.
    """

    rows: npt.NDArray[np.int64] | None
    factors: npt.NDArray[np.int32]
    raw: npt.NDArray[np.int32]
    adjusted_rand: float
    n_cells: int
    n_axes: int

    @property
    def n_raw_clusters(self) -> int:
        """Clusters that the raw features give."""
        return int(self.raw.max(initial=-1)) + 1

    @property
    def scope(self) -> str:
        """Which cells were compared, in words."""
        if self.rows is None:
            return f"all {self.n_cells:,} cells"
        return f"a random sample of {self.n_cells:,} cells"

    @property
    def space(self) -> str:
        """What was clustered, in words."""
        if self.n_axes:
            return f"the first {self.n_axes} principal components of the raw features"
        return "the raw features"

    @property
    def line(self) -> str:
        """The result in one line."""
        return (
            f"control: {self.space} give {counted(self.n_raw_clusters, 'cluster')}, "
            f"adjusted Rand index {self.adjusted_rand:.3f} with those of the factors ({self.scope})"
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "adjusted_rand": None if np.isnan(self.adjusted_rand) else self.adjusted_rand,
            "n_clusters_raw": self.n_raw_clusters,
            "n_cells": self.n_cells,
            "sampled": self.rows is not None,
            "n_principal_components": self.n_axes,
        }


def compare_with_raw(
    table: Table, clustering: Clustering, options: ClusterOptions, n_threads: int
) -> Control:
    """Cluster the raw features with the same options, and compare.

    Parameters
    ----------
    table
        X, n x p.
    clustering
        The clusters from the factors, of all n cells.
    options
        How they were made.
    n_threads
        Threads.

    Returns
    -------
    Control
        The comparison: on all cells of a small table, else on a random sample that depends on the
        seed only. The raw features of a sample are clustered on their own, so the neighbours are
        those within the sample. More than 50 features are replaced by their first 50 principal
        components, in which cells are commonly clustered.
    """
    n, p = table.shape
    most = _MOST_CELLS if p <= _NARROW else _MOST_CELLS_WIDE
    most = min(most, max(_FEWEST_CELLS, _MOST_VALUES // p))
    chosen = sample_rows(n, most, options.seed)
    X = gather_rows(table.matrix, chosen)
    n_axes = min(_MOST_FEATURES, X.shape[0] - 1) if p > _MOST_FEATURES else 0
    if n_axes:
        X = _principal_components(X, n_axes, options.seed)
    if options.normalize_usage:  # compositions, as the reconstructions are
        totals = X.sum(axis=1, keepdims=True, dtype=np.float64)
        X = (X / np.where(totals > 0, totals, 1.0)).astype(X.dtype)
    found = cluster_rows(
        X,
        n_neighbors=options.n_neighbors,
        resolution=options.resolution,
        metric=options.metric,
        random_state=options.seed,
        n_threads=n_threads,
    ).clustering
    raw = settle_small(X, found, options, n_cells=n)[0].labels
    factors = clustering.labels if chosen is None else clustering.labels[chosen]
    index = adjusted_rand(factors, raw) if raw.shape[0] > 1 else float("nan")
    return Control(chosen, factors, raw, index, int(raw.shape[0]), n_axes)


def _principal_components(
    X: npt.NDArray[Any], n_axes: int, seed: int
) -> npt.NDArray[np.floating[Any]]:
    """Return the scores on the first principal components, n x n_axes, by random projection.

    Halko, Martinsson & Tropp, "Finding structure with randomness", SIAM Review 53, 217 (2011).
    """
    from sklearn.utils.extmath import randomized_svd

    centred = X - X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    state = int(generator(seed).integers(2**31))
    with single_thread_blas():  # so that the bits do not depend on the threads
        U, s, _ = randomized_svd(centred, n_axes, n_iter=4, random_state=state)
    scores: npt.NDArray[np.floating[Any]] = U * s
    return scores


def sample_rows(n: int, most: int, seed: int) -> npt.NDArray[np.int64] | None:
    """Return sorted numbers of at most `most` of n rows, drawn with the seed; None if all."""
    if n <= most:
        return None
    drawn = generator(seed).choice(n, size=most, replace=False, shuffle=False)
    return np.sort(drawn)


def gather_rows(matrix: Any, rows: npt.NDArray[np.int64] | None) -> npt.NDArray[Any]:
    """Return the given (sorted) rows of an array, a CSR matrix or a block source as an array."""
    if hasattr(matrix, "blocks"):
        n = matrix.shape[0]
        parts = []
        for first, block in matrix.blocks(0, n):
            last = first + block.shape[0]
            if rows is None:
                parts.append(_dense(block))
            else:
                a, b = np.searchsorted(rows, (first, last))
                parts.append(_dense(block[rows[a:b] - first]))
        return np.concatenate(parts)
    return _dense(matrix if rows is None else matrix[rows])


def _dense(block: Any) -> npt.NDArray[Any]:
    return block.toarray() if hasattr(block, "toarray") else np.asarray(block)
