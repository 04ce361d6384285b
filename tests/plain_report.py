"""Reports as plain text: what they say, without the time that drawing takes."""

from pathlib import Path


def write_plain(path, report):
    """Write all texts of a report; in place of `partwise.report.write_report`."""
    lines = [report.title, *report.warnings, *report.summary]
    for section in report.sections:
        lines += [section.heading, *section.paragraphs]
        for figure in section.figures:
            lines += [f"{figure.title}<", figure.caption, figure.alt]
        lines += [table.caption for table in section.tables]
    Path(path).write_text("\n".join([*lines, *report.methods]), encoding="utf-8")
