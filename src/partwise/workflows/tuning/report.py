"""The report of tuning."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from partwise import __version__, figures
from partwise.report import (
    Box,
    Headline,
    Report,
    ReportFigure,
    ReportTable,
    Section,
    format_bytes,
    format_count,
    format_duration,
)
from partwise.utils.memory import peak_memory_bytes
from partwise.workflows.tuning.files import POINT
from partwise.workflows.tuning.text import alternatives_as_text, counted, sentence, setting

if TYPE_CHECKING:
    from partwise.workflows.tuning.files import TuneFindings

__all__ = ["build_report", "drawn_figures"]

_CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences.",
    "Traag, Waltman, van Eck. From Louvain to Leiden: guaranteeing well-connected communities. "
    "Scientific Reports 9, 5233 (2019).",
    "Lange, Roth, Braun, Buhmann. Stability-based validation of clustering solutions. Neural "
    "Computation 16, 1299 (2004).",
    "Owen, Perry. Bi-cross-validation of the SVD and the nonnegative matrix factorization. Annals "
    "of Applied Statistics 3, 564 (2009).",
)
_SURE, _DOUBTFUL = 0.8, 0.5
_MOST_LISTED = 500


def drawn_figures(found: TuneFindings) -> dict[str, tuple[Figure, str]]:
    """Draw the figures of a run.

    Parameters
    ----------
    found
        What the run found.

    Returns
    -------
    dict
        Kind -> (figure, what it shows): "components", "grid", "resolution", "confidence".
    """
    result, chosen = found.result, found.result.recommendation
    at = (chosen.n_components, chosen.n_neighbors, chosen.resolution)
    return {
        "components": (
            figures.rank_curves(
                result.rank.summary,
                recommended=chosen.n_components,
                spectrum=result.rank.spectrum,
            ),
            "errors, agreement and spectrum by number of factors",
        ),
        "grid": (
            figures.tuning_grid(result.grid, recommended=at),
            "score, stability, null and number of clusters at every setting",
        ),
        "resolution": (
            figures.resolution_ranges(
                result.grid, n_components=at[0], n_neighbors=at[1], resolution=at[2]
            ),
            "stability and number of clusters by resolution",
        ),
        "confidence": (
            figures.cluster_confidence(result.per_cluster),
            "how surely the cells of each cluster stay together",
        ),
    }


def build_report(
    found: TuneFindings, drawn: dict[str, Figure], outputs: dict[str, str], command: str
) -> Report:
    """Put what tuning found into words and figures.

    Parameters
    ----------
    found
        What a run found.
    drawn
        Its figures, by kind.
    outputs
        File name -> what it holds.
    command
        The command that repeats the run.

    Returns
    -------
    Report
        Everything `report.html` says.
    """
    n, p = found.table.shape
    sample = found.sample
    drawn_from = "all" if sample.complete else f"{format_count(len(sample.rows))} of"
    return Report(
        title=f"Which settings: {found.table.name}",
        subtitle=f"{counted(len(found.result.grid), 'setting')} on {drawn_from} {format_count(n)} "
        f"cells x {counted(p, 'feature')}",
        headlines=_headlines(found),
        box=_box(found),
        warnings=found.warnings,
        sections=[
            _factors(found, drawn),
            _settings(found, drawn),
            _resolutions(found, drawn),
            _clusters(found, drawn),
            _sample(found),
        ],
        methods=_methods(found),
        citation=_CITATION,
        command=command,
        parameters=found.parameters,
        outputs=outputs,
        facts={
            "partwise": __version__,
            "time until this report": format_duration(found.seconds["total"]),
            **{f"time: {k}": format_duration(s) for k, s in found.seconds.items() if k != "total"},
            "largest memory": format_bytes(peak_memory_bytes()),
        },
    )


def _tone(value: float) -> str:
    return "good" if value >= _SURE else "warn" if value < _DOUBTFUL else "plain"


def _headlines(found: TuneFindings) -> list[Headline]:
    chosen, point = found.result.recommendation, found.at_recommended
    small, null = float(point["share_small"]), ""
    if not math.isnan(point["null_ari"]):
        null = f"; data without clusters reach {point['null_ari']:.2f} at as many clusters"
    lines = [
        Headline("Clusters", format_count(chosen.n_clusters), "at the recommended setting"),
        Headline(
            "Stability",
            f"{point['mean_ari']:.2f}",
            f"agreement of replicates (adjusted Rand index){null}",
        ),
    ]
    if not math.isnan(chosen.confidence):
        lines.append(
            Headline(
                "Confidence",
                f"{chosen.confidence:.0%}",
                "how often resamples of the replicates give this number of clusters",
                tone=_tone(chosen.confidence),  # type: ignore[arg-type]
            )
        )
    lines.append(
        Headline(
            "Smallest cluster",
            format_count(int(point["min_cluster_size"])),
            f"cells of the sample; {small:.1%} are in clusters below "
            f"{found.parameters['min_cluster_size']:,}",
            tone="warn" if small > 0.05 else "plain",
        )
    )
    return lines


def _box(found: TuneFindings) -> Box:
    chosen = found.result.recommendation
    lines = [("Why", sentence(chosen.rule))]
    if not math.isnan(chosen.confidence):
        lines.append(
            (
                "How sure",
                f"{chosen.confidence:.0%} of resamples of the replicates give "
                f"{counted(chosen.n_clusters, 'cluster')}",
            )
        )
    lines += [
        ("Also possible" if i == 0 else "", text)
        for i, text in enumerate(alternatives_as_text(chosen.alternatives))
    ]
    lines += [
        ("What would change it" if i == 0 else "", text)
        for i, text in enumerate(chosen.would_change)
    ]
    lines.append(("All cells", "this command clusters them with it"))
    at = setting(chosen.n_components, chosen.n_neighbors, chosen.resolution)
    return Box(f"Recommended: {at} ({counted(chosen.n_clusters, 'cluster')})", lines, found.command)


def _factors(found: TuneFindings, drawn: dict[str, Figure]) -> Section:
    chosen, rank = found.result.recommendation, found.result.rank
    table = found.result.components.set_index("n_components").dropna(axis=1, how="all")
    return Section(
        "How many factors",
        [f"By the factorization alone: {rank.recommended} ({rank.rule})."],
        [
            ReportFigure(
                drawn["components"],
                "Errors, agreement and spectrum by number of factors",
                "Error on hidden entries falls while factors describe what entries have in common; "
                "error on all entries always falls, so it cannot tell. The band of the first is "
                "the 95 % interval of the difference from the lowest. Agreement: cosine of factors "
                "matched one to one between different starts, and how alike they group the cells. "
                "Spectrum: components above the grey line are not noise. The dashed line is the "
                "recommended number.",
                f"Curves over {len(table)} numbers of factors; {chosen.n_components} is marked.",
                ReportTable(_readable(table), "Means over the replicates"),
            )
        ],
    )


def _settings(found: TuneFindings, drawn: dict[str, Figure]) -> Section:
    grid, chosen = found.result.grid, found.result.recommendation
    by_score = grid.sort_values("score", ascending=False, kind="stable").set_index(list(POINT))
    at = setting(chosen.n_components, chosen.n_neighbors, chosen.resolution)
    return Section(
        "Every setting",
        [],
        [
            ReportFigure(
                drawn["grid"],
                "The grid",
                "Stability: mean agreement (adjusted Rand index) of replicates that differ in the "
                "starts of factorization, graph and clustering and in the cells drawn. Null: what "
                "data without clusters reach at as many clusters. Score: (stability - null) / (1 - "
                "null). The frame is the recommended setting; grey was not measured.",
                f"Heatmaps of {counted(len(grid), 'setting')}; {at} is framed.",
                ReportTable(_readable(by_score), "Settings by score", _MOST_LISTED),
            )
        ],
    )


def _resolutions(found: TuneFindings, drawn: dict[str, Figure]) -> Section:
    grid, chosen = found.result.grid, found.result.recommendation
    n, k = chosen.n_components, chosen.n_neighbors
    part = grid[(grid["n_components"] == n) & (grid["n_neighbors"] == k)].set_index("resolution")
    low, high = (float(part.loc[chosen.resolution, name]) for name in ("range_low", "range_high"))
    texts = []
    if math.isfinite(low) and math.isfinite(high) and high > low:
        texts = [
            f"The recommended partition holds from r={low:g} to r={high:g}: there each partition "
            "agrees with the next. The wider such a range, the less depends on the exact value."
        ]
    return Section(
        "Which resolution",
        texts,
        [
            ReportFigure(
                drawn["resolution"],
                "Stability and number of clusters by resolution",
                f"At n={n} and k={k}. Left, the agreement of replicates (band: one standard "
                "deviation) beside the null. Right, a thick line joins resolutions between which "
                "the partition holds: each agrees with the next. The dashed line is the "
                "recommended resolution.",
                f"Curves over {len(part)} resolutions; {chosen.resolution:g} is marked.",
                ReportTable(_readable(part.drop(columns=["n_components", "n_neighbors"]))),
            )
        ],
        _tree(found),
    )


def _tree(found: TuneFindings) -> list[ReportTable]:
    """Return the table of clusters and their parents, if there is more than one resolution."""
    if found.tree is None or found.tree["parent"].isna().all():
        return []
    tree = found.tree.dropna(subset="parent").drop(columns="parent_resolution")
    tree = tree.set_index(["resolution", "cluster"]).astype({"parent": int})
    caption = (
        "From which cluster of the next lower resolution most cells of each one come: as a share "
        "of its own cells, and of those of its parent"
    )
    return [ReportTable(_readable(tree), caption, _MOST_LISTED)]


def _clusters(found: TuneFindings, drawn: dict[str, Figure]) -> Section:
    table, confidence = found.result.per_cluster, found.result.confidence
    known = confidence[np.isfinite(confidence) & (found.result.labels >= 0)]
    texts = []
    if known.size:
        texts = [
            f"{np.mean(known < _DOUBTFUL):.1%} of the cells are with the rest of their cluster in "
            "less than half of the replicates; the table of cells says which."
        ]
    lowest = table.loc[table["confidence"].idxmin()] if table["confidence"].notna().any() else None
    alt = f"Bars of the confidence of {len(table)} clusters"
    if lowest is not None:
        alt += f"; the lowest, {lowest['confidence']:.2f}, is cluster {int(lowest['cluster'])}"
    return Section(
        "How sure each cluster is",
        texts,
        [
            ReportFigure(
                drawn["confidence"],
                "Confidence of the clusters",
                "How often two cells of a cluster are together in a replicate; beside it the "
                "cluster with which its cells are found together most often otherwise, and how "
                "often.",
                f"{alt}.",
                ReportTable(_readable(table.set_index("cluster"))),
            )
        ],
    )


def _sample(found: TuneFindings) -> Section:
    sample = found.sample
    if sample.complete:
        return Section("The sample", [f"All {format_count(sample.n_cells)} cells were used."])
    how = (
        f"in proportion from each value of {sample.by}, at least one from each"
        if sample.by
        else "at random: the table has no column fov, and --batch named none"
    )
    text = (
        f"{format_count(len(sample.rows))} of {format_count(sample.n_cells)} cells were drawn, "
        f"{how}."
    )
    table = ReportTable(_readable(sample.strata), "Cells, and how many of them were drawn")
    return Section("The sample", [text], [], [table] if sample.by else [])


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without columns of nothing, and with spaces in its names."""
    table = table.dropna(axis=1, how="all")
    table.columns = [str(name).replace("_", " ") for name in table.columns]
    table.index.names = [str(name).replace("_", " ") for name in table.index.names]
    return table


def _methods(found: TuneFindings) -> list[str]:
    options, chosen, sample = found.options, found.result.recommendation, found.sample
    n, p = found.table.shape
    grid = options.grid
    drawn = (
        f"All {n:,} cells"
        if sample.complete
        else f"A sample of {len(sample.rows):,} of {n:,} cells"
        + (f", in proportion from each {sample.by}," if sample.by else "")
    )
    return [
        f"{drawn} with {p:,} features {'were' if sample.complete else 'was'} clustered with "
        f"partwise {__version__} at {counted(grid.n_points, 'setting')}: "
        f"{_listed(grid.n_components)} factors, {_listed(grid.n_neighbors)} neighbours and "
        f"resolutions {_listed(grid.resolutions)}, with "
        f"{options.n_replicates} replicates each (seed {options.seed}) that differ in the seeds of "
        "factorization, graph and clustering and in the cells drawn. Stability is the mean "
        "adjusted Rand index of pairs of replicates, and the score (stability - null) / (1 - null) "
        "with the stability of a normal distribution of the same covariance, cut into as many "
        "clusters.",
        f"The setting {setting(chosen.n_components, chosen.n_neighbors, chosen.resolution)} was "
        f"recommended: {sentence(chosen.rule)}",
    ]


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
