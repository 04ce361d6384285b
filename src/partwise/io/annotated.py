"""AnnData on disk: h5ad and Zarr, without loading the matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from partwise.exceptions import DataError
from partwise.io.columns import DEFAULT_ID_COLUMNS, match_features, shown
from partwise.io.finishing import checked, without_values
from partwise.io.identifiers import Identifiers
from partwise.io.positions import SPATIAL
from partwise.io.request import Parsed, Request
from partwise.io.sources import CsrSource, DenseSource

__all__ = ["read_h5ad", "read_zarr", "refuse_lost_chunks"]


def read_h5ad(request: Request) -> Parsed:
    """Read an h5ad file; X stays on disk where it exceeds the memory limit."""
    import h5py

    try:
        file = h5py.File(request.path, "r")
    except OSError as error:
        raise DataError(
            f"the HDF5 file is damaged or cut off ({error})", path=request.path
        ) from error
    return _read(request, file, file.close)


def read_zarr(request: Request) -> Parsed:
    """Read AnnData in a Zarr folder (format 2 or 3)."""
    import zarr

    try:
        group = zarr.open_group(str(request.path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"this is no Zarr group ({error})", path=request.path) from error
    return _read(request, group, group.store.close)


def _read(request: Request, root: Any, close: Callable[[], None]) -> Parsed:
    try:
        return _parts(request, root, close)
    except DataError as error:
        close()
        if error.path is None:
            raise DataError(str(error), path=request.path) from error
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        close()
        raise DataError(
            f"the file is damaged, or not AnnData as anndata 0.8 and later write it "
            f"({type(error).__name__}: {error})",
            path=request.path,
        ) from error


def _parts(request: Request, root: Any, close: Callable[[], None]) -> Parsed:
    path = request.path
    absent = [name for name in ("obs", "var") if name not in root]
    if absent:
        kind = " It is a 10x Genomics matrix: convert it to h5ad first." if "matrix" in root else ""
        raise DataError(f"this is not AnnData: it has no {' and no '.join(absent)}.{kind}")
    if request.features is not None and not request.features:
        frame = _identifiers(request, root)
        close()
        return without_values(request, *frame)
    place = _place(root, request.layer)
    names = _names(root["var"])
    again = pd.Index(names)[pd.Index(names).duplicated()]
    if len(again):
        raise DataError(
            f"{len(again):,} features have the name of an earlier one; rename them, for example "
            "with adata.var_names_make_unique()",
            path=path,
            column=str(again[0]),
        )
    columns = None
    if request.features is not None:
        columns = np.array(match_features(names, request.features, path=path))
        names = [names[j] for j in columns]
    notes: list[str] = []
    matrix = _matrix(place, columns, close, notes)
    ids, more, where = _identifiers(request, root)
    if len(ids) != matrix.shape[0]:
        raise DataError(f"obs has {len(ids):,} rows but X has {matrix.shape[0]:,}")
    found = checked(request, ids, names, matrix, [*notes, *more])
    return found._replace(coordinates=where)


def _place(root: Any, layer: str | None) -> Any:
    """Return X, or the layer that was asked for."""
    there = list(root["layers"]) if "layers" in root else []
    layers = shown(there) if there else "none"
    if layer is None:
        if "X" not in root:
            raise DataError(f"there is no X in the file (layers: {layers}); name a layer")
        return root["X"]
    if layer not in there:
        raise DataError(f"there is no layer {layer!r} in the file (layers: {layers})")
    return root["layers"][layer]


def _element(group: Any, name: str) -> Any:
    from anndata.io import read_elem

    return read_elem(group[name])


def _names(group: Any) -> list[str]:
    return [str(name) for name in _element(group, group.attrs["_index"])]


def _identifiers(request: Request, root: Any) -> tuple[pd.DataFrame, list[str], tuple[str, ...]]:
    """Return the identifiers that were asked for, else those that are there and the cell's name.

    Further notes, and the names of those that are coordinates.
    """
    obs = root["obs"]
    there = list(obs.attrs.get("column-order", []))
    in_obsm = tuple(request.coordinates or ()) == (SPATIAL,) and SPATIAL not in there
    where = () if in_obsm else tuple(request.coordinates or ())
    missing = [
        name
        for name in (*(request.id_columns or ()), *request.metadata, *where)
        if name not in there
    ]
    if missing:
        raise DataError(
            f"obs has no column {shown(missing)}; it has {shown(there)}", path=request.path
        )
    if request.id_columns is not None:
        wanted: Sequence[str] = request.id_columns
    else:
        wanted = [name for name in DEFAULT_ID_COLUMNS if name in there]
    complete = len(wanted) == len(DEFAULT_ID_COLUMNS)
    wanted = list(dict.fromkeys([*wanted, *where, *request.metadata]))
    ids = Identifiers(wanted, where)
    ids.add([_text(_element(obs, name)) for name in wanted])
    frame, notes = ids.finish()
    if request.id_columns is None and not complete:
        cell = pd.array(_names(obs), dtype="string[pyarrow]")
        frame.insert(0, "cell", cell)
    if in_obsm:
        axes = _spatial(root, len(frame))
        where = tuple(f"{SPATIAL}-{axis}" for axis in range(axes.shape[1]))
        frame = frame.assign(**dict(zip(where, axes.T, strict=True)))
    return frame, notes, where


def _spatial(root: Any, n: int) -> Any:
    """Return the positions in obsm, n x 2 or n x 3."""
    there = list(root["obsm"]) if "obsm" in root else []
    if SPATIAL not in there:
        raise DataError(
            f"there is no obsm[{SPATIAL!r}] (obsm: {shown(there) if there else 'none'})"
        )
    axes = np.asarray(_element(root["obsm"], SPATIAL), dtype=np.float64)
    if axes.ndim != 2 or axes.shape[0] != n or axes.shape[1] not in (2, 3):
        raise DataError(f"obsm[{SPATIAL!r}] has shape {axes.shape}; {n} x 2 or {n} x 3 is needed")
    return axes


def _text(values: Any) -> Any:
    """Return a column of obs as Arrow text; what is missing becomes empty text."""
    if isinstance(values, pd.Categorical):
        words = pa.array([str(word) for word in values.categories], pa.string())
        codes = pa.array(values.codes.astype(np.int32), mask=values.codes < 0)
        return pa.DictionaryArray.from_arrays(codes, words).dictionary_decode().fill_null("")
    array = pa.array(values, from_pandas=True)
    return array.cast(pa.string()).fill_null("")


def _matrix(
    x: Any, columns: Any, close: Callable[[], None], notes: list[str]
) -> DenseSource | CsrSource:
    encoding = x.attrs.get("encoding-type", "array")
    if not hasattr(x, "keys"):
        _note_absent_chunks(x, notes)
        if len(x.shape) != 2:
            raise DataError(f"X has {len(x.shape)} dimensions instead of 2")
        return DenseSource(x, columns, close)
    refuse_lost_chunks(x)
    n, p = (int(side) for side in x.attrs["shape"])
    if encoding == "csr_matrix":
        pointers = x["indptr"][:]
        if len(pointers) != n + 1:
            raise DataError(f"X should have {n:,} rows but has pointers for {len(pointers) - 1:,}")
        return CsrSource(x["data"], x["indices"], pointers, p, columns, close)
    if encoding == "csc_matrix":
        notes.append("X is stored by columns (CSC): it was turned into rows in memory")
        return _from_columns(x, (n, p), columns, close)
    raise DataError(f"X is stored as {encoding!r}, which is neither dense nor CSR nor CSC")


def _from_columns(
    x: Any, shape: tuple[int, int], columns: Any, close: Callable[[], None]
) -> CsrSource:
    import scipy.sparse as sp

    matrix = sp.csc_matrix((x["data"][:], x["indices"][:], x["indptr"][:]), shape=shape)
    matrix.check_format(full_check=True)
    rows = matrix.tocsr()
    return CsrSource(rows.data, rows.indices, rows.indptr, shape[1], columns, close)


def refuse_lost_chunks(x: Any) -> None:
    """Look for parts of a sparse matrix that Zarr would silently read as zeros.

    Raises
    ------
    DataError
        If files of the folder were lost.
    """
    if x["data"].shape[0] == 0:
        return
    # a writer omits chunks of zeros, but stored values are not zero, pointers grow, and of the
    # columns of many values not all are the first
    single = int(np.max(np.diff(x["indptr"][:]), initial=0)) <= 1
    for part in ("indptr", "data") if single else ("indptr", "data", "indices"):
        lost, chunks = _absent(x[part])
        if lost:
            raise DataError(
                f"{lost} of {chunks} chunks of X/{part} are missing: files were lost from the "
                "folder; copy it again"
            )


def _note_absent_chunks(x: Any, notes: list[str]) -> None:
    """Say that some of a dense matrix is not there; only Zarr can tell, and not why."""
    lost, chunks = _absent(x)
    if lost:
        notes.append(
            f"{lost} of {chunks} chunks of X are absent and read as zeros: Zarr leaves out chunks "
            "that are all zero, but a lost file looks the same"
        )


def _absent(array: Any) -> tuple[int, int]:
    """Return how many chunks have no file, and how many there should be; HDF5 has no such."""
    if not hasattr(array, "nchunks_initialized"):
        return 0, 0
    return int(array.nchunks - array.nchunks_initialized), int(array.nchunks)
