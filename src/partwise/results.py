"""What stages hand to each other: frozen records, plain arrays inside.

Convention: a data matrix X is observations x features (n x p); `usage` is n x k, `programs` is
k x p, and X is approximated by usage @ programs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Clustering", "Factorization", "Neighbors", "Status"]

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


class Status(enum.Enum):
    """Why an iteration stopped; the value is advice to the user."""

    CONVERGED = (
        "converged: the loss changes by less than tol per iteration and the projected gradient "
        "is small"
    )
    MAX_ITER = (
        "stopped at max_iter before convergence: raise max_iter, or raise tol if this precision "
        "is enough"
    )
    EARLY_STOP = (
        "stopped early because the smoothed loss no longer improved; mini-batch steps do not "
        "reach the exact optimum: see relative_gap, or use solver='hals'"
    )
    EXACT = "the residual is zero to working precision: more components cannot improve the fit"

    @property
    def advice(self) -> str:
        """Return the text shown to the user."""
        return self.value


@dataclass(frozen=True)
class Factorization:
    """A fitted factorization.

    Attributes
    ----------
    usage
        Usage of each program by each observation, n x k; None if it was not kept.
    programs
        Programs, k x p.
    status
        Why the iteration stopped.
    loss
        Value of the objective after each iteration, float64.
    relative_error
        ||X - usage @ programs|| / ||X||; 0 is exact, 1 is what all zeros reach.
    explained
        Share of ||X||^2 that each program explains, in the order of the programs, k.
    n_iter, seed, solver, wall_time, version
        The record of the run; wall_time in seconds.
    details
        What one solver alone has to say, e.g. `relative_gap` of the mini-batch solver.
    """

    usage: FloatArray | None
    programs: FloatArray
    status: Status
    loss: npt.NDArray[np.float64]
    relative_error: float
    explained: npt.NDArray[np.float64]
    n_iter: int
    seed: int | None
    solver: str
    wall_time: float
    version: str
    details: dict[str, float] = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether the stopping criterion was met."""
        return self.status in (Status.CONVERGED, Status.EXACT)


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbours of each row, self excluded.

    Attributes
    ----------
    indices, distances
        n x k; row i lists its neighbours from near to far. The distances have no columns where they
        were not asked for.
    metric
        "euclidean" or "cosine".
    method
        How they were found, e.g. "kd-tree", "brute", "nn-descent".
    recall
        Share of the true neighbours that were found, measured on a sample; 1.0 if exact.
    multiplicity
        How many original rows each row stands for, n; None if one each.
    """

    indices: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    metric: str
    method: str
    recall: float
    multiplicity: npt.NDArray[np.int64] | None = None

    @property
    def n_neighbors(self) -> int:
        """Neighbours per row."""
        return int(self.indices.shape[1])


@dataclass(frozen=True)
class Clustering:
    """A partition of observations.

    Attributes
    ----------
    labels
        Cluster of each observation, 0 is the largest; -1 marks isolated observations.
    sizes
        Observations per cluster, in the order of the labels.
    quality
        Value of the objective (modularity, or CPM divided by twice the total edge weight).
    objective, resolution, seed, n_iterations
        How it was made.
    """

    labels: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    quality: float
    objective: str
    resolution: float
    seed: int
    n_iterations: int

    @property
    def n_clusters(self) -> int:
        """Number of clusters, isolated observations not counted."""
        return int(self.sizes.shape[0])
