"""What a run of `partwise tune` would take and write, before it starts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.io.opening import MEMORY_LIMIT, stem_of
from partwise.workflows.clustering.plan import visited_links
from partwise.workflows.options import command_line
from partwise.workflows.plan import (
    Plan,
    Shape,
    granted_values,
    listed_neighbors,
    parse_bytes,
    refusal,
    shape_of,
    wall_seconds,
)

if TYPE_CHECKING:
    from partwise.workflows.tuning.options import TuneOptions

__all__ = ["memory_for_values", "plan_tune"]

_MB = 1_000_000
_READ_START, _START = 340 * _MB, 430 * _MB  # what is loaded to read, and to measure
#: Seconds of CPU per visited link and per cell, of each replicate; per number of factors.
_LINK, _CELL, _FIT = 1.25e-7, 3e-6, 1.0
_BYTE = 9e-9

_NOTE = (
    "estimates, not promises, from runs of 20,000 to 200,000 cells on one machine of two cores; "
    "time good to a factor of two or three, for it depends on "
    "how many communities there are to find"
)


def plan_tune(input: str | os.PathLike[str], *, options: TuneOptions) -> Plan:
    """Return what `tune` would do with a table; nothing is written and no value is read.

    Parameters
    ----------
    input
        The table.
    options
        What to do.

    Returns
    -------
    Plan
        Shape, estimates, files.

    Raises
    ------
    DataError
        If the file or a column is missing.
    ResourceError
        If the memory that the options allow would not suffice.
    """
    path = Path(input)
    shape = shape_of(path, options)
    cells = min(options.n_cells, shape.n_rows)
    streamed = shape.values > _granted(shape, options)
    grid = options.grid
    points = len(grid.n_components) * len(grid.n_neighbors) * len(grid.resolutions)
    cpu = {
        "read": 1.5 + _BYTE * shape.n_bytes,
        "settings": _FIT * len(grid.n_components)
        + len(grid.n_components)
        * len(grid.resolutions)
        * options.n_replicates
        * sum(_LINK * visited_links(cells, k) + _CELL * cells for k in grid.n_neighbors),
        "write and report": 2.0,
    }
    notes = [f"{points:,} settings on {cells:,} cells", _NOTE]
    if streamed:
        notes.append("the values are read from disk, not held in memory")
    return Plan(
        shape=shape,
        command=command_line("partwise tune", str(path), options),
        seconds=wall_seconds(cpu, options.threads),
        memory=_memory(shape, options, streamed=streamed),
        output_dir=Path(options.output_dir),
        files=_files(stem_of(path), options),
        notes=tuple(notes),
    )


def memory_for_values(input: str | os.PathLike[str], options: TuneOptions) -> int:
    """Return how many bytes of values may be held in memory so that `options.memory` suffices.

    Without that option it is what `open_table` holds by itself.

    Parameters
    ----------
    input
        The table.
    options
        What to do.

    Raises
    ------
    ResourceError
        If the run would need more; says how much, for what, and what helps.
    """
    if options.memory is None:
        return MEMORY_LIMIT
    parse_bytes(options.memory)  # a slip in it is told before the table is looked at
    return _granted(shape_of(Path(input), options), options)


def _granted(shape: Shape, options: TuneOptions) -> int:
    """Return how many bytes of values to hold; refuse what the memory allowed cannot take."""
    return granted_values(
        shape,
        options.memory,
        estimate=lambda streamed: _memory(shape, options, streamed=streamed),
        refused=lambda memory, limit: _refusal(shape, options, memory, limit),
    )


def _refusal(shape: Shape, options: TuneOptions, memory: dict[str, int], limit: int) -> str:
    cells, k = min(options.n_cells, shape.n_rows), max(options.n_neighbors)
    reasons = {
        "read": "the values and identifiers",
        "settings": f"{cells:,} cells and their graph of {k} neighbours",
    }

    def fits(**changes: Any) -> bool:
        changed = dataclasses.replace(options, **changes)
        ways = [_memory(shape, changed, streamed=s) for s in {False, not shape.cells}]
        return min(max(way.values()) for way in ways) <= limit

    fewer = [n for n in (100_000, 50_000, 20_000, 10_000, 5_000) if n < cells]
    fitting = next((n for n in fewer if fits(n_cells=n)), None)
    helps = [] if fitting is None else [f"--n-cells {fitting}"]
    return refusal(shape.path, memory, limit, reasons=reasons, helps=helps)


def _memory(shape: Shape, options: TuneOptions, *, streamed: bool) -> dict[str, int]:
    """Bytes at the peak: the sample, its usage, and the lists and graphs of the largest k."""
    p, grid, cells = shape.n_features, options.grid, min(options.n_cells, shape.n_rows)
    table = (0 if streamed else shape.values) + 20 * shape.n_rows
    table += shape.values if shape.cells else 0  # counts beside shares
    k = min(max(grid.n_neighbors), max(1, cells - 1))
    sample = cells * (4 * p + 8 * max(grid.n_components) + 330)
    sample += 36 * listed_neighbors(cells, k, shape.kinds)
    return {
        "read": _READ_START + table + 65 * shape.n_rows,
        "settings": _START + table + sample,
    }


def _files(stem: str, options: TuneOptions) -> dict[str, str]:
    """Return the files that the job writes; the tree of clusters only if there is one."""
    figures = {
        f"{stem}_tune_{kind}.{fmt}": "figure of the report"
        for kind in ("components", "grid", "resolution", "confidence")
        for fmt in options.figure
    }
    return {
        f"{stem}_nmf_reconstruction.csv": "error for each number of factors",
        f"{stem}_grid_search.csv": "number and sizes of the clusters at every setting",
        f"{stem}_stability.csv": "agreement of replicates at every setting",
        f"{stem}_tune_points.csv": "all that was measured at every setting",
        f"{stem}_tune_components.csv": "errors and stability for each number of factors",
        f"{stem}_tune_clusters.csv": "clusters of the recommended setting",
        f"{stem}_tune_alternatives.csv": "settings that the measurements do not exclude",
        f"{stem}_tune_cells.csv": "cells of the sample",
        f"{stem}_tuning_report.txt": "the recommendation and its reasons, as text",
        f"{stem}_tune_tree.csv": "how clusters split as the resolution grows",
        **figures,
        "report.html": "the report",
        "run.json": "versions, options, hashes, times",
    }
