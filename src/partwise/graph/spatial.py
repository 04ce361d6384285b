"""Neighbourhood tables: which cell types lie around each cell, from coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.graph._spatial import (
    Counting,
    Task,
    delaunay_links,
    linked_tasks,
    nearest_links,
    within_tasks,
)
from partwise.graph._spatial_checks import fields_of, points_of, sorted_names, type_codes
from partwise.graph._spatial_kernels import kernel_code
from partwise.utils.progress import Progress, Stage, silent
from partwise.utils.threads import resolve_threads, run_tasks

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KERNELS",
    "MODES",
    "NeighborhoodTable",
    "expected_neighbors",
    "neighborhood_table",
    "sorted_names",
    "typical_radius",
]

MODES = ("radius", "knn", "delaunay", "hops")
KERNELS = ("gaussian", "exponential", "linear")

N_NEIGHBORS, N_HOPS = 20, 2
#: Fields of view up to this many cells are counted one per thread, larger ones by all threads.
_LARGE = 65_536
#: Cells around which distances are measured to judge a radius.
_SAMPLE = 2_000

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NeighborhoodTable:
    """What lies around each cell.

    Attributes
    ----------
    counts
        Neighbours of each type, n x types, float32; with a kernel the sums of their weights.
    types
        Names of the types, the columns of `counts`.
    n_neighbors
        Number of neighbours of each cell, n; weights do not enter.
    mode
        How neighbours were chosen.
    """

    counts: npt.NDArray[np.float32]
    types: tuple[str, ...]
    n_neighbors: npt.NDArray[np.int32]
    mode: str

    @property
    def frequencies(self) -> npt.NDArray[np.float32]:
        """Counts divided by their sum, row by row; rows without neighbours are zero."""
        total = self.counts.sum(axis=1, dtype=np.float64)
        scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        found: npt.NDArray[np.float32] = self.counts * scale.astype(np.float32)[:, None]
        return found

    def to_frame(self, *, frequencies: bool = True) -> pd.DataFrame:
        """Return the table with the names of the types, as frequencies or as counts."""
        import pandas as pd

        values = self.frequencies if frequencies else self.counts
        return pd.DataFrame(values, columns=list(self.types))


def neighborhood_table(
    coordinates: npt.ArrayLike,
    types: Any,
    *,
    fov: Any = None,
    mode: str = "radius",
    radius: float | None = None,
    n_neighbors: int | None = None,
    n_hops: int | None = None,
    kernel: str | None = None,
    bandwidth: float | None = None,
    include_self: bool = False,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> NeighborhoodTable:
    """Count the cell types around each cell.

    count[i, t] = sum of w(d_ij) over the neighbours j of cell i that are of type t. Neighbours are
    looked for within a cell's own field of view:

    - "radius": all cells at a distance of at most `radius`; those at exactly that distance count,
      also where decimals of the coordinates were rounded (by less than 1e-9 of it).
    - "knn": the `n_neighbors` nearest cells; of several at the same distance those that stand first
      in the table.
    - "delaunay": the cells that touch in the Delaunay triangulation.
    - "hops": the cells within `n_hops` steps along its edges.

    Cells with the same coordinates are neighbours of each other in all modes ("knn": the nearest).
    Where the points of a field of view lie on a line, the triangulation links each to the next.

    Parameters
    ----------
    coordinates
        Positions of the cells, n x 2 or n x 3, finite, in any unit of length.
    types
        Type of each cell, n: names, whole numbers or a pandas categorical, whose categories
        become the columns. Otherwise columns are sorted as people do, 2 before 10.
    fov
        Field of view of each cell, n; None means that there is one. An empty text is a name.
    mode
        Who is a neighbour: "radius", "knn", "delaunay" or "hops".
    radius
        Mode "radius": the distance, in the unit of the coordinates. Other modes: links longer than
        this do not count; None means that all do.
    n_neighbors
        Mode "knn" only: neighbours of each cell; 20 if None.
    n_hops
        Mode "hops" only: steps; 2 if None.
    kernel
        How a neighbour's weight falls with its distance d: None (all weigh 1), "gaussian",
        exp(-d^2 / (2 b^2)), "exponential", exp(-d / b), or "linear", max(0, 1 - d / b).
    bandwidth
        b, in the unit of the coordinates. If None and there is a radius, that for "linear" and
        half of it for the others.
    include_self
        Whether a cell counts as a neighbour of its own (with weight 1).
    n_threads
        Threads; the result does not depend on it.
    progress
        Who is told how many cells are done.

    Returns
    -------
    NeighborhoodTable
        Counts and frequencies in the order of the cells, and the number of neighbours of each.

    Raises
    ------
    UsageError
        If a parameter is unknown, missing, out of range or without use in this mode.
    DataError
        If a coordinate is not finite, or a type or a field of view is missing; names the row.

    References
    ----------
    Barber, Dobkin, Huhdanpaa. The Quickhull algorithm for convex hulls. ACM Transactions on
    Mathematical Software 22, 469 (1996).

    Examples
    --------
    >>> import numpy as np
    >>> xy = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 6.0]])
    >>> around = neighborhood_table(xy, ["A", "B", "B"], radius=5)
    >>> around.types, around.counts.tolist()
    (('A', 'B'), [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    """
    settings = _settings(mode, radius, n_neighbors, n_hops, kernel, bandwidth)
    points, n_axes = points_of(coordinates)
    codes, names = type_codes(types, points.shape[0])
    fields = fields_of(fov, points.shape[0])
    what = Counting(
        points=points,
        n_axes=n_axes,
        types=codes,
        radius=math.inf if radius is None else float(radius),
        kernel=kernel_code(kernel),
        bandwidth=settings.bandwidth,
        include_self=bool(include_self),
        counts=np.zeros((points.shape[0], len(names)), dtype=np.float32),
        totals=np.zeros(points.shape[0], dtype=np.int32),
    )
    threads = resolve_threads(n_threads)
    with (progress or silent()).stage("neighbourhoods (cells)", points.shape[0]) as stage:
        _count_all(what, fields, settings, threads, stage)
    return NeighborhoodTable(what.counts, names, what.totals, mode)


def warm(coordinates: FloatArray, types: npt.NDArray[np.int32]) -> None:
    """Run the kernels on a little data, without what reads tables."""
    points, n_axes = points_of(coordinates)
    n, rows = len(points), np.arange(len(points))
    for mode, radius in (("radius", 0.2), ("knn", None)):
        settings = _settings(mode, radius, None, None, None, None)
        counts = np.zeros((n, int(types.max()) + 1), np.float32)
        reach = math.inf if radius is None else radius
        what = Counting(
            points=points, n_axes=n_axes, types=types, radius=reach, kernel=kernel_code(None),
            bandwidth=settings.bandwidth, include_self=False, counts=counts,
            totals=np.zeros(n, np.int32),
        )  # fmt: skip
        with silent().stage("neighbourhoods (cells)", n) as stage:
            _count_all(what, [rows], settings, 2, stage)


def typical_radius(
    coordinates: npt.ArrayLike, *, fov: Any = None, n_neighbors: int = N_NEIGHBORS
) -> float:
    """Return the median distance from a cell to its k-th nearest neighbour in its field of view.

    Parameters
    ----------
    coordinates
        Positions of the cells, n x 2 or n x 3.
    fov
        Field of view of each cell, n; None means that there is one.
    n_neighbors
        k; in fields of view of fewer cells, the farthest.

    Returns
    -------
    float
        In the unit of the coordinates, from a sample of at most 2,000 cells, evenly spaced over
        the table; zero where all cells lie on one another, or alone.

    Examples
    --------
    >>> import numpy as np
    >>> typical_radius(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), n_neighbors=1)
    1.0
    """
    found = [
        tree.query(some, k=[min(n_neighbors + 1, tree.n)])[0].ravel()
        for tree, some in _sampled(coordinates, fov)
        if tree.n > 1
    ]
    return float(np.median(np.concatenate(found))) if found else 0.0


def expected_neighbors(coordinates: npt.ArrayLike, radius: float, *, fov: Any = None) -> float:
    """Return the mean number of neighbours within a radius, from a sample of the cells.

    Parameters
    ----------
    coordinates
        Positions of the cells, n x 2 or n x 3.
    radius
        Distance, in the unit of the coordinates.
    fov
        Field of view of each cell, n; None means that there is one.

    Returns
    -------
    float
        Of at most 2,000 cells, evenly spaced over the table; the cell itself not counted.

    Examples
    --------
    >>> import numpy as np
    >>> expected_neighbors(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), 1.0)
    1.3333333333333333
    """
    found = [
        tree.query_ball_point(some, radius, return_length=True) - 1
        for tree, some in _sampled(coordinates, fov)
    ]
    return float(np.concatenate(found).mean())


def _sampled(coordinates: npt.ArrayLike, fov: Any) -> Iterator[tuple[Any, FloatArray]]:
    """Yield a tree of the cells of a field of view, and some of these, spaced evenly."""
    from scipy.spatial import cKDTree

    points, _ = points_of(coordinates)
    share = min(1.0, _SAMPLE / points.shape[0])
    due = 0.5  # cells to look at, so that those of small fields of view get their turn
    for rows in fields_of(fov, points.shape[0]):
        due += rows.shape[0] * share
        n = min(int(due), rows.shape[0])
        due -= n
        if n:
            chosen = rows[np.linspace(0, rows.shape[0] - 1, n).astype(int)]
            yield cKDTree(points[rows]), points[chosen]


@dataclass(frozen=True)
class _Settings:
    """Parameters with their defaults filled in."""

    mode: str
    n_neighbors: int
    n_hops: int
    bandwidth: float


def _settings(
    mode: str,
    radius: float | None,
    n_neighbors: int | None,
    n_hops: int | None,
    kernel: str | None,
    bandwidth: float | None,
) -> _Settings:
    if mode not in MODES:
        raise UsageError(f"mode must be one of {', '.join(MODES)}; not {mode!r}")
    if kernel is not None and kernel not in KERNELS:
        raise UsageError(f"kernel must be one of {', '.join(KERNELS)}; not {kernel!r}")
    if mode == "radius" and radius is None:
        raise UsageError("mode 'radius' needs a radius, in the unit of the coordinates")
    for name, length in (("radius", radius), ("bandwidth", bandwidth)):
        if length is not None and not (math.isfinite(length) and length > 0):
            raise UsageError(f"{name} must be a finite number above 0, not {length!r}")
    for name, value, home in (("n_neighbors", n_neighbors, "knn"), ("n_hops", n_hops, "hops")):
        if value is not None and mode != home:
            raise UsageError(f"{name} has no use in mode {mode!r}; it belongs to mode {home!r}")
        if value is not None and (not hasattr(value, "__index__") or value < 1):
            raise UsageError(f"{name} must be a whole number from 1 up, not {value!r}")
    if bandwidth is not None and kernel is None:
        raise UsageError("bandwidth has no use without a kernel; name one")
    if kernel is not None and bandwidth is None:
        if radius is None:
            raise UsageError(f"kernel {kernel!r} in mode {mode!r} needs a bandwidth (or a radius)")
        bandwidth = radius if kernel == "linear" else radius / 2
    hops = {"delaunay": 1, "hops": n_hops or N_HOPS}.get(mode, 1)
    return _Settings(mode, n_neighbors or N_NEIGHBORS, hops, bandwidth or 1.0)


def _count_all(
    what: Counting, fields: list[IntArray], settings: _Settings, threads: int, stage: Stage
) -> None:
    """Count in all fields of view: the small ones side by side, the large ones one by one."""

    def one(rows: IntArray) -> None:
        run_tasks(threads, _tasks(what, rows, settings, threads))
        stage.advance(rows.shape[0])

    run_tasks(threads, [partial(one, rows) for rows in fields if rows.shape[0] <= _LARGE])
    for rows in fields:
        if rows.shape[0] > _LARGE:
            one(rows)


def _tasks(what: Counting, rows: IntArray, settings: _Settings, threads: int) -> list[Task]:
    """Return what is to be done for one field of view."""
    if settings.mode == "radius":
        return within_tasks(what, rows)
    points = what.points[rows]
    if settings.mode == "knn":
        links = nearest_links(points, what.n_axes, settings.n_neighbors, threads)
        place = np.arange(rows.shape[0], dtype=np.int64)
        return linked_tasks(what, rows, place, points, links, 1)
    place, points, links = delaunay_links(points)
    return linked_tasks(what, rows, place, points, links, settings.n_hops)
