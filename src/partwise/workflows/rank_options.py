"""Options of `partwise rank`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.shared_options import (
    features_option,
    id_columns_option,
    output_dir_option,
    seed_option,
    threads_option,
)

__all__ = ["FIGURES", "LOSSES", "METHODS", "RankOptions"]

METHODS = ("cv", "stability", "elbow")
LOSSES = ("frobenius", "kullback-leibler")
FIGURES = ("png", "pdf", "svg")

_INPUT, _RANKS, _FITS, _OUTPUT, _RUN = "Input", "Ranks", "Fits", "Output", "Run"


@dataclass(frozen=True, kw_only=True)
class RankOptions:
    """What `partwise rank` can be told; each field is also a flag of the command line.

    Attributes
    ----------
    id_columns
        Columns that identify and describe rows; empty means fov, label and cell_meta_cluster, or
        where a file has none of them, those that hold text.
    features
        Names or patterns (`*`, `?`) of the columns to factorize; empty means all but the ids.
    layer
        Layer of an AnnData file to look at; None means X.
    ranks
        Ranks to look at; empty means a search.
    min_rank, max_rank
        All ranks from the one to the other; max_rank alone is where a search ends.
    methods
        What to measure: "cv" (held-out error), "stability" (of programs across starts), "elbow"
        (training error, and the spectrum beside noise).
    loss
        "frobenius" (least squares), or "kullback-leibler" for counts.
    n_replicates
        Masks and starts per rank.
    fraction
        Share of the entries that a replicate hides; None means 0.1, less for large or sparse data.
    tol, max_iter
        When a fit stops.
    output_dir
        Folder for the results; made if missing.
    figure
        Formats of the figure beside the report.
    seed
        Seed of all random choices.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option(
        "rows", "fov,label,cell_meta_cluster, else those that hold text"
    )
    features: tuple[str, ...] = features_option("columns to factorize")
    layer: str | None = option(
        None,
        "--layer",
        kind=str,
        help="Layer of an AnnData file to look at.",
        section=_INPUT,
        shown_default="X",
    )
    ranks: tuple[int, ...] = option(
        (),
        "-k",
        "--ranks",
        kind=tuple,
        help="Ranks to look at.",
        section=_RANKS,
        shown_default="a search",
    )
    min_rank: int | None = option(
        None, "--min", kind=int, help="With --max: all ranks from here to there.", section=_RANKS
    )
    max_rank: int | None = option(
        None,
        "--max",
        kind=int,
        help="Largest rank; without --min, where the search ends.",
        section=_RANKS,
        shown_default="100, less for small tables",
    )
    methods: tuple[str, ...] = option(
        METHODS,
        "--methods",
        kind=tuple,
        choices=METHODS,
        help="What to measure. cv: error on hidden entries; stability: whether different starts "
        "agree; elbow: training error, and the spectrum beside noise.",
        section=_RANKS,
    )
    loss: str = option(
        "frobenius",
        "--loss",
        kind=str,
        choices=LOSSES,
        help="Least squares, or, for counts, the Poisson deviance.",
        section=_FITS,
    )
    n_replicates: int = option(
        5, "-r", "--n-replicates", kind=int, help="Masks and starts per rank.", section=_FITS
    )
    fraction: float | None = option(
        None,
        "--fraction",
        kind=float,
        help="Share of the entries that a replicate hides.",
        section=_FITS,
        shown_default="0.1, less for large or sparse data",
    )
    max_iter: int = option(
        200, "--max-iter", kind=int, help="Passes over the data at most.", section=_FITS
    )
    tol: float = option(
        1e-5,
        "--tol",
        kind=float,
        help="Stop when the loss changes by less than this share per pass.",
        section=_FITS,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("rank_results")
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
        for name in ("id_columns", "features", "methods", "figure"):
            value = getattr(self, name)
            texts = (value,) if isinstance(value, str) else tuple(value or ())
            if not all(isinstance(text, str) and text for text in texts):
                raise UsageError(f"{name} must be names, not {value!r}")
            object.__setattr__(self, name, texts)
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "ranks", _whole_numbers(self.ranks))
        for name in ("min_rank", "max_rank", "threads"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
        self._check_range()
        if not self.methods:
            raise UsageError(f"methods must name at least one of {', '.join(METHODS)}")
        for name in self.methods:
            check_choice("methods", name, METHODS)
        check_choice("loss", self.loss, LOSSES)
        for name in self.figure:
            check_choice("figure", name, FIGURES)
        check_whole(
            "n_replicates", self.n_replicates, least=2 if "stability" in self.methods else 1
        )
        check_whole("max_iter", self.max_iter, least=1)
        check_whole("seed", self.seed, least=0)
        check_number("tol", self.tol)
        if self.fraction is not None:
            check_number("fraction", self.fraction, above=0.0)
            if self.fraction > 0.5:
                raise UsageError(f"fraction must be at most 0.5, not {self.fraction:g}")

    def _check_range(self) -> None:
        if self.ranks and (self.min_rank is not None or self.max_rank is not None):
            raise UsageError("give either the ranks (--ranks) or their range (--min, --max)")
        if self.min_rank is not None and self.max_rank is None:
            raise UsageError("--min goes with --max: all ranks from the one to the other")
        if (
            self.min_rank is not None
            and self.max_rank is not None
            and self.min_rank > self.max_rank
        ):
            raise UsageError(f"--min {self.min_rank} is larger than --max {self.max_rank}")

    @property
    def asked(self) -> str | tuple[int, ...]:
        """The ranks to look at, or "auto"."""
        if self.ranks:
            return self.ranks
        if self.min_rank is None or self.max_rank is None:
            return "auto"
        return tuple(range(self.min_rank, self.max_rank + 1))


def _whole_numbers(values: object) -> tuple[int, ...]:
    """Return numbers, or texts that are numbers or ranges such as 5-10, as a sorted tuple."""
    given = (values,) if isinstance(values, (str, int)) else tuple(values or ())  # type: ignore[arg-type]
    found: set[int] = set()
    for value in given:
        low, dash, high = str(value).strip().partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)):
            raise UsageError(f"ranks must be whole numbers or ranges such as 5-10, not {value!r}")
        last = int(high) if dash else int(low)
        if int(low) < 1 or last < int(low) or last - int(low) > 10_000:
            raise UsageError(f"ranks must be whole numbers from 1 up, not {value!r}")
        found.update(range(int(low), last + 1))
    return tuple(sorted(found))
