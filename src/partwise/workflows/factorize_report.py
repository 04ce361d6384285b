"""The report of the factorize job: what was found, the figures, the methods."""

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
from partwise.workflows.factorize_stages import Quality
from partwise.workflows.usage_files import program_names

if TYPE_CHECKING:
    from partwise.workflows.factorize_job import Findings

__all__ = ["build_report"]

_CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences."
)
_SOLVER_CITATION = {
    "hals": "Cichocki, Phan. Fast local algorithms for large scale nonnegative matrix and tensor "
    "factorizations. IEICE Transactions E92-A, 708 (2009).",
    "bpp": "Kim, Park. Fast nonnegative matrix factorization: an active-set-like method and "
    "comparisons. SIAM Journal on Scientific Computing 33, 3261 (2011).",
    "newton": "Hien, Gillis. Algorithms for nonnegative matrix factorization with the "
    "Kullback-Leibler divergence. Journal of Scientific Computing 87, 93 (2021).",
    "minibatch": "Lefevre, Bach, Fevotte. Online algorithms for nonnegative matrix factorization "
    "with the Itakura-Saito divergence. WASPAA, 313 (2011).",
}
#: Features per program in the figure of leading features.
_LEADING = 10


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
    n, _ = found.table.shape
    k = found.fit.programs.shape[0]
    return Report(
        title=f"Programs: {found.table.name}",
        subtitle=f"{format_count(n)} rows x {format_count(len(found.prepared.features))} features, "
        f"{k} program{'s' if k > 1 else ''}",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[_programs(found), _usage(found), _convergence(found)],
        methods=_methods(found),
        citation=[_CITATION, *_cited(found)],
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


def _cited(found: Findings) -> list[str]:
    text = _SOLVER_CITATION.get(found.fit.solver)
    return [text] if text else []


def _headlines(found: Findings) -> list[Headline]:
    fit = found.fit
    n, p = found.table.shape
    used = len(found.prepared.features)
    quality = Quality.of_fit(fit, found.options.loss)
    note = "" if used == p else f"of {format_count(p)}, by over-dispersion"
    return [
        Headline("Rows", format_count(n)),
        Headline("Features", format_count(used), note),
        Headline(
            "Explained",
            f"{100 * quality.explained:.1f} %",
            f"{quality.of}; {quality.text}",
        ),
        Headline(
            "Fit",
            "converged" if fit.converged else "not converged",
            fit.status.advice.removeprefix("converged: "),
            tone="good" if fit.converged else "warn",
        ),
    ]


def _summary(found: Findings) -> list[str]:
    fit = found.fit
    names = program_names(fit.programs.shape[0])
    first = found.top[found.top["rank"] <= 3].groupby("program", sort=False)["feature"]
    leading = first.apply(lambda features: ", ".join(features)).to_dict()
    told = "; ".join(
        f"{figures.program_name(name)} ({100 * share:.1f} %): {leading.get(name, 'nothing')}"
        for name, share in list(zip(names, fit.explained, strict=True))[:8]
    )
    more = f"; and {len(names) - 8} more" if len(names) > 8 else ""
    return [f"The programs, by the share of the data that they explain: {told}{more}."]


def _programs(found: Findings) -> Section:
    fit = found.fit
    names = list(program_names(fit.programs.shape[0]))
    programs = pd.DataFrame(fit.programs.T, index=list(found.prepared.features), columns=names)
    shares = pd.DataFrame({"share": fit.explained}, index=pd.Index(names, name="program"))
    quality = Quality.of_fit(fit, found.options.loss)
    leading = found.top[found.top["rank"] <= _LEADING]
    lead = leading[leading["rank"] == 1].set_index("program")["feature"]
    main = ", ".join(f"{figures.program_name(p)} {f}" for p, f in list(lead.items())[:8])
    return Section(
        "Programs",
        ["Each program is a set of features that go together; each row is a sum of programs."],
        [
            ReportFigure(
                figures.explained_bars(fit.explained),
                "What the programs explain",
                f"Share of {quality.programs}; together {100 * fit.explained.sum():.1f} %.",
                f"Bars of {len(names)} programs, from {100 * fit.explained.max():.1f} % to "
                f"{100 * fit.explained.min():.1f} %.",
                ReportTable(shares, "Share explained"),
            ),
            ReportFigure(
                figures.leading_features(leading),
                "Leading features",
                "Weights relative to the largest of the program."
                + (" The first 40 programs." if len(names) > 40 else ""),
                f"Bars of the leading features of each program. The first of each: {main}.",
                ReportTable(found.top.set_index("program"), "The leading features"),
            ),
            ReportFigure(
                figures.leading_heatmap(programs, explained=fit.explained),
                "Features by program",
                "Weight of the leading features of each program in all programs, relative to the "
                "largest of the program.",
                f"Heatmap of features by {len(names)} programs.",
                ReportTable(programs, "Weights, H transposed"),
            ),
        ],
    )


def _usage(found: Findings) -> Section:
    names = list(program_names(found.usage.shape[1]))
    usage = found.usage
    main = np.argmax(usage, axis=1)
    used = usage.max(axis=1, initial=0.0) > 0
    counts = np.bincount(main[used], minlength=len(names))
    table = pd.DataFrame(
        {
            "rows that use it": (usage > 0).sum(axis=0),
            "rows in which it is largest": counts,
            "mean usage": usage.mean(axis=0, dtype=np.float64),
            "largest usage": usage.max(axis=0),
        },
        index=pd.Index(names, name="program"),
    )
    none = int((~used).sum())
    texts = [f"{format_count(none)} rows use no program."] if none else []
    return Section("Usage", texts, [], [ReportTable(table, "How the rows use the programs")])


def _convergence(found: Findings) -> Section:
    fit = found.fit
    loss = pd.DataFrame({"loss": fit.loss}, index=pd.RangeIndex(1, len(fit.loss) + 1))
    loss.index.name = "iteration"
    return Section(
        "Convergence",
        [f"Status after {fit.n_iter} iterations: {fit.status.advice}."]
        + [f"{name.replace('_', ' ')}: {value:.4g}" for name, value in fit.details.items()],
        [
            ReportFigure(
                figures.loss_curve(fit.loss, tol=found.model.tol, converged=fit.converged),
                "Loss by iteration",
                "The objective of the factorization, and how much it changes.",
                f"Curve of the loss over {len(fit.loss)} iterations.",
                loss,
            )
        ],
    )


def _methods(found: Findings) -> list[str]:
    n, p = found.table.shape
    options, fit = found.options, found.fit
    genes = len(found.prepared.features)
    chosen = (
        f" The {genes:,} features of highest over-dispersion (Fano factor over that expected "
        "at the mean; Kotliar et al. 2019) were kept."
        if found.prepared.kept is not None
        else ""
    )
    loss = "squared error" if options.loss == "frobenius" else "Kullback-Leibler divergence"
    return [
        f"A table of {n:,} rows and {p:,} features (preparation: {found.prepared.recipe.text})."
        f"{chosen} It was factorized into {fit.programs.shape[0]} non-negative programs with "
        f"partwise {__version__} (loss: {loss}, solver {fit.solver}, start {options.init}, seed "
        f"{options.seed}); it leaves a {Quality.of_fit(fit, options.loss).text} "
        f"({'converged' if fit.converged else 'not converged'} after {fit.n_iter} iterations)."
    ]
