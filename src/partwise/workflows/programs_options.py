"""Options of `partwise programs`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.factorize_options import texts
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.shared_options import (
    features_option,
    formats_option,
    id_columns_option,
    output_dir_option,
    seed_option,
    threads_option,
)

__all__ = ["FORMATS", "ProgramsOptions", "parse_ranks"]

FORMATS = ("csv", "parquet", "h5ad")
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")

_INPUT, _FITS, _CONSENSUS, _OUTPUT, _RUN = (
    "Input",
    "Replicates",
    "Consensus",
    "Output",
    "Run",
)


@dataclass(frozen=True, kw_only=True)
class ProgramsOptions:
    """What `partwise programs` can be told; each field is also a flag of the command line.

    Attributes
    ----------
    id_columns
        Columns that identify and describe cells; empty means fov, label and cell_meta_cluster;
        where a file has none of them, the columns that hold text, the first if it has no name,
        and the names of the cells of an AnnData.
    features
        Names or patterns (`*`, `?`) of the genes to read; empty means all.
    layer
        Layer of an AnnData file that holds the counts; None means X.
    min_cells
        Genes with a count in fewer cells are left out.
    genes
        Over-dispersed genes that are factorized.
    ranks
        Numbers of programs to try: "9", "5-13" or "5,7,9".
    choose
        Number of programs of the consensus, one of `ranks`; None takes the recommended one.
    replicates
        Fits of each number of programs.
    max_iter, tol
        When each fit stops at the latest, and the relative change at which it stops; None means
        the default of `partwise.ConsensusNMF`.
    density_threshold
        Mean distance to its nearest neighbours from which a program of one fit is left out; 2
        keeps all.
    neighborhood_size
        Number of those neighbours, as a share of the replicates.
    top
        Genes per program in the table of top genes.
    output_dir
        Folder for the results; made if missing.
    formats
        Formats of the tables; CSV is always written, the others beside it.
    seed
        Seed of all random choices.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option(
        "cells", "fov,label,cell_meta_cluster, else those that hold text"
    )
    features: tuple[str, ...] = features_option("genes to read")
    layer: str | None = option(
        None,
        "--layer",
        kind=str,
        help="Layer of an AnnData file that holds the counts.",
        section=_INPUT,
        shown_default="X",
    )
    min_cells: int = option(
        3,
        "--min-cells",
        kind=int,
        help="Leave out genes with a count in fewer cells.",
        section=_INPUT,
    )
    genes: int = option(
        2000, "--genes", kind=int, help="Over-dispersed genes to factorize.", section=_INPUT
    )
    ranks: str = option(
        "5-13",
        "-k",
        "--ranks",
        kind=str,
        help="Numbers of programs to try: 9, 5-13 or 5,7,9.",
        section=_FITS,
    )
    replicates: int = option(
        100, "-r", "--replicates", kind=int, help="Fits of each number of programs.", section=_FITS
    )
    max_iter: int | None = option(
        None,
        "--max-iter",
        kind=int,
        help="Passes over the data of each fit at most.",
        section=_FITS,
        shown_default="1000",
    )
    tol: float | None = option(
        None,
        "--tol",
        kind=float,
        help="A fit stops when its loss changes by less than this share per pass.",
        section=_FITS,
        shown_default="1e-06",
    )
    choose: int | None = option(
        None,
        "--choose",
        kind=int,
        help="Number of programs of the consensus, of those tried.",
        section=_CONSENSUS,
        shown_default="the recommended one",
    )
    density_threshold: float = option(
        0.5,
        "--density-threshold",
        kind=float,
        help="Mean distance to its nearest neighbours from which a program of one fit is left "
        "out; 2 keeps all.",
        section=_CONSENSUS,
    )
    neighborhood_size: float = option(
        0.3,
        "--neighborhood-size",
        kind=float,
        help="Number of those neighbours, as a share of the replicates.",
        section=_CONSENSUS,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("results")
    formats: tuple[str, ...] = formats_option("the tables", FORMATS)
    top: int = option(
        50, "--top", kind=int, help="Genes per program in the table of top genes.", section=_OUTPUT
    )
    seed: int = seed_option()
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("id_columns", "features", "formats"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        object.__setattr__(self, "ranks", str(self.ranks))
        asked = parse_ranks(self.ranks)
        check_whole("genes", self.genes, least=2)
        check_whole("replicates", self.replicates, least=2)
        for name in ("top", "max_iter", "threads", "choose"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
        for name in ("seed", "min_cells"):
            check_whole(name, getattr(self, name), least=0)
        check_number("density_threshold", self.density_threshold, above=0.0)
        check_number("neighborhood_size", self.neighborhood_size, above=0.0)
        if self.neighborhood_size > 1:
            raise UsageError(
                f"neighborhood_size is a share: at most 1, not {self.neighborhood_size}"
            )
        if self.tol is not None:
            check_number("tol", self.tol)
        for name in self.formats:
            check_choice("format", name, FORMATS)
        if self.choose is not None and self.choose not in asked:
            raise UsageError(f"choose (--choose {self.choose}) must be one of -k {self.ranks}")

    @property
    def asked(self) -> tuple[int, ...]:
        """The numbers of programs to try, ascending."""
        return parse_ranks(self.ranks)


def parse_ranks(text: str) -> tuple[int, ...]:
    """Return the numbers that "9", "5-13" or "5,7-9" mean, ascending.

    Raises
    ------
    UsageError
        If it means none, or numbers below 2.

    Examples
    --------
    >>> parse_ranks("5,7-9")
    (5, 7, 8, 9)
    """
    found: set[int] = set()
    for part in str(text).split(","):
        word = part.strip()
        span = _RANGE.fullmatch(word)
        if span and 0 < int(span[1]) <= int(span[2]) <= int(span[1]) + 999:
            found.update(range(int(span[1]), int(span[2]) + 1))
        elif word.isdecimal():
            found.add(int(word))
        else:
            raise UsageError(f"ranks (-k) must be like 9, 5-13 or 5,7,9; not {text!r}")
    if min(found) < 2:
        raise UsageError(f"ranks (-k) must be 2 or more: a consensus of {min(found)} has no choice")
    return tuple(sorted(found))
