"""What a model remembers of its niches, so that new cells can be assigned to them later.

A sample of the cells with their clusters, kept as usage: where new cells lie among them is decided
in the space in which the clusters were found. With it goes how far such cells lie from each other
and how well the programs fit them, which tells cells that are like none of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.factorize.projection import row_fit
from partwise.graph import distinct_rows
from partwise.graph.assign import nearest_rows
from partwise.graph.neighbors import unit_rows
from partwise.utils.random import generator
from partwise.workflows.cells import resolved_of
from partwise.workflows.cells_options import CellOptions
from partwise.workflows.clustering.prepare import FOV_COLUMN
from partwise.workflows.clustering.stages import space_of
from partwise.workflows.options import specs
from partwise.workflows.sampling import strata_of, take_rows

if TYPE_CHECKING:
    import pandas as pd

    from partwise.io import Table
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = [
    "COUNTING",
    "QUANTILE",
    "Niches",
    "niche_space",
    "niches_of",
    "read_niches",
    "unexplained_of",
]

#: Version of the record; raised when an older partwise could not use it.
VERSION = 1
#: Share of the known cells that are not called unlike the known ones, by each of two measures.
QUANTILE = 0.999

#: Options that say how neighbours of cells with coordinates are counted.
COUNTING = frozenset(field.name for field in dataclasses.fields(CellOptions)) - {
    "coordinates",
    "type_column",
    "fov_column",
}

_MOST_CELLS = 50_000
_NARROW = 10  # up to so many factors a search tree is fast
_MOST_CELLS_WIDE = 15_000
_MOST_VALUES = 2**21  # of usage: the model stays below about 10 MB
_FEWEST_OF_A_CLUSTER = 200  # cells drawn of each, where it has them
_N_NEIGHBORS = 15
_FOLDS = 5  # of fields of view, each compared with the others
#: Unexplained shares below this are rounding: with as many factors as features every row fits.
_LEAST_UNEXPLAINED = 1e-4


@dataclass(frozen=True)
class Niches:
    """Known niches: a sample of m cells with clusters, of K clusters.

    Attributes
    ----------
    usage
        W of the sample, each row once, m x k.
    labels
        Their clusters, m.
    weights
        Cells of its cluster for each that was drawn, m: 1 where all of the cluster are there.
    sizes
        Cells of each cluster in the run that made the model, K.
    n_isolated
        Cells without a cluster there.
    distance
        Mean distance to the nearest known cells beyond which a cell is unlike those of a
        cluster, K.
    unexplained
        Share of a row's sum of squares that the programs leave, beyond which a cell is unlike all.
    n_neighbors
        Known cells that vote.
    options
        The options of the run on which results depend, as they were resolved.
    counted
        Whether that run counted the neighbourhoods itself, from cells with coordinates.
    """

    usage: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.int64]
    n_isolated: int
    distance: npt.NDArray[np.float64]
    unexplained: float
    n_neighbors: int
    options: dict[str, Any]
    counted: bool

    @property
    def n_clusters(self) -> int:
        """Number of clusters, K."""
        return int(self.sizes.shape[0])


def niche_space(
    usage: npt.NDArray[Any], programs: npt.NDArray[Any], options: ClusterOptions
) -> npt.NDArray[np.floating[Any]]:
    """Return coordinates, n x r, whose Euclidean distance is that in which cells were clustered.

    For the metric cosine these are the directions of `space_of`; rows of zeros stay zero.
    """
    space = space_of(usage, programs, options)
    return unit_rows(space) if options.metric == "cosine" else space


def niches_of(
    model: Any,
    table: Table,
    labels: npt.NDArray[np.int32],
    options: ClusterOptions,
    *,
    n_threads: int | None = None,
) -> dict[str, Any]:
    """Return what a model has to remember, as plain values and arrays.

    Parameters
    ----------
    model
        The fitted estimator.
    table
        X as it was factorized, n x p, and what identifies its rows.
    labels
        Cluster of each cell, n; -1 for those without one.
    options
        Options of the run.
    n_threads
        Threads; the record does not depend on them.

    Returns
    -------
    dict
        The record, for `model.niches_`; at most 50,000 cells (15,000 with more than 10 factors), of
        each cluster in proportion, but 200 at least where it has them.
    """
    counted = resolved_of(table)
    K = int(labels.max(initial=-1)) + 1
    sizes = np.bincount(labels[labels >= 0], minlength=K)
    rows = _sample(labels, sizes, int(model.components_.shape[0]), options.seed)
    X = take_rows(table.matrix, rows)
    # found as that of new cells will be, so that equal cells have equal usage
    usage = np.asarray(model.transform(X), np.float32) if len(rows) else _no_usage(model)
    left = unexplained_of(X, usage, model.components_) if len(rows) else np.zeros(0)
    found = distinct_rows(usage)
    kept, of_row = usage[found.rows], labels[rows][found.rows]
    drawn = np.bincount(labels[rows], minlength=K)
    weights = (sizes / np.maximum(drawn, 1))[of_row]
    space = niche_space(kept, model.components_, options)
    fovs = _fovs(table.ids, rows[found.rows])
    distance = _reach(space, of_row, found.multiplicity, K, fovs, n_threads)
    bound = float(np.quantile(left, QUANTILE, method="higher")) if len(left) else 0.0
    return {
        "version": VERSION,
        "usage": kept,
        "labels": of_row.astype(np.int32),
        "weights": weights.astype(np.float32),
        "sizes": sizes.astype(np.int64),
        "n_isolated": int((labels < 0).sum()),
        "distance": distance,
        "unexplained": max(bound, _LEAST_UNEXPLAINED),
        "n_neighbors": _N_NEIGHBORS,
        "options": _recorded(options) | {name: counted[name] for name in COUNTING & set(counted)},
        "counted": bool(counted),
    }


def unexplained_of(
    X: Any, usage: npt.NDArray[Any], programs: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Return the share of each row's sum of squares that the programs leave; 0 for zero rows."""
    return np.maximum(0.0, 1.0 - np.nan_to_num(row_fit(X, usage, programs), nan=1.0))


def read_niches(model: Any, path: object) -> Niches:
    """Read what `niches_of` made, from a model that was loaded.

    Parameters
    ----------
    model
        The model.
    path
        Where it came from, for messages.

    Returns
    -------
    Niches
        The niches; everything in it fits together.

    Raises
    ------
    DataError
        If the model has none, or a later partwise wrote them, or they are damaged.
    """
    record = getattr(model, "niches_", None)
    if record is None:
        raise DataError(
            f"{path}: this model has programs but no niches. `partwise cluster` writes models with "
            "niches (since 0.1.0); `partwise factorize`, `partwise programs` and `partwise.save` "
            "do not: run `partwise cluster` on the table of known cells first"
        )
    version = record.get("version") if isinstance(record, dict) else None
    if version != VERSION:
        raise DataError(
            f"{path}: the niches have layout {version!r}, but this partwise reads layout "
            f"{VERSION}: update partwise"
        )
    fields = {field.name for field in dataclasses.fields(Niches)}
    try:
        found = Niches(**{name: record[name] for name in fields})
        fits = _fits(found, int(model.components_.shape[0]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: the niches of the model are damaged ({error})") from error
    if not fits:
        raise DataError(f"{path}: the niches of the model are damaged (parts do not fit)")
    return found


def _fits(found: Niches, k: int) -> bool:
    """Whether all parts are there and fit each other."""
    m, K = len(found.usage), len(found.sizes)
    return (
        found.usage.shape == (m, k)
        and found.usage.dtype.kind == "f"
        and bool(np.isfinite(found.usage).all())
        and found.labels.shape == found.weights.shape == (m,)
        and found.labels.dtype.kind == "i"
        and m > 0
        and 0 <= int(found.labels.min()) <= int(found.labels.max()) < K
        and bool((found.weights > 0).all())
        and found.distance.shape == (K,)
        and isinstance(found.options, dict)
        and found.n_neighbors >= 1
        and found.unexplained >= 0
    )


def _sample(
    labels: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64], k: int, seed: int
) -> npt.NDArray[np.int64]:
    """Draw cells of each cluster: in proportion, but not too few of the small ones."""
    total = int(sizes.sum())
    most = _MOST_CELLS if k <= _NARROW else _MOST_CELLS_WIDE
    most = min(most, max(1000, _MOST_VALUES // max(1, k)))
    if total <= most:
        return np.flatnonzero(labels >= 0)
    floor = min(_FEWEST_OF_A_CLUSTER, max(1, most // (2 * len(sizes))))
    wanted = np.minimum(sizes, np.maximum(floor, sizes * most // total))
    rng = generator(seed)
    drawn = []
    order = np.argsort(labels, kind="stable")[int((labels < 0).sum()) :]
    for members, number in zip(np.split(order, np.cumsum(sizes)[:-1]), wanted, strict=True):
        drawn.append(rng.choice(members, size=int(number), replace=False, shuffle=False))
    return np.sort(np.concatenate(drawn))


def _no_usage(model: Any) -> npt.NDArray[np.float32]:
    return np.zeros((0, int(model.components_.shape[0])), np.float32)


def _fovs(ids: pd.DataFrame, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Return the field of view of each row as a number; None if there are not two or more."""
    if FOV_COLUMN not in ids:
        return None
    codes, names = strata_of(ids[FOV_COLUMN].iloc[rows])
    return codes if len(names) > 1 else None


def _reach(
    space: npt.NDArray[Any],
    labels: npt.NDArray[np.int32],
    multiplicity: npt.NDArray[np.int64],
    n_clusters: int,
    fovs: npt.NDArray[np.int64] | None,
    n_threads: int | None,
) -> npt.NDArray[np.float64]:
    """Return how far the cells of each cluster lie from the nearest others, almost all of them.

    Cells of one field of view share neighbours, so they lie closer to each other than those of new
    tissue will. How much closer shows in the distances to cells of other fields of view; the median
    over clusters counts, because some clusters are in one field of view only.
    """
    m = len(space)
    if m < 2:
        return np.full(n_clusters, np.inf)
    k = min(_N_NEIGHBORS + 1, m)
    _, distances = nearest_rows(space, space, n_neighbors=k, n_threads=n_threads)
    within = distances[:, 1:].mean(axis=1)  # the first is the row itself
    reach = _quantiles(within, labels, multiplicity, n_clusters)
    if fovs is None:
        return reach
    other = np.full(m, np.inf)
    fold = fovs % _FOLDS
    for i in np.unique(fold):
        inside, rest = np.flatnonzero(fold == i), np.flatnonzero(fold != i)
        if len(rest) >= _N_NEIGHBORS:
            _, distances = nearest_rows(
                space[inside], space[rest], n_neighbors=_N_NEIGHBORS, n_threads=n_threads
            )
            other[inside] = distances.mean(axis=1)
    ratio = _quantiles(other, labels, multiplicity, n_clusters) / reach
    ratio = ratio[np.isfinite(ratio)]
    return reach * (max(1.0, float(np.median(ratio))) if len(ratio) else 1.0)


def _quantiles(
    values: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int32],
    multiplicity: npt.NDArray[np.int64],
    n_clusters: int,
) -> npt.NDArray[np.float64]:
    """Return the value that `QUANTILE` of the cells of each cluster do not exceed."""
    found = np.full(n_clusters, np.inf)
    for cluster in range(n_clusters):
        members = np.flatnonzero(labels == cluster)
        if not len(members):
            continue
        order = members[np.argsort(values[members], kind="stable")]
        share = np.cumsum(multiplicity[order]) / multiplicity[order].sum()
        found[cluster] = values[order[min(int(np.searchsorted(share, QUANTILE)), len(order) - 1)]]
    return found


def _recorded(options: ClusterOptions) -> dict[str, Any]:
    """Return the options on which results depend."""
    return {
        spec.name: getattr(options, spec.name)
        for spec in specs(type(options))
        if spec.matters == "result"
    }
