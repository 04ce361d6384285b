"""How long work tells what it does.

Functions of the library take `progress: Progress | None = None` and start with
`progress = progress or silent()`. Whatever is reported also goes to the logger named "partwise".
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from partwise.utils.logs import logger

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress", "Stage", "silent", "terminal"]


class Stage(Protocol):
    """A stage that is running."""

    def advance(self, n: int = 1) -> None:
        """Report that `n` more units (rows, iterations) are done; any thread may call it."""
        ...


class Progress(Protocol):
    """Who listens to what is going on."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Stage]:
        """Open a stage of `total` units; None if their number is not known. Stages may nest."""
        ...

    def info(self, text: str) -> None:
        """Tell something that is good to know."""
        ...

    def warn(self, text: str) -> None:
        """Tell something that the user should look at; the work goes on."""
        ...


class _SilentStage:
    """A stage that nobody watches."""

    def advance(self, n: int = 1) -> None:
        """Do nothing."""


class _Silent:
    """Log stages and texts, show nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Log when a stage begins and how long it took."""
        with _logged(name, total):
            yield _SilentStage()

    def info(self, text: str) -> None:
        """Log `text`."""
        logger.info(text)

    def warn(self, text: str) -> None:
        """Log `text` as a warning."""
        logger.warning(text)


class _Lines(_Silent):
    """Without a terminal: no bars, but what the user should look at is printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def warn(self, text: str) -> None:
        """Print and log `text` as a warning."""
        super().warn(text)
        print(f"warning: {text}", file=self._stream, flush=True)


class _RichStage:
    """A stage with a bar."""

    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, n: int = 1) -> None:
        """Move the bar."""
        self._bars.advance(self._task, n)


class _Terminal:
    """One line per stage: name, bar, units done, time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: RichProgress | None = None
        self._depth = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Show a line for the stage; inner stages get their own, indented."""
        bars = self._open()
        task = bars.add_task("  " * (self._depth - 1) + name, total=total)
        try:
            with _logged(name, total):
                yield _RichStage(bars, task)
            done = bars.tasks[bars.task_ids.index(task)].completed
            bars.update(task, total=total or done or 1, completed=total or done or 1)
        finally:
            self._close()

    def info(self, text: str) -> None:
        """Print and log `text`."""
        logger.info(text)
        self._console.print(text, markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Print and log `text` as a warning."""
        logger.warning(text)
        self._console.print(f"warning: {text}", markup=False, highlight=False, style="yellow")

    def _open(self) -> RichProgress:
        with self._lock:
            if self._bars is None:
                self._bars = _bars(self._console)
                self._bars.start()
            self._depth += 1
            return self._bars

    def _close(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._bars is not None:
                self._bars.stop()
                self._bars = None


def silent() -> Progress:
    """Return a progress that shows nothing (and logs).

    Examples
    --------
    >>> with silent().stage("count", total=3) as stage:
    ...     stage.advance(3)
    """
    return _Silent()


def terminal(stream: TextIO | None = None) -> Progress:
    """Return a progress for people: bars if `stream` is a terminal, only warnings if it is not.

    Parameters
    ----------
    stream
        Where to draw; standard error by default, so that standard output stays clean.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        return _Lines(stream)
    from rich.console import Console

    return _Terminal(Console(file=stream))


@contextlib.contextmanager
def _logged(name: str, total: int | None) -> Iterator[None]:
    start = time.perf_counter()
    logger.info("%s: started%s", name, "" if total is None else f" ({total} units)")
    try:
        yield
    except BaseException as error:
        took = time.perf_counter() - start
        logger.info("%s: stopped after %.2f s by %s", name, took, type(error).__name__)
        raise
    logger.info("%s: done in %.2f s", name, time.perf_counter() - start)


def _bars(console: Console) -> RichProgress:
    """Return rich's bars with our columns: units and time left only where they are known."""
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Units(ProgressColumn):
        """Units done, of all if their number is known, and the time that the rest will take."""

        def render(self, task: Task) -> Text:
            done = int(task.completed)
            if task.total is None or task.total <= 1:
                return Text(f"{done:,}" if done > 1 else "")
            left = task.time_remaining
            seconds = "" if left is None or task.finished else f", {_clock(left)} left"
            return Text(f"{done:,}/{int(task.total):,}{seconds}")

    columns: list[Any] = [
        SpinnerColumn(finished_text="-"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        Units(),
    ]
    return Bars(*columns, console=console, refresh_per_second=5)


def _clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
