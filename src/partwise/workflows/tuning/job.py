"""The job behind `partwise tune`: table -> sample -> every setting measured -> one recommended."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from partwise.exceptions import DataError
from partwise.figures import render
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells import open_either, resolved_of
from partwise.workflows.checkpoint import open_checkpoint
from partwise.workflows.clock import Clock
from partwise.workflows.clustering.extra_options import least_cells
from partwise.workflows.clustering.prepare import normalize_by_fov
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sampling import strata_of
from partwise.workflows.tuning.advice import advice_before, check_size, recommended_command
from partwise.workflows.tuning.engine import tune_rows
from partwise.workflows.tuning.files import TuneFindings, write_tables
from partwise.workflows.tuning.options import TuneOptions
from partwise.workflows.tuning.plan import memory_for_values
from partwise.workflows.tuning.report import build_report, drawn_figures
from partwise.workflows.tuning.sample import CellSample, sample_cells
from partwise.workflows.tuning.text import counted, setting
from partwise.workflows.tuning.tree import Remembering, cluster_tree

if TYPE_CHECKING:
    import pandas as pd

    from partwise.io import Table
    from partwise.workflows.tuning.types import TuneResult

__all__ = ["TuneOptions", "TuneRun", "tune"]

_JOB = "tune"


@dataclass(frozen=True)
class TuneRun:
    """What tuning found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    shape
        Cells and features of the table.
    n_sampled
        Cells on which settings were compared.
    result
        What was measured at every setting, and the recommendation.
    command
        The command that clusters all cells with the recommended setting.
    outputs
        The files: "reconstruction", "grid_search", "stability", "text" (the original's four),
        "points", "components", "clusters", "cells", "alternatives", figures, "report", "run".
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    shape: tuple[int, int]
    n_sampled: int
    result: TuneResult
    command: str
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: TuneOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "input": str(self.input),
            "n_cells": self.shape[0],
            "n_features": self.shape[1],
            "n_sampled": self.n_sampled,
            "n_settings": len(self.result.grid),
            **_results(self.result),
            "command": self.command,
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        found = self.result.recommendation
        sure = "" if math.isnan(found.confidence) else f" (in {found.confidence:.0%} of resamples)"
        at = setting(found.n_components, found.n_neighbors, found.resolution)
        grid = counted(len(self.result.grid), "setting")
        return [
            f"recommended: {at}: {counted(found.n_clusters, 'cluster')}{sure}",
            f"rule: {found.rule}",
            f"{grid} on {self.n_sampled:,} of {self.shape[0]:,} "
            f"cells, {self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"to cluster all cells: {self.command}",
            f"report: {self.outputs['report']}",
        ]


def tune(
    input: str | os.PathLike[str],
    *,
    options: TuneOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> TuneRun:
    """Compare settings of `cluster` on a sample of a table's cells, and recommend one.

    Every n (factors) with every k (neighbours) and every r (resolution) is measured; see
    `partwise.workflows.tuning.engine.tune_rows` for what, and for how a recommendation follows.
    Each finished part of the work is kept until the run has ended well; with `resume` a run goes
    on with what is there. All files appear in the output folder together at the end.

    Parameters
    ----------
    input
        CSV, TSV, parquet, h5ad, ...: one row per cell, identifiers, and one column of non-negative
        numbers per feature.
    options
        What to do; see `TuneOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `TuneOptions`, in place of `options`.

    Returns
    -------
    TuneRun
        The recommendation, all measurements, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the table cannot be used; names row and column.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.workflows import simulate, tune
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=400, mode="anchored", output_dir=folder).outputs["table"]
    >>> grid = {"n_components": (5, 6), "n_neighbors": (15,), "resolutions": (0.05, 0.1)}
    >>> run = tune(table, **grid, n_replicates=2, min_cluster_size=5, output_dir=folder)
    >>> len(run.result.grid)
    4
    """
    options = resolved(TuneOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise tune", os.fspath(input), options)
    granted = memory_for_values(input, options)  # refused before the work, not in the midst of it
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        with open_checkpoint(
            folder.folder,
            _JOB,
            options=options,
            record=record,
            resume=options.resume,
            progress=clock.progress,
        ) as store:
            table, sample = _draw(input, options, folder, clock, granted)
            found = _find(input, table, sample, options, clock, Remembering(store))
            outputs = _write(found, folder, clock, command)
    return TuneRun(
        input=Path(input),
        shape=found.table.shape,
        n_sampled=len(found.sample.rows),
        result=found.result,
        command=found.command,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _draw(
    input: str | os.PathLike[str],
    options: TuneOptions,
    folder: RunFolder,
    clock: Clock,
    memory_limit: int,
) -> tuple[Table, CellSample]:
    """Read the table, and draw the sample; the table is closed then."""
    with clock.stage("read"):
        table = open_either(
            input,
            options,
            metadata=options.metadata,
            spool_dir=folder.staging,
            memory_limit=memory_limit,
            chunk_rows=options.chunksize,
            n_threads=clock.record.n_threads,
            progress=clock.progress,
        )
    with table:
        by = _stratum_column(table, options)
        with clock.stage("sample"):
            values = normalize_by_fov(table) if options.normalize_by_fov else table
            sample = sample_cells(values, options.n_cells, by=by, seed=options.seed)
    check_size(sample, options)
    return table, sample


def _find(
    input: str | os.PathLike[str],
    table: Table,
    sample: CellSample,
    options: TuneOptions,
    clock: Clock,
    store: Remembering,
) -> TuneFindings:
    """Measure every setting on the sample."""
    least = least_cells(options.min_cluster_size, len(sample.rows))
    with clock.stage("settings"), warnings.catch_warnings():
        # what fits warn of is among the advice
        warnings.simplefilter("ignore")
        result = tune_rows(
            sample.values,
            options.grid,
            fov=_codes(sample, _fov_column(table)),
            batch=_codes(sample, options.batch),
            seed=options.seed,
            n_threads=clock.record.n_threads,
            progress=clock.progress,
            n_replicates=options.n_replicates,
            min_cluster_size=least,
            store=store,
        )
    advice = [*table.notes, *advice_before(sample, options, least), *result.recommendation.advice]
    warn_of(clock, advice)
    return TuneFindings(
        table=table,
        options=options,
        sample=sample,
        result=result,
        tree=_tree(result, options, store),
        command=recommended_command(os.fspath(input), table, options, result),
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(table, options, least, clock),
        seconds=clock.seconds,
    )


def _resolved(table: Table, options: TuneOptions, least: int, clock: Clock) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(dataclasses.replace(options, resume=False)) | resolved_of(table)
    used["id_columns"] = [str(name) for name in table.ids.columns]
    used["features"] = list(options.features) or "all but the id columns"
    used["threads"], used["min_cluster_size"] = clock.record.n_threads, least
    return used


def _tree(
    result: TuneResult, options: TuneOptions, remembering: Remembering
) -> pd.DataFrame | None:
    """Return how clusters come from each other at the recommended n and k."""
    chosen = result.recommendation
    labels = remembering.labels(chosen.n_components, chosen.n_neighbors)
    return None if labels is None else cluster_tree(labels, options.resolutions)


def _fov_column(table: Table) -> str | None:
    """Return the identifier column of the field of view, if there is one."""
    return next((str(name) for name in table.ids if str(name).lower() == "fov"), None)


def _stratum_column(table: Table, options: TuneOptions) -> str | None:
    if options.batch is None:
        return _fov_column(table)
    if options.batch not in table.ids:
        raise DataError(
            f"there is no column {options.batch!r} to take batches from; identifiers are: "
            f"{', '.join(map(str, table.ids))}",
            path=table.path,
        )
    return options.batch


def _codes(sample: CellSample, column: str | None) -> Any:
    return None if column is None else strata_of(sample.ids[column])[0]


def _write(found: TuneFindings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written = write_tables(found, folder)
        drawn = drawn_figures(found)
        for kind, (figure, what) in drawn.items():
            for fmt in found.options.figure:
                name = f"{found.table.name}_tune_{kind}.{fmt}"
                written[f"figure_{kind}_{fmt}"] = (name, what)
                folder.path(name).write_bytes(render(figure, cast(Any, fmt)))

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(found, seconds=clock.seconds)
        pictures = {kind: figure for kind, (figure, _) in drawn.items()}
        write_report(path, build_report(now, pictures, files, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results={**_results(found.result), "command": found.command},
    )


def _results(result: TuneResult) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    found = result.recommendation
    return {
        "recommended": {
            "n_components": found.n_components,
            "n_neighbors": found.n_neighbors,
            "resolution": found.resolution,
        },
        "n_clusters": found.n_clusters,
        "rule": found.rule,
        "confidence": None if math.isnan(found.confidence) else found.confidence,
        "alternatives": _plain(found.alternatives),
        "would_change": list(found.would_change),
    }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON can hold them."""
    return [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
