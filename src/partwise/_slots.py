"""Where results stand in an AnnData: every name once, and how they are written and found.

An AnnData is taken as it comes (`obs`, `var`, `obsm`, `varm`, `obsp`, `uns`); this module imports
no anndata. Two styles are read, as scanpy has two for its own embeddings: the classic names of the
default key (`X_nmf`, `NMF_loadings`), and one bare key for all (`obsm["mine"]`, `varm["mine"]`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise import __version__
from partwise.exceptions import DataError, UsageError

__all__ = [
    "CONNECTIVITIES",
    "DISTANCES",
    "LEIDEN",
    "LOADINGS",
    "LOG1P",
    "NEIGHBORS",
    "NMF_KEY",
    "OVERDISPERSION",
    "RANK",
    "SCHEMA_VERSION",
    "USAGE",
    "VARIABLE",
    "FitSlots",
    "GraphSlots",
    "check_annotated",
    "find_fit",
    "fit_record",
    "fit_slots",
    "graph_slots",
    "plain",
    "put",
    "spread",
    "target",
]

NMF_KEY = "nmf"
USAGE, LOADINGS = "X_nmf", "NMF_loadings"
NEIGHBORS, DISTANCES, CONNECTIVITIES = "neighbors", "distances", "connectivities"
LEIDEN = "leiden"
VARIABLE, OVERDISPERSION, LOG1P = "highly_variable", "overdispersion", "log1p"
RANK = "nmf_rank"
#: Version of what `uns["nmf"]` holds.
SCHEMA_VERSION = 1

#: Entry of the record -> attribute of an estimator's `result_`; each has some of them.
_OF_RESULT = {
    "loss_trace": "loss",
    "n_iter": "n_iter",
    "converged": "converged",
    "status": "status",
    "relative_error": "relative_error",
    "explained": "explained",
    "stability": "stability",
    "local_density": "local_density",
    "cluster_of_replicates": "cluster",
}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FitSlots:
    """Names of a factorization: usage in `obsm`, programs in `varm`, record in `uns`."""

    usage: str
    loadings: str
    record: str


@dataclass(frozen=True)
class GraphSlots:
    """Names of a neighbour graph: two matrices in `obsp`, their record in `uns`."""

    distances: str
    connectivities: str
    record: str


def fit_slots(key: str = NMF_KEY) -> FitSlots:
    """Return where a factorization of that key is written.

    Examples
    --------
    >>> fit_slots("nmf")
    FitSlots(usage='X_nmf', loadings='NMF_loadings', record='nmf')
    >>> fit_slots("immune").usage
    'immune'
    """
    if key == NMF_KEY:
        return FitSlots(USAGE, LOADINGS, NMF_KEY)
    return FitSlots(key, key, key)


def graph_slots(key: str | None = None) -> GraphSlots:
    """Return where a neighbour graph is written, as scanpy's `key_added` has it."""
    if key is None or key == NEIGHBORS:
        return GraphSlots(DISTANCES, CONNECTIVITIES, NEIGHBORS)
    return GraphSlots(f"{key}_{DISTANCES}", f"{key}_{CONNECTIVITIES}", key)


def find_fit(adata: Any, key: str = NMF_KEY) -> FitSlots:
    """Return where the factorization of that key stands, in either style.

    Raises
    ------
    DataError
        If there is none; says what there is.
    """
    check_annotated(adata)
    usages = dict.fromkeys((fit_slots(key).usage, f"X_{key}", key))
    loadings = dict.fromkeys(
        (fit_slots(key).loadings, f"{key}_loadings", f"{key.upper()}_loadings", key)
    )
    usage = next((name for name in usages if name in adata.obsm), None)
    loading = next((name for name in loadings if name in adata.varm), None)
    if usage is None or loading is None:
        lacking = (
            f"obsm[{next(iter(usages))!r}]"
            if usage is None
            else (f"varm[{next(iter(loadings))!r}]")
        )
        raise DataError(
            f"there is no factorization {key!r}: {lacking} is missing (obsm has "
            f"{_names(adata.obsm)}; varm has {_names(adata.varm)}). Run partwise.tl.nmf first, or "
            "name its key"
        )
    return FitSlots(usage, loading, key)


def check_annotated(adata: Any) -> None:
    """Refuse what is no AnnData.

    Raises
    ------
    UsageError
        With what takes it instead.
    """
    if all(hasattr(adata, name) for name in ("obs", "var", "obsm", "varm", "uns", "is_view")):
        return
    what = type(adata).__name__
    raise UsageError(
        f"an AnnData is needed, not a {what}: "
        + (
            "read the file with anndata.read_h5ad first, or call partwise.workflows"
            if isinstance(adata, str | os.PathLike)
            else "partwise.NMF and its like take arrays, sparse matrices and data frames"
        )
    )


def put(slot: Any, name: str, value: Any) -> None:
    """Write one slot; a view of an AnnData becomes a copy of its own, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*view.*")
        slot[name] = value


def spread(programs: Array, mask: npt.NDArray[np.bool_] | None, n_vars: int) -> Array:
    """Return programs (k x p) as loadings (n_vars x k), NaN where a variable took no part."""
    if mask is None:
        return np.ascontiguousarray(programs.T)
    loadings = np.full((n_vars, programs.shape[0]), np.nan, programs.dtype)
    loadings[mask] = programs.T
    return loadings


def fit_record(model: Any, where: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `uns["nmf"]` holds of a fitted estimator; HDF5-safe."""
    record: dict[str, Any] = {
        "params": {**model.get_params(deep=False), **where},
        "estimator": type(model).__name__,
        "n_components": int(model.components_.shape[0]),
        "loss": getattr(model, "loss", "frobenius"),
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
    }
    seed = record["params"].get("random_state")
    record["seed"] = int(seed) if isinstance(seed, int | np.integer) else None
    record["params"]["random_state"] = record["seed"]
    result = getattr(model, "result_", None)
    for name, attribute in _OF_RESULT.items():
        value = getattr(result, attribute, None)
        if value is not None:
            record[name] = value.advice if name == "status" else value
    return dict(plain(record))


def target(adata: Any, copy: bool, key: str | None = None) -> Any:
    """Return the AnnData to write to under a key: itself, or a copy of it.

    Raises
    ------
    UsageError
        If it is none, is in a file and would have to be copied, or files cannot hold the key.
    """
    check_annotated(adata)
    if key is not None and (not isinstance(key, str) or not key or "/" in key):
        raise UsageError(
            f"key_added must be a text without '/', which parts names in h5ad and zarr files, not "
            f"{key!r}"
        )
    if not copy:
        if adata.is_view and adata.isbacked:
            raise UsageError(
                "this is a view of an AnnData in a file, to which nothing can be written: load it "
                "with .to_memory() first"
            )
        return adata
    if adata.isbacked:
        raise UsageError("copy=True would copy the file: leave it out, or use .to_memory() first")
    return adata.copy()


def plain(value: Any) -> Any:
    """Return a value as types that HDF5 holds; None is left out of mappings.

    Examples
    --------
    >>> plain({"a": None, "b/c": (1, 2), "d": "x"})
    {'b_c': array([1, 2]), 'd': 'x'}
    """
    if isinstance(value, Mapping):
        return {
            str(name).replace("/", "_"): plain(item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value
    if isinstance(value, np.ndarray | list | tuple):
        items = list(value)
        if all(isinstance(item, int | float | np.number | bool) for item in items) and items:
            return np.asarray(items)
        return np.array([str(item) for item in items], dtype=object)
    return str(value)


def _names(slot: Any) -> str:
    return ", ".join(map(repr, slot)) or "nothing"
