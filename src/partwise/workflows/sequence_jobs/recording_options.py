"""Options of all jobs on sequences that read a recording."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from partwise.exceptions import UsageError
from partwise.workflows.options import check_choice, check_number, check_whole, option

__all__ = ["FIGURES", "LAYOUTS", "MISSING", "NEGATIVE", "RecordingOptions"]

LAYOUTS = ("auto", "units-by-time", "time-by-units")
NEGATIVE = ("raise", "clip", "split", "offset")
MISSING = ("raise", "hide")
FIGURES = ("png", "pdf", "svg")

_INPUT, _OUTPUT = "Input", "Output"


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """How to read a recording; each field is also a flag of the command line.

    Attributes
    ----------
    variable
        Which array of the file; None means the only one that can be a recording.
    rate
        Frames per second; None means what the file says, if it does.
    bin_width
        Width of a frame in seconds, for spike times.
    layout
        "units-by-time", "time-by-units" or "auto".
    epochs
        A table of trials or epochs: no motif crosses from one to the next, and what is in none of
        them is left out. Columns `start` and `stop`, or, with `align`, one of events.
    align
        Seconds before and after each event of `epochs`.
    negative
        What to do with values below zero: "raise" an error, "clip" them to zero, "split" each unit
        into what is above and what is below zero, or "offset": subtract each unit's least value.
    missing
        What to do with values that are NaN: "raise" an error, or "hide" them from all that is done.
    baseline, baseline_window
        Turn fluorescence F into (F - B) / B, where B is this percentile of the frames around each
        frame, within a window of seconds (None: of all frames).
    in_memory
        Recordings up to this size are read as a whole; larger ones stay on disk, where their kind
        of file allows it.
    """

    variable: str | None = option(
        None,
        "--variable",
        kind=str,
        help="Which array of the file, where there are several (.mat, .npz, HDF5, zarr, NWB).",
        section=_INPUT,
        shown_default="the only one that can be a recording",
    )
    rate: float | None = option(
        None,
        "--rate",
        kind=float,
        help="Frames per second.",
        section=_INPUT,
        shown_default="what the file says",
    )
    bin_width: float | None = option(
        None,
        "--bin-width",
        kind=float,
        help="Seconds per frame, for spike times.",
        section=_INPUT,
    )
    layout: str = option(
        "auto",
        "--layout",
        kind=str,
        choices=LAYOUTS,
        help="What the rows and columns of the file are.",
        section=_INPUT,
    )
    epochs: str | os.PathLike[str] | None = option(
        None,
        "--epochs",
        kind=str,
        help="Table of trials or epochs (start_s and stop_s, or start_frame and stop_frame): no "
        "motif crosses from one to the next.",
        section=_INPUT,
    )
    align: tuple[float, ...] = option(
        (),
        "--align",
        kind=tuple,
        help="With --epochs as a table of events (time_s or event_frame): seconds before and after "
        "each, such as 0.5,2.",
        section=_INPUT,
    )
    negative: str = option(
        "raise",
        "--negative",
        kind=str,
        choices=NEGATIVE,
        help="Values below zero: raise an error, clip them to zero, split each unit into what is "
        "above and what is below zero, or subtract each unit's least value (offset).",
        section=_INPUT,
    )
    missing: str = option(
        "raise",
        "--missing",
        kind=str,
        choices=MISSING,
        help="Missing values (NaN): raise an error, or hide them from all that is computed.",
        section=_INPUT,
    )
    baseline: float | None = option(
        None,
        "--baseline",
        kind=float,
        help="Turn fluorescence F into (F - B) / B with this running percentile as B.",
        section=_INPUT,
    )
    baseline_window: float | None = option(
        None,
        "--baseline-window",
        kind=float,
        help="Seconds over which that percentile is taken.",
        section=_INPUT,
        shown_default="the whole recording",
    )
    in_memory: str = option(
        "256MiB",
        "--in-memory",
        kind=str,
        help="Recordings up to this size are read as a whole; larger ones stay on disk and are "
        "read piece by piece (.mat 7.3, npy, HDF5, zarr, NWB).",
        section=_INPUT,
        matters="run",
    )

    def check_recording(self) -> None:
        """Raise `UsageError` for values that cannot be used."""
        for name in ("rate", "bin_width", "baseline_window"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0.0)
        check_choice("layout", self.layout, LAYOUTS)
        check_choice("negative", self.negative, NEGATIVE)
        check_choice("missing", self.missing, MISSING)
        if self.baseline is not None:
            check_number("baseline", self.baseline)
            if self.baseline > 100:
                raise UsageError(f"baseline is a percentile from 0 to 100, not {self.baseline:g}")
        elif self.baseline_window is not None:
            raise UsageError("--baseline-window has no use without --baseline")
        if self.epochs is not None:
            object.__setattr__(self, "epochs", os.fspath(self.epochs))
        object.__setattr__(self, "align", _seconds(self.align))
        if self.align and self.epochs is None:
            raise UsageError("--align has no use without --epochs, a table of events")


def _seconds(values: Any) -> tuple[float, ...]:
    """Return no seconds or two, numbers or texts that are such."""
    given = tuple(values or ())
    try:
        found = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        found = ()
    if given and (len(found) != 2 or not all(0 <= value < math.inf for value in found)):
        raise UsageError(f"align must be seconds before and after, such as 0.5,2, not {values!r}")
    return found


def names_of(name: str, value: Any) -> tuple[str, ...]:
    """Return one name or several as a tuple; raise `UsageError` if they are no names."""
    texts = (value,) if isinstance(value, str) else tuple(value or ())
    if not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{name} must be names, not {value!r}")
    return texts


def check_figures(value: Any) -> tuple[str, ...]:
    """Return formats of figures as a tuple; raise `UsageError` for others than there are."""
    texts = names_of("figure", value)
    for text in texts:
        check_choice("figure", text, FIGURES)
    return texts


def lags_of(
    n_lags: int | None, length: float | None, rate: float | None, *, default: int
) -> tuple[int, str]:
    """Return the length of a motif in frames, and how it came about.

    Parameters
    ----------
    n_lags
        Frames, if given.
    length
        Seconds, if given.
    rate
        Frames per second, if known.
    default
        Frames, if neither is given.

    Raises
    ------
    UsageError
        If seconds are given and the rate is not known.

    Examples
    --------
    >>> lags_of(None, 2 / 3, 30.0, default=100)
    (20, '0.6667 s at 30 Hz')
    """
    if n_lags is not None:
        return n_lags, f"{n_lags} frames"
    if length is None:
        return default, f"{default} frames, the default"
    if rate is None:
        raise UsageError(
            "--length is in seconds, but the file does not say how many frames a second has: give "
            "--rate HZ, or the length in frames (--n-lags)"
        )
    frames = max(1, math.floor(length * rate + 0.5))
    return frames, f"{length:.4g} s at {rate:g} Hz"


def check_lags(n_lags: int | None, length: float | None) -> None:
    """Raise `UsageError` unless at most one of frames and seconds is given, and above zero."""
    if n_lags is not None and length is not None:
        raise UsageError("give the length of a motif in frames (--n-lags) or seconds (--length)")
    if n_lags is not None:
        check_whole("n_lags", n_lags, least=1)
    if length is not None:
        check_number("length", length, above=0.0)
