"""Stages of the cluster job: the fit, and what to tell the user before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partwise.factorize import NMF, MiniBatchNMF
from partwise.graph import cluster_rows
from partwise.graph.embedding import pca, umap
from partwise.graph.representation import clustering_space, usage_shares
from partwise.workflows.clustering.control import sample_rows
from partwise.workflows.clustering.metadata import advice_on_colors

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.graph import RowClustering
    from partwise.io import Table
    from partwise.results import Clustering, Factorization
    from partwise.utils.progress import Progress, Stage
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.clustering.small import SmallClusters

__all__ = [
    "advice_after",
    "advice_before",
    "cluster_space",
    "embed_sample",
    "fit_table",
    "space_of",
]

_MOST_POINTS = 10_000


def fit_table(
    table: Table, options: ClusterOptions, n_threads: int, stage: Stage
) -> tuple[Any, npt.NDArray[np.floating[Any]]]:
    """Factorize a table, X = W H.

    Parameters
    ----------
    table
        X, n x p.
    options
        How to factorize.
    n_threads
        Threads.
    stage
        Told of each pass over the data.

    Returns
    -------
    model
        The fitted estimator.
    usage
        W, n x k.
    """
    settings: dict[str, Any] = {
        "init": options.init,
        "random_state": options.seed,
        "n_threads": n_threads,
    }
    if options.max_iter is not None:
        settings["max_iter"] = options.max_iter
    if options.tol is not None:
        settings["tol"] = options.tol
    if options.solver == "minibatch":
        model = MiniBatchNMF(options.n_components, batch_size=options.batch_rows, **settings)
    else:
        model = NMF(options.n_components, solver=options.solver, **settings)
    return model, model.fit_transform(table.matrix, callback=lambda *_: stage.advance())


def space_of(
    usage: npt.NDArray[Any], programs: npt.NDArray[Any], options: ClusterOptions
) -> npt.NDArray[np.floating[Any]]:
    """Return the coordinates in which cells are compared.

    Usage has no scale of its own and, with more factors than features, is not determined;
    distances between reconstructions are. With `normalize_usage` each reconstruction is scaled to a
    sum of one first.

    Parameters
    ----------
    usage, programs
        W, n x k, and H, k x p.
    options
        Whether amounts or shares are compared.

    Returns
    -------
    numpy.ndarray
        n x r.
    """
    if options.normalize_usage:
        usage, programs = usage_shares(usage, programs)
    return clustering_space(usage, programs)


def cluster_space(
    space: npt.NDArray[Any], options: ClusterOptions, n_threads: int, progress: Progress
) -> RowClustering:
    """Cluster cells by their coordinates, as the options say."""
    return cluster_rows(
        space,
        n_neighbors=options.n_neighbors,
        resolution=options.resolution,
        metric=options.metric,
        random_state=options.seed,
        n_threads=n_threads,
        progress=progress,
    )


def advice_before(table: Table, options: ClusterOptions) -> list[str]:
    """Return what the options and the table's shape let us expect."""
    n, p = table.shape
    texts = []
    if options.batch_size is not None and options.solver != "minibatch":
        texts.append(
            f"batch_size (-b {options.batch_size}) has no effect with the solver "
            f"{options.solver!r}, which uses all cells in each step; it belongs to "
            "--solver minibatch"
        )
    if options.n_components > min(n, p):
        few = "features" if p <= n else "cells"
        texts.append(
            f"n_components (-n {options.n_components}) exceeds the {min(n, p)} {few}: that many "
            f"factors reproduce the table exactly and more are not determined by it; for factors "
            f"that mean something choose -n {max(1, min(n, p) - 1)} or less"
        )
    if options.normalize_usage and options.metric == "cosine":
        texts.append(
            "normalize_usage has no effect with the metric 'cosine', which compares directions, "
            "not amounts"
        )
    texts += advice_on_colors(table, options)
    if options.n_neighbors >= n:
        texts.append(
            f"n_neighbors (-k {options.n_neighbors}) is not less than the {n} cells: each cell is "
            f"joined to all others, {n - 1} neighbours"
        )
    return texts


def advice_after(
    fit: Factorization, rows: RowClustering, small: SmallClusters | None = None
) -> list[str]:
    """Return what the results themselves ask the user to look at."""
    texts = []
    if not fit.converged:
        texts.append(f"the factorization {fit.status.advice}")
    if rows.n_isolated:
        cells = "1 cell has" if rows.n_isolated == 1 else f"{rows.n_isolated:,} cells have"
        texts.append(
            f"{cells} no neighbourhood (all features zero, or none that the factors describe): "
            "leiden_cluster is -1"
        )
    if small is not None and (small.n_clusters or small.none_large):
        texts.append(small.sentence)
    return texts


def embed_sample(
    space: npt.NDArray[Any], clustering: Clustering, options: ClusterOptions
) -> tuple[pd.DataFrame, pd.Series]:
    """Place a sample of the cells in the plane, for a picture.

    Parameters
    ----------
    space
        Coordinates in which the cells were clustered, n x r.
    clustering
        Clusters of the n cells.
    options
        Whether by PCA or UMAP, and the seed.

    Returns
    -------
    points
        Two named columns, one row per cell of the sample, indexed by its row in the table; isolated
        cells are left out.
    labels
        Cluster of each.
    """
    connected = np.flatnonzero(clustering.labels != -1)
    chosen = sample_rows(connected.shape[0], _MOST_POINTS, options.seed)
    rows = connected if chosen is None else connected[chosen]
    sample = space[rows]
    if not sample.size:
        return pd.DataFrame({"": [], " ": []}), pd.Series([], name="Cluster", dtype=np.int32)
    if options.umap:
        xy, names = umap(sample, random_state=options.seed), ["UMAP 1", "UMAP 2"]
    else:
        xy, names = pca(sample, n_components=2), ["Component 1", "Component 2"]
    labels = pd.Series(clustering.labels[rows], index=rows, name="Cluster")
    return pd.DataFrame(xy, columns=names, index=rows), labels
