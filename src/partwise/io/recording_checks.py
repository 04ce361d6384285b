"""Recordings are judged here once they are read: names, layout, epochs, values."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io.baseline import Baseline
from partwise.io.columns import shown
from partwise.io.epochs import check_epochs, epochs_between, read_epochs, within
from partwise.io.recording_parts import Found, RecordingRequest
from partwise.io.signals import Settled, settle

__all__ = ["epochs_of", "maybe_turned", "refuse_repeats", "settled_of"]


def refuse_repeats(names: Sequence[str], path: Path) -> None:
    """Raise if two units have one name."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in first:
            raise DataError(
                f"units {first[name] + 1} and {i + 1} have one name, {name!r}; each unit needs one "
                "of its own",
                path=path,
            )
        first[name] = i


def maybe_turned(request: RecordingRequest, found: Found) -> list[str]:
    """Warn if there are more units than frames, unless the layout was asked for."""
    n_units, n_frames = found.data.shape
    if n_units <= n_frames or request.layout != "auto":
        return []
    other = "time-by-units" if found.layout == "units-by-time" else "units-by-time"
    text = (
        f"{n_units:,} units but only {n_frames:,} frames: are the two exchanged? The file was read "
        f"as {found.layout}; if it is {other}, say so with --layout {other} (layout={other!r})"
    )
    warnings.warn(f"{request.path}: {text}", PartwiseWarning, stacklevel=4)
    return [text]


def epochs_of(
    request: RecordingRequest, found: Found, rate: float | None
) -> list[tuple[int, int]] | None:
    """Return the epochs that were asked for, cut where frames are missing."""
    n_frames = int(found.data.shape[1])
    wanted = request.epochs
    if wanted is None:
        return found.epochs
    if isinstance(wanted, str) and wanted in found.intervals:
        pairs = epochs_between(
            found.intervals[wanted],
            rate=rate,
            n_frames=n_frames,
            start=found.start,
            times=found.times,
            align=request.align,
            path=request.path,
            name=wanted,
        )
    elif isinstance(wanted, str | os.PathLike):
        if found.intervals and not Path(wanted).exists():
            raise DataError(
                f"there is no file and no table of intervals {str(wanted)!r}; the file has "
                f"{shown(list(found.intervals))}",
                path=request.path,
            )
        pairs = read_epochs(
            wanted,
            rate=rate,
            n_frames=n_frames,
            start=found.start,
            align=request.align,
            times=found.times,
        )
    else:
        pairs = check_epochs(wanted, n_frames=n_frames)
    cut = within(pairs, found.epochs)
    if not cut:
        raise DataError("no epoch has frames", path=request.path)
    return cut


def settled_of(
    request: RecordingRequest,
    found: Found,
    names: tuple[str, ...],
    rate: float | None,
    epochs: list[tuple[int, int]] | None,
) -> Settled:
    """Return the values as they can be factorized; see `partwise.io.signals.settle`."""
    baseline = None
    if request.baseline is not None:
        baseline = _baseline(request, found, rate, epochs)
    settled = settle(
        found.data,
        names=names,
        path=request.path,
        baseline=baseline,
        missing=request.missing,
        negative=request.negative,
        memory_limit=request.memory_limit,
    )
    if baseline is not None:
        window = "all frames"
        if request.baseline_window is not None:
            window = f"{request.baseline_window:g} s around each frame"
        settled.notes.insert(
            0,
            f"the values are ΔF/F; the baseline is percentile {request.baseline:g} of {window}",
        )
    return settled


def _baseline(
    request: RecordingRequest,
    found: Found,
    rate: float | None,
    epochs: list[tuple[int, int]] | None,
) -> Baseline:
    """Return how to take the baseline: windows stay within epochs and between them."""
    assert request.baseline is not None
    n_frames = int(found.data.shape[1])
    if request.baseline_window is None:
        if hasattr(found.data, "frames"):
            raise UsageError(
                f"{request.path}: a baseline over all frames needs them in memory; take a running "
                "one with --baseline-window SECONDS (baseline_window=...), or allow more memory "
                "with --in-memory (memory_limit=...)"
            )
        return Baseline(request.baseline, None, ((0, n_frames),))
    if rate is None:
        raise UsageError(
            f"{request.path}: a window in seconds needs the frames per second: give --rate "
            "(rate=...)"
        )
    half = max(1, round(request.baseline_window * rate / 2))
    borders = sorted({0, n_frames, *(side for epoch in epochs or () for side in epoch)})
    stretches = tuple(itertools.pairwise(borders))
    return Baseline(request.baseline, half, stretches)
