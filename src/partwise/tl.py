"""Tools for AnnData: extract, estimate, write back. Names of slots are in `partwise._slots`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData

    from partwise.results import Clustering

__all__ = ["leiden", "neighbors", "nmf", "project"]


def nmf(
    adata: AnnData,
    n_components: int,
    *,
    layer: str | None = None,
    mask_var: Any = None,
    key_added: str = _slots.NMF_KEY,
    random_state: int = 0,
    copy: bool = False,
    **settings: Any,
) -> AnnData | None:
    """Factorize the matrix of an AnnData, X ~ usage @ programs.

    Parameters
    ----------
    adata
        Observations x variables, non-negative; sparse stays sparse, and the X of an AnnData that
        was opened in backed mode is read block by block, never loaded whole.
    n_components
        Number of programs k.
    layer
        Layer to factorize; None means X.
    mask_var
        Variables that take part: a column of var with truth values, such as "highly_variable", or
        an array of them. None means all.
    key_added
        "nmf" writes to the slots below; any other key names all three of them.
    random_state
        Seed.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Further parameters of `NMF` (or of `MiniBatchNMF` where solver="minibatch").

    Returns
    -------
    AnnData or None
        None, or the copy. Written are `obsm["X_nmf"]` (usage, n x k, float32),
        `varm["NMF_loadings"]` (programs transposed, NaN for variables outside `mask_var`) and
        `uns["nmf"]` (parameters, loss, status, seed, version).

    Raises
    ------
    UsageError
        If a parameter, layer or column cannot be used.
    DataError
        If the values are negative, missing or infinite.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> adata.obsm["X_nmf"].shape, adata.varm["NMF_loadings"].shape
    ((50, 3), (8, 3))
    """
    from partwise.factorize import NMF, MiniBatchNMF
    from partwise.io.containers import matrix_of, variables

    adata = _slots.target(adata, copy)
    mask = variables(adata, mask_var)
    estimator = MiniBatchNMF if settings.get("solver") == "minibatch" else NMF
    if estimator is MiniBatchNMF:
        settings = {name: value for name, value in settings.items() if name != "solver"}
    known = estimator._get_param_names()
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise UsageError(f"{estimator.__name__} has no parameter {unknown[0]!r}; it has {known}")
    model = estimator(n_components, random_state=random_state, **settings)
    usage = model.fit_transform(matrix_of(adata, layer=layer, mask=mask))
    _write_fit(adata, model, usage, mask, key_added, {"layer": layer, "mask_var": mask_var})
    return adata if copy else None


def project(
    adata: AnnData,
    model: AnnData | str | PathLike[str] | Any,
    *,
    layer: str | None = None,
    key: str = _slots.NMF_KEY,
    key_added: str | None = None,
    min_coverage: float = 0.5,
    copy: bool = False,
) -> AnnData | None:
    """Find the usage of fitted programs by new observations, genes matched by name.

    Genes that the model does not know are ignored; of programs whose genes are not all there, the
    part that is there is fitted (see `partwise.factorize.projection.restrict`). The new values must
    have been prepared as those of the fit.

    Parameters
    ----------
    adata
        New observations.
    model
        A fitted AnnData, a fitted estimator with names, or the path of a saved model.
    layer
        Layer to project; None means X.
    key
        Which factorization of a fitted AnnData.
    key_added
        Where to write, as in `nmf`; None means `key`.
    min_coverage
        Least share of each program's weight that must be on genes that are there.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written are the slots of `nmf`, `obs["nmf_fit"]` (share of each
        observation's sum of squares that is fitted), and the coverage in `uns["nmf"]`.

    Raises
    ------
    DataError
        If no gene is shared, or a program is covered by less than `min_coverage`.
    UsageError
        If there is no such layer, or the model has no names.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> fitted, new = adata[:30].copy(), adata[30:].copy()
    >>> pw.tl.nmf(fitted, 3)
    >>> pw.tl.project(new, fitted)
    >>> new.obsm["X_nmf"].shape
    (20, 3)
    """
    from partwise.factorize.projection import restrict, row_fit
    from partwise.io.containers import matrix_of

    adata = _slots.target(adata, copy)
    found = restrict(_model(model, key), [str(name) for name in adata.var_names])
    found.coverage.require(min_coverage)
    kept = np.zeros(adata.n_vars, bool)
    kept[found.columns] = True
    X = matrix_of(adata, layer=layer, mask=kept)
    # the matrix keeps the order of the variables; so must the programs
    order = np.argsort(found.columns)
    narrowed = found.model
    narrowed.components_ = np.ascontiguousarray(narrowed.components_[:, order])
    vars(narrowed).pop("feature_names_in_", None)  # matched here
    usage = narrowed.transform(X)
    key_added = key if key_added is None else key_added
    coverage = {
        "features": found.coverage.features,
        "programs": found.coverage.programs,
        "missing": list(found.coverage.missing),
    }
    _write_fit(adata, narrowed, usage, kept, key_added, {"layer": layer}, coverage=coverage)
    _slots.put(adata.obs, f"{key_added}_fit", row_fit(X, usage, narrowed.components_))
    return adata if copy else None


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

    adata = _slots.target(adata, copy)
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
        Rounds of the algorithm; negative until a round changes nothing.
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

    adata = _slots.target(adata, copy)
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


def _model(model: Any, key: str) -> Any:
    import os

    if isinstance(model, str | os.PathLike):
        from partwise.io import load_model

        return load_model(model)
    if hasattr(model, "obsm"):
        from partwise.io.fitted import model_of

        return model_of(model, key)
    return model


def _write_fit(
    adata: AnnData,
    model: Any,
    usage: Any,
    mask: Any,
    key: str,
    where: Mapping[str, Any],
    *,
    coverage: Mapping[str, Any] | None = None,
) -> None:
    slots = _slots.fit_slots(key)
    loadings = _slots.spread(model.components_, mask, adata.n_vars)
    _slots.put(adata.obsm, slots.usage, np.ascontiguousarray(usage, dtype=np.float32))
    _slots.put(adata.varm, slots.loadings, loadings)
    where = {name: v if isinstance(v, str) else None for name, v in where.items()}
    record = _slots.fit_record(model, where)
    if coverage is not None:
        record["coverage"] = _slots.plain(coverage)
    _slots.put(adata.uns, slots.record, record)


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
