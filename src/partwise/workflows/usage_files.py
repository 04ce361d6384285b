"""Tables of usage and programs, in the formats that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError
from partwise.io.h5ad_writer import write_h5ad
from partwise.io.writers import write_csv, write_parquet

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.io import Table
    from partwise.workflows.outputs import RunFolder

__all__ = ["UsageTables", "Written", "program_names", "write_usage"]

#: kind of output -> (file name, what it holds)
Written = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class UsageTables:
    """What goes into the tables.

    Attributes
    ----------
    table
        The input: identifiers, features, values.
    usage
        W, n x k.
    programs
        H, k x (features that took part).
    kept
        Positions of these features in the table; None if all.
    columns
        Further columns of the rows.
    record
        What `uns["nmf"]` of the h5ad holds.
    """

    table: Table
    usage: npt.NDArray[Any]
    programs: npt.NDArray[Any]
    kept: npt.NDArray[np.intp] | None
    columns: Mapping[str, Any]
    record: Mapping[str, Any]


def program_names(k: int) -> tuple[str, ...]:
    """Return the names of the programs in all outputs.

    Examples
    --------
    >>> program_names(2)
    ('program_1', 'program_2')
    """
    return tuple(f"program_{i + 1}" for i in range(k))


def write_usage(
    data: UsageTables, folder: RunFolder, formats: Sequence[str], n_threads: int
) -> tuple[Written, list[str]]:
    """Write the usage as CSV, and as Parquet and h5ad where that is asked for.

    Parameters
    ----------
    data
        What goes into the tables.
    folder
        Where the files go.
    formats
        Of "csv", "parquet", "h5ad".
    n_threads
        Threads.

    Returns
    -------
    written
        The files, by kind.
    notes
        What the user should know about them.
    """
    stem, ids = data.table.name, [str(name) for name in data.table.ids.columns]
    rows = _rows(data)
    name = f"{stem}_usage.csv"
    written: Written = {"usage": (name, "usage of each program by each row")}
    notes = [*write_csv(folder.path(name), rows, identifiers=ids, n_threads=n_threads)]
    if "parquet" in formats:
        name = f"{stem}_usage.parquet"
        notes += write_parquet(folder.path(name), rows)
        written["usage_parquet"] = (name, "the same as the CSV, typed and compressed")
    if "h5ad" in formats:
        name = f"{stem}_nmf.h5ad"
        mask = None
        if data.kept is not None:
            mask = np.zeros(data.table.shape[1], bool)
            mask[data.kept] = True
        notes += write_h5ad(
            folder.path(name),
            data.table,
            usage=data.usage,
            programs=_slots.spread(data.programs, mask, data.table.shape[1]).T,
            columns=data.columns,
            record=data.record,
        )
        written["h5ad"] = (name, "table, usage and programs for scverse tools")
    return written, notes


def _rows(data: UsageTables) -> dict[str, Any]:
    """Return identifiers, further columns and usage of the rows, without copying them."""
    names = (*data.columns, *program_names(data.usage.shape[1]))
    again = set(names) & {str(name) for name in data.table.ids}
    if again:
        raise UsageError(
            f"the table has an identifier named {sorted(again)[0]!r}, as one of our columns is: "
            "rename it, or leave it out with --id-columns"
        )
    columns: dict[str, Any] = {str(name): data.table.ids[name] for name in data.table.ids}
    columns.update(data.columns)
    columns.update(zip(names[len(data.columns) :], data.usage.T, strict=True))
    return columns
