"""The report of the project job: how much of the model is there, how well the rows fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from partwise.workflows.usage_files import program_names

if TYPE_CHECKING:
    from partwise.factorize.projection import Coverage
    from partwise.workflows.project_job import Findings

__all__ = ["build_report", "coverage_section"]

#: Missing features that the report lists.
_LISTED = 200

#: What the fit of a row is, and what 0 means, by loss.
_MEANING = {
    "frobenius": ("share of the sum of squares that the programs explain", "no usage at all"),
    "kullback-leibler": (
        "share of the deviance that its usage explains",
        "a row that uses all programs alike",
    ),
}


def _meaning(found: Findings) -> tuple[str, str]:
    return _MEANING[getattr(found.model, "loss", "frobenius")]


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
    k = found.usage.shape[1]
    return Report(
        title=f"Usage of known programs: {found.table.name}",
        subtitle=f"{format_count(n)} rows x {format_count(p)} features on {k} "
        f"program{'s' if k > 1 else ''}",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[
            coverage_section(found.model, found.coverage, least=found.options.min_coverage),
            _fit(found),
            _usage(found),
        ],
        methods=_methods(found),
        citation=[
            f"The partwise developers. partwise {__version__}: non-negative matrix factorization "
            "for the life sciences."
        ],
        command=command,
        parameters={
            "min_coverage": found.options.min_coverage,
            "allow": found.options.allow,
            "layer": found.options.layer or "X",
            "preparation": found.recipe.text,
            "model": f"{type(found.model).__name__}, {k} programs",
        },
        outputs=outputs,
        facts={
            "partwise": __version__,
            "time until this report": format_duration(found.seconds["total"]),
            "largest memory": format_bytes(peak_memory_bytes()),
        },
    )


def _headlines(found: Findings) -> list[Headline]:
    coverage = found.coverage
    known = found.fit[np.isfinite(found.fit)]
    enough = coverage.lowest >= found.options.min_coverage
    return [
        Headline("Rows", format_count(found.table.shape[0])),
        Headline(
            "Features of the model",
            f"{100 * coverage.features:.1f} %",
            f"{format_count(coverage.n_shared)} of {format_count(coverage.n_model)} are there",
            tone="good" if not coverage.missing else "plain",
        ),
        Headline(
            "Least covered program",
            f"{100 * coverage.lowest:.1f} %",
            "of its weight is on features that are there",
            tone="good" if enough else "warn",
        ),
        Headline(
            "Fit of a row",
            f"{np.median(known):.3f}" if known.size else "none",
            f"median {_meaning(found)[0]}",
        ),
    ]


def _summary(found: Findings) -> list[str]:
    coverage = found.coverage
    return [
        f"The rows were fitted with the programs of the model, which stayed as they were. Of its "
        f"{format_count(coverage.n_model)} features {format_count(coverage.n_shared)} are in the "
        f"new table; {format_count(coverage.n_new - coverage.n_shared)} features of the table are "
        f"unknown to the model and were ignored. Preparation of the values: {found.recipe.text}."
    ]


def coverage_section(model: Any, coverage: Coverage, *, least: float) -> Section:
    """Return the part of a report that says how much of a model new features cover.

    Parameters
    ----------
    model
        The model.
    coverage
        What is covered.
    least
        Least share of each program that is asked for.
    """
    table = pd.DataFrame(
        {"covered": coverage.programs},
        index=pd.Index(program_names(len(coverage.programs)), name="program"),
    )
    tables = []
    if coverage.missing:
        weights = np.asarray(model.components_, np.float64)
        total = weights.sum(axis=1, keepdims=True)
        share = (weights / np.where(total > 0, total, 1.0)).max(axis=0)
        missing = pd.Series(share, index=model.feature_names_in_).loc[list(coverage.missing)]
        missing.index.name = "missing feature"
        heavy = missing.sort_values(ascending=False, kind="stable").head(_LISTED)
        tables = [
            ReportTable(
                heavy.to_frame("largest share of a program"),
                f"The heaviest of the {len(coverage.missing):,} missing features",
            )
        ]
    return Section(
        "Coverage",
        [
            "Missing features are left out of the fit, not taken as zeros; a program of which "
            "little is covered is known from that little alone."
        ],
        [
            ReportFigure(
                figures.coverage_bars(coverage.programs, least=least),
                "How much of each program is covered",
                "Share of a program's weight that is on features of the new table; the dashed line "
                "is the least that was asked for.",
                f"Bars of {len(coverage.programs)} programs, from {100 * coverage.lowest:.1f} % to "
                f"{100 * coverage.programs.max():.1f} %.",
                ReportTable(table, "Share covered"),
            )
        ],
        tables,
    )


def _fit(found: Findings) -> Section:
    known = found.fit[np.isfinite(found.fit)]
    lost = len(found.fit) - len(known)
    texts = [f"{format_count(lost)} rows are all zero and have no fit."] if lost else []
    quantiles = pd.Series(
        np.quantile(known, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]) if known.size else [],
        index=pd.Index(
            ["least", "5 %", "25 %", "median", "75 %", "95 %", "largest"] if known.size else [],
            name="quantile",
        ),
        name="fit",
        dtype=float,
    )
    middle = f"{np.median(known):.3f}" if known.size else "none"
    return Section(
        "Fit of the rows",
        [
            f"1 is an exact fit, 0 is what {_meaning(found)[1]} reaches. Rows that fit much worse "
            "than others have something that the programs do not know.",
            *texts,
        ],
        [
            ReportFigure(
                figures.fit_histogram(known),
                "How well the rows are fitted",
                f"For each row the {_meaning(found)[0]}.",
                f"Histogram of {len(known):,} rows; median {middle}.",
                quantiles.to_frame(),
            )
        ],
    )


def _usage(found: Findings) -> Section:
    usage = found.usage
    table = pd.DataFrame(
        {
            "rows that use it": (usage > 0).sum(axis=0),
            "mean usage": usage.mean(axis=0, dtype=np.float64),
            "largest usage": usage.max(axis=0, initial=0.0),
        },
        index=pd.Index(program_names(usage.shape[1]), name="program"),
    )
    return Section("Usage", [], [], [ReportTable(table, "How the rows use the programs")])


def _methods(found: Findings) -> list[str]:
    n = found.table.shape[0]
    coverage = found.coverage
    return [
        f"The usage of {found.usage.shape[1]} given programs by {n:,} rows was found with partwise "
        f"{__version__} as the exact minimiser, row by row, of the loss of the model over the "
        f"{coverage.n_shared:,} features (of {coverage.n_model:,}) that both share; preparation: "
        f"{found.recipe.text}."
    ]
