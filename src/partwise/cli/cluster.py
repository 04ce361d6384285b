"""`partwise cluster`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, dry_run_flag, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.cli._tuning import tuning_flags, tuning_options
from partwise.cli.tune import run_tuning
from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["cluster"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(ClusterOptions)
@tuning_flags
@dry_run_flag
@run_flags
def cluster(input_file: str, **values: Any) -> None:
    """Cluster the cells of the table INPUT by the parts their neighbourhoods are made of.

    INPUT is CSV or TSV (also .gz, .zst), parquet or h5ad: one row per cell, the columns fov,
    label and cell_meta_cluster (or --id-columns), and one column of non-negative numbers per
    feature. The folder of --output-dir gets report.html, the tables of cells and factors, the
    model, and run.json.
    """
    tuned = tuning_options(click.get_current_context(), ClusterOptions)
    if tuned is not None:
        run_tuning(input_file, tuned, values)
        return
    options = options_from(ClusterOptions, values)
    if values["dry_run"]:
        from partwise.workflows import plan_cluster

        plan = plan_cluster(input_file, options=options)
        show(values, summary=plan.summary, lines=plan.lines(), warnings=())
        return
    with job(values) as progress:
        from partwise.workflows import cluster as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
