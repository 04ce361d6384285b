"""The jobs behind `partwise sequences sweep` and `select-k`: many fits, one recommendation.

Each fit is kept as soon as it is done, so that `--resume` goes on where a run was interrupted.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from partwise.exceptions import DataError, PartwiseWarning
from partwise.figures import render
from partwise.io.writers import write_csv
from partwise.report import RunRecord, write_report
from partwise.sequences import select_k, select_lambda
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.checkpoint import open_checkpoint
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sequence_jobs.options import DEFAULT_LAGS
from partwise.workflows.sequence_jobs.read import read_recording
from partwise.workflows.sequence_jobs.recording_options import lags_of
from partwise.workflows.sequence_jobs.sweep_options import (
    SequencesSelectKOptions,
    SequencesSweepOptions,
)
from partwise.workflows.sequence_jobs.sweep_report import build_report, drawn_figures
from partwise.workflows.sequence_jobs.sweep_rows import Rows, results_of

if TYPE_CHECKING:
    from partwise.sequences import KSelection, LambdaSelection
    from partwise.workflows.sequence_jobs.read import Prepared

__all__ = [
    "SequencesChoice",
    "SequencesSelectKOptions",
    "SequencesSweepOptions",
    "SweepFindings",
    "sequences_select_k",
    "sequences_sweep",
]

Options = SequencesSweepOptions | SequencesSelectKOptions


@dataclass(frozen=True)
class SweepFindings:
    """What a run found, for the files and the report.

    Attributes
    ----------
    recording
        What was fitted.
    options
        What was asked for; its type says which of the two jobs it is.
    chosen
        The choice and all measurements.
    n_lags
        Length of a motif in frames.
    warnings, parameters, seconds
        What to look at; every option as used; wall time of each stage.
    """

    recording: Prepared
    options: Options
    chosen: LambdaSelection | KSelection
    n_lags: int
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class SequencesChoice:
    """What a run recommends and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    chosen
        The recommendation, its rule, and all measurements.
    outputs
        The files: "fits", "curves" or "summary", figures, "report", "run".
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    notes
        How the recording was read.
    """

    input: Path
    chosen: LambdaSelection | KSelection
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: Options
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "input": str(self.input),
            **results_of(self.chosen),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        facts = results_of(self.chosen)
        value = facts["recommended"]
        if isinstance(self.options, SequencesSweepOptions):
            text = "none" if value is None else f"{value:.2g}"
            lines = [f"recommended --lambda: {text}"]
        else:
            lines = [f"recommended number of factors: {value}"]
        return [
            *(f"note: {text}" for text in self.notes),
            *lines,
            f"rule: {self.chosen.rule}",
            f"{len(self.chosen.table)} measurements, {self.seconds['total']:.1f} s, "
            f"{peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def sequences_sweep(
    input: str | os.PathLike[str],
    *,
    options: SequencesSweepOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesChoice:
    """Fit a recording with many values of lambda, and find where the two costs cross.

    See `partwise.sequences.select_lambda` for what is measured. All files appear in the output
    folder together at the end; fits are kept as they are done, for `resume`.

    Parameters
    ----------
    input
        A recording, as `sequences_fit` takes it.
    options
        What to do; see `SequencesSweepOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesSweepOptions`, in place of `options`.

    Returns
    -------
    SequencesChoice
        The lambda, all measurements, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the recording cannot be used.
    ResourceError
        If memory, disk or permissions do not suffice.
    """
    options = resolved(SequencesSweepOptions, options, overrides)
    count = (len(options.lambdas) or 20) * options.n_repeats
    return _run("sweep", input, options, progress, count, _select_lambda)


def sequences_select_k(
    input: str | os.PathLike[str],
    *,
    options: SequencesSelectKOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesChoice:
    """Choose the number of factors of a recording.

    See `partwise.sequences.select_k` for what is measured. All files appear in the output folder
    together at the end; fits are kept as they are done, for `resume`.

    Parameters
    ----------
    input
        A recording, as `sequences_fit` takes it.
    options
        What to do; see `SequencesSelectKOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesSelectKOptions`, in place of `options`.

    Returns
    -------
    SequencesChoice
        The number, all measurements, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the recording cannot be used.
    ResourceError
        If memory, disk or permissions do not suffice.
    """
    options = resolved(SequencesSelectKOptions, options, overrides)
    pairs = options.n_repeats * (options.n_repeats - 1) // 2
    each = options.n_repeats * ("cv" in options.methods)
    each += (options.n_repeats + pairs) * ("dissimilarity" in options.methods)
    return _run("select-k", input, options, progress, len(options.ks) * each, _select_k)


def _run(
    job: str,
    input: str | os.PathLike[str],
    options: Any,
    progress: Progress | None,
    count: int,
    choose: Callable[[SweepFindings, Rows, int], Any],
) -> SequencesChoice:
    n_threads = resolve_threads(options.threads)
    command = command_line(f"partwise sequences {job}", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        if options.epochs is not None and Path(options.epochs).is_file():
            record.add_input(options.epochs)
        with open_checkpoint(
            folder.folder,
            f"sequences-{job}",
            options=options,
            record=record,
            resume=options.resume,
            progress=clock.progress,
        ) as store:
            with clock.stage("read"):
                recording = read_recording(input, options)
            with recording:
                found = _begun(recording, options, clock)
                with clock.stage("fits", total=count) as stage, warnings.catch_warnings():
                    warnings.simplefilter("ignore", PartwiseWarning)
                    chosen = choose(found, Rows(store, stage), n_threads)
                warn_of(clock, [*recording.warnings, *chosen.advice])
                found = dataclasses.replace(
                    found, chosen=chosen, warnings=tuple(record.warnings), seconds=clock.seconds
                )
                outputs = _write(job, found, folder, clock, command)
    return SequencesChoice(
        input=Path(input),
        chosen=chosen,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
        notes=recording.notes,
    )


def _begun(recording: Prepared, options: Any, clock: Clock) -> SweepFindings:
    """Return the findings before there are any, checked."""
    n_lags, how = lags_of(options.n_lags, options.length, recording.rate, default=DEFAULT_LAGS)
    if n_lags >= recording.n_frames:
        raise DataError(
            f"a motif of {n_lags:,} frames{recording.seconds(n_lags)} is not shorter than the "
            f"recording, which has {recording.n_frames:,}: give a smaller --n-lags or --length"
        )
    used = dataclasses.asdict(options) | {"n_lags": n_lags, "length": how, "rate": recording.rate}
    used["array"] = recording.variable
    used["threads"] = clock.record.n_threads
    del used["resume"]
    return SweepFindings(recording, options, cast(Any, None), n_lags, (), used, clock.seconds)


def _settings(options: Any, n_threads: int) -> dict[str, Any]:
    """Return what all fits share."""
    return {
        "l1_W": options.l1_motifs,
        "l1_H": options.l1_activations,
        "ortho_H": options.ortho_h,
        "ortho_W": options.ortho_w,
        "max_iter": options.max_iter,
        "tol": options.tol,
        "n_threads": n_threads,
    }


def _select_lambda(found: SweepFindings, rows: Rows, n_threads: int) -> LambdaSelection:
    options = cast(SequencesSweepOptions, found.options)
    return select_lambda(
        found.recording.X,
        options.n_components,
        found.n_lags,
        lambdas=options.lambdas or None,
        n_repeats=options.n_repeats,
        epochs=found.recording.epochs,
        mask=found.recording.mask,
        settings=_settings(options, n_threads),
        random_state=options.seed,
        rows=rows,
    )


def _select_k(found: SweepFindings, rows: Rows, n_threads: int) -> KSelection:
    options = cast(SequencesSelectKOptions, found.options)
    return select_k(
        found.recording.X,
        options.ks,
        found.n_lags,
        methods=options.methods,
        n_repeats=options.n_repeats,
        fraction=options.fraction,
        epochs=found.recording.epochs,
        mask=found.recording.mask,
        settings={**_settings(options, n_threads), "lambda_": options.lambda_},
        random_state=options.seed,
        rows=rows,
    )


def _write(
    job: str, found: SweepFindings, folder: RunFolder, clock: Clock, command: str
) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    stem = f"{found.recording.name}_{'lambda' if job == 'sweep' else 'k'}"
    written: dict[str, tuple[str, str]] = {}
    with clock.stage("write"):
        for kind, (frame, what) in _tables(found).items():
            written[kind] = (f"{stem}_{kind}.csv", what)
            write_csv(folder.path(written[kind][0]), dict(frame.items()))
        figure, what = drawn_figures(found)
        for fmt in found.options.figure:
            written[f"figure_{fmt}"] = (f"{stem}.{fmt}", what)
            folder.path(f"{stem}.{fmt}").write_bytes(render(figure, cast(Any, fmt)))

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(found, seconds=clock.seconds)
        write_report(path, build_report(now, figure, files, command))

    results = results_of(found.chosen)
    return finish(
        folder, clock, written, report=report, parameters=found.parameters, results=results
    )


def _tables(found: SweepFindings) -> dict[str, tuple[Any, str]]:
    chosen: Any = found.chosen
    tables = {"fits": (chosen.table, "every fit: costs, power, held-out power")}
    if isinstance(found.options, SequencesSweepOptions):
        tables["curves"] = (chosen.curves, "both costs rescaled, for each lambda and repeat")
    else:
        tables["summary"] = (chosen.summary, "means and medians for each number of factors")
    return tables
