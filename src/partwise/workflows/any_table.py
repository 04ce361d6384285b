"""Any table in: what `open_table` reads, identifiers found where none are named, 10x folders."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.io import open_table

if TYPE_CHECKING:
    import pandas as pd

    from partwise.io import Table

__all__ = ["open_any"]

#: Names that programs give to an index without a name.
_UNNAMED = re.compile(r"(Unnamed: 0|__index_level_0__)?")
#: What such a column is called in the outputs.
_NAME = "name"


def open_any(
    path: str | os.PathLike[str],
    *,
    id_columns: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    **settings: Any,
) -> Table:
    """Open a table of any kind of rows.

    Parameters
    ----------
    path
        What `partwise.open` reads, or a folder of Matrix Market files as 10x Genomics writes it.
    id_columns
        Names of the columns that identify and describe rows. None: those of cells (`fov`, `label`,
        `cell_meta_cluster`) where a text or Parquet file has any of them; else the columns that
        hold texts, and the first if it has no name or counts the rows; else rows are numbered.
        The names of the observations of an AnnData come before those asked for.
    features
        Glob patterns of the columns to read.
    **settings
        Handed to `open_table`.

    Returns
    -------
    Table
        Its notes say which columns were taken for identifiers.

    Raises
    ------
    DataError
        If the file cannot be used.
    UsageError
        If the options do not go with the file.
    """
    from partwise.workflows.programs_input import matrix_in, open_folder

    folder = Path(path)
    if (matrix := matrix_in(folder)) is not None:
        return open_folder(folder, matrix, id_columns, features, settings)
    found = None if id_columns else _identifiers(folder, features)
    if found is None:
        table = open_table(path, id_columns=id_columns, features=features, **settings)
        return _with_cells(table) if id_columns and table.kind in ("h5ad", "zarr") else table
    table = open_table(path, id_columns=found, features=features, **settings)
    return dataclasses.replace(
        table,
        ids=table.ids.rename(columns=lambda name: _NAME if _UNNAMED.fullmatch(name) else name),
        notes=(_note(found, len(table.features)), *table.notes),
    )


def _with_cells(table: Table) -> Table:
    """Return a table of an AnnData with the names of its cells before the columns asked for."""
    if "cell" in table.ids:
        return table
    import h5py
    import pandas as pd
    from anndata.io import read_elem

    if table.kind == "h5ad":
        with h5py.File(table.path, "r") as file:
            names = read_elem(file["obs"][file["obs"].attrs["_index"]])
    else:
        import zarr

        obs: Any = zarr.open_group(str(table.path), mode="r")["obs"]
        names = read_elem(obs[obs.attrs["_index"]])
    ids = table.ids.copy()
    ids.insert(0, "cell", pd.array([str(name) for name in names], dtype="string[pyarrow]"))
    # the columns asked for describe cells, and need not tell them apart
    notes = tuple(note for note in table.notes if "have the identifiers" not in note)
    return dataclasses.replace(table, ids=ids, notes=notes)


def _note(found: Sequence[str], n_features: int) -> str:
    if not found:
        return (
            f"no column holds texts: rows are numbered, and all {n_features:,} columns are "
            "factorized; --id-columns names those that identify rows"
        )
    names = ", ".join(repr(name) if name else "the first, without a name" for name in found)
    return f"taken to identify or describe rows, not factorized: {names}; --id-columns names others"


def _identifiers(path: Path, features: Sequence[str] | None) -> list[str] | None:
    """Return the columns that identify rows; None where that is for `open_table` to say."""
    from partwise.io.columns import DEFAULT_ID_COLUMNS
    from partwise.io.peek import peek

    found = peek(path)
    if found is None or found.kind not in ("text", "parquet"):
        return None
    usual = {name.lower() for name in DEFAULT_ID_COLUMNS}
    if usual & {name.strip().lower() for name in found.names} or _is_data(found.names):
        return None
    if not len(found.rows):
        return []  # there is nothing to read, as the reader says
    chosen = _excluded(found.names, features)
    names = [name for name in found.names if name not in chosen and _holds_text(found.rows[name])]
    first = found.names[0]
    if (
        first not in (*names, *chosen)
        and len(found.names) > 1
        and (_UNNAMED.fullmatch(first) or _counts(found.rows[first]))
    ):
        names.insert(0, first)
    return names


def _excluded(names: Sequence[str], features: Sequence[str] | None) -> set[str]:
    """Return the columns that were asked for as features."""
    from fnmatch import fnmatchcase

    patterns = (features,) if isinstance(features, str) else features or ()
    return {name for name in names for p in patterns if name == p or fnmatchcase(name, p)}


def _is_data(names: Sequence[str]) -> bool:
    """Whether the first line holds values rather than names; a program may number columns."""
    numbers = [name for name in names if re.fullmatch(r"[+-]?[\d.,]+([eE][+-]?\d+)?", name)]
    named = [name for name in names if not _UNNAMED.fullmatch(name)]
    counted = [[str(j + start) for j in range(len(named))] for start in (0, 1)]
    return 2 * len(numbers) > len(names) and named not in counted


def _holds_text(column: pd.Series) -> bool:
    """Whether a column has texts and no numbers; one cell of text among numbers is a mistake."""
    import pandas as pd

    cells = column.str.strip()
    cells = cells[cells != ""].str.replace(",", ".", n=1, regex=False)
    return len(cells) > 0 and bool(pd.to_numeric(cells, errors="coerce").isna().all())


def _counts(column: pd.Series) -> bool:
    """Whether a column counts the rows, from 0 or 1."""
    cells = column.str.strip().tolist()
    return any(cells == [str(j + start) for j in range(len(cells))] for start in (0, 1))
