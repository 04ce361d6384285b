"""Many settings in one run: what is shared is done once, and the results are compared.

One factorization per number of factors; one search of neighbours per number of factors (beside that
of the first setting), at the largest number of neighbours, of whose lists smaller ones are cut.
The clusters of a setting are those of a run with that setting alone (bit for bit, where neighbours
are searched exactly).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise import figures
from partwise.graph.neighbors import unit_rows
from partwise.graph.row_graphs import RowGraph, RowGraphs
from partwise.io.writers import write_csv
from partwise.metrics import adjusted_rand
from partwise.metrics.partitions import silhouettes
from partwise.report import ReportFigure, ReportTable, Section
from partwise.results import Clustering
from partwise.workflows.clustering.control import sample_rows
from partwise.workflows.clustering.resume import keep_fit
from partwise.workflows.clustering.settings import Setting, resolve_settings
from partwise.workflows.clustering.small import settle_small
from partwise.workflows.clustering.stages import fit_table, space_of
from partwise.workflows.tuning.text import counted

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.results import Factorization
    from partwise.utils.progress import Stage
    from partwise.workflows.checkpoint import Checkpoint
    from partwise.workflows.clock import Clock
    from partwise.workflows.clustering.files import Written
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.clustering.result import Findings
    from partwise.workflows.outputs import RunFolder

__all__ = ["First", "SettingRun", "Sweep", "run_settings", "sweep_sections", "write_sweep"]

#: Cells on which all pairs of settings are compared.
_MOST_CELLS = 100_000
#: Cells from which the silhouette is.
_MOST_SILHOUETTES = 3_000
#: Settings that a heatmap shows.
_MOST_SHOWN = 60
#: Columns of the table in the report, where it is narrow; n, k and r are in the names.
_SHOWN = {
    "relative_error": "error",
    "n_clusters": "clusters",
    "min_cluster_size": "smallest",
    "max_cluster_size": "largest",
    "modularity": "modularity",
    "silhouette": "silhouette",
    "adjusted_rand_to_first": "ARI to first",
}


@dataclass(frozen=True)
class SettingRun:
    """Clusters of one setting.

    Attributes
    ----------
    setting
        The setting.
    clustering
        Clusters of all cells; small ones are settled as the options say.
    relative_error, converged
        Of the factorization.
    silhouette
        Mean silhouette width of a sample, in the space in which cells are compared; NaN with fewer
        than two clusters.
    """

    setting: Setting
    clustering: Clustering
    relative_error: float
    converged: bool
    silhouette: float


@dataclass(frozen=True)
class Sweep:
    """Clusters of several settings.

    Attributes
    ----------
    runs
        One per setting, in the order in which they were given.
    table
        One row per setting, indexed by its name: n_components, n_neighbors, resolution,
        relative_error, converged, n_clusters, min_cluster_size, median_cluster_size,
        max_cluster_size, n_unclustered (labels below 0), modularity, silhouette,
        adjusted_rand_to_first.
    agreement
        Adjusted Rand index of each pair of settings.
    n_compared
        Cells from which `agreement` is.
    """

    runs: tuple[SettingRun, ...]
    table: pd.DataFrame
    agreement: pd.DataFrame
    n_compared: int

    @property
    def summary(self) -> list[dict[str, Any]]:
        """The comparison as plain values, one entry per setting."""
        rows = self.table.reset_index().to_dict(orient="records")
        return [
            {str(name): None if value != value else value for name, value in row.items()}  # NaN
            for row in rows
        ]

    @property
    def line(self) -> str:
        """The comparison in one line."""
        least, most = self.table["n_clusters"].min(), self.table["n_clusters"].max()
        found = (
            f"{least} to {most} clusters" if least < most else f"each {counted(most, 'cluster')}"
        )
        return (
            f"{len(self.runs)} settings, {found}; the lines above are about the first, "
            f"{self.runs[0].setting.name}"
        )


@dataclass(frozen=True)
class First:
    """The first setting, which the run has done already.

    Attributes
    ----------
    fit
        Its factorization.
    space
        Coordinates in which cells were clustered.
    clustering
        Its clusters.
    """

    fit: Factorization
    space: npt.NDArray[np.floating[Any]]
    clustering: Clustering


def run_settings(
    table: Table,
    first: First,
    options: ClusterOptions,
    *,
    clock: Clock,
    kept: Checkpoint,
) -> Sweep | None:
    """Cluster by every setting.

    Parameters
    ----------
    table
        X, n x p.
    first
        Results of the first setting, which is done.
    options
        All settings, and everything else; n, k and r are those of the first.
    clock
        Told of the stage; its record knows the threads.
    kept
        Parts of the work that are done.

    Returns
    -------
    Sweep or None
        The clusters of all settings, and how they compare.
    """
    settings, _ = resolve_settings(options.settings)
    if not settings:
        return None
    n_threads = clock.record.n_threads or 1
    runs = {settings[0]: _run_of(settings[0], first.clustering, first.fit, first.space, options)}
    with clock.stage("settings") as stage:
        for n in dict.fromkeys(setting.n_components for setting in settings):
            wanted = [s for s in settings if s.n_components == n and s not in runs]
            if not wanted:
                continue
            own = replace(options, n_components=n)
            fit, space = first.fit, first.space
            if n != options.n_components:
                fit, space = _factorize(table, own, n_threads, stage, kept)
            for setting, found in _cluster(space, wanted, own, n_threads, kept):
                runs[setting] = _run_of(setting, found, fit, space, options)
                stage.advance()
    ordered = tuple(runs[setting] for setting in settings)
    with clock.stage("compare settings"):
        return _compared(ordered, options.seed)


def _run_of(
    setting: Setting,
    clustering: Clustering,
    fit: Factorization,
    space: npt.NDArray[np.floating[Any]],
    options: ClusterOptions,
) -> SettingRun:
    """Note what is told of a setting; the silhouette of cells that are in clusters, on a sample."""
    inside = np.flatnonzero(clustering.labels >= 0)
    chosen = sample_rows(len(inside), _MOST_SILHOUETTES, options.seed)
    rows = inside if chosen is None else inside[chosen]
    points = unit_rows(space[rows]) if options.metric == "cosine" else space[rows]
    width = float("nan")
    if len(rows):
        width = float(silhouettes(points, [clustering.labels[rows]])[0])
    return SettingRun(setting, clustering, fit.relative_error, fit.converged, width)


def _factorize(
    table: Table, options: ClusterOptions, n_threads: int, stage: Stage, kept: Checkpoint
) -> tuple[Factorization, npt.NDArray[np.floating[Any]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what estimators warn of is in the table
        model, usage = keep_fit(
            kept,
            lambda: fit_table(table, options, n_threads, stage),
            key=f"factorize n={options.n_components}",
        )
    return model.result_, space_of(usage, model.components_, options)


def _cluster(
    space: npt.NDArray[np.floating[Any]],
    settings: Sequence[Setting],
    options: ClusterOptions,
    n_threads: int,
    kept: Checkpoint,
) -> list[tuple[Setting, Clustering]]:
    """Cluster by all settings of one number of factors."""
    graphs: RowGraphs | None = None
    graph: RowGraph | None = None
    made = 0
    found = []
    for setting in sorted(settings, key=lambda s: s.n_neighbors):
        clustering = _kept(kept, setting)
        if clustering is None:
            if graphs is None:
                ks = sorted({s.n_neighbors for s in settings})
                graphs = RowGraphs(
                    space,
                    ks,
                    metric=options.metric,
                    random_state=options.seed,
                    n_threads=n_threads,
                )
            if graph is None or made != setting.n_neighbors:
                graph, made = graphs.graph(setting.n_neighbors), setting.n_neighbors
            clustering, _ = graph.cluster(
                setting.resolution, random_state=options.seed, n_threads=n_threads
            )
            _keep(kept, setting, clustering)
        found.append((setting, settle_small(space, clustering, options)[0]))
    return found


def _keep(kept: Checkpoint, setting: Setting, clustering: Clustering) -> None:
    numbers = np.array([clustering.quality, clustering.resolution])
    arrays: dict[str, npt.NDArray[Any]] = {
        "labels": clustering.labels,
        "sizes": clustering.sizes,
        "numbers": numbers,
    }
    kept.put(f"setting {setting.name}", arrays)


def _kept(kept: Checkpoint, setting: Setting) -> Clustering | None:
    arrays = kept.get(f"setting {setting.name}")
    if arrays is None:
        return None
    quality, resolution = (float(number) for number in arrays["numbers"])
    return Clustering(arrays["labels"], arrays["sizes"], quality, "modularity", resolution, 0, 2)


def _compared(runs: tuple[SettingRun, ...], seed: int) -> Sweep:
    names = [run.setting.name for run in runs]
    rows = []
    for run in runs:
        labels, sizes = run.clustering.labels, run.clustering.sizes
        rows.append(
            {
                **run.setting._asdict(),
                "relative_error": run.relative_error,
                "converged": "yes" if run.converged else "no",
                "n_clusters": run.clustering.n_clusters,
                "min_cluster_size": int(sizes.min(initial=labels.shape[0])),
                "median_cluster_size": float(np.median(sizes)) if len(sizes) else 0.0,
                "max_cluster_size": int(sizes.max(initial=0)),
                "n_unclustered": int(np.count_nonzero(labels < 0)),
                "modularity": run.clustering.quality,
                "silhouette": run.silhouette,
                "adjusted_rand_to_first": adjusted_rand(runs[0].clustering.labels, labels),
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(names, name="setting"))
    chosen = sample_rows(runs[0].clustering.labels.shape[0], _MOST_CELLS, seed)
    parts = [
        run.clustering.labels if chosen is None else run.clustering.labels[chosen] for run in runs
    ]
    agreement = np.eye(len(runs))
    for i in range(len(runs)):
        for j in range(i):
            agreement[i, j] = agreement[j, i] = adjusted_rand(parts[i], parts[j])
    frame = pd.DataFrame(agreement, index=names, columns=names)
    return Sweep(runs, table, frame, int(parts[0].shape[0]))


def write_sweep(found: Findings, folder: RunFolder, n_threads: int) -> tuple[Written, list[str]]:
    """Write the comparison, and the cluster of each cell by each setting.

    Parameters
    ----------
    found
        What a run found.
    folder
        Where its files go.
    n_threads
        Threads.

    Returns
    -------
    written
        The files, by kind; empty without settings.
    notes
        What the user should know about them.
    """
    sweep = found.sweep
    if sweep is None:
        return {}, []
    stem, ids = found.table.name, found.table.ids
    written: Written = {
        "settings": (f"{stem}_settings.csv", "settings compared, a row for each"),
        "settings_clusters": (
            f"{stem}_settings_clusters.csv",
            "cluster of each cell, a column for each setting",
        ),
    }
    path = {kind: folder.path(name) for kind, (name, _) in written.items()}
    columns = {"setting": list(sweep.table.index)} | {
        str(name): values.to_numpy() for name, values in sweep.table.items()
    }
    notes = [*write_csv(path["settings"], columns, identifiers=["setting"])]
    cells: dict[str, Any] = {str(name): ids[name] for name in ids}
    cells.update((run.setting.name, run.clustering.labels) for run in sweep.runs)
    notes += write_csv(
        path["settings_clusters"],
        cells,
        identifiers=[str(name) for name in ids],
        n_threads=n_threads,
        chunk_rows=found.options.chunksize,
    )
    return written, notes


def sweep_sections(sweep: Sweep | None) -> list[Section]:
    """Return the part of the report that compares settings, if there are several."""
    if sweep is None:
        return []
    drawn = []
    n = len(sweep.runs)
    if 1 < n <= _MOST_SHOWN:
        cells = f"{sweep.n_compared:,} cells"
        drawn = [
            ReportFigure(
                figures.settings_agreement(sweep.agreement),
                "Agreement of the settings",
                f"Adjusted Rand index of each pair, on {cells}: 1 is the same clusters, 0 no more "
                "than chance. Blocks of high values are settings among which the choice does not "
                "matter.",
                f"Heatmap of the agreement of {n} settings.",
                ReportTable(sweep.agreement, "Adjusted Rand index"),
            )
        ]
    return [
        Section(
            "Settings",
            [
                f"{n} settings were run; this report is about the first, "
                f"{sweep.runs[0].setting.name}. A run with another one alone gives the clusters "
                "that are in its column of the table of settings."
            ],
            drawn,
            [ReportTable(sweep.table[list(_SHOWN)].rename(columns=_SHOWN), "Settings compared")],
        )
    ]
