"""Options of `partwise tune`, and of `partwise cluster --tune`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.clustering.extra_options import least_cells, normalize_by_fov_option
from partwise.workflows.options import check_choice, check_number, check_whole, option, specs
from partwise.workflows.shared_options import (
    features_option,
    id_columns_option,
    memory_option,
    output_dir_option,
    resume_option,
    seed_option,
    threads_option,
)
from partwise.workflows.tuning.types import TuneGrid

__all__ = ["FIGURES", "MOST_POINTS", "TuneOptions", "shared_options"]

FIGURES = ("png", "pdf", "svg")
#: A grid of more settings than this is a slip of the keyboard.
MOST_POINTS = 5_000
_DEFAULT = TuneGrid()

_INPUT, _SAMPLE, _GRID, _OUTPUT, _RUN = "Input", "Sample", "Grid", "Output", "Run"


def _shown(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


@dataclass(frozen=True, kw_only=True)
class TuneOptions(CellOptions):
    """What `partwise tune` can be told; each field is also a flag of the command line.

    The fields of `CellOptions`, for tables of cells with coordinates, and these:

    Attributes
    ----------
    id_columns
        Columns that identify and describe cells; empty means fov, label and cell_meta_cluster.
    features
        Names or patterns (`*`, `?`) of the columns to factorize; empty means all but the ids.
    normalize_by_fov
        Divide each feature by its mean over the cells of the same field of view.
    batch
        Column of the batch (patient, slide): the sample is stratified by it in place of
        the field of view, and each setting is told how well its clusters mix batches.
    n_cells
        Cells to draw; a table with fewer is taken whole.
    n_components, n_neighbors, resolutions
        The grid: numbers of NMF factors, neighbours of each cell, Leiden resolutions.
    n_replicates
        Replicates of every setting, by which its stability is judged.
    min_cluster_size
        Clusters of fewer cells of the sample count as small: a number, or a percentage ("1%").
    output_dir
        Folder for the results; made if missing.
    figure
        Formats of the figures beside the report.
    resume
        Go on where a run that was interrupted or killed left off.
    seed
        Seed of all random choices.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    memory
        Memory that the run may take, such as "4GB"; None means what it needs.
    chunksize
        Rows read at a time; results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option("cells", "fov,label,cell_meta_cluster")
    features: tuple[str, ...] = features_option("columns to factorize")
    normalize_by_fov: bool = normalize_by_fov_option()
    n_cells: int = option(
        200_000,
        "--n-cells",
        "--tune-subsample",
        kind=int,
        help="Cells to draw; a table with fewer is taken whole.",
        section=_SAMPLE,
    )
    batch: str | None = option(
        None,
        "--batch",
        kind=str,
        help="Column of the batch: the sample is stratified by it, and settings are told how well "
        "clusters mix batches.",
        section=_SAMPLE,
        shown_default="stratified by fov",
    )
    n_components: tuple[int, ...] = option(
        _DEFAULT.n_components,
        "-n",
        "--tune-n",
        kind=tuple,
        help="Numbers of NMF factors, such as 5,8 or 4-9.",
        section=_GRID,
        shown_default=_shown(_DEFAULT.n_components),
    )
    n_neighbors: tuple[int, ...] = option(
        _DEFAULT.n_neighbors,
        "-k",
        "--tune-k",
        kind=tuple,
        help="Numbers of neighbours of each cell in the graph.",
        section=_GRID,
        shown_default=_shown(_DEFAULT.n_neighbors),
    )
    resolutions: tuple[float, ...] = option(
        _DEFAULT.resolutions,
        "-r",
        "--tune-r",
        kind=tuple,
        help="Leiden resolutions.",
        section=_GRID,
        shown_default=_shown(_DEFAULT.resolutions),
    )
    n_replicates: int = option(
        5,
        "--n-replicates",
        kind=int,
        help="Replicates of every setting, by which its stability is judged.",
        section=_GRID,
    )
    min_cluster_size: str | int = option(
        "50",
        "--min-cluster-size",
        kind=str,
        help="Clusters of fewer cells of the sample, or of a smaller percentage (1%), count as "
        "small.",
        section=_GRID,
    )
    output_dir: str | os.PathLike[str] = output_dir_option("tuning_results")
    figure: tuple[str, ...] = option(
        ("png",),
        "--figure",
        kind=tuple,
        choices=FIGURES,
        help="Formats of the figures beside the report.",
        section=_OUTPUT,
        matters="run",
    )
    resume: bool = resume_option()
    seed: int = seed_option()
    threads: int | None = threads_option()
    memory: str | None = memory_option()
    chunksize: int = option(
        100_000,
        "-c",
        "--chunksize",
        kind=int,
        help="Rows read at a time; results do not depend on it.",
        section=_RUN,
        matters="run",
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("id_columns", "features", "figure"):
            value = getattr(self, name)
            texts = (value,) if isinstance(value, str) else tuple(value or ())
            if not all(isinstance(text, str) and text for text in texts):
                raise UsageError(f"{name} must be names, not {value!r}")
            object.__setattr__(self, name, texts)
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        if self.batch is not None and not (isinstance(self.batch, str) and self.batch):
            raise UsageError(f"batch must be the name of a column, not {self.batch!r}")
        for name, flag in (("n_components", "--tune-n"), ("n_neighbors", "--tune-k")):
            object.__setattr__(self, name, _whole_numbers(flag, getattr(self, name)))
        object.__setattr__(self, "resolutions", _numbers("--tune-r", self.resolutions))
        if self.grid.n_points > MOST_POINTS:
            raise UsageError(
                f"the grid has {self.grid.n_points:,} settings, more than the {MOST_POINTS:,} that "
                "can be compared; give fewer values of --tune-n, --tune-k or --tune-r"
            )
        for name in ("n_cells", "chunksize"):
            check_whole(name, getattr(self, name), least=1)
        object.__setattr__(self, "min_cluster_size", str(self.min_cluster_size))
        least_cells(self.min_cluster_size, 1)
        self.check_cells()
        check_whole("n_replicates", self.n_replicates, least=2)
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)
        check_whole("seed", self.seed, least=0)
        for name in self.figure:
            check_choice("figure", name, FIGURES)

    @property
    def metadata(self) -> tuple[str, ...]:
        """Columns that describe cells and are named by an option."""
        named = [self.batch, "fov" if self.normalize_by_fov else None]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def grid(self) -> TuneGrid:
        """The settings to compare."""
        return TuneGrid(self.n_components, self.n_neighbors, self.resolutions)


def shared_options(other: type) -> list[str]:
    """Return the options that mean the same to tuning and to another job, such as `cluster`.

    Parameters
    ----------
    other
        The options dataclass of that job.

    Returns
    -------
    list of str
        Those with the same name and flag on which results depend, and which are no matter of
        small clusters: tuning counts these, clustering joins them to others.
    """
    theirs = {(spec.name, spec.flags[-1]) for spec in specs(other)}
    return [
        spec.name
        for spec in specs(TuneOptions)
        if (spec.name, spec.flags[-1]) in theirs
        and spec.matters == "result"
        and spec.name != "min_cluster_size"
    ]


def _several(values: Any) -> tuple[Any, ...]:
    """Return one value, a text with commas, or a sequence of such, as single values."""
    single = isinstance(values, (str, int, float))
    given: tuple[Any, ...] = (values,) if single else tuple(values or ())
    parts = [v.split(",") if isinstance(v, str) else [v] for v in given]
    return tuple(p.strip() if isinstance(p, str) else p for part in parts for p in part)


def _whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    """Return numbers, or texts that are numbers or ranges such as 4-9, sorted."""
    found: set[int] = set()
    for value in _several(values):
        low, dash, high = str(value).partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)):
            raise UsageError(f"{name} takes whole numbers from 1 up, such as 5,8 or 4-9: {value!r}")
        last = int(high) if dash else int(low)
        if int(low) < 1 or not int(low) <= last <= int(low) + MOST_POINTS:
            raise UsageError(f"{name} takes whole numbers from 1 up, such as 5,8 or 4-9: {value!r}")
        found.update(range(int(low), last + 1))
    if not found:
        raise UsageError(f"{name} needs at least one value")
    return tuple(sorted(found))


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Return numbers above 0, or texts that are such, sorted."""
    found: set[float] = set()
    for value in _several(values):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UsageError(f"{name} takes numbers above 0, such as 0.1,0.5: {value!r}") from None
        check_number(name, number, above=0.0)
        found.add(number)
    if not found:
        raise UsageError(f"{name} needs at least one value")
    return tuple(sorted(found))
