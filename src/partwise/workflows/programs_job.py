"""The job behind `partwise programs`: counts -> genes -> many fits -> consensus -> files, report.

Letters: X is cells x chosen genes, W the usage (cells x programs), H the programs.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import UsageError
from partwise.report import RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes, release
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.programs_files import write_tables
from partwise.workflows.programs_input import open_counts
from partwise.workflows.programs_options import ProgramsOptions
from partwise.workflows.programs_stages import (
    Counts,
    Programs,
    advice,
    find_programs,
    prepare,
    try_ranks,
)
from partwise.workflows.usage_files import Written, program_names

if TYPE_CHECKING:
    import pandas as pd

    from partwise.factorize import Consensus, ConsensusNMF, ConsensusRanks
    from partwise.io import Table
    from partwise.report import Report

__all__ = ["Findings", "ProgramsOptions", "ProgramsResult", "programs"]


@dataclass(frozen=True)
class Findings:
    """What the stages of a run found, for the files and the report.

    The values of the table are no part of it: they may go before the report is made.
    """

    name: str
    shape: tuple[int, int]
    ids: pd.DataFrame
    options: ProgramsOptions
    counts: Counts
    ranks: ConsensusRanks
    programs: Programs
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]

    @property
    def consensus(self) -> Consensus:
        """The record of the consensus."""
        return self.programs.model.result_

    @property
    def n_programs(self) -> int:
        """Number of programs of the consensus."""
        return self.consensus.n_components

    @property
    def programs_names(self) -> tuple[str, ...]:
        """Names of the programs in all outputs."""
        return program_names(self.n_programs)


@dataclass(frozen=True)
class ProgramsResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    n_cells, n_genes
        Shape of the counts.
    genes
        Names of the genes that were factorized.
    model
        The fitted `ConsensusNMF`; its `result_` has usage, local density, stability.
    ranks
        Stability and error of each number of programs, and the recommended one; without the
        replicates, of which the model has those of its number.
    outputs
        The files: "usage", "programs", "gene_scores", "top_genes", "ranks", "genes", "report",
        "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    n_cells: int
    n_genes: int
    genes: tuple[str, ...]
    model: ConsensusNMF
    ranks: ConsensusRanks
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: ProgramsOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        result = self.model.result_
        return {
            "input": str(self.input),
            "n_cells": self.n_cells,
            "n_genes": self.n_genes,
            "n_genes_used": len(self.genes),
            "n_programs": result.n_components,
            "recommended": self.ranks.recommended,
            "rule": self.ranks.rule,
            "ranks": self.ranks.ranks.tolist(),
            "stability": [round(float(value), 6) for value in self.ranks.stability],
            "relative_errors": [round(float(value), 6) for value in self.ranks.relative_error],
            "relative_error": result.relative_error,
            "replicate_programs": len(result.kept),
            "replicate_programs_kept": int(result.kept.sum()),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        result = self.model.result_
        chosen = "recommended" if result.n_components == self.ranks.recommended else "chosen"
        chosen = chosen if len(self.ranks.ranks) > 1 else "the only number tried"
        return [
            f"{self.n_cells:,} cells x {self.n_genes:,} genes, {len(self.genes):,} of them "
            f"factorized {self.options.replicates} times for k = {self.options.ranks}",
            f"{result.n_components} programs ({chosen}): stability {result.stability:.3f}, "
            f"{int(result.kept.sum())} of {len(result.kept)} programs of all fits kept",
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def programs(
    input: str | os.PathLike[str],
    *,
    options: ProgramsOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> ProgramsResult:
    """Find the expression programs of cells from their counts, by consensus NMF.

    Counts are scaled to a million per cell to choose over-dispersed genes; the counts of these,
    each at unit variance, are factorized from many starts at each number of programs. The
    programs of all starts are clustered into a consensus (Kotliar et al. 2019), which is refitted
    to the counts of all genes. All files appear in the output folder together at the end.

    Parameters
    ----------
    input
        Counts, one row per cell: h5ad, zarr, CSV, TSV, parquet, npy, npz or Matrix Market; or a
        folder with matrix.mtx, barcodes.tsv and features.tsv, as 10x Genomics writes it.
    options
        What to do; see `ProgramsOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `ProgramsOptions`, in place of `options`.

    Returns
    -------
    ProgramsResult
        The model, the curve over the ranks, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the counts cannot be used, or the fits have no consensus.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from partwise.workflows import programs
    >>> rng = np.random.default_rng(0)
    >>> mean = rng.gamma(0.3, size=(150, 4)) @ rng.gamma(0.3, size=(4, 60))
    >>> folder = tempfile.mkdtemp()
    >>> np.save(f"{folder}/counts.npy", rng.poisson(20 * mean))
    >>> result = programs(
    ...     f"{folder}/counts.npy", ranks="3-5", replicates=10, genes=40, output_dir=folder
    ... )
    >>> result.model.n_components_
    4
    """
    options = resolved(ProgramsOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise programs", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        found, written = _find_and_write(input, options, folder, clock)
        release()
        outputs = _finish(found, written, folder, clock, command)
    return ProgramsResult(
        input=Path(input),
        n_cells=found.shape[0],
        n_genes=found.shape[1],
        genes=found.counts.names,
        model=found.programs.model,
        ranks=found.ranks,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _open(
    input: str | os.PathLike[str], options: ProgramsOptions, folder: RunFolder, clock: Clock
) -> Table:
    return open_counts(
        input,
        id_columns=options.id_columns or None,
        features=options.features or None,
        layer=options.layer,
        spool_dir=folder.staging,  # what does not fit into memory goes where there is room
        n_threads=clock.record.n_threads,
        progress=clock.progress,
    )


def _find_and_write(
    input: str | os.PathLike[str], options: ProgramsOptions, folder: RunFolder, clock: Clock
) -> tuple[Findings, Written]:
    """Run the stages that need the values of the table; they are gone when it returns."""
    n_threads = clock.record.n_threads or 1
    with clock.stage("read"):
        table = _open(input, options, folder, clock)
    with table:
        found = _find(table, options, n_threads, clock)
        with clock.stage("write"):
            written, notes = write_tables(found, table, folder, n_threads)
    warn_of(clock, notes)
    return found, written


def _find(table: Table, options: ProgramsOptions, n_threads: int, clock: Clock) -> Findings:
    """Run the stages that compute."""
    release()  # what reading took
    with clock.stage("prepare"):
        counts = prepare(table, options)
        _check_ranks(options, counts)
    release()
    with clock.stage("factorize", len(options.asked) * options.replicates) as stage:
        ranks = try_ranks(counts, options, n_threads, stage)
    release()
    with clock.stage("consensus"):
        k = options.choose or ranks.recommended
        spectra = ranks.replicates[k]
        # those of the other ranks are the largest arrays, and used no more
        ranks = dataclasses.replace(ranks, replicates={})
        release()
        found = find_programs(counts, k, spectra, options, n_threads)
        del spectra
        release()
    warn_of(clock, [*table.notes, *advice(table, counts, ranks, found, options)])
    return Findings(
        name=table.name,
        shape=table.shape,
        ids=table.ids,
        options=options,
        counts=counts.without_values(),
        ranks=ranks,
        programs=found,
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(options, counts, found, table, n_threads),
        seconds=clock.seconds,
    )


def _check_ranks(options: ProgramsOptions, counts: Counts) -> None:
    n, p = counts.scaled.X.shape
    if options.asked[-1] > min(n, p):
        few = "genes" if p <= n else "cells"
        raise UsageError(
            f"ranks (-k {options.ranks}): {options.asked[-1]} programs exceed the {min(n, p)} {few}"
        )


def _resolved(
    options: ProgramsOptions, counts: Counts, found: Programs, table: Table, n_threads: int
) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(options)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = list(options.features) or "all but the id columns"
    used["layer"] = options.layer or ("X" if table.kind in ("h5ad", "zarr") else None)
    used["genes"] = len(counts.names)
    used["choose"] = found.model.n_components_
    used["max_iter"], used["tol"] = found.model.max_iter, found.model.tol
    used["threads"] = n_threads
    return used


def _finish(
    found: Findings, written: Written, folder: RunFolder, clock: Clock, command: str
) -> dict[str, Path]:
    """Write the report, and move all outputs into place together; run.json comes last."""

    def report(path: Path, names: dict[str, str]) -> None:
        told = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        write_report(path, build_report(told, names, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results=_results(found),
    )


def build_report(found: Findings, names: dict[str, str], command: str) -> Report:
    """Put a run's findings into words and figures; what draws is loaded only for that."""
    from partwise.workflows import programs_report

    return programs_report.build_report(found, names, command)


def _results(found: Findings) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    ranks, result = found.ranks, found.consensus
    n, p = found.shape
    return {
        "n_cells": n,
        "n_genes": p,
        "n_genes_in_enough_cells": len(found.counts.features),
        "preparation": [found.counts.genes.parameters, found.counts.scaled.parameters],
        "cells_without_counts": len(found.counts.empty),
        "ranks": ranks.ranks,
        "stability": ranks.stability,
        "relative_errors": ranks.relative_error,
        "unconverged_fits": ranks.unconverged,
        "recommended": ranks.recommended,
        "rule": ranks.rule,
        "n_programs": found.n_programs,
        "stability_of_kept": result.stability_kept,
        "relative_error": result.relative_error,
        "replicate_programs": len(result.kept),
        "replicate_programs_kept": int(result.kept.sum()),
        "replicates_per_program": result.sizes,
        "mean_share": found.programs.shares.mean(axis=0),
    }
