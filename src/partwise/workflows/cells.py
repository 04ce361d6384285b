"""Tables of cells with coordinates: told from neighbourhood tables, read, and turned into one.

`open_either` is what jobs call that take either. What makes a table one of cells is that it says
where each cell is and of which type, and that its other columns are not named after these types.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.io import Table, open_table
from partwise.io.columns import DEFAULT_ID_COLUMNS, is_geometry, match_features, shown
from partwise.io.opening import MEMORY_LIMIT
from partwise.io.peek import Peek, peek
from partwise.io.positions import numbers_of
from partwise.workflows.cells_count import Surroundings, count_around
from partwise.workflows.cells_options import CellOptions, counting_flags
from partwise.workflows.cells_read import Cells, positions_in, read_cells, wanted_names

if TYPE_CHECKING:
    from partwise.utils.progress import Progress

__all__ = [
    "CellTable",
    "Cells",
    "coordinates_of",
    "counted_text",
    "is_cells",
    "open_cells",
    "open_either",
    "read_cells",
    "resolved_of",
    "with_types",
]

_FOV, _LABEL, _TYPE = DEFAULT_ID_COLUMNS
#: Share of the types that are columns too, from which on a table is one of neighbourhoods.
_ALREADY = 0.5
_INSTEAD = "To work on the neighbourhoods of the cells instead, add --neighborhood radius"


@dataclass(frozen=True)
class CellTable(Table):
    """A neighbourhood table that was counted from cells, and how.

    Attributes
    ----------
    around
        The neighbours, and the settings as they were resolved.
    """

    around: Surroundings | None = None


def open_either(
    path: str | os.PathLike[str],
    options: Any,
    *,
    metadata: Sequence[str] = (),
    spool_dir: Path | None = None,
    memory_limit: int = MEMORY_LIMIT,
    chunk_rows: int | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Table:
    """Open a neighbourhood table, or make one of a table of cells.

    Parameters
    ----------
    path
        The file.
    options
        Those of a job: a `CellOptions` that has `id_columns` and `features` as well.
    metadata, spool_dir, memory_limit, chunk_rows, n_threads, progress
        As in `open_table`.

    Returns
    -------
    Table
        Types in place of features, if the file is one of cells; what `open_table` gives otherwise.

    Raises
    ------
    UsageError
        If the options say how to count neighbours but there is nothing to count.
    DataError
        If the file cannot be used.
    """
    found = peek(Path(path), wanted=wanted_names(options))
    cells = open_cells(
        path, options, metadata=metadata, found=found, n_threads=n_threads, progress=progress
    )
    if cells is not None:
        return cells
    could_be = found is not None and _could_be_cells(found, options)
    try:
        table = open_table(
            path,
            id_columns=options.id_columns or None,
            metadata=metadata,
            coordinates=_positions_of_table(found, options),
            features=options.features or None,
            spool_dir=spool_dir,
            memory_limit=memory_limit,
            chunk_rows=chunk_rows,
            n_threads=n_threads,
            progress=progress,
        )
    except DataError as error:
        if not could_be:
            raise
        raise DataError(f"{error}. {_INSTEAD}") from error
    if could_be:
        note = (
            "the table says where each cell is and of which type, but its columns are not named "
            f"after the types: they were taken as features. {_INSTEAD}"
        )
        table = dataclasses.replace(table, notes=(*table.notes, note))
    return table


def is_cells(path: str | Path, options: CellOptions) -> bool:
    """Whether a file is a table of cells, as `open_either` sees it; only its beginning is read."""
    return _is_cells(Path(path), peek(Path(path), wanted=wanted_names(options)), options)


def open_cells(
    path: str | os.PathLike[str],
    options: Any,
    *,
    metadata: Sequence[str] = (),
    found: Peek | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> CellTable | None:
    """Count the neighbourhoods of a table of cells; None if the file is none.

    Parameters
    ----------
    path
        The file.
    options
        Those of a job: a `CellOptions` that has `id_columns` and `features` as well.
    metadata
        Names of further columns to keep.
    found
        What `peek` found, if that is known.
    n_threads, progress
        Threads, and who is told.

    Returns
    -------
    CellTable or None
        A `Table` with a column per type.

    Raises
    ------
    UsageError
        If the options say how to count neighbours but there is nothing to count.
    DataError
        If the file cannot be used.
    """
    found = peek(Path(path), wanted=wanted_names(options)) if found is None else found
    if not _is_cells(Path(path), found, options):
        return None
    cells = read_cells(
        path, options, metadata=metadata, found=found, n_threads=n_threads, progress=progress
    )
    around = count_around(cells, options, n_threads=n_threads, progress=progress)
    names, values = around.table.types, around.values
    if options.features:
        keep = match_features(names, options.features, path=cells.path)
        names, values = tuple(names[j] for j in keep), np.ascontiguousarray(values[:, keep])
    return CellTable(
        path=cells.path,
        name=cells.name,
        kind=cells.kind,
        ids=cells.ids,
        features=names,
        matrix=values,
        notes=(*cells.notes, *around.notes),
        coordinates=cells.axes,
        around=around,
    )


def coordinates_of(table: Table) -> npt.NDArray[np.float64] | None:
    """Return where the cells of a table are, n x 2 (of three coordinates the first two), or None.

    Parameters
    ----------
    table
        An open table, or part of its rows.

    Returns
    -------
    numpy.ndarray or None
        Float64, in the unit of the file; None if the table does not say.

    Raises
    ------
    DataError
        If a position is missing or no number; names row and column.
    """
    names = [name for name in table.coordinates if name in table.ids][:2]
    if len(names) < 2:
        return None
    return np.column_stack(
        [numbers_of(table.ids[name], path=table.path, name=name) for name in names]
    )


def resolved_of(table: Table) -> dict[str, Any]:
    """Return the options of `CellOptions` with the values used; empty if nothing was counted."""
    around = getattr(table, "around", None)
    return {} if around is None else dict(around.resolved)


def with_types(table: Table, names: Iterable[str]) -> Table:
    """Add the types that a counted table does not have: nobody has such a neighbour.

    A table that was not counted from cells is returned as it is: what is missing there may not have
    been measured, which is not zero.

    Parameters
    ----------
    table
        An open table, n x p.
    names
        Types that it should have.

    Returns
    -------
    Table
        With a column of zeros for each that was missing, after the others.
    """
    new = [name for name in names if name not in table.features]
    if getattr(table, "around", None) is None or not new:
        return table
    zeros = np.zeros((table.shape[0], len(new)), dtype=table.matrix.dtype)
    which = f"type {shown(new)}: it was" if len(new) == 1 else f"types {shown(new)}: they were"
    note = f"no cell is of the {which} counted as zero"
    return dataclasses.replace(
        table,
        features=(*table.features, *new),
        matrix=np.concatenate([table.matrix, zeros], axis=1),
        notes=(*table.notes, note),
    )


def counted_text(table: Table) -> str:
    """Return how a table was counted from cells, as a sentence; empty if it was not."""
    around = getattr(table, "around", None)
    if around is None:
        return ""
    what = "numbers" if around.resolved["counts"] else "shares"
    return (
        f"The table was counted from the coordinates {', '.join(around.resolved['coordinates'])}: "
        f"it holds the {what} of the types among the neighbours of each cell, which are "
        f"{around.text} ({around.others.mean():,.1f} neighbours on average)."
    )


def _positions_of_table(found: Peek | None, options: CellOptions) -> tuple[str, ...] | None:
    """Return the coordinates of a table that is none of cells; None means by name."""
    if options.coordinates:
        return options.coordinates
    if found is not None and found.kind in ("h5ad", "zarr"):
        return positions_in(found, options) or None
    return None


def _is_cells(path: Path, found: Peek | None, options: Any) -> bool:
    """Whether a file is a table of cells; refuses options that would then have no use."""
    flags = counting_flags(options)
    if found is None:
        _refuse(path, flags, "this kind of file has no columns with coordinates and types")
        return False
    of_type = options.type_column or _TYPE
    axes = positions_in(found, options)
    if not axes:
        _refuse(path, flags, "no coordinates were found; name their columns with --coordinates")
        return False
    if of_type not in found.names:
        _refuse(path, flags, f"there is no column {of_type!r}; name that of the types with --type")
        return False
    if not _could_be_cells(found, options):
        types = sorted(set(found.rows[of_type]))
        problem = "this is a neighbourhood table already: its columns are named after the types"
        _refuse(path, flags, f"{problem} ({shown(types, 3)})")
        return False
    if flags:
        return True
    measured = [name for name in _others(found, options) if not is_geometry(name)]
    return not found.features and not any(found.numeric(name) for name in measured)


def _could_be_cells(found: Peek, options: Any) -> bool:
    """Whether a table has coordinates and types, and no columns that are named after the types."""
    of_type = options.type_column or _TYPE
    if of_type not in found.names or not positions_in(found, options):
        return False
    types = {text for text in found.rows[of_type] if text}
    return len(types.intersection(_others(found, options))) < _ALREADY * max(len(types), 1)


def _others(found: Peek, options: Any) -> list[str]:
    """Return the columns that may hold values."""
    taken = {
        *positions_in(found, options),
        options.type_column or _TYPE,
        options.fov_column or _FOV,
    }
    taken |= {_LABEL, *options.id_columns}
    return [name for name in found.features or found.names if name not in taken]


def _refuse(path: Path, flags: list[str], reason: str) -> None:
    if flags:
        have = "has" if len(flags) == 1 else "have"
        raise UsageError(f"{path}: {reason}; {', '.join(flags)} {have} no use here")
