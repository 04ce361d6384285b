"""The tables that `partwise cluster --model` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.io.h5ad_writer import write_h5ad
from partwise.io.writers import write_csv, write_parquet
from partwise.workflows.clustering.compare import write_comparison
from partwise.workflows.clustering.tissue import spatial_of

if TYPE_CHECKING:
    from partwise.workflows.clustering.assign_result import Assigned
    from partwise.workflows.clustering.files import Written
    from partwise.workflows.outputs import RunFolder

__all__ = ["write_assigned"]


def write_assigned(found: Assigned, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write the niches of the cells.

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
    stem, table, rows = found.table.name, found.table, found.options.chunksize
    ids = [str(name) for name in table.ids.columns]
    columns: dict[str, Any] = {name: table.ids[name] for name in table.ids}
    columns["leiden_cluster"] = found.labels
    columns.update(zip(found.factor_names, found.usage.T, strict=True))
    columns["confidence"] = found.confidence.astype(np.float32)
    columns["unseen"] = found.unseen.astype(np.int8)
    name = f"{stem}_nmf_leiden_clusters"
    written: Written = {
        "clusters": (f"{name}.csv", "niche, factor usage and confidence of each cell"),
    }
    notes = [
        *write_csv(
            folder.path(f"{name}.csv"),
            columns,
            identifiers=ids,
            n_threads=n_threads,
            chunk_rows=rows,
        )
    ]
    if "parquet" in found.options.formats:
        notes += write_parquet(folder.path(f"{name}.parquet"), columns, chunk_rows=rows)
        written["parquet"] = (f"{name}.parquet", "the same as the CSV, typed and compressed")
    if "h5ad" in found.options.formats:
        programs = np.full((found.usage.shape[1], table.shape[1]), np.nan, np.float32)
        shared = {str(name): j for j, name in enumerate(found.model.feature_names_in_)}
        for column in found.columns:
            programs[:, column] = found.model.components_[:, shared[table.features[column]]]
        notes += write_h5ad(
            folder.path(f"{name}.h5ad"),
            table,
            usage=found.usage,
            programs=programs,
            labels=found.labels,
            spatial=spatial_of(table),
            columns={"confidence": columns["confidence"], "unseen": found.unseen},
            record=found.parameters,
        )
        written["h5ad"] = (f"{name}.h5ad", "table, niches and factors for scverse tools")
    more, told = write_comparison(found.compared, folder, stem)
    return {**written, **more}, [*notes, *told]
