"""The job behind `partwise neighborhoods`: cells with coordinates -> table of shares, report."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partwise.io.writers import write_csv, write_parquet
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells_count import Surroundings, count_around
from partwise.workflows.cells_read import Cells, read_cells
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.neighborhoods_options import NeighborhoodsOptions
from partwise.workflows.neighborhoods_plan import check_memory
from partwise.workflows.neighborhoods_report import build_report
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.tuning.text import counted

if TYPE_CHECKING:
    from partwise.graph.spatial import NeighborhoodTable

__all__ = [
    "NeighborhoodsFindings",
    "NeighborhoodsOptions",
    "NeighborhoodsResult",
    "neighborhoods",
]


@dataclass(frozen=True)
class NeighborhoodsFindings:
    """What a run found, for the files and the report."""

    cells: Cells
    options: NeighborhoodsOptions
    around: Surroundings
    fovs: pd.DataFrame
    shares: pd.DataFrame
    warnings: tuple[str, ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class NeighborhoodsResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    table
        Counts, types, and the number of neighbours of each cell.
    fovs
        One row per field of view: cells, neighbours (mean and levels), cells without.
    resolved
        The options with the values that were used, the radius for example.
    outputs
        The files: "table", "fovs", "types", "report", "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    table: NeighborhoodTable
    fovs: pd.DataFrame
    resolved: dict[str, Any]
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: NeighborhoodsOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "input": str(self.input),
            **_numbers(self.table, self.fovs),
            "radius": self.resolved["radius"],
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        found = _numbers(self.table, self.fovs)
        extra = ",".join(("fov", "label", "cell_meta_cluster", *self.options.metadata))
        ids = f" --id-columns {extra}" if self.options.metadata else ""
        return [
            f"{counted(found['n_cells'], 'cell')} in {found['n_fovs']:,} "
            f"{'field' if found['n_fovs'] == 1 else 'fields'} of view, "
            f"{counted(found['n_types'], 'type')}: {found['mean_neighbors']:.1f} neighbours on "
            f"average, {found['n_alone']:,} cells without",
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"table: {self.outputs['table']}",
            f"report: {self.outputs['report']}",
            f"next: partwise cluster {self.outputs['table']}{ids}",
        ]


def neighborhoods(
    input: str | os.PathLike[str],
    *,
    options: NeighborhoodsOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> NeighborhoodsResult:
    """Make the neighbourhood table of cells with coordinates.

    See `partwise.graph.neighborhood_table` for how neighbours are counted. All files appear in the
    output folder together at the end; the table has the layout that `cluster` reads.

    Parameters
    ----------
    input
        CSV, TSV, parquet, h5ad or zarr: one row per cell, with its field of view, its type and its
        coordinates.
    options
        What to do; see `NeighborhoodsOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `NeighborhoodsOptions`, in place of `options`.

    Returns
    -------
    NeighborhoodsResult
        The table, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used, or the radius reaches no cell or thousands.
    DataError
        If the table cannot be used; names row and column.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.datasets import simulate_tissue, write_tissue
    >>> from partwise.workflows import neighborhoods
    >>> folder = tempfile.mkdtemp()
    >>> cells = write_tissue(simulate_tissue(600, n_fovs=2), folder)["table"]
    >>> result = neighborhoods(cells, radius=50, output_dir=folder)
    >>> result.outputs["table"].name
    'test_cells_600_neighborhoods.csv'
    """
    options = resolved(NeighborhoodsOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise neighborhoods", os.fspath(input), options)
    check_memory(input, options)  # refused before the work, not in the midst of it
    record = RunRecord(command, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        with clock.stage("read"):
            cells = read_cells(
                Path(input),
                options,
                metadata=options.metadata,
                n_threads=n_threads,
                progress=clock.progress,
            )
        found = _find(cells, options, n_threads, clock)
        outputs = _write(found, folder, clock, command)
    return NeighborhoodsResult(
        input=Path(input),
        table=found.around.table,
        fovs=found.fovs,
        resolved=found.around.resolved,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _find(
    cells: Cells, options: NeighborhoodsOptions, n_threads: int, clock: Clock
) -> NeighborhoodsFindings:
    """Count."""
    with clock.stage("count"):
        around = count_around(cells, options, n_threads=n_threads, progress=clock.progress)
    warn_of(clock, [*cells.notes, *around.notes])
    return NeighborhoodsFindings(
        cells=cells,
        options=options,
        around=around,
        fovs=_by_fov(cells.ids["fov"], around),
        shares=_by_type(cells.ids["cell_meta_cluster"], around),
        warnings=tuple(clock.record.warnings),
        seconds=clock.seconds,
    )


def _by_fov(fov: pd.Series, around: Surroundings) -> pd.DataFrame:
    """Return the numbers of each field of view, in the order of the table."""
    others = pd.Series(around.others, index=fov.index)
    groups = others.groupby(fov, sort=False, observed=True)
    table = pd.DataFrame(
        {
            "cells": groups.size(),
            "mean_neighbors": groups.mean(),
            "low": groups.quantile(0.05),
            "median": groups.median(),
            "high": groups.quantile(0.95),
            "without_neighbors": (others == 0).groupby(fov, sort=False, observed=True).sum(),
        }
    )
    table.index = pd.Index(table.index.astype(str), name="fov")
    return table


def _by_type(types: pd.Series, around: Surroundings) -> pd.DataFrame:
    """Return the mean shares of the types around the cells of each type that have neighbours."""
    names = list(around.table.types)
    shares = around.values if not around.resolved["counts"] else around.table.frequencies
    counted = np.flatnonzero(shares.any(axis=1))
    codes = types.cat.codes.to_numpy()[counted]
    total = np.zeros((len(names), len(names)))
    for j in range(len(names)):
        total[:, j] = np.bincount(codes, shares[counted, j], minlength=len(names))
    n = np.bincount(codes, minlength=len(names))
    mean = pd.DataFrame(total / np.maximum(n, 1)[:, None], index=names, columns=names)
    mean.index.name = "cell_meta_cluster"
    return mean.loc[n > 0]


def _write(
    found: NeighborhoodsFindings, folder: RunFolder, clock: Clock, command: str
) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = _write_tables(found, folder, clock.record.n_threads or 1)
    warn_of(clock, notes)

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        write_report(path, build_report(now, files, command))

    used = dataclasses.asdict(found.options) | found.around.resolved
    used["threads"] = clock.record.n_threads
    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=used,
        results=_numbers(found.around.table, found.fovs),
    )


def _write_tables(
    found: NeighborhoodsFindings, folder: RunFolder, n_threads: int
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Write tables; return kind -> (file name, what it holds), and notes."""
    stem, ids = found.cells.name, found.cells.ids
    what = "numbers" if found.options.counts else "shares"
    written = {
        "table": (f"{stem}_neighborhoods.csv", f"{what} of the types around each cell"),
        "fovs": (f"{stem}_neighborhoods_by_fov.csv", "neighbours in each field of view"),
        "types": (f"{stem}_neighborhoods_by_type.csv", "mean shares around cells of each type"),
    }
    path = {kind: folder.path(name) for kind, (name, _) in written.items()}
    columns: dict[str, Any] = {str(name): ids[name] for name in ids}
    columns.update(zip(found.around.table.types, found.around.values.T, strict=True))
    notes = [
        *write_csv(path["table"], columns, identifiers=list(ids), n_threads=n_threads),
        *write_csv(path["fovs"], _columns_of(found.fovs), identifiers=["fov"]),
        *write_csv(path["types"], _columns_of(found.shares), identifiers=["cell_meta_cluster"]),
    ]
    if "parquet" in found.options.formats:
        name = f"{stem}_neighborhoods.parquet"
        notes += write_parquet(folder.path(name), columns)
        written["parquet"] = (name, "the same as the CSV, typed and compressed")
    return written, notes


def _columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    plain = frame.reset_index()
    return {str(name): plain[name] for name in plain}


def _numbers(table: NeighborhoodTable, fovs: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    n = int(fovs["cells"].sum())
    return {
        "n_cells": n,
        "n_fovs": len(fovs),
        "n_types": len(table.types),
        "mean_neighbors": float((fovs["mean_neighbors"] * fovs["cells"]).sum() / n),
        "n_alone": int(fovs["without_neighbors"].sum()),
    }
