"""Clusters back on the tissue: which fields of view are drawn, and the part of the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise import figures
from partwise.exceptions import DataError
from partwise.figures import TissuePanel
from partwise.report import ReportFigure, ReportTable, Section
from partwise.utils.random import generator
from partwise.workflows.cells import coordinates_of
from partwise.workflows.sampling import strata_of

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.clustering.options import ClusterOptions

__all__ = ["Chosen", "check_maps", "choose_fovs", "fov_column", "spatial_of", "tissue_sections"]

#: Columns that say which picture a cell is in, the first that is there.
_FOVS = ("fov", "image", "image_id", "roi", "slide", "sample", "library_id", "region")
_MAPS = 12  # fields of view that are drawn unless told otherwise
_PLACES = 48  # clusters that get a panel of their own
#: A field of view with fewer cells than this share of the median one is not chosen for a cluster:
#: its fractions say little.
_LARGE = 0.3
#: Points of a small panel.
_MOST_POINTS = 200_000
_ROW_FIRST = "centroid-0"  # of images: the row, which goes down


@dataclass(frozen=True)
class Chosen:
    """A field of view that is drawn.

    Attributes
    ----------
    fov
        Its position among the names.
    cluster
        The cluster it was chosen for; None if it was not chosen for one.
    share
        Share of its cells that are in this cluster.
    """

    fov: int
    cluster: int | None
    share: float


def fov_column(ids: pd.DataFrame) -> str | None:
    """Return the column that says which picture a cell is in; None if there is none."""
    lower = {str(name).lower(): str(name) for name in reversed(list(ids.columns))}
    return next((lower[name] for name in _FOVS if name in lower), None)


def spatial_of(table: Table) -> npt.NDArray[np.float64] | None:
    """Return the horizontal and vertical position of each cell, n x 2; None without positions.

    Of `centroid-0`, `centroid-1` the first is the row of an image, so the vertical one.
    """
    xy = coordinates_of(table)
    if xy is None:
        return None
    return xy[:, ::-1] if table.coordinates[0] == _ROW_FIRST else xy


def check_maps(table: Table, options: ClusterOptions) -> None:
    """Refuse maps that cannot be drawn before any work is done.

    Raises
    ------
    DataError
        If maps are asked for and the table has no coordinates, or names a field of view that is
        not there.
    """
    if options.maps is None and not options.map_fovs:
        return
    flag = "--map-fovs" if options.map_fovs else "--maps"
    if len(table.coordinates) < 2:
        if options.maps == 0:
            return
        raise DataError(
            f"{flag}: the table has no coordinates (centroid-0,centroid-1, or x,y); name their "
            "columns with --coordinates"
        )
    if not options.map_fovs:
        return
    name = fov_column(table.ids)
    names = [] if name is None else strata_of(table.ids[name])[1]
    missing = [fov for fov in options.map_fovs if fov not in set(names)]
    if missing:
        raise DataError(
            f"--map-fovs: there is no field of view {missing[0]!r}; there are {len(names)}: "
            f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
        )


def choose_fovs(counts: npt.NDArray[np.int64], most: int) -> list[Chosen]:
    """Choose the fields of view that show the clusters best.

    Parameters
    ----------
    counts
        Number of cells, fields of view x clusters.
    most
        How many to choose at most.

    Returns
    -------
    list of Chosen
        All of them if they are not more than `most`. Otherwise, for each cluster in turn, from the
        largest on, the one where it has the largest share of the cells and that is not chosen
        yet, and so on in rounds; those with few cells come last.
    """
    n_fovs, n_clusters = counts.shape
    if n_fovs <= most:
        return [Chosen(fov, None, 0.0) for fov in range(n_fovs)]
    shares = counts / np.maximum(counts.sum(axis=1), 1)[:, None]
    ranking = [_ranked(counts, shares, cluster) for cluster in range(n_clusters)]
    chosen: list[Chosen] = []
    taken: set[int] = set()
    while len(chosen) < most:
        before = len(chosen)
        for cluster, order in enumerate(ranking):
            free = [fov for fov in order if fov not in taken]
            if free and len(chosen) < most:
                taken.add(free[0])
                chosen.append(Chosen(free[0], cluster, float(shares[free[0], cluster])))
        if len(chosen) == before:
            break
    return chosen


def _ranked(
    counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], cluster: int
) -> list[int]:
    """Return the fields of view with a cluster, from that where its share is largest."""
    totals = counts.sum(axis=1)
    small = totals < _LARGE * np.median(totals)
    order = np.lexsort((-shares[:, cluster], small))
    return [int(fov) for fov in order if counts[fov, cluster]]


def tissue_sections(
    table: Table, labels: npt.NDArray[np.int32], n_clusters: int, options: ClusterOptions
) -> list[Section]:
    """Return the part of the report that shows clusters in the tissue.

    Parameters
    ----------
    table
        The cells, n, with coordinates or without.
    labels
        Cluster of each, n; negative without one.
    n_clusters
        Number of clusters, K.
    options
        How many maps to draw, or which.

    Returns
    -------
    list of Section
        One; none without coordinates, cells or wish for maps.
    """
    xy = spatial_of(table)
    if xy is None or options.maps == 0 or not len(labels) or not n_clusters:
        return []
    maps = _Maps(table.ids, xy, labels, n_clusters, options.seed)
    wanted = [maps.names.index(fov) for fov in options.map_fovs]
    chosen = (
        [Chosen(fov, None, 0.0) for fov in wanted]
        if wanted
        else choose_fovs(maps.counts, _MAPS if options.maps is None else options.maps)
    )
    places = [c for c in range(n_clusters) if maps.counts[:, c].any()]
    left_out = len(places) - _PLACES
    texts = [
        f"{maps.text} The vertical axis goes down, as in images; both axes have one scale. "
        + _chosen_text(chosen, len(maps.names), bool(wanted))
    ]
    if left_out > 0:
        texts.append(f"The {left_out} smallest clusters have no panel of their own.")
    return [Section("Clusters in the tissue", texts, maps.drawings(chosen, places[:_PLACES]))]


def _chosen_text(chosen: list[Chosen], n_fovs: int, named: bool) -> str:
    if named:
        return f"Drawn are the {len(chosen)} of {n_fovs:,} fields of view that --map-fovs names."
    if len(chosen) == n_fovs:
        return "All fields of view are drawn." if n_fovs > 1 else ""
    return (
        f"Drawn are {len(chosen)} of {n_fovs:,} fields of view: for each cluster in turn, from the "
        "largest on, the one where it has the largest share of the cells (fields of view with less "
        f"than {100 * _LARGE:.0f} % of the median number of cells come last)."
    )


class _Maps:
    """Fields of view, and what is in them."""

    def __init__(
        self,
        ids: pd.DataFrame,
        xy: npt.NDArray[np.float64],
        labels: npt.NDArray[np.int32],
        n_clusters: int,
        seed: int,
    ) -> None:
        self.xy, self.labels, self.seed = xy, labels, seed
        self.column = fov_column(ids)
        if self.column is None:
            self.names, codes = ["all cells"], np.zeros(len(labels), np.int64)
        else:
            codes, names = strata_of(ids[self.column])
            order = sorted(range(len(names)), key=lambda i: _natural(names[i]))
            self.names = [names[i] or "(no name)" for i in order]
            rank = np.empty(len(names), np.int64)
            rank[order] = np.arange(len(names))
            codes = rank[codes]
        known = labels >= 0
        counts = np.bincount(
            codes[known] * n_clusters + labels[known], minlength=len(self.names) * n_clusters
        )
        self.counts = counts.reshape(len(self.names), n_clusters)
        self.order = np.argsort(codes, kind="stable")
        self.edges = np.searchsorted(codes[self.order], np.arange(len(self.names) + 1))

    @property
    def text(self) -> str:
        """What the panels are."""
        if self.column is None:
            return "There is no column of fields of view: all cells are in one picture."
        return f"A panel is one value of {self.column}."

    def panel(self, fov: int, note: str = "", *, most: int | None = None) -> TissuePanel:
        """Return a field of view, or a sample of its cells."""
        rows = self.order[self.edges[fov] : self.edges[fov + 1]]
        if most is not None and len(rows) > most:
            rows = np.sort(generator(self.seed).choice(rows, size=most, replace=False))
        return TissuePanel(self.names[fov], note, self.xy[rows], self.labels[rows])

    def drawings(self, chosen: list[Chosen], places: list[int]) -> list[ReportFigure]:
        """Return the figures: clusters together, and one by one."""
        panels = [self.panel(pick.fov, _note(pick)) for pick in chosen]
        shares = self.counts / np.maximum(self.counts.sum(axis=1), 1)[:, None]
        table = pd.DataFrame(self.counts, index=pd.Index(self.names, name=self.column or "picture"))
        table.columns.name = "cluster"
        best = [_ranked(self.counts, shares, c)[0] for c in places]
        single = [
            (c, self.panel(fov, most=_MOST_POINTS)) for c, fov in zip(places, best, strict=True)
        ]
        where = ", ".join(
            f"{c} in {self.names[fov]} ({100 * shares[fov, c]:.0f} %)"
            for c, fov in list(zip(places, best, strict=True))[:6]
        )
        return [
            ReportFigure(
                figures.tissue_maps(panels),
                "Clusters in the tissue",
                "Each cell in the colour of its cluster. Where cells are denser than the dots of "
                "the picture, a dot has the colour of most of its cells.",
                f"Maps of {len(panels)} fields of view: "
                f"{', '.join(panel.title for panel in panels[:8])}.",
                ReportTable(table, "Number of cells, fields of view by clusters"),
                fmt="png",
            ),
            ReportFigure(
                figures.cluster_places(single),
                "Where each cluster is",
                "For each cluster the field of view where it has the largest share of the cells; "
                "all other cells are grey. Pale colours are darker here.",
                f"A map for each of {len(single)} clusters: {where}.",
                fmt="png",
            ),
        ]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which FOV_2 comes before FOV_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _note(pick: Chosen) -> str:
    return "" if pick.cluster is None else f"for cluster {pick.cluster} ({100 * pick.share:.0f} %)"
