"""Pictures of the results in an AnnData; each returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

__all__ = ["loss", "top_genes", "usage"]

#: Panels of a figure.
_MOST = 40


def usage(
    adata: AnnData,
    *,
    basis: str = "X_umap",
    programs: Sequence[int] | None = None,
    key: str = _slots.NMF_KEY,
) -> Figure:
    """Draw the usage of programs on an embedding, one panel per program.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`, with an embedding.
    basis
        Name of the embedding in obsm, with or without "X_"; its first two columns are drawn.
    programs
        Numbers of the programs, from 1, at most 40; None means all, of more than 40 the first.
    key
        Key of the factorization.

    Returns
    -------
    matplotlib.figure.Figure
        For `savefig`, or as the last line of a notebook's cell.

    Raises
    ------
    DataError
        If there is no such factorization.
    UsageError
        If there is no such embedding or program.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> len(pw.pl.usage(adata, basis="nmf", programs=[1, 3]).axes)
    2
    """
    import pandas as pd

    from partwise import figures

    slots = _slots.find_fit(adata, key)
    name = basis if basis in adata.obsm else f"X_{basis}"
    if name not in adata.obsm:
        raise UsageError(
            f"there is no embedding {basis!r} in obsm; there are {', '.join(map(repr, adata.obsm))}"
        )
    points = np.asarray(adata.obsm[name])
    if points.ndim != 2 or points.shape[1] < 2:
        raise UsageError(f"the embedding {name!r} must have two columns, not shape {points.shape}")
    values = np.asarray(adata.obsm[slots.usage])
    chosen = _chosen(programs, values.shape[1])
    title = name.removeprefix("X_").upper()
    return figures.usage_maps(
        pd.DataFrame(points[:, :2], columns=[f"{title} 1", f"{title} 2"]),
        pd.DataFrame({f"program_{i}": values[:, i - 1] for i in chosen}),
    )


def top_genes(
    adata: AnnData, *, n_genes: int = 10, by: str = "weight", key: str = _slots.NMF_KEY
) -> Figure:
    """Draw the genes that make up each program.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    n_genes
        Genes per program.
    by
        "weight" or "share", see `partwise.get.top_genes`.
    key
        Key of the factorization.

    Returns
    -------
    matplotlib.figure.Figure
        One panel of bars per program, of more than 40 the first.

    Raises
    ------
    DataError
        If there is no such factorization.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> len(pw.pl.top_genes(adata, n_genes=4).axes)
    3
    """
    from partwise import figures
    from partwise.factorize.top import top_features

    slots = _slots.find_fit(adata, key)
    loadings = np.asarray(adata.varm[slots.loadings])
    kept = ~np.isnan(loadings).any(axis=1)
    names = [str(name) for name in adata.var_names[kept]]
    top = top_features(loadings[kept].T, names, n=n_genes, by=by)
    return figures.leading_features(top)


def loss(adata: AnnData, *, key: str = _slots.NMF_KEY) -> Figure:
    """Draw how the factorization approached its end.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    key
        Key of the factorization.

    Returns
    -------
    matplotlib.figure.Figure
        The loss by iteration, and its relative change.

    Raises
    ------
    UsageError
        If no loss was recorded.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> pw.pl.loss(adata).axes[0].get_title(loc="left")
    'Converged'
    """
    from partwise import figures

    slots = _slots.find_fit(adata, key)
    record = adata.uns.get(slots.record, {})
    if "loss_trace" not in record:
        raise UsageError(
            f"uns[{key!r}] has no loss: only tl.nmf writes one, neither tl.consensus_nmf, which "
            "makes many fits, nor tl.project, which makes none"
        )
    tol = record.get("params", {}).get("tol")
    return figures.loss_curve(
        record["loss_trace"],
        tol=None if tol is None else float(tol),
        converged=bool(record["converged"]),
    )


def _chosen(programs: Sequence[int] | None, k: int) -> list[int]:
    if programs is None:
        return list(range(1, min(k, _MOST) + 1))
    whole = isinstance(programs, Iterable) and all(
        isinstance(number, int | np.integer) and 1 <= number <= k for number in programs
    )
    if not whole or not len(programs):
        raise UsageError(
            f"programs are numbered from 1 to {k}: a list of such numbers is needed, not "
            f"{programs!r}"
        )
    if len(programs) > _MOST:
        raise UsageError(f"at most {_MOST} programs fit into one figure, not {len(programs)}")
    return [int(number) for number in programs]
