"""What a run leaves for people (one HTML file) and for machines (run.json)."""

from __future__ import annotations

from partwise.report.html import render_report, write_report
from partwise.report.model import Box, Headline, Report, ReportFigure, ReportTable, Section
from partwise.report.run_record import RunRecord, environment, file_sha256
from partwise.report.text import format_bytes, format_count, format_duration, format_number

__all__ = [
    "Box",
    "Headline",
    "Report",
    "ReportFigure",
    "ReportTable",
    "RunRecord",
    "Section",
    "environment",
    "file_sha256",
    "format_bytes",
    "format_count",
    "format_duration",
    "format_number",
    "render_report",
    "write_report",
]
