"""`partwise programs`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.programs_options import ProgramsOptions

__all__ = ["programs"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(ProgramsOptions)
@run_flags
def programs(input_file: str, **values: Any) -> None:
    """Find the expression programs of the cells in INPUT by consensus NMF.

    INPUT holds counts, one row per cell: h5ad, zarr, CSV or TSV (also .gz, .zst), parquet, npy, npz
    or Matrix Market; or it is a folder with matrix.mtx, barcodes.tsv and features.tsv, as 10x
    Genomics writes it. Over-dispersed genes are factorized many times for each number of programs
    asked for (-k 5-13); the programs that many fits find are kept. The folder of --output-dir
    gets the usage of each cell, the programs and scores of all genes, stability and error of each
    number of programs, report.html and run.json.
    """
    options = options_from(ProgramsOptions, values)
    with job(values) as progress:
        from partwise.workflows import programs as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
