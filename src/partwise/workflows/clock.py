"""Stages of a job: shown to who listens, and kept in the record of the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from partwise.utils.interrupts import check
from partwise.utils.progress import Progress, Stage

if TYPE_CHECKING:
    from partwise.report import RunRecord

__all__ = ["Clock"]


class Clock:
    """Tells progress and record of each stage.

    Parameters
    ----------
    progress
        Who listens.
    record
        The record of the run.
    """

    def __init__(self, progress: Progress, record: RunRecord) -> None:
        self.progress = progress
        self.record = record

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Open a stage of `total` units."""
        check()
        with self.record.stage(name), self.progress.stage(name, total=total) as stage:
            yield stage

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far, and of the run."""
        ended = (stage for stage in self.record.stages if "wall_seconds" in stage)
        done = {str(stage["name"]): float(stage["wall_seconds"]) for stage in ended}
        return {**done, "total": self.record.wall_seconds()}
