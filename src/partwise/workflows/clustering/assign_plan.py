"""What a run of `partwise cluster --model` would take and write, before it starts.

As in `partwise.workflows.clustering.plan`, memory is added up from the arrays that are held at the
peak of each stage.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from partwise.factorize.projection import restrict
from partwise.io.opening import MEMORY_LIMIT, stem_of
from partwise.workflows.clustering.assign_input import Known, known_niches, table_options
from partwise.workflows.clustering.assign_stages import CELLS
from partwise.workflows.options import command_line
from partwise.workflows.plan import (
    BASIS,
    Plan,
    Shape,
    granted_values,
    parse_bytes,
    refusal,
    shape_of,
    wall_seconds,
)

if TYPE_CHECKING:
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["estimate_memory", "estimate_seconds", "memory_to_assign", "plan_assign"]

_MB = 1_000_000
_START = 300 * _MB  # Python and what the job imports
_KERNELS = 65 * _MB  # compiled code and its working space
_PARSING = 100 * _MB  # blocks of text on their way
_REPORT = 50 * _MB  # figures
_MEASURED_TOGETHER = 2**22  # values whose fit is measured together

#: Seconds of CPU: per byte of the table; per value of the usage, with a share that does not grow
#: with the features; per cell and square of the axes where a tree is searched, else per known cell;
#: per cell and column that is written.
_BYTE, _VALUE, _VALUES_MORE, _WRITTEN = 9e-9, 3.6e-9, 38, 9e-8
_VOTE, _VOTE_OF_ALL, _AXES_OF_A_TREE = 3.1e-7, 1.3e-8, 12


def plan_assign(input: str | os.PathLike[str], *, options: ClusterOptions) -> Plan:
    """Return what assigning the cells of a table would do; only the model is read.

    Parameters
    ----------
    input
        The new table.
    options
        What to do, with `model`.

    Returns
    -------
    Plan
        Shape, estimates, files.

    Raises
    ------
    UsageError
        If an option has no meaning for new cells.
    DataError
        If the file or the model cannot be used, or none of the model's features is there.
    ResourceError
        If the memory that the options allow would not suffice.
    """
    path = Path(input)
    known = known_niches(options)
    used = table_options(path, known, options)
    shape = shape_of(path, used)
    if not shape.cells:  # types that the first rows do not show may come
        restrict(known.model, shape.features)
    streamed = shape.values > _granted(shape, used, known)
    notes = [f"the {known.niches.n_clusters} niches of {known.path}", BASIS]
    if streamed:
        notes.append("the values are read from disk in each pass, not held in memory")
    if not shape.exact:
        notes.append("the rows were estimated from a part of the file")
    if options.compare:
        notes.append("--compare is not in the estimates")
    return Plan(
        shape=shape,
        command=command_line("partwise cluster", str(path), options),
        seconds=estimate_seconds(shape, used, known),
        memory=estimate_memory(shape, used, known, streamed=streamed),
        output_dir=Path(options.output_dir),
        files=_files(stem_of(path), options),
        notes=tuple(notes),
    )


def memory_to_assign(input: str | os.PathLike[str], options: ClusterOptions, known: Known) -> int:
    """Return how many bytes of values may be held in memory so that `options.memory` suffices.

    Parameters
    ----------
    input
        The new table.
    options
        With what the model says of the preparation.
    known
        The model.

    Raises
    ------
    ResourceError
        If the run would need more; says how much, for what, and what helps.
    """
    if options.memory is None:
        return MEMORY_LIMIT
    parse_bytes(options.memory)  # a slip in it is told before the table is looked at
    return _granted(shape_of(Path(input), options), options, known)


def estimate_memory(
    shape: Shape, options: ClusterOptions, known: Known, *, streamed: bool = False
) -> dict[str, int]:
    """Return the bytes of the whole process at the peak of each stage.

    With n cells, p features, k programs, and X held or streamed:

        project   start + X + identifiers + usage and its working copy, 8 n k
        assign    start + X + identifiers + usage 4 n k + what is found 21 n + a block of cells

    Parameters
    ----------
    shape
        The new table.
    options
        With what the model says of the preparation.
    known
        The model.
    streamed
        Whether the values are read from disk rather than held.
    """
    n, p = shape.n_rows, shape.n_features
    m, k = known.niches.usage.shape
    held = 0 if streamed else shape.values * (2 if options.normalize_by_fov else 1)
    base = _START + _KERNELS + held + n * (20 + 8 * max(0, shape.n_ids - 3)) + m * (20 * k + 100)
    together = min(n, max(1, _MEASURED_TOGETHER // max(1, p)))
    after = base + n * (4 * k + 29)
    text = 25 * (k + 6 + shape.n_ids) * min(n, 2 * options.chunksize)
    read = 0 if streamed else shape.values
    return {
        "read": _START + min(_PARSING, 10 * shape.n_bytes) + read + 85 * n,
        "project": base + n * (8 * k + 8) + together * (8 * p + 24 * k + 40),
        "assign": after + min(n, CELLS) * (8 * k + 28),
        "write": after + 20 * _MB + text + 5 * n,
        "report": after + _REPORT,
    }


def estimate_seconds(shape: Shape, options: ClusterOptions, known: Known) -> dict[str, float]:
    """Return the seconds of each stage, from CPU seconds per value and cell.

    Parameters
    ----------
    shape
        The new table.
    options
        With what the model says of the preparation.
    known
        The model.
    """
    n, p, (m, k) = shape.n_rows, shape.n_features, known.niches.usage.shape
    axes = min(k, len(known.features))
    cpu = {
        "start and read": 1.5 + _BYTE * shape.n_bytes,
        "project": 0.2 + _VALUE * n * k * (p + _VALUES_MORE),
        "assign": n * (_VOTE * axes**2 if axes <= _AXES_OF_A_TREE else _VOTE_OF_ALL * m),
        "write and report": 2.0 + _WRITTEN * n * (k + shape.n_ids + 3),
    }
    return wall_seconds(cpu, options.threads)


def _granted(shape: Shape, options: ClusterOptions, known: Known) -> int:
    """Return how many bytes of values to hold; refuse what the memory allowed cannot take."""

    def refused(memory: dict[str, int], limit: int) -> str:
        reasons = {
            "read": "the values and identifiers",
            "project": "the values and the usage of the programs",
            "assign": "the usage and the niches",
        }
        helps = ["the fields of view in several runs: cells are assigned one by one"]
        return refusal(shape.path, memory, limit, reasons=reasons, helps=helps)

    return granted_values(
        shape,
        options.memory,
        estimate=lambda streamed: estimate_memory(shape, options, known, streamed=streamed),
        refused=refused,
    )


def _files(stem: str, options: ClusterOptions) -> dict[str, str]:
    """Return the files that the job writes, in its order."""
    name = f"{stem}_nmf_leiden_clusters"
    files = {f"{name}.csv": "niche, factor usage and confidence of each cell"}
    if "parquet" in options.formats:
        files[f"{name}.parquet"] = "the same as the CSV, typed and compressed"
    if "h5ad" in options.formats:
        files[f"{name}.h5ad"] = "table, niches and factors for scverse tools"
    if options.compare is not None:
        files[f"{stem}_compare.csv"] = "difference of each cluster between groups"
        files[f"{stem}_compare_patients.csv"] = "fractions of clusters by patient"
    return {**files, "report.html": "the report", "run.json": "versions, options, hashes, times"}
