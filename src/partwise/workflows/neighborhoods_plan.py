"""What a run of `partwise neighborhoods` would take and write, before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from partwise.exceptions import DataError
from partwise.io.opening import stem_of
from partwise.io.peek import peek
from partwise.io.size import size_of
from partwise.workflows.options import command_line
from partwise.workflows.plan import (
    Plan,
    Shape,
    granted_values,
    parse_bytes,
    refusal,
    wall_seconds,
)

if TYPE_CHECKING:
    from partwise.workflows.neighborhoods_options import NeighborhoodsOptions

__all__ = ["check_memory", "plan_neighborhoods"]

_MB = 1_000_000
_START, _WRITTEN_AT_ONCE = 250 * _MB, 200_000
#: Seconds of CPU: per byte of the table, per cell, per cell of a triangulation, per value written.
_BYTE, _CELL, _TRIANGLES, _VALUE = 1.5e-8, 1.5e-6, 5e-6, 1.1e-7

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
    ResourceError
        If the memory that the options allow would not suffice.
    """
    path = Path(input)
    shape = _shape(path, options)
    memory = _memory(shape)
    _refuse(shape, options.memory)
    n, p = shape.n_rows, shape.n_features
    cpu = {
        "read": 1.2 + _BYTE * shape.n_bytes,
        "count": 0.3 + n * (_TRIANGLES if options.neighborhood == "delaunay" else _CELL),
        "write and report": 0.7 + _VALUE * n * (p + 5),
    }
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
        seconds=wall_seconds(cpu, options.threads),
        memory=memory,
        output_dir=Path(options.output_dir),
        files={**files, "report.html": "the report", "run.json": "versions, options, hashes"},
        notes=(_NOTE,),
    )


def check_memory(input: str | os.PathLike[str], options: NeighborhoodsOptions) -> None:
    """Refuse a run that would take more memory than its options allow.

    Parameters
    ----------
    input
        The table of cells.
    options
        What to do.

    Raises
    ------
    ResourceError
        If the run would need more; says how much, for what, and what helps.
    """
    if options.memory is None:
        return
    parse_bytes(options.memory)  # a slip in it is told before the table is looked at
    _refuse(_shape(Path(input), options), options.memory)


def _shape(path: Path, options: NeighborhoodsOptions) -> Shape:
    size, found = size_of(path), peek(path)
    column = options.type_column or "cell_meta_cluster"
    if found is None or column not in found.names:
        raise DataError(f"there is no column {column!r}; name that of the types", path=path)
    types = tuple(sorted({text for text in found.rows[column] if text}))
    n_bytes = path.stat().st_size
    return Shape(path, found.kind, size.n_rows, size.exact, types, 5, True, n_bytes)


def _memory(shape: Shape) -> dict[str, int]:
    """Bytes at the peak of each stage: positions and identifiers, then the counts of each type."""
    n, p = shape.n_rows, shape.n_features
    count = _START + 50 * _MB + n * (140 + 4 * p)
    return {
        "read": _START + 160 * n,
        "count": count,
        "write": count + 15 * _MB + 25 * (p + 5) * min(n, _WRITTEN_AT_ONCE),
    }


def _refuse(shape: Shape, limit: str | None) -> None:
    """Raise `ResourceError` if a run would take more than a limit."""

    def refused(memory: dict[str, int], most: int) -> str:
        reasons = dict.fromkeys(memory, "the counts of the types around each cell")
        reasons["read"] = "the positions and identifiers of the cells"
        helps = [
            "the fields of view in several runs with the same --radius: none has neighbours in "
            "another"
        ]
        return refusal(shape.path, memory, most, reasons=reasons, helps=helps)

    granted_values(shape, limit, estimate=lambda _: _memory(shape), refused=refused)
