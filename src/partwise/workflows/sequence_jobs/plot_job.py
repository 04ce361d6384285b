"""The job behind `partwise sequences plot`: the figure of a fit, drawn anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from partwise import figures
from partwise.exceptions import DataError, UsageError
from partwise.figures import render
from partwise.sequences import sort_neurons
from partwise.utils.progress import Progress, silent
from partwise.workflows.options import resolved, specs
from partwise.workflows.outputs import open_run_folder
from partwise.workflows.sequence_jobs.other_options import SequencesPlotOptions
from partwise.workflows.sequence_jobs.read import read_recording, side_of
from partwise.workflows.sequence_jobs.recording_options import RecordingOptions
from partwise.workflows.sequence_jobs.result import SUFFIX, SequencesFit, load_sequences
from partwise.workflows.sequence_jobs.stages import busiest_window, units_of_fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from partwise.workflows.sequence_jobs.read import Prepared

__all__ = ["SequencesPlotOptions", "SequencesPlotResult", "sequences_plot"]


@dataclass(frozen=True)
class SequencesPlotResult:
    """What was drawn.

    Attributes
    ----------
    outputs
        The files, by format.
    frames
        First frame that is shown, and the one after the last.
    options
        What was asked for.
    warnings
        What the user should look at.
    """

    outputs: dict[str, Path]
    frames: tuple[int, int]
    options: SequencesPlotOptions
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "frames": list(self.frames),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        return [
            f"frames {self.frames[0]:,} to {self.frames[1]:,}",
            *(f"{name}: {path}" for name, path in self.outputs.items()),
        ]


def sequences_plot(
    result: str | os.PathLike[str],
    *,
    options: SequencesPlotOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SequencesPlotResult:
    """Draw motifs, activations and data of a fit.

    The recording is read as it was for the fit, from where it was then, unless `data` says where it
    is now; a reconstruction needs none.

    Parameters
    ----------
    result
        The folder of `sequences_fit`, or the .npz in it.
    options
        What to draw; see `SequencesPlotOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SequencesPlotOptions`, in place of `options`.

    Returns
    -------
    SequencesPlotResult
        Where the figures are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If a file cannot be used.
    ResourceError
        If disk or permissions do not suffice.
    """
    options = resolved(SequencesPlotOptions, options, overrides)
    progress = progress or silent()
    with progress.stage("read"):
        fit = load_sequences(result)
    place = cast(Path, fit.path)
    start, stop = _window(fit, options)
    with _recording(fit, options) as recording, progress.stage("draw"):
        figure = _draw(fit, recording, options, (start, stop))
        notes = () if recording is None else recording.warnings
        stem = f"{place.name.removesuffix(SUFFIX)}_plot_{options.show}"
        target = place.parent if options.output_dir is None else Path(options.output_dir)
        with open_run_folder(target) as folder:
            for fmt in options.figure:
                folder.path(f"{stem}.{fmt}").write_bytes(render(figure, cast(Any, fmt)))
            folder.publish()
    outputs = {f"figure_{fmt}": target / f"{stem}.{fmt}" for fmt in options.figure}
    return SequencesPlotResult(outputs, (start, stop), options, tuple(notes))


def _window(fit: SequencesFit, options: SequencesPlotOptions) -> tuple[int, int]:
    """Return the frames to draw."""
    if options.start is None and options.stop is None:
        return busiest_window(fit)
    per = fit.rate or 1.0
    start = 0 if options.start is None else round(options.start * per)
    stop = fit.n_frames if options.stop is None else min(round(options.stop * per), fit.n_frames)
    if start >= stop:
        unit = "s" if fit.rate else "frames"
        raise UsageError(
            f"there are no frames to draw: the recording ends at {fit.n_frames / per:,.6g} {unit}"
        )
    return start, stop


@contextlib.contextmanager
def _recording(fit: SequencesFit, options: SequencesPlotOptions) -> Iterator[Prepared | None]:
    """Open the recording of a fit, if the figure needs it."""
    if options.show == "reconstruction" and options.side is None:
        yield None
        return
    path = _place_of_input(fit) if options.data is None else Path(options.data)
    remedy = "give it with --data, or draw the model alone with --show reconstruction"
    if path is None:
        raise UsageError(f"there is no run.json to say where the recording is: {remedy}")
    if not path.exists():
        where = "there" if path.is_absolute() else "there, seen from here or from beside the result"
        raise DataError(f"the recording is not {where}: {remedy}", path=path)
    names = {spec.name for spec in specs(RecordingOptions)}
    told = {name: value for name, value in (fit.parameters or {}).items() if name in names}
    if told.get("bin_width") is not None:
        told.pop("rate", None)  # the rate that was used; of spike times it follows from the bins
    try:
        how = RecordingOptions(**told)
        how.check_recording()
    except TypeError as error:
        raise DataError(f"the run.json beside the result is damaged: {error}") from error
    with read_recording(path, how) as recording:
        if recording.n_frames != fit.n_frames:
            raise DataError(
                f"the recording has {recording.n_frames:,} frames, the fit is of "
                f"{fit.n_frames:,}: give the one that was fitted, with --data",
                path=path,
            )
        yield recording


def _place_of_input(fit: SequencesFit) -> Path | None:
    """Return where the recording of a fit is: as it was given, or so beside the folder of the fit.

    A relative path was seen from where the fit was started, which most often is there.
    """
    if fit.input is None or fit.path is None or fit.input.is_absolute() or fit.input.exists():
        return fit.input
    beside = fit.path.resolve().parent.parent / fit.input
    return beside if beside.exists() else fit.input


def _draw(
    fit: SequencesFit,
    recording: Prepared | None,
    options: SequencesPlotOptions,
    window: tuple[int, int],
) -> Figure:
    k = fit.motifs.shape[1]
    beyond = [number for number in options.factors if number > k]
    if beyond:
        raise UsageError(f"--factors: there is no factor {beyond[0]}, the fit has {k}")
    chosen = np.array(options.factors or range(1, k + 1)) - 1
    motifs = fit.motifs[:, chosen]
    if recording is not None:
        motifs = motifs[units_of_fit(fit, recording)]
    side = {} if recording is None else side_of(recording, options.side)
    return figures.factor_plot(
        motifs,
        fit.activations[chosen],
        None if recording is None or options.show == "reconstruction" else recording.shown,
        rate=fit.rate,
        side=side or None,
        order=sort_neurons(motifs).order if options.order == "factors" else None,
        window=window,
        significant=None if fit.significant is None else fit.significant[chosen],
        names=(chosen + 1).tolist(),
        loadings=fit.loadings[chosen],
        epochs=fit.epochs,
        held_out=fit.n_train,
    )
