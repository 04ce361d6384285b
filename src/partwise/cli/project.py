"""`partwise project`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.project_options import ProjectOptions

__all__ = ["project"]


@click.command(cls=JobCommand)
@click.argument("model_file", metavar="MODEL")
@click.argument("input_file", metavar="NEW")
@flags_of(ProjectOptions)
@run_flags
def project(model_file: str, input_file: str, **values: Any) -> None:
    """Find the usage of the programs of MODEL by the rows of the table NEW.

    MODEL is what `partwise factorize` wrote. Features are matched by name: those that the model
    does not know are ignored, rows are fitted on those that are there, and the report says how much
    of each program they cover. The preparation of the fit is repeated on the new values.
    """
    options = options_from(ProjectOptions, values)
    with job(values) as progress:
        from partwise.workflows import project as run

        result = run(model_file, input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
