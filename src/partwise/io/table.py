"""What a file becomes once it is open: identifiers, feature names, values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    r"""A matrix of non-negative values with names on both sides; n rows x p features.

    Attributes
    ----------
    path
        The file it was read from.
    name
        The file's name without what says its format: `cells.csv.gz` is `cells`.
    kind
        What the file turned out to be: "text", "parquet", "h5ad", "zarr", "npy", "npz", "mtx".
    ids
        Identifiers, one row per observation. Text is kept as it stands in the file, as categories
        where values repeat; a column `label` of whole numbers is int32 or int64.
    features
        Names of the p features, in the order of the columns of `matrix`.
    matrix
        n x p: an array, a CSR matrix, or (where the values need more than the memory that was
        granted) a block source, see `partwise.matrix.sources.BlockSource`.
    coordinates
        Names of the columns of `ids` that say where a cell is, two or three; none if unknown.
    notes
        What was found and allowed but should be known: all-zero rows, constant columns, a decimal
        comma...

    Examples
    --------
    >>> import tempfile, partwise
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("fov,label,cell_meta_cluster,A,B\nF1,1,A,1,0\nF1,2,B,0,2\n")
    >>> with partwise.open(path) as table:
    ...     print(table.name, table.shape, table.features)
    cells (2, 2) ('A', 'B')
    """

    path: Path
    name: str
    kind: str
    ids: pd.DataFrame
    features: tuple[str, ...]
    matrix: Any
    notes: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()
    _close: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        n, p = self.matrix.shape
        return int(n), int(p)

    @property
    def in_memory(self) -> bool:
        """Whether the values are held in memory (an array or CSR), not read when needed."""
        return not hasattr(self.matrix, "blocks")

    def close(self) -> None:
        """Release the file or the spool behind `matrix`; what is in memory stays usable."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
