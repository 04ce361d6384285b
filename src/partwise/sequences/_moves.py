"""Moves that leave the model as it is: recentring motifs, sharing out scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._problem import State
from partwise.sequences._timeline import Timeline

__all__ = ["normalize", "recenter"]

Array = npt.NDArray[Any]


def normalize(state: State, free: Array) -> None:
    """Give the activations of the free factors a norm of one; the motifs take the scale."""
    square = np.einsum("tk,tk->k", state.activations, state.activations, dtype=np.float64)
    norm = np.sqrt(square)
    scale = np.where(free & (norm > 0), norm, 1.0)
    state.activations /= scale.astype(state.activations.dtype)
    state.motifs *= scale.astype(state.motifs.dtype)


def recenter(state: State, timeline: Timeline, free: Array, lift: float) -> None:
    """Move each free motif so that the centre of its mass lies in the middle of its lags.

    The activations move the other way. Then `lift` is added to the free motifs, as in the original,
    so that multiplicative updates can raise what had become zero.
    """
    n_lags = state.motifs.shape[1]
    middle = max(n_lags // 2, 1)
    mass = state.motifs.sum(axis=0, dtype=np.float64)[::-1]  # lag x factor
    total = mass.sum(axis=0)
    lags = np.arange(1, n_lags + 1)
    for k in np.flatnonzero(free & (total > 0)):
        by = middle - int((lags @ mass[:, k]) // total[k])
        if not by:
            continue
        # the longest lag comes first: later lags lie further to the front
        moved = np.zeros_like(state.motifs[:, :, k])
        source = state.motifs[:, :, k]
        if by > 0:
            moved[:, : n_lags - by] = source[:, by:]
        else:
            moved[:, -by:] = source[:, : n_lags + by]
        state.motifs[:, :, k] = moved
        state.activations[:, k] = timeline.moved(state.activations[:, k], by)
    state.motifs += np.where(free, lift, 0.0).astype(state.motifs.dtype)
