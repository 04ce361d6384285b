"""From what a file holds to what can be factorized: baseline, missing and negative values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, ResourceError, UsageError
from partwise.io.baseline import Baseline
from partwise.io.checks import MAX_PLACES
from partwise.io.frames import MemoryFrames, frame_dtype
from partwise.io.spool import BLOCK_BYTES
from partwise.sequences.sources import FrameSource

__all__ = ["Settled", "SignalFrames", "settle"]

_REMEDIES = (
    "Say what to do with them: --negative clip (negative='clip') sets them to 0, split makes two "
    "units of each, its positive and its negative part, offset subtracts the lowest value of each "
    "unit"
)
_BELOW = "ΔF/F is negative wherever the trace is below its baseline. "


@dataclass(frozen=True)
class Settled:
    """A recording that can be factorized.

    Attributes
    ----------
    data
        N x T array or CSR matrix, or a `SignalFrames` where it stays on disk.
    names
        Names of the units.
    hidden
        Missing entries, N x T CSR of truth values; None if there are none.
    notes
        What was done to the values.
    """

    data: Any
    names: tuple[str, ...]
    hidden: sp.csr_matrix | None
    notes: list[str]


class SignalFrames:
    """Frames of a recording on disk, each looked at as it is read.

    Parameters
    ----------
    source
        The frames as they are stored.
    names
        Names of the units as they are stored, for messages.
    path
        The file, for messages.
    baseline
        For ΔF/F; None leaves the values as they are.
    missing
        "raise", or "hide" to hand out 0 for NaN.
    negative
        "raise", "clip", "split" or "offset".
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        names: Sequence[str],
        path: Path,
        baseline: Baseline | None,
        missing: str,
        negative: str,
    ) -> None:
        self._source = source
        self._names = names
        self._path = path
        self._baseline = baseline
        self._missing = missing
        self._negative = negative
        self._lowest: npt.NDArray[Any] | None = None  # of each unit, once known
        n, n_frames = source.shape
        self.shape = (2 * n if negative == "split" else n, n_frames)
        self.dtype = source.dtype

    def frames(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return N x (stop - start) values that are finite and 0 or more.

        Raises
        ------
        DataError
            If a value cannot be used; names unit and frame.
        """
        if not 0 <= start <= stop <= self.shape[1]:
            raise UsageError(f"frames {start} to {stop} are not within 0 to {self.shape[1]}")
        return self.folded(self.raw(start, stop), start)

    def raw(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the values after the baseline; missing ones are NaN, negative ones are there."""
        try:
            if self._baseline is None:
                return self._read(start, stop)
            return self._baseline.apply(self._read, start, stop, self._names)
        except DataError as error:
            if error.path is not None:
                raise
            raise DataError(str(error), path=self._path) from error

    def folded(self, values: npt.NDArray[Any], start: int) -> npt.NDArray[Any]:
        """Return values of `raw` without NaN and negative ones, as was asked; may write there."""
        if self._negative == "offset" and self._lowest is not None:
            values = values - self._lowest[:, None]
        if self._missing == "hide":
            values[np.isnan(values)] = 0
        if self._negative == "split":
            return np.concatenate([np.maximum(values, 0), np.maximum(-values, 0)])
        if self._negative == "clip":
            np.maximum(values, 0, out=values)
            return values
        if self._negative == "raise" and values.size and values.min() < 0:
            self._refuse_negative(values, start)
        return values

    def shift_by(self, lowest: npt.NDArray[Any]) -> None:
        """Set what is subtracted from each unit, with negative="offset"."""
        self._lowest = lowest.astype(self.dtype)

    def close(self) -> None:
        """Release the file."""
        close: Callable[[], None] | None = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        values = np.asarray(self._source.frames(start, stop))
        if np.isfinite(values).all():
            return values
        bad = np.isinf(values)
        what = "the value is infinite"
        if not bad.any() and self._missing == "raise":
            bad = np.isnan(values)
            what = (
                "the value is missing (NaN); a missing value is not zero: hide missing values from "
                "the fit with --missing hide (missing='hide'), or fill them"
            )
        if bad.any():
            raise DataError(f"{what}; {self._places(bad, start)}", path=self._path)
        return values

    def _places(self, bad: npt.NDArray[np.bool_], start: int) -> str:
        at = np.argwhere(bad)
        listed = [f"unit {self._names[i]!r} frame {start + t}" for i, t in at[:MAX_PLACES]]
        more = f" and {len(at) - MAX_PLACES:,} more" if len(at) > MAX_PLACES else ""
        return f"at {', '.join(listed)}{more} (frames count from 0)"

    def _refuse_negative(self, values: npt.NDArray[Any], start: int) -> None:
        bad = values < 0
        why = _BELOW if self._baseline is not None else ""
        raise DataError(
            f"{int(bad.sum()):,} values are negative, the lowest {values.min():.6g}; "
            f"{self._places(bad, start)}. {why}{_REMEDIES}",
            path=self._path,
        )


def settle(
    data: Any,
    *,
    names: Sequence[str],
    path: Path,
    baseline: Baseline | None,
    missing: str,
    negative: str,
    memory_limit: int,
) -> Settled:
    """Check the values of a recording, and do what was asked with those that cannot be used.

    Parameters
    ----------
    data
        N x T array, sparse matrix or source of frames; not changed.
    names
        Names of the N units.
    path
        The file, for messages.
    baseline
        For ΔF/F; None leaves the values as they are.
    missing
        "raise" or "hide": NaN are refused, or hidden from the fit.
    negative
        "raise", "clip", "split" or "offset".
    memory_limit
        Bytes that the places of missing values may take.

    Returns
    -------
    Settled
        What is on disk stays there; it is looked at as it is read, and beforehand where missing
        values are hidden or offsets are needed.

    Raises
    ------
    DataError
        If a value cannot be used.
    UsageError
        If a sparse matrix would become dense.
    """
    if sp.issparse(data):
        return _settle_sparse(data, names, path, baseline, missing, negative)
    stored = hasattr(data, "frames")
    try:
        source: FrameSource = data if stored else MemoryFrames(data)
    except DataError as error:
        raise DataError(str(error), path=path) from error
    signal = SignalFrames(
        source, names=names, path=path, baseline=baseline, missing=missing, negative=negative
    )
    survey = _Survey(signal, memory_limit)
    if stored and missing != "hide" and negative != "offset":
        said = {"clip": "were set to 0", "split": "became units of their own"}.get(negative)
        notes = [] if said is None else [f"negative values, where there are any, {said}"]
        return Settled(signal, _split(names, negative), None, notes)
    step = signal.shape[1]
    if stored:
        step = max(1, BLOCK_BYTES // max(1, source.shape[0] * source.dtype.itemsize))
    for start, values in _blocks(signal, step):
        survey.add(values, start)
    if negative == "offset":
        signal.shift_by(survey.lowest())
    result: Any = signal if stored else signal.folded(values, 0)
    return Settled(result, _split(names, negative), survey.hidden(), survey.notes(negative))


def _blocks(signal: SignalFrames, step: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start in range(0, signal.shape[1], step):
        yield start, signal.raw(start, min(start + step, signal.shape[1]))


def _split(names: Sequence[str], negative: str) -> tuple[str, ...]:
    if negative != "split":
        return tuple(names)
    return (*(f"{name} +" for name in names), *(f"{name} -" for name in names))


class _Survey:
    """Sees every value once: where it is missing, how many are negative, what is lowest."""

    def __init__(self, signal: SignalFrames, memory_limit: int) -> None:
        self._signal = signal
        self._left = memory_limit
        self._n = 0
        self._values = 0
        self._low: npt.NDArray[Any] | None = None
        self._places: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = []

    def add(self, values: npt.NDArray[Any], start: int) -> None:
        gone = np.isnan(values)
        self._values += values.size
        if gone.any():
            units, at = np.nonzero(gone)
            self._left -= 16 * len(units)
            if self._left < 0:
                raise ResourceError(
                    "too many values are missing to list their places within the memory that was "
                    "granted with --in-memory (memory_limit=...); leave such units or frames out"
                )
            self._places.append((units, at + start))
        low = np.fmin.reduce(values, axis=1)
        self._low = low if self._low is None else np.fmin(self._low, low)
        self._n += int(np.count_nonzero(values < 0))

    def lowest(self) -> npt.NDArray[Any]:
        """Return what to subtract from each unit: its lowest value if that is negative."""
        assert self._low is not None
        low: npt.NDArray[Any] = np.minimum(np.nan_to_num(self._low), 0)
        return low

    def hidden(self) -> sp.csr_matrix | None:
        """Return the missing entries of the units that are handed out."""
        if not self._places:
            return None
        n, n_frames = self._signal.shape
        units = np.concatenate([units for units, _ in self._places])
        at = np.concatenate([at for _, at in self._places])
        assert self._low is not None
        if n > len(self._low):  # split: both parts of a unit are missing
            units, at = np.concatenate([units, units + len(self._low)]), np.concatenate([at, at])
        return sp.csr_matrix((np.ones(len(units), bool), (units, at)), shape=(n, n_frames))

    def notes(self, negative: str) -> list[str]:
        notes = []
        gone = sum(len(units) for units, _ in self._places)
        if gone:
            notes.append(f"{gone:,} values are missing ({_share(gone, self._values)}) and hidden")
        if self._n:
            assert self._low is not None
            done = {
                "clip": "set to 0",
                "split": "made units of their own",
                "offset": "raised by subtracting the lowest value of each unit that has any",
            }.get(negative)
            low = float(np.nanmin(self._low))
            if done:
                notes.append(
                    f"{self._n:,} negative values ({_share(self._n, self._values)}, lowest "
                    f"{low:.6g}) were {done}"
                )
        return notes


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %"


def _settle_sparse(
    data: Any,
    names: Sequence[str],
    path: Path,
    baseline: Baseline | None,
    missing: str,
    negative: str,
) -> Settled:
    if baseline is not None:
        raise UsageError(
            f"{path}: a baseline is for traces, but this matrix is sparse: mostly zeros"
        )
    rows = sp.csr_matrix(data)
    largest = (
        float(np.abs(rows.data.astype(np.float64)).max(initial=0))
        if (rows.dtype.kind in "iu")
        else None
    )
    try:
        rows = rows.astype(frame_dtype(rows.dtype, largest=largest), copy=True)
    except DataError as error:
        raise DataError(str(error), path=path) from error
    rows.sum_duplicates()
    pattern = sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=rows.shape).tocoo()
    _refuse_sparse(pattern, names, path, missing, negative)
    gone = np.isnan(rows.data)
    hidden = None
    notes: list[str] = []
    if gone.any():
        at = (pattern.row[gone], pattern.col[gone])
        hidden = sp.csr_matrix((np.ones(len(at[0]), bool), at), shape=rows.shape)
        rows.data[gone] = 0
        notes.append(f"{len(at[0]):,} values are missing and hidden")
    below = int(np.count_nonzero(rows.data < 0))
    if negative == "split":
        rows = sp.vstack([rows.maximum(0), (-rows).maximum(0)], format="csr")
        hidden = None if hidden is None else sp.vstack([hidden, hidden], format="csr")
    elif below:
        np.maximum(rows.data, 0, out=rows.data)
    if below:
        done = "made units of their own" if negative == "split" else "set to 0"
        notes.append(f"{below:,} negative values were {done}")
    rows.eliminate_zeros()
    return Settled(rows, _split(names, negative), hidden, notes)


def _refuse_sparse(
    pattern: Any, names: Sequence[str], path: Path, missing: str, negative: str
) -> None:
    values = pattern.data
    below = int(np.count_nonzero(values < 0))
    for bad, what in (
        (np.isinf(values), "the value is infinite"),
        (
            np.isnan(values) & (missing == "raise"),
            "the value is missing (NaN); hide missing values with --missing hide (missing='hide')",
        ),
        (
            (values < 0) & (negative == "raise"),
            f"{below:,} values are negative, the lowest {np.nanmin(values, initial=0):.6g}. "
            + _REMEDIES.replace(", offset subtracts the lowest value of each unit", ""),
        ),
    ):
        if bad.any():
            first = int(np.argmax(bad))
            raise DataError(
                f"unit {names[pattern.row[first]]!r}, frame {pattern.col[first]}: {what}", path=path
            )
    if below and negative == "offset":
        raise UsageError(
            f"{path}: an offset would fill every zero of this sparse matrix; clip or split instead"
        )
