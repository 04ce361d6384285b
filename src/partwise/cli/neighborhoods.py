"""`partwise neighborhoods`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, dry_run_flag, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.neighborhoods_options import NeighborhoodsOptions

__all__ = ["neighborhoods"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="CELLS")
@flags_of(NeighborhoodsOptions)
@dry_run_flag
@run_flags
def neighborhoods(input_file: str, **values: Any) -> None:
    """Count the cell types around each cell of the table CELLS.

    CELLS is CSV or TSV (also .gz, .zst), parquet, h5ad or zarr: one row per cell, with its field of
    view, its type and its coordinates. The folder of --output-dir gets the table of shares (or
    counts) in the layout that partwise cluster reads, numbers by field of view and by type,
    report.html and run.json.
    """
    options = options_from(NeighborhoodsOptions, values)
    if values["dry_run"]:
        from partwise.workflows import plan_neighborhoods

        plan = plan_neighborhoods(input_file, options=options)
        show(values, summary=plan.summary, lines=plan.lines(), warnings=())
        return
    with job(values) as progress:
        from partwise.workflows import neighborhoods as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
