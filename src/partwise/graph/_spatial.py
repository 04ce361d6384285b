"""Places of one field of view, and who is whose neighbour there.

Cells with the same coordinates share a place: they are neighbours of each other in every mode and
are counted at once, so that even thousands of cells on one point cost no more than their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._spatial_kernels import count_linked, count_within
from partwise.graph.neighbors import neighbors
from partwise.utils.threads import single_thread_blas

__all__ = ["Counting", "Links", "delaunay_links", "linked_tasks", "nearest_links", "within_tasks"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
#: indptr, indices
Links = tuple[IntArray, npt.NDArray[np.int32]]
Task = Callable[[], None]

#: A radius, and what lies at it: coordinates with decimals are off by a rounding.
_SLACK = 1.0 + 1e-9
#: Bins along an axis at most, so that three axes fit into the key.
_MOST_BINS = 2**20
#: Places per task: what a thread is busy with for a few milliseconds.
_PLACES_PER_TASK = 16_384
#: Singular values below this share of the largest are roundings: the points are flat.
_FLAT = 1e-9


@dataclass(frozen=True)
class Counting:
    """What is counted, and where the counts go; see `neighborhood_table`.

    Attributes
    ----------
    points
        n x 3, float64; planar coordinates have a first one that is zero.
    n_axes
        2 or 3.
    types
        Code of each cell's type.
    radius
        The distance, or the longest link; infinite where there is no limit.
    kernel, bandwidth, include_self
        How neighbours weigh, and whether a cell is its own.
    counts, totals
        n x types, and n.
    """

    points: FloatArray
    n_axes: int
    types: npt.NDArray[np.int32]
    radius: float
    kernel: int
    bandwidth: float
    include_self: bool
    counts: npt.NDArray[np.float32]
    totals: npt.NDArray[np.int32]

    @property
    def limit(self) -> float:
        """Square of the distance up to which cells are neighbours."""
        return float((self.radius * _SLACK) ** 2)


def within_tasks(what: Counting, rows: IntArray) -> list[Task]:
    """Return tasks that count around the cells in `rows`, one field of view, within the radius."""
    points = what.points[rows]
    keys, shape = _bins(points, what.radius)
    order = np.lexsort((*points.T, keys))
    points, keys = points[order], keys[order]
    new = _differs(points)
    first = np.append(np.flatnonzero(new), rows.shape[0])
    points, keys = points[new], keys[new]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    bin_first = np.append(starts, keys.shape[0])
    members = rows[order]
    count = partial(
        count_within, points, keys[starts], bin_first, shape, what.limit, what.kernel,
        what.bandwidth, first, members, what.types[members], what.include_self,
    )  # fmt: skip
    # whole bins, about as many places each
    cuts = np.searchsorted(bin_first, np.arange(0, keys.shape[0], _PLACES_PER_TASK))
    return _cut(count, np.unique(np.append(cuts, starts.shape[0])), what)


def linked_tasks(
    what: Counting, rows: IntArray, place: IntArray, points: FloatArray, links: Links, n_hops: int
) -> list[Task]:
    """Return tasks that count around the cells in `rows` along links between their places.

    Parameters
    ----------
    what
        What is counted.
    rows
        The cells.
    place
        Number of the place of each.
    points
        Where the places are, x 3.
    links
        Which places are neighbours.
    n_hops
        Steps along links.
    """
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(points.shape[0] + 1)).astype(np.int64)
    members = rows[order]
    count = partial(
        count_linked, points, *links, n_hops, what.limit, what.kernel, what.bandwidth, first,
        members, what.types[members], what.include_self,
    )  # fmt: skip
    cuts = np.append(np.arange(0, points.shape[0], _PLACES_PER_TASK), points.shape[0])
    return _cut(count, cuts, what)


def _cut(count: Callable[..., None], cuts: npt.NDArray[Any], what: Counting) -> list[Task]:
    cuts = cuts.astype(np.int64)
    return [partial(count, cuts[i : i + 2], what.counts, what.totals) for i in range(len(cuts) - 1)]


def _bins(points: FloatArray, radius: float) -> tuple[IntArray, IntArray]:
    """Return the key of each point's bin, and the number of bins along each axis."""
    gaps = points - points.min(axis=0)
    # a little wider than the radius, so that rounding puts no neighbour two bins away
    side = np.maximum(radius * (1.0 + 1e-6), gaps.max(axis=0) / _MOST_BINS)
    bins = (gaps / side).astype(np.int64)
    shape = bins.max(axis=0) + 1
    return (bins[:, 0] * shape[1] + bins[:, 1]) * shape[2] + bins[:, 2], shape


def _differs(ordered: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows differ from the row before; the first does."""
    new = np.ones(ordered.shape[0], dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return new


def nearest_links(points: FloatArray, n_axes: int, n_neighbors: int, n_threads: int) -> Links:
    """Return the nearest other cells of each cell, ties by their order in the table."""
    n = points.shape[0]
    plane = np.ascontiguousarray(points[:, 3 - n_axes :])
    found = neighbors(plane, n_neighbors, method="kd-tree", n_threads=n_threads).indices
    indptr = np.arange(n + 1, dtype=np.int64) * found.shape[1]
    return indptr, np.ascontiguousarray(found).reshape(-1)


def delaunay_links(points: FloatArray) -> tuple[IntArray, FloatArray, Links]:
    """Return the place of each cell, where the places are, and which touch in a triangulation.

    Parameters
    ----------
    points
        Cells x 3.

    Returns
    -------
    place
        Number of each cell's place.
    points
        Places x 3.
    links
        Edges of the Delaunay triangulation of the places. Places on a line are linked to the next
        ones along it; of those in a plane in space, the plane is triangulated.
    """
    order = np.lexsort(points.T)
    ordered = points[order]
    new = _differs(ordered)
    place = np.empty(points.shape[0], dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    where = np.ascontiguousarray(ordered[new])
    links, stands_for = _triangulate(where)
    return stands_for[place], where, links


def _triangulate(points: FloatArray) -> tuple[Links, IntArray]:
    """Return the links of distinct points, and which point stands for each.

    That is the point itself, unless it lies so close to another that rounding hides the gap.
    """
    n = points.shape[0]
    itself = np.arange(n, dtype=np.int64)
    if n == 1:
        return (np.zeros(2, dtype=np.int64), np.empty(0, dtype=np.int32)), itself
    centred = points - points.mean(axis=0)
    centred /= np.abs(centred).max()
    with single_thread_blas():  # the bits must not depend on how many threads it may use
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        flat = centred @ axes.T
    rank = int((sizes > _FLAT * sizes[0]).sum())
    plane = centred[:, np.ptp(centred, axis=0) > 0]
    if plane.shape[1] == rank > 1 and (found := _qhull(plane)) is not None:
        return found
    for lower in range(rank, 1, -1):
        if (found := _qhull(flat[:, :lower])) is not None:
            return found
    return _chain(flat[:, 0]), itself


def _qhull(points: FloatArray) -> tuple[Links, IntArray] | None:
    """Triangulate by Qhull; None where the points are too flat for it."""
    from scipy.spatial import Delaunay, QhullError

    try:
        found = Delaunay(points)
    except QhullError:
        return None
    stands_for = np.arange(points.shape[0], dtype=np.int64)
    if found.coplanar.size:
        stands_for[found.coplanar[:, 0]] = found.coplanar[:, 2]
    indptr, indices = found.vertex_neighbor_vertices
    return (indptr.astype(np.int64), indices.astype(np.int32)), stands_for


def _chain(along: FloatArray) -> Links:
    """Link each point of a line to the one before and the one after."""
    n = along.shape[0]
    order = np.argsort(along, kind="stable")
    before, after = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    before[order[1:]], after[order[:-1]] = order[:-1], order[1:]
    both = np.stack([before, after], axis=1)
    indptr = np.append(0, np.cumsum((both >= 0).sum(axis=1)))
    return indptr.astype(np.int64), both[both >= 0]
