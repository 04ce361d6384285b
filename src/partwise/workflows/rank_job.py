"""The job behind `partwise rank`: table -> fits at many ranks -> one rank, tables, report."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from partwise.factorize.rank import select_rank
from partwise.figures import render
from partwise.io.writers import write_csv
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.any_table import open_any
from partwise.workflows.clock import Clock
from partwise.workflows.counts_advice import counts_advice
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.rank_options import RankOptions
from partwise.workflows.rank_report import build_report, curves_figure

if TYPE_CHECKING:
    from partwise.factorize.rank import RankSelection
    from partwise.io import Table

__all__ = ["RankFindings", "RankOptions", "RankResult", "rank"]


@dataclass(frozen=True)
class RankFindings:
    """What a run found, for the files and the report."""

    table: Table
    options: RankOptions
    selection: RankSelection
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class RankResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    shape
        Rows and features.
    selection
        The rank, its rule and all measurements.
    outputs
        The files: "fits", "summary", "spectrum", "figure_png" and so on, "report", "run".
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    shape: tuple[int, int]
    selection: RankSelection
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: RankOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "input": str(self.input),
            "n_rows": self.shape[0],
            "n_features": self.shape[1],
            **_results(self.selection),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        found = self.selection
        sure = "" if math.isnan(found.confidence) else f" (in {found.confidence:.0%} of resamples)"
        others = ", ".join(map(str, found.alternatives))
        return [
            f"recommended rank: {found.recommended}{sure}"
            + (f"; also possible: {others}" if others else ""),
            f"rule: {found.rule}",
            "by criterion: "
            + ", ".join(f"{name} {value}" for name, value in found.by_method.items()),
            f"{len(found.ranks)} ranks, {self.seconds['total']:.1f} s, "
            f"{peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def rank(
    input: str | os.PathLike[str],
    *,
    options: RankOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> RankResult:
    """Choose the number of programs for a table.

    See `partwise.select_rank` for what is measured and how one rank follows. All files appear in
    the output folder together at the end.

    Parameters
    ----------
    input
        CSV, TSV, parquet, h5ad, zarr, npy, npz or mtx: one column of non-negative numbers per
        feature, one row per observation.
    options
        What to do; see `RankOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `RankOptions`, in place of `options`.

    Returns
    -------
    RankResult
        The rank, all measurements, and where the files are.

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
    >>> from partwise.workflows import rank, simulate
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=600, mode="anchored", output_dir=folder).outputs["table"]
    >>> result = rank(table, ranks=(4, 5, 6, 7), n_replicates=2, output_dir=folder)
    >>> result.selection.recommended
    6
    """
    options = resolved(RankOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise rank", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        with clock.stage("read"):
            table = open_any(
                input,
                id_columns=options.id_columns or None,
                features=options.features or None,
                layer=options.layer,
                spool_dir=folder.staging,
                n_threads=n_threads,
                progress=clock.progress,
            )
        with table:
            found = _find(table, options, n_threads, clock)
            outputs = _write(found, folder, clock, command)
    return RankResult(
        input=Path(input),
        shape=found.table.shape,
        selection=found.selection,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _find(table: Table, options: RankOptions, n_threads: int, clock: Clock) -> RankFindings:
    """Measure, and choose."""
    with clock.stage("fit"), warnings.catch_warnings():
        # what fits warn of is among the advice
        warnings.simplefilter("ignore")
        selection = select_rank(
            table.matrix,
            options.asked,
            methods=options.methods,
            loss=options.loss,
            n_replicates=options.n_replicates,
            fraction=options.fraction,
            max_rank=options.max_rank if options.asked == "auto" else None,
            tol=options.tol,
            max_iter=options.max_iter,
            random_state=options.seed,
            n_threads=n_threads,
            progress=clock.progress,
        )
    advice = (*table.notes, *counts_advice(table.matrix, options.loss), *selection.advice)
    warn_of(clock, advice)
    used = dataclasses.asdict(options)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = list(options.features) or "all but the id columns"
    used["layer"] = options.layer or ("X" if table.kind in ("h5ad", "zarr") else None)
    used["ranks"] = list(selection.ranks)
    used["fraction"], used["threads"] = selection.fraction, n_threads
    return RankFindings(
        table, options, selection, tuple(clock.record.warnings), used, clock.seconds
    )


def _write_tables(found: RankFindings, folder: RunFolder) -> dict[str, tuple[str, str]]:
    """Write tables and figures; return kind -> (file name, what it holds)."""
    stem, chosen = found.table.name, found.selection
    tables = {
        "fits": (chosen.table, "every fit: rank, replicate, errors, agreement"),
        "summary": (chosen.summary, "each curve at each rank, with its interval"),
    }
    if chosen.spectrum is not None:
        tables["spectrum"] = (chosen.spectrum, "singular values of the data and of permuted data")
    written: dict[str, tuple[str, str]] = {}
    for kind, (frame, what) in tables.items():
        written[kind] = (f"{stem}_rank_{kind}.csv", what)
        write_csv(folder.path(written[kind][0]), dict(frame.items()))
    drawn = curves_figure(chosen)
    for fmt in found.options.figure:
        name = f"{stem}_rank.{fmt}"
        written[f"figure_{fmt}"] = (name, "the curves, and the recommended rank")
        folder.path(name).write_bytes(render(drawn, cast(Any, fmt)))
    return written


def _write(found: RankFindings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written = _write_tables(found, folder)

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(found, seconds=clock.seconds)
        write_report(path, build_report(now, files, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results=_results(found.selection),
    )


def _results(found: RankSelection) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    return {
        "recommended": found.recommended,
        "rule": found.rule,
        "confidence": None if math.isnan(found.confidence) else found.confidence,
        "alternatives": list(found.alternatives),
        "by_method": found.by_method,
        "ranks": list(found.ranks),
        "fraction": found.fraction,
    }
