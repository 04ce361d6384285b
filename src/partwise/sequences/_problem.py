"""One problem: data, what is missing, penalties; and the state that the updates move.

The loss is 1/2 ||X - Xhat||^2 over the observed entries. Motifs are N x L x K with the longest lag
first, activations F x K, zero in the gaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._grams import correlate_activations, model_times_activations
from partwise.sequences._missing import Missing
from partwise.sequences._raster import Raster

__all__ = ["Penalty", "Problem", "State", "apart"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Penalty:
    """What is added to the loss.

    Attributes
    ----------
    cross
        lambda: the cross-orthogonality term.
    l1_motifs, l1_activations
        Sums of motifs and of activations.
    ortho_activations, ortho_motifs
        Overlap of the activations in time; of the motifs summed over their lags.
    cross_motifs
        Whether the cross-orthogonality term takes part in the update of the motifs.
    """

    cross: float = 0.0
    l1_motifs: float = 0.0
    l1_activations: float = 0.0
    ortho_activations: float = 0.0
    ortho_motifs: float = 0.0
    cross_motifs: bool = True


@dataclass
class State:
    """Motifs and activations, which the updates change in place."""

    motifs: Array
    activations: Array


@dataclass(frozen=True)
class Problem:
    """Data and what is missing of them.

    Attributes
    ----------
    raster
        The data.
    missing
        Gaps and hidden entries.
    n_threads
        Threads at most.
    """

    raster: Raster
    missing: Missing
    n_threads: int

    @property
    def n_observed(self) -> int:
        """Entries that are data."""
        return self.raster.n_units * self.raster.timeline.n_used - self.missing.n_hidden

    def correlations(self, state: State) -> Array:
        """Return C of the activations, L x K x K."""
        n_lags = self.raster.timeline.n_lags
        return correlate_activations(state.activations, n_lags, self.n_threads)

    def model_cross_motifs(self, state: State, correlations: Array) -> Array:
        """Return Xhat H^T over the observed entries, N x L x K float64."""
        seen = model_times_activations(state.motifs, correlations, self.n_threads)
        if not self.missing.empty:
            self.missing.model(state.motifs, state.activations).leave_motifs(seen)
        return seen

    def square(self, state: State, correlations: Array) -> float:
        """Return ||Xhat||^2 over the observed entries."""
        seen = model_times_activations(state.motifs, correlations, self.n_threads)
        square = float(np.vdot(state.motifs.astype(np.float64), seen))
        if not self.missing.empty:
            square -= self.missing.model(state.motifs, state.activations).square
        return square

    def error(self, state: State, products: Array, correlations: Array) -> float:
        """Return the sum of squared errors, given X H^T."""
        fit = float(np.vdot(state.motifs.astype(np.float64), products.astype(np.float64)))
        return max(self.raster.total - 2.0 * fit + self.square(state, correlations), 0.0)

    def rmse(self, error: float) -> float:
        """Return the root mean squared error over the observed entries."""
        return math.sqrt(error / max(self.n_observed, 1))

    def power(self, error: float) -> float:
        """Return the share of the sum of squares that the model explains."""
        return 1.0 - error / self.raster.total if self.raster.total else 0.0

    def loadings(self, state: State, products: Array, correlations: Array | None = None) -> Array:
        """Return the share of the sum of squares that each factor explains by itself, K."""
        if correlations is None:
            correlations = self.correlations(state)
        found = np.zeros(state.motifs.shape[2])
        for k in range(len(found)):
            one = State(state.motifs[:, :, k : k + 1], state.activations[:, k : k + 1])
            fit = float(np.vdot(one.motifs.astype(np.float64), products[:, :, k : k + 1]))
            square = self.square(one, correlations[:, k : k + 1, k : k + 1])
            if self.raster.total:
                found[k] = max(0.0, (2.0 * fit - square) / self.raster.total)
        return found


def apart(rows: Array) -> Array:
    """Return, for each column, the sum of the others."""
    others: Array = rows.sum(axis=-1, keepdims=True) - rows
    return np.maximum(others, 0.0, out=others)
