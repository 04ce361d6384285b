"""The job behind `partwise tune`: table -> sample -> every setting measured -> one recommended."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from partwise.exceptions import DataError, UsageError
from partwise.figures import render
from partwise.io.columns import DEFAULT_ID_COLUMNS
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells import open_either, resolved_of
from partwise.workflows.checkpoint import Checkpoint, open_checkpoint
from partwise.workflows.clock import Clock
from partwise.workflows.cluster_extra_options import least_cells
from partwise.workflows.cluster_options import ClusterOptions
from partwise.workflows.cluster_prepare import normalize_by_fov
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sampling import strata_of
from partwise.workflows.tune_engine import tune_rows
from partwise.workflows.tune_files import TuneFindings, write_tables
from partwise.workflows.tune_options import TuneOptions, shared_options
from partwise.workflows.tune_report import build_report, drawn_figures
from partwise.workflows.tune_sample import CellSample, sample_cells
from partwise.workflows.tune_text import setting

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.tune_types import TuneResult

__all__ = ["TuneOptions", "TuneRun", "recommended_command", "tune"]

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
        return [
            f"recommended: {at}: {found.n_clusters} clusters{sure}",
            f"rule: {found.rule}",
            f"{len(self.result.grid)} settings on {self.n_sampled:,} of {self.shape[0]:,} cells, "
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
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
    `partwise.workflows.tune_engine.tune_rows` for what, and for how a recommendation follows. Each
    finished part of the work is kept until the run has ended well; with `resume` a run
    goes on with what is there. All files appear in the output folder together at the end.

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
    if options is not None and overrides:
        raise UsageError("give either options or single fields, not both")
    options = options or TuneOptions(**overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise tune", os.fspath(input), options)
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
            found = _find(input, options, folder, clock, store)
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


def recommended_command(
    input: str, options: TuneOptions, result: TuneResult, *, id_columns: tuple[str, ...] = ()
) -> str:
    """Return the command that clusters all cells with the recommended setting.

    Parameters
    ----------
    input
        The table, as the user named it.
    options
        Of the tuning; what says how to read the table and which seed to use is handed on.
    result
        What tuning found.
    id_columns
        Columns that identify cells, in place of those of the options.
    """
    found = result.recommendation
    shared = shared_options(ClusterOptions)
    same = ClusterOptions(
        **{name: getattr(options, name) for name in shared}
        | ({"id_columns": id_columns} if id_columns else {})
    )
    words = shlex.split(command_line("partwise cluster", input, same))
    numbers = {"-n": found.n_components, "-k": found.n_neighbors, "-r": found.resolution}
    chosen = [str(word) for pair in numbers.items() for word in pair]
    return shlex.join([*words[:3], *chosen, *words[3:]])


def _find(
    input: str | os.PathLike[str],
    options: TuneOptions,
    folder: RunFolder,
    clock: Clock,
    store: Checkpoint,
) -> TuneFindings:
    """Read, draw the sample, and measure."""
    n_threads = clock.record.n_threads
    with clock.stage("read"):
        table = open_either(
            input,
            options,
            metadata=options.metadata,
            spool_dir=folder.staging,
            chunk_rows=options.chunksize,
            n_threads=n_threads,
            progress=clock.progress,
        )
    with table:
        by = _stratum_column(table, options)
        with clock.stage("sample"):
            values = normalize_by_fov(table) if options.normalize_by_fov else table
            sample = sample_cells(values, options.n_cells, by=by, seed=options.seed)
    least = least_cells(options.min_cluster_size, len(sample.rows))
    told = [*table.notes, *_advice(sample, options, least)]
    with clock.stage("tune"), warnings.catch_warnings():
        # what fits warn of is among the advice
        warnings.simplefilter("ignore")
        result = tune_rows(
            sample.values,
            options.grid,
            fov=_codes(sample, _fov_column(table)),
            batch=_codes(sample, options.batch),
            seed=options.seed,
            n_threads=n_threads,
            progress=clock.progress,
            n_replicates=options.n_replicates,
            min_cluster_size=least,
            store=store,
        )
    warn_of(clock, [*told, *result.recommendation.advice])
    used = dataclasses.asdict(dataclasses.replace(options, resume=False)) | resolved_of(table)
    used["id_columns"] = [str(name) for name in table.ids.columns]
    used["features"] = list(options.features) or "all but the id columns"
    used["threads"], used["min_cluster_size"] = n_threads, least
    return TuneFindings(
        table=table,
        options=options,
        sample=sample,
        result=result,
        command=recommended_command(
            os.fspath(input), options, result, id_columns=_id_columns(table, options)
        ),
        warnings=tuple(clock.record.warnings),
        parameters=used,
        seconds=clock.seconds,
    )


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


def _id_columns(table: Table, options: TuneOptions) -> tuple[str, ...]:
    """Return the id columns that `cluster` must be told so that the batch is no feature."""
    if options.batch is None or table.kind in ("h5ad", "zarr"):
        return options.id_columns
    named = options.id_columns or DEFAULT_ID_COLUMNS
    return tuple(dict.fromkeys((*named, options.batch)))


def _codes(sample: CellSample, column: str | None) -> Any:
    return None if column is None else strata_of(sample.ids[column])[0]


def _advice(sample: CellSample, options: TuneOptions, least: int) -> list[str]:
    """Return what the options and the table's shape let us expect."""
    m, p = sample.values.shape
    texts = []
    if m < options.n_cells and not sample.complete:
        texts.append(f"{m:,} cells were drawn in place of {options.n_cells:,}")
    beyond = [n for n in options.n_components if n > min(m, p)]
    if beyond:
        few = "features" if p <= m else "cells"
        texts.append(
            f"--tune-n {','.join(map(str, beyond))}: more factors than the {min(m, p)} {few}; that "
            "many reproduce the table exactly, and more are not determined by it. For factors "
            f"that mean something choose --tune-n up to {max(1, min(m, p) - 1)}"
        )
    wide = [k for k in options.n_neighbors if k >= m]
    if wide:
        texts.append(
            f"--tune-k {','.join(map(str, wide))}: not less than the {m:,} cells; each cell is "
            "joined to all others"
        )
    if least * 2 > m:
        texts.append(
            f"min_cluster_size (--min-cluster-size {options.min_cluster_size}) is more than half "
            f"of the {m:,} cells: no setting with two clusters can pass; choose a smaller one"
        )
    return texts


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
        "alternatives": found.alternatives.to_dict("records"),
        "would_change": list(found.would_change),
    }
