"""Simulated neighbourhood tables: one row per cell, the shares of the cell types around it.

Conventions: profiles and programs are in rows, as in `partwise.results`; every draw comes from one
generator made from the seed, in whole-table order, so that a seed gives one table everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.datasets.profiles import (
    ANCHORED_NICHES,
    ANCHORED_TYPES,
    ORIGINAL_TYPE_SHARES,
    ORIGINAL_TYPES,
    anchored_programs,
    original_profiles,
)
from partwise.exceptions import UsageError
from partwise.utils.atomic import atomic_path

__all__ = ["Mode", "SimulatedTable", "simulate_neighborhoods", "write_simulated"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Mode = Literal["original", "anchored", "discrete"]

_MODES = ("original", "anchored", "discrete")
_NEIGHBORS = {"anchored": 50, "discrete": 15}

_NOISE_SHARE = 0.3  # of a row of the original mode
_NOISE_CONCENTRATION = 5.0
_BORDER_SHARE = 0.15  # cells that lie between two niches
_INTERIOR_CONCENTRATION = (12.0, 0.2)  # of the cell's own niche, of each other niche
_STATE_TRADE = 0.5  # share of one anchor that a state gives to the other


@dataclass(frozen=True)
class SimulatedTable:
    """A simulated neighbourhood table and what was planted in it.

    Attributes
    ----------
    table
        `fov`, `label`, `cell_meta_cluster`, then one column per cell type with the share of that
        type in the cell's neighbourhood; a row's shares sum to 1.
    truth
        `fov`, `label` and what was planted, row by row. Modes "original" and "discrete": `type`.
        Mode "anchored": `niche` (the dominant one), `state` (which of its two anchors is the
        richer, a nuisance) and `share <niche>` (the mixture weights).
    programs
        Planted profiles, rows summing to 1: niches x types (anchored), or the expected
        neighbourhood of each type (types x types).
    mode, seed
        How it was made.
    notes
        What differs from what was asked for.
    """

    table: pd.DataFrame
    truth: pd.DataFrame
    programs: pd.DataFrame | None
    mode: Mode
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.table)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        return tuple(self.table.columns[3:])

    @property
    def planted(self) -> pd.Series:
        """The planted group of each cell: its niche (anchored) or its type."""
        return self.truth["niche" if self.mode == "anchored" else "type"]


def simulate_neighborhoods(
    n_cells: int = 10_000,
    *,
    n_fovs: int = 10,
    mode: Mode = "original",
    n_neighbors: int | None = None,
    seed: int = 42,
) -> SimulatedTable:
    """Simulate the neighbourhoods of cells in tissue.

    - "original": a cell of type t has the row normalise(0.7 profile_t + 0.3 Dirichlet(5, ..., 5))
      over six types, as in the generator of the nmf-leiden-clustering program.
    - "discrete": such a row, of which `n_neighbors` neighbours are drawn and counted,
      count / n_neighbors. Few distinct rows exist, so they repeat by the thousand.
    - "anchored": six niches over fifteen types, p = share @ programs. Each niche has two anchor
      types that occur in no other niche, and cells deep inside it, so the factorization is
      identifiable. Within a niche cells are rich in one anchor or in the other: this nuisance
      splits clusters of the raw features and is invisible to the six programs. Neighbours,
      Poisson(`n_neighbors`) of them and at least five, are drawn from p and counted. The
      cell's own type is drawn from p, and fields of view differ in their niches.

    Parameters
    ----------
    n_cells
        Number of rows. All are kept: what `n_fovs` does not divide is spread over the first
        fields of view, one cell each.
    n_fovs
        Number of fields of view, named `TEST_FOV_1`, ...; labels start at 1 in each.
    mode
        What to plant.
    n_neighbors
        Neighbours counted per cell: 15 in mode "discrete", on average 50 in mode "anchored".
        Mode "original" counts none and refuses it.
    seed
        Seed of the generator; global random state is neither read nor set.

    Returns
    -------
    SimulatedTable
        The table, the truth and the planted profiles.

    Raises
    ------
    UsageError
        If a number is out of range, the mode is unknown, or it has no use for `n_neighbors`.

    References
    ----------
    The generator `create_test_data.py` of github.com/robinncai/nmf-leiden-clustering, whose
    profiles and shares the modes "original" and "discrete" use.

    Examples
    --------
    >>> from partwise.datasets import simulate_neighborhoods
    >>> sim = simulate_neighborhoods(1000, n_fovs=4, seed=0)
    >>> sim.table.shape
    (1000, 9)
    >>> sorted(sim.planted.unique())[:2]
    ['Cancer cell', 'Endothelial cell']
    """
    _check(n_cells, n_fovs, mode, n_neighbors)
    rng = np.random.default_rng(seed)
    fov_codes, ids = _identifiers(n_cells, n_fovs)
    make = _anchored if mode == "anchored" else _original
    frequencies, own_type, planted, programs = make(
        rng, fov_codes, n_neighbors or _NEIGHBORS.get(mode, 0)
    )
    names = programs.columns
    table = ids.assign(cell_meta_cluster=pd.Categorical.from_codes(own_type, list(names)))
    table = pd.concat([table, pd.DataFrame(frequencies, columns=names)], axis=1)
    notes: tuple[str, ...] = ()
    if n_cells % n_fovs:
        notes = (
            f"{n_cells} cells do not divide into {n_fovs} fields of view: the first "
            f"{n_cells % n_fovs} have {n_cells // n_fovs + 1} cells, the others "
            f"{n_cells // n_fovs}",
        )
    truth = pd.concat([ids, planted], axis=1)
    return SimulatedTable(table, truth, programs, mode, seed, notes)


def write_simulated(
    simulated: SimulatedTable, folder: str | PathLike[str] = "test_data"
) -> dict[str, Path]:
    """Write a simulated table, its truth and its planted profiles as CSV files.

    Each file appears whole or not at all; files of the same names are replaced.

    Parameters
    ----------
    simulated
        What `simulate_neighborhoods` returned, with n cells.
    folder
        Where to write; it is made if it does not exist.

    Returns
    -------
    dict
        "table": `test_neighborhood_freqs_<n>.csv`, "truth": the same with `_truth`, "programs":
        the same with `_programs` (features in rows, one column per planted profile).

    Examples
    --------
    >>> import tempfile
    >>> from partwise.datasets import simulate_neighborhoods, write_simulated
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_simulated(simulate_neighborhoods(100), folder)
    >>> paths["table"].name
    'test_neighborhood_freqs_100.csv'
    """
    stem = f"test_neighborhood_freqs_{simulated.n_cells}"
    frames = {"table": (stem, simulated.table), "truth": (f"{stem}_truth", simulated.truth)}
    if simulated.programs is not None:
        profiles = simulated.programs.T.rename_axis("cell_type").reset_index()
        frames["programs"] = (f"{stem}_programs", profiles)
    return write_frames(frames, Path(folder))


def write_frames(frames: dict[str, tuple[str, pd.DataFrame]], folder: Path) -> dict[str, Path]:
    """Write frames as CSV, key -> (file name without .csv, frame); make the folder if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for key, (name, frame) in frames.items():
        paths[key] = folder / f"{name}.csv"
        _write_csv(frame, paths[key])
    return paths


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame, floats in the shortest text that reads back to the same number."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        # none of our names needs a quote, so the header is plain, as the original writes it
        stream.write((",".join(frame.columns) + "\n").encode())
        pa_csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), stream, options)


def _check(n_cells: int, n_fovs: int, mode: str, n_neighbors: int | None) -> None:
    if n_cells < 1:
        raise UsageError(f"n_cells is {n_cells}; at least one cell is needed")
    if not 1 <= n_fovs <= n_cells:
        raise UsageError(
            f"n_fovs is {n_fovs}; it must be between 1 and the number of cells, {n_cells}"
        )
    if mode not in _MODES:
        raise UsageError(f"mode is {mode!r}; choose one of {', '.join(_MODES)}")
    if n_neighbors is not None and mode == "original":
        raise UsageError("n_neighbors has no use in mode 'original', which counts no neighbours")
    if n_neighbors is not None and n_neighbors < 1:
        raise UsageError(f"n_neighbors is {n_neighbors}; at least one neighbour is needed")


def _identifiers(n_cells: int, n_fovs: int) -> tuple[IntArray, pd.DataFrame]:
    """Return the field of view of each cell as a code, and the columns `fov` and `label`."""
    per_fov = np.full(n_fovs, n_cells // n_fovs)
    per_fov[: n_cells % n_fovs] += 1
    codes = np.repeat(np.arange(n_fovs), per_fov)
    first = np.repeat(np.cumsum(per_fov) - per_fov, per_fov)
    names = [f"TEST_FOV_{number}" for number in range(1, n_fovs + 1)]
    fov = pd.Categorical.from_codes(codes, names)
    return codes, pd.DataFrame({"fov": fov, "label": np.arange(n_cells) - first + 1})


def _original(
    rng: np.random.Generator, fov_codes: IntArray, n_neighbors: int
) -> tuple[FloatArray, IntArray, pd.DataFrame, pd.DataFrame]:
    """Modes "original" (`n_neighbors` 0) and "discrete"."""
    n_cells, names = fov_codes.shape[0], list(ORIGINAL_TYPES)
    profiles = original_profiles()
    own_type = _draw_category(rng, np.tile(ORIGINAL_TYPE_SHARES, (n_cells, 1)))
    rows = rng.standard_gamma(_NOISE_CONCENTRATION, size=(n_cells, len(names)))
    rows *= _NOISE_SHARE / rows.sum(axis=1, keepdims=True)  # gammas, normalised: a Dirichlet
    rows += (1.0 - _NOISE_SHARE) * profiles[own_type]
    rows /= rows.sum(axis=1, keepdims=True)
    if n_neighbors:
        rows = rng.multinomial(n_neighbors, rows) / n_neighbors
    planted = pd.DataFrame({"type": pd.Categorical.from_codes(own_type, names)})
    return rows, own_type, planted, pd.DataFrame(profiles, index=names, columns=names)


def _anchored(
    rng: np.random.Generator, fov_codes: IntArray, n_neighbors: int
) -> tuple[FloatArray, IntArray, pd.DataFrame, pd.DataFrame]:
    """Mode "anchored": see `simulate_neighborhoods`."""
    niches, types = list(ANCHORED_NICHES), list(ANCHORED_TYPES)
    programs = anchored_programs()
    shares = _mixture(rng, fov_codes, len(niches))
    niche = shares.argmax(axis=1)
    expected = shares @ programs
    state = rng.integers(2, size=niche.shape[0])
    rows = np.arange(niche.shape[0])
    richer, poorer = 2 * niche + state, 2 * niche + 1 - state
    moved = _STATE_TRADE * expected[rows, poorer]
    expected[rows, richer] += moved
    expected[rows, poorer] -= moved

    own_type = _draw_category(rng, expected)
    n_counted = np.maximum(rng.poisson(n_neighbors, size=niche.shape[0]), min(5, n_neighbors))
    expected /= expected.sum(axis=1, keepdims=True)
    frequencies = rng.multinomial(n_counted, expected) / n_counted[:, None]
    planted = pd.DataFrame(
        {
            "niche": pd.Categorical.from_codes(niche, niches),
            "state": pd.Categorical.from_codes(richer, types),
            **{f"share {name}": shares[:, j] for j, name in enumerate(niches)},
        }
    )
    return frequencies, own_type, planted, pd.DataFrame(programs, index=niches, columns=types)


def _mixture(rng: np.random.Generator, fov_codes: IntArray, n_niches: int) -> FloatArray:
    """Draw how much of each niche surrounds each cell, n x niches: interiors and borders."""
    n_cells = fov_codes.shape[0]
    abundance = rng.dirichlet(np.full(n_niches, 3.0), size=int(fov_codes[-1]) + 1)
    home = _draw_category(rng, abundance[fov_codes])
    own, other = _INTERIOR_CONCENTRATION
    alpha = np.full((n_cells, n_niches), other)
    rows = np.arange(n_cells)
    alpha[rows, home] = own
    shares = rng.standard_gamma(alpha)
    shares /= shares.sum(axis=1, keepdims=True)
    border = np.flatnonzero(rng.random(n_cells) < _BORDER_SHARE)
    beyond = (home[border] + rng.integers(1, n_niches, size=border.size)) % n_niches
    near = rng.beta(2.0, 2.0, size=border.size)
    shares[border] *= near[:, None]
    shares[border, beyond] += 1.0 - near
    return shares


def _draw_category(rng: np.random.Generator, weights: FloatArray) -> IntArray:
    """Draw one column per row with chances in proportion to the row's weights."""
    cumulative = np.cumsum(weights, axis=1)
    threshold = rng.random(weights.shape[0]) * cumulative[:, -1]
    # '<=' skips columns of no weight; the last column is reached only through rounding
    passed = (cumulative <= threshold[:, None]).sum(axis=1)
    drawn: IntArray = np.minimum(passed, weights.shape[1] - 1)
    return drawn
