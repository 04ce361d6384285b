"""What the simulators plant: cell types, niches and their neighbourhood profiles.

Numbers only, so that a test can compare a result with them and a reader can check them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANCHORED_NICHES",
    "ANCHORED_TYPES",
    "ORIGINAL_TYPES",
    "ORIGINAL_TYPE_SHARES",
    "anchored_programs",
    "original_profiles",
]

FloatArray = npt.NDArray[np.float64]

ORIGINAL_TYPES: tuple[str, ...] = (
    "Cancer cell",
    "Myeloid cell",
    "Lymphocyte",
    "Endothelial cell",
    "Fibroblast",
    "Other",
)

#: how often each type is drawn in the modes "original" and "discrete"
ORIGINAL_TYPE_SHARES: tuple[float, ...] = (0.30, 0.20, 0.20, 0.10, 0.15, 0.05)

_ORIGINAL_PROFILES = (
    (0.50, 0.10, 0.10, 0.10, 0.15, 0.05),
    (0.25, 0.30, 0.25, 0.05, 0.10, 0.05),
    (0.15, 0.20, 0.40, 0.05, 0.15, 0.05),
    (0.10, 0.10, 0.10, 0.30, 0.35, 0.05),
    (0.15, 0.10, 0.15, 0.25, 0.30, 0.05),
    (0.20, 0.15, 0.15, 0.15, 0.20, 0.15),
)

#: niche -> its two anchor types (found in no other niche) and its shares of the three common types
_NICHES: dict[str, tuple[tuple[str, str], tuple[float, float, float]]] = {
    "Tumour core": (("Cancer cell", "Cycling cancer cell"), (0.12, 0.04, 0.04)),
    "Cytotoxic front": (("CD8 T cell", "NK cell"), (0.14, 0.12, 0.02)),
    "Lymphoid aggregate": (("B cell", "Follicular dendritic cell"), (0.04, 0.18, 0.02)),
    "Vessel": (("Endothelial cell", "Pericyte"), (0.10, 0.05, 0.09)),
    "Fibrous stroma": (("Fibroblast", "Myofibroblast"), (0.08, 0.02, 0.16)),
    "Normal duct": (("Luminal cell", "Myoepithelial cell"), (0.05, 0.03, 0.16)),
}

_COMMON_TYPES = ("Macrophage", "CD4 T cell", "Other")

ANCHORED_NICHES: tuple[str, ...] = tuple(_NICHES)

ANCHORED_TYPES: tuple[str, ...] = (
    *(name for anchors, _ in _NICHES.values() for name in anchors),
    *_COMMON_TYPES,
)


def original_profiles() -> FloatArray:
    """Return the expected neighbourhood before noise of each of the six types, 6 x 6."""
    return np.array(_ORIGINAL_PROFILES)


def anchored_programs() -> FloatArray:
    """Return the six niche programs over the fifteen types, 6 x 15, each row summing to 1.

    The two anchors of a niche have equal shares: a trade of one for the other within the niche is
    then orthogonal to every program, so that a factorization of rank 6 does not see it.
    """
    programs = np.zeros((len(_NICHES), len(ANCHORED_TYPES)))
    for row, (_, common) in enumerate(_NICHES.values()):
        programs[row, -len(common) :] = common
        programs[row, 2 * row : 2 * row + 2] = (1.0 - sum(common)) / 2.0
    return programs
