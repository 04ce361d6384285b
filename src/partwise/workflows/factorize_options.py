"""Options of `partwise factorize`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.shared_options import (
    features_option,
    formats_option,
    id_columns_option,
    output_dir_option,
    seed_option,
    threads_option,
)

__all__ = ["FORMATS", "INITS", "LOSSES", "SOLVERS", "FactorizeOptions", "texts"]

LOSSES = ("frobenius", "kullback-leibler")
SOLVERS = ("auto", "hals", "bpp", "newton", "minibatch")
INITS = ("nndsvda", "nndsvd", "random")
FORMATS = ("csv", "parquet", "h5ad")

_INPUT, _PREPARE, _NMF, _OUTPUT, _RUN = (
    "Input",
    "Preparation",
    "Factorization",
    "Output",
    "Run",
)


@dataclass(frozen=True, kw_only=True)
class FactorizeOptions:
    """What `partwise factorize` can be told; each field is also a flag of the command line.

    Attributes
    ----------
    id_columns
        Columns that identify and describe rows; empty means fov, label and cell_meta_cluster;
        where a file has none of them, the columns that hold text, the first if it has no name,
        and the names of the observations of an AnnData.
    features
        Names or patterns (`*`, `?`) of the columns to read; empty means all but the ids.
    layer
        Layer of an AnnData file to factorize; None means X.
    normalize
        Scale each row to the same total.
    target
        That total; None means the median of the totals. Only with `normalize`.
    log1p
        Take the logarithm of 1 + x, after `normalize`.
    genes
        Keep so many over-dispersed features, chosen before the logarithm; None keeps all.
    n_components
        Number of programs.
    loss
        "frobenius" (squares) or "kullback-leibler" (counts).
    solver
        "auto" for the loss's own; "hals", "bpp" (squares), "newton" (counts), "minibatch".
    init
        Start: "nndsvda", "nndsvd" or "random".
    n_init
        Starts, of which the best is kept.
    max_iter, tol
        When the iteration stops at the latest, and the relative change at which it stops; None
        means the solver's default.
    top
        Features per program in the table and the figure of leading features.
    output_dir
        Folder for the results; made if missing.
    formats
        Formats of usage and programs; CSV is always written, the others beside it.
    seed
        Seed of all random choices.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option(
        "rows", "fov,label,cell_meta_cluster, else those that hold text"
    )
    features: tuple[str, ...] = features_option("columns to read")
    layer: str | None = option(
        None,
        "--layer",
        kind=str,
        help="Layer of an AnnData file to factorize.",
        section=_INPUT,
        shown_default="X",
    )
    normalize: bool = option(
        False,
        "--normalize",
        kind=bool,
        help="Scale each row to the same total.",
        section=_PREPARE,
    )
    target: float | None = option(
        None,
        "--target",
        kind=float,
        help="The total that --normalize gives each row.",
        section=_PREPARE,
        shown_default="the median of the totals",
    )
    log1p: bool = option(
        False,
        "--log1p",
        kind=bool,
        help="Take the logarithm of 1 + x, after --normalize.",
        section=_PREPARE,
    )
    genes: int | None = option(
        None,
        "--genes",
        kind=int,
        help="Keep so many over-dispersed features, chosen before the logarithm.",
        section=_PREPARE,
        shown_default="all",
    )
    n_components: int = option(
        10, "-n", "-k", "--n-components", kind=int, help="Number of programs.", section=_NMF
    )
    loss: str = option(
        "frobenius",
        "--loss",
        kind=str,
        choices=LOSSES,
        help="What is minimised: squares, or the Poisson loss of counts.",
        section=_NMF,
    )
    solver: str = option(
        "auto",
        "--solver",
        kind=str,
        choices=SOLVERS,
        help="auto: hals for squares, newton for counts; bpp: exact alternating steps; "
        "minibatch: few rows at a time, stops before it converges.",
        section=_NMF,
    )
    init: str = option(
        "nndsvda",
        "--init",
        kind=str,
        choices=INITS,
        help="Start of the factorization.",
        section=_NMF,
    )
    n_init: int = option(
        1,
        "--n-init",
        kind=int,
        help="Starts, of which the best is kept; those after the first are random.",
        section=_NMF,
    )
    max_iter: int | None = option(
        None,
        "--max-iter",
        kind=int,
        help="Passes over the data at most.",
        section=_NMF,
        shown_default="the solver's",
    )
    tol: float | None = option(
        None,
        "--tol",
        kind=float,
        help="Stop when the loss changes by less than this share per pass.",
        section=_NMF,
        shown_default="the solver's",
    )
    output_dir: str | os.PathLike[str] = output_dir_option("results")
    formats: tuple[str, ...] = formats_option("usage and programs", FORMATS)
    top: int = option(
        20, "--top", kind=int, help="Leading features per program in the table.", section=_OUTPUT
    )
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("id_columns", "features", "formats"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        for name in ("n_components", "n_init", "top"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("genes", "max_iter", "threads"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
        check_whole("seed", self.seed, least=0)
        if self.tol is not None:
            check_number("tol", self.tol)
        check_choice("loss", self.loss, LOSSES)
        check_choice("solver", self.solver, SOLVERS)
        check_choice("init", self.init, INITS)
        for name in self.formats:
            check_choice("format", name, FORMATS)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse options that would be ignored beside others."""
        if self.target is not None:
            check_number("target", self.target, above=0.0)
            if not self.normalize:
                raise UsageError("target (--target) belongs to normalize (--normalize)")
        squares, counts = ("hals", "bpp"), ("newton",)
        if self.loss == "frobenius" and self.solver in counts:
            raise UsageError(f"the solver {self.solver!r} is for --loss kullback-leibler")
        if self.loss != "frobenius" and self.solver in squares:
            raise UsageError(f"the solver {self.solver!r} is for --loss frobenius")
        if self.solver == "minibatch" and self.n_init > 1:
            raise UsageError("the solver 'minibatch' has one start: leave out --n-init")


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Return a text or a sequence of texts as a tuple."""
    if value is None:
        return ()
    words = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(word, str) and word for word in words):
        raise UsageError(f"{name} must be names, not {value!r}")
    return words
