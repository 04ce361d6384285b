"""What clusters are made of, and how they lie beside what else is known of the cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise import figures
from partwise.io.writers import write_csv
from partwise.matrix.moments import column_moments
from partwise.report import ReportFigure, ReportTable, Section
from partwise.workflows.clustering.prepare import group_means

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.clustering.files import Written
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.clustering.result import Findings
    from partwise.workflows.outputs import RunFolder

__all__ = [
    "MOST_LEVELS",
    "Column",
    "Profiles",
    "advice_on_colors",
    "crosstab",
    "enrichment_figure",
    "metadata_sections",
    "normalized_entropy",
    "profile_figure",
    "profiles_of",
    "write_profiles",
]

#: A column of numbers with more values than this is a measurement, not a name.
_MOST_CODES = 12
_LOOKED_AT = 10_000
#: Levels of a column whose composition is shown.
MOST_LEVELS = 2_000
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Cells that are added to each expectation, so that a rare type gives no wild ratio.
_PSEUDO = 1.0


@dataclass(frozen=True)
class Profiles:
    """What the cells of each cluster have of each feature.

    Attributes
    ----------
    means
        Mean of each feature over the cells of a cluster, clusters x features, of the values that
        were factorized.
    scores
        How many standard deviations of all cells they lie above the mean of all cells.
    """

    means: pd.DataFrame
    scores: pd.DataFrame


@dataclass(frozen=True)
class Column:
    """A column of the identifiers, as names or as numbers.

    Attributes
    ----------
    name
        Its name.
    numbers
        Its values, if it measures something; missing ones are NaN.
    names
        Its values as categories in their order, if it names something; missing ones have none.
    """

    name: str
    numbers: pd.Series | None
    names: pd.Series | None

    @classmethod
    def of(cls, column: pd.Series, *, most: int | None = None) -> Column:
        """Tell names from measurements: numbers with more than 12 different values measure.

        A column with more than `most` different values is neither: what they are is not looked at.
        """
        numeric = pd.api.types.is_numeric_dtype(column.dtype)
        # labels and positions of millions of cells are seen to measure without counting them all
        if numeric and len(pd.unique(column.head(_LOOKED_AT))) > _MOST_CODES:
            numbers = column.to_numpy(dtype=float, na_value=np.nan)
            return cls(str(column.name), pd.Series(numbers, name=column.name), None)
        codes, found = pd.factorize(column)
        if most is not None and len(found) > most:
            return cls(str(column.name), None, None)
        texts = ["" if pd.isna(value) else str(value).strip() for value in found]
        values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(float)
        given = np.array([text != "" for text in texts], bool)
        name = str(column.name)
        if given.any() and np.isfinite(values[given]).all():
            if len(np.unique(values[given])) > _MOST_CODES:
                numbers = np.where(codes >= 0, values[codes], np.nan)
                return cls(name, pd.Series(numbers, name=name), None)
            order = np.lexsort((texts, values))
        else:
            order = np.array(sorted(range(len(texts)), key=lambda i: _natural(texts[i])), np.intp)
        levels = list(dict.fromkeys(texts[i] for i in order if texts[i]))
        place = {text: i for i, text in enumerate(levels)}
        of_value = np.array([place.get(text, -1) for text in texts] or [-1], np.int64)
        categories = pd.Categorical.from_codes(np.where(codes >= 0, of_value[codes], -1), levels)
        return cls(name, None, pd.Series(categories, name=name))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which FOV 2 stands before FOV 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in parts]


def profiles_of(table: Table, labels: npt.NDArray[np.int32], n_clusters: int) -> Profiles:
    """Return mean and standing of each feature in each cluster.

    With the mean m_j and the standard deviation s_j of feature j over all cells:

        z_cj = (mean of x_j over the cells of cluster c - m_j) / s_j,

    0 where s_j is 0.

    Parameters
    ----------
    table
        X as it was factorized, n x p; values on disk stay there.
    labels
        Cluster of each cell; below 0 are left out of the clusters.
    n_clusters
        Clusters.

    Returns
    -------
    Profiles
        Two tables of clusters x features.
    """
    means = group_means(table.matrix, labels.astype(np.int64), n_clusters)
    moments = column_moments(table.matrix)
    spread = np.sqrt(moments.variance)
    # what varies by less than rounding does not vary
    spread = np.where(spread > 1e-7 * np.abs(moments.mean), spread, np.inf)
    index = pd.RangeIndex(n_clusters, name="cluster")
    columns = list(table.features)
    return Profiles(
        pd.DataFrame(means, index=index, columns=columns),
        pd.DataFrame((means - moments.mean) / spread, index=index, columns=columns),
    )


def write_profiles(found: Findings, folder: RunFolder) -> tuple[Written, list[str]]:
    """Write the means of the clusters; return the file and what to know of it."""
    name = f"{found.table.name}_cluster_means.csv"
    clustering, means = found.rows.clustering, found.profiles.means
    columns: dict[str, Any] = {"cluster": means.index.to_numpy(), "n_cells": clustering.sizes}
    again = set(columns) & set(means.columns)
    columns.update(
        (f"mean {key}" if key in again else str(key), values.to_numpy())
        for key, values in means.items()
    )
    notes = write_csv(folder.path(name), columns)
    return {"means": (name, "mean of each feature in each cluster")}, list(notes)


def profile_figure(profiles: Profiles, *, prepared: bool) -> ReportFigure:
    """Return the heatmap of clusters by features.

    Parameters
    ----------
    profiles
        Means and scores.
    prepared
        Whether the values were normalised first.
    """
    values = "normalised values" if prepared else "values"
    n_clusters, p = profiles.scores.shape
    return ReportFigure(
        figures.cluster_profiles(
            profiles.scores,
            scale_label="Standard deviations from all cells",
            column_label="Feature",
        ),
        "What the cells of each cluster have around them",
        f"Mean of each feature in a cluster less the mean of all cells, in standard deviations of "
        f"the {values} of all cells: red is more, blue less than usual.",
        f"Heatmap of {p} features by {n_clusters} clusters.",
        ReportTable(profiles.means, "Mean of each feature"),
    )


def crosstab(labels: npt.NDArray[np.int32], column: Column) -> pd.DataFrame | None:
    """Count cells by value of a column and label; None if it measures or hardly repeats.

    Returns
    -------
    DataFrame or None
        Values x labels; the labels -1 and -2 only where there are such cells.
    """
    names = column.names
    if names is None:
        return None
    codes, levels = names.cat.codes.to_numpy(), names.cat.categories
    if not 1 < len(levels) <= min(MOST_LEVELS, max(2, len(names) // 2)):
        return None
    first = min(0, int(labels.min(initial=0)))
    width = int(labels.max(initial=-1)) + 1 - first
    known = codes >= 0
    place = codes.astype(np.int64) * width + (labels - first)
    counts = np.bincount(place[known], minlength=len(levels) * width)
    frame = pd.DataFrame(
        counts.reshape(len(levels), width),
        index=pd.Index(list(levels), name=column.name),
        columns=pd.RangeIndex(first, first + width, name="cluster"),
    )
    there = (frame.columns >= 0) | (frame.sum(axis=0) > 0).to_numpy()
    return frame.loc[frame.sum(axis=1) > 0, there]


def normalized_entropy(counts: pd.DataFrame) -> tuple[pd.Series, float]:
    """Return how evenly the values of a column are mixed in each cluster, and in all cells.

    With p_v the share of value v among the cells of a cluster, and V values in all:

        - sum_v p_v log p_v / log V,

    0 if all cells have one value, 1 if all values are equally common. Compare it with that of all
    cells: a cluster cannot be expected to mix values evenly that are not evenly common.

    Parameters
    ----------
    counts
        Cells, values x clusters; clusters below 0 are left out of the first result.

    Returns
    -------
    by_cluster
        Indexed by cluster; NaN for a cluster without cells that have a value.
    overall
        Of all cells.

    Examples
    --------
    >>> by_cluster, overall = normalized_entropy(pd.DataFrame({0: [5, 5], 1: [8, 0]}))
    >>> by_cluster.round(3).tolist(), round(overall, 3)
    ([1.0, 0.0], 0.852)
    """
    numbers = counts.to_numpy(dtype=float)
    if len(numbers) < 2:
        empty = pd.Series(np.zeros(counts.shape[1]), index=counts.columns)
        return empty[empty.index >= 0], 0.0
    together = np.column_stack([numbers, numbers.sum(axis=1)])
    totals = together.sum(axis=0)
    shares = together / np.where(totals > 0, totals, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares), np.where(shares == 0, 0.0, np.nan))
    entropy = -terms.sum(axis=0) / np.log(len(numbers)) + 0.0
    by_cluster = pd.Series(entropy[:-1], index=counts.columns, name="normalised entropy")
    return by_cluster[by_cluster.index >= 0], float(entropy[-1])


def enrichment_figure(counts: pd.DataFrame) -> ReportFigure:
    """Return the heatmap of how much more common each value is in a cluster than in all cells.

    The logarithm to base 2 of the cells that were counted over those expected, one cell added to
    both.

    Parameters
    ----------
    counts
        Cells, values x clusters.
    """
    inside = counts.loc[:, counts.columns >= 0].to_numpy(dtype=float)
    everywhere = counts.sum(axis=1).to_numpy(dtype=float)
    expected = np.outer(everywhere / everywhere.sum(), inside.sum(axis=0))
    folds = np.log2((inside + _PSEUDO) / (expected + _PSEUDO))
    clusters = counts.columns[counts.columns >= 0]
    scores = pd.DataFrame(folds.T, index=clusters, columns=list(counts.index))
    name = str(counts.index.name)
    return ReportFigure(
        figures.cluster_profiles(scores, scale_label="Doublings over all cells", column_label=name),
        f"More and less common {name} in each cluster",
        f"How often a {name} occurs in a cluster relative to all cells, as a power of two: 1 is "
        "twice, -1 is half as common.",
        f"Heatmap of {len(counts)} values of {name} by {len(clusters)} clusters.",
        ReportTable(scores.T, "Doublings"),
    )


def advice_on_colors(table: Table, options: ClusterOptions) -> list[str]:
    """Return what the columns to colour by let us expect."""
    texts = []
    for name in options.color_by:
        column = Column.of(table.ids[name])
        if column.names is None:
            continue
        n = len(column.names.cat.categories)
        if n < 2:
            texts.append(f"color_by: {name!r} has the same value in all cells")
        elif n > min(MOST_LEVELS, max(2, len(column.names) // 2)):
            texts.append(
                f"color_by: {name!r} has {n:,} different values in {len(column.names):,} cells; it "
                "is drawn in the embedding, but no composition is"
            )
    return texts


def metadata_sections(found: Findings) -> list[Section]:
    """Return a part of the report for each column that was asked for."""
    return [_section(found, name) for name in found.options.color_by]


def _section(found: Findings, name: str) -> Section:
    column = Column.of(found.table.ids[name])
    labels = found.rows.clustering.labels
    chosen = found.points.index.to_numpy()
    caption = (
        f"The same cells in the same places as in the embedding by cluster, coloured by {name}."
    )
    alt = f"Cloud of {len(found.points):,} cells, coloured by {name}."
    if column.numbers is not None:
        numbers = column.numbers
        by_cluster = _quantiles(numbers, labels, found.rows.clustering.n_clusters)
        drawn = [
            ReportFigure(
                figures.values_by_cluster(by_cluster, label=name),
                f"{name} by cluster",
                "Median, middle half and middle nine tenths of the cells of each cluster.",
                f"Ranges of {name} in {len(by_cluster)} clusters.",
                ReportTable(by_cluster, f"Quantiles of {name}"),
            ),
            ReportFigure(
                figures.embedding_values(found.points, numbers.iloc[chosen], label=name),
                f"Cells in the plane by {name}",
                caption,
                alt,
                fmt="png",
            ),
        ]
        return Section(f"By {name}", [], drawn)
    assert column.names is not None
    counts = crosstab(labels, column)
    drawn = [] if counts is None else _level_figures(counts, name)
    groups = column.names.iloc[chosen]
    drawn.append(
        ReportFigure(
            figures.embedding(found.points, groups, group_label=name),
            f"Cells in the plane by {name}",
            caption,
            alt,
            fmt="png",
        )
    )
    return Section(f"By {name}", [], drawn)


def _level_figures(counts: pd.DataFrame, name: str) -> list[ReportFigure]:
    entropy, overall = normalized_entropy(counts)
    table = entropy.to_frame()
    table["cells"] = counts.sum(axis=0)
    table["commonest"] = [counts[cluster].idxmax() for cluster in entropy.index]
    return [
        ReportFigure(
            figures.composition(
                counts,
                group_label=name,
                part_label="Cluster",
                colors=figures.cluster_colors(list(counts.columns)),
            ),
            f"Clusters by {name}",
            f"Share of the cells of each {name}.",
            f"Composition of {counts.shape[0]} values of {name} by {counts.shape[1]} clusters.",
            ReportTable(counts, f"Number of cells, {name} by cluster"),
        ),
        ReportFigure(
            figures.entropy_by_cluster(entropy, overall=overall, label=name),
            f"How well clusters mix {name}",
            f"0: all cells of the cluster have one {name}; 1: all are equally common in it. The "
            "line is what all cells together have. A cluster far to the left of it belongs to "
            f"few values of {name}: for a batch, that asks for a second look.",
            f"Normalised entropy of {name} in {len(entropy)} clusters; {overall:.2f} in all cells.",
            ReportTable(table, f"Normalised entropy of {name}"),
        ),
    ]


def _quantiles(numbers: pd.Series, labels: npt.NDArray[np.int32], n_clusters: int) -> pd.DataFrame:
    known = numbers.notna().to_numpy() & (labels >= 0)
    grouped = numbers[known].groupby(labels[known])
    table = pd.DataFrame({q: grouped.quantile(q) for q in _QUANTILES})
    table.index.name = "cluster"
    return table.reindex(pd.RangeIndex(n_clusters, name="cluster"))
