"""What tuning hands on: the grid it looks at, what it measured, what it recommends.

Letters: n programs, k neighbours, r resolution; a point of the grid is one (n, k, r).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from partwise.exceptions import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from partwise.factorize.rank import RankSelection

__all__ = [
    "COMPONENT_COLUMNS",
    "GRID_COLUMNS",
    "PER_CLUSTER_COLUMNS",
    "Recommendation",
    "Store",
    "TuneGrid",
    "TuneResult",
]

#: Columns of `TuneResult.components`.
COMPONENT_COLUMNS = (
    "n_components",
    "reconstruction_error",
    "relative_error",
    "held_out_error",
    "held_out_low",
    "held_out_high",
    "stability",
    "cophenetic_correlation",
    "singular_value",
    "permuted_max",
    "above_noise",
)
#: Columns of `TuneResult.grid`; `batch_entropy` only where there are batches.
GRID_COLUMNS = (
    "n_components",
    "n_neighbors",
    "resolution",
    "n_clusters",
    "min_cluster_size",
    "max_cluster_size",
    "median_cluster_size",
    "share_small",
    "modularity",
    "conductance",
    "silhouette",
    "fov_entropy",
    "batch_entropy",
    "mean_ari",
    "std_ari",
    "null_ari",
    "score",
    "range_low",
    "range_high",
)
#: Columns of `TuneResult.per_cluster`.
PER_CLUSTER_COLUMNS = ("cluster", "size", "confidence", "nearest_cluster", "nearest_share")


class Store(Protocol):
    """Where finished units of work are kept, so that a run that died can go on."""

    def get(self, key: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return what was put under a key, None if nothing was."""
        ...

    def put(self, key: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Keep named arrays under a key."""
        ...


@dataclass(frozen=True)
class TuneGrid:
    """The settings to compare: every n with every k and every r.

    Attributes
    ----------
    n_components
        Numbers of programs, n.
    n_neighbors
        Neighbours of each cell, k.
    resolutions
        Leiden resolutions, r, as `partwise cluster -r` takes them.

    Examples
    --------
    >>> TuneGrid().n_points
    100
    >>> TuneGrid(n_components=(8, 5, 5)).n_components
    (5, 8)
    """

    n_components: tuple[int, ...] = (5, 8, 10, 12, 15)
    n_neighbors: tuple[int, ...] = (10, 15, 20, 30)
    resolutions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.8, 1.0)

    def __post_init__(self) -> None:
        """Sort, drop what occurs twice, and refuse what cannot be used."""
        for name in ("n_components", "n_neighbors"):
            values = tuple(getattr(self, name))
            wrong = [v for v in values if isinstance(v, bool) or v != int(v) or v < 1]
            if not values or wrong:
                raise UsageError(f"{name} must be whole numbers from 1 up, not {values}")
            object.__setattr__(self, name, tuple(sorted({int(v) for v in values})))
        values = tuple(float(v) for v in self.resolutions)
        if not values or not all(math.isfinite(v) and v > 0 for v in values):
            raise UsageError(f"resolutions must be numbers above 0, not {values}")
        object.__setattr__(self, "resolutions", tuple(sorted(set(values))))

    @property
    def n_points(self) -> int:
        """Number of settings."""
        return len(self.n_components) * len(self.n_neighbors) * len(self.resolutions)


@dataclass(frozen=True)
class Recommendation:
    """The setting that the measurements speak for, and how far they do.

    Attributes
    ----------
    n_components, n_neighbors, resolution
        The setting; `partwise cluster` with it, on the same rows and with the same seed, gives
        `TuneResult.labels`.
    n_clusters
        Clusters there.
    rule
        How it follows from the measurements, in words.
    confidence
        How often the rule comes to the same number of clusters when it sees replicates drawn with
        replacement, from 0 to 1. 0 where no number of clusters is supported.
    alternatives
        Other settings that the measurements do not exclude, best first: n_components, n_neighbors,
        resolution, n_clusters, score, agreement (adjusted Rand index with the recommended
        clusters), chosen (how often the rule picks that number of clusters).
    would_change
        What would make the rule pick something else, in words.
    advice
        What to know before it is believed.
    """

    n_components: int
    n_neighbors: int
    resolution: float
    n_clusters: int
    rule: str
    confidence: float
    alternatives: pd.DataFrame
    would_change: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class TuneResult:
    """What was measured at every point of the grid, and what follows.

    Attributes
    ----------
    components
        One row per n. `reconstruction_error` is ||X - W H||, `relative_error` the same over ||X||,
        `held_out_error` with `held_out_low` and `held_out_high` that of entries the fit did not see
        (the interval is that of the difference from the best n), `stability` the mean cosine
        between matched programs of different starts, `singular_value` the n-th one of the data
        beside `permuted_max`, the largest of the permuted data; `above_noise` says which is larger.
        What was not measured is NaN.
    grid
        One row per point. The cluster sizes; `share_small`, of cells in clusters below the least
        size; `modularity` (at resolution 1), mean `conductance`, `silhouette` on a sample;
        `fov_entropy` and `batch_entropy`, from 0 (a field of view each) to 1 (mixed as all cells
        are); `mean_ari` and `std_ari` over all pairs of replicates, `null_ari` what data
        without clusters reach at as many clusters, `score` the first beyond the last; from
        `range_low` to `range_high` of the resolutions, at this n and k, the partition is the same.
    per_cluster
        At the recommended point: `cluster`, `size`, `confidence` (how often two of its cells are
        together in a replicate), `nearest_cluster`, with which its cells are found together most
        often otherwise, and `nearest_share`, how often.
    confidence
        Of each row at the recommended point: how often it is with the rest of its cluster; of rows
        in no replicate, the mean of their neighbours. NaN for rows of zeros.
    labels
        Of each row at the recommended point; -1 for rows of zeros.
    recommendation
        What to run.
    rank
        The measurements behind the choice of n.
    """

    components: pd.DataFrame
    grid: pd.DataFrame
    per_cluster: pd.DataFrame
    confidence: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int32]
    recommendation: Recommendation
    rank: RankSelection
