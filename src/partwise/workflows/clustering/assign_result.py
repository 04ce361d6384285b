"""What `partwise cluster --model` finds, and what it gives back.

Letters: X is cells x features, W the usage (cells x factors), H the programs (factors x features).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.utils.memory import peak_memory_bytes
from partwise.workflows.clustering.compare import compared_numbers

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.factorize.projection import Coverage
    from partwise.io import Table
    from partwise.workflows.clustering.compare import Compared
    from partwise.workflows.clustering.niches import Niches
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["AssignResult", "Assigned", "assigned_numbers"]


@dataclass(frozen=True)
class Assigned:
    """What the stages of a run found, for the files and the report.

    Attributes
    ----------
    table
        The new cells, n.
    options
        What was asked for, with what the model says of the preparation.
    model, niches
        The known programs and niches, K.
    coverage
        How much of the model the new features cover.
    columns
        Positions of its features in the table.
    usage
        W, n x k.
    labels, confidence
        Niche of each cell (-1: no neighbourhood) and its share of the vote, n.
    unseen
        Whether a cell is unlike anything that the model has seen, n.
    compared
        Groups, if they were compared.
    """

    table: Table
    options: ClusterOptions
    model: Any
    niches: Niches
    coverage: Coverage
    columns: npt.NDArray[np.intp]
    usage: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float64]
    unseen: npt.NDArray[np.bool_]
    compared: Compared | None
    warnings: tuple[str, ...]
    parameters: dict[str, Any]
    seconds: dict[str, float]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """New cells in each of the K niches."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.niches.n_clusters)

    @property
    def n_isolated(self) -> int:
        """New cells without a neighbourhood."""
        return int((self.labels < 0).sum())

    @property
    def n_unseen(self) -> int:
        """New cells that are unlike anything that the model has seen."""
        return int(self.unseen.sum())

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors in all outputs."""
        return tuple(f"NMF_factor_{i + 1}" for i in range(self.usage.shape[1]))


@dataclass(frozen=True)
class AssignResult:
    """What a run with `model` found and where its files are.

    Attributes
    ----------
    model, input
        The files that were read.
    labels
        Niche of each cell, n; -1 for those without a neighbourhood.
    confidence
        Share of the vote of the nearest known cells, n; NaN where the label is -1.
    unseen
        Whether a cell is unlike anything that the model has seen, n.
    usage
        W, n x k.
    sizes
        New cells in each niche of the model, K.
    coverage
        How much of the model the new features cover.
    compared
        Groups, if they were compared.
    outputs
        The files: "clusters", "report", "run" and further formats.
    warnings
        What the user should look at.
    seconds
        Wall time of each stage.
    options
        What was asked for.
    """

    model: Path
    input: Path
    labels: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float64]
    unseen: npt.NDArray[np.bool_]
    usage: npt.NDArray[np.floating[Any]]
    sizes: npt.NDArray[np.int64]
    coverage: Coverage
    compared: Compared | None
    outputs: dict[str, Path]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    options: ClusterOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "model": str(self.model),
            "input": str(self.input),
            "n_cells": int(self.labels.shape[0]),
            "n_components": int(self.usage.shape[1]),
            "n_clusters": int(self.sizes.shape[0]),
            "cluster_sizes": [int(size) for size in self.sizes],
            "n_isolated": int((self.labels < 0).sum()),
            "n_unseen": int(self.unseen.sum()),
            "confidence_median": _median(self.confidence),
            "coverage_features": self.coverage.features,
            "coverage_lowest": self.coverage.lowest,
            **compared_numbers(self.compared),
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        n, sizes = len(self.labels), ", ".join(f"{size:,}" for size in self.sizes[:8])
        more = ", ..." if len(self.sizes) > 8 else ""
        isolated = int((self.labels < 0).sum())
        middle = _median(self.confidence)
        sure = "no cell has a niche" if middle is None else f"confidence: median {middle:.2f}"
        return [
            f"{n:,} cells in the {len(self.sizes)} niches of {self.model.name}: {sizes}{more}"
            + (f"; {isolated:,} isolated" if isolated else ""),
            f"{self.coverage.n_shared:,} of the model's {self.coverage.n_model:,} features are "
            f"there; {sure}; "
            f"{int(self.unseen.sum()):,} cells are unlike those of the model",
            *([] if self.compared is None else [self.compared.line]),
            f"{self.seconds['total']:.1f} s, {peak_memory_bytes() / 1e9:.2f} GB at most",
            f"report: {self.outputs['report']}",
        ]


def assigned_numbers(found: Assigned) -> dict[str, Any]:
    """Return the numbers that a run is about."""
    return {
        "n_cells": found.table.shape[0],
        "n_clusters": found.niches.n_clusters,
        "cluster_sizes": found.sizes,
        "cluster_sizes_model": found.niches.sizes,
        "n_isolated": found.n_isolated,
        "n_unseen": found.n_unseen,
        "confidence_median": _median(found.confidence),
        "coverage_features": found.coverage.features,
        "coverage_programs": [round(float(share), 6) for share in found.coverage.programs],
        "missing_features": list(found.coverage.missing),
        **compared_numbers(found.compared),
    }


def _median(values: npt.NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
