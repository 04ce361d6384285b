"""Multiplicative updates, regularised, in the lag-Gram form.

    H <- H * Z / (What + lambda (1 - I) Z S + l1_H + ortho_H (1 - I) H S)
    W_l <- W_l * (X H_l^T) / (Xhat H_l^T + lambda X S H_l^T (1 - I) + l1_W + ortho_W Wflat (1 - I))

S sums over the 2 L - 1 frames around; (1 - I) sums over the other factors. (X S) H_l^T equals
X (H S)_l^T, so the data are never smoothed. Source: Mackevicius et al., eLife 8, e38471 (2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._problem import Penalty, Problem, State, apart

__all__ = ["update_activations", "update_motifs"]

Array = npt.NDArray[Any]

#: Added to denominators; the data are scaled so that their largest value is about one.
EPS = float(np.finfo(np.float64).eps)


def update_activations(problem: Problem, state: State, penalty: Penalty) -> None:
    """Multiply the activations once."""
    timeline = problem.raster.timeline
    seen = problem.raster.cross_activations(state.motifs).astype(np.float64)
    bottom = problem.model_cross_activations(state)
    if penalty.cross:
        bottom += penalty.cross * apart(timeline.smooth(seen))
    if penalty.ortho_activations:
        bottom += penalty.ortho_activations * apart(timeline.smooth(state.activations))
    bottom += penalty.l1_activations + EPS
    seen /= bottom
    state.activations *= seen.astype(state.activations.dtype, copy=False)


def update_motifs(
    problem: Problem, state: State, penalty: Penalty, products: Array, correlations: Array
) -> None:
    """Multiply the motifs once, given X H^T and the correlations of the activations."""
    bottom, _ = problem.model_cross_motifs(state, correlations)
    if penalty.cross and penalty.cross_motifs and state.motifs.shape[2] > 1:
        smooth = apart(problem.raster.timeline.smooth(state.activations))
        others = problem.raster.cross_motifs(smooth.astype(state.activations.dtype))
        bottom += penalty.cross * others
    if penalty.ortho_motifs:
        flat = state.motifs.sum(axis=1, dtype=np.float64)
        bottom += penalty.ortho_motifs * apart(flat)[:, None, :]
    bottom += penalty.l1_motifs + EPS
    np.divide(products, bottom, out=bottom)
    state.motifs *= bottom.astype(state.motifs.dtype, copy=False)
