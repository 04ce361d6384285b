"""Units of work of a tuning run: what each computes, and keeping it.

All of them depend on the rows, the grid and the seed alone, so they may run in any order, in any
thread, or not at all where a store already has what they would compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.factorize import NMF
from partwise.graph import clustering_space
from partwise.graph.row_graphs import RowGraph, RowGraphs, link_sums
from partwise.metrics.partitions import conductance, modularity, silhouettes
from partwise.workflows.tuning.stability import (
    NullCurve,
    Replicate,
    draw_rows,
    null_curve,
    replicate_labels,
)
from partwise.workflows.tuning.types import Store, TuneGrid

__all__ = ["Units"]

Arrays = dict[str, npt.NDArray[Any]]


@dataclass
class Units:
    """The units of one run.

    Attributes
    ----------
    X
        Cells, n x p.
    grid
        The settings.
    seed
        Seed of the run.
    n_threads
        Threads where a unit runs alone.
    store
        Where units are kept; None for nowhere.
    """

    X: Any
    grid: TuneGrid
    seed: int
    n_threads: int
    store: Store | None = None

    def __post_init__(self) -> None:
        """Make the lock behind which the store is used."""
        self._lock = threading.Lock()
        self._factors: dict[int, Arrays] = {}

    def kept(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return what the store has under a key, or compute it and keep it."""
        if self.store is None:
            return compute()
        with self._lock:
            found = self.store.get(key)
        if found is None:
            found = compute()
            with self._lock:
                self.store.put(key, found)
        return found

    def replicate(self, number: int) -> Replicate:
        """Return the cells and seeds of a replicate."""
        return draw_rows(self.X.shape[0], number, self.seed)

    def factors(self, n: int) -> Arrays:
        """Factorize all rows: `space`, `relative_error`, `reconstruction_error`, `converged`."""
        if n not in self._factors:
            self._factors[n] = self.kept(f"factors-{n}", lambda: self._factorize(n))
        return self._factors[n]

    def _factorize(self, n: int) -> Arrays:
        model = NMF(n, random_state=self.seed, n_threads=self.n_threads)
        usage = model.fit_transform(self.X)
        fit = model.result_
        values = self.X.data if hasattr(self.X, "tocsr") else self.X
        norm = float(np.sqrt(np.sum(np.square(values, dtype=np.float64))))
        return {
            "space": clustering_space(usage, model.components_),
            "relative_error": np.array(fit.relative_error),
            "reconstruction_error": np.array(fit.relative_error * norm),
            "converged": np.array(fit.converged),
        }

    def points(self, n: int, *, done: Callable[[], None] = lambda: None) -> list[Arrays]:
        """Cluster all rows with one n and every k and r; one record per k, `done` after each.

        `labels` is r x rows; `modularity`, `conductance`, `silhouette` have one value per r;
        `n_edges` is that of the graph.
        """
        graphs: list[RowGraphs] = []

        def one(k: int) -> Arrays:
            if not graphs:  # one search, and only if a unit needs it
                graphs.append(self.graphs(n))
            record = self._points(graphs[0].graph(k))
            record["silhouette"] = silhouettes(
                self.factors(n)["space"], list(record["labels"]), random_state=self.seed
            )
            return record

        found = []
        for k in self.grid.n_neighbors:
            found.append(self.kept(f"points-{n}-{k}", partial(one, k)))
            done()
        return found

    def graphs(self, n: int) -> RowGraphs:
        """Search the neighbours of all rows, for every k."""
        space = self.factors(n)["space"]
        return RowGraphs(
            space, self.grid.n_neighbors, random_state=self.seed, n_threads=self.n_threads
        )

    def _points(self, graph: RowGraph) -> Arrays:
        labels, within, leaving = [], [], []
        for r in self.grid.resolutions:
            found, nodes = graph.cluster(r, random_state=self.seed, n_threads=self.n_threads)
            sums = link_sums(graph.graph, nodes)
            labels.append(found.labels)
            within.append(modularity(*sums))
            leaving.append(float(conductance(*sums).mean()) if sums[0].size else np.nan)
        return {
            "labels": compact(np.array(labels)),
            "modularity": np.array(within),
            "conductance": np.array(leaving),
            "n_edges": np.array(graph.graph.n_edges),
        }

    def replicate_labels(self, n: int, number: int) -> npt.NDArray[Any]:
        """Cluster the rows of a replicate with one n; points x rows."""

        def compute() -> Arrays:
            found = replicate_labels(
                self.X,
                self.replicate(number),
                n,
                self.grid.n_neighbors,
                self.grid.resolutions,
            )
            return {"labels": compact(found.reshape(-1, found.shape[2]))}

        return self.kept(f"replicate-{n}-{number}", compute)["labels"]

    def null(self, n: int) -> NullCurve:
        """Stability of data without clusters."""

        def compute() -> Arrays:
            curve = null_curve(
                self.factors(n)["space"],
                self.grid.n_neighbors,
                self.grid.resolutions,
                seed=self.seed,
            )
            return {"n_clusters": curve.n_clusters, "ari": curve.ari}

        found = self.kept(f"null-{n}", compute)
        return NullCurve(found["n_clusters"], found["ari"])


def compact(labels: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Return labels in two bytes each where they fit."""
    return labels.astype(np.int16) if labels.max(initial=0) < 2**15 else labels
