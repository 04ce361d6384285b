"""Results of an AnnData as tidy data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["loadings", "model", "top_genes", "usage"]


def usage(adata: AnnData, *, key: str = _slots.NMF_KEY) -> pd.DataFrame:
    """Return the usage of each program by each observation.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    key
        Key of the factorization.

    Returns
    -------
    pandas.DataFrame
        Observations x programs, columns program_1, program_2, ...

    Raises
    ------
    DataError
        If there is no such factorization.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> pw.get.usage(adata).columns.tolist()
    ['program_1', 'program_2', 'program_3']
    """
    import pandas as pd

    slots = _slots.find_fit(adata, key)
    values = np.asarray(adata.obsm[slots.usage])
    return pd.DataFrame(values, index=adata.obs_names, columns=_names(values.shape[1]))


def loadings(adata: AnnData, *, key: str = _slots.NMF_KEY) -> pd.DataFrame:
    """Return the weight of each variable in each program.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    key
        Key of the factorization.

    Returns
    -------
    pandas.DataFrame
        Variables x programs; variables that took no part in the fit are left out.

    Raises
    ------
    DataError
        If there is no such factorization.
    """
    import pandas as pd

    slots = _slots.find_fit(adata, key)
    values = np.asarray(adata.varm[slots.loadings])
    frame = pd.DataFrame(values, index=adata.var_names, columns=_names(values.shape[1]))
    return frame.loc[~np.isnan(values).any(axis=1)]


def top_genes(
    adata: AnnData, *, n_genes: int = 20, by: str = "weight", key: str = _slots.NMF_KEY
) -> pd.DataFrame:
    """Return the genes that make up each program, one row per program and gene.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    n_genes
        Genes per program.
    by
        "weight": by the weight in the program; "share": by the share of the gene's weight that
        the program has, so that genes that are high everywhere come last.
    key
        Key of the factorization.

    Returns
    -------
    pandas.DataFrame
        Columns program, rank (from 1), gene, weight, share.

    Raises
    ------
    DataError
        If there is no such factorization.
    UsageError
        If a parameter cannot be used.
    """
    from partwise.factorize.top import top_features

    frame = loadings(adata, key=key)
    return top_features(frame.to_numpy().T, list(frame.index), n=n_genes, by=by, name="gene")


def model(adata: AnnData, *, key: str = _slots.NMF_KEY) -> Any:
    """Return the fitted estimator, for `partwise.save` or `transform`.

    Parameters
    ----------
    adata
        After `partwise.tl.nmf`.
    key
        Key of the factorization.

    Returns
    -------
    NMF, MiniBatchNMF or ConsensusNMF
        With programs, names and parameters.

    Raises
    ------
    DataError
        If there is no such factorization.
    """
    from partwise.io.fitted import model_of

    return model_of(adata, key)


def _names(k: int) -> list[str]:
    if k < 1:
        raise UsageError("there are no programs")
    return [f"program_{i + 1}" for i in range(k)]
