"""Tables of cells with coordinates: told from neighbourhood tables, read, and turned into one.

`open_either` is what jobs call that take either. What makes a table one of cells is that it says
where each cell is and of which type, and that its other columns are not named after these types.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.exceptions import DataError, UsageError
from partwise.graph.spatial import sorted_names
from partwise.io import Table, open_table
from partwise.io.columns import DEFAULT_ID_COLUMNS, match_features, shown
from partwise.io.identifiers import duplicate_text, find_duplicate
from partwise.io.opening import MEMORY_LIMIT
from partwise.io.peek import Peek, peek
from partwise.io.positions import SPATIAL, known_coordinates, numbers_of
from partwise.workflows.cells_count import Surroundings, count_around
from partwise.workflows.cells_options import NO_FOV, CellOptions, counting_flags

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
]

_FOV, _LABEL, _TYPE = DEFAULT_ID_COLUMNS
_AXES = ("centroid-0", "centroid-1", "centroid-2")
#: Share of the types that are columns too, from which on a table is one of neighbourhoods.
_ALREADY = 0.5


@dataclass(frozen=True)
class Cells:
    """Cells with coordinates and types.

    Attributes
    ----------
    path, name, kind
        As of `Table`.
    ids
        `fov`, `label`, `cell_meta_cluster`, the coordinates, and what else was asked for.
    axes
        Names of the coordinates among them.
    coordinates
        n x 2 or n x 3.
    notes
        What should be known.
    """

    path: Path
    name: str
    kind: str
    ids: pd.DataFrame
    axes: tuple[str, ...]
    coordinates: npt.NDArray[np.float64]
    notes: tuple[str, ...]


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
    cells = open_cells(path, options, metadata=metadata, n_threads=n_threads, progress=progress)
    if cells is not None:
        return cells
    table = open_table(
        path,
        id_columns=options.id_columns or None,
        metadata=metadata,
        coordinates=_positions_of_table(path, options),
        features=options.features or None,
        spool_dir=spool_dir,
        memory_limit=memory_limit,
        chunk_rows=chunk_rows,
        n_threads=n_threads,
        progress=progress,
    )
    if table.coordinates and _TYPE in table.ids and not _named_after_types(table):
        note = (
            "the table says where each cell is and of which type, but its columns are not named "
            "after the types: they were taken as features. To work on the neighbourhoods of the "
            "cells instead, add --neighborhood radius"
        )
        table = dataclasses.replace(table, notes=(*table.notes, note))
    return table


def is_cells(path: str | Path, options: CellOptions) -> bool:
    """Whether a file is a table of cells, as `open_either` sees it; only its beginning is read."""
    return _is_cells(Path(path), peek(Path(path), wanted=_wanted(options)), options)


def open_cells(
    path: str | os.PathLike[str],
    options: Any,
    *,
    metadata: Sequence[str] = (),
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
    found = peek(Path(path), wanted=_wanted(options))
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


def read_cells(
    path: str | os.PathLike[str],
    options: Any,
    *,
    metadata: Sequence[str] = (),
    found: Peek | None = None,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Cells:
    """Read the columns of a table of cells that matter; the others are not looked at.

    Parameters
    ----------
    path
        CSV, TSV, parquet, h5ad or zarr.
    options
        Which columns they are: a `CellOptions` that has `id_columns` as well.
    metadata
        Names of further columns to keep.
    found
        What `peek` found, if that is known.
    n_threads, progress
        Threads, and who is told.

    Returns
    -------
    Cells
        Identifiers under their usual names, and coordinates.

    Raises
    ------
    DataError
        If a column is missing, or a cell has no position or no type; names row and column.
    """
    path = Path(path)
    found = peek(path, wanted=_wanted(options)) if found is None else found
    if found is None:
        raise DataError("this kind of file has no named columns; save the cells as CSV", path=path)
    axes, fov, of_type = _columns(path, found, options)
    label = [_LABEL] if _LABEL in found.names else []
    named = [name for name in (fov, *label, of_type) if name is not None]
    others = dict.fromkeys(name for name in (*options.id_columns, *metadata) if name not in named)
    annotated = found.kind in ("h5ad", "zarr")
    with open_table(
        path,
        # of AnnData the names of the observations come along where the three are not complete
        id_columns=None if annotated else named,
        metadata=(*named, *others) if annotated else tuple(others),
        coordinates=axes,
        features=(),
        n_threads=n_threads,
        progress=progress,
    ) as table:
        ids, notes = _usual_names(table, fov, of_type, tuple(others))
    axes = tuple(name for name in ids if name in (*table.coordinates, *_AXES))
    xy = np.column_stack([numbers_of(ids[name], path=path, name=name) for name in axes])
    ids = ids.assign(**dict(zip(axes, xy.T, strict=True)))
    _check_identifiers(path, ids)
    return Cells(path, table.name, table.kind, ids, axes, xy, (*table.notes, *notes))


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


def _wanted(options: CellOptions) -> tuple[str, ...]:
    """Return names that a table of cells may have; they help to find its delimiter."""
    given = (*options.coordinates, options.type_column, options.fov_column)
    return tuple(name for name in (*given, *DEFAULT_ID_COLUMNS) if name)


def _positions(found: Peek, options: CellOptions) -> tuple[str, ...]:
    """Return the names of the coordinates, as `open_table` takes them; or none."""
    if options.coordinates:
        return options.coordinates
    return known_coordinates(found.names) or ((SPATIAL,) if found.spatial else ())


def _positions_of_table(
    path: str | os.PathLike[str], options: CellOptions
) -> tuple[str, ...] | None:
    """Return the coordinates of a table that is none of cells; None means by name."""
    if options.coordinates:
        return options.coordinates
    found = peek(Path(path), wanted=_wanted(options))
    if found is not None and found.kind in ("h5ad", "zarr"):
        return _positions(found, options) or None
    return None


def _is_cells(path: Path, found: Peek | None, options: Any) -> bool:
    """Whether a file is a table of cells; refuses options that would then have no use."""
    flags = counting_flags(options)
    if found is None:
        _refuse(path, flags, "this kind of file has no columns with coordinates and types")
        return False
    of_type = options.type_column or _TYPE
    axes = _positions(found, options)
    if not axes:
        _refuse(path, flags, "no coordinates were found; name their columns with --coordinates")
        return False
    if of_type not in found.names:
        _refuse(path, flags, f"there is no column {of_type!r}; name that of the types with --type")
        return False
    types = {text for text in found.rows[of_type] if text}
    taken = {*axes, of_type, options.fov_column or _FOV, _LABEL, *options.id_columns}
    others = [name for name in found.features or found.names if name not in taken]
    if types and len(types.intersection(others)) >= _ALREADY * len(types):
        problem = "this is a neighbourhood table already: its columns are named after the types"
        _refuse(path, flags, f"{problem} ({shown(sorted(types), 3)})")
        return False
    if flags:
        return True
    if found.features:
        return False
    return not any(found.numeric(name) for name in others)


def _refuse(path: Path, flags: list[str], reason: str) -> None:
    if flags:
        have = "has" if len(flags) == 1 else "have"
        raise UsageError(f"{path}: {reason}; {', '.join(flags)} {have} no use here")


def _named_after_types(table: Table) -> bool:
    types = set(map(str, table.ids[_TYPE].unique()))
    return len(types.intersection(table.features)) >= _ALREADY * len(types)


def _columns(
    path: Path, found: Peek, options: CellOptions
) -> tuple[tuple[str, ...], str | None, str]:
    """Return the coordinates, and the columns of field of view (None if one) and type."""
    axes = _positions(found, options)
    if not axes:
        raise DataError(
            f"no coordinates were found; the file has {shown(found.names)}. Name their columns "
            "with --coordinates",
            path=path,
        )
    fov = None if options.fov_column == NO_FOV else options.fov_column or _FOV
    of_type = options.type_column or _TYPE
    absent = [name for name in axes if name not in found.names and name != SPATIAL]
    for names, flag in (([of_type], "--type"), ([fov], "--fov"), (absent, "--coordinates")):
        missing = [name for name in names if name is not None and name not in found.names]
        if missing:
            more = " (--fov none: all cells are in one)" if flag == "--fov" else ""
            none = "is no column" if len(missing) == 1 else "are no columns"
            raise DataError(
                f"there {none} {shown(missing)}; the file has {shown(found.names)}. Name "
                f"what is meant with {flag}{more}",
                path=path,
            )
    return axes, fov, of_type


def _usual_names(
    table: Table, fov: str | None, of_type: str, others: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the identifiers under their usual names, in the usual order, and notes."""
    given, n = table.ids, table.shape[0]
    notes = []
    fovs: Any = pd.Categorical.from_codes(np.zeros(n, np.int8), ["all"])
    if fov is not None:
        fovs = given[fov]
    columns: dict[str, Any] = {_FOV: fovs}
    if _LABEL in given:
        columns[_LABEL] = given[_LABEL]
    elif "cell" in given and "cell" not in others:
        columns[_LABEL] = given["cell"]
        notes.append("there is no column 'label': it holds the names of the observations")
    else:
        numbers = pd.Series(fovs).groupby(pd.Series(fovs), observed=True, sort=False).cumcount()
        columns[_LABEL] = numbers.to_numpy() + 1
        notes.append("there is no column 'label': cells were numbered in each field of view")
    columns[_TYPE] = _types(table, of_type)
    known = known_coordinates(table.coordinates) == table.coordinates
    for axis, name in zip(_AXES, table.coordinates, strict=False):
        columns[name if known else axis] = given[name]
    columns.update({name: given[name] for name in others})
    return pd.DataFrame(columns), notes


def _types(table: Table, of_type: str) -> pd.Categorical:
    """Return the types as categories in the order of the columns to be."""
    values = pd.Categorical(table.ids[of_type].astype(str))
    values = values.reorder_categories(sorted_names(values.categories))
    missing = np.flatnonzero(np.asarray(values == ""))
    if missing.size:
        more = f" ({missing.size:,} such cells in all)" if missing.size > 1 else ""
        raise DataError(
            f"the cell has no type{more}: name it, for example 'unknown', or leave it out (rows "
            "count from 1, the header not counted)",
            path=table.path,
            row=int(missing[0]) + 1,
            column=of_type,
        )
    return values


def _check_identifiers(path: Path, ids: pd.DataFrame) -> None:
    """Refuse cells that are there twice, and types with the name of another column."""
    again = find_duplicate(ids, (_FOV, _LABEL))
    if again is not None:
        first, later, times = again
        more = f"; {times:,} rows repeat an earlier one" if times > 1 else ""
        raise DataError(
            f"{duplicate_text(ids, (_FOV, _LABEL), later)} is in row {first + 1} already: each "
            f"cell must be there once{more} (rows count from 1, the header not counted)",
            path=path,
            row=later + 1,
            column=_LABEL,
        )
    clash = [name for name in ids[_TYPE].cat.categories if name in ids]
    if clash:
        raise DataError(
            f"the type {clash[0]!r} has the name of a column that the result needs; rename it",
            path=path,
            column=_TYPE,
        )
