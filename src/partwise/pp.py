"""Preparation of an AnnData for a factorization; the arithmetic is in `partwise.prepare`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from partwise import _slots
from partwise.exceptions import PartwiseWarning, UsageError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["log1p", "normalize_total", "overdispersed_genes"]


def normalize_total(
    adata: AnnData,
    *,
    target_sum: float | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Scale each observation to the same total.

    Parameters
    ----------
    adata
        Counts, in memory.
    target_sum
        The total; None means the median of the totals that are not zero.
    layer
        Layer to take and to replace; None means X.
    key_added
        Column of obs for the totals before; None keeps them nowhere.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. The values are replaced; observations without counts stay zero.

    Raises
    ------
    DataError
        If values are negative, missing or infinite, or all are zero.
    UsageError
        If there is no such layer, the target is no positive number, or X is on disk.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.array([[1.0, 3.0], [2.0, 2.0]], "float32"))
    >>> pw.pp.normalize_total(adata, target_sum=100)
    >>> adata.X.tolist()
    [[25.0, 75.0], [50.0, 50.0]]
    """
    from partwise.prepare import normalize_total as scaled

    adata, X = _values(adata, layer, copy)
    done = scaled(X, target=target_sum)
    _replace(adata, layer, done.X)
    if key_added is not None:
        _slots.put(adata.obs, key_added, done.totals)
    return adata if copy else None


def log1p(adata: AnnData, *, layer: str | None = None, copy: bool = False) -> AnnData | None:
    """Take the natural logarithm of 1 + x.

    Parameters
    ----------
    adata
        Non-negative values, in memory.
    layer
        Layer to take and to replace; None means X.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. The values are replaced; `uns["log1p"]` says so, as scanpy has it.

    Raises
    ------
    DataError
        If values are negative, missing or infinite.
    UsageError
        If there is no such layer, or X is on disk.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.array([[0.0, 1.0]], "float32"))
    >>> pw.pp.log1p(adata)
    >>> round(float(adata.X[0, 1]), 3)
    0.693
    """
    from partwise.prepare import log1p as logged

    adata, X = _values(adata, layer, copy)
    _warn_of_logarithms(adata, layer, "the logarithm is taken again")
    _replace(adata, layer, logged(X).X)
    _slots.put(adata.uns, _slots.LOG1P, {})
    return adata if copy else None


def overdispersed_genes(
    adata: AnnData,
    *,
    n_genes: int | None = 2000,
    layer: str | None = None,
    key_added: str = _slots.VARIABLE,
    copy: bool = False,
) -> AnnData | None:
    """Mark the genes that vary more than their mean explains.

    Parameters
    ----------
    adata
        Counts after `normalize_total`, not logarithms.
    n_genes
        How many; None means all above the threshold of the method.
    layer
        Layer to take; None means X.
    key_added
        Column of var for the choice; "highly_variable" is where scanpy looks.
    copy
        Return a copy in place of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written are `var[key_added]` (truth values), `var["overdispersion"]`
        (the score, NaN for genes that are zero everywhere) and the parameters in `uns[key_added]`.

    Raises
    ------
    DataError
        If values are negative, missing or infinite, or no gene is expressed.
    UsageError
        If a parameter cannot be used.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> counts = np.random.default_rng(0).poisson(5.0, (300, 40)).astype("float32")
    >>> counts[:150, 7] *= 6
    >>> adata = anndata.AnnData(counts)
    >>> pw.pp.overdispersed_genes(adata, n_genes=1)
    >>> adata.var_names[adata.var["highly_variable"]].tolist()
    ['7']
    """
    from partwise.prepare import overdispersed_genes as chosen

    adata, X = _values(adata, layer, copy)
    _warn_of_logarithms(adata, layer, "the genes that vary most are chosen before, not after it")
    found = chosen(X, n_genes=n_genes)
    _slots.put(adata.var, key_added, found.selected)
    _slots.put(adata.var, _slots.OVERDISPERSION, found.score)
    _slots.put(adata.uns, key_added, _slots.plain(found.parameters))
    return adata if copy else None


def _warn_of_logarithms(adata: AnnData, layer: str | None, so: str) -> None:
    """Warn where X has been through `log1p`, ours or scanpy's."""
    if layer is None and _slots.LOG1P in adata.uns:
        warnings.warn(
            f"uns['log1p'] says that X holds logarithms: {so}", PartwiseWarning, stacklevel=3
        )


def _values(adata: AnnData, layer: str | None, copy: bool) -> tuple[AnnData, Any]:
    from partwise.io.containers import matrix_of

    adata = _slots.target(adata, copy)
    X = matrix_of(adata, layer=layer)
    if hasattr(X, "blocks"):
        raise UsageError("X is in a file, which is not changed: load it with .to_memory() first")
    return adata, X


def _replace(adata: AnnData, layer: str | None, X: Any) -> None:
    if layer is not None:
        _slots.put(adata.layers, layer, X)
        return
    if adata.is_view:  # a view would write into the original
        adata._init_as_actual(adata.copy())
    adata.X = X
