"""The matrix of an AnnData: an array, a CSR matrix, or a block source where it is on disk."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io.annotated import refuse_lost_chunks
from partwise.io.columns import shown
from partwise.io.sources import CsrSource, DenseSource

__all__ = ["matrix_of", "variables"]


def variables(adata: Any, mask_var: Any) -> npt.NDArray[np.bool_] | None:
    """Return which variables take part, or None for all.

    Parameters
    ----------
    adata
        An AnnData.
    mask_var
        None, the name of a column of var that holds truth values, or an array of them.

    Returns
    -------
    numpy.ndarray or None
        One truth value per variable.

    Raises
    ------
    UsageError
        If there is no such column, its values are no truth values, or none is true.
    """
    if mask_var is None:
        return None
    values: npt.NDArray[Any]
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise UsageError(
                f"mask_var: var has no column {mask_var!r}; it has {shown(list(adata.var))}"
            )
        values = np.asarray(adata.var[mask_var])
    else:
        values = np.asarray(mask_var)
    if values.shape != (adata.n_vars,):
        raise UsageError(
            f"mask_var must have one value for each of the {adata.n_vars} variables, "
            f"not shape {values.shape}"
        )
    if values.dtype != bool:
        if values.dtype != object or not all(isinstance(v, bool | np.bool_) for v in values):
            raise UsageError(f"mask_var must hold truth values, not {values.dtype}")
        values = values.astype(bool)
    if not values.any():
        raise UsageError("mask_var leaves no variable")
    return values


def matrix_of(
    adata: Any, *, layer: str | None = None, mask: npt.NDArray[np.bool_] | None = None
) -> Any:
    """Return the matrix of an AnnData, observations x variables, never made dense.

    Parameters
    ----------
    adata
        An AnnData, in memory or backed.
    layer
        Name of the layer; None means X.
    mask
        Variables that take part; None means all.

    Returns
    -------
    array, CSR matrix or block source
        What is in memory stays there and is not changed; what is on disk (a backed X) is read a
        block at a time.

    Raises
    ------
    UsageError
        If there is no such layer.
    DataError
        If there is no matrix, or it is of a kind that cannot be read.
    """
    if layer is not None and layer not in adata.layers:
        raise UsageError(f"there is no layer {layer!r}; there are {shown(list(adata.layers))}")
    X = adata.X if layer is None else adata.layers[layer]
    where = "X" if layer is None else f"layers[{layer!r}]"
    if X is None:
        layers = shown(list(adata.layers)) if len(adata.layers) else "no layers either"
        raise DataError(f"the AnnData has no X; name a layer ({layers})")
    if sp.issparse(X):
        rows = sp.csr_matrix(X)
        return rows if mask is None else rows[:, np.flatnonzero(mask)]
    if isinstance(X, np.ndarray):
        return np.asarray(X) if mask is None else np.asarray(X)[:, mask]
    return _on_disk(X, mask, where)


def _on_disk(X: Any, mask: npt.NDArray[np.bool_] | None, where: str) -> Any:
    columns = None if mask is None else np.flatnonzero(mask)
    group = getattr(X, "group", None)
    if group is not None and getattr(X, "format", None) in ("csr", "csc"):
        refuse_lost_chunks(group)
        if X.format == "csr":
            pointers = group["indptr"][:]
            return CsrSource(group["data"], group["indices"], pointers, X.shape[1], columns)
        warnings.warn(
            f"{where} is stored by columns (CSC): it is read into memory as rows",
            PartwiseWarning,
            stacklevel=4,
        )
        rows = X.to_memory().tocsr()
        return rows if columns is None else rows[:, columns]
    if type(X).__module__.split(".")[0] in ("h5py", "zarr"):
        return DenseSource(X, columns)
    raise DataError(
        f"{where} is a {type(X).__module__}.{type(X).__name__}, which cannot be read: load it into "
        "memory, or open the file in backed mode"
    )
