"""Options of `partwise cluster`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.clustering.extra_options import (
    METRICS,
    SAMPLE_SHARE,
    check_fovs,
    check_sample,
    check_small,
    color_by_option,
    metric_option,
    min_cluster_size_option,
    normalize_by_fov_option,
    normalize_usage_option,
    settings_option,
    small_option,
    subsample_fraction_option,
    subsample_option,
    svd_option,
)
from partwise.workflows.clustering.settings import as_texts
from partwise.workflows.clustering.tissue_options import (
    LEAST_COVERAGE,
    allow_option,
    by_option,
    check_tissue,
    compare_option,
    map_fovs_option,
    maps_option,
    min_coverage_option,
    model_option,
)
from partwise.workflows.options import check_choice, check_number, check_whole, option
from partwise.workflows.shared_options import (
    features_option,
    formats_option,
    id_columns_option,
    memory_option,
    output_dir_option,
    resume_option,
    seed_option,
    threads_option,
)

__all__ = ["FORMATS", "INITS", "SOLVERS", "ClusterOptions"]

SOLVERS = ("hals", "bpp", "minibatch")
INITS = ("nndsvda", "nndsvd", "random")
FORMATS = ("csv", "parquet", "h5ad")
_BATCH_SIZE = 1024

_INPUT, _NMF, _GRAPH, _OUTPUT, _RUN = (
    "Input",
    "Factorization",
    "Clusters",
    "Output",
    "Run",
)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(CellOptions):
    """What `partwise cluster` can be told; each field is also a flag of the command line.

    The fields of `CellOptions`, for tables of cells with coordinates, and these:

    Attributes
    ----------
    output_dir
        Folder for the results; made if missing.
    n_components
        Number of NMF factors.
    resolution
        Leiden resolution; higher values give more clusters.
    batch_size
        Rows per step of the mini-batch solver; None means 1024. Other solvers have no batches and
        say so when it is given.
    n_neighbors
        Neighbours of each cell in the graph.
    chunksize
        Rows read and written at a time; results do not depend on it.
    seed
        Seed of all random choices.
    solver
        "hals" (fast, converges), "bpp" (exact alternating least squares) or "minibatch" (the
        original's, does not converge).
    init
        Start of the factorization: "nndsvda", "nndsvd" or "random".
    max_iter, tol
        When the factorization stops at the latest, and the relative change at which it stops;
        None means the solver's default.
    id_columns
        Columns that identify and describe cells; empty means fov, label and
        cell_meta_cluster.
    features
        Names or patterns (`*`, `?`) of the columns to factorize; empty means all but the ids.
    subsample
        Column (fov, batch, patient) by which a random sample of the cells is stratified; None means
        all cells.
    subsample_fraction
        Share of the cells to draw; None means a tenth if `subsample` is given, else all. Without
        `subsample` the sample is a plain random one.
    normalize_by_fov
        Divide each feature by its mean over the cells of the same field of view.
    settings
        Several settings in place of `n_components`, `n_neighbors` and `resolution`: triples
        (n, k, r), texts "n k r", or files with a line for each. The first is reported in full.
    metric
        "euclidean", or "cosine" for directions only, between the reconstructions of cells.
    normalize_usage
        Compare cells by the shares of the factors in them, not by their amounts.
    min_cluster_size
        Cells (50) or percentage of all cells ("1%") that a cluster must have; None means any.
    small
        What becomes of the cells of smaller clusters: "reassign" to the nearest of the others, or
        "mark" by the label -2.
    formats
        Formats of the table of cells; CSV is always written, the others beside it.
    color_by
        Columns (batch, patient, area) by which the report colours cells and describes clusters.
    svd
        Also compute the singular values of the centred table.
    umap
        Draw the embedding by UMAP in place of PCA.
    model
        Model file of an earlier run, or its folder, to whose niches the cells are assigned; None
        finds new ones.
    min_coverage, allow
        With `model`: least share of each factor's weight that must be on features that are there
        (None means 0.5), and whether a lower one is only warned of.
    compare, by
        Columns of the groups whose fractions of clusters are compared, and of the patients who are
        in them.
    maps, map_fovs
        How many fields of view to draw (None means 12), or which.
    memory
        Memory that the run may take, such as "4GB"; None means what it needs.
    resume
        Go on where a run that was interrupted or killed left off.
    threads
        Threads; None means the CPUs this process may use. Results do not depend on it.
    """

    id_columns: tuple[str, ...] = id_columns_option("cells", "fov,label,cell_meta_cluster")
    features: tuple[str, ...] = features_option("columns to factorize")
    subsample: str | None = subsample_option()
    subsample_fraction: float | None = subsample_fraction_option()
    normalize_by_fov: bool = normalize_by_fov_option()
    n_components: int = option(
        10, "-n", "--n-components", kind=int, help="Number of NMF factors.", section=_NMF
    )
    solver: str = option(
        "hals",
        "--solver",
        kind=str,
        choices=SOLVERS,
        help="hals: fast, converges; bpp: exact alternating steps; minibatch: the original's, "
        "stops before it converges.",
        section=_NMF,
    )
    batch_size: int | None = option(
        None,
        "-b",
        "--batch-size",
        kind=int,
        help="Rows per step of --solver minibatch; no effect with the other solvers.",
        section=_NMF,
        shown_default=str(_BATCH_SIZE),
    )
    init: str = option(
        "nndsvda",
        "--init",
        kind=str,
        choices=INITS,
        help="Start of the factorization.",
        section=_NMF,
    )
    max_iter: int | None = option(
        None,
        "--max-iter",
        kind=int,
        help="Passes over the data at most.",
        section=_NMF,
        shown_default="the solver's",
    )
    tol: float | None = option(
        None,
        "--tol",
        kind=float,
        help="Stop when the loss changes by less than this share per pass.",
        section=_NMF,
        shown_default="the solver's",
    )
    n_neighbors: int = option(
        15,
        "-k",
        "--n-neighbors",
        kind=int,
        help="Neighbours of each cell in the graph.",
        section=_GRAPH,
    )
    resolution: float = option(
        0.1,
        "-r",
        "--resolution",
        kind=float,
        help="Leiden resolution; higher values give more clusters.",
        section=_GRAPH,
    )
    model: str | os.PathLike[str] | None = model_option()
    min_coverage: float | None = min_coverage_option()
    allow: bool = allow_option()
    compare: str | None = compare_option()
    by: str | None = by_option()
    maps: int | None = maps_option()
    map_fovs: tuple[str, ...] = map_fovs_option()
    settings: tuple[str, ...] = settings_option()
    metric: str = metric_option()
    normalize_usage: bool = normalize_usage_option()
    min_cluster_size: str | int | None = min_cluster_size_option()
    small: str = small_option()
    output_dir: str | os.PathLike[str] = output_dir_option("results")
    formats: tuple[str, ...] = formats_option("the table of cells", FORMATS)
    color_by: tuple[str, ...] = color_by_option()
    svd: bool = svd_option()
    umap: bool = option(
        False,
        "--umap",
        kind=bool,
        help="Draw the embedding by UMAP in place of PCA; needs the extra 'umap'.",
        section=_OUTPUT,
        matters="run",
    )
    seed: int = seed_option()
    threads: int | None = threads_option()
    memory: str | None = memory_option()
    resume: bool = resume_option()
    chunksize: int = option(
        100_000,
        "-c",
        "--chunksize",
        kind=int,
        help="Rows read and written at a time; results do not depend on it.",
        section=_RUN,
        matters="run",
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("id_columns", "features", "formats", "map_fovs", "color_by"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        object.__setattr__(self, "settings", as_texts(self.settings))
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        for name in ("n_components", "n_neighbors", "chunksize"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("batch_size", "max_iter", "threads"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
        check_whole("seed", self.seed, least=0)
        check_number("resolution", self.resolution, above=0.0)
        if self.tol is not None:
            check_number("tol", self.tol)
        check_choice("solver", self.solver, SOLVERS)
        check_choice("init", self.init, INITS)
        for name in self.formats:
            check_choice("format", name, FORMATS)
        self.check_cells()
        check_sample(self)
        check_fovs(self)
        check_choice("metric", self.metric, METRICS)
        check_small(self)
        if self.model is not None:
            object.__setattr__(self, "model", os.fspath(self.model))
        check_tissue(self)

    @property
    def sample_share(self) -> float | None:
        """Share of the cells that a sample takes, resolved; None means all cells, no sample."""
        if self.subsample_fraction is None:
            return None if self.subsample is None else SAMPLE_SHARE
        return self.subsample_fraction

    @property
    def metadata(self) -> tuple[str, ...]:
        """Columns that describe cells and are named by an option."""
        fov = (self.fov_column or "fov") if self.normalize_by_fov else None
        named = [self.subsample, fov, self.compare, self.by, *self.color_by]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def least_coverage(self) -> float:
        """Least share of each factor that new features cover, resolved."""
        return LEAST_COVERAGE if self.min_coverage is None else self.min_coverage

    @property
    def batch_rows(self) -> int:
        """Rows per mini-batch, resolved."""
        return _BATCH_SIZE if self.batch_size is None else self.batch_size


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """Return a text or a sequence of texts as a tuple."""
    if value is None:
        return ()
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{name} must be names, not {value!r}")
    return texts
