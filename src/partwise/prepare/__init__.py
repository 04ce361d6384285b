"""Counts to what a factorization takes: normalise, choose genes, scale; sparse stays sparse."""

from partwise.matrix.moments import Moments, column_moments
from partwise.prepare.genes import Overdispersed, overdispersed_genes
from partwise.prepare.normalize import (
    Logged,
    Normalized,
    Scaled,
    log1p,
    normalize_total,
    scale_to_unit_variance,
)

__all__ = [
    "Logged",
    "Moments",
    "Normalized",
    "Overdispersed",
    "Scaled",
    "column_moments",
    "log1p",
    "normalize_total",
    "overdispersed_genes",
    "scale_to_unit_variance",
]
