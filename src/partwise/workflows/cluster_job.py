"""The job behind `partwise cluster`: table -> factors -> neighbours -> clusters -> files, report.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.exceptions import UsageError
from partwise.graph import cluster_rows
from partwise.graph.representation import clustering_space
from partwise.io import open_table
from partwise.report import RunRecord, write_report
from partwise.utils.atomic import write_json
from partwise.utils.logs import logger
from partwise.utils.memory import peak_memory_bytes
from partwise.utils.optional import require
from partwise.utils.progress import Progress, silent
from partwise.utils.threads import resolve_threads
from partwise.workflows.clock import Clock
from partwise.workflows.cluster_control import Control, compare_with_raw
from partwise.workflows.cluster_files import write_tables
from partwise.workflows.cluster_options import ClusterOptions
from partwise.workflows.cluster_report import build_report
from partwise.workflows.cluster_stages import (
    advice_after,
    advice_before,
    embed_sample,
    fit_table,
)
from partwise.workflows.options import command_line
from partwise.workflows.outputs import RunFolder, open_run_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from partwise.graph import RowClustering
    from partwise.io import Table
    from partwise.results import Factorization

__all__ = ["ClusterOptions", "ClusterResult", "Findings", "cluster"]


@dataclass(frozen=True)
class Findings:
    """What the stages of a run found, for the files and the report."""

    table: Table
    options: ClusterOptions
    model: Any
    fit: Factorization
    usage: npt.NDArray[np.floating[Any]]
    rows: RowClustering
    control: Control
    points: pd.DataFrame
    point_labels: pd.Series
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors in all outputs."""
        return tuple(f"NMF_factor_{i + 1}" for i in range(self.fit.programs.shape[0]))

    @property
    def tol(self) -> float | None:
        """Tolerance at which the fit may stop."""
        return (
            self.options.tol if self.options.tol is not None else getattr(self.model, "tol", None)
        )


@dataclass(frozen=True)
class ClusterResult:
    """What a run found and where its files are.

    Attributes
    ----------
    input
        The file that was read.
    n_cells, features
        Rows of the table, and the names of the columns that were factorized.
    model
        The fitted estimator; `partwise.load` reads it back from `outputs["model"]`.
    factorization
        Programs, error, status and loss of the fit; its usage is that of the cells, n x k.
    rows
        Cluster of each cell (`rows.clustering.labels`; -1 is isolated) and how it was found.
    control
        Clusters of the raw features, and how far they agree with those of the factors.
    outputs
        The files: "clusters", "basis", "model", "report", "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    input: Path
    n_cells: int
    features: tuple[str, ...]
    model: Any
    factorization: Factorization
    rows: RowClustering
    control: Control
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: ClusterOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        fit, clustering = self.factorization, self.rows.clustering
        return {
            "input": str(self.input),
            "n_cells": self.n_cells,
            "n_features": len(self.features),
            "n_components": int(fit.programs.shape[0]),
            "relative_error": fit.relative_error,
            "converged": fit.converged,
            "status": fit.status.advice,
            "n_iter": fit.n_iter,
            "n_clusters": clustering.n_clusters,
            "cluster_sizes": [int(size) for size in clustering.sizes],
            "n_isolated": self.rows.n_isolated,
            "n_distinct_rows": self.rows.n_distinct,
            "control": self.control.summary,
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        fit, clustering = self.factorization, self.rows.clustering
        sizes = ", ".join(f"{size:,}" for size in clustering.sizes[:8])
        more = ", ..." if clustering.n_clusters > 8 else ""
        return [
            f"{self.n_cells:,} cells x {len(self.features):,} features, "
            f"{fit.programs.shape[0]} factors: relative error {fit.relative_error:.4g}; "
            f"{fit.status.advice}",
            f"{clustering.n_clusters} clusters of {sizes}{more} cells"
            + (f"; {self.rows.n_isolated:,} isolated" if self.rows.n_isolated else ""),
            self.control.line,
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def cluster(
    input: str | os.PathLike[str],
    *,
    options: ClusterOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> ClusterResult:
    """Cluster the cells of a table by the parts that their neighbourhoods are made of.

    The table X is factorized, min ||X - W H|| over W, H >= 0; cells are joined to their nearest
    neighbours by the distance ||(w - w') H|| between their reconstructions, and the graph is cut
    into clusters by Leiden. All files appear in the output folder together at the end.

    Parameters
    ----------
    input
        CSV, TSV, parquet or h5ad: identifiers and one column of non-negative numbers per feature,
        one row per cell.
    options
        What to do; see `ClusterOptions`.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `ClusterOptions`, in place of `options`.

    Returns
    -------
    ClusterResult
        Factors, clusters, and where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    DataError
        If the table cannot be used; names row and column.
    ResourceError
        If memory, disk or permissions do not suffice.

    Examples
    --------
    >>> import tempfile
    >>> from partwise.workflows import cluster, simulate
    >>> folder = tempfile.mkdtemp()
    >>> table = simulate(n_cells=600, output_dir=folder).outputs["table"]
    >>> result = cluster(table, n_components=5, output_dir=folder)
    >>> result.rows.clustering.n_clusters
    5
    """
    if options is not None and overrides:
        raise UsageError("give either options or single fields, not both")
    options = options or ClusterOptions(**overrides)
    if options.umap:
        require("umap", "umap")  # before the work, not after it
    n_threads = resolve_threads(options.threads)
    command = command_line("partwise cluster", os.fspath(input), options)
    record = RunRecord(command, seed=options.seed, n_threads=n_threads)
    clock = Clock(progress or silent(), record)
    with open_run_folder(options.output_dir) as folder:
        record.add_input(input)
        with clock.stage("read"):
            table = _open(input, options, folder, clock)
        with table:
            found = _find(table, options, n_threads, clock)
            outputs = _write(found, folder, clock, command)
    return ClusterResult(
        input=Path(input),
        n_cells=table.shape[0],
        features=table.features,
        model=found.model,
        factorization=found.fit,
        rows=found.rows,
        control=found.control,
        outputs=outputs,
        warnings=tuple(record.warnings),
        seconds=clock.seconds,
        options=options,
    )


def _open(
    input: str | os.PathLike[str], options: ClusterOptions, folder: RunFolder, clock: Clock
) -> Table:
    return open_table(
        input,
        id_columns=options.id_columns or None,
        features=options.features or None,
        spool_dir=folder.staging,  # what does not fit into memory goes where there is room
        chunk_rows=options.chunksize,
        n_threads=clock.record.n_threads,
        progress=clock.progress,
    )


def _find(table: Table, options: ClusterOptions, n_threads: int, clock: Clock) -> Findings:
    """Run the stages that compute."""
    told = [*table.notes, *advice_before(table, options)]
    with clock.stage("factorize") as stage, warnings.catch_warnings():
        # what estimators warn of is said by the status of the fit, in the report and at the end
        warnings.simplefilter("ignore")
        model, usage = fit_table(table, options, n_threads, stage)
    with clock.stage("cluster"):
        # usage has no scale of its own and, with more factors than features, is not determined;
        # distances between reconstructions are
        space = clustering_space(usage, model.components_)
        rows = cluster_rows(
            space,
            n_neighbors=options.n_neighbors,
            resolution=options.resolution,
            random_state=options.seed,
            n_threads=n_threads,
            progress=clock.progress,
        )
    with clock.stage("control"):
        control = compare_with_raw(table, rows.clustering, options, n_threads)
    with clock.stage("embed"):
        points, labels = embed_sample(space, rows.clustering, options)
        del space
    _warn(clock, [*told, *advice_after(model.result_, rows)])
    return Findings(
        table=table,
        options=options,
        model=model,
        fit=model.result_,
        usage=usage,
        rows=rows,
        control=control,
        points=points,
        point_labels=labels,
        warnings=tuple(clock.record.warnings),
        parameters=_resolved(options, model, table, n_threads),
        seconds=clock.seconds,
    )


def _warn(clock: Clock, texts: list[str]) -> None:
    for text in texts:
        logger.warning(text)
        clock.record.warn(text)


def _resolved(options: ClusterOptions, model: Any, table: Table, n_threads: int) -> dict[str, Any]:
    """Return every option with the value that was used."""
    used = dataclasses.asdict(options)
    used["id_columns"] = list(table.ids.columns)
    used["features"] = list(options.features) or "all but the id columns"
    used["max_iter"], used["tol"] = model.max_iter, model.tol
    used["batch_size"] = options.batch_rows if options.solver == "minibatch" else None
    used["threads"] = n_threads
    return used


def _write(found: Findings, folder: RunFolder, clock: Clock, command: str) -> dict[str, Path]:
    """Write all outputs, and move them into place together; run.json comes last."""
    record = clock.record
    with clock.stage("write"):
        written, notes = write_tables(found, folder, record.n_threads or 1)
    written["report"] = ("report.html", "this report")
    written["run"] = ("run.json", "versions, options, seed, hashes, times, warnings")
    _warn(clock, notes)
    for kind, (name, _) in written.items():
        if kind not in ("report", "run"):
            record.add_output(folder.path(name))
    with clock.stage("report"):
        found = dataclasses.replace(found, seconds=clock.seconds, warnings=tuple(record.warnings))
        names = dict(written.values())
        write_report(folder.path("report.html"), build_report(found, names, command))
    record.add_output(folder.path("report.html"))
    with clock.progress.stage("finish"):  # the record cannot time its own end
        record.parameters = found.parameters
        record.results = _results(found)
        data = record.to_dict()
        for entry in data["outputs"]:
            entry["path"] = Path(entry["path"]).name  # they lie beside run.json
        write_json(folder.path("run.json"), data)
        folder.publish()
    return {kind: folder.folder / name for kind, (name, _) in written.items()}


def _results(found: Findings) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    fit, clustering = found.fit, found.rows.clustering
    n, p = found.table.shape
    return {
        "n_cells": n,
        "n_features": p,
        "n_components": int(fit.programs.shape[0]),
        "relative_error": fit.relative_error,
        "converged": fit.converged,
        "status": fit.status.advice,
        "n_iter": fit.n_iter,
        **fit.details,
        "n_clusters": clustering.n_clusters,
        "cluster_sizes": clustering.sizes,
        "modularity": clustering.quality,
        "n_isolated": found.rows.n_isolated,
        "n_distinct_rows": found.rows.n_distinct,
        "neighbor_method": found.rows.method,
        "neighbor_recall": found.rows.recall,
        "control": found.control.summary,
    }
