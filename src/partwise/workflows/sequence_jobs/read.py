"""A recording as the jobs on sequences need it: read, prepared, cut into what is fitted and tested.

What cannot be used is refused here, with what to do about it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, PartwiseError, PartwiseWarning, UsageError
from partwise.io.recordings import Recording, open_recording
from partwise.sequences import split_time
from partwise.workflows.plan import parse_bytes
from partwise.workflows.sequence_jobs.result import SUFFIX

if TYPE_CHECKING:
    from partwise.workflows.sequence_jobs.recording_options import RecordingOptions

__all__ = ["Part", "Prepared", "Split", "read_recording", "side_of", "split_recording"]

Epochs = tuple[tuple[int, int], ...]

#: Share of the power from which a level that units never leave is told.
_MOSTLY = 0.5


@dataclass(frozen=True)
class Prepared:
    """A recording, ready for a fit; a context that releases the file at its end.

    Attributes
    ----------
    name
        Stem of the file names of all outputs.
    X
        Units x frames: an array, a sparse matrix, or a source of frames on disk.
    mask
        Entries to hide, units x frames, sparse; None if all are there.
    units
        Names of the units.
    rate
        Frames per second; None if not known.
    epochs
        (start, stop) frames in the order of time; None if the recording is one.
    side
        Name -> (array, its frames per second): what else the file holds, aligned in time.
    variable
        Which array of the file was read.
    notes
        How it was read.
    warnings
        What of it the user should look at.
    release
        Closes the file.
    """

    name: str
    X: Any
    mask: Any
    units: tuple[str, ...]
    rate: float | None
    epochs: Epochs | None
    side: dict[str, tuple[Any, float | None]]
    variable: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    release: Callable[[], None]

    def __enter__(self) -> Prepared:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def shape(self) -> tuple[int, int]:
        """Units and frames."""
        return int(self.X.shape[0]), int(self.X.shape[1])

    @property
    def n_frames(self) -> int:
        """Frames of the recording."""
        return self.shape[1]

    @property
    def shown(self) -> Any:
        """The recording as figures take it: hidden entries of arrays in memory are NaN."""
        if self.mask is None or not isinstance(self.X, np.ndarray):
            return self.X
        values = self.X.copy()
        values[self.mask.nonzero()] = np.nan
        return values

    def seconds(self, frames: float) -> str:
        """Return a number of frames in seconds, in brackets; nothing if the rate is not known."""
        return "" if self.rate is None else f" ({frames / self.rate:,.4g} s)"


@dataclass(frozen=True)
class Part:
    """Frames of a recording that follow each other.

    Attributes
    ----------
    X, mask
        Units x frames; the mask is None if all entries are there.
    epochs
        (start, stop) in frames of the part; None if it is one.
    """

    X: Any
    mask: Any
    epochs: Epochs | None

    @property
    def n_frames(self) -> int:
        """Frames of the part."""
        return int(self.X.shape[1])


@dataclass(frozen=True)
class Split:
    """The part of a recording that is fitted, and the part that is held out.

    Attributes
    ----------
    cut
        First frame that is held out; the number of frames if none is.
    train, test
        The parts; `test` is None if nothing is held out.
    """

    cut: int
    train: Part
    test: Part | None


def read_recording(path: str | os.PathLike[str], options: RecordingOptions) -> Prepared:
    """Read a recording and prepare its values.

    Parameters
    ----------
    path
        The file.
    options
        How to read and prepare it.

    Returns
    -------
    Prepared
        Nothing in it is negative or missing but what is hidden.

    Raises
    ------
    UsageError
        If an option does not suit the file.
    DataError
        If the file cannot be read, or its values cannot be used.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", PartwiseWarning)
        try:
            found = _opened(path, options)
        except PartwiseError as error:
            if os.fspath(path).endswith(SUFFIX):
                error.add_note(
                    "a file whose name ends like this is what partwise sequences fit writes; give "
                    "the recording"
                )
            raise
    units = tuple(map(str, found.unit_names))
    warned = [str(w.message).removeprefix(f"{os.fspath(path)}: ") for w in told]
    return Prepared(
        name=found.name,
        X=found.data,
        mask=found.hidden,
        units=units,
        rate=found.rate,
        epochs=found.epochs,
        side=dict(found.side),
        variable=found.variable,
        notes=(*(note for note in found.notes if note not in warned), *_used(found)),
        warnings=(
            *warned,
            *_silent(found.data, found.hidden, units),
            *_floor(found.data, found.hidden),
        ),
        release=found.close,
    )


def _opened(path: str | os.PathLike[str], options: RecordingOptions) -> Recording:
    return open_recording(
        path,
        variable=options.variable,
        rate=options.rate,
        bin_width=options.bin_width,
        layout=options.layout,
        epochs=options.epochs,
        align=cast(Any, options.align) or None,
        baseline=options.baseline,
        baseline_window=options.baseline_window,
        negative=options.negative,
        missing=options.missing,
        memory_limit=parse_bytes(options.in_memory),
    )


def _used(found: Recording) -> list[str]:
    """Tell how much of a recording its epochs are."""
    if found.epochs is None:
        return []
    count, n_frames = len(found.epochs), int(found.data.shape[1])
    used = sum(stop - start for start, stop in found.epochs)
    time = "" if found.rate is None else f" ({used / found.rate:,.4g} s)"
    epochs = "1 epoch" if count == 1 else f"{count:,} epochs"
    return [f"{epochs}: {used:,} of {n_frames:,} frames{time} are used"]


def _silent(X: Any, hidden: Any, units: tuple[str, ...]) -> list[str]:
    """Tell of units that are zero, or missing, throughout; of recordings in memory."""
    if hasattr(X, "frames"):
        return []
    largest = X.max(axis=1)
    largest = largest.toarray() if sp.issparse(largest) else largest
    silent = np.asarray(largest).ravel() == 0
    gone = np.zeros(len(units), bool)
    if hidden is not None:
        gone = np.asarray(hidden.sum(axis=1)).ravel() == X.shape[1]
    return [
        *_throughout(units, np.flatnonzero(silent & ~gone), "silent"),
        *_throughout(units, np.flatnonzero(gone), "missing"),
    ]


def _throughout(units: tuple[str, ...], which: npt.NDArray[np.intp], what: str) -> list[str]:
    if not len(which):
        return []
    first = ", ".join(units[i] for i in which[:5])
    more = f" and {len(which) - 5:,} more" if len(which) > 5 else ""
    are = "unit is" if len(which) == 1 else "units are"
    return [f"{len(which):,} {are} {what} throughout, so in no motif: {first}{more}"]


def _floor(X: Any, hidden: Any) -> list[str]:
    """Tell of a level below which units never go, if it is most of the data; in memory only."""
    if not isinstance(X, np.ndarray) or not X.size:
        return []
    there = np.ones(X.shape, bool)
    if hidden is not None:
        there[hidden.nonzero()] = False
    least = np.where(there, X, np.inf).min(axis=1).astype(np.float64)
    level = np.where(np.isfinite(least), least, 0.0) ** 2 @ there.sum(axis=1)
    share = level / (float(np.sum(np.square(X, dtype=np.float64), where=there)) or 1.0)
    if share <= _MOSTLY:
        return []
    return [
        f"{share:.0%} of the power is a level below which units never go, and motifs will describe "
        "it in place of sequences: subtract it from the data; for fluorescence, --baseline 10 "
        "--negative clip does"
    ]


def split_recording(recording: Prepared, test_fraction: float, n_lags: int) -> Split:
    """Keep the last part of a recording from the fit.

    Parameters
    ----------
    recording
        The whole.
    test_fraction
        Share of the frames to hold out; 0 for none.
    n_lags
        Length of a motif; both parts must be longer.

    Returns
    -------
    Split
        Where the cut is, and the parts.

    Raises
    ------
    DataError
        If a part is shorter than a motif.
    """
    n_frames = recording.n_frames
    if n_lags >= n_frames:
        raise DataError(
            f"a motif of {n_lags:,} frames{recording.seconds(n_lags)} is not shorter than the "
            f"recording, which has {n_frames:,}{recording.seconds(n_frames)}: give a smaller "
            "--n-lags or --length; if the rows of the file are frames, --layout time-by-units"
        )
    if not test_fraction:
        whole = Part(recording.X, recording.mask, recording.epochs)
        _check_observed(whole, "recording")
        return Split(n_frames, whole, None)
    try:
        found = split_time(
            recording.X,
            n_lags=n_lags,
            fraction=1.0 - test_fraction,
            epochs=recording.epochs,
            mask=recording.mask,
        )
    except DataError as error:
        turned = recording.shape[0] > n_frames
        layout = "; if the rows of the file are frames, --layout time-by-units" if turned else ""
        raise DataError(
            f"{error} (--test-fraction {test_fraction:g}; 0 holds nothing out{layout})"
        ) from None
    train = Part(found.train, found.train_mask, found.train_epochs)
    test = Part(found.test, found.test_mask, found.test_epochs)
    _check_observed(train, f"first part, which is fitted, up to frame {found.frame:,},")
    _check_observed(test, f"last part, which is held out, from frame {found.frame:,} on,")
    return Split(cut=found.frame, train=train, test=test)


def _check_observed(part: Part, name: str) -> None:
    """Refuse a part of which all is missing."""
    if part.mask is None:
        return
    spans = part.epochs or ((0, part.n_frames),)
    size = int(part.X.shape[0]) * sum(stop - start for start, stop in spans)
    if sum(part.mask[:, start:stop].nnz for start, stop in spans) == size:
        raise DataError(
            f"all values of the {name} are missing: leave such frames out with --epochs, or give "
            "another --test-fraction (0 holds nothing out)"
        )


def side_of(recording: Prepared, name: str | None) -> dict[str, tuple[npt.NDArray[Any], float]]:
    """Return what to draw above the factors: name -> (an array aligned in time, its rate).

    Parameters
    ----------
    recording
        With what else the file holds.
    name
        Which of it; None takes the first, "none" nothing.

    Raises
    ------
    UsageError
        If the file has none of that name.
    """
    there = {key: (v, rate) for key, (v, rate) in recording.side.items() if rate is not None}
    if name == "none" or recording.rate is None or (name is None and not there):
        return {}
    name = next(iter(there)) if name is None else name
    if name in there:
        values, rate = there[name]
        return {name: (np.asarray(values, dtype=float), float(rate))}
    raise UsageError(
        f"--side: {name!r} cannot be drawn beside the recording; {', '.join(there) or 'nothing'} "
        f"can. What can be has a rate in the file (such as {name}fs) and is as long as the "
        "recording"
    )
