"""Options of `partwise sequences fit`, and of which commands there are."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.sequence_jobs.recording_options import (
    FIGURES,
    RecordingOptions,
    check_figures,
    check_lags,
    names_of,
)
from partwise.workflows.shared_options import (
    formats_option,
    output_dir_option,
    seed_option,
    threads_option,
)

__all__ = [
    "BACKENDS",
    "COMMANDS",
    "CORRECTIONS",
    "SOLVERS",
    "FactorOptions",
    "FitOptions",
    "SequencesFitOptions",
    "options_of_commands",
]

SOLVERS = ("auto", "mu", "hals")
BACKENDS = ("auto", "sparse", "fft", "direct")
CORRECTIONS = ("bonferroni", "bh")
FORMATS = ("csv", "parquet")
#: Frames of a motif where neither frames nor seconds are given.
DEFAULT_LAGS = 100

#: command -> options, by their public name
COMMANDS = {
    "fit": "SequencesFitOptions",
    "sweep": "SequencesSweepOptions",
    "select-k": "SequencesSelectKOptions",
    "significance": "SequencesSignificanceOptions",
    "plot": "SequencesPlotOptions",
    "simulate": "SequencesSimulateOptions",
}

_MODEL, _FIT, _TEST, _OUTPUT = "Model", "Fit", "Held-out data and test", "Output"


@dataclass(frozen=True, kw_only=True)
class FactorOptions(RecordingOptions):
    """How many factors; before the other options of a fit in all lists.

    Attributes
    ----------
    n_components
        Number of factors; each is a motif with the times at which it is active. None means 10 or,
        with `motifs`, as many as there are.
    """

    n_components: int | None = option(
        None,
        "-k",
        "--n-components",
        kind=int,
        help="Number of factors.",
        section=_MODEL,
        shown_default="10; with --motifs, as many as there are",
    )


@dataclass(frozen=True, kw_only=True)
class FitOptions(RecordingOptions):
    """What the fits of all jobs on sequences can be told, beside how to read the recording.

    The fields of `RecordingOptions`, and these:

    Attributes
    ----------
    n_lags, length
        Length of a motif, in frames or in seconds.
    l1_motifs, l1_activations
        L1 penalties: the larger, the sparser.
    ortho_h, ortho_w
        Penalties on factors that are active together (events-based), and on factors of the same
        units (parts-based).
    max_iter, tol
        When a fit stops.
    """

    n_lags: int | None = option(
        None,
        "-l",
        "--n-lags",
        kind=int,
        help="Length of a motif in frames.",
        section=_MODEL,
        shown_default=str(DEFAULT_LAGS),
    )
    length: float | None = option(
        None,
        "--length",
        kind=float,
        help="Length of a motif in seconds, in place of --n-lags.",
        section=_MODEL,
    )
    l1_motifs: float = option(
        0.0,
        "--l1-motifs",
        kind=float,
        help="L1 penalty on the motifs: the larger, the fewer units in each.",
        section=_MODEL,
    )
    l1_activations: float = option(
        0.0,
        "--l1-activations",
        kind=float,
        help="L1 penalty on the activations: the larger, the fewer events.",
        section=_MODEL,
    )
    ortho_h: float = option(
        0.0,
        "--ortho-h",
        kind=float,
        help="Penalty on factors that are active at the same time (events-based).",
        section=_MODEL,
    )
    ortho_w: float = option(
        0.0,
        "--ortho-w",
        kind=float,
        help="Penalty on factors made of the same units (parts-based).",
        section=_MODEL,
    )
    max_iter: int = option(
        100, "--max-iter", kind=int, help="Iterations of a fit at most.", section=_FIT
    )
    tol: float = option(
        1e-4,
        "--tol",
        kind=float,
        help="Stop when the cost changes by less than this share per iteration; 0 does all.",
        section=_FIT,
    )

    def check_fit(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_recording()
        check_lags(self.n_lags, self.length)
        for name in ("l1_motifs", "l1_activations", "ortho_h", "ortho_w", "tol"):
            check_number(name, getattr(self, name))
        check_whole("max_iter", self.max_iter, least=1)


@dataclass(frozen=True, kw_only=True)
class SequencesFitOptions(FitOptions, FactorOptions):
    """What `partwise sequences fit` can be told; each field is also a flag of the command line.

    The fields of `FactorOptions` and `FitOptions`, and these:

    Attributes
    ----------
    lambda_
        x-ortho penalty: the larger, the less do factors explain the same activity.
    activations_only
        Leave the x-ortho penalty out of the step that updates motifs.
    no_shift
        Do not move motifs to the middle of their lags.
    solver, backend
        As in `partwise.sequences.SeqNMF`.
    compat
        "matlab": every step as the original program does it.
    n_init
        Starts; the fit with the lowest cost is kept.
    motifs
        Result of an earlier fit whose motifs stay as they are; further factors are free.
    test_fraction
        Last part of the recording, which the fit does not see; 0 for none.
    n_null, p, correction
        Shuffles of the significance test at most, its level, and how it is corrected for the
        number of factors. 0 shuffles: no test.
    side
        Another array of the file to draw above, aligned in time.
    output_dir, formats, figure
        Where the results go, formats of the tables and of the figures.
    seed, threads
        Seed of all random choices; threads, on which results do not depend.
    """

    lambda_: float = option(
        0.001,
        "--lambda",
        kind=float,
        help="x-ortho penalty: the larger, the less do factors explain the same activity; "
        "partwise sequences sweep finds one.",
        section=_MODEL,
    )
    activations_only: bool = option(
        False,
        "--activations-only",
        kind=bool,
        help="Leave the x-ortho penalty out of the update of the motifs.",
        section=_MODEL,
    )
    no_shift: bool = option(
        False,
        "--no-shift",
        kind=bool,
        help="Do not move motifs to the middle of their lags.",
        section=_FIT,
    )
    solver: str = option(
        "auto",
        "--solver",
        kind=str,
        choices=SOLVERS,
        help="mu: multiplicative updates, for all penalties; hals: faster, with --lambda 0 and "
        "without orthogonality.",
        section=_FIT,
    )
    backend: str = option(
        "auto",
        "--backend",
        kind=str,
        choices=BACKENDS,
        help="How products with the data are formed; results agree to rounding.",
        section=_FIT,
    )
    compat: str | None = option(
        None,
        "--compat",
        kind=str,
        choices=("matlab",),
        help="Every step as the original MATLAB program does it, its padding of the cost included.",
        section=_FIT,
    )
    n_init: int = option(
        1,
        "--n-init",
        kind=int,
        help="Random starts; the fit of the lowest cost is kept.",
        section=_FIT,
    )
    motifs: str | os.PathLike[str] | None = option(
        None,
        "--motifs",
        kind=str,
        help="Folder or .npz of an earlier fit: its motifs stay as they are; a larger -k adds "
        "free ones.",
        section=_FIT,
    )
    test_fraction: float = option(
        0.25,
        "--test-fraction",
        kind=float,
        help="Last part of the recording, kept from the fit for held-out power and the test; 0 for "
        "none.",
        section=_TEST,
    )
    n_null: int = option(
        1000,
        "--n-null",
        kind=int,
        help="Shuffles of the significance test at most; 0 for no test.",
        section=_TEST,
    )
    p: float = option(
        0.05, "-p", "--p", kind=float, help="Level of the significance test.", section=_TEST
    )
    correction: str = option(
        "bonferroni",
        "--correction",
        kind=str,
        choices=CORRECTIONS,
        help="How the test is corrected for the number of factors.",
        section=_TEST,
    )
    side: str | None = option(
        None,
        "--side",
        kind=str,
        help="Another array of the file, such as a spectrogram, to draw above the factors; none "
        "draws none.",
        section=_OUTPUT,
        shown_default="the first that has a rate and is as long as the recording",
    )
    output_dir: str | os.PathLike[str] = output_dir_option("sequence_results")
    formats: tuple[str, ...] = formats_option("the tables", FORMATS)
    figure: tuple[str, ...] = option(
        ("png",),
        "--figure",
        kind=tuple,
        choices=FIGURES,
        help="Formats of the figures beside the report.",
        section=_OUTPUT,
        matters="run",
    )
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_fit()
        check_run(self.seed, self.threads)
        if self.n_components is not None:
            check_whole("n_components", self.n_components, least=1)
        check_whole("n_init", self.n_init, least=1)
        check_number("lambda", self.lambda_)
        check_choice("solver", self.solver, SOLVERS)
        check_choice("backend", self.backend, BACKENDS)
        if self.solver == "hals" and (self.lambda_ or self.ortho_h or self.ortho_w):
            raise UsageError(
                "--solver hals knows no x-ortho penalty and no orthogonality: give --lambda 0, "
                "without --ortho-h and --ortho-w, or take --solver mu"
            )
        if self.compat is not None:
            check_choice("compat", self.compat, ("matlab",))
            if (self.solver, self.backend, self.n_init) != ("auto", "auto", 1):
                raise UsageError(
                    "--compat matlab brings its own solver: leave out --solver, --backend, --n-init"
                )
            if self.motifs is not None:
                raise UsageError("--compat matlab cannot keep --motifs as they are: it rescales")
        if self.motifs is not None:
            object.__setattr__(self, "motifs", os.fspath(self.motifs))
        check_test(self.test_fraction, self.n_null, self.p, self.correction)
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "formats", names_of("format", self.formats))
        for name in self.formats:
            check_choice("format", name, FORMATS)
        object.__setattr__(self, "figure", check_figures(self.figure))


def check_run(seed: int, threads: int | None) -> None:
    """Raise `UsageError` for a seed, or a number of threads, that cannot be used."""
    check_whole("seed", seed, least=0)
    if threads is not None:
        check_whole("threads", threads, least=1)


def check_test(test_fraction: float, n_null: int, p: float, correction: str) -> None:
    """Raise `UsageError` for settings of the significance test that cannot be used."""
    check_number("test_fraction", test_fraction)
    if test_fraction >= 1:
        raise UsageError(f"test_fraction must be below 1, not {test_fraction:g}")
    check_whole("n_null", n_null, least=0)
    check_number("p", p, above=0.0)
    if p >= 1:
        raise UsageError(f"p must be below 1, not {p:g}")
    check_choice("correction", correction, CORRECTIONS)


def options_of_commands() -> dict[str, type]:
    """Return the options dataclass of each command of the group."""
    workflows = importlib.import_module("partwise.workflows")
    return {command: getattr(workflows, name) for command, name in COMMANDS.items()}
