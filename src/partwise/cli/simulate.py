"""`partwise simulate`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.simulate_options import SimulateOptions, SimulateTissueOptions

__all__ = ["simulate"]


@click.group(help="Write tables whose truth is known, to learn and to test with.")
def simulate() -> None:
    """Group of the simulators."""


@simulate.command(cls=JobCommand)
@flags_of(SimulateOptions)
@run_flags
def neighborhoods(**values: Any) -> None:
    """Simulate a neighbourhood table: one row per cell, one column per cell type.

    Writes test_neighborhood_freqs_N.csv and, beside it, the truth: what each cell was drawn from,
    and the planted programs.
    """
    options = options_from(SimulateOptions, values)
    with job(values) as progress:
        from partwise.workflows import simulate as run

        result = run(options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@simulate.command(cls=JobCommand)
@flags_of(SimulateTissueOptions)
@run_flags
def tissue(**values: Any) -> None:
    """Simulate cells with coordinates: one row per cell, its type, its place, its patient.

    Writes test_cells_N.csv and, beside it, the truth: the niche of each cell, and what the niches
    are made of.
    """
    options = options_from(SimulateTissueOptions, values)
    with job(values) as progress:
        from partwise.workflows import simulate_cells as run

        result = run(options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
