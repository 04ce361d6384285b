"""What a reader is asked for and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from partwise.utils.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Parsed", "Request"]


@dataclass(frozen=True)
class Request:
    """The parameters of `open_table`, resolved."""

    path: Path
    id_columns: Sequence[str] | None
    features: Sequence[str] | None
    spool_dir: Path | None
    memory_limit: int
    n_threads: int
    progress: Progress
    chunk_rows: int | None = None
    layer: str | None = None
    metadata: Sequence[str] = ()
    coordinates: Sequence[str] | None = None
    min_rows: int = 2


class Parsed(NamedTuple):
    """Identifiers, feature names, values, notes and names of coordinates of a file."""

    ids: pd.DataFrame
    features: tuple[str, ...]
    matrix: Any
    notes: list[str]
    coordinates: tuple[str, ...] = ()
