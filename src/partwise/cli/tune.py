"""`partwise tune`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, dry_run_flag, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.tuning.options import TuneOptions

__all__ = ["run_tuning", "tune"]


@click.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(TuneOptions)
@dry_run_flag
@run_flags
def tune(input_file: str, **values: Any) -> None:
    """Compare settings of `partwise cluster` on a sample of the table INPUT, and recommend one.

    INPUT is what `partwise cluster` takes. Every number of factors (-n) with every number of
    neighbours (-k) and every resolution (-r) is tried, several times each; the folder of
    --output-dir gets report.html, the tables, the text report and run.json. An interrupted run goes
    on with --resume.
    """
    run_tuning(input_file, options_from(TuneOptions, values), values)


def run_tuning(input_file: str, options: TuneOptions, values: dict[str, Any]) -> None:
    """Tune, and show what came of it; or, if it is a dry run, what would be done."""
    if values["dry_run"]:
        from partwise.workflows import plan_tune

        plan = plan_tune(input_file, options=options)
        show(values, summary=plan.summary, lines=plan.lines(), warnings=())
        return
    with job(values) as progress:
        from partwise.workflows import tune as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
