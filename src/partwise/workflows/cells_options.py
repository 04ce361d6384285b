"""Options of every job that takes a table of cells with coordinates.

Imports nothing heavy, as all modules of options.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option, specs

__all__ = ["KERNELS", "MODES", "NO_FOV", "SECTION", "CellOptions", "counting_flags"]

MODES = ("radius", "knn", "delaunay", "hops")
KERNELS = ("gaussian", "exponential", "linear")
#: In place of the name of a column: all cells are in one field of view.
NO_FOV = "none"
SECTION = "Neighbourhoods (if INPUT is a table of cells with coordinates)"
_INPUT = "Input"


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """How to read a table of cells with coordinates, and who is whose neighbour.

    Attributes
    ----------
    coordinates
        Columns with the position of each cell, two or three; empty means those with a usual name
        (`centroid-0,centroid-1`; `x,y`; ...), in h5ad else `obsm["spatial"]`.
    type_column
        Column with the type of each cell; None means cell_meta_cluster.
    fov_column
        Column with the field of view of each cell; None means fov, "none" that there is one.
    neighborhood
        "radius", "knn", "delaunay" or "hops"; None means radius.
    radius
        Distance up to which cells are neighbours, in the unit of the coordinates; None means one
        within which about twenty cells lie. In other modes, the longest link.
    nearest
        Neighbours of a cell in mode knn; None means 20.
    hops
        Steps in mode hops; None means 2.
    kernel, bandwidth
        How a neighbour's weight falls with distance, and how fast; see `neighborhood_table`.
    include_self
        Count a cell as a neighbour of its own.
    counts
        Give numbers of neighbours (or sums of weights) in place of shares.
    """

    coordinates: tuple[str, ...] = option(
        (),
        "--coordinates",
        kind=tuple,
        help="Columns with the position of each cell, two or three; or, in h5ad, spatial.",
        section=_INPUT,
        shown_default="centroid-0,centroid-1, or x,y, or another usual pair",
    )
    type_column: str | None = option(
        None,
        "--type",
        kind=str,
        help="Column with the type of each cell.",
        section=_INPUT,
        shown_default="cell_meta_cluster",
    )
    fov_column: str | None = option(
        None,
        "--fov",
        kind=str,
        help="Column with the field of view of each cell; none: they are all in one.",
        section=_INPUT,
        shown_default="fov",
    )
    neighborhood: str | None = option(
        None,
        "--neighborhood",
        kind=str,
        choices=MODES,
        help="Who is a neighbour. radius: all cells within a distance; knn: the nearest; "
        "delaunay: those that touch in the triangulation; hops: those a few steps along it.",
        section=SECTION,
        shown_default="radius",
    )
    radius: float | None = option(
        None,
        "--radius",
        kind=float,
        help="That distance, in the unit of the coordinates; in the other modes, longer links do "
        "not count.",
        section=SECTION,
        shown_default="one that holds about 20 cells",
    )
    nearest: int | None = option(
        None,
        "--nearest",
        kind=int,
        help="Neighbours of each cell, for knn.",
        section=SECTION,
        shown_default="20",
    )
    hops: int | None = option(
        None, "--hops", kind=int, help="Steps, for hops.", section=SECTION, shown_default="2"
    )
    kernel: str | None = option(
        None,
        "--kernel",
        kind=str,
        choices=KERNELS,
        help="Let a neighbour's weight fall with its distance.",
        section=SECTION,
        shown_default="all weigh the same",
    )
    bandwidth: float | None = option(
        None,
        "--bandwidth",
        kind=float,
        help="How far the kernel reaches, in the unit of the coordinates.",
        section=SECTION,
        shown_default="the radius (linear) or half of it",
    )
    include_self: bool = option(
        False,
        "--include-self",
        kind=bool,
        help="Count a cell as a neighbour of its own.",
        section=SECTION,
    )
    counts: bool = option(
        False,
        "--counts",
        kind=bool,
        help="Numbers of neighbours in place of shares.",
        section=SECTION,
    )

    def check_cells(self) -> None:
        """Raise `UsageError` for values that cannot be used, or not together."""
        names = self.coordinates
        names = (names,) if isinstance(names, str) else tuple(names or ())
        if not all(isinstance(name, str) and name for name in names):
            raise UsageError(f"coordinates must be names, not {self.coordinates!r}")
        if len(names) not in (0, 2, 3) and names != ("spatial",):
            raise UsageError(f"coordinates must name two or three columns, not {', '.join(names)}")
        object.__setattr__(self, "coordinates", names)
        for name, choices in (("neighborhood", MODES), ("kernel", KERNELS)):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        for name in ("radius", "bandwidth"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0.0)
        for name, mode in (("nearest", "knn"), ("hops", "hops")):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
                if self.mode != mode:
                    raise UsageError(
                        f"--{name} belongs to --neighborhood {mode}, not to {self.mode}"
                    )
        if self.bandwidth is not None and self.kernel is None:
            raise UsageError("--bandwidth has no use without --kernel")
        if self.kernel and self.mode != "radius" and self.bandwidth is None and self.radius is None:
            raise UsageError(
                f"--kernel {self.kernel} with --neighborhood {self.mode} needs --bandwidth, in the "
                "unit of the coordinates"
            )

    @property
    def mode(self) -> str:
        """Who is a neighbour, resolved."""
        return self.neighborhood or "radius"


def counting_flags(options: CellOptions) -> list[str]:
    """Return the flags given that have a meaning only when neighbours are counted."""
    names = {field.name for field in dataclasses.fields(CellOptions)} - {"coordinates"}
    if getattr(options, "normalize_by_fov", False):
        names -= {"fov_column"}  # the fields of view that values are normalised by
    return [
        spec.flags[-1]
        for spec in specs(type(options))
        if spec.name in names and getattr(options, spec.name) != spec.default
    ]
