"""The report of `partwise cluster --model`: where the new cells are, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from partwise import __version__, figures
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
from partwise.workflows.clustering.compare import comparison_sections
from partwise.workflows.clustering.niches import QUANTILE
from partwise.workflows.clustering.tissue import tissue_sections
from partwise.workflows.project_report import coverage_section

if TYPE_CHECKING:
    from partwise.workflows.clustering.assign_result import Assigned

__all__ = ["build_report"]

#: A cell whose niche has less than this share of the vote lies between niches.
_UNSURE = 0.6
#: More cells than this share that are unlike the known ones are marked.
_MANY = 0.05


def build_report(found: Assigned, outputs: dict[str, str], command: str) -> Report:
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
        title=f"New cells in known niches: {found.table.name}",
        subtitle=f"{format_count(n)} cells x {format_count(p)} features in "
        f"{found.niches.n_clusters} niches",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[
            _shares(found),
            _confidence(found),
            *tissue_sections(found.table, found.labels, found.niches.n_clusters, found.options),
            *comparison_sections(found.compared),
            coverage_section(found.model, found.coverage, least=found.options.least_coverage),
        ],
        methods=_methods(found),
        citation=[
            f"The partwise developers. partwise {__version__}: non-negative matrix factorization "
            "for the life sciences.",
            "Dudani. The distance-weighted k-nearest-neighbor rule. IEEE Transactions on Systems, "
            "Man, and Cybernetics 6, 325 (1976).",
        ],
        command=command,
        parameters=found.parameters,
        outputs=outputs,
        facts={
            "partwise": __version__,
            "time until this report": format_duration(found.seconds["total"]),
            "largest memory": format_bytes(peak_memory_bytes()),
        },
    )


def _headlines(found: Assigned) -> list[Headline]:
    n = max(1, found.table.shape[0])
    known = found.confidence[np.isfinite(found.confidence)]
    share = found.n_unseen / n
    lines = [
        Headline("Cells", format_count(found.table.shape[0])),
        Headline("Niches of the model", format_count(found.niches.n_clusters)),
        Headline(
            "Confidence",
            f"{np.median(known):.2f}" if known.size else "none",
            f"median share of the vote; {100 * float((known < _UNSURE).mean()):.1f} % of the cells "
            f"have less than {_UNSURE:g}"
            if known.size
            else "no cell has a neighbourhood",
        ),
        Headline(
            "Unlike known cells",
            f"{100 * share:.2f} %",
            "of the cells; fewer than 1 % are expected of cells like those of the model",
            tone="warn" if share > _MANY else "plain",
        ),
        Headline(
            "Features of the model",
            f"{100 * found.coverage.features:.1f} %",
            f"{format_count(found.coverage.n_shared)} of {format_count(found.coverage.n_model)} "
            "are there",
            tone="good" if not found.coverage.missing else "plain",
        ),
    ]
    if found.n_isolated:
        note = "no neighbourhood; leiden_cluster is -1"
        lines.append(Headline("Isolated cells", format_count(found.n_isolated), note, "warn"))
    return lines


def _summary(found: Assigned) -> list[str]:
    sizes, n = found.sizes, max(1, found.table.shape[0])
    order = np.argsort(-sizes, kind="stable")[:5]
    main = ", ".join(f"niche {c} {100 * sizes[c] / n:.1f} %" for c in order if sizes[c])
    empty = int((sizes == 0).sum())
    texts = [
        f"Each of the {format_count(found.table.shape[0])} cells was given the niche for which "
        f"the {found.niches.n_neighbors} nearest cells of the model vote. Most are in {main}."
        + (f" {empty} niches of the model have no new cell." if empty else "")
    ]
    if found.compared is not None:
        texts.append(f"{found.compared.line}.")
    return texts


def _shares(found: Assigned) -> Section:
    counts = pd.DataFrame(
        {"cells of the model": found.niches.sizes, "new cells": found.sizes},
        index=pd.RangeIndex(found.niches.n_clusters, name="cluster"),
    )
    old, new = (counts[name] / max(1, counts[name].sum()) for name in counts)
    gap = 0.5 * float((old - new).abs().sum())
    return Section(
        "Niches of the new cells",
        [
            f"To have the composition of the model's cells, {100 * gap:.1f} % of the new cells "
            "would have to be in another niche (total variation distance)."
        ],
        [
            ReportFigure(
                figures.cluster_shares(counts),
                "Share of each niche, before and now",
                "Cells without a neighbourhood are left out. Grey: the run that made the model.",
                f"Two bars for each of {len(counts)} niches; the shares differ by "
                f"{100 * gap:.1f} % in all.",
                ReportTable(counts.assign(share_model=old, share_new=new), "Number of cells"),
            )
        ],
    )


def _confidence(found: Assigned) -> Section:
    summary = _by_cluster(found)
    return Section(
        "How sure the niches are",
        [
            "Confidence is the share of the vote that a cell's niche has among the nearest cells "
            "of the model, each weighted by one over its distance: 1 inside a niche, about one "
            "half between two. It does not say whether the cell is like any of them.",
            "That is said by the column “unseen”: the cell lies farther from the nearest known "
            f"cells of its niche than {100 * QUANTILE:g} % of these do from each other, or the "
            f"programs leave more of it unexplained than of {100 * QUANTILE:g} % of them (more "
            f"than {100 * found.niches.unexplained:.2g} % of its sum of squares).",
        ],
        [
            ReportFigure(
                figures.assignment_confidence(summary),
                "Confidence in each niche",
                "Dot: median; thick: the middle half of the cells; thin: 5 to 95 %. Right: share "
                "of the cells that are unlike the known ones.",
                f"Ranges of the confidence in {len(summary)} niches; medians from "
                f"{summary['median'].min():.2f} to {summary['median'].max():.2f}.",
                ReportTable(summary, "Quantiles of the confidence, and share of unseen cells"),
            )
        ],
    )


def _by_cluster(found: Assigned) -> pd.DataFrame:
    levels = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    K = found.niches.n_clusters
    table = np.full((K, len(levels) + 1), np.nan)
    order = np.argsort(found.labels, kind="stable")
    edges = np.searchsorted(found.labels[order], np.arange(K + 1))
    for cluster in range(K):
        members = order[edges[cluster] : edges[cluster + 1]]
        if len(members):
            table[cluster, :-1] = np.quantile(found.confidence[members], list(levels.values()))
            table[cluster, -1] = found.unseen[members].mean()
    return pd.DataFrame(table, columns=[*levels, "unseen"], index=pd.RangeIndex(K, name="cluster"))


def _methods(found: Assigned) -> list[str]:
    n, niches = found.table.shape[0], found.niches
    return [
        f"{n:,} cells were assigned to the {niches.n_clusters} niches of a model of "
        f"{int(niches.sizes.sum()):,} cells with partwise {__version__}: the usage of its "
        f"{found.usage.shape[1]} programs was found as the exact non-negative least squares "
        f"solution, cell by cell, on {found.coverage.n_shared:,} features (of "
        f"{found.coverage.n_model:,}); the {niches.n_neighbors} nearest of "
        f"{len(niches.labels):,} known cells, by the distance of reconstructions in which the "
        "niches were found, voted with one over their distance."
    ]
