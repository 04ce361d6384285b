"""Neighbours and clusters of the observations of an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError

if TYPE_CHECKING:
    from anndata import AnnData

    from partwise.results import Clustering

__all__ = ["leiden", "neighbors"]


def neighbors(
    adata: AnnData,
    *,
    n_neighbors: int = 15,
    use_rep: str = _slots.USAGE,
    metric: str = "euclidean",
    weights: str = "umap",
    key_added: str | None = None,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Join each observation with its nearest ones, and write the graph as scanpy does.

    Parameters
    ----------
    adata
        With a representation in obsm.
    n_neighbors
        Size of the neighbourhood, the observation itself counted, as scanpy counts: each has
        n_neighbors - 1 others.
    use_rep
        Name in obsm.
    metric
        "euclidean" or "cosine" (1 - cos).
    weights
        Weights of the connectivities: "umap" (fuzzy simplicial set, scanpy's default),
        "unweighted" or "jaccard".
    key_added
        None writes to obsp["distances"], obsp["connectivities"] and uns["neighbors"]; a key goes
        before these names, as in scanpy.
    random_state
        Seed where the search is approximate.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy.

    Raises
    ------
    UsageError
        If a parameter or `use_rep` cannot be used.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> pw.tl.neighbors(adata, n_neighbors=5)
    >>> adata.obsp["distances"].nnz
    200
    """
    from partwise.graph.graphs import distance_matrix, neighbor_weights
    from partwise.graph.neighbors import neighbors as search

    adata = _slots.target(adata, copy, key_added)
    if use_rep not in adata.obsm:
        raise UsageError(f"obsm has no {use_rep!r}; it has {', '.join(map(repr, adata.obsm))}")
    if n_neighbors < 2:
        raise UsageError(f"n_neighbors counts the observation itself: 2 or more, not {n_neighbors}")
    points = np.asarray(adata.obsm[use_rep])
    found = search(points, n_neighbors - 1, metric=metric, random_state=random_state)
    slots = _slots.graph_slots(key_added)
    _slots.put(adata.obsp, slots.distances, distance_matrix(found))
    _slots.put(adata.obsp, slots.connectivities, neighbor_weights(found, weights=weights))
    _slots.put(
        adata.uns,
        slots.record,
        {
            "connectivities_key": slots.connectivities,
            "distances_key": slots.distances,
            "params": {
                "n_neighbors": found.n_neighbors + 1,
                "method": weights,
                "random_state": random_state,
                "metric": metric,
                "use_rep": use_rep,
            },
        },
    )
    return adata if copy else None


def leiden(
    adata: AnnData,
    *,
    resolution: float = 1.0,
    key_added: str = _slots.LEIDEN,
    neighbors_key: str | None = None,
    objective: str = "modularity",
    n_iterations: int = 2,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Cluster observations by the Leiden algorithm on their neighbour graph.

    Parameters
    ----------
    adata
        With a neighbour graph, ours or scanpy's.
    resolution
        Higher values give more clusters.
    key_added
        Column of obs, and key of uns, to write to.
    neighbors_key
        Which graph: the `key_added` of `neighbors`; None means the default one.
    objective
        "modularity" or "cpm", see `partwise.leiden`.
    n_iterations
        Rounds at most, see `partwise.leiden`; negative until a round changes nothing.
    random_state
        Seed.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. `obs[key_added]` holds categories "0", "1", ... by size;
        `uns[key_added]` the parameters and the quality.

    Raises
    ------
    UsageError
        If there is no graph, or a parameter cannot be used.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> pw.tl.neighbors(adata, n_neighbors=5)
    >>> pw.tl.leiden(adata)
    >>> adata.obs["leiden"].dtype.name
    'category'
    """
    from partwise.graph.leiden import leiden as communities

    adata = _slots.target(adata, copy, key_added)
    found = communities(
        _connectivities(adata, neighbors_key),
        resolution,
        objective=objective,
        n_iterations=n_iterations,
        random_state=random_state,
    )
    params = {
        "resolution": resolution,
        "random_state": random_state,
        "n_iterations": n_iterations,
        "objective": objective,
    }
    _write_clusters(adata, found, key_added, params)
    return adata if copy else None


def _connectivities(adata: AnnData, neighbors_key: str | None) -> Any:
    slots = _slots.graph_slots(neighbors_key)
    name = slots.connectivities
    if slots.record in adata.uns:
        name = adata.uns[slots.record].get("connectivities_key", name)
    if name not in adata.obsp:
        raise UsageError(f"there is no graph obsp[{name!r}]: run partwise.tl.neighbors first")
    return adata.obsp[name]


def _write_clusters(adata: AnnData, found: Clustering, key: str, params: Mapping[str, Any]) -> None:
    import pandas as pd

    present, codes = np.unique(found.labels, return_inverse=True)
    # the numbers are in order, so the texts are in natural order
    names = [str(label) for label in present]
    _slots.put(adata.obs, key, pd.Categorical.from_codes(codes, names))
    _slots.put(adata.uns, key, {"params": dict(params), "modularity": float(found.quality)})
