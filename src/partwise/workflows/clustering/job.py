"""The job behind `partwise cluster`: table -> factors -> neighbours -> clusters -> files, report.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.io.opening import MEMORY_LIMIT
from partwise.report import RunRecord, write_report
from partwise.utils.optional import require
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells import open_either, resolved_of
from partwise.workflows.checkpoint import Checkpoint, open_checkpoint
from partwise.workflows.clock import Clock
from partwise.workflows.clustering.compare import compare_niches, wanted_design
from partwise.workflows.clustering.control import compare_with_raw
from partwise.workflows.clustering.files import write_tables
from partwise.workflows.clustering.metadata import profiles_of
from partwise.workflows.clustering.niches import niches_of
from partwise.workflows.clustering.options import ClusterOptions
from partwise.workflows.clustering.plan import memory_for_values
from partwise.workflows.clustering.prepare import prepare_cells
from partwise.workflows.clustering.report import build_report
from partwise.workflows.clustering.result import ClusterResult, Findings, numbers_of
from partwise.workflows.clustering.resume import keep_fit, keep_rows
from partwise.workflows.clustering.settings import main_setting
from partwise.workflows.clustering.small import settle_small
from partwise.workflows.clustering.stages import (
    advice_after,
    advice_before,
    cluster_space,
    embed_sample,
    fit_table,
    space_of,
)
from partwise.workflows.clustering.svd import svd_of
from partwise.workflows.clustering.sweep import First, run_settings
from partwise.workflows.clustering.tissue import check_maps
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, once, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from partwise.graph import RowClustering
    from partwise.io import Table
    from partwise.workflows.clustering.assign_result import AssignResult
    from partwise.workflows.clustering.compare import Design

__all__ = ["ClusterOptions", "ClusterResult", "cluster", "open_input"]


def cluster(
    input: str | os.PathLike[str],
    *,
    options: ClusterOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> ClusterResult | AssignResult:
    """Cluster the cells of a table by the parts that their neighbourhoods are made of.

    The table X is factorized, min ||X - W H|| over W, H >= 0; cells are joined to their nearest
    neighbours by the distance ||(w - w') H|| between their reconstructions, and the graph is cut
    into clusters by Leiden. All files appear in the output folder together at the end.

    Parameters
    ----------
    input
        CSV, TSV, parquet or h5ad: identifiers and one column of non-negative numbers per feature,
        one row per cell.
    options
        What to do; see `ClusterOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `ClusterOptions`, in place of `options`.

    Returns
    -------
    ClusterResult
        Factors, clusters, and where the files are. With `model` an `AssignResult`: niches of new
        cells and how sure they are.

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
    >>> from partwise.workflows import cluster, simulate
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=600, output_dir=folder).outputs["table"]
    >>> result = cluster(table, n_components=5, output_dir=folder)
    >>> result.rows.clustering.n_clusters
    5
    """
    options = resolved(ClusterOptions, options, overrides)
    if options.model is not None:
        from partwise.workflows.clustering.assign import assign

        return assign(input, options=options, progress=progress)
    if options.umap:
        require("umap", "umap")  # before the work, not after it
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise cluster", os.fspath(input), options)
    options, files = main_setting(options)
    granted = memory_for_values(input, options)  # refused before the work, not in the midst of it
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        for file in (input, *files):
            record.add_input(file)
        with open_checkpoint(
            folder.folder,
            "cluster",
            options=options,
            record=record,
            resume=options.resume,
            progress=clock.progress,
        ) as kept:
            with clock.stage("read"):
                table = open_input(input, options, folder, clock, granted)
            with table:
                found = _find(table, options, n_threads, clock, kept)
                outputs = _write(found, folder, clock, command)
    return ClusterResult(
        input=Path(input),
        n_cells=found.table.shape[0],
        features=table.features,
        model=found.model,
        factorization=found.fit,
        rows=found.rows,
        small=found.small,
        control=found.control,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
        compared=found.compared,
        svd=found.svd,
        sweep=found.sweep,
    )


def open_input(
    input: str | os.PathLike[str],
    options: ClusterOptions,
    folder: RunFolder,
    clock: Clock,
    memory_limit: int = MEMORY_LIMIT,
) -> Table:
    """Open the table that the options name columns of."""
    return open_either(
        input,
        options,
        metadata=options.metadata,
        spool_dir=folder.staging,  # what does not fit into memory goes where there is room
        memory_limit=memory_limit,
        chunk_rows=options.chunksize,
        n_threads=clock.record.n_threads,
        progress=clock.progress,
    )


def _find(
    table: Table, options: ClusterOptions, n_threads: int, clock: Clock, kept: Checkpoint
) -> Findings:
    """Run the stages that compute."""
    with clock.stage("prepare"):
        table, prepared = prepare_cells(table, options)
        check_maps(table, options)  # refused before the work, not after it
        design = wanted_design(table.ids, options)
    told = [*table.notes, *prepared.notes, *advice_before(table, options)]
    svd = svd_of(table, options, n_threads, clock)
    with clock.stage("factorize") as stage, warnings.catch_warnings():
        # what estimators warn of is said by the status of the fit, in the report and at the end
        warnings.simplefilter("ignore")
        model, usage = keep_fit(kept, lambda: fit_table(table, options, n_threads, stage))
        model.preparation_ = prepared.steps
    with clock.stage("cluster"):
        space = space_of(usage, model.components_, options)
        found = keep_rows(kept, partial(cluster_space, space, options, n_threads, clock.progress))
        clustering, small = settle_small(space, found.clustering, options)
        rows = dataclasses.replace(found, clustering=clustering)
    first = First(model.result_, space, rows.clustering)
    sweep = run_settings(table, first, options, clock=clock, kept=kept)
    described = _describe(table, model, space, rows, design, options, clock)
    compared = described["compared"]
    told += [*advice_after(model.result_, rows, small), *(compared.warnings if compared else ())]
    warn_of(clock, told)
    return Findings(
        table=table,
        prepared=prepared,
        options=options,
        model=model,
        fit=model.result_,
        usage=usage,
        rows=rows,
        small=small,
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(options, model, table, n_threads),
        seconds=clock.seconds,
        svd=svd,
        sweep=sweep,
        **described,
    )


def _describe(
    table: Table,
    model: Any,
    space: npt.NDArray[np.floating[Any]],
    rows: RowClustering,
    design: Design | None,
    options: ClusterOptions,
    clock: Clock,
) -> dict[str, Any]:
    """Run the stages that look at the clusters from all sides; return fields of the findings."""
    n_threads = clock.record.n_threads or 1
    labels, n_clusters = rows.clustering.labels, rows.clustering.n_clusters
    with clock.stage("profiles"):
        profiles = profiles_of(table, labels, n_clusters)
    with clock.stage("control"):
        control = compare_with_raw(table, rows.clustering, options, n_threads)
    with clock.stage("niches"):
        model.niches_ = niches_of(model, table, labels, options, n_threads=n_threads)
        compared = compare_niches(design, labels, n_clusters, seed=options.seed)
    with clock.stage("embed"):
        points, point_labels = embed_sample(space, rows.clustering, options)
    return {
        "profiles": profiles,
        "control": control,
        "compared": compared,
        "points": points,
        "point_labels": point_labels,
    }


def _resolved(options: ClusterOptions, model: Any, table: Table, n_threads: int) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(options) | resolved_of(table)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = list(options.features) or "all but the id columns"
    used["subsample_fraction"] = options.sample_share
    used["max_iter"], used["tol"] = model.max_iter, model.tol
    used["batch_size"] = options.batch_rows if options.solver == "minibatch" else None
    used["threads"] = n_threads
    return {name: value for name, value in used.items() if name not in once(options)}


def _write(found: Findings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = write_tables(found, folder, clock.record.n_threads or 1)
    warn_of(clock, notes)

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        write_report(path, build_report(now, files, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results=numbers_of(found),
    )
