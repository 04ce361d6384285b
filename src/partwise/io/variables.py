"""Named arrays in a file: which one is the recording, what its rate is, what goes beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.io.frames import StoredFrames
from partwise.io.recording_parts import Found, RecordingRequest, dimensions

__all__ = ["Variable", "choose", "found_in", "listed"]

#: Under these names a matrix is taken for the recording if there are several.
_KNOWN = ("NEURAL", "X")
_NAMES = ("unit_names", "units", "names", "neuron_names")
_RATE = re.compile(
    r"(?P<of>.*?)[_.]?(sampling_?rate|sample_?rate|frame_?rate|rate|fs|fps|hz)", re.IGNORECASE
)
#: Bytes that have to be unpacked for one frame, beyond which that is worth a note.
_UNPACKED = 2**28
#: How far the durations of what belongs together may differ.
_SAME = 0.02


@dataclass(frozen=True)
class Variable:
    """A named array of a file, not loaded yet.

    Attributes
    ----------
    name
        Its name there.
    shape
        As who wrote it sees it.
    what
        What it is made of, for messages: "double", "cell", "struct", ...
    numeric
        Whether it holds plain numbers.
    load
        Returns it: an array or a sparse matrix of that shape.
    stored
        What can be read piece by piece, or None.
    reversed
        Whether `stored` has the axes in reverse order.
    nbytes
        Size of its values.
    """

    name: str
    shape: tuple[int, ...]
    what: str
    numeric: bool
    load: Callable[[], Any]
    stored: Any = None
    reversed: bool = False
    nbytes: int = 0

    @property
    def is_matrix(self) -> bool:
        """Whether it may be a recording: numbers, at least 2 x 2."""
        return self.numeric and len(self.shape) == 2 and min(self.shape) >= 2


def listed(variables: Sequence[Variable], limit: int = 20) -> str:
    """Return names, shapes and types as text."""
    if not variables:
        return "nothing"
    texts = [f"{v.name} ({dimensions(v.shape)} {v.what})" for v in variables[:limit]]
    more = f" and {len(variables) - limit} more" if len(variables) > limit else ""
    return ", ".join(texts) + more


def choose(
    variables: Sequence[Variable], name: str | None, *, path: Path
) -> tuple[Variable, list[str]]:
    """Return the variable that holds the recording, and what to note.

    Parameters
    ----------
    variables
        What is in the file.
    name
        The name that was asked for; None takes the only matrix, or among several the one with a
        known name.
    path
        The file, for messages.

    Returns
    -------
    Variable
        A matrix of numbers.
    list of str
        Notes.

    Raises
    ------
    DataError
        If it is not there or no matrix of numbers; says what is there.
    """
    if name is not None:
        return _asked(variables, name, path), []
    matrices = [variable for variable in variables if variable.is_matrix]
    if len(matrices) == 1:
        return matrices[0], []
    if not matrices:
        numbers = [variable for variable in variables if variable.numeric]
        if len(numbers) == 1:
            return _asked(variables, numbers[0].name, path), []  # says what is wrong with it
        raise DataError(
            f"there is no matrix of numbers in the file; it has {listed(variables)}", path=path
        )
    for known in _KNOWN:
        for variable in matrices:
            if variable.name.rpartition("/")[2] == known:
                rest = [other for other in matrices if other is not variable]
                return variable, [
                    f"{variable.name} was taken for the recording; the file also has "
                    f"{listed(rest, 5)}"
                ]
    raise DataError(
        f"several matrices may be the recording: {listed(matrices)}; choose one by its name with "
        "--variable (variable=...)",
        path=path,
    )


def _asked(variables: Sequence[Variable], name: str, path: Path) -> Variable:
    variable = next((v for v in variables if v.name == name), None)
    if variable is None:
        alike = [v.name for v in variables if v.name.lower() == name.lower()]
        hint = f". Upper and lower case count: is {alike[0]!r} meant?" if alike else ""
        raise DataError(
            f"there is no variable {name!r} in the file; it has {listed(variables)}{hint}",
            path=path,
        )
    there = f"{name!r} is {dimensions(variable.shape)} {variable.what}"
    rest = [v for v in variables if v is not variable]
    others = f"; the file also has {listed(rest)}" if rest else ""
    if not variable.numeric:
        raise DataError(f"{there}, not a matrix of numbers{others}", path=path)
    if len(variable.shape) == 3:
        raise DataError(
            f"{there}: it has 3 dimensions, but units x time are needed; put trials one after the "
            "other along time, and give their borders with --epochs (epochs=...)",
            path=path,
        )
    if len(variable.shape) != 2:
        n = len(variable.shape)
        raise DataError(
            f"{there}: it has {n} dimension{'' if n == 1 else 's'}, but 2 are needed, units x time"
            f"{others}",
            path=path,
        )
    if 0 in variable.shape:
        raise DataError(f"{there}: it is empty{others}", path=path)
    return variable


def found_in(
    variables: Sequence[Variable],
    request: RecordingRequest,
    *,
    kind: str,
    close: Callable[[], None] | None = None,
) -> Found:
    """Return the recording among the variables of a file.

    Parameters
    ----------
    variables
        What is in the file.
    request
        What was asked for.
    kind
        What the file is.
    close
        Releases the file; called at once where nothing stays on disk.

    Returns
    -------
    Found
        The recording, its rate and names where the file has them, and side channels: matrices that
        have a rate of their own and the duration of the recording.
    """
    chosen, notes = choose(variables, request.variable, path=request.path)
    turned = request.layout == "time-by-units"
    data, stays = _data(chosen, turned, request.memory_limit, close)
    found = Found(data, kind, variable=chosen.name, notes=notes, close=close if stays else None)
    found.layout = "time-by-units" if turned else "units-by-time"
    if stays:
        notes += _slow_chunks(chosen.stored, time_first=chosen.reversed != turned)
    rates = _rates(variables, notes)
    name, found.rate = _rate_of(chosen, variables, rates)
    rate = request.rate or found.rate
    if name is not None and request.rate is None:
        notes.append(f"{found.rate:g} frames per second, from {name} in the file")
    found.names = _unit_names(variables, chosen, found.data.shape[0])
    if rate is not None:
        seconds = found.data.shape[1] / rate
        found.side = _side(variables, chosen, rates, seconds, request.memory_limit)
    for other, (matrix, other_rate) in found.side.items():
        notes.append(
            f"{other} ({dimensions(matrix.shape)} at {other_rate:g} Hz) goes beside it, for figures"
        )
    if close is not None and not stays:
        close()
    return found


def _data(
    chosen: Variable, turned: bool, memory_limit: int, close: Callable[[], None] | None
) -> tuple[Any, bool]:
    """Return the values as units x time, and whether they stay on disk."""
    if chosen.stored is not None and chosen.nbytes > memory_limit:
        time_first = chosen.reversed != turned
        return StoredFrames(chosen.stored, time_first=time_first, close=close), True
    matrix = chosen.load()
    return (matrix.T if turned else matrix), False


def _slow_chunks(stored: Any, *, time_first: bool) -> list[str]:
    """Say that the pieces in which a matrix is stored are long in time: each read unpacks much."""
    chunks = getattr(stored, "chunks", None)
    if not chunks:
        return []
    axis = 0 if time_first else 1
    frames, units = int(chunks[axis]), int(stored.shape[1 - axis])
    if frames * units * stored.dtype.itemsize <= _UNPACKED:
        return []
    return [
        f"the matrix is stored in pieces of {dimensions(chunks)}, {frames:,} frames long, so "
        "reading it in time unpacks much repeatedly: store it in pieces of all units and a few "
        "thousand frames, or allow it into memory with --in-memory (memory_limit=...)"
    ]


def _rates(variables: Sequence[Variable], notes: list[str]) -> dict[str, tuple[str, float]]:
    """Return the single numbers that are rates: what of, in lower case, to (name, Hz)."""
    rates = {}
    for variable in variables:
        match = _RATE.fullmatch(variable.name.rpartition("/")[2])
        if match is None or not variable.numeric or np.prod(variable.shape) != 1:
            continue
        value = np.asarray(variable.load()).ravel()[0]
        if np.isreal(value) and 0 < float(value.real) < np.inf:
            rates[match["of"].lower()] = (variable.name, float(value.real))
        else:
            notes.append(f"{variable.name} in the file is {value}, which is no rate: left out")
    return rates


def _rate_of(
    chosen: Variable, variables: Sequence[Variable], rates: dict[str, tuple[str, float]]
) -> tuple[str | None, float | None]:
    """Return the rate of the recording: its own, one of no particular variable, or the only one."""
    own = rates.get(chosen.name.rpartition("/")[2].lower()) or rates.get("")
    if own is None:
        others = {v.name.rpartition("/")[2].lower() for v in variables}
        free = [rate for of, rate in rates.items() if of not in others]
        own = free[0] if len(free) == 1 else None
    return own if own is not None else (None, None)


def _side(
    variables: Sequence[Variable],
    chosen: Variable,
    rates: dict[str, tuple[str, float]],
    seconds: float,
    memory_limit: int,
) -> dict[str, tuple[npt.NDArray[Any], float | None]]:
    side: dict[str, tuple[npt.NDArray[Any], float | None]] = {}
    for variable in variables:
        short = variable.name.rpartition("/")[2]
        rate = rates.get(short.lower())
        if variable is chosen or not variable.is_matrix or rate is None:
            continue
        if variable.nbytes > memory_limit:
            continue
        if abs(variable.shape[1] / rate[1] - seconds) > _SAME * seconds:
            continue
        matrix = variable.load()
        if isinstance(matrix, np.ndarray) and matrix.dtype.kind in "fiub":
            side[short] = (matrix.astype(np.float64), rate[1])
    return side


def _unit_names(
    variables: Sequence[Variable], chosen: Variable, n_units: int
) -> tuple[str, ...] | None:
    """Return names that the file has for its units: a list of texts of the right length."""
    for variable in variables:
        text = variable.what == "text"
        if text and variable.name.rpartition("/")[2] in _NAMES and variable is not chosen:
            names = np.asarray(variable.load()).ravel()
            if len(names) == n_units:
                return tuple(
                    name.decode() if isinstance(name, bytes) else str(name) for name in names
                )
    return None
