"""`partwise factorize`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.factorize_options import FactorizeOptions

__all__ = ["factorize"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(FactorizeOptions)
@run_flags
def factorize(input_file: str, **values: Any) -> None:
    """Factorize the table INPUT into programs and their usage.

    INPUT is CSV or TSV (also .gz, .zst), parquet, h5ad, zarr, npy, npz or Matrix Market: one row
    per observation, non-negative numbers. The folder of --output-dir gets the usage of each row,
    the programs and their leading features, the model (for `partwise project`), report.html and
    run.json.
    """
    options = options_from(FactorizeOptions, values)
    with job(values) as progress:
        from partwise.workflows import factorize as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
