"""How well partitions, factors and integrations agree with each other and with what is known."""

from __future__ import annotations

from partwise.metrics.agreement import adjusted_rand, contingency, normalized_mutual_information
from partwise.metrics.spectrum import Spectrum, permutation_spectrum
from partwise.metrics.stability import (
    co_assignment,
    cophenetic_correlation,
    dispersion,
    matched_cosine,
    mean_matched_cosine,
)

__all__ = [
    "Spectrum",
    "adjusted_rand",
    "co_assignment",
    "contingency",
    "cophenetic_correlation",
    "dispersion",
    "matched_cosine",
    "mean_matched_cosine",
    "normalized_mutual_information",
    "permutation_spectrum",
]
