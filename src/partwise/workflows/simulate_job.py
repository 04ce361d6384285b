"""The jobs behind `partwise simulate neighborhoods` and `partwise simulate tissue`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partwise.datasets import (
    simulate_neighborhoods,
    simulate_tissue,
    write_simulated,
    write_tissue,
)
from partwise.utils.atomic import explain_os_error
from partwise.utils.progress import Progress, silent
from partwise.workflows.options import resolved
from partwise.workflows.simulate_options import SimulateOptions, SimulateTissueOptions

__all__ = [
    "SimulateOptions",
    "SimulateResult",
    "SimulateTissueOptions",
    "simulate",
    "simulate_cells",
]


@dataclass(frozen=True)
class SimulateResult:
    """What was written.

    Attributes
    ----------
    outputs
        The files: "table", "truth" and "programs".
    options
        How they were made.
    warnings
        What differs from what was asked for.
    """

    outputs: dict[str, Path]
    options: SimulateOptions | SimulateTissueOptions
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "n_cells": self.options.n_cells,
            "n_fovs": self.options.n_fovs,
            "mode": getattr(self.options, "mode", "tissue"),
            "seed": self.options.seed,
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return the result as lines for people."""
        return [f"{name}: {path}" for name, path in self.outputs.items()]


def simulate(
    *, options: SimulateOptions | None = None, progress: Progress | None = None, **overrides: Any
) -> SimulateResult:
    """Simulate a neighbourhood table and write it with its truth.

    Parameters
    ----------
    options
        How to simulate.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SimulateOptions`, in place of `options`.

    Returns
    -------
    SimulateResult
        Where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    ResourceError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> result = simulate(n_cells=100, n_fovs=2, output_dir=tempfile.mkdtemp())
    >>> result.outputs["truth"].name
    'test_neighborhood_freqs_100_truth.csv'
    """
    options = resolved(SimulateOptions, options, overrides)
    progress = progress or silent()
    with progress.stage("simulate"):
        simulated = simulate_neighborhoods(
            options.n_cells,
            n_fovs=options.n_fovs,
            mode=options.mode,  # type: ignore[arg-type]  # checked by the options
            seed=options.seed,
        )
    try:
        with progress.stage("write"):
            outputs = write_simulated(simulated, options.output_dir)
    except OSError as error:
        raise explain_os_error(error, options.output_dir) from error
    return SimulateResult(outputs, options, simulated.notes)


def simulate_cells(
    *,
    options: SimulateTissueOptions | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> SimulateResult:
    """Simulate cells with coordinates in planted niches and write them with their truth.

    Parameters
    ----------
    options
        How to simulate.
    progress
        Who listens; nobody by default.
    **overrides
        Fields of `SimulateTissueOptions`, in place of `options`.

    Returns
    -------
    SimulateResult
        Where the files are.

    Raises
    ------
    UsageError
        If an option cannot be used.
    ResourceError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> result = simulate_cells(n_cells=100, n_fovs=2, output_dir=tempfile.mkdtemp())
    >>> result.outputs["table"].name
    'test_cells_100.csv'
    """
    options = resolved(SimulateTissueOptions, options, overrides)
    progress = progress or silent()
    with progress.stage("simulate"):
        simulated = simulate_tissue(
            options.n_cells,
            n_fovs=options.n_fovs,
            n_niches=options.n_niches,
            n_types=options.n_types,
            n_patients=options.n_patients,
            groups=options.n_groups,
            effect=options.effect,
            noise=options.noise,
            seed=options.seed,
        )
    try:
        with progress.stage("write"):
            outputs = write_tissue(simulated, options.output_dir)
    except OSError as error:
        raise explain_os_error(error, options.output_dir) from error
    return SimulateResult(outputs, options)
