"""Simulated tissue: cells with coordinates and types, in niches that are known.

Every draw comes from one generator made from the seed, in whole-table order, so that a seed gives
one table everywhere. Lengths are in pixels: one cell per 20 x 20 of them, so that about twenty
cells lie within 50 pixels of a cell.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.datasets.neighborhoods import write_frames
from partwise.exceptions import UsageError

__all__ = ["SimulatedTissue", "simulate_tissue", "write_tissue"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_SPACING = 20.0  # pixels between the sites of cells
_JITTER = 0.4  # of the spacing, to either side: cells do not lie on each other
_CELLS_PER_REGION = 300
_ANCHOR_SHARE = 0.75  # of a niche's cells that are of the types which belong to it
_PATIENT_CONCENTRATION = 30.0  # of the niches' shares of a patient around those of its group


@dataclass(frozen=True)
class SimulatedTissue:
    """Simulated cells in tissue, and what was planted.

    Attributes
    ----------
    cells
        `fov`, `label`, `cell_meta_cluster` (the type), `centroid-0`, `centroid-1` (pixels),
        `patient`, `group`; one row per cell.
    truth
        `fov`, `label` and `niche`, row by row.
    programs
        Shares of the types in each niche, niches x types, rows summing to 1: what the types of
        its cells were drawn from.
    seed
        How it was made.
    """

    cells: pd.DataFrame
    truth: pd.DataFrame
    programs: pd.DataFrame
    seed: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cells)

    @property
    def coordinates(self) -> FloatArray:
        """`centroid-0`, `centroid-1`: n x 2, pixels."""
        found: FloatArray = self.cells[["centroid-0", "centroid-1"]].to_numpy(dtype=np.float64)
        return found


def simulate_tissue(
    n_cells: int = 10_000,
    *,
    n_fovs: int = 10,
    n_niches: int = 6,
    n_types: int = 12,
    n_patients: int | None = None,
    groups: int | None = None,
    effect: float = 0.0,
    noise: float = 0.2,
    seed: int = 42,
) -> SimulatedTissue:
    """Simulate cells in fields of view that are cut into niches.

    A field of view is a square with one cell per 400 square pixels, cut into Voronoi regions of
    about 300 cells. The niche of a region is drawn from its patient's shares of the niches,
    Dirichlet(30 m) around the shares m of the patient's group; the type of a cell from its niche:
    p = (1 - noise) own + noise mean, where three quarters of `own` are types that belong to the
    niche (type t to niche t modulo `n_niches`) and the mean is over niches.

    Parameters
    ----------
    n_cells
        Number of cells. What `n_fovs` does not divide goes to the first fields of view.
    n_fovs
        Number of fields of view, named `FOV_1`, ...; labels start at 1 in each.
    n_niches, n_types
        Number of niches (`Niche 1`, ...) and of cell types (`Type 1`, ...), two of each at least.
        Where there are as many regions as niches, no niche is missing.
    n_patients
        Patients (`Patient 1`, ...), to whom fields of view are dealt in turn; one for each
        field of view if None.
    groups
        Groups (`Group 1`, ...) to which patients are dealt in turn; one if None.
    effect
        Added to the expected share of `Niche 1`, 1 / `n_niches`, in the last group; groups between
        it and the first get their part of it. The other niches share the rest evenly.
    noise
        Between 0 (niches as different as can be) and 1 (all niches alike).
    seed
        Seed of the generator; global random state is neither read nor set.

    Returns
    -------
    SimulatedTissue
        The cells, the truth and the planted compositions.

    Raises
    ------
    UsageError
        If a number is out of range.

    Examples
    --------
    >>> from partwise.datasets import simulate_tissue
    >>> tissue = simulate_tissue(1000, n_fovs=4, n_niches=3, seed=0)
    >>> list(tissue.cells.columns)[:5]
    ['fov', 'label', 'cell_meta_cluster', 'centroid-0', 'centroid-1']
    >>> tissue.programs.shape
    (3, 12)
    """
    n_patients = n_fovs if n_patients is None else n_patients
    n_groups = 1 if groups is None else groups
    _check(n_cells, n_fovs, n_niches, n_types)
    _check_design(n_fovs, n_patients, n_groups, n_niches, effect, noise)
    rng = np.random.default_rng(seed)
    programs = _compositions(rng, n_niches, n_types, noise)
    per_fov = np.full(n_fovs, n_cells // n_fovs)
    per_fov[: n_cells % n_fovs] += 1
    patient = np.arange(n_fovs) % n_patients
    group = patient % n_groups
    shares = _patient_shares(rng, n_patients, n_groups, n_niches, effect)
    xy, region, region_niche = _regions(rng, per_fov, shares[patient])
    niche = _complete(rng, region_niche, n_niches)[region]
    own_type = _draw(rng, np.cumsum(programs, axis=1)[niche])
    fov = np.repeat(np.arange(n_fovs), per_fov)
    first = np.repeat(np.cumsum(per_fov) - per_fov, per_fov)
    ids = pd.DataFrame(
        {"fov": _named("FOV_", fov, n_fovs), "label": np.arange(n_cells) - first + 1}
    )
    cells = ids.assign(
        cell_meta_cluster=_named("Type ", own_type, n_types),
        **{"centroid-0": xy[:, 0], "centroid-1": xy[:, 1]},
        patient=_named("Patient ", patient[fov], n_patients),
        group=_named("Group ", group[fov], n_groups),
    )
    truth = ids.assign(niche=_named("Niche ", niche, n_niches))
    profiles = pd.DataFrame(
        programs,
        index=[f"Niche {j + 1}" for j in range(n_niches)],
        columns=[f"Type {t + 1}" for t in range(n_types)],
    )
    return SimulatedTissue(cells, truth, profiles, seed)


def write_tissue(
    simulated: SimulatedTissue, folder: str | os.PathLike[str] = "test_data"
) -> dict[str, Path]:
    """Write simulated cells, their truth and the planted compositions as CSV files.

    Each file appears whole or not at all; files of the same names are replaced.

    Parameters
    ----------
    simulated
        What `simulate_tissue` returned, with n cells.
    folder
        Where to write; it is made if it does not exist.

    Returns
    -------
    dict
        "table": `test_cells_<n>.csv`, "truth": the same with `_truth`, "programs": the same with
        `_programs` (types in rows, one column per niche).

    Examples
    --------
    >>> import tempfile
    >>> from partwise.datasets import simulate_tissue, write_tissue
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tissue(simulate_tissue(100, n_fovs=2), folder)
    >>> paths["table"].name
    'test_cells_100.csv'
    """
    stem = f"test_cells_{simulated.n_cells}"
    profiles = simulated.programs.T.rename_axis("cell_type").reset_index()
    frames = {
        "table": (stem, simulated.cells),
        "truth": (f"{stem}_truth", simulated.truth),
        "programs": (f"{stem}_programs", profiles),
    }
    return write_frames(frames, Path(folder))


def _check(n_cells: int, n_fovs: int, n_niches: int, n_types: int) -> None:
    if n_cells < 1:
        raise UsageError(f"n_cells is {n_cells}; at least one cell is needed")
    if not 1 <= n_fovs <= n_cells:
        raise UsageError(
            f"n_fovs is {n_fovs}; it must be between 1 and the number of cells, {n_cells}"
        )
    for name, value in (("n_niches", n_niches), ("n_types", n_types)):
        if value < 2:
            raise UsageError(f"{name} is {value}; at least 2 are needed")


def _check_design(
    n_fovs: int, n_patients: int, n_groups: int, n_niches: int, effect: float, noise: float
) -> None:
    if not 1 <= n_patients <= n_fovs:
        raise UsageError(
            f"n_patients is {n_patients}; it must be between 1 and the fields of view, {n_fovs}"
        )
    if not 1 <= n_groups <= n_patients:
        raise UsageError(
            f"groups is {n_groups}; it must be between 1 and the number of patients, {n_patients}"
        )
    if effect and n_groups < 2:
        raise UsageError(
            f"effect is {effect}, but there is one group; give groups=2 (--n-groups 2) or more"
        )
    low, high = -1.0 / n_niches, 1.0 - 1.0 / n_niches
    if not low <= effect <= high:
        raise UsageError(
            f"effect is {effect}; with {n_niches} niches it must be between {low:.3f} and "
            f"{high:.3f}"
        )
    if not 0.0 <= noise <= 1.0:
        raise UsageError(f"noise is {noise}; it must be between 0 and 1")


def _compositions(
    rng: np.random.Generator, n_niches: int, n_types: int, noise: float
) -> FloatArray:
    """Return the shares of the types in each niche, n_niches x n_types."""
    background = rng.dirichlet(np.full(n_types, 2.0))
    own = np.tile((1.0 - _ANCHOR_SHARE) * background, (n_niches, 1))
    for j in range(n_niches):
        anchors = np.arange(j, n_types, n_niches)
        if n_niches > n_types:  # pairs of types, so that no two niches are alike
            step = 1 + (j // n_types) % (n_types - 1)
            anchors = np.array([j % n_types, (j + step) % n_types])
        own[j, anchors] += _ANCHOR_SHARE * rng.dirichlet(np.full(anchors.shape[0], 5.0))
    mixed: FloatArray = (1.0 - noise) * own + noise * own.mean(axis=0)
    mixed /= mixed.sum(axis=1, keepdims=True)
    return mixed


def _patient_shares(
    rng: np.random.Generator, n_patients: int, n_groups: int, n_niches: int, effect: float
) -> FloatArray:
    """Draw the shares of the niches in each patient, n_patients x n_niches."""
    group = np.arange(n_patients) % n_groups
    mean = np.empty((n_patients, n_niches))
    mean[:, 0] = 1.0 / n_niches + effect * group / max(n_groups - 1, 1)
    mean[:, 1:] = ((1.0 - mean[:, 0]) / (n_niches - 1))[:, None]
    shares = rng.standard_gamma(_PATIENT_CONCENTRATION * np.maximum(mean, 0.0))
    normalised: FloatArray = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def _regions(
    rng: np.random.Generator, per_fov: IntArray, shares: FloatArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return the coordinates of the cells, the region of each, and the niche of each region."""
    from scipy.spatial import cKDTree

    xy = np.empty((int(per_fov.sum()), 2))
    region = np.empty(xy.shape[0], dtype=np.intp)
    niches: list[IntArray] = []
    start, n_regions = 0, 0
    for n, share in zip(per_fov.tolist(), shares, strict=True):
        side = int(np.ceil(np.sqrt(n)))
        site = np.sort(rng.choice(side * side, size=n, replace=False))
        place = np.column_stack([site // side, site % side]) + 0.5
        place += rng.uniform(-_JITTER, _JITTER, size=place.shape)
        seeds = rng.uniform(0.0, side, size=(max(1, round(n / _CELLS_PER_REGION)), 2))
        _, nearest = cKDTree(seeds).query(place)
        xy[start : start + n] = np.round(_SPACING * place, 2)
        region[start : start + n] = nearest + n_regions
        niches.append(_draw(rng, np.tile(np.cumsum(share), (seeds.shape[0], 1))))
        start, n_regions = start + n, n_regions + seeds.shape[0]
    return xy, region, np.concatenate(niches)


def _complete(rng: np.random.Generator, niche: IntArray, n_niches: int) -> IntArray:
    """Give each niche without a region one from the niche that has most, where that suffices."""
    if niche.shape[0] < n_niches:
        return niche
    niche = niche.copy()
    for missing in np.setdiff1d(np.arange(n_niches), niche):
        richest = np.bincount(niche, minlength=n_niches).argmax()
        niche[rng.choice(np.flatnonzero(niche == richest))] = missing
    return niche


def _draw(rng: np.random.Generator, cumulative: FloatArray) -> IntArray:
    """Draw one column per row of cumulative weights."""
    threshold = rng.random(cumulative.shape[0]) * cumulative[:, -1]
    passed = (cumulative <= threshold[:, None]).sum(axis=1)
    drawn: IntArray = np.minimum(passed, cumulative.shape[1] - 1)
    return drawn


def _named(prefix: str, codes: Any, n: int) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, [f"{prefix}{j + 1}" for j in range(n)])
