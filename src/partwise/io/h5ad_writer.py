"""AnnData out: what scverse tools open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise import _slots
from partwise.exceptions import UsageError
from partwise.io.table import Table
from partwise.utils.atomic import atomic_path

__all__ = ["write_h5ad"]


def write_h5ad(
    path: str | os.PathLike[str],
    table: Table,
    *,
    usage: npt.NDArray[Any],
    programs: npt.NDArray[Any],
    labels: npt.NDArray[np.integer[Any]] | None = None,
    columns: Mapping[str, Any] | None = None,
    spatial: npt.NDArray[np.floating[Any]] | None = None,
    record: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    r"""Write a table and what was found in it as h5ad.

    The usage goes to `obsm["X_nmf"]`, the programs (transposed) to `varm["NMF_loadings"]`, the
    identifiers and `leiden_cluster` to obs, the record of the fit to `uns["nmf"]`, and the values
    to X where they are held in memory.

    Parameters
    ----------
    path
        Where.
    table
        n rows x p features.
    usage
        n x k.
    programs
        k x p; NaN for features that took no part.
    labels
        Cluster of each row, -1 for rows without one.
    columns
        Further columns of obs.
    spatial
        Horizontal and vertical position of each row, n x 2, for `obsm["spatial"]`.
    record
        Parameters and outcome of the fit; numbers, text, arrays, lists and mappings of them.

    Returns
    -------
    tuple of str
        What should be known, such as that X was left out.

    Raises
    ------
    UsageError
        If the shapes do not fit together.
    ResourceError
        If the disk is full or not ours to write; an earlier file at `path` stays whole.

    Examples
    --------
    >>> import tempfile, partwise, anndata
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("s,A,B\nx,1,0\ny,0,2\n")
    >>> table = partwise.open(folder / "a.csv", id_columns=["s"])
    >>> write_h5ad(folder / "a.h5ad", table, usage=np.ones((2, 1)), programs=np.ones((1, 2)))
    ()
    >>> anndata.read_h5ad(folder / "a.h5ad").obsm["X_nmf"].shape
    (2, 1)
    """
    import anndata

    n, p = table.shape
    k = programs.shape[0]
    if (
        usage.shape != (n, k)
        or programs.shape != (k, p)
        or (labels is not None and len(labels) != n)
    ):
        raise UsageError(
            f"shapes do not fit: table {n} x {p}, usage {usage.shape}, programs {programs.shape}"
        )
    notes: list[str] = []
    obs = _obs(table.ids, notes)
    if labels is not None:
        obs["leiden_cluster"] = _clusters(labels)
    for name, values in (columns or {}).items():
        obs[name] = values
    matrix = table.matrix if table.in_memory else None
    if matrix is None:
        notes.append("X was left out of the h5ad file, because the values exceed the memory limit")
    obsm = {_slots.USAGE: np.ascontiguousarray(usage, dtype=np.float32)}
    if spatial is not None:
        obsm["spatial"] = np.ascontiguousarray(spatial, dtype=np.float64)
    data = anndata.AnnData(
        matrix,
        obs=obs,
        var=pd.DataFrame(index=pd.Index(table.features, dtype=object)),
        obsm=obsm,
        varm={_slots.LOADINGS: np.ascontiguousarray(programs.T)},
        uns={_slots.NMF_KEY: _plain(dict(record or {}))},
    )
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)
    return tuple(notes)


def _obs(ids: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name in ids.columns:
        # a slash in a name would make a group inside the file
        plain = str(name).replace("/", "_")
        if plain != name:
            notes.append(f"the column {name!r} is called {plain!r} in the h5ad file")
        column = ids[name]
        text = column.dtype.kind == "O" or str(column.dtype).startswith("string")
        columns[plain] = column.astype(object).to_numpy() if text else column.array
    return pd.DataFrame(columns, index=_row_names(ids, notes))


def _row_names(ids: pd.DataFrame, notes: list[str]) -> pd.Index:
    """Return a name for every row that no other has."""
    if {"fov", "label"} <= set(ids.columns):
        names = ids["fov"].astype(str).str.cat(ids["label"].astype(str), sep="_")
    elif "cell" in ids.columns:
        names = ids["cell"].astype(str)
    else:
        names = pd.Series(np.arange(len(ids))).astype(str)
    index = pd.Index(names.to_numpy(dtype=object), dtype=object)
    if index.is_unique:
        return index
    notes.append("the identifiers do not tell all rows apart: rows are numbered in the h5ad file")
    return pd.RangeIndex(len(ids)).astype(str)


def _clusters(labels: npt.NDArray[np.integer[Any]]) -> pd.Categorical:
    """Return cluster numbers as scverse tools expect them: categories of text, in their order."""
    present, codes = np.unique(labels, return_inverse=True)
    return pd.Categorical.from_codes(codes, [str(label) for label in present])


def _plain(value: Any) -> Any:
    """Return a value as types that HDF5 holds; what has none becomes JSON text."""
    if isinstance(value, Mapping):
        return {str(k).replace("/", "_"): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value
    if isinstance(value, bool | int | float | str | np.generic):
        return value
    if isinstance(value, list | tuple) and value:
        array = np.asarray(value) if _uniform(value) else None
        if array is not None and array.dtype.kind in "fiubU":
            return array.astype(object) if array.dtype.kind == "U" else array
    return json.dumps(value, default=str)


def _uniform(values: Any) -> bool:
    """Whether a list holds numbers only, or text only, so that an array keeps what it says."""
    return all(isinstance(v, str) for v in values) or all(
        isinstance(v, bool | int | float | np.number) for v in values
    )
