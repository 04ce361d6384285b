"""The tables that tuning writes: the original's four files, and what else was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from partwise.io.writers import write_csv
from partwise.utils.atomic import write_text
from partwise.workflows.tuning.text import text_report

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.outputs import RunFolder
    from partwise.workflows.tuning.options import TuneOptions
    from partwise.workflows.tuning.sample import CellSample
    from partwise.workflows.tuning.types import TuneResult

__all__ = ["POINT", "TuneFindings", "write_tables"]

#: A point of the grid.
POINT = ("n_components", "n_neighbors", "resolution")
_SIZES = ("n_clusters", "min_cluster_size", "max_cluster_size", "median_cluster_size")


@dataclass(frozen=True)
class TuneFindings:
    """What a run found, for the files and the report.

    Attributes
    ----------
    table
        The input; its values may be closed already.
    options
        What was asked for.
    sample
        The cells on which settings were compared.
    result
        What was measured, and the recommendation.
    tree
        How clusters come from each other at the recommended n and k, see `cluster_tree`.
    command
        The command that clusters all cells with the recommended setting.
    warnings
        What the user should look at.
    parameters
        Every option with the value that was used.
    seconds
        Wall time of each stage.
    """

    table: Table
    options: TuneOptions
    sample: CellSample
    result: TuneResult
    tree: pd.DataFrame | None
    command: str
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]

    @property
    def at_recommended(self) -> pd.Series:
        """The row of the grid that is recommended."""
        chosen = self.result.recommendation
        wanted = (chosen.n_components, chosen.n_neighbors, chosen.resolution)
        return self.result.grid.set_index(list(POINT)).loc[wanted]


def write_tables(found: TuneFindings, folder: RunFolder) -> dict[str, tuple[str, str]]:
    """Write all tables and the text report.

    Parameters
    ----------
    found
        What a run found.
    folder
        Where its files go.

    Returns
    -------
    dict
        Kind -> (file name, what it holds).
    """
    stem, tables = found.table.name, _tables(found)
    written = {kind: (name, what) for kind, (name, _, what) in tables.items()}
    for name, frame, _ in tables.values():
        write_csv(folder.path(name), dict(frame.items()))
    written["cells"] = (
        f"{stem}_tune_cells.csv",
        "cluster and confidence of each sampled cell at the recommended setting",
    )
    _write_cells(found, folder, written["cells"][0])
    written["text"] = (f"{stem}_tuning_report.txt", "the recommendation and its reasons, as text")
    write_text(folder.path(written["text"][0]), text_report(found))
    return written


def _tables(found: TuneFindings) -> dict[str, tuple[str, pd.DataFrame, str]]:
    """Return kind -> (file name, the table, what it holds)."""
    stem, grid = found.table.name, found.result.grid
    tables = {
        "reconstruction": (
            f"{stem}_nmf_reconstruction.csv",
            found.result.components[["n_components", "reconstruction_error"]],
            "error of the factorization for each number of factors",
        ),
        "grid_search": (
            f"{stem}_grid_search.csv",
            grid[[*POINT, *_SIZES]],
            "number and sizes of the clusters at every setting",
        ),
        "stability": (
            f"{stem}_stability.csv",
            grid[["resolution", "n_components", "n_neighbors", "mean_ari", "std_ari"]],
            "agreement of replicates at every setting",
        ),
        "points": (f"{stem}_tune_points.csv", grid, "all that was measured at every setting"),
        "components": (
            f"{stem}_tune_components.csv",
            found.result.components,
            "errors, stability and spectrum for each number of factors",
        ),
        "clusters": (
            f"{stem}_tune_clusters.csv",
            found.result.per_cluster,
            "clusters of the recommended setting, and how sure they are",
        ),
        "alternatives": (
            f"{stem}_tune_alternatives.csv",
            found.result.recommendation.alternatives,
            "settings that the measurements do not exclude",
        ),
    }
    if found.tree is not None:
        tables["tree"] = (
            f"{stem}_tune_tree.csv",
            found.tree,
            "from which cluster of the next lower resolution each one comes",
        )
    return tables


def _write_cells(found: TuneFindings, folder: RunFolder, name: str) -> None:
    ids = found.sample.ids
    columns: dict[str, Any] = {str(column): ids[column] for column in ids}
    columns["leiden_cluster"] = found.result.labels
    columns["confidence"] = found.result.confidence
    write_csv(
        folder.path(name),
        columns,
        identifiers=[str(column) for column in ids],
        n_threads=found.options.threads,
    )
