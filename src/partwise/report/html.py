"""A report as one HTML file that needs no network, no script and no other file.

All text is escaped by the template engine; images are embedded; the page forbids itself to load
anything, so names taken from data cannot make it do so either.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from os import PathLike
from typing import Any

import jinja2
import pandas as pd

from partwise.report.model import Report, ReportFigure, ReportTable
from partwise.report.text import format_number
from partwise.utils.atomic import write_text

__all__ = ["MAX_BYTES", "render_report", "write_report"]

#: a report stays below this, so that it can be sent by mail
MAX_BYTES = 5_000_000

_LARGEST_SVG = 300_000
_DPI = 160
_COARSER_DPI = (100, 70, 50, 35)


@dataclass(frozen=True)
class _Image:
    """A figure as the template needs it."""

    number: int
    source: ReportFigure
    uri: str
    width: int
    table: ReportTable | None


def write_report(path: str | PathLike[str], report: Report) -> None:
    """Write a report as one HTML file; it appears whole or not at all.

    Parameters
    ----------
    path
        Where to write.
    report
        What to say.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from partwise.report import Report, write_report
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> write_report(path, Report("Clusters of 300 cells"))
    >>> "Clusters of 300 cells" in path.read_text(encoding="utf-8")
    True
    """
    write_text(path, render_report(report))


def render_report(report: Report) -> str:
    """Return a report as the text of an HTML file of less than 5 MB.

    Figures are embedded as SVG, or as PNG if asked for or if the SVG is larger than 300 kB. If the
    page as a whole is too large, all figures become PNGs, each time coarser until it is not.
    """
    page = _page(report, None)
    for dpi in _COARSER_DPI:
        if len(page.encode()) < MAX_BYTES:
            break
        page = _page(report, dpi)
    return page


def _page(report: Report, dpi: int | None) -> str:
    """Return the page, its figures as PNGs of `dpi` or, if None, as good as can be."""
    number = 0
    sections = []
    for section in report.sections:
        images = []
        for figure in section.figures:
            number += 1
            images.append(_image(number, figure, dpi))
        sections.append((section, images))
    return _template().render(report=report, sections=sections)


def _image(number: int, source: ReportFigure, dpi: int | None) -> _Image:
    from partwise.figures import render  # what draws is loaded when there is something to draw

    fmt = source.fmt if dpi is None else "png"
    data = render(source.figure, fmt, dpi=dpi or _DPI)
    if fmt == "svg" and len(data) > _LARGEST_SVG:
        fmt, data = "png", render(source.figure, "png", dpi=_DPI)
    mime = "image/svg+xml" if fmt == "svg" else "image/png"
    uri = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    table = source.table
    if isinstance(table, pd.DataFrame):
        table = ReportTable(table)
    # CSS has 96 px to the inch; a little more, so that letters are as large as those of the page
    return _Image(number, source, uri, round(105 * source.figure.get_figwidth()), table)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("partwise.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters["cells"] = _cells
    environment.filters["number"] = format_number
    return environment.get_template("report.html.j2")


def _visible(value: Any) -> Any:
    """Replace control characters, which HTML does not allow, in whatever is printed."""
    if isinstance(value, str) and not value.isprintable():
        kept = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in value)
        return type(value)(kept)  # markup stays markup
    return value


def _cells(table: ReportTable) -> dict[str, Any]:
    """Return a table's header and rows as text, and which columns hold numbers."""
    frame = table.data.iloc[: table.max_rows]
    columns = [frame.iloc[:, j] for j in range(frame.shape[1])]
    names = [_name(name) for name in frame.columns]
    corner = " / ".join(_name(name) for name in frame.index.names if name is not None)
    body = [[format_number(value) for value in column.tolist()] for column in columns]
    index = [_name(name) for name in frame.index.tolist()]
    return {
        "corner": corner,
        "names": names,
        "numeric": [pd.api.types.is_numeric_dtype(column.dtype) for column in columns],
        "rows": [(index[i], [column[i] for column in body]) for i in range(len(frame))],
        "left_out": len(table.data) - len(frame),
    }


def _name(value: object) -> str:
    return " / ".join(map(str, value)) if isinstance(value, tuple) else str(value)
