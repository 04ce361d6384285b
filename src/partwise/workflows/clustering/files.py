"""The tables and the model that the cluster job writes."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from partwise.io import save_model
from partwise.io.h5ad_writer import write_h5ad
from partwise.io.writers import write_csv, write_parquet
from partwise.workflows.clustering.compare import write_comparison
from partwise.workflows.clustering.extras import write_extras
from partwise.workflows.clustering.tissue import spatial_of

if TYPE_CHECKING:
    from partwise.workflows.clustering.result import Findings
    from partwise.workflows.outputs import RunFolder

__all__ = ["Written", "write_tables"]

#: kind of output -> (file name, what it holds)
Written = dict[str, tuple[str, str]]


def write_tables(found: Findings, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write the clusters, the factors and the model.

    Parameters
    ----------
    found
        What a run found.
    folder
        Where its files go.
    n_threads
        Threads.

    Returns
    -------
    written
        The files, by kind.
    notes
        What the user should know about them.
    """
    stem = found.table.name
    ids = [str(name) for name in found.table.ids.columns]
    cells, rows = _cell_columns(found), found.options.chunksize
    written: Written = {
        "clusters": (f"{stem}_nmf_leiden_clusters.csv", "cluster and factor usage of each cell"),
        "basis": (f"{stem}_nmf_basis_H.csv", "weight of each feature in each factor"),
        "model": (f"{stem}_nmf_model.npz", "the fitted model, for partwise.load"),
    }
    path = {kind: folder.path(name) for kind, (name, _) in written.items()}
    notes = [
        *write_csv(path["clusters"], cells, identifiers=ids, n_threads=n_threads, chunk_rows=rows),
        *write_csv(path["basis"], _basis_columns(found), identifiers=["cell_type"]),
    ]
    save_model(_timeless(found.model), path["model"], feature_names=found.table.features)
    if "parquet" in found.options.formats:
        name = f"{stem}_nmf_leiden_clusters.parquet"
        notes += write_parquet(folder.path(name), cells, chunk_rows=rows)
        written["parquet"] = (name, "the same as the CSV, typed and compressed")
    if "h5ad" in found.options.formats:
        name = f"{stem}_nmf_leiden_clusters.h5ad"
        notes += write_h5ad(
            folder.path(name),
            found.table,
            usage=found.usage,
            programs=found.fit.programs,
            labels=found.rows.clustering.labels,
            spatial=spatial_of(found.table),
            record={**found.parameters, "relative_error": found.fit.relative_error},
        )
        written["h5ad"] = (name, "table, clusters and factors for scverse tools")
    more, told = write_comparison(found.compared, folder, stem)
    extra, said = write_extras(found, folder, n_threads)
    return {**written, **more, **extra}, [*notes, *told, *said]


def _timeless(model: Any) -> Any:
    """Return a model whose fit took no known time: the same data and seed give the same file.

    How long it took is in run.json.
    """
    copied = copy.copy(model)
    copied.result_ = dataclasses.replace(model.result_, wall_time=math.nan)
    return copied


def _cell_columns(found: Findings) -> dict[str, Any]:
    """Return identifiers, cluster and usage of the cells, without copying them."""
    columns: dict[str, Any] = {str(name): found.table.ids[name] for name in found.table.ids}
    columns["leiden_cluster"] = found.rows.clustering.labels
    columns.update(zip(found.factor_names, found.usage.T, strict=True))
    return columns


def _basis_columns(found: Findings) -> dict[str, Any]:
    """Return H transposed: a row per feature."""
    columns: dict[str, Any] = {"cell_type": list(found.table.features)}
    columns.update(zip(found.factor_names, found.fit.programs, strict=True))
    return columns
