"""`partwise sequences`."""

from __future__ import annotations

from typing import Any

import click

from partwise.cli._options import JobCommand, flags_of, options_from, run_flags
from partwise.cli._run import job, show
from partwise.workflows.sequence_jobs.options import SequencesFitOptions
from partwise.workflows.sequence_jobs.other_options import (
    SequencesPlotOptions,
    SequencesSignificanceOptions,
    SequencesSimulateOptions,
)
from partwise.workflows.sequence_jobs.sweep_options import (
    SequencesSelectKOptions,
    SequencesSweepOptions,
)

__all__ = ["sequences"]


@click.group(help="Find sequences that recur in recordings of many units over time.")
def sequences() -> None:
    """Group of the jobs on sequences."""


@sequences.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(SequencesFitOptions)
@run_flags
def fit(input_file: str, **values: Any) -> None:
    """Find the sequences of the recording INPUT, and test them on data held out.

    INPUT is units x frames: .mat, .npz, .npy, CSV, parquet, HDF5, zarr, NWB, or a table of spike
    times (with --bin-width). The folder of --output-dir gets report.html, motifs and activations
    as .npz, tables of factors, units, events and activations, figures, and run.json.
    """
    options = options_from(SequencesFitOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_fit as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@sequences.command(cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(SequencesSweepOptions)
@run_flags
def sweep(input_file: str, **values: Any) -> None:
    """Fit the recording INPUT with many values of --lambda, and recommend one.

    The reconstruction error and the redundancy of the factors are measured at each; where they
    cross is a value to begin with. An interrupted run goes on with --resume.
    """
    options = options_from(SequencesSweepOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_sweep as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@sequences.command("select-k", cls=JobCommand)
@click.argument("input_file", metavar="INPUT")
@flags_of(SequencesSelectKOptions)
@run_flags
def select_k(input_file: str, **values: Any) -> None:
    """Choose the number of factors for the recording INPUT.

    The error on hidden entries and the agreement of different starts are measured at each number.
    An interrupted run goes on with --resume.
    """
    options = options_from(SequencesSelectKOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_select_k as run

        result = run(input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@sequences.command(cls=JobCommand)
@click.argument("result_folder", metavar="RESULT")
@click.argument("input_file", metavar="INPUT")
@flags_of(SequencesSignificanceOptions)
@run_flags
def significance(result_folder: str, input_file: str, **values: Any) -> None:
    """Test the motifs of RESULT on the recording INPUT.

    RESULT is the folder of `partwise sequences fit`, or the .npz in it; INPUT has the same units,
    matched by name. Of the recording that was fitted, only what the fit did not see is used.
    """
    options = options_from(SequencesSignificanceOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_significance as run

        result = run(result_folder, input_file, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@sequences.command(cls=JobCommand)
@flags_of(SequencesSimulateOptions)
@run_flags
def simulate(**values: Any) -> None:
    """Simulate a recording in which neurons fire in sequences.

    Writes sequences_UNITS_FRAMES.npz and, beside it, the truth: motifs, events, units.
    """
    options = options_from(SequencesSimulateOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_simulate as run

        result = run(options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)


@sequences.command(cls=JobCommand)
@click.argument("result_folder", metavar="RESULT")
@flags_of(SequencesPlotOptions)
@run_flags
def plot(result_folder: str, **values: Any) -> None:
    """Draw motifs, activations and data of RESULT anew.

    RESULT is the folder of `partwise sequences fit`, or the .npz in it; the figure goes there
    unless --output-dir says otherwise.
    """
    options = options_from(SequencesPlotOptions, values)
    with job(values) as progress:
        from partwise.workflows import sequences_plot as run

        result = run(result_folder, options=options, progress=progress)
    show(values, summary=result.summary, lines=result.lines(), warnings=result.warnings)
