"""What surrounds a job: progress, log, and how its result is shown."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from partwise.utils.logs import log_to_file
from partwise.utils.progress import Progress, silent, terminal

__all__ = ["job", "show"]


@contextlib.contextmanager
def job(values: dict[str, Any]) -> Iterator[Progress]:
    """Open the log, and yield who listens: bars for people, nobody for programs."""
    with log_to_file(values["log_file"]):
        try:
            yield silent() if values["quiet"] or values["json"] else terminal()
        except Exception as error:
            # the traceback belongs into the log, which closes before the error is told
            if values["log_file"] is not None:
                from partwise.utils.logs import logger

                logger.exception("stopped by %s", type(error).__name__)
            raise


def show(
    values: dict[str, Any],
    *,
    summary: dict[str, Any],
    lines: Sequence[str],
    warnings: Sequence[str],
) -> None:
    """Print a result: JSON for programs, lines for people, warnings on standard error."""
    if values["json"]:
        print(json.dumps(summary, ensure_ascii=False))
        return
    if values["quiet"]:
        return
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    for line in lines:
        print(line)
