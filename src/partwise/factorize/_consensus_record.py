"""What a consensus of replicate programs found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Consensus", "ConsensusRanks"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Consensus:
    """The consensus of the programs of many fits.

    Attributes
    ----------
    programs
        Median of each cluster of replicate programs, scaled to sum 1, k x p.
    replicates
        Programs of all fits, scaled to length 1, m x p with m = fits x k; fit by fit.
    cluster
        The program that each replicate program counts towards, m; -1 where it was left out.
    kept
        Whether each replicate program passed the filter of local density, m.
    local_density
        Sum of the distances to its nearest neighbours divided by their number, m; small where many
        fits found the program. Infinite for programs that are zero.
    n_neighbors
        Number of those neighbours.
    density_threshold
        Programs with a local density of at least this were left out.
    stability
        Mean silhouette of all replicate programs, clustered without the filter: the number by which
        ranks are compared; 1 is best.
    stability_kept
        Mean silhouette of those that were kept, in the clusters of the consensus.
    usage
        Exact usage of the programs by the rows of the fit, n x k; None where only programs
        were given.
    error
        ||X - usage @ programs||^2, or the deviance under the Kullback-Leibler loss; NaN where only
        programs were given.
    relative_error
        ||X - usage @ programs|| / ||X||, or the deviance relative to that of the rank-one model;
        NaN where only programs were given.
    details
        Numbers about the fits: how many there were, their iterations, how many did not converge.
    """

    programs: Array
    replicates: Array
    cluster: npt.NDArray[np.int32]
    kept: npt.NDArray[np.bool_]
    local_density: Floats
    n_neighbors: int
    density_threshold: float
    stability: float
    stability_kept: float
    usage: Array | None = None
    error: float = float("nan")
    relative_error: float = float("nan")
    details: dict[str, float] = field(default_factory=dict)

    @property
    def n_components(self) -> int:
        """Number of programs k."""
        return int(self.programs.shape[0])

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Replicate programs behind each program, k."""
        return np.bincount(self.cluster[self.kept], minlength=self.n_components).astype(np.int64)


@dataclass(frozen=True)
class ConsensusRanks:
    """Stability and error of the consensus over a range of ranks.

    Attributes
    ----------
    ranks
        The ranks k, ascending.
    stability
        Mean silhouette of the replicate programs in k clusters, without a filter.
    error
        ||X - usage @ programs||^2 at the exact usage of the consensus without a filter, or the
        deviance.
    relative_error
        The root of error / ||X||^2, or the deviance relative to that of the rank-one model.
    recommended
        The rank that the rule chooses.
    rule
        The rule, in words.
    replicates
        Rank -> programs of all fits of it (m x p), for `ConsensusNMF.fit(X, replicates=...)`.
    unconverged
        Fits of each rank that stopped at max_iter.
    """

    ranks: npt.NDArray[np.int64]
    stability: Floats
    error: Floats
    relative_error: Floats
    recommended: int
    rule: str
    replicates: dict[int, Array]
    unconverged: npt.NDArray[np.int64]
