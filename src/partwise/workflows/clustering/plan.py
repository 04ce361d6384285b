"""What a run of `partwise cluster` would take and write, before it starts.

Memory is added up from the arrays that are held at the peak of each stage; the constants are those
of the loaded programs, measured. `benchmarks/memory.py` compares the sum with measured peaks.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from partwise.io.opening import MEMORY_LIMIT, stem_of
from partwise.workflows.clustering.settings import Setting, resolve_settings
from partwise.workflows.options import command_line
from partwise.workflows.plan import (
    BASIS,
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
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = [
    "estimate_memory",
    "estimate_seconds",
    "memory_for_values",
    "plan_cluster",
    "visited_links",
]

_MB = 1_000_000
_START = 300 * _MB  # Python and what the job imports
_KERNELS = 65 * _MB  # compiled code and its working space, from the first fit on
_PARSING = 100 * _MB  # blocks of text on their way
_REPORT = 50 * _MB  # figures
_SAMPLED = (8, 8192, 65536)  # the first steps of a fit: one row in so many, within bounds
_CONTROL, _CONTROL_WIDE, _WIDE = 50_000, 20_000, 16  # cells of the control, by features
_FEWEST_NEIGHBORS = 5
_GRAM_ROWS = 5 * 2**18  # rows whose products are summed together for the singular vectors
_LISTED, _LISTED_REPEATED = 9.2, 31  # bytes per neighbour listed: each row once, or repeated

#: Seconds of CPU: per byte of the table; per value of a fit, with a share that does not grow with
#: the features; per cell and axis, per neighbour and per visited link of a graph; per cell and
#: column that is written. `benchmarks/memory.py --times` shows them beside those of a run.
_BYTE, _VALUE, _VALUES_MORE = 9e-9, 8.6e-9, 75
_AXIS, _NEIGHBOR, _LINK, _VISITED = 0.93e-6, 3.6e-8, 1.55e-7, 10_000_000
_NICHE, _WRITTEN = 4.4e-7, 9e-8


def plan_cluster(input: str | os.PathLike[str], *, options: ClusterOptions) -> Plan:
    """Return what `cluster` would do with a table; nothing is written and no value is read.

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
    UsageError
        If an option has no meaning for new cells, with `options.model`.
    DataError
        If the file, a column or the model is missing.
    ResourceError
        If the memory that the options allow would not suffice.
    """
    if options.model is not None:
        from partwise.workflows.clustering.assign_plan import plan_assign

        return plan_assign(input, options=options)
    path = Path(input)
    shape = shape_of(path, options)
    granted = _granted(shape, options)
    streamed = shape.values > granted
    notes = [BASIS]
    if streamed:
        notes.append("the values are read from disk in each pass, not held in memory")
    if not shape.exact:
        notes.append("the rows were estimated from a part of the file")
    if any((options.compare, options.svd, options.umap, options.normalize_by_fov)):
        notes.append("--compare, --svd, --umap and --normalize-by-fov are not in the estimates")
    return Plan(
        shape=shape,
        command=command_line("partwise cluster", str(path), options),
        seconds=estimate_seconds(shape, options),
        memory=estimate_memory(shape, options, streamed=streamed),
        output_dir=Path(options.output_dir),
        files=_files(stem_of(path), options),
        notes=tuple(notes),
    )


def memory_for_values(input: str | os.PathLike[str], options: ClusterOptions) -> int:
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


def estimate_memory(
    shape: Shape, options: ClusterOptions, *, streamed: bool = False
) -> dict[str, int]:
    """Return the bytes of the whole process at the peak of each stage.

    With n cells, p features, c factors, k neighbours, and X held or streamed:

        factorize   start + X + identifiers + usage and its working copy, 8 n c, or, where it is
                    more, the leading singular vectors: 20 (c + 8) bytes for up to 1.3 million rows
        cluster     start + X + identifiers + usage + coordinates 4 n c + distinct rows 30 n
                    + neighbours 4 n k + graph, two ends of at most 0.65 n k links, 5.2 n k

    and so on; what a stage frees is only in part given back to the system. Where rows repeat more
    neighbours are listed (`listed_neighbors`), and Leiden's first communities are still nearly as
    densely linked: 31 bytes for each. Of a table of cells the counts are held beside the shares.

    Parameters
    ----------
    shape
        The table.
    options
        What to do.
    streamed
        Whether the values are read from disk rather than held.
    """
    settings = _settings(options)
    n, p = _cells(shape, options), shape.n_features
    c = max(setting.n_components for setting in settings)
    k = min(max(setting.n_neighbors for setting in settings), max(1, n - 1))
    held = (0 if streamed else 4 * n * p) + (shape.values if shape.cells else 0)
    ids = shape.n_rows * (20 + 8 * max(0, shape.n_ids - 3))
    share, least, most = _SAMPLED
    sample = min(max(n // share, least), most, n)
    fit = _START + _KERNELS + held + ids + n * (8 * c + 20)
    if streamed:
        fit += 8 * sample * p + 90 * _MB
    after = fit + n * (4 * c + 35)
    wide = min(c + 8, p)
    vectors = min(n, _GRAM_ROWS) * 20 * wide - n * (4 * c + 20)
    control = min(n, _CONTROL if p <= _WIDE else _CONTROL_WIDE)
    text = 25 * (c + 4 + shape.n_ids) * min(n, 2 * options.chunksize)
    read = 0 if streamed else shape.values
    return {
        "read": _START + min(_PARSING, 10 * shape.n_bytes) + read + 85 * shape.n_rows,
        "factorize": fit + max(0, vectors),
        "cluster": fit + 8 * _MB + n * (4 * c + 30) + _links_bytes(n, k, shape.kinds),
        "control": after + control * (8 * p + 54) + _links_bytes(control, k, shape.kinds),
        "niches": after + 15 * _MB + 8 * p * min(n, _CONTROL),
        "write": after + 20 * _MB + text,
        "report": after + _REPORT,
    }


def estimate_seconds(shape: Shape, options: ClusterOptions) -> dict[str, float]:
    """Return the seconds of each stage, from CPU seconds per value, link and cell.

    Parameters
    ----------
    shape
        The table.
    options
        What to do.
    """
    n, p = _cells(shape, options), shape.n_features
    settings = _settings(options)
    counts = {setting.n_components for setting in settings}
    control = min(n, _CONTROL if p <= _WIDE else _CONTROL_WIDE)
    most = max(counts)
    cpu = {
        "start and read": 1.5 + _BYTE * shape.n_bytes,
        "factorize": sum(0.3 + _VALUE * n * c * (p + _VALUES_MORE) for c in counts),
        "cluster": sum(_clustering(n, s.n_neighbors, s.n_components) for s in settings),
        "control": _clustering(control, settings[0].n_neighbors, min(p, 50)),
        "niches": 0.2 + _NICHE * min(n, _CONTROL) * min(most, _WIDE) ** 2,
        "write and report": 2.0 + _WRITTEN * n * (most + shape.n_ids + 1),
    }
    return wall_seconds(cpu, options.threads)


def _clustering(n: int, k: int, n_axes: int) -> float:
    """Seconds of CPU to find k neighbours of n cells and to cut the graph, from several starts."""
    return 0.4 + n * (_AXIS * n_axes + _NEIGHBOR * k) + _LINK * visited_links(n, k)


def visited_links(n: int, k: int) -> float:
    """Return the links that Leiden visits in a graph of n cells, over all its starts."""
    links = max(1.2 * n * min(k, n), 1.0)
    return links * max(1, min(10, int(_VISITED / links)))


def _links_bytes(n: int, k: int, kinds: float | None) -> int:
    """Bytes of the lists of neighbours and of the graph they are joined to."""
    return round((_LISTED if kinds is None else _LISTED_REPEATED) * listed_neighbors(n, k, kinds))


def _cells(shape: Shape, options: ClusterOptions) -> int:
    """Cells that are clustered: all, or those of a sample."""
    share = options.sample_share
    return shape.n_rows if share is None else max(1, round(share * shape.n_rows))


def _settings(options: ClusterOptions) -> tuple[Setting, ...]:
    if options.settings:
        return resolve_settings(options.settings)[0]
    return (Setting(options.n_components, options.n_neighbors, options.resolution),)


def _granted(shape: Shape, options: ClusterOptions) -> int:
    """Return how many bytes of values to hold; refuse what the memory allowed cannot take."""
    return granted_values(
        shape,
        options.memory,
        estimate=lambda streamed: estimate_memory(shape, options, streamed=streamed),
        refused=lambda memory, limit: _refusal(shape, options, memory, limit),
    )


def _refusal(shape: Shape, options: ClusterOptions, memory: dict[str, int], limit: int) -> str:
    reasons = {
        "read": "the values and identifiers",
        "factorize": "the values and the usage of the factors",
        "cluster": f"the neighbours of {_cells(shape, options):,} cells and the graph of them",
        "niches": "values of a sample of the cells",
    }
    helps = _smaller(shape, options, limit)
    return refusal(shape.path, memory, limit, reasons=reasons, helps=helps)


def _smaller(shape: Shape, options: ClusterOptions, limit: int) -> list[str]:
    """Return changes of the options with which the run would fit."""

    def fits(**changes: object) -> bool:
        changed = dataclasses.replace(options, **changes)  # type: ignore[arg-type]
        both = [estimate_memory(shape, changed, streamed=s) for s in (False, not shape.cells)]
        return min(max(memory.values()) for memory in both) <= limit

    found = []
    ks = [k for k in (60, 45, 30, 20, 15, 10, _FEWEST_NEIGHBORS) if k < options.n_neighbors]
    fitting = next((k for k in ks if not options.settings and fits(n_neighbors=k)), None)
    if fitting is not None:
        found.append(f"--n-neighbors {fitting}")
    shares = (0.5, 0.25, 0.1, 0.05, 0.01)
    share = next((s for s in shares if fits(subsample="fov", subsample_fraction=s)), None)
    if share is not None:
        found.append(f"--subsample fov --subsample-fraction {share}")
    return found


def _files(stem: str, options: ClusterOptions) -> dict[str, str]:
    """Return the files that the job writes, in its order."""
    name = f"{stem}_nmf_leiden_clusters"
    files = {
        f"{name}.csv": "cluster and factor usage of each cell",
        f"{stem}_nmf_basis_H.csv": "weight of each feature in each factor",
        f"{stem}_nmf_model.npz": "the fitted model",
        f"{stem}_cluster_means.csv": "mean of each feature in each cluster",
    }
    if "parquet" in options.formats:
        files[f"{name}.parquet"] = "the same as the CSV, typed and compressed"
    if "h5ad" in options.formats:
        files[f"{name}.h5ad"] = "table, clusters and factors for scverse tools"
    if options.compare is not None:
        files[f"{stem}_compare.csv"] = "difference of each cluster between groups"
        files[f"{stem}_compare_patients.csv"] = "fractions of clusters by patient"
    if options.svd:
        files[f"{stem}_svd.csv"] = "singular values of the centred table"
    if options.settings:
        files[f"{stem}_settings.csv"] = "settings compared"
        files[f"{stem}_settings_clusters.csv"] = "cluster of each cell, a column for each setting"
    return {**files, "report.html": "the report", "run.json": "versions, options, hashes, times"}
