"""What the cluster job finds, and what it gives back.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.utils.memory import peak_memory_bytes
from partwise.workflows.clustering.compare import compared_numbers
from partwise.workflows.tuning.text import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from partwise.graph import RowClustering
    from partwise.io import Table
    from partwise.results import Factorization
    from partwise.workflows.clustering.compare import Compared
    from partwise.workflows.clustering.control import Control
    from partwise.workflows.clustering.metadata import Profiles
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.clustering.prepare import Preparation
    from partwise.workflows.clustering.small import SmallClusters
    from partwise.workflows.clustering.svd import Svd
    from partwise.workflows.clustering.sweep import Sweep

__all__ = ["ClusterResult", "Findings", "numbers_of"]


@dataclass(frozen=True)
class Findings:
    """What the stages of a run found, for the files and the report."""

    table: Table
    prepared: Preparation
    options: ClusterOptions
    model: Any
    fit: Factorization
    usage: npt.NDArray[np.floating[Any]]
    rows: RowClustering
    small: SmallClusters | None
    profiles: Profiles
    control: Control
    points: pd.DataFrame
    point_labels: pd.Series
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]
    compared: Compared | None = None
    svd: Svd | None = None
    sweep: Sweep | None = None

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
        Cluster of each cell (`rows.clustering.labels`; -1 is isolated, -2 in a small cluster that
        was marked) and how it was found.
    small
        What became of small clusters; None if any size was allowed.
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
    compared
        Groups of patients, if they were compared.
    svd
        Singular values of the table, if they were asked for.
    sweep
        Clusters by all settings, if there are several; everything else is about the first.
    """

    input: Path
    n_cells: int
    features: tuple[str, ...]
    model: Any
    factorization: Factorization
    rows: RowClustering
    small: SmallClusters | None
    control: Control
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: ClusterOptions
    compared: Compared | None = None
    svd: Svd | None = None
    sweep: Sweep | None = None

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
            **({} if self.small is None else {"small_clusters": self.small.summary}),
            "n_distinct_rows": self.rows.n_distinct,
            "control": self.control.summary,
            **({} if self.svd is None else {"svd": self.svd.summary}),
            **({} if self.sweep is None else {"settings": self.sweep.summary}),
            **compared_numbers(self.compared),
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
            f"{counted(clustering.n_clusters, 'cluster')} of {sizes}{more} cells"
            + (f"; {self.rows.n_isolated:,} isolated" if self.rows.n_isolated else ""),
            *([] if self.small is None else [self.small.sentence]),
            self.control.line,
            *([] if self.sweep is None else [self.sweep.line]),
            *([] if self.svd is None else [f"svd: {self.svd.sentence}"]),
            *([] if self.compared is None else [self.compared.line]),
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def numbers_of(found: Findings) -> dict[str, Any]:
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
        **({} if found.small is None else {"small_clusters": found.small.summary}),
        "n_distinct_rows": found.rows.n_distinct,
        "neighbor_method": found.rows.method,
        "neighbor_recall": found.rows.recall,
        "control": found.control.summary,
        **({} if found.svd is None else {"svd": found.svd.summary}),
        **({} if found.sweep is None else {"settings": found.sweep.summary}),
        **compared_numbers(found.compared),
        **found.prepared.summary,
    }
