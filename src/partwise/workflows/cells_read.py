"""Tables of cells with coordinates: which columns matter, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.exceptions import DataError
from partwise.graph.spatial import sorted_names
from partwise.io import Table, open_table
from partwise.io.columns import DEFAULT_ID_COLUMNS, shown
from partwise.io.identifiers import duplicate_text, find_duplicate
from partwise.io.opening import kind_of
from partwise.io.peek import Peek, peek
from partwise.io.positions import SPATIAL, known_coordinates, numbers_of
from partwise.workflows.cells_options import NO_FOV, CellOptions

if TYPE_CHECKING:
    from partwise.utils.progress import Progress

__all__ = ["Cells", "positions_in", "read_cells", "wanted_names"]

_FOV, _LABEL, _TYPE = DEFAULT_ID_COLUMNS
_AXES = ("centroid-0", "centroid-1", "centroid-2")


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
    found = peek(path, wanted=wanted_names(options)) if found is None else found
    if found is None:
        if kind_of(path) in ("h5ad", "zarr"):
            open_table(path, features=()).close()  # says what is wrong with it
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


def wanted_names(options: CellOptions) -> tuple[str, ...]:
    """Return names that a table of cells may have; they help to find its delimiter."""
    given = (*options.coordinates, options.type_column, options.fov_column)
    return tuple(name for name in (*given, *DEFAULT_ID_COLUMNS) if name)


def positions_in(found: Peek, options: CellOptions) -> tuple[str, ...]:
    """Return the names of the coordinates, as `open_table` takes them; or none."""
    if options.coordinates:
        return options.coordinates
    return known_coordinates(found.names) or ((SPATIAL,) if found.spatial else ())


def _columns(
    path: Path, found: Peek, options: CellOptions
) -> tuple[tuple[str, ...], str | None, str]:
    """Return the coordinates, and the columns of field of view (None if one) and type."""
    axes = positions_in(found, options)
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
