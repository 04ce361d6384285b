"""`partwise cluster --model`: new cells in niches that are known -> files, report.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.exceptions import DataError
from partwise.factorize.projection import Coverage, restrict
from partwise.io.peek import peek
from partwise.prepare.recipe import PreparedSource, Recipe
from partwise.report import RunRecord, write_report
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells import resolved_of, with_types
from partwise.workflows.checkpoint import Checkpoint, open_checkpoint
from partwise.workflows.clock import Clock
from partwise.workflows.clustering.assign_files import write_assigned
from partwise.workflows.clustering.assign_input import Known, known_niches, table_options
from partwise.workflows.clustering.assign_plan import memory_to_assign
from partwise.workflows.clustering.assign_report import build_report
from partwise.workflows.clustering.assign_result import Assigned, AssignResult, assigned_numbers
from partwise.workflows.clustering.assign_stages import place_cells, project_cells
from partwise.workflows.clustering.compare import compare_niches, wanted_design
from partwise.workflows.clustering.prepare import prepare_cells
from partwise.workflows.clustering.tissue import check_maps
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, once
from partwise.workflows.outputs import RunFolder, open_run_folder

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.io import Table
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["assign"]

#: Name of the job in the state that is kept.
_JOB = "assign"
#: More cells than this share that are unlike the known ones are worth a warning.
_MANY_UNSEEN = 0.05


def assign(
    input: str | os.PathLike[str],
    *,
    options: ClusterOptions,
    progress: Progress | None = None,
) -> AssignResult:
    """Assign the cells of a table to the niches of a model; called by `cluster(..., model=...)`.

    The usage of each cell is the exact minimiser of ||x - w H|| over w >= 0 for the programs H of
    the model; the nearest known cells, in the space in which the niches were found, vote for its
    niche.

    Parameters
    ----------
    input
        The new table, with the features of the model (matched by name).
    options
        What to do; `options.model` is a model file of `partwise cluster`, or its folder.
    progress
        Who listens; nobody by default.

    Returns
    -------
    AssignResult
        Niches, confidence, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used, or has no meaning for new cells.
    DataError
        If a file cannot be used, or the features cover too little of a program.
    ResourceError
        If memory, disk or permissions do not suffice.
    """
    known = known_niches(options)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise cluster", os.fspath(input), options)
    used = table_options(input, known, options)
    granted = memory_to_assign(input, used, known)  # refused before the work
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        for file in (os.fspath(known.path), os.fspath(input)):
            record.add_input(file)
        with open_checkpoint(
            folder.folder,
            _JOB,
            options=options,
            record=record,
            resume=options.resume,
            progress=clock.progress,
        ) as kept:
            with clock.stage("read"):
                table = _open(input, used, known, folder, clock, granted)
            with table:
                found = _find(table, known, clock, kept)
                outputs = _write(found, folder, clock, command)
    return AssignResult(
        model=known.path,
        input=Path(input),
        labels=found.labels,
        confidence=found.confidence,
        unseen=found.unseen,
        usage=found.usage,
        sizes=found.sizes,
        coverage=found.coverage,
        compared=found.compared,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _open(
    input: str | os.PathLike[str],
    options: ClusterOptions,
    known: Known,
    folder: RunFolder,
    clock: Clock,
    memory_limit: int,
) -> Table:
    """Open the new table: the columns that the model knows; what else it has is not looked at."""
    from partwise.workflows.clustering.job import open_input

    try:
        return open_input(input, options, folder, clock, memory_limit)
    except DataError:
        found = peek(Path(input), wanted=tuple(known.features))
        names = () if found is None else (*found.names, *found.features)
        if names and not set(names).intersection(known.features):
            restrict(known.model, names)  # says that it is another kind of table
        raise


def _find(table: Table, known: Known, clock: Clock, kept: Checkpoint) -> Assigned:
    """Run the stages that compute."""
    options, niches = known.options, known.niches
    n_threads = clock.record.n_threads or 1
    check_maps(table, options)
    if not set(known.features).intersection(table.features):
        restrict(known.model, table.features)  # says that these are other cells
    table = with_types(table, known.features)
    design = wanted_design(table.ids, options)
    matched = restrict(known.model, table.features)
    low = _check_coverage(matched.coverage, options)
    with clock.stage("prepare"):
        table, prepared = prepare_cells(table, options)
        columns = np.sort(matched.columns)
        X = _columns(table.matrix, columns)
    narrowed = matched.in_order()
    narrowed.n_threads = n_threads
    with clock.stage("project"):
        usage, left = project_cells(X, narrowed, kept)
    with clock.stage("assign", total=len(usage)) as stage:
        found = place_cells(usage, left, known, kept, n_threads=n_threads, stage=stage)
    compared = compare_niches(design, found.labels, niches.n_clusters, seed=options.seed)
    told = [
        *(*table.notes, *prepared.notes, *low),
        *_advice(matched.coverage, found.labels, found.unseen),
    ]
    if bool(resolved_of(table)) != niches.counted:
        told.append(_counted_otherwise(niches.counted))
    warn_of(clock, [*told, *(compared.warnings if compared is not None else ())])
    return Assigned(
        table=table,
        options=options,
        model=known.model,
        niches=niches,
        coverage=matched.coverage,
        columns=columns,
        usage=usage,
        labels=found.labels,
        confidence=found.confidence,
        unseen=found.unseen,
        compared=compared,
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(options, table, n_threads),
        seconds=clock.seconds,
    )


def _check_coverage(coverage: Coverage, options: ClusterOptions) -> list[str]:
    """Refuse a coverage that is too low, or return the warning where that is allowed."""
    try:
        coverage.require(options.least_coverage)
    except DataError as error:
        if not options.allow:
            raise DataError(
                f"{error} To assign all the same: --allow, or a lower --min-coverage"
            ) from None
        return [str(error)]
    return []


def _columns(X: Any, columns: npt.NDArray[np.intp]) -> Any:
    """Return some columns of a matrix or block source; itself if these are all."""
    if len(columns) == X.shape[1]:  # ascending, each once
        return X
    if hasattr(X, "blocks"):
        return PreparedSource(X, Recipe(), columns)
    return X[:, columns]


def _advice(
    coverage: Coverage, labels: npt.NDArray[np.int32], unseen: npt.NDArray[np.bool_]
) -> list[str]:
    """Return what the results ask the user to look at."""
    texts = []
    if coverage.missing:
        texts.append(
            f"{len(coverage.missing):,} of the model's {coverage.n_model:,} features "
            f"{_is(len(coverage.missing))} missing: "
            f"{', '.join(coverage.missing[:5])}{', ...' if len(coverage.missing) > 5 else ''}; "
            "cells are fitted on the others"
        )
    unknown = coverage.n_new - coverage.n_shared
    if unknown:
        texts.append(
            f"{unknown:,} of the {coverage.n_new:,} features of the table {_is(unknown)} unknown "
            f"to the model and {_is(unknown)} ignored"
        )
    isolated = int((labels < 0).sum())
    if isolated:
        cells = "1 cell has" if isolated == 1 else f"{isolated:,} cells have"
        texts.append(
            f"{cells} no neighbourhood (all features zero, or none that the factors describe): "
            "leiden_cluster is -1"
        )
    share = float(unseen.mean()) if len(unseen) else 0.0
    if share > _MANY_UNSEEN:
        texts.append(
            f"{100 * share:.1f} % of the cells are unlike anything that the model has seen (fewer "
            "than 1 % would be if they were like its cells): their niche is the nearest, not "
            "one that they belong to. Are the features measured and the neighbourhoods counted in "
            "the same way?"
        )
    return texts


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _counted_otherwise(by_model: bool) -> str:
    if by_model:
        return (
            "the neighbourhoods of the model's cells were counted by its run, those of the new "
            "table came with it: niches compare only if both were counted in the same way"
        )
    return (
        "the neighbourhoods of the new cells were counted by this run, those of the model's cells "
        "came with its table: niches compare only if both were counted in the same way "
        "(--neighborhood, --radius and what belongs to them)"
    )


def _resolved(options: ClusterOptions, table: Table, n_threads: int) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(options) | resolved_of(table)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = "those of the model"
    used["min_coverage"] = options.least_coverage
    used["threads"] = n_threads
    return {name: value for name, value in used.items() if name not in once(options)}


def _write(found: Assigned, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = write_assigned(found, folder, clock.record.n_threads or 1)
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
        results=assigned_numbers(found),
    )
