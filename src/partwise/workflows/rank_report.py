"""The report of the rank job."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

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
    from partwise.factorize.rank import RankSelection
    from partwise.workflows.rank_job import RankFindings

__all__ = ["build_report", "curves_figure"]

_CITATION = {
    "": f"The partwise developers. partwise {__version__}: non-negative matrix factorization for "
    "the life sciences.",
    "cv": "Owen, Perry. Bi-cross-validation of the SVD and the nonnegative matrix factorization. "
    "Annals of Applied Statistics 3, 564 (2009).",
    "stability": "Brunet, Tamayo, Golub, Mesirov. Metagenes and molecular pattern discovery using "
    "matrix factorization. PNAS 101, 4164 (2004).",
    "elbow": "Horn. A rationale and test for the number of factors in factor analysis. "
    "Psychometrika 30, 179 (1965).",
}
_LOSS = {"frobenius": "by least squares", "kullback-leibler": "with the Kullback-Leibler loss"}


def curves_figure(selection: RankSelection) -> Figure:
    """Draw the curves of a choice of rank."""
    return figures.rank_curves(
        selection.summary, recommended=selection.recommended, spectrum=selection.spectrum
    )


def build_report(found: RankFindings, outputs: dict[str, str], command: str) -> Report:
    """Put a choice of rank into words and figures.

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
    chosen = found.selection
    return Report(
        title=f"How many programs: {found.table.name}",
        subtitle=f"{format_count(n)} rows x {format_count(p)} features, "
        f"{len(chosen.ranks)} ranks from {chosen.ranks[0]} to {chosen.ranks[-1]}",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[_curves(found), _numbers(found)],
        methods=_methods(found),
        citation=[text for name, text in _CITATION.items() if name in ("", *found.options.methods)],
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


def _headlines(found: RankFindings) -> list[Headline]:
    chosen = found.selection
    lines = [Headline("Recommended rank", str(chosen.recommended), "programs")]
    if not math.isnan(chosen.confidence):
        lines.append(
            Headline(
                "Confidence",
                f"{chosen.confidence:.0%}",
                "how often the rule gives this rank when replicates are drawn with replacement",
                tone="good" if chosen.confidence >= 0.8 else "plain",
            )
        )
    notes = {
        "held-out error": "smallest rank within one standard error of the lowest",
        "spectrum": "components above noise",
        "knee of the training error": "for comparison; it never decides",
        "stability": "largest rank at which different starts agree",
    }
    lines += [
        Headline(f"By {name}", str(value), notes[name]) for name, value in chosen.by_method.items()
    ]
    return lines


def _summary(found: RankFindings) -> list[str]:
    chosen = found.selection
    others = ", ".join(map(str, chosen.alternatives))
    return [
        f"Recommended: {chosen.recommended} programs. The rule: {chosen.rule}.",
        *([f"The same measurements do not exclude {others}."] if others else []),
    ]


def _curves(found: RankFindings) -> Section:
    chosen = found.selection
    parts = []
    if "cv" in found.options.methods:
        parts.append(
            "Error, hidden entries: error on entries that the fit did not see; it falls "
            "while programs describe what entries have in common. The band is the 95 % interval "
            "of the difference from the lowest error within replicates, so that the lowest has "
            "none, and a rank whose band reaches the lowest error does not differ from it."
        )
    if {"stability", "elbow"} & set(found.options.methods):
        parts.append("Error, all entries: it always falls, so it cannot tell the rank alone.")
    if "stability" in found.options.methods:
        parts.append(
            "Agreement: cosine of programs matched one to one between starts (band: extremes of "
            "the starts), cophenetic correlation and dispersion of who shares a main program."
        )
    if "elbow" in found.options.methods:
        parts.append("Spectrum: components above the grey line are not noise.")
    parts.append("The dashed line is the recommended rank.")
    title = "Error, agreement and spectrum by rank"
    alt = (
        f"Curves over ranks {chosen.ranks[0]} to {chosen.ranks[-1]}; the recommended rank "
        f"{chosen.recommended} is marked."
    )
    drawn = ReportFigure(curves_figure(chosen), title, " ".join(parts), alt, _wide(chosen))
    return Section("What was measured", [], [drawn])


def _wide(chosen: RankSelection) -> ReportTable:
    """Return the means, ranks x curves."""
    wide = chosen.summary.pivot(index="rank", columns="curve", values="mean")
    wide = wide[[name for name in chosen.summary["curve"].unique() if name in wide]]
    wide.columns = [name.replace("_", " ") for name in wide.columns]
    return ReportTable(wide, "Means over the replicates")


def _numbers(found: RankFindings) -> Section:
    table = found.selection.table.set_index(["rank", "replicate"])
    table = table.dropna(axis=1, how="all")
    table.columns = [name.replace("_", " ") for name in table.columns]
    tables = [ReportTable(table, "Every fit")]
    if found.selection.spectrum is not None:
        spectrum: pd.DataFrame = found.selection.spectrum.set_index("component")
        spectrum.columns = [name.replace("_", " ") for name in spectrum.columns]
        tables.append(ReportTable(spectrum, "Singular values"))
    return Section("Numbers", [], [], tables)


def _methods(found: RankFindings) -> list[str]:
    chosen, options = found.selection, found.options
    n, p = found.table.shape
    ranks = ", ".join(map(str, chosen.ranks))
    texts = [
        f"A table of {n:,} rows and {p:,} features was factorized {_LOSS[options.loss]} at the "
        f"ranks {ranks} with partwise {__version__}, {options.n_replicates} times each from "
        f"random starts (seed {options.seed})."
    ]
    if "cv" in options.methods:
        texts.append(
            f"Each replicate also hid {chosen.fraction:.2%} of the entries, at random and disjoint "
            "from those of the others, and the relative error on them was measured."
        )
    if "stability" in options.methods:
        texts.append(
            "Programs of different starts were matched one to one so that the sum of their cosines "
            "is largest; cophenetic correlation and dispersion are those of the consensus matrix "
            "of main programs of at most 1,000 rows."
        )
    if "elbow" in options.methods:
        texts.append(
            "Singular values were compared with the largest of five tables with permuted columns."
        )
    return [" ".join(texts), f"The rank {chosen.recommended} is {chosen.rule}."]
