"""The end of a job: report, run.json, and all files into place together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partwise.utils.atomic import write_json
from partwise.utils.logs import logger

if TYPE_CHECKING:
    from partwise.workflows.clock import Clock
    from partwise.workflows.outputs import RunFolder

__all__ = ["finish", "warn_of"]


def finish(
    folder: RunFolder,
    clock: Clock,
    written: dict[str, tuple[str, str]],
    *,
    report: Callable[[Path, dict[str, str]], None],
    parameters: dict[str, Any],
    results: dict[str, Any],
) -> dict[str, Path]:
    """Write report and run.json, and move all outputs into place.

    Parameters
    ----------
    folder
        Where the run writes.
    clock
        Its stages and its record.
    written
        The files that are written already: kind -> (file name, what it holds).
    report
        Writes the report to a path, given file name -> what it holds.
    parameters, results
        What run.json says of the run.

    Returns
    -------
    dict
        Kind -> file, "report" and "run" included.
    """
    record = clock.record
    files = {
        **written,
        "report": ("report.html", "this report"),
        "run": ("run.json", "versions, options, seed, hashes, times, warnings"),
    }
    warn_of(clock, _left(folder.folder, {name for name, _ in files.values()}))
    for name, _ in written.values():
        record.add_output(folder.path(name))
    with clock.stage("report"):
        report(folder.path("report.html"), dict(files.values()))
    record.add_output(folder.path("report.html"))
    with clock.progress.stage("finish"):  # the record cannot time its own end
        record.parameters = parameters
        record.results = results
        data = record.to_dict()
        for entry in data["outputs"]:
            entry["path"] = Path(entry["path"]).name  # they lie beside run.json
        write_json(folder.path("run.json"), data)
        folder.publish()
    return {kind: folder.folder / name for kind, (name, _) in files.items()}


def _left(folder: Path, names: set[str]) -> list[str]:
    """Say which files of an earlier run stay in the folder, beside a new report."""
    try:
        entries = json.loads((folder / "run.json").read_text(encoding="utf-8"))["outputs"]
        earlier = [str(entry["path"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    left = [name for name in earlier if name not in names and (folder / name).is_file()]
    if not left:
        return []
    return [f"the folder still holds files of an earlier run, not of this one: {', '.join(left)}"]


def warn_of(clock: Clock, texts: Iterable[str]) -> None:
    """Note what the user should look at, in the log and in the record."""
    for text in texts:
        logger.warning(text)
        clock.record.warn(text)
