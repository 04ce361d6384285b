"""What a report says, without how it looks.

A workflow fills these records; `partwise.report.html` turns them into a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from partwise.exceptions import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Box", "Headline", "Report", "ReportFigure", "ReportTable", "Section"]


@dataclass(frozen=True)
class Headline:
    """A number to know first.

    Attributes
    ----------
    label, value
        What it is, and the number as text.
    note
        What it means or what to do about it, one sentence.
    tone
        "good" and "warn" mark it with a colour and a sign.
    """

    label: str
    value: str
    note: str = ""
    tone: Literal["plain", "good", "warn"] = "plain"


@dataclass(frozen=True)
class Box:
    """What the reader should do, framed, before everything else.

    Attributes
    ----------
    heading
        The advice in a few words.
    lines
        (label, text) pairs: why, how sure, what else.
    code
        A command to copy.
    """

    heading: str
    lines: Sequence[tuple[str, str]] = ()
    code: str = ""


@dataclass(frozen=True)
class ReportTable:
    """A table shown as text; its index is the first column.

    Attributes
    ----------
    data
        The values; the report shows the first `max_rows` rows and says how many there are.
    caption
        What it holds.
    max_rows
        Rows to show.
    """

    data: pd.DataFrame
    caption: str = ""
    max_rows: int = 200


@dataclass(frozen=True)
class ReportFigure:
    """A figure with what makes it useful to everybody.

    Attributes
    ----------
    figure
        The figure.
    title
        A few words; the report numbers the figures.
    caption
        What is shown and how to read it.
    alt
        What the figure shows, for those who do not see it; must not be empty.
    table
        The numbers behind the figure, shown on request.
    fmt
        "png" for clouds of points; "svg" otherwise, unless it grows too large.
    """

    figure: Figure
    title: str
    caption: str
    alt: str
    table: ReportTable | pd.DataFrame | None = None
    fmt: Literal["svg", "png"] = "svg"

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise UsageError(f"figure {self.title!r} needs a text for those who do not see it")


@dataclass(frozen=True)
class Section:
    """A part of the report: a heading, then paragraphs, figures and tables in this order."""

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[ReportFigure] = ()
    tables: Sequence[ReportTable] = ()


@dataclass(frozen=True)
class Report:
    """All that one report says.

    Attributes
    ----------
    title, subtitle
        What was done, and to what.
    headlines
        The numbers to know first.
    box
        What to do, if the report is about that; shown after the headlines.
    warnings
        What the reader must know before trusting the rest; shown on top.
    summary
        Paragraphs after the headlines: what was found.
    sections
        The results.
    methods
        Paragraphs to paste into a paper, saying what really ran.
    citation
        How to cite the software and the methods, one entry per line.
    command
        The command that repeats the run, in full.
    parameters
        Every parameter with the value that was used.
    outputs
        File name -> what it holds.
    facts
        Versions, times, memory and the like, for the end of the report.
    """

    title: str
    subtitle: str = ""
    headlines: Sequence[Headline] = ()
    box: Box | None = None
    warnings: Sequence[str] = ()
    summary: Sequence[str] = ()
    sections: Sequence[Section] = ()
    methods: Sequence[str] = ()
    citation: Sequence[str] = ()
    command: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
