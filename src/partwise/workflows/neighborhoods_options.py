"""Options of `partwise neighborhoods`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.options import check_choice, check_whole, option
from partwise.workflows.shared_options import (
    formats_option,
    memory_option,
    output_dir_option,
    threads_option,
)

__all__ = ["FORMATS", "NeighborhoodsOptions"]

FORMATS = ("csv", "parquet")


@dataclass(frozen=True, kw_only=True)
class NeighborhoodsOptions(CellOptions):
    """What `partwise neighborhoods` can be told; each field is also a flag of the command line.

    The fields of `CellOptions`, and these:

    Attributes
    ----------
    metadata
        Further columns to keep beside the identifiers.
    output_dir
        Folder for the results; made if missing.
    formats
        Formats of the table; CSV is always written, the others beside it.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    memory
        Memory that the run may take, such as "4GB"; None means what it needs.
    """

    metadata: tuple[str, ...] = option(
        (),
        "--metadata",
        kind=tuple,
        help="Further columns to keep beside the identifiers.",
        section="Input",
        shown_default="none",
    )
    output_dir: str | os.PathLike[str] = output_dir_option("neighborhoods")
    formats: tuple[str, ...] = formats_option("the table", FORMATS)
    threads: int | None = threads_option()
    memory: str | None = memory_option(streams=False)

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        self.check_cells()
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        for name in ("metadata", "formats"):
            value = getattr(self, name)
            texts = (value,) if isinstance(value, str) else tuple(value or ())
            if not all(isinstance(text, str) and text for text in texts):
                raise UsageError(f"{name} must be names, not {value!r}")
            object.__setattr__(self, name, texts)
        for name in self.formats:
            check_choice("format", name, FORMATS)
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Further identifiers: none."""
        return ()
