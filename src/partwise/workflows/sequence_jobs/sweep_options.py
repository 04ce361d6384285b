"""Options of `partwise sequences sweep` and `partwise sequences select-k`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.sequence_jobs.options import FactorOptions, FitOptions, check_run
from partwise.workflows.sequence_jobs.recording_options import FIGURES, check_figures, names_of
from partwise.workflows.shared_options import (
    output_dir_option,
    resume_option,
    seed_option,
    threads_option,
)

__all__ = ["METHODS", "SequencesSelectKOptions", "SequencesSweepOptions"]

METHODS = ("dissimilarity", "cv")

_MODEL, _SWEEP, _OUTPUT = "Model", "Sweep", "Output"


def _figure_option() -> Any:
    return option(
        ("png",),
        "--figure",
        kind=tuple,
        choices=FIGURES,
        help="Formats of the figure beside the report.",
        section=_OUTPUT,
        matters="run",
    )


@dataclass(frozen=True, kw_only=True)
class SequencesSweepOptions(FitOptions, FactorOptions):
    """What `partwise sequences sweep` can be told; each field is also a flag.

    The fields of `FitOptions`, and these:

    Attributes
    ----------
    n_components
        Number of factors.
    tol
        When a fit stops; 0 does all iterations.
    lambdas
        Values to fit; empty means 20 from 1e-5 to 0.1.
    n_repeats
        Fits of each from different starts.
    output_dir, figure
        Where the results go; formats of the figure.
    resume
        Go on where a run that was interrupted or killed left off.
    seed, threads
        Seed of all random choices; threads, on which results do not depend.
    """

    n_components: int = option(
        10, "-k", "--n-components", kind=int, help="Number of factors.", section=_MODEL
    )
    tol: float = option(
        0.0,
        "--tol",
        kind=float,
        help="Stop a fit when its cost changes by less than this share per iteration. With a large "
        "lambda the cost rests before factors have parted, so all iterations are done.",
        section="Fit",
    )
    lambdas: tuple[float, ...] = option(
        (),
        "--lambdas",
        kind=tuple,
        help="Values of the x-ortho penalty to fit.",
        section=_SWEEP,
        shown_default="20 from 1e-5 to 0.1",
    )
    n_repeats: int = option(
        3,
        "-r",
        "--n-repeats",
        kind=int,
        help="Fits of each value, from different starts.",
        section=_SWEEP,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("sequence_sweep")
    figure: tuple[str, ...] = _figure_option()
    resume: bool = resume_option()
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_fit()
        check_run(self.seed, self.threads)
        check_whole("n_components", self.n_components, least=1)
        check_whole("n_repeats", self.n_repeats, least=1)
        object.__setattr__(self, "lambdas", _numbers("lambdas", self.lambdas))
        if len(self.lambdas) == 1:
            raise UsageError("--lambdas needs at least two values: costs cross between values")
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "figure", check_figures(self.figure))


@dataclass(frozen=True, kw_only=True)
class SequencesSelectKOptions(FitOptions):
    """What `partwise sequences select-k` can be told; each field is also a flag.

    The fields of `FitOptions`, and these:

    Attributes
    ----------
    ks
        Numbers of factors to look at.
    n_repeats
        Fits of each from different starts.
    methods
        What to measure, of "dissimilarity" and "cv".
    fraction
        Share of the entries that each fit of "cv" hides.
    lambda_
        x-ortho penalty.
    output_dir, figure
        Where the results go; formats of the figure.
    resume
        Go on where a run that was interrupted or killed left off.
    seed, threads
        Seed of all random choices; threads, on which results do not depend.
    """

    ks: tuple[int, ...] = option(
        tuple(range(1, 11)),
        "-k",
        "--ks",
        kind=tuple,
        help="Numbers of factors to look at, such as 2,4 or 1-10.",
        section=_SWEEP,
        shown_default="1-10",
    )
    n_repeats: int = option(
        5,
        "-r",
        "--n-repeats",
        kind=int,
        help="Fits of each, from different starts.",
        section=_SWEEP,
    )
    methods: tuple[str, ...] = option(
        METHODS,
        "--methods",
        kind=tuple,
        choices=METHODS,
        help="What to measure. dissimilarity: whether different starts agree, which decides; cv: "
        "the error on hidden entries.",
        section=_SWEEP,
    )
    fraction: float = option(
        0.05,
        "--fraction",
        kind=float,
        help="Share of the entries that each fit of cv hides.",
        section=_SWEEP,
    )
    lambda_: float = option(
        0.0,
        "--lambda",
        kind=float,
        help="x-ortho penalty; 0 leaves the number of factors to what is measured.",
        section=_MODEL,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("sequence_k")
    figure: tuple[str, ...] = _figure_option()
    resume: bool = resume_option()
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_fit()
        check_run(self.seed, self.threads)
        object.__setattr__(self, "ks", _whole_numbers("ks", self.ks))
        if not self.ks:
            raise UsageError("--ks needs at least one number of factors")
        object.__setattr__(self, "methods", names_of("methods", self.methods))
        if not self.methods:
            raise UsageError(f"methods must name at least one of {', '.join(METHODS)}")
        for name in self.methods:
            check_choice("methods", name, METHODS)
        least = 2 if "dissimilarity" in self.methods else 1
        check_whole("n_repeats", self.n_repeats, least=least)
        check_number("lambda", self.lambda_)
        check_number("fraction", self.fraction, above=0.0)
        if self.fraction > 0.5:
            raise UsageError(f"fraction must be at most 0.5, not {self.fraction:g}")
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "figure", check_figures(self.figure))


def _several(values: Any) -> tuple[Any, ...]:
    """Return one value, a text with commas, or a sequence of such, as single values."""
    single = isinstance(values, (str, int, float))
    given: tuple[Any, ...] = (values,) if single else tuple(values or ())
    parts = [v.split(",") if isinstance(v, str) else [v] for v in given]
    return tuple(p.strip() if isinstance(p, str) else p for part in parts for p in part)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Return numbers of 0 or more, or texts that are such, sorted, each once."""
    found: set[float] = set()
    for value in _several(values):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UsageError(f"{name} must be numbers such as 0.001,0.01: {value!r}") from None
        check_number(name, number, above=0.0)
        found.add(number)
    return tuple(sorted(found))


def _whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    """Return numbers, or texts that are numbers or ranges such as 2-8, sorted, each once."""
    found: set[int] = set()
    for value in _several(values):
        low, dash, high = str(value).partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)):
            raise UsageError(f"{name} must be whole numbers such as 2,4 or 1-10: {value!r}")
        first, last = int(low), int(high) if dash else int(low)
        if first < 1 or not first <= last <= first + 1000:
            raise UsageError(f"{name} must be whole numbers from 1 up: {value!r}")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
