"""The report of the neighbourhoods job."""

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

if TYPE_CHECKING:
    from partwise.workflows.neighborhoods_job import NeighborhoodsFindings

__all__ = ["build_report"]

_CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences.",
)
_QUICKHULL = (
    "Barber, Dobkin, Huhdanpaa. The Quickhull algorithm for convex hulls. ACM Transactions on "
    "Mathematical Software 22, 469 (1996)."
)
_MOST_TYPES = 150  # of a heatmap that can still be read
_HISTOGRAM_LINES = 200


def build_report(found: NeighborhoodsFindings, outputs: dict[str, str], command: str) -> Report:
    """Put neighbourhoods into words and figures.

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
    n, resolved = len(found.cells.ids), found.around.resolved
    triangulated = resolved["neighborhood"] in ("delaunay", "hops")
    return Report(
        title=f"Neighbourhoods of cells: {found.cells.name}",
        subtitle=f"{format_count(n)} cells in {format_count(len(found.fovs))} fields of view, "
        f"{len(found.around.table.types)} types",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[_numbers(found), _fovs(found), _types(found)],
        methods=_methods(found),
        citation=[*_CITATION, *([_QUICKHULL] if triangulated else [])],
        command=command,
        parameters=resolved,
        outputs=outputs,
        facts={
            "partwise": __version__,
            "time until this report": format_duration(found.seconds["total"]),
            **{f"time: {k}": format_duration(s) for k, s in found.seconds.items() if k != "total"},
            "largest memory": format_bytes(peak_memory_bytes()),
        },
    )


def _headlines(found: NeighborhoodsFindings) -> list[Headline]:
    others, alone = found.around.others, found.around.n_alone
    low, high = np.quantile(others, [0.05, 0.95])
    return [
        Headline("Cells", format_count(others.shape[0])),
        Headline("Fields of view", format_count(len(found.fovs))),
        Headline("Types", format_count(len(found.around.table.types))),
        Headline(
            "Neighbours per cell",
            f"{others.mean():,.1f}",
            f"on average; from {low:,.0f} to {high:,.0f} for nine cells in ten",
        ),
        Headline(
            "Cells without neighbours",
            format_count(alone),
            ""
            if not alone
            else f"{alone / others.shape[0]:.2%} of the cells; their rows are "
            + ("their own type alone" if found.options.include_self else "all zero"),
            tone="warn" if alone > 0.05 * others.shape[0] else "plain",
        ),
    ]


def _summary(found: NeighborhoodsFindings) -> list[str]:
    what = "numbers" if found.options.counts else "shares"
    if found.options.kernel:
        what = "weights" if found.options.counts else "shares of the weight"
    return [
        f"The neighbours of a cell are {found.around.text}. The table holds the {what} of the "
        f"{len(found.around.table.types)} types among them."
    ]


def _numbers(found: NeighborhoodsFindings) -> Section:
    others = found.around.others
    values, counts = np.unique(others, return_counts=True)
    table = pd.DataFrame({"cells": counts}, index=pd.Index(values, name="neighbours"))
    shown = f"the first {_HISTOGRAM_LINES} numbers" if len(table) > _HISTOGRAM_LINES else "all"
    return Section(
        "How many neighbours",
        [],
        [
            ReportFigure(
                figures.neighbor_histogram(others),
                "Cells by their number of neighbours",
                "The cell itself is not counted. Cells at the border of a field of view have "
                "fewer, because what lies beyond is not known.",
                f"Histogram of the number of neighbours, from {others.min()} to {others.max()}, "
                f"mean {others.mean():.1f}.",
                ReportTable(
                    table.head(_HISTOGRAM_LINES), f"Cells by number of neighbours ({shown})"
                ),
            )
        ],
    )


def _fovs(found: NeighborhoodsFindings) -> Section:
    table = found.fovs
    medians = table["median"]
    named = table.rename(
        columns={
            "mean_neighbors": "mean",
            "low": "5 %",
            "high": "95 %",
            "without_neighbors": "without neighbours",
        }
    )
    return Section(
        "Fields of view",
        [
            "Fields of view whose cells lie much denser or sparser than the others have other "
            "neighbourhoods for that reason alone."
        ],
        [
            ReportFigure(
                figures.fov_neighbors(table),
                "Neighbours in each field of view",
                "Median, and what lies between 5 % and 95 % of the cells.",
                f"Medians of {len(table)} fields of view from {medians.min():,.0f} to "
                f"{medians.max():,.0f} neighbours.",
                ReportTable(named, "Numbers of each field of view"),
            )
        ],
    )


def _types(found: NeighborhoodsFindings) -> Section:
    shares = found.shares
    common = found.cells.ids["cell_meta_cluster"].value_counts().index[:_MOST_TYPES]
    drawn = shares
    note = ""
    if len(shares.columns) > _MOST_TYPES:
        drawn = shares.loc[shares.index.isin(common), shares.columns.isin(common)]
        note = f" The {_MOST_TYPES} commonest types are shown."
    own = shares.to_numpy()[np.arange(len(shares)), shares.columns.get_indexer(shares.index)]
    nearest = shares.index[int(own.argmax())] if len(shares) else ""
    return Section(
        "What lies around the types",
        [],
        [
            ReportFigure(
                figures.type_neighborhoods(drawn),
                "Mean neighbourhood of the cells of each type",
                "Rows sum to 1; cells without neighbours are left out." + note,
                f"Heatmap of types by types. The type most among itself is {nearest}.",
                ReportTable(shares, "Mean shares: around the type of the row"),
                fmt="png" if drawn.size > 2_000 else "svg",
            )
        ],
    )


def _methods(found: NeighborhoodsFindings) -> list[str]:
    resolved = found.around.resolved
    counted = "their numbers" if found.options.counts else "their shares"
    if found.options.kernel:
        counted = "the sums of their weights" + ("" if found.options.counts else ", as shares")
    return [
        f"Neighbourhoods were counted with partwise {__version__} from the coordinates "
        f"{', '.join(resolved['coordinates'])}, each field of view on its own. The neighbours of "
        f"a cell are {found.around.text}. Cells with the same coordinates are neighbours of each "
        f"other. The table gives {counted} by type."
    ]
