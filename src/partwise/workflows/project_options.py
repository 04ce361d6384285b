"""Options of `partwise project`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.factorize_options import FORMATS, texts
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.shared_options import (
    formats_option,
    id_columns_option,
    output_dir_option,
    threads_option,
)

__all__ = ["ProjectOptions"]

_INPUT, _MATCH, _OUTPUT, _RUN = "Input", "Matching", "Output", "Run"


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """What `partwise project` can be told; each field is also a flag of the command line.

    Attributes
    ----------
    id_columns
        Columns that identify and describe rows; empty means fov, label and cell_meta_cluster;
        where a file has none of them, the columns that hold text, the first if it has no name,
        and the names of the observations of an AnnData.
    layer
        Layer of an AnnData file to project; None means X.
    prepared
        The new values are prepared as those of the fit were: do not repeat the preparation that
        the model records.
    min_coverage
        Least share of each program's weight that must be on features that are there.
    allow
        Go on with a warning where `min_coverage` is not reached.
    output_dir
        Folder for the results; made if missing.
    formats
        Formats of the usage; CSV is always written, the others beside it.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option(
        "rows", "fov,label,cell_meta_cluster, else those that hold text"
    )
    layer: str | None = option(
        None,
        "--layer",
        kind=str,
        help="Layer of an AnnData file to project.",
        section=_INPUT,
        shown_default="X",
    )
    prepared: bool = option(
        False,
        "--prepared",
        kind=bool,
        help="The new values are prepared already: do not repeat the preparation of the fit.",
        section=_INPUT,
    )
    min_coverage: float = option(
        0.5,
        "--min-coverage",
        kind=float,
        help="Least share of each program's weight that must be on features that are there.",
        section=_MATCH,
    )
    allow: bool = option(
        False,
        "--allow",
        kind=bool,
        help="Warn in place of refusing where --min-coverage is not reached.",
        section=_MATCH,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("results")
    formats: tuple[str, ...] = formats_option("the usage", FORMATS)
    threads: int | None = threads_option()

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("id_columns", "formats"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        check_number("min_coverage", self.min_coverage)
        if self.min_coverage > 1:
            raise UsageError(f"min_coverage must be a share from 0 to 1, not {self.min_coverage}")
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)
        for name in self.formats:
            check_choice("format", name, FORMATS)
