"""The reports of `partwise sequences sweep` and `select-k`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, cast

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
    format_count,
)
from partwise.workflows.options import command_line, specs
from partwise.workflows.sequence_jobs.options import SequencesFitOptions
from partwise.workflows.sequence_jobs.sweep_options import (
    SequencesSelectKOptions,
    SequencesSweepOptions,
)
from partwise.workflows.sequence_jobs.words import CITATION, facts_of, hidden_words

if TYPE_CHECKING:
    from partwise.workflows.sequence_jobs.sweep_job import SweepFindings

__all__ = ["build_report", "drawn_figures"]

_K_CITATION = (
    "Wu, Joseph, Hammonds, Celniker, Yu, Frise. Stability-driven nonnegative matrix factorization "
    "to interpret spatial gene expression and build local gene networks. PNAS 113, 4290 (2016).",
    "Wold. Cross-validatory estimation of the number of components in factor and principal "
    "components models. Technometrics 20, 397 (1978).",
)


def drawn_figures(found: SweepFindings) -> tuple[Figure, str]:
    """Return the figure of a run, and what it shows."""
    chosen: Any = found.chosen
    if isinstance(found.options, SequencesSweepOptions):
        drawn = figures.lambda_sweep(
            chosen.table,
            chosen.curves,
            crossover=chosen.crossover,
            interval=chosen.interval,
            recommended=chosen.recommended,
        )
        return drawn, "both costs, power and number of factors against lambda"
    drawn = figures.k_curves(chosen.table, recommended=chosen.recommended)
    return drawn, "agreement of starts, error on hidden entries and power against the number"


def build_report(
    found: SweepFindings, drawn: Figure, outputs: dict[str, str], command: str
) -> Report:
    """Put a run's findings into words and figures.

    Parameters
    ----------
    found
        The findings.
    drawn
        The figure.
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
    about = f"{format_count(n)} units x {format_count(t)} frames{found.recording.seconds(t)}"
    sweep = isinstance(found.options, SequencesSweepOptions)
    title = "How far to keep factors apart" if sweep else "How many sequences"
    return Report(
        title=f"{title}: {found.recording.name}",
        subtitle=f"{about}, motifs of {found.n_lags} frames{found.recording.seconds(found.n_lags)}",
        headlines=_lambda_headlines(found) if sweep else _k_headlines(found),
        box=_box(found, command, sweep),
        warnings=found.warnings,
        sections=[_lambda_section(found, drawn) if sweep else _k_section(found, drawn)],
        methods=_methods(found, about, sweep),
        citation=CITATION if sweep else (*CITATION, *_K_CITATION),
        command=command,
        parameters=found.parameters,
        outputs=outputs,
        facts=facts_of(found.seconds, found.recording),
    )


def _box(found: SweepFindings, command: str, sweep: bool) -> Box:
    """Return the recommendation, with the fit to run."""
    chosen: Any = found.chosen
    value = chosen.recommended
    if value != value:
        return Box("No lambda can be recommended", [("Why", chosen.rule)])
    factors = "1 factor" if value == 1 else f"{value} factors"
    what = f"--lambda {value:.2g}" if sweep else factors
    return Box(f"Recommended: {what}", [("Rule", chosen.rule)], _fit_command(found, command))


def _fit_command(found: SweepFindings, command: str) -> str:
    """Return the fit to run: what was asked for here, with the recommended value."""
    value = found.chosen.recommended
    told: dict[str, Any] = {
        spec.name: getattr(found.options, spec.name)
        for spec in specs(SequencesFitOptions)
        if spec.matters == "result" and hasattr(found.options, spec.name)
    }
    if isinstance(found.options, SequencesSweepOptions):
        told["lambda_"] = float(f"{value:.2g}")
        del told["tol"]  # that of a sweep
    else:
        told["n_components"] = value
        del told["lambda_"]  # the number was chosen without; a fit has its own default
    input = shlex.split(command)[3]
    return command_line("partwise sequences fit", input, SequencesFitOptions(**told))


def _lambda_headlines(found: SweepFindings) -> list[Headline]:
    chosen: Any = found.chosen
    if chosen.crossover != chosen.crossover:
        return [Headline("Crossover", "none", "the costs do not cross", tone="warn")]
    low, high = chosen.interval
    return [
        Headline("Recommended lambda", f"{chosen.recommended:.2g}", "a value to begin with"),
        Headline("Crossover of the costs", f"{chosen.crossover:.2g}", "median of the repeats"),
        Headline("Interval", f"{low:.2g} to {high:.2g}", "lowest and highest of the repeats"),
    ]


def _k_headlines(found: SweepFindings) -> list[Headline]:
    chosen: Any = found.chosen
    noun = "factor" if chosen.recommended == 1 else "factors"
    lines = [Headline("Recommended", str(chosen.recommended), noun)]
    if chosen.confidence == chosen.confidence:
        lines.append(
            Headline(
                "Confidence",
                f"{chosen.confidence:.0%}",
                "how often the rule gives this number when repeats are drawn with replacement",
                tone="good" if chosen.confidence >= 0.8 else "plain",
            )
        )
    names = {"cv": "hidden entries", "dissimilarity": "agreement of starts"}
    lines += [Headline(f"By {names[m]}", str(value)) for m, value in chosen.by_method.items()]
    return lines


def _lambda_section(found: SweepFindings, drawn: Figure) -> Section:
    chosen: Any = found.chosen
    means = chosen.table.groupby("lambda_").mean(numeric_only=True).drop(columns="repeat")
    means.index = pd.Index([f"{value:.4g}" for value in means.index], name="lambda")
    means.columns = [name.replace("_", " ") for name in means.columns]
    low, high = chosen.table["lambda_"].min(), chosen.table["lambda_"].max()
    return Section(
        "What was measured",
        [
            "With a small lambda several factors share one sequence; with a large one the "
            "reconstruction suffers. Where both costs, each brought to a scale from 0 to 1, cross, "
            "neither has been paid for much. The last "
            "quarter of the recording was held out to measure the power on."
        ],
        [
            ReportFigure(
                drawn,
                "Costs, power and factors by lambda",
                "Dots: single fits; lines: their means. The grey band spans the crossovers of the "
                "repeats. Power on what was held out says how well motifs generalise.",
                f"Curves over lambda from {low:.2g} to {high:.2g}.",
                ReportTable(means, "Means over the repeats"),
            )
        ],
        [_fits(chosen.table)],
    )


def _k_section(found: SweepFindings, drawn: Figure) -> Section:
    chosen: Any = found.chosen
    methods = cast(SequencesSelectKOptions, found.options).methods
    summary = chosen.summary.set_index("k")
    summary.columns = [name.replace("_", " ") for name in summary.columns]
    texts = []
    if "cv" in methods:
        texts.append(
            "Hidden entries: the error on entries that a fit did not see falls while factors "
            "describe what entries have in common."
        )
    if "dissimilarity" in methods:
        texts.append(
            "Different starts: with the right number of factors fits from different starts find "
            "the same ones, so that their dissimilarity is low."
        )
    return Section(
        "What was measured",
        texts,
        [
            ReportFigure(
                drawn,
                "Agreement, error and power by number of factors",
                "Dots: single measurements; lines: their medians (agreement) or means. The dashed "
                "line is the recommended number.",
                f"Curves over {len(summary)} numbers of factors; {chosen.recommended} is marked.",
                ReportTable(summary, "Medians and means"),
            )
        ],
        _measurements(chosen.table),
    )


def _fits(table: Any) -> ReportTable:
    """Return every fit of a sweep."""
    shown = table.rename(columns={"lambda_": "lambda"})
    shown["lambda"] = [f"{value:.4g}" for value in shown["lambda"]]
    return ReportTable(_spaced(shown, "lambda"), "Every fit")


def _measurements(table: Any) -> list[ReportTable]:
    """Return a table for each kind of measurement."""
    names = {
        "cv": "Fits with hidden entries",
        "fit": "Fits of all entries",
        "pair": "Pairs of fits",
    }
    tables = []
    for kind, name in names.items():
        own = table[table["measure"] == kind].drop(columns=["measure", "starts"], errors="ignore")
        if len(own):
            tables.append(
                ReportTable(_spaced(own.dropna(axis=1, how="all").convert_dtypes(), "k"), name)
            )
    return tables


def _spaced(table: Any, index: str) -> Any:
    shown = table.set_index(index)
    shown.columns = [name.replace("_", " ") for name in shown.columns]
    return shown


def _methods(found: SweepFindings, about: str, sweep: bool) -> list[str]:
    options: Any = found.options
    hidden = f" {hidden_words(found.recording)}".rstrip()
    common = f"(seed {options.seed}; at most {options.max_iter} iterations; partwise {__version__})"
    if sweep:
        count = found.chosen.table["lambda_"].nunique()
        return [
            f"A recording of {about} was factorized into {options.n_components} motifs of "
            f"{found.n_lags} frames at {count} values of the x-ortho penalty lambda, "
            f"{options.n_repeats} times each from different starts {common}. The reconstruction "
            "error and the x-ortho penalty were rescaled to their 10th and 90th percentiles; "
            f"lambda0 is where they cross (Mackevicius et al. 2019).{hidden}"
        ]
    ks = ", ".join(map(str, options.ks))
    parts = []
    if "cv" in options.methods:
        parts.append(
            f"with {options.fraction:.0%} of the entries hidden, on which the error was measured"
        )
    if "dissimilarity" in options.methods:
        parts.append(
            "on all entries, of which pairs were compared by the dissimilarity of their factors"
        )
    return [
        f"A recording of {about} was factorized into {ks} motifs of {found.n_lags} frames, "
        f"{options.n_repeats} times each {' and '.join(parts)} {common}.{hidden}"
    ]
