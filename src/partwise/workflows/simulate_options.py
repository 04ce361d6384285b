"""Options of `partwise simulate neighborhoods` and `partwise simulate tissue`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_whole, option

__all__ = ["MODES", "SimulateOptions", "SimulateTissueOptions"]

MODES = ("original", "anchored", "discrete")


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """What `partwise simulate neighborhoods` can be told; each field is also a flag.

    Attributes
    ----------
    n_cells
        Number of cells.
    n_fovs
        Fields of view that they are spread over.
    output_dir
        Folder for the files; made if missing.
    seed
        Seed of all random choices.
    mode
        "original" (six types, one neighbourhood per type), "anchored" (fifteen types mixed from
        six niches, so that the factors are known) or "discrete" (counts of few neighbours, so that
        rows repeat).
    """

    n_cells: int = option(
        10_000, "-n", "--n-cells", kind=int, help="Number of cells.", section="Simulation"
    )
    n_fovs: int = option(
        10,
        "-f",
        "--n-fovs",
        kind=int,
        help="Fields of view that they are spread over.",
        section="Simulation",
    )
    output_dir: str | os.PathLike[str] = option(
        "test_data",
        "-o",
        "--output-dir",
        kind=str,
        help="Folder for the files; made if missing.",
        section="Output",
    )
    seed: int = option(
        42, "-s", "--seed", kind=int, help="Seed of all random choices.", section="Simulation"
    )
    mode: str = option(
        "original",
        "--mode",
        kind=str,
        choices=MODES,
        help="original: six types, one neighbourhood each; anchored: fifteen types mixed from six "
        "niches, so that the factors are known; discrete: few neighbours counted, so that rows "
        "repeat.",
        section="Simulation",
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        check_whole("n_cells", self.n_cells, least=1)
        check_whole("n_fovs", self.n_fovs, least=1)
        check_whole("seed", self.seed, least=0)
        check_choice("mode", self.mode, MODES)


@dataclass(frozen=True, kw_only=True)
class SimulateTissueOptions:
    """What `partwise simulate tissue` can be told; each field is also a flag.

    Attributes
    ----------
    n_cells
        Number of cells.
    n_fovs
        Fields of view that they are spread over.
    n_niches, n_types
        Niches, and types of cells.
    n_patients
        Patients to whom fields of view are dealt in turn; None means one for each.
    n_groups
        Groups to which patients are dealt in turn.
    effect
        Added to the share of the first niche in the last group.
    noise
        From 0, niches as different as can be, to 1, all niches alike.
    output_dir
        Folder for the files; made if missing.
    seed
        Seed of all random choices.
    """

    n_cells: int = option(
        10_000, "-n", "--n-cells", kind=int, help="Number of cells.", section="Simulation"
    )
    n_fovs: int = option(
        10,
        "-f",
        "--n-fovs",
        kind=int,
        help="Fields of view that they are spread over.",
        section="Simulation",
    )
    n_niches: int = option(6, "--n-niches", kind=int, help="Niches to plant.", section="Simulation")
    n_types: int = option(12, "--n-types", kind=int, help="Types of cells.", section="Simulation")
    n_patients: int | None = option(
        None,
        "--n-patients",
        kind=int,
        help="Patients to whom fields of view are dealt in turn.",
        section="Simulation",
        shown_default="one for each field of view",
    )
    n_groups: int = option(
        1,
        "--n-groups",
        kind=int,
        help="Groups to which patients are dealt in turn.",
        section="Simulation",
    )
    effect: float = option(
        0.0,
        "--effect",
        kind=float,
        help="Added to the share of the first niche in the last group.",
        section="Simulation",
    )
    noise: float = option(
        0.2,
        "--noise",
        kind=float,
        help="From 0, niches as different as can be, to 1, all niches alike.",
        section="Simulation",
    )
    output_dir: str | os.PathLike[str] = option(
        "test_data",
        "-o",
        "--output-dir",
        kind=str,
        help="Folder for the files; made if missing.",
        section="Output",
    )
    seed: int = option(
        42, "-s", "--seed", kind=int, help="Seed of all random choices.", section="Simulation"
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        for name in ("n_cells", "n_fovs", "n_groups"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("n_niches", "n_types"):
            check_whole(name, getattr(self, name), least=2)
        if self.n_patients is not None:
            check_whole("n_patients", self.n_patients, least=1)
        check_whole("seed", self.seed, least=0)
        for name in ("effect", "noise"):
            if isinstance(getattr(self, name), (bool, str)):
                raise UsageError(f"{name} must be a number, not {getattr(self, name)!r}")
