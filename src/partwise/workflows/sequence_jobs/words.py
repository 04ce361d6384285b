"""What the reports on sequences say alike: citations, methods, the test."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from partwise import __version__, figures
from partwise.report import ReportFigure, ReportTable, Section, format_bytes, format_duration
from partwise.utils.memory import peak_memory_bytes
from partwise.workflows.options import command_line

if TYPE_CHECKING:
    from partwise.sequences import Significance
    from partwise.workflows.sequence_jobs.read import Prepared

__all__ = [
    "CITATION",
    "command_of_two",
    "counted",
    "facts_of",
    "hidden_words",
    "section_on_test",
    "significance_figure",
    "significant_line",
]

CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences.",
    "Mackevicius, Bahle, Williams, Gu, Denisenko, Goldman, Fee. Unsupervised discovery of temporal "
    "sequences in high-dimensional datasets, with applications to neuroscience. eLife 8, e38471 "
    "(2019).",
)


def command_of_two(command: str, first: str, second: str, options: Any) -> str:
    """Return the command line of a job with two inputs, quoted for the shell.

    Examples
    --------
    >>> from partwise.workflows.sequence_jobs.other_options import SequencesSignificanceOptions
    >>> options = SequencesSignificanceOptions(p=0.01)
    >>> command_of_two("partwise sequences significance", "my fit", "new.mat", options)
    "partwise sequences significance 'my fit' new.mat --p 0.01"
    """
    words = shlex.split(command_line(command, first, options))
    words.insert(len(command.split()) + 1, second)
    return shlex.join(words)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "factor"), counted(2, "factor")
    ('1 factor', '2 factors')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def hidden_words(recording: Prepared) -> str:
    """Return what became of missing values, as a sentence; nothing if there are none."""
    if recording.mask is None or not recording.mask.nnz:
        return ""
    n, t = recording.shape
    values = "value was" if recording.mask.nnz == 1 else "values were"
    share = recording.mask.nnz / (n * t)
    return f"{recording.mask.nnz:,} missing {values} left out throughout ({share:.2%} of all)."


def significant_line(numbers: list[int], k: int) -> str:
    """Return which factors are significant, as a line.

    Examples
    --------
    >>> significant_line([1, 3], 5), significant_line([], 2)
    ('significant sequences: 2 of 5 (factors 1, 3)', 'significant sequences: none of 2')
    """
    if not numbers:
        return f"significant sequences: none of {k}"
    which = "factor" if len(numbers) == 1 else "factors"
    return f"significant sequences: {len(numbers)} of {k} ({which} {', '.join(map(str, numbers))})"


def facts_of(seconds: dict[str, float], recording: Prepared) -> dict[str, str]:
    """Return what the end of a report says of the run."""
    read = {"how the recording was read": "; ".join(recording.notes)} if recording.notes else {}
    return {
        **read,
        "partwise": __version__,
        "time until this report": format_duration(seconds["total"]),
        **{f"time: {k}": format_duration(s) for k, s in seconds.items() if k != "total"},
        "largest memory": format_bytes(peak_memory_bytes()),
    }


def significance_figure(test: Significance) -> Figure:
    """Draw the statistic of each factor beside its nulls."""
    return figures.significance_plot(
        test.statistic, test.null, test.pvalues, test.significant, test.excluded
    )


def section_on_test(test: Significance, drawn: Figure, table: pd.DataFrame, where: str) -> Section:
    """Return the section about the test.

    Parameters
    ----------
    test
        What it found.
    drawn
        Its figure.
    table
        One row per factor.
    where
        What the test was done on, in words.
    """
    how = "Bonferroni" if test.correction == "bonferroni" else "Benjamini and Hochberg"
    count, k = int(np.sum(test.significant)), len(test.statistic)
    out = sum(1 for reason in test.excluded if reason)
    not_tested = f" {out} of {k} factors could not be tested; the table says why." if out else ""
    return Section(
        "Which factors are sequences",
        [
            "A motif that is slid along data in which it recurs matches them closely now and then, "
            "and hardly in between: the distribution of the match is skewed. This skewness, on "
            f"{where}, is compared with that of motifs in which every unit was shifted by a random "
            "lag of its own, so that nothing but the order of the units is lost.",
            f"A factor is significant if p is at most {test.threshold:.3g}, which is {test.p:g} "
            f"corrected for the number of factors that were tested ({how}).{not_tested}",
        ],
        [
            ReportFigure(
                drawn,
                "Skewness beside shuffled motifs",
                "A line far to the right of the grey distribution of its shuffles is a sequence.",
                f"Statistic of {k} factors beside those of shuffled motifs; {count} significant.",
            )
        ],
        [ReportTable(table, "The factors")],
    )
