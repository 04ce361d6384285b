"""Options of `partwise simulate neighborhoods`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from partwise.workflows.options import check_choice, check_whole, option

__all__ = ["MODES", "SimulateOptions"]

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
