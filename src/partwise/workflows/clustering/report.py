"""The report of the cluster job: what was found, the figures, the methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise import __version__, figures
from partwise.metrics import contingency
from partwise.report import (
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
from partwise.workflows.cells import counted_text
from partwise.workflows.clustering.compare import comparison_sections
from partwise.workflows.clustering.metadata import (
    MOST_LEVELS,
    Column,
    crosstab,
    enrichment_figure,
    metadata_sections,
    profile_figure,
)
from partwise.workflows.clustering.small import SMALL_LABEL
from partwise.workflows.clustering.svd import svd_sections
from partwise.workflows.clustering.sweep import sweep_sections
from partwise.workflows.clustering.tissue import tissue_sections
from partwise.workflows.tuning.text import counted

if TYPE_CHECKING:
    from partwise.workflows.clustering.result import Findings

__all__ = ["build_report"]

#: columns that say where cells come from, not what they are
_PLACES = ("fov", "sample", "patient", "batch", "slide", "region")

_CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences.",
    "Traag, Waltman, van Eck. From Louvain to Leiden: guaranteeing well-connected communities. "
    "Scientific Reports 9, 5233 (2019).",
)
_SOLVER_CITATION = {
    "hals": "Cichocki, Phan. Fast local algorithms for large scale nonnegative matrix and tensor "
    "factorizations. IEICE Transactions E92-A, 708 (2009).",
    "bpp": "Kim, Park. Fast nonnegative matrix factorization: an active-set-like method and "
    "comparisons. SIAM Journal on Scientific Computing 33, 3261 (2011).",
    "minibatch": "Lefevre, Bach, Fevotte. Online algorithms for nonnegative matrix factorization "
    "with the Itakura-Saito divergence. WASPAA, 313 (2011).",
}


def build_report(found: Findings, outputs: dict[str, str], command: str) -> Report:
    """Put a run's findings into words and figures.

    Parameters
    ----------
    found
        The findings.
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
    return Report(
        title=f"Clusters of cells: {found.table.name}",
        subtitle=f"{format_count(n)} cells x {format_count(p)} features, "
        f"{found.fit.programs.shape[0]} factors",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[
            *_cells(found),
            *svd_sections(found.svd),
            _factors(found),
            _clusters(found),
            *tissue_sections(
                found.table,
                found.rows.clustering.labels,
                found.rows.clustering.n_clusters,
                found.options,
            ),
            _control(found),
            *_compositions(found),
            *comparison_sections(found.compared),
            _embedding(found),
            *metadata_sections(found),
            *sweep_sections(found.sweep),
            _convergence(found),
        ],
        methods=_methods(found),
        citation=[*_CITATION, _SOLVER_CITATION[found.options.solver]],
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


def _headlines(found: Findings) -> list[Headline]:
    fit, clustering, control = found.fit, found.rows.clustering, found.control
    n = found.table.shape[0]
    fitted = f"0 is exact, 1 is what zeros reach; {fit.status.advice}"
    tone: Literal["plain", "good", "warn"] = "good" if fit.converged else "warn"
    if _exact(found):
        fitted, tone = "as many factors as features reproduce any table, whatever is in it", "plain"
    lines = [
        Headline("Cells", format_count(n), f"{format_count(found.rows.n_distinct)} distinct rows"),
        Headline("Clusters", format_count(clustering.n_clusters)),
        Headline(
            "Relative error",
            f"{fit.relative_error:.3g}",
            fitted,
            tone=tone,
        ),
        Headline(
            "Agreement with raw features",
            f"{control.adjusted_rand:.3f}",
            f"adjusted Rand index on {control.scope}: 1 is equal, 0 is chance",
        ),
    ]
    if found.rows.n_isolated:
        note = "no neighbourhood; leiden_cluster is -1"
        lines.append(Headline("Isolated cells", format_count(found.rows.n_isolated), note, "warn"))
    return lines


def _summary(found: Findings) -> list[str]:
    clustering, control = found.rows.clustering, found.control
    n = found.table.shape[0]
    shares = ", ".join(f"{100 * size / n:.1f} %" for size in clustering.sizes[:8])
    more = ", ..." if clustering.n_clusters > 8 else ""
    return [
        f"The {format_count(n)} cells fall into {counted(clustering.n_clusters, 'cluster')}, "
        f"which hold {shares}{more} of the cells. The relative error of "
        f"{counted(found.fit.programs.shape[0], 'factor')} is {found.fit.relative_error:.3g}.",
        f"As a control the same clustering was made from {control.space}, without factors, on "
        f"{control.scope}: {counted(control.n_raw_clusters, 'cluster')}, adjusted Rand index "
        f"{control.adjusted_rand:.3f}. "
        + (
            "The two agree, so the clusters do not depend on the factorization."
            if control.adjusted_rand >= 0.9
            else "The two differ: look at the control below before choosing one of them."
        ),
    ]


def _cells(found: Findings) -> list[Section]:
    prepared = found.prepared
    if not prepared.sentences:
        return []
    tables = []
    if prepared.strata is not None:
        tables = [ReportTable(prepared.strata, "Cells of each stratum, and how many were drawn")]
    return [Section("Cells", prepared.sentences, tables=tables)]


def _factors(found: Findings) -> Section:
    programs = pd.DataFrame(
        found.fit.programs.T, index=list(found.table.features), columns=list(found.factor_names)
    )
    explained = found.fit.explained
    main = ", ".join(
        f"{name} ({programs[name].idxmax()})" for name in programs.columns[: min(8, len(explained))]
    )
    return Section(
        "Factors",
        [
            "Each factor is a neighbourhood that cells can have more or less of."
            if not _exact(found)
            else "There are as many factors as features, so that each can be a feature by itself, "
            "and a small error says nothing. Fewer factors (-n) have to be shared by features that "
            "occur together; partwise tune and partwise rank compare several numbers."
        ],
        [
            ReportFigure(
                figures.programs_heatmap(programs, explained=explained),
                "What the factors are made of",
                "Share of each feature in each factor; under a factor's name, the share of the "
                "data that it explains.",
                f"Heatmap of features by factors. Largest feature of each: {main}.",
                ReportTable(programs, "Weights of the features, H transposed"),
            )
        ],
    )


def _exact(found: Findings) -> bool:
    """Whether there are enough factors to reproduce any table of this shape."""
    return bool(found.fit.programs.shape[0] >= min(found.table.shape))


def _clusters(found: Findings) -> Section:
    labels = found.rows.clustering.labels
    sizes = pd.Series(found.rows.clustering.sizes, name="cells")
    sizes.index.name = "cluster"
    shown = sizes
    if found.rows.n_isolated:
        shown = pd.concat([shown, pd.Series({-1: found.rows.n_isolated})])
    if found.small is not None and found.small.n_marked:
        shown = pd.concat([shown, pd.Series({SMALL_LABEL: found.small.n_marked})])
    mean = _mean_usage(found.usage, labels, len(sizes), found.factor_names)
    largest = int(sizes.iloc[0]) if len(sizes) else 0
    small = [] if found.small is None else [found.small]
    return Section(
        "Clusters",
        [f"{text[0].upper()}{text[1:]}." for text in (part.sentence for part in small)],
        [
            ReportFigure(
                figures.cluster_sizes(shown),
                "Cells per cluster",
                "Clusters are numbered by size.",
                f"Bars of the cells in {len(sizes)} clusters; the largest has {largest:,}.",
                sizes.to_frame(),
            ),
            ReportFigure(
                figures.usage_by_cluster(mean),
                "Factors in each cluster",
                "Mean usage of a factor by the cells of a cluster, relative to the cluster that "
                "uses it most.",
                "Heatmap of clusters by factors.",
                ReportTable(mean, "Mean usage"),
            ),
            profile_figure(found.profiles, prepared=bool(found.prepared.steps)),
        ],
        [
            ReportTable(part.moves.set_index("small_cluster"), "What became of small clusters")
            for part in small
            if part.n_clusters
        ],
    )


def _mean_usage(
    usage: npt.NDArray[Any], labels: npt.NDArray[np.int32], n_clusters: int, names: tuple[str, ...]
) -> pd.DataFrame:
    """Return the mean usage of each factor in each cluster, isolated cells left out."""
    shifted = np.maximum(labels, -1) + 1  # those in no cluster first
    counts = np.bincount(shifted, minlength=n_clusters + 1)[1:]
    sums = [np.bincount(shifted, column, minlength=n_clusters + 1)[1:] for column in usage.T]
    mean = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return pd.DataFrame(mean, columns=list(names), index=pd.RangeIndex(n_clusters, name="cluster"))


def _control(found: Findings) -> Section:
    control = found.control
    table = contingency(control.raw, control.factors).toarray()
    counts = pd.DataFrame(table, index=np.unique(control.raw), columns=np.unique(control.factors))
    counts.index.name, counts.columns.name = "raw", "factors"
    how = (
        "all cells"
        if control.rows is None
        else f"{control.scope}; the raw features were clustered on this sample alone, with "
        "neighbours from within it"
    )
    return Section(
        "Control: clusters without the factorization",
        [
            f"The same neighbours and resolution, from {control.space} in place of what the "
            f"factors say, on {how}."
        ],
        [
            ReportFigure(
                figures.agreement_heatmap(counts, adjusted_rand=control.adjusted_rand),
                "Clusters from raw features beside those from factors",
                "Share of the cells of a raw-feature cluster that are in each factor cluster.",
                f"Heatmap of {control.n_raw_clusters} clusters of the raw features by the clusters "
                f"of the factors; adjusted Rand index {control.adjusted_rand:.3f}.",
                ReportTable(counts, "Number of cells"),
                fmt="png" if counts.size > 2_000 else "svg",
            )
        ],
    )


def _compositions(found: Findings) -> list[Section]:
    drawn = []
    for name in found.table.ids.columns:
        if name in found.options.color_by:
            continue  # it has a section of its own
        column = Column.of(found.table.ids[name], most=MOST_LEVELS)
        counts = crosstab(found.rows.clustering.labels, column)
        if counts is None:
            continue
        # few kinds (cell types) are the parts of a cluster; many places (fields of view) are
        # themselves made of clusters
        places = str(name).lower() in _PLACES
        figure = figures.composition(
            counts if places else counts.T,
            group_label=name if places else "Cluster",
            part_label="Cluster" if places else name,
            colors=figures.cluster_colors(list(counts.columns)) if places else None,
        )
        drawn.append(
            ReportFigure(
                figure,
                f"Clusters by {name}",
                f"Share of the cells of each {name if places else 'cluster'}.",
                f"Composition of {counts.shape[0]} values of {name} by {counts.shape[1]} clusters.",
                ReportTable(counts, f"Number of cells, {name} by cluster"),
            )
        )
        if not places:
            drawn.append(enrichment_figure(counts))
    return [Section("Composition", [], drawn)] if drawn else []


def _embedding(found: Findings) -> Section:
    points, labels = found.points, found.point_labels
    n = found.table.shape[0]
    which = "all" if len(points) == n else f"a random sample of {len(points):,}"
    method = "UMAP" if found.options.umap else "The first two principal components"
    return Section(
        "Embedding",
        [],
        [
            ReportFigure(
                figures.embedding(points, labels, group_label="Cluster"),
                "Cells in the plane",
                f"{method} of what the factors say about {which} cells. For the eye only: "
                "clusters are found in all dimensions.",
                f"Cloud of {len(points):,} cells, coloured by {labels.nunique()} clusters.",
                fmt="png",
            )
        ],
    )


def _convergence(found: Findings) -> Section:
    fit = found.fit
    loss = pd.DataFrame({"loss": fit.loss}, index=pd.RangeIndex(1, len(fit.loss) + 1))
    loss.index.name = "iteration"
    return Section(
        "Convergence of the factorization",
        [f"Status after {fit.n_iter} iterations: {fit.status.advice}."]
        + [f"{name.replace('_', ' ')}: {value:.4g}" for name, value in fit.details.items()],
        [
            ReportFigure(
                figures.loss_curve(fit.loss, tol=found.tol, converged=fit.converged),
                "Loss by iteration",
                "The objective of the factorization, and how much it changes.",
                f"Curve of the loss over {len(fit.loss)} iterations.",
                loss,
            )
        ],
    )


def _methods(found: Findings) -> list[str]:
    n, p = found.table.shape
    options, rows, fit = found.options, found.rows, found.fit
    recall = "exact" if rows.recall >= 1 else f"approximate, recall {rows.recall:.3f} on a sample"
    counted = counted_text(found.table)
    return [
        *([counted] if counted else []),
        *found.prepared.sentences,
        f"A table of {n:,} cells and {p:,} features was factorized into {fit.programs.shape[0]} "
        f"non-negative factors with partwise {__version__} (solver {options.solver}, start "
        f"{options.init}, seed {options.seed}); the relative error of the fit is "
        f"{fit.relative_error:.3g} ({'converged' if fit.converged else 'not converged'} after "
        f"{fit.n_iter} iterations). The {rows.n_distinct:,} distinct reconstructed rows"
        f"{', each scaled to a sum of one' if options.normalize_usage else ''}, "
        f"weighted by how many cells share them, were joined to {rows.n_neighbors} nearest "
        f"neighbours ({options.metric}; {rows.method}, {recall}) and clustered by the Leiden "
        f"algorithm, begun by a round without refinement (modularity, resolution "
        f"{options.resolution:g} relative to the length of the graph's links, "
        f"{rows.clustering.resolution:.3g} in its own terms), which gave "
        f"{rows.clustering.n_clusters + (found.small.n_clusters if found.small else 0)} clusters."
        + (f" Then {found.small.sentence}." if found.small and found.small.n_clusters else ""),
    ]
