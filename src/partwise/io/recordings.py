"""`open_recording`: one door for recordings of many units over time."""

from __future__ import annotations

import importlib
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, PartwiseError, ResourceError, UsageError
from partwise.io.opening import MEMORY_LIMIT, stem_of
from partwise.io.recording_checks import epochs_of, maybe_turned, refuse_repeats, settled_of
from partwise.io.recording_kinds import recording_kind
from partwise.io.recording_parts import Found, RecordingRequest

__all__ = ["Recording", "open_recording"]

_LAYOUTS = ("auto", "units-by-time", "time-by-units")
_NEGATIVE = ("raise", "clip", "split", "offset")
_MISSING = ("raise", "hide")
_DAMAGE = (
    *(ArithmeticError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),
)


@dataclass(frozen=True, eq=False)
class Recording:
    """What many units did over time; N units x T frames, all values 0 or more.

    Attributes
    ----------
    data
        N x T: an array, a CSR matrix, or a source of frames where it stays on disk (see
        `partwise.sequences.sources.FrameSource`).
    unit_names
        Names of the N units, as text.
    rate
        Frames per second; None if unknown.
    epochs
        (start, stop) of the frames to use, in order; None for all.
    side
        Other matrices of the same time, such as a spectrogram: name to (rows x columns, columns per
        second).
    notes
        What was found, taken for granted or done to the values, and should be known.
    name
        The file's name without what says its format.
    path
        The file.
    kind
        What the file turned out to be: "mat", "mat73", "npy", "npz", "text", "parquet", "hdf5",
        "zarr", "nwb".
    variable
        Name of the data in the file, if they have one.
    hidden
        Missing entries, N x T CSR of truth values, for `mask=` of a fit; None if there are none.
    start
        Seconds on the file's clock at frame 0.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "session.npy"
    >>> np.save(path, np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]))
    >>> with open_recording(path, rate=30) as recording:
    ...     print(recording.name, recording.shape, recording.unit_names, recording.seconds)
    session (2, 3) ('unit_1', 'unit_2') 0.1
    """

    data: Any
    unit_names: tuple[str, ...]
    rate: float | None
    epochs: tuple[tuple[int, int], ...] | None
    side: dict[str, tuple[npt.NDArray[Any], float | None]]
    notes: tuple[str, ...]
    name: str
    path: Path
    kind: str
    variable: str | None = None
    hidden: sp.csr_matrix | None = None
    start: float = 0.0
    _close: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Units and frames."""
        n_units, n_frames = self.data.shape
        return int(n_units), int(n_frames)

    @property
    def seconds(self) -> float | None:
        """How long it is; None if the rate is unknown."""
        return None if self.rate is None else self.shape[1] / self.rate

    @property
    def in_memory(self) -> bool:
        """Whether the values are held in memory (an array or CSR), not read when needed."""
        return not hasattr(self.data, "frames")

    def close(self) -> None:
        """Release the file behind `data`; what is in memory stays usable."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_recording(
    path: str | os.PathLike[str],
    *,
    variable: str | None = None,
    rate: float | None = None,
    bin_width: float | None = None,
    layout: str = "auto",
    epochs: str | os.PathLike[str] | Sequence[tuple[int, int]] | None = None,
    align: tuple[float, float] | None = None,
    baseline: float | None = None,
    baseline_window: float | None = None,
    negative: str = "raise",
    missing: str = "raise",
    memory_limit: int = MEMORY_LIMIT,
) -> Recording:
    r"""Open a recording of many units over time, whatever kind of file it is in.

    Parameters
    ----------
    path
        MATLAB (.mat of version 5, 7 or 7.3), NumPy (npy, npz; dense or what
        `scipy.sparse.save_npz` wrote), CSV, TSV or Parquet, HDF5, Zarr, NWB (needs the extra
        `nwb`), or spike times: CSV or Parquet with a column `unit` and a column `time`. What it is
        shows in its first bytes, not in its name. MATLAB 7.3, npy, HDF5, Zarr and NWB files whose
        matrix exceeds `memory_limit` stay on disk.
    variable
        Name of the matrix among several in a file. In NWB "units" for the spike times, or the name
        of a RoiResponseSeries.
    rate
        Frames per second, in place of what the file says.
    bin_width
        Width of the bins of spike times, seconds; needed for these and only for these.
    layout
        "units-by-time" or "time-by-units". "auto" takes a matrix without names as units x time,
        and a table with names as time x units unless its first column names the units; more units
        than frames are warned of, never turned.
    epochs
        Frames to use: pairs (start, stop), or a table of them (see
        `partwise.io.epochs.read_epochs`), or in NWB the name of a table of intervals, such as
        "trials". No sequence reaches from one epoch into the next.
    align
        Seconds before and after each event in the table `epochs`: these windows become the epochs.
    baseline
        Turns fluorescence into ΔF/F: the percentile (0 to 100) of the frames around each frame that
        is its baseline.
    baseline_window
        Width of that window, seconds; None takes all frames.
    negative
        What to do with negative values: "raise" an error, "clip" them to 0, "split" each unit into
        its positive and its negative part (2N units), "offset": subtract the lowest value of each
        unit that has any.
    missing
        What to do with NaN: "raise" an error, or "hide" them from the fit (`Recording.hidden`).
    memory_limit
        Bytes of values that may be held in memory.

    Returns
    -------
    Recording
        Values, names, rate, epochs and notes. Close it, or use it in a `with` statement.

    Raises
    ------
    DataError
        If the file is missing or damaged, has no such variable, or values cannot be used. What
        stays on disk is looked at as it is read.
    UsageError
        If a parameter cannot be used with this file.
    ResourceError
        If memory does not suffice.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "trace.csv"
    >>> _ = path.write_text("time_s,a,b\n0.0,1,0\n0.1,0,2\n0.2,0,0\n")
    >>> recording = open_recording(path)
    >>> recording.data
    array([[1., 0., 0.],
           [0., 2., 0.]])
    >>> recording.unit_names, recording.rate
    (('a', 'b'), 10.0)
    """
    request = RecordingRequest(
        path=Path(path),
        variable=variable,
        rate=rate,
        bin_width=bin_width,
        layout=layout,
        epochs=epochs,
        align=align,
        baseline=baseline,
        baseline_window=baseline_window,
        negative=negative,
        missing=missing,
        memory_limit=memory_limit,
    )
    _check(request)
    found: Found | None = None
    try:
        found = _read(request)
        return _recording(request, found)
    except BaseException as error:
        if found is not None and found.close is not None:
            found.close()
        if isinstance(error, MemoryError):
            raise ResourceError(
                f"{path}: not enough memory to read the recording; HDF5, Zarr and npy are read "
                "piece by piece beyond --in-memory (memory_limit=...)"
            ) from error
        if isinstance(error, PermissionError):
            raise ResourceError(f"{path}: permission to read was denied") from error
        if isinstance(error, DataError) and error.path is None:
            raise DataError(str(error), path=request.path) from error
        raise


def _read(request: RecordingRequest) -> Found:
    """Read what is in the file; libraries say in many ways that it is damaged."""
    try:
        return _reader(recording_kind(request.path))(request)
    except _DAMAGE as error:
        if isinstance(error, PartwiseError | PermissionError):
            raise
        raise DataError(
            f"the file is damaged or cut off ({type(error).__name__}: {error})", path=request.path
        ) from error


def _check(request: RecordingRequest) -> None:
    """Raise for parameters that no file could satisfy."""
    for name, value, choices in (
        ("layout", request.layout, _LAYOUTS),
        ("negative", request.negative, _NEGATIVE),
        ("missing", request.missing, _MISSING),
    ):
        if value not in choices:
            raise UsageError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    for name, number in (
        ("rate", request.rate),
        ("bin_width", request.bin_width),
        ("baseline_window", request.baseline_window),
    ):
        if number is not None and not 0 < number < np.inf:
            raise UsageError(f"{name} must be more than 0, not {number}")
    if request.baseline is not None and not 0 <= request.baseline <= 100:
        raise UsageError(f"baseline must be a percentile, 0 to 100, not {request.baseline}")
    if request.baseline_window is not None and request.baseline is None:
        raise UsageError("baseline_window is the window of a baseline: give its percentile too")
    if request.align is not None and not isinstance(request.epochs, str | os.PathLike):
        raise UsageError("align needs a table of events: give its path as epochs")
    if request.memory_limit < 0:
        raise UsageError(f"memory_limit must be 0 or more bytes, not {request.memory_limit}")


def _reader(kind: str) -> Callable[[RecordingRequest], Found]:
    """Return the reader of a kind of file; what it imports is loaded only then."""
    module, name = {
        "mat": ("mat", "read_mat5"),
        "mat73": ("mat", "read_mat73"),
        "npy": ("stored_arrays", "read_npy_recording"),
        "npz": ("stored_arrays", "read_npz_recording"),
        "hdf5": ("stored_arrays", "read_hdf5"),
        "zarr": ("stored_arrays", "read_zarr_arrays"),
        "nwb": ("nwb", "read_nwb"),
        "text": ("recording_tables", "read_recording_table"),
        "parquet": ("recording_tables", "read_recording_table"),
    }[kind]
    reader: Callable[[RecordingRequest], Found] = getattr(
        importlib.import_module(f"partwise.io.{module}"), name
    )
    return reader


def _recording(request: RecordingRequest, found: Found) -> Recording:
    """Judge what was found."""
    path = request.path
    n_units, n_frames = (int(side) for side in found.data.shape)
    if n_units == 0 or n_frames == 0:
        raise DataError(f"the recording is empty: {n_units} units, {n_frames} frames", path=path)
    if n_frames == 1:
        raise DataError("the recording has one frame; at least 2 are needed", path=path)
    names = found.names or tuple(f"unit_{i + 1}" for i in range(n_units))
    refuse_repeats(names, path)
    notes = [*found.notes, *maybe_turned(request, found)]
    rate = request.rate or found.rate
    if request.rate is not None and found.rate not in (None, request.rate):
        notes.append(f"{request.rate:g} frames per second as asked, not {found.rate:g}")
    epochs = epochs_of(request, found, rate)
    settled = settled_of(request, found, names, rate, epochs)
    return Recording(
        data=settled.data,
        unit_names=settled.names,
        rate=rate,
        epochs=None if epochs is None else tuple(epochs),
        side=found.side,
        notes=(*notes, *settled.notes),
        name=stem_of(path),
        path=path,
        kind=found.kind,
        variable=found.variable,
        hidden=settled.hidden,
        start=found.start,
        _close=found.close,
    )
