"""How well partitions, factors and integrations agree with each other and with what is known."""

from __future__ import annotations

from partwise.metrics.agreement import adjusted_rand, contingency, normalized_mutual_information
from partwise.metrics.groups import (
    GroupComparison,
    PermutationTest,
    benjamini_hochberg,
    compare_fractions,
    permutation_test,
)
from partwise.metrics.partitions import (
    conductance,
    group_entropy,
    modularity,
    share_in_small,
    silhouettes,
)
from partwise.metrics.spectrum import Spectrum, permutation_spectrum
from partwise.metrics.stability import (
    co_assignment,
    cophenetic_correlation,
    dispersion,
    matched_cosine,
    mean_matched_cosine,
)
from partwise.metrics.variance import VarianceSpectrum, variance_spectrum

__all__ = [
    "GroupComparison",
    "PermutationTest",
    "Spectrum",
    "VarianceSpectrum",
    "adjusted_rand",
    "benjamini_hochberg",
    "co_assignment",
    "compare_fractions",
    "conductance",
    "contingency",
    "cophenetic_correlation",
    "dispersion",
    "group_entropy",
    "matched_cosine",
    "mean_matched_cosine",
    "modularity",
    "normalized_mutual_information",
    "permutation_spectrum",
    "permutation_test",
    "share_in_small",
    "silhouettes",
    "variance_spectrum",
]
