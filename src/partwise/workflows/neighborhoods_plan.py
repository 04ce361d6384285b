"""What a run of `partwise neighborhoods` would take and write, before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from partwise.exceptions import DataError
from partwise.io.opening import stem_of
from partwise.io.peek import peek
from partwise.io.size import size_of
from partwise.utils.threads import resolve_threads
from partwise.workflows.options import command_line
from partwise.workflows.plan import Plan, Shape

if TYPE_CHECKING:
    from partwise.workflows.neighborhoods_options import NeighborhoodsOptions

__all__ = ["plan_neighborhoods"]

_MB = 1_000_000
_START, _WRITTEN_AT_ONCE = 250 * _MB, 200_000
#: Seconds of CPU: per byte of the table, per cell, per cell of a triangulation, per value written.
_BYTE, _CELL, _TRIANGLES, _VALUE = 1.5e-8, 1.5e-6, 5e-6, 1.1e-7
_ALONE, _SHARED = 0.3, 0.45  # seconds of wall per second of CPU: on one thread, and shared

_NOTE = (
    "estimates, not promises, from runs of 20,000 and 300,000 cells with about 20 neighbours each, "
    "on one machine of two cores; many more neighbours take more time; the types are those of the "
    "first rows"
)


def plan_neighborhoods(input: str | os.PathLike[str], *, options: NeighborhoodsOptions) -> Plan:
    """Return what `neighborhoods` would do with a table of cells; nothing is written.

    Parameters
    ----------
    input
        The table of cells.
    options
        What to do.

    Returns
    -------
    Plan
        Shape, estimates, files.

    Raises
    ------
    DataError
        If the file or the column of types is missing.
    """
    path = Path(input)
    size, found = size_of(path), peek(path)
    column = options.type_column or "cell_meta_cluster"
    if found is None or column not in found.names:
        raise DataError(f"there is no column {column!r}; name that of the types", path=path)
    types = tuple(sorted({text for text in found.rows[column] if text}))
    n_bytes = path.stat().st_size
    shape = Shape(path, found.kind, size.n_rows, size.exact, types, 5, True, n_bytes)
    n, p = shape.n_rows, shape.n_features
    count = _START + 50 * _MB + n * (140 + 4 * p)
    cpu = {
        "read": 1.2 + _BYTE * n_bytes,
        "count": 0.3 + n * (_TRIANGLES if options.neighborhood == "delaunay" else _CELL),
        "write and report": 0.7 + _VALUE * n * (p + 5),
    }
    wall = _ALONE + _SHARED / resolve_threads(options.threads)
    stem = stem_of(path)
    files = {
        f"{stem}_neighborhoods.csv": "the types around each cell",
        f"{stem}_neighborhoods_by_fov.csv": "neighbours in each field of view",
        f"{stem}_neighborhoods_by_type.csv": "mean shares around cells of each type",
    }
    if "parquet" in options.formats:
        files[f"{stem}_neighborhoods.parquet"] = "the same as the CSV, typed and compressed"
    return Plan(
        shape=shape,
        command=command_line("partwise neighborhoods", str(path), options),
        seconds={stage: seconds * wall for stage, seconds in cpu.items()},
        memory={
            "read": _START + 160 * n,
            "count": count,
            "write": count + 15 * _MB + 25 * (p + 5) * min(n, _WRITTEN_AT_ONCE),
        },
        output_dir=Path(options.output_dir),
        files={**files, "report.html": "the report", "run.json": "versions, options, hashes"},
        notes=(_NOTE,),
    )
