"""The job behind `partwise sequences significance`: fitted motifs, tested on a recording."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from partwise.exceptions import UsageError
from partwise.figures import render
from partwise.io.writers import write_csv
from partwise.report import Headline, Report, RunRecord, write_report
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.clock import Clock
from partwise.workflows.finish import finish, warn_of
from partwise.workflows.options import resolved
from partwise.workflows.outputs import RunFolder, open_run_folder
from partwise.workflows.sequence_jobs.other_options import SequencesSignificanceOptions
from partwise.workflows.sequence_jobs.read import Part, read_recording, split_recording
from partwise.workflows.sequence_jobs.result import SequencesFit, load_sequences
from partwise.workflows.sequence_jobs.stages import motif_test, units_of_fit
from partwise.workflows.sequence_jobs.words import (
    CITATION,
    command_of_two,
    counted,
    facts_of,
    hidden_words,
    section_on_test,
    significance_figure,
    significant_line,
)

if TYPE_CHECKING:
    from partwise.sequences import Significance
    from partwise.workflows.sequence_jobs.read import Prepared

__all__ = [
    "SequencesSignificanceOptions",
    "SequencesSignificanceResult",
    "sequences_significance",
]


@dataclass(frozen=True)
class Findings:
    """What a run found, for the files and the report."""

    test: Significance
    fit: SequencesFit
    recording: Prepared
    frames: tuple[int, int]
    options: SequencesSignificanceOptions

    @property
    def table(self) -> Any:
        """One row per factor, counted from 1."""
        table = self.test.table.copy()
        table["factor"] += 1
        table["significant"] = np.where(self.test.significant, "yes", "no")
        table.insert(1, "loading", self.fit.loadings)
        return table.rename(columns={"adjusted": "adjusted_pvalue"})


@dataclass(frozen=True)
class SequencesSignificanceResult:
    """What a run found and where its files are.

    Attributes
    ----------
    result, input
        The fit and the recording that were read.
    test
        Which factors are significant.
    frames
        First frame that was tested, and the one after the last.
    outputs
        The files: "factors", "figure_png" and so on, "report", "run".
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    notes
        How the recording was read.
    """

    result: Path
    input: Path
    test: Significance
    frames: tuple[int, int]
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: SequencesSignificanceOptions
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "result": str(self.result),
            "input": str(self.input),
            **_results(self.test, self.frames),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        facts = _results(self.test, self.frames)
        line = significant_line(facts["significant_factors"], len(self.test.statistic))
        return [
            *(f"note: {text}" for text in self.notes),
            f"{line}, on frames {self.frames[0]:,} to {self.frames[1]:,}",
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def sequences_significance(
    result: str | os.PathLike[str],
    input: str | os.PathLike[str],
    *,
    options: SequencesSignificanceOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesSignificanceResult:
    """Test fitted motifs on a recording.

    Units are matched by name. Of the file that was fitted, only what the fit did not see is used.
    See `partwise.sequences.test_significance`.

    Parameters
    ----------
    result
        The folder of `sequences_fit`, or the .npz in it.
    input
        A recording of the same units.
    options
        What to do; see `SequencesSignificanceOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesSignificanceOptions`, in place of `options`.

    Returns
    -------
    SequencesSignificanceResult
        The test, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used, or the recording was fitted as a whole.
    DataError
        If a file cannot be used, or the units differ.
    ResourceError
        If memory, disk or permissions do not suffice.
    """
    options = resolved(SequencesSignificanceOptions, options, overrides)
    n_threads = resolve_threads(options.threads)
    files = os.fspath(result), os.fspath(input)
    command = command_of_two("partwise sequences significance", *files, options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        with clock.stage("read"):
            fit = load_sequences(result)
            record.add_input(files[1])
            record.add_input(cast(Path, fit.path))
            recording = read_recording(input, options)
        with recording:
            same = fit.input_sha256 is not None and record.inputs[0]["sha256"] == fit.input_sha256
            part, frames, notes = _part(fit, recording, options, same)
            warn_of(clock, [*recording.warnings, *notes])
            with clock.stage("test"):
                found = motif_test(
                    part,
                    fit.motifs[units_of_fit(fit, recording)],
                    p=options.p,
                    n_null=options.n_null,
                    correction=options.correction,
                    seed=options.seed,
                    n_threads=n_threads,
                    early_stop=not options.all_nulls,
                )
            about = Findings(found, fit, recording, frames, options)
            outputs = _write(about, folder, clock)
    return SequencesSignificanceResult(
        result=Path(result),
        input=Path(input),
        test=found,
        frames=frames,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
        notes=recording.notes,
    )


def _part(
    fit: SequencesFit, recording: Prepared, options: SequencesSignificanceOptions, same: bool
) -> tuple[Part, tuple[int, int], list[str]]:
    """Return the frames to test on, where they are, and what should be known."""
    n_frames, n_lags = recording.n_frames, fit.motifs.shape[2]
    share = options.test_fraction
    notes = []
    if same and share is None:
        if fit.n_train >= n_frames:
            raise UsageError(
                "this recording was fitted as a whole, and a test needs data that the fit did not "
                "see: give another recording, or fit with --test-fraction"
            )
        share = 1.0 - fit.n_train / n_frames
    elif same and share is not None and int((1.0 - share) * n_frames) < fit.n_train:
        notes.append(
            "part of what is tested was fitted; p-values are too small: give a smaller "
            "--test-fraction, or none"
        )
    split = split_recording(recording, share or 0.0, n_lags)
    if split.test is None:
        return split.train, (0, n_frames), notes
    return split.test, (split.cut, n_frames), notes


def _write(found: Findings, folder: RunFolder, clock: Clock) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    stem, options = f"{found.recording.name}_significance", found.options
    with clock.stage("write"):
        written = {"factors": (f"{stem}.csv", "one row per factor: statistic, nulls, p-value")}
        write_csv(folder.path(written["factors"][0]), dict(found.table.items()))
        drawn = significance_figure(found.test)
        for fmt in options.figure:
            what = "statistic of each factor beside those of shuffled motifs"
            written[f"figure_{fmt}"] = (f"{stem}.{fmt}", what)
            folder.path(f"{stem}.{fmt}").write_bytes(render(drawn, cast(Any, fmt)))
    used = dataclasses.asdict(options)
    used |= {"threads": clock.record.n_threads, "rate": found.recording.rate}
    used |= {"array": found.recording.variable, "frames": list(found.frames)}

    def report(path: Path, files: dict[str, str]) -> None:
        write_report(path, _report(found, drawn, files, used, clock))

    return finish(
        folder,
        clock,
        written,
        report=report,
        parameters=used,
        results=_results(found.test, found.frames),
    )


def _report(
    found: Findings, drawn: Any, files: dict[str, str], used: dict[str, Any], clock: Clock
) -> Report:
    test, (first, last) = found.test, found.frames
    count, k = int(np.sum(test.significant)), len(test.statistic)
    n_lags, seconds = found.fit.motifs.shape[2], found.recording.seconds
    where = f"frames {first:,} to {last:,}{seconds(last - first)}"
    table = found.table.set_index("factor")
    table.columns = [name.replace("_", " ") for name in table.columns]
    return Report(
        title=f"Sequences tested: {found.recording.name}",
        subtitle=f"{counted(k, 'motif')} of {n_lags} frames{seconds(n_lags)} on "
        f"{last - first:,} frames{seconds(last - first)} of {found.recording.shape[0]:,} units",
        headlines=[
            Headline(
                "Significant",
                f"{count} of {k}",
                f"factors are sequences at p = {test.p:g}",
                tone="good" if count else "warn",
            ),
            Headline("Shuffles", f"{int(test.n_null.max(initial=0)):,}", "of a factor, at most"),
        ],
        warnings=tuple(clock.record.warnings),
        sections=[section_on_test(test, drawn, table, where)],
        methods=[
            f"{counted(k, 'motif')} tested on {where} with partwise: the skewness of the data seen "
            "through each (Mackevicius et al. 2019) was compared with that of up to "
            f"{int(test.n_null.max(initial=0)):,} motifs whose units were shifted by independent "
            f"random lags (p = {test.p:g}, {test.correction}, seed {found.options.seed})."
            + f" {hidden_words(found.recording)}".rstrip()
        ],
        citation=CITATION,
        command=clock.record.command,
        parameters=used,
        outputs=files,
        facts=facts_of(clock.seconds, found.recording),
    )


def _results(test: Significance, frames: tuple[int, int]) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    return {
        "n_significant": int(np.sum(test.significant)),
        "significant_factors": [int(j) + 1 for j in np.flatnonzero(test.significant)],
        "pvalues": [float(value) for value in test.pvalues],
        "threshold": float(test.threshold),
        "frames": list(frames),
    }
