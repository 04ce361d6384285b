"""`partwise rank`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.rank_options import RankOptions

__all__ = ["rank"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(RankOptions)
@run_flags
def rank(input_file: str, **values: Any) -> None:
    """Choose the number of programs for the table INPUT.

    INPUT is any table that partwise reads: one row per observation and one column of non-negative
    numbers per feature. The error on hidden entries, the agreement of different starts and the
    spectrum beside noise are measured at many ranks. The folder of --output-dir gets report.html,
    a table of every fit, a table of the curves, the figure, and run.json.
    """
    options = options_from(RankOptions, values)
    with job(values) as progress:
        from partwise.workflows import rank as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
