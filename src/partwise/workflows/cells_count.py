"""From cells to their neighbourhoods: the radius that is meant, the counts, and what to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.graph.spatial import (
    N_HOPS,
    N_NEIGHBORS,
    NeighborhoodTable,
    expected_neighbors,
    neighborhood_table,
    typical_radius,
)

if TYPE_CHECKING:
    from partwise.utils.progress import Progress
    from partwise.workflows.cells_options import CellOptions
    from partwise.workflows.cells_read import Cells

__all__ = ["Surroundings", "count_around"]

#: Mean numbers of neighbours from which on a neighbourhood is not one any more.
_MANY, _TOO_MANY = 500, 5_000
#: Share of cells without neighbours from which on to say so.
_LONELY = 0.05


@dataclass(frozen=True)
class Surroundings:
    """Neighbourhoods of cells, and how they were found.

    Attributes
    ----------
    table
        Counts and numbers of neighbours.
    values
        What goes on: shares, or counts if these were asked for; n x types.
    resolved
        Options with the values that were used.
    text
        How neighbours were chosen, in words.
    notes
        What the user should know.
    """

    table: NeighborhoodTable
    values: npt.NDArray[np.float32]
    resolved: dict[str, Any]
    text: str
    notes: tuple[str, ...]

    @property
    def others(self) -> npt.NDArray[np.int32]:
        """Number of neighbours of each cell, itself not counted, n."""
        return self.table.n_neighbors - np.int32(self.resolved["include_self"])

    @property
    def n_alone(self) -> int:
        """Cells without neighbours."""
        return int(np.count_nonzero(self.others == 0))


def count_around(
    cells: Cells,
    options: CellOptions,
    *,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> Surroundings:
    """Count the types around each cell.

    Parameters
    ----------
    cells
        n cells.
    options
        Who is a neighbour.
    n_threads, progress
        Threads, and who is told.

    Returns
    -------
    Surroundings
        Counts, and how they were made.

    Raises
    ------
    UsageError
        If the radius reaches no cell, or thousands on average; says which one would do.
    """
    radius, notes = _radius(cells, options)
    table = neighborhood_table(
        cells.coordinates,
        cells.ids["cell_meta_cluster"],
        fov=cells.ids["fov"],
        mode=options.mode,
        radius=radius,
        n_neighbors=options.nearest,
        n_hops=options.hops,
        kernel=options.kernel,
        bandwidth=options.bandwidth,
        include_self=options.include_self,
        n_threads=n_threads,
        progress=progress,
    )
    notes += _advice(cells, table, options, radius)
    resolved = {
        "coordinates": list(cells.axes),
        "type_column": options.type_column or "cell_meta_cluster",
        "fov_column": options.fov_column or "fov",
        "neighborhood": options.mode,
        "radius": radius,
        "nearest": (options.nearest or N_NEIGHBORS) if options.mode == "knn" else None,
        "hops": (options.hops or N_HOPS) if options.mode == "hops" else None,
        "kernel": options.kernel,
        "bandwidth": _bandwidth(options, radius),
        "include_self": options.include_self,
        "counts": options.counts,
    }
    values = table.counts if options.counts else table.frequencies
    return Surroundings(table, values, resolved, _words(resolved), tuple(notes))


def _radius(cells: Cells, options: CellOptions) -> tuple[float | None, list[str]]:
    """Return the radius, chosen by the data where none was given, and what to tell of it."""
    if options.mode != "radius":
        return options.radius, []
    if options.radius is None:
        chosen = _suggestion(cells)
        if not chosen:
            raise DataError(
                "no field of view has two cells at different places, so there is no distance to "
                "take as the radius",
                path=cells.path,
            )
        return chosen, [
            f"no radius was given: {chosen:g}, in the unit of the coordinates, was taken, within "
            f"which half of the cells have {N_NEIGHBORS} neighbours or more; give --radius to "
            "make tables comparable"
        ]
    expected = expected_neighbors(cells.coordinates, options.radius, fov=cells.ids["fov"])
    if expected > _TOO_MANY:
        raise UsageError(
            f"{cells.path}: within a radius of {options.radius:g} a cell has about "
            f"{expected:,.0f} neighbours: what they are made of says nothing about its place. "
            f"{_advise(cells)}"
        )
    return options.radius, []


def _suggestion(cells: Cells) -> float:
    """Return a radius of two digits within which about twenty cells lie; 0 if there is none."""
    exact = typical_radius(cells.coordinates, fov=cells.ids["fov"])
    if exact <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(exact)) - 1)
    return float(f"{math.ceil(exact / step - 1e-9) * step:.2g}")


def _advise(cells: Cells) -> str:
    """Return which radius would do, as a sentence."""
    radius = _suggestion(cells)
    if not radius:
        return "All cells are alone in their field of view, or lie on one another."
    return (
        f"--radius {radius:g} would hold about {N_NEIGHBORS} cells (the radius is in the unit of "
        "the coordinates: pixels, or micrometres?)"
    )


def _bandwidth(options: CellOptions, radius: float | None) -> float | None:
    if options.kernel is None or options.bandwidth is not None or radius is None:
        return options.bandwidth
    return radius if options.kernel == "linear" else radius / 2


def _advice(
    cells: Cells, table: NeighborhoodTable, options: CellOptions, radius: float | None
) -> list[str]:
    """Return what the numbers of neighbours ask the user to look at."""
    n = table.n_neighbors.shape[0]
    least = 1 if options.include_self else 0
    alone = int(np.count_nonzero(table.n_neighbors == least))
    within = "" if radius is None else f" within {radius:g}"
    if alone == n:
        raise UsageError(f"{cells.path}: no cell has a neighbour{within}. {_advise(cells)}")
    texts = []
    if alone > _LONELY * n:
        hint = f" {_advise(cells)}" if options.mode == "radius" else ""
        texts.append(
            f"{alone:,} of {n:,} cells ({alone / n:.0%}) have no neighbour{within}: their rows are "
            f"{'their own type' if least else 'all zero'}.{hint}"
        )
    mean = float(table.n_neighbors.mean())
    if mean > _MANY:
        texts.append(
            f"a cell has {mean:,.0f} neighbours on average: niches smaller than such a "
            f"neighbourhood cannot be seen. {_advise(cells)}"
        )
    return texts


def _words(resolved: dict[str, Any]) -> str:
    """Return how neighbours were chosen and weighed, as part of a sentence."""
    radius = resolved["radius"]
    text = {
        "radius": f"all cells of the same field of view within a distance of {radius or 0:g}",
        "knn": f"the {resolved['nearest']} nearest cells of the same field of view",
        "delaunay": "the cells that touch it in the Delaunay triangulation of its field of view",
        "hops": f"the cells within {resolved['hops']} steps along the edges of the Delaunay "
        "triangulation of its field of view",
    }[resolved["neighborhood"]]
    if radius is not None and resolved["neighborhood"] != "radius":
        text += f", links longer than {radius:g} left out"
    if resolved["kernel"] is not None:
        law = {
            "gaussian": "exp(-d^2 / (2 b^2))",
            "exponential": "exp(-d / b)",
            "linear": "max(0, 1 - d / b)",
        }[resolved["kernel"]]
        text += f", weighed by {law} with b = {resolved['bandwidth']:g}"
    return text + ("; the cell itself counts" if resolved["include_self"] else "")
