"""Options of `partwise sequences significance`, `plot` and `simulate`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.sequence_jobs.options import CORRECTIONS, check_run, check_test
from partwise.workflows.sequence_jobs.recording_options import (
    FIGURES,
    RecordingOptions,
    check_figures,
)
from partwise.workflows.shared_options import output_dir_option, seed_option, threads_option

__all__ = [
    "ORDERS",
    "SHOWN",
    "SequencesPlotOptions",
    "SequencesSignificanceOptions",
    "SequencesSimulateOptions",
]

ORDERS = ("factors", "file")
SHOWN = ("data", "reconstruction")

_TEST, _FIGURE, _SIMULATION, _NOISE, _OUTPUT = "Test", "Figure", "Simulation", "Noise", "Output"


@dataclass(frozen=True, kw_only=True)
class SequencesSignificanceOptions(RecordingOptions):
    """What `partwise sequences significance` can be told; each field is also a flag.

    The fields of `RecordingOptions`, and these:

    Attributes
    ----------
    test_fraction
        Last part of the recording to test on; None means all of it, or, if it is the file that was
        fitted, the part that the fit did not see.
    n_null, p, correction
        Shuffles at most, level, correction for the number of factors.
    all_nulls
        Draw all shuffles, also where the outcome is clear before.
    output_dir, figure
        Where the results go; formats of the figure.
    seed, threads
        Seed of the shuffles; threads, on which results do not depend.
    """

    test_fraction: float | None = option(
        None,
        "--test-fraction",
        kind=float,
        help="Last part of the recording to test on.",
        section=_TEST,
        shown_default="all of it; of the file that was fitted, what the fit did not see",
    )
    n_null: int = option(
        1000, "--n-null", kind=int, help="Shuffles at most for each factor.", section=_TEST
    )
    p: float = option(0.05, "-p", "--p", kind=float, help="Level of the test.", section=_TEST)
    correction: str = option(
        "bonferroni",
        "--correction",
        kind=str,
        choices=CORRECTIONS,
        help="How the test is corrected for the number of factors.",
        section=_TEST,
    )
    all_nulls: bool = option(
        False,
        "--all-nulls",
        kind=bool,
        help="Draw all shuffles, also where the outcome is clear before.",
        section=_TEST,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("sequence_significance")
    figure: tuple[str, ...] = option(
        ("png",),
        "--figure",
        kind=tuple,
        choices=FIGURES,
        help="Formats of the figure beside the report.",
        section=_OUTPUT,
    )
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_recording()
        check_test(self.test_fraction or 0.0, self.n_null, self.p, self.correction)
        if self.test_fraction is not None:
            check_number("test_fraction", self.test_fraction, above=0.0)
        check_whole("n_null", self.n_null, least=1)
        check_run(self.seed, self.threads)
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "figure", check_figures(self.figure))


@dataclass(frozen=True, kw_only=True)
class SequencesPlotOptions:
    """What `partwise sequences plot` can be told; each field is also a flag.

    Attributes
    ----------
    data
        The recording, if it is not where it was when it was fitted.
    start, stop
        What to draw, in seconds (in frames if the rate is not known); None means the busiest part,
        or all if that fits.
    show
        "data" or "reconstruction".
    order
        "factors": units sorted by factor and peak; "file": as they are in the file.
    factors
        Numbers of the factors to draw, from 1; empty means all.
    side
        Another array of the file to draw above, aligned in time.
    output_dir
        Where the figure goes; None means the folder of the result.
    figure
        Its formats.
    """

    data: str | os.PathLike[str] | None = option(
        None,
        "--data",
        kind=str,
        help="The recording, if it is not where it was when it was fitted.",
        section="Input",
        shown_default="what run.json says",
    )
    start: float | None = option(
        None,
        "--start",
        kind=float,
        help="Where to begin, in seconds; in frames if the rate is not known.",
        section=_FIGURE,
        shown_default="the busiest part",
    )
    stop: float | None = option(
        None, "--stop", kind=float, help="Where to end, in the same.", section=_FIGURE
    )
    show: str = option(
        "data",
        "--show",
        kind=str,
        choices=SHOWN,
        help="What to draw in the centre.",
        section=_FIGURE,
    )
    order: str = option(
        "factors",
        "--order",
        kind=str,
        choices=ORDERS,
        help="Units sorted by factor and peak, or as they are in the file.",
        section=_FIGURE,
    )
    factors: tuple[int, ...] = option(
        (),
        "--factors",
        kind=tuple,
        help="Numbers of the factors to draw, from 1.",
        section=_FIGURE,
        shown_default="all",
    )
    side: str | None = option(
        None,
        "--side",
        kind=str,
        help="Another array of the file, such as a spectrogram, to draw above the factors; none "
        "draws none.",
        section=_FIGURE,
        shown_default="the first that has a rate and is as long as the recording",
    )
    output_dir: str | os.PathLike[str] | None = option(
        None,
        "-o",
        "--output-dir",
        kind=str,
        help="Folder for the figure; made if missing.",
        section=_OUTPUT,
        shown_default="that of the result",
    )
    figure: tuple[str, ...] = option(
        ("png",),
        "--figure",
        kind=tuple,
        choices=FIGURES,
        help="Formats of the figure.",
        section=_OUTPUT,
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("start", "stop"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise UsageError(f"--stop {self.stop:g} is not after --start {self.start:g}")
        check_choice("show", self.show, SHOWN)
        check_choice("order", self.order, ORDERS)
        object.__setattr__(self, "factors", _numbers_of(self.factors))
        for name in ("data", "output_dir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        object.__setattr__(self, "figure", check_figures(self.figure))
        if not self.figure:
            raise UsageError("figure must name at least one format")


@dataclass(frozen=True, kw_only=True)
class SequencesSimulateOptions:
    """What `partwise sequences simulate` can be told; each field is also a flag.

    See `partwise.datasets.simulate_sequences` and `partwise.datasets.SequenceOptions` for what each
    does; numbers that may differ between sequences take one value or one for each.

    Attributes
    ----------
    n_frames, n_sequences, n_neurons, gap, interval, rate
        Size of the recording and of what is planted.
    noise, jitter, participation, warp, burst, n_shared, shared_order, n_background, overlap
        What disturbs the sequences.
    drift, missing, missing_run, calcium
        What happens to the recording.
    output_dir
        Folder for the files; made if missing.
    seed
        Seed of all random choices.
    """

    n_frames: int = option(
        10_000, "-t", "--n-frames", kind=int, help="Frames.", section=_SIMULATION
    )
    n_sequences: int = option(
        3, "-k", "--n-sequences", kind=int, help="Sequences to plant.", section=_SIMULATION
    )
    n_neurons: tuple[int, ...] = option(
        (10,),
        "-n",
        "--n-neurons",
        kind=tuple,
        help="Neurons of a sequence; one number, or one for each.",
        section=_SIMULATION,
        shown_default="10",
    )
    gap: tuple[int, ...] = option(
        (3,),
        "--gap",
        kind=tuple,
        help="Frames between its neurons; one number, or one for each sequence.",
        section=_SIMULATION,
        shown_default="3",
    )
    interval: int = option(
        50,
        "--interval",
        kind=int,
        help="Idle frames between events, on average.",
        section=_SIMULATION,
    )
    rate: float = option(30.0, "--rate", kind=float, help="Frames per second.", section=_SIMULATION)
    n_shared: int = option(
        0, "--n-shared", kind=int, help="Neurons of all sequences.", section=_SIMULATION
    )
    shared_order: str = option(
        "same",
        "--shared-order",
        kind=str,
        choices=("same", "different"),
        help="Whether they fire in one order in all.",
        section=_SIMULATION,
    )
    n_background: int = option(
        0, "--n-background", kind=int, help="Units in no sequence.", section=_SIMULATION
    )
    overlap: float = option(
        0.0,
        "--overlap",
        kind=float,
        help="Chance that an event begins while another sequence may still play.",
        section=_SIMULATION,
    )
    noise: float = option(
        0.001,
        "--noise",
        kind=float,
        help="Chance of one more spike, per unit and frame.",
        section=_NOISE,
    )
    jitter: tuple[float, ...] = option(
        (0.0,),
        "--jitter",
        kind=tuple,
        help="Standard deviation of a spike's displacement, frames; one number, or one for each "
        "sequence.",
        section=_NOISE,
        shown_default="0",
    )
    participation: tuple[float, ...] = option(
        (1.0,),
        "--participation",
        kind=tuple,
        help="Chance that a neuron takes part in an event; one number, or one for each sequence.",
        section=_NOISE,
        shown_default="1",
    )
    warp: int = option(
        0,
        "--warp",
        kind=int,
        help="Frames that an event may add to the gap between its neurons.",
        section=_NOISE,
    )
    burst: int = option(
        1,
        "--burst",
        kind=int,
        help="Spikes where a neuron fires, on average.",
        section=_NOISE,
    )
    drift: float = option(
        0.0,
        "--drift",
        kind=float,
        help="Share of its rate that a unit gains or loses over the recording.",
        section=_NOISE,
    )
    missing: float = option(
        0.0, "--missing", kind=float, help="Share of frames that are lost.", section=_NOISE
    )
    missing_run: int = option(
        20, "--missing-run", kind=int, help="Frames lost at a time.", section=_NOISE
    )
    calcium: float | None = option(
        None,
        "--calcium",
        kind=float,
        help="Time constant of a calcium kernel, frames: fluorescence in place of spikes.",
        section=_NOISE,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("simulated_sequences")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("n_frames", "n_sequences", "interval"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("n_neurons", "gap"):
            object.__setattr__(self, name, _several(name, getattr(self, name), int))
        for name in ("jitter", "participation"):
            object.__setattr__(self, name, _several(name, getattr(self, name), float))
        check_number("rate", self.rate, above=0.0)
        check_whole("seed", self.seed, least=0)
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))


def _several(name: str, values: Any, kind: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return one value or several, numbers or texts that are such, as numbers."""
    given = (values,) if isinstance(values, (str, int, float)) else tuple(values or ())
    try:
        numbers = tuple(kind(str(value)) for value in given)
    except ValueError:
        raise UsageError(f"{name} must be numbers, not {values!r}") from None
    if not numbers:
        raise UsageError(f"{name} needs a number")
    return numbers


def _numbers_of(values: object) -> tuple[int, ...]:
    given = (values,) if isinstance(values, (str, int)) else tuple(values or ())  # type: ignore[arg-type]
    numbers = []
    for value in given:
        if not str(value).isdecimal() or int(str(value)) < 1:
            raise UsageError(f"factors must be numbers from 1 up, not {value!r}")
        numbers.append(int(str(value)))
    return tuple(dict.fromkeys(numbers))
