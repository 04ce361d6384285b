"""The report of `partwise sequences fit`: what was found, the figures, the methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from partwise import __version__, figures
from partwise.report import (
    Headline,
    Report,
    ReportFigure,
    ReportTable,
    Section,
    format_count,
)
from partwise.workflows.sequence_jobs.files import around, factor_table
from partwise.workflows.sequence_jobs.stages import busiest_window
from partwise.workflows.sequence_jobs.words import (
    CITATION,
    counted,
    facts_of,
    hidden_words,
    section_on_test,
    significance_figure,
)

if TYPE_CHECKING:
    from partwise.workflows.sequence_jobs.files import SequencesFindings

__all__ = ["build_report", "drawn_figures"]

#: Factors that the summary describes.
_TOLD = 6
#: Rows of the table of events that the report shows.
_EVENTS = 50

Drawn = dict[str, tuple[Figure, str]]


def drawn_figures(found: SequencesFindings) -> Drawn:
    """Return kind -> (figure, what it shows), in the order of the report."""
    drawn: Drawn = {
        "data": (_factors(found, "data"), "motifs, activations and the recording"),
        "reconstruction": (
            _factors(found, "reconstruction"),
            "motifs, activations and what the model makes of them",
        ),
    }
    if found.test is not None:
        drawn["significance"] = (
            significance_figure(found.test),
            "statistic of each factor beside that of shuffled motifs",
        )
    if len(found.events):
        drawn["triggered"] = (_triggered(found), "the recording around the events of each factor")
    drawn["cost"] = (figures.cost_curve(found.fit.cost), "error after each iteration")
    return drawn


def _factors(found: SequencesFindings, show: Any) -> Figure:
    return figures.factor_plot(
        found.fit.motifs,
        found.fit.activations,
        found.recording.shown if show == "data" else None,
        rate=found.fit.rate,
        side=found.side or None,
        order=found.units.order,
        window=busiest_window(found.fit),
        significant=None if found.test is None else found.test.significant,
        loadings=found.fit.loadings,
        epochs=found.fit.epochs,
        held_out=found.fit.n_train,
    )


def _triggered(found: SequencesFindings) -> Figure:
    before, after = around(found.n_lags)
    return figures.triggered_rasters(
        found.recording.shown,
        found.events.assign(factor=found.events["factor"] - 1),
        order=found.units.order,
        rate=found.fit.rate,
        before=before,
        after=after,
        epochs=found.recording.epochs,
    )


def build_report(
    found: SequencesFindings, drawn: Mapping[str, Figure], outputs: dict[str, str], command: str
) -> Report:
    """Put a run's findings into words and figures.

    Parameters
    ----------
    found
        The findings.
    drawn
        The figures, by kind.
    outputs
        File name -> what it holds.
    command
        The command that repeats the run.

    Returns
    -------
    Report
        Everything `report.html` says.
    """
    n, t = found.recording.shape
    seconds = found.recording.seconds
    return Report(
        title=f"Sequences: {found.recording.name}",
        subtitle=f"{format_count(n)} units x {format_count(t)} frames{seconds(t)}, "
        f"{counted(found.n_factors, 'factor')} of {_length(found)}",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=_sections(found, drawn),
        methods=_methods(found),
        citation=CITATION,
        command=command,
        parameters=found.parameters,
        outputs=outputs,
        facts=facts_of(found.seconds, found.recording),
    )


def _length(found: SequencesFindings) -> str:
    return f"{counted(found.n_lags, 'frame')}{found.recording.seconds(found.n_lags)}"


def _headlines(found: SequencesFindings) -> list[Headline]:
    fit, options = found.fit, found.options
    lines = []
    if found.n_significant is not None:
        lines.append(
            Headline(
                "Significant",
                f"{found.n_significant} of {found.n_factors}",
                f"factors are sequences at p = {options.p:g}, tested on data held out",
                tone="good" if found.n_significant else "warn",
            )
        )
    lines.append(Headline("Explained", f"{fit.power:.1%}", "of the power of what was fitted"))
    if not np.isnan(fit.power_held_out):
        lines.append(
            Headline("Explained, held out", f"{fit.power_held_out:.1%}", "with the motifs fixed")
        )
    after = f"after {found.n_iter} iterations"
    if found.converged:
        lines.append(Headline("Fit", "converged", after))
    elif options.tol:
        note = f"{after}, at --max-iter: the cost was still changing"
        lines.append(Headline("Fit", "stopped", note))
    else:
        lines.append(Headline("Fit", f"{found.n_iter}", "iterations, all that were asked for"))
    return lines


def _summary(found: SequencesFindings) -> list[str]:
    table, test = factor_table(found), found.test
    if test is None:
        why = "nothing was held out" if found.split.test is None else "--n-null is 0"
        return [f"Whether the factors are sequences was not tested: {why}."]
    chosen = table[table["significant"] == "yes"]
    if chosen.empty:
        return [
            "No factor is a significant sequence: within the part held out, units do not follow "
            "each other in the order of any motif more than in shuffled orders."
        ]
    told = "; ".join(
        f"factor {row.factor} ({counted(row.n_events, 'event')}, loading {row.loading:.1%}, p = "
        f"{row.pvalue:.2g})"
        for row in chosen.head(_TOLD).itertuples()
    )
    more = f"; and {len(chosen) - _TOLD} more" if len(chosen) > _TOLD else ""
    return [f"Significant sequences: {told}{more}."]


def _sections(found: SequencesFindings, drawn: Mapping[str, Figure]) -> list[Section]:
    made = [_pictures(found, drawn)]
    if "significance" in drawn:
        assert found.test is not None
        made.append(
            section_on_test(
                found.test, drawn["significance"], _readable(found), "the part that was held out"
            )
        )
    else:
        made.append(Section("Factors", [], [], [ReportTable(_readable(found), "The factors")]))
    made.append(_events(found, drawn))
    made.append(_convergence(found, drawn["cost"]))
    return made


def _pictures(found: SequencesFindings, drawn: Mapping[str, Figure]) -> Section:
    fit, n = found.fit, found.recording.shape[0]
    start, stop = busiest_window(fit)
    shown = "The whole recording is shown."
    if (start, stop) != (0, fit.n_frames):
        shown = (
            f"Frames {start:,} to {stop:,} are shown, where the factors are most active; partwise "
            "sequences plot draws others."
        )
    held = ""
    if found.split.test is not None and stop > fit.n_train:
        at = f"{fit.n_train / fit.rate:,.4g} s" if fit.rate else f"frame {fit.n_train:,}"
        held = f" What comes after {at} was held out: only activations were found there."
    star = "" if found.test is None else " A star marks significant factors."
    alt = (
        f"Motifs of {found.n_factors} factors left, their activations on top, {n:,} units by time "
        "in the centre"
    )
    return Section(
        "Motifs, activations and data",
        [
            "Each factor is a motif: what its units do, in which order, from the start of an event "
            "on. Its activations say when that happens. Units stand in the same order throughout, "
            "by the factor in which they weigh most and by their peak in it."
        ],
        [
            ReportFigure(
                drawn["data"],
                "Factors and data",
                f"Left: motifs, one tile for each factor; top: activations; centre: the recording. "
                f"{shown}{held}{star}",
                f"{alt}: the recording.",
                fmt="png",
            ),
            ReportFigure(
                drawn["reconstruction"],
                "Factors and model",
                "The same with what the model makes of motifs and activations in the centre, in "
                "the colours of the factors. What is missing here is not explained by sequences.",
                f"{alt}: the reconstruction.",
                fmt="png",
            ),
        ],
    )


def _readable(found: SequencesFindings) -> pd.DataFrame:
    """Return the table of factors as it fits into the page."""
    table = factor_table(found).set_index("factor")
    names = {
        "loading": "loading",
        "statistic": "skewness",
        "pvalue": "p",
        "adjusted_pvalue": "p, corrected",
        "significant": "significant",
        "n_events": "events",
        "n_units": "units",
        "excluded": "not tested because",
    }
    kept = [name for name in names if table[name].notna().all()]
    if not (table["excluded"] != "").any():
        kept.remove("excluded")
    return table[kept].rename(columns=names)


def _events(found: SequencesFindings, drawn: Mapping[str, Figure]) -> Section:
    if "triggered" not in drawn:
        return Section("Events", ["There are no events."])
    unit = "seconds" if found.fit.rate else "frames"
    table = found.events.set_index("factor")
    table.columns = [name.replace("_", " ") for name in table.columns]
    return Section(
        "Events",
        [
            "An event is a peak of an activation; it is where the first lag of the motif lies. "
            f"Times are in {unit} from the first frame."
        ],
        [
            ReportFigure(
                drawn["triggered"],
                "The recording around events",
                "Mean over the events of each factor, aligned at their starts; units in the order "
                "of the first figure.",
                "Mean activity around the events of each factor.",
                fmt="png",
            )
        ],
        [ReportTable(table, "Events", _EVENTS)],
    )


def _convergence(found: SequencesFindings, drawn: Figure) -> Section:
    cost = pd.DataFrame({"cost": found.fit.cost})
    cost.index.name = "iteration"
    return Section(
        "The fit",
        [
            f"Converged: after {found.n_iter} iterations the cost changed by less than --tol "
            f"{found.options.tol:g} per iteration."
            if found.converged
            else f"All {found.n_iter} iterations were done, as was asked (--tol 0)."
            if not found.options.tol
            else f"Stopped at {found.n_iter} iterations, before the cost had settled: raise "
            "--max-iter, or --tol if this precision is enough."
        ],
        [
            ReportFigure(
                drawn,
                "Cost by iteration",
                "Root mean squared error over what was fitted. It may rise a little while a "
                "penalty decides which factors stay; the last iteration is without x-ortho.",
                f"Cost over {found.n_iter} iterations, from {found.fit.cost[0]:.4g} to "
                f"{found.fit.cost[-1]:.4g}.",
                cost,
            )
        ],
    )


def _methods(found: SequencesFindings) -> list[str]:
    n, t = found.recording.shape
    options, fit, seconds = found.options, found.fit, found.recording.seconds
    held = t - fit.n_train
    penalties = {
        "x-ortho": options.lambda_,
        "L1 on motifs": options.l1_motifs,
        "L1 on activations": options.l1_activations,
        "events-based": options.ortho_h,
        "parts-based": options.ortho_w,
    }
    told = ", ".join(f"{name} {value:g}" for name, value in penalties.items() if value)
    how = "as the original MATLAB program does it" if options.compat else f"seed {options.seed}"
    texts = [
        f"A recording of {n:,} units and {t:,} frames{seconds(t)} was factorized into "
        f"{counted(found.n_factors, 'motif')} of {_length(found)} and their activations by "
        "convolutional non-negative matrix factorization (seqNMF; Mackevicius "
        f"et al. 2019) with partwise {__version__} (penalties: {told or 'none'}; {found.n_iter} "
        f"iterations, {how})."
    ]
    if held:
        texts.append(
            f"The last {held:,} frames{seconds(held)} were held out; with the motifs fixed, "
            f"{fit.power_held_out:.1%} of their power is explained ({fit.power:.1%} of the rest)."
        )
    if found.test is not None:
        how = "Bonferroni" if options.correction == "bonferroni" else "Benjamini-Hochberg"
        texts.append(
            "Each motif was tested there: the skewness of its overlap with the data was compared "
            f"with that of up to {int(found.test.n_null.max(initial=0)):,} motifs whose units were "
            f"shifted by independent random lags (p = {options.p:g}, {how})."
        )
    return [" ".join(filter(None, (*texts, hidden_words(found.recording))))]
