"""New observations on known programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError
from partwise.tl._write import write_fit

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData

    from partwise.prepare.recipe import Recipe

__all__ = ["project"]


def project(
    adata: AnnData,
    model: AnnData | str | PathLike[str] | Any,
    *,
    layer: str | None = None,
    key: str = _slots.NMF_KEY,
    key_added: str | None = None,
    min_coverage: float = 0.5,
    prepare: bool = True,
    copy: bool = False,
) -> AnnData | None:
    """Find the usage of fitted programs by new observations, genes matched by name.

    Genes that the model does not know are ignored; of programs whose genes are not all there, the
    part that is there is fitted (see `partwise.factorize.projection.restrict`).

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
    prepare
        Do to the new values what the model records that was done before the fit, as models of
        `partwise factorize` do (e.g. scaling each row to 10,000, over all genes that are there).
        A fitted AnnData or estimator records nothing: prepare the new values alike.
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
        If there is no such layer, or the model is none or has no names.

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
    from partwise.prepare.recipe import Recipe

    key_added = key if key_added is None else key_added
    adata = _slots.target(adata, copy, key_added)
    fitted = _model(model, key)
    found = restrict(fitted, [str(name) for name in adata.var_names])
    found.coverage.require(min_coverage)
    recipe = Recipe.of(fitted) if prepare else Recipe()
    kept = np.zeros(adata.n_vars, bool)
    kept[found.columns] = True
    X = _matrix(adata, layer, recipe, kept)
    # the matrix keeps the order of the variables; so must the programs
    narrowed = found.in_order()
    usage = narrowed.transform(X)
    coverage = {
        "features": found.coverage.features,
        "programs": found.coverage.programs,
        "missing": list(found.coverage.missing),
    }
    where = {"layer": layer, "preparation": recipe.text}
    write_fit(adata, narrowed, usage, kept, key_added, where, coverage=coverage)
    fit = row_fit(X, usage, narrowed.components_, loss=getattr(narrowed, "loss", "frobenius"))
    _slots.put(adata.obs, f"{key_added}_fit", fit)
    return adata if copy else None


def _matrix(adata: AnnData, layer: str | None, recipe: Recipe, kept: Any) -> Any:
    """Return the prepared values of the variables that are kept."""
    from partwise.io.containers import matrix_of
    from partwise.prepare.recipe import PreparedSource

    if not recipe:
        return matrix_of(adata, layer=layer, mask=kept)
    X = recipe.apply(matrix_of(adata, layer=layer))
    columns = np.flatnonzero(kept)
    return X.take(columns) if isinstance(X, PreparedSource) else X[:, columns]


def _model(model: Any, key: str) -> Any:
    import os

    if isinstance(model, str | os.PathLike):
        from partwise.io import load_model

        return load_model(model)
    if hasattr(model, "obsm"):
        from partwise.io.fitted import model_of

        return model_of(model, key)
    if not hasattr(model, "transform"):
        raise UsageError(
            "model must be a fitted AnnData, a fitted estimator or the path of a saved model, not "
            f"a {type(model).__name__}"
        )
    return model
