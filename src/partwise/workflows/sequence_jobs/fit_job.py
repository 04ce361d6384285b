"""The job behind `partwise sequences fit`: recording -> sequences, their test, files, report."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from partwise.figures import render
from partwise.report import RunRecord, write_report
from partwise.sequences import sort_neurons
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import command_line, resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sequence_jobs.files import SequencesFindings, results_of, write_files
from partwise.workflows.sequence_jobs.options import SequencesFitOptions
from partwise.workflows.sequence_jobs.read import read_recording, side_of, split_recording
from partwise.workflows.sequence_jobs.report import build_report, drawn_figures
from partwise.workflows.sequence_jobs.stages import (
    advice,
    fit_recording,
    given_motifs,
    motif_test,
    timed_events,
)
from partwise.workflows.sequence_jobs.words import counted, significant_line

if TYPE_CHECKING:
    from partwise.sequences import Significance
    from partwise.workflows.sequence_jobs.read import Prepared, Split
    from partwise.workflows.sequence_jobs.result import SequencesFit

__all__ = ["SequencesFitOptions", "SequencesFitResult", "sequences_fit"]


@dataclass(frozen=True)
class SequencesFitResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    fit
        Motifs, activations, cost, loadings, power.
    test
        Which factors are significant; None if that was not tested.
    outputs
        The files: "result" (.npz), "summary" (JSON), "factors", "units", "events", "activations",
        "event_means", figures, "report", "run".
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    found
        The numbers of the run as plain values.
    """

    input: Path
    fit: SequencesFit
    test: Significance | None
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: SequencesFitOptions
    found: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "input": str(self.input),
            **self.found,
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        fit, (n, k, n_lags) = self.fit, self.fit.motifs.shape
        length = f" ({n_lags / fit.rate:.3g} s)" if fit.rate else ""
        lines = [
            *(f"note: {text}" for text in self.found["notes"]),
            f"{counted(k, 'factor')} of {counted(n_lags, 'frame')}{length}, {n:,} units x "
            f"{fit.n_frames:,} frames; {self.found['n_iter']} iterations",
            f"explained: {fit.power:.1%} of the power"
            + (
                ""
                if np.isnan(fit.power_held_out)
                else f", {fit.power_held_out:.1%} of the part held out"
            ),
        ]
        if self.test is not None:
            lines.append(significant_line(self.found["significant_factors"], k))
        return [
            *lines,
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"result: {self.outputs['result']}",
            f"report: {self.outputs['report']}",
        ]


def sequences_fit(
    input: str | os.PathLike[str],
    *,
    options: SequencesFitOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesFitResult:
    """Find the sequences of a recording.

    The last part of the recording is kept from the fit (`test_fraction`); there the power is
    measured again, and each motif is tested. See `partwise.sequences.SeqNMF` for the model and
    `partwise.sequences.test_significance` for the test. All files appear in the output folder
    together at the end.

    Parameters
    ----------
    input
        A recording: .mat, .npz, .npy, CSV, parquet, HDF5, zarr, NWB, or a table of spike times.
    options
        What to do; see `SequencesFitOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesFitOptions`, in place of `options`.

    Returns
    -------
    SequencesFitResult
        The fit, the test, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the recording cannot be used; names unit and frame.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.workflows import sequences_fit, sequences_simulate
    >>> folder = tempfile.mkdtemp()
    >>> made = sequences_simulate(n_frames=3000, n_sequences=1, output_dir=folder)
    >>> run = sequences_fit(
    ...     made.outputs["recording"], n_components=2, n_lags=30, max_iter=20, n_null=50,
    ...     output_dir=folder,
    ... )  # fmt: skip
    >>> run.fit.motifs.shape
    (10, 2, 30)
    """
    options = resolved(SequencesFitOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise sequences fit", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        for file in (options.epochs, options.motifs):
            if file is not None and Path(file).is_file():
                record.add_input(file)
        with clock.stage("read"):
            recording = read_recording(input, options)
        with recording:
            found = _find(recording, options, n_threads, clock)
            outputs = _write(found, folder, clock, command)
    return SequencesFitResult(
        input=Path(input),
        fit=found.fit,
        test=found.test,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
        found=results_of(found),
    )


def _find(
    recording: Prepared, options: SequencesFitOptions, n_threads: int, clock: Clock
) -> SequencesFindings:
    """Run the stages that compute."""
    k, n_lags, how, fixed = given_motifs(options, recording)
    split = split_recording(recording, options.test_fraction, n_lags)
    sides = side_of(recording, options.side)
    with clock.stage("fit", total=options.max_iter * options.n_init) as stage:
        model, fit = fit_recording(
            recording, split, options, (k, n_lags), fixed, n_threads=n_threads, stage=stage
        )
    test = _tested(fit, split, options, n_threads, clock)
    if test is not None:
        fit = dataclasses.replace(fit, pvalues=test.pvalues, significant=test.significant)
    with clock.stage("events"):
        events = timed_events(fit)
        units = sort_neurons(fit.motifs)
    used = dataclasses.asdict(options)
    used |= {"n_components": k, "n_lags": n_lags, "length": how, "rate": recording.rate}
    used["array"] = recording.variable
    used["threads"] = n_threads
    found = SequencesFindings(
        recording=recording,
        split=split,
        options=options,
        fit=fit,
        status=model.status_,
        n_iter=int(model.n_iter_),
        test=test,
        events=events,
        units=units,
        side=sides,
        warnings=(),
        parameters=used,
        seconds=clock.seconds,
    )
    warn_of(clock, [*recording.warnings, *advice(found)])
    return dataclasses.replace(found, warnings=tuple(clock.record.warnings))


def _tested(
    fit: SequencesFit, split: Split, options: SequencesFitOptions, n_threads: int, clock: Clock
) -> Significance | None:
    """Test the motifs on the part held out, if there is one and shuffles are asked for."""
    if split.test is None or not options.n_null:
        return None
    with clock.stage("test"):
        return motif_test(
            split.test,
            fit.motifs,
            p=options.p,
            n_null=options.n_null,
            correction=options.correction,
            seed=options.seed,
            n_threads=n_threads,
            early_stop=True,
        )


def _write(
    found: SequencesFindings, folder: RunFolder, clock: Clock, command: str
) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    with clock.stage("write"):
        written, notes = write_files(found, folder)
        warn_of(clock, notes)
    with clock.stage("figures"):
        drawn = drawn_figures(found)
        for kind, (figure, what) in drawn.items():
            for fmt in found.options.figure:
                name = f"{found.recording.name}_{kind}.{fmt}"
                written[f"figure_{kind}_{fmt}"] = (name, what)
                folder.path(name).write_bytes(render(figure, cast(Any, fmt)))

    def report(path: Path, files: dict[str, str]) -> None:
        now = dataclasses.replace(
            found, seconds=clock.seconds, warnings=tuple(clock.record.warnings)
        )
        pictures = {kind: figure for kind, (figure, _) in drawn.items()}
        write_report(path, build_report(now, pictures, files, command))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=found.parameters,
        results=results_of(found),
    )
