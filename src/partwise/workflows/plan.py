"""What a run would do: the shape of its table, time and memory as estimates, the files to write.

`--dry-run` shows a plan; `--memory` is checked against one before the work starts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import ResourceError, UsageError
from partwise.io.columns import choose_columns, match_features
from partwise.io.opening import MEMORY_LIMIT
from partwise.io.peek import peek
from partwise.io.size import size_of
from partwise.utils.memory import available_memory_bytes
from partwise.utils.threads import resolve_threads
from partwise.workflows.cells import is_cells

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BASIS",
    "Plan",
    "Shape",
    "bytes_text",
    "granted_values",
    "listed_neighbors",
    "parse_bytes",
    "refusal",
    "seconds_text",
    "shape_of",
    "wall_seconds",
]

#: What the estimates of `cluster` rest on.
BASIS = (
    "estimates, not promises: memory from the arrays of each stage; time from one machine of two "
    "cores, good to a factor of two or so"
)
#: Bytes of the whole process at the peak of each stage.
Memory = dict[str, int]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)
_TYPE = "cell_meta_cluster"
#: Seconds of wall per second of CPU: on one thread, and shared.
_ALONE, _SHARED = 0.3, 0.45
_WITHOUT_DATA = 300_000_000  # bytes that Python and what the jobs import take


@dataclass(frozen=True)
class Shape:
    """Rows and columns of a table, found out without reading its values.

    Attributes
    ----------
    path, kind
        The file, and what it turned out to be.
    n_rows
        Rows.
    exact
        Whether they were counted, not estimated from a part of the file.
    features
        Names of the columns to work on; of a table of cells, the types seen in its first rows.
    n_ids
        Columns that identify and describe rows.
    cells
        Whether the file is a table of cells, whose neighbours are counted.
    n_bytes
        Size of the file.
    kinds
        About how many different rows there are at most, where rows repeat; None where they do not.
    """

    path: Path
    kind: str
    n_rows: int
    exact: bool
    features: tuple[str, ...]
    n_ids: int
    cells: bool
    n_bytes: int
    kinds: float | None = None

    @property
    def n_features(self) -> int:
        """Number of columns to work on."""
        return len(self.features)

    @property
    def values(self) -> int:
        """Bytes of the values, in single precision."""
        return 4 * self.n_rows * self.n_features

    @property
    def text(self) -> str:
        """The shape in words."""
        about = "" if self.exact else "about "
        what = "types around each (those of the first rows)" if self.cells else "features"
        return f"{about}{self.n_rows:,} rows x {self.n_features:,} {what}"


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    shape
        The table.
    command
        The command that does it.
    seconds
        Estimated seconds of each stage.
    memory
        Estimated bytes of the whole process at the peak of each stage.
    output_dir
        Where the files go.
    files
        Name -> what it holds, of the files it would write.
    notes
        What should be known: what the estimates rest on, and what they leave out.
    """

    shape: Shape
    command: str
    seconds: dict[str, float]
    memory: dict[str, int]
    output_dir: Path
    files: dict[str, str]
    notes: tuple[str, ...]

    @property
    def peak_memory_bytes(self) -> int:
        """Estimated peak of the process."""
        return max(self.memory.values())

    @property
    def largest_stage(self) -> str:
        """The stage at which the peak is reached."""
        return max(self.memory, key=lambda stage: self.memory[stage])

    @property
    def total_seconds(self) -> float:
        """Estimated seconds of the run."""
        return sum(self.seconds.values())

    @property
    def summary(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        return {
            "input": str(self.shape.path),
            "kind": self.shape.kind,
            "n_rows": self.shape.n_rows,
            "n_rows_exact": self.shape.exact,
            "n_features": self.shape.n_features,
            "command": self.command,
            "estimated_seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "estimated_memory_bytes": self.memory,
            "estimated_peak_memory_bytes": self.peak_memory_bytes,
            "available_memory_bytes": available_memory_bytes(),
            "files": [str(self.output_dir / name) for name in self.files],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return the plan as lines for people."""
        peak, free = self.peak_memory_bytes, available_memory_bytes()
        stages = ", ".join(f"{name} {seconds_text(s)}" for name, s in self.seconds.items())
        fits = "" if peak <= free else ": more than is free, use --memory to see what helps"
        return [
            f"{self.shape.path}: {self.shape.text}",
            f"would run: {self.command}",
            f"time, estimated: about {seconds_text(self.total_seconds)} ({stages})",
            f"memory, estimated: {bytes_text(peak)} at the peak, in the stage "
            f"{self.largest_stage!r}; {bytes_text(free)} are free{fits}",
            f"files, in {self.output_dir}:",
            *(f"  {name}  ({what})" for name, what in self.files.items()),
            *(f"note: {text}" for text in self.notes),
            "nothing was written",
        ]


def parse_bytes(text: str) -> int:
    """Return a size such as 4GB, 800MB, 2GiB or 1e9 bytes as a number.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> parse_bytes("4GB"), parse_bytes("1.5 gib"), parse_bytes("800M")
    (4000000000, 1610612736, 800000000)
    """
    match = _SIZE.fullmatch(text)
    if match is None or float(match[1]) == 0 or (match[3] and not match[2]):
        raise UsageError(f"memory must be a size such as 4GB or 800MB, not {text!r}")
    unit = match[2].upper()
    return round(float(match[1]) * (_BINARY[unit] if match[3] else _UNITS[unit]))


def granted_values(
    shape: Shape,
    limit: str | None,
    *,
    estimate: Callable[[bool], Memory],
    refused: Callable[[Memory, int], str],
) -> int:
    """Return how many bytes of values a run may hold in memory so that its limit suffices.

    All of them if they fit; none, so that they are read from disk in each pass, if only that does.
    Neighbourhoods that are counted first are held in any case. Without a limit it is what
    `open_table` holds by itself.

    Parameters
    ----------
    shape
        The table.
    limit
        Memory that the run may take, such as "4GB".
    estimate
        Gives the bytes at the peak of each stage, for values that are streamed or held.
    refused
        Says what does not fit and what helps, given the estimate and the limit.

    Raises
    ------
    UsageError
        If the limit is no size.
    ResourceError
        If the run would need more.
    """
    if limit is None:
        return shape.values if shape.cells else MEMORY_LIMIT
    most = parse_bytes(limit)
    whole = estimate(False)
    if max(whole.values()) <= most:
        return shape.values
    ways = [whole] if shape.cells else [whole, estimate(True)]
    least = min(ways, key=lambda memory: max(memory.values()))
    if max(least.values()) > most:
        raise ResourceError(refused(least, most))
    return 0


def refusal(
    path: Path, memory: Memory, limit: int, *, reasons: Mapping[str, str], helps: Sequence[str]
) -> str:
    """Return why a run is not started: what would take the memory, and what helps.

    Parameters
    ----------
    path
        The table.
    memory
        The estimate.
    limit
        What the run may take, in bytes.
    reasons
        Stage -> what takes most in it.
    helps
        Changes with which it would fit, beside a higher limit.
    """
    stage = max(memory, key=lambda name: memory[name])
    peak = memory[stage]
    why = f"Most is taken in the stage {stage!r} by {reasons.get(stage, 'what it holds')}"
    ways = [f"--memory {bytes_text(round(peak * 1.05)).replace(' ', '')}", *helps]
    if limit < _WITHOUT_DATA:
        why = f"The program alone takes {bytes_text(_WITHOUT_DATA)} or more"
        ways = ways[:1]
    return (
        f"{path}: the run is estimated to take {bytes_text(peak)}, more than the "
        f"{bytes_text(limit)} of --memory, and was not started. {why}. What helps: "
        f"{'; or '.join(ways)}"
    )


def bytes_text(n: int) -> str:
    """Return a number of bytes as text.

    Examples
    --------
    >>> bytes_text(4_120_000_000), bytes_text(83_000_000)
    ('4.1 GB', '83 MB')
    """
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def wall_seconds(cpu: Mapping[str, float], threads: int | None) -> dict[str, float]:
    """Return the seconds that stages take with some threads, from their CPU seconds.

    Examples
    --------
    >>> wall_seconds({"read": 2.0}, 1)
    {'read': 1.5}
    """
    wall = _ALONE + _SHARED / resolve_threads(threads)
    return {stage: seconds * wall for stage, seconds in cpu.items()}


def seconds_text(seconds: float) -> str:
    """Return a time as text, no more precise than an estimate is.

    Examples
    --------
    >>> seconds_text(0.2), seconds_text(47.3), seconds_text(200), seconds_text(7300)
    ('1 s', '47 s', '3.3 min', '2.0 h')
    """
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def shape_of(path: Path, options: Any) -> Shape:
    """Return the shape of the table that a job would read.

    Parameters
    ----------
    path
        The file.
    options
        Those of a job: a `CellOptions` that has `id_columns` and `features` as well.

    Raises
    ------
    DataError
        If the file, or a column that is asked for, is missing.
    """
    size = size_of(path)
    found = peek(path)
    metadata = tuple(getattr(options, "metadata", ()))
    n_bytes = sum(p.stat().st_size for p in path.rglob("*")) if path.is_dir() else None
    n_bytes = path.stat().st_size if n_bytes is None else n_bytes
    patterns = getattr(options, "features", ()) or None
    kind, cells = ("matrix" if found is None else found.kind), is_cells(path, options)
    if cells and found is not None:
        column = getattr(options, "type_column", None) or _TYPE
        names = tuple(sorted({text for text in found.rows[column] if text}))
        if patterns:
            names = tuple(names[j] for j in match_features(names, patterns, path=path))
        kinds = None if getattr(options, "kernel", None) else math.inf
        return Shape(path, kind, size.n_rows, size.exact, names, 5, True, n_bytes, kinds)
    kinds = None
    if found is not None and not found.features:
        columns = choose_columns(
            found.names,
            path=path,
            id_columns=options.id_columns or None,
            features=patterns,
            metadata=metadata,
            coordinates=getattr(options, "coordinates", ()) or None,
        )
        names, n_ids = columns.feature_names, len(columns.ids)
        kinds = _kinds(found.rows[list(names)])
    else:
        numbered = tuple(f"feature_{j + 1}" for j in range(size.n_columns or 0))
        names, n_ids = (found.features if found is not None else numbered), 3
        if patterns:
            names = tuple(names[j] for j in match_features(names, patterns, path=path))
    return Shape(path, kind, size.n_rows, size.exact, names, n_ids, False, n_bytes, kinds)


def _kinds(rows: pd.DataFrame) -> float | None:
    """Estimate how many different rows there are, if any of the first ones repeat.

    From d different rows, f1 of which are there once and f2 twice: d + f1 (f1 - 1) / (2 (f2 + 1))
    (Chao), which is low, for the first rows are alike: eight times that.
    """
    times = rows.value_counts(sort=False).to_numpy()
    if not (times > 1).any():
        return None
    once, twice = int((times == 1).sum()), int((times == 2).sum())
    return 8 * (len(times) + once * (once - 1) / (2 * (twice + 1)))


def listed_neighbors(n: int, k: int, kinds: float | None) -> int:
    """Return how many neighbours are listed at most, over all different rows of a table.

    Where rows repeat each of the m different ones has more neighbours than k, see
    `partwise.graph.repeats.neighbors_per_row`; the sum is largest where that number reaches its
    bound, the square root of m.

    Parameters
    ----------
    n, k
        Rows, and neighbours of each.
    kinds
        Different rows at most; None where no row repeats.

    Examples
    --------
    >>> listed_neighbors(1_000_000, 15, None), listed_neighbors(1_000_000, 15, 10_000)
    (15000000, 1000000)
    >>> listed_neighbors(1_000_000, 15, math.inf) < 2 * 15_000_000
    True
    """
    if kinds is None:
        return n * k
    low, high = 1, max(1, round(min(n, kinds)))
    while low < high:
        m = (low + high + 1) // 2
        if math.isqrt(m) <= k * (2 * n / m - 1):
            low = m
        else:
            high = m - 1
    return low * max(k, math.isqrt(low))
