"""Factors as users hand them over: shapes and values checked, fits taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError

__all__: list[str] = []

FloatArray = npt.NDArray[np.float64]


def check_motifs(name: str, motifs: Any) -> FloatArray:
    """Return motifs as float64, N x K x L."""
    found = np.asarray(motifs, dtype=np.float64)
    if found.ndim != 3 or 0 in found.shape:
        raise UsageError(f"{name} must be units x factors x lags, not of shape {found.shape}")
    if not np.isfinite(found).all() or found.min() < 0:
        raise DataError(f"{name} must be finite and not negative")
    return found


def check_factors(
    name: str, motifs: Any, activations: Any
) -> tuple[FloatArray, npt.NDArray[np.floating[Any]]]:
    """Return motifs as float64, and activations as they are."""
    found, rows = check_motifs(f"motifs_{name}", motifs), np.asarray(activations)
    if rows.ndim != 2 or rows.shape[0] != found.shape[1] or not rows.shape[1]:
        raise UsageError(
            f"activations_{name} must be factors x frames with {found.shape[1]} factors as in the "
            f"motifs, not of shape {rows.shape}"
        )
    if not np.isfinite(rows).all() or rows.min() < 0:
        raise DataError(f"activations_{name} must be finite and not negative")
    return found, rows


def fit_parts(fit: Any) -> tuple[Any, Any]:
    """Return motifs and activations of a fitted model or of a pair."""
    if hasattr(fit, "motifs_"):
        return fit.motifs_, fit.activations_
    try:
        motifs, activations = fit
    except (TypeError, ValueError):
        raise UsageError(
            "a fit must be a fitted SeqNMF or a pair (motifs, activations), not "
            f"{type(fit).__name__}"
        ) from None
    return motifs, activations
