"""The door: recordings and masks are checked once, and put into the form that the updates use."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.sequences._backends import check_backend, make_raster
from partwise.sequences._missing import Missing
from partwise.sequences._problem import Problem
from partwise.sequences._raster import inner_entries
from partwise.sequences._stream import Streamed, chunks, scan
from partwise.sequences._timeline import Timeline, check_epochs
from partwise.sequences.sources import FrameSource

__all__ = ["Prepared", "as_recording", "check_values", "observed", "prepare", "unmasked", "without"]

Array = npt.NDArray[Any]

_REMEDY = "clip them at zero, split each unit into a positive and a negative part, or add an offset"

#: Bytes of a dense recording on disk up to which it is held in memory; about three times as much is
#: needed then, because its transforms are.
_LARGEST = 1_000_000_000
#: Share of non-zeros below which frames are kept as sparse ones.
_SPARSE = 0.3


class Prepared(NamedTuple):
    """A problem, and the power of two by which the data were multiplied."""

    problem: Problem
    exponent: int


def as_recording(X: Any, *, dtype: Any = None) -> Any:
    """Return a recording as C-ordered array, CSR matrix or frame source, its values unchecked.

    Raises
    ------
    DataError
        If X is not a matrix of real numbers.
    """
    if isinstance(X, FrameSource):
        return X
    if sp.issparse(X):
        kind = _working(X.dtype, dtype)
        return sp.csr_matrix(X, dtype=kind)
    if isinstance(X, np.ma.MaskedArray):
        raise UsageError("X is a masked array: give its data, NaN where masked, and missing='hide'")
    array = np.asarray(X)
    if array.dtype.kind not in "biuf":
        raise DataError(f"X must hold real numbers, not {array.dtype}")
    if array.ndim != 2:
        raise DataError(f"X must be a matrix, units x frames; it has {array.ndim} dimensions")
    return np.ascontiguousarray(array, dtype=_working(array.dtype, dtype))


def unmasked(X: Any, mask: Any) -> tuple[Any, Any]:
    """Return the data of a masked array, and a mask that hides what it hides, too."""
    if not isinstance(X, np.ma.MaskedArray) or X.ndim != 2:
        return X, mask
    own = sp.csr_matrix(np.ma.getmaskarray(X))
    given = _hidden(mask, X.shape)
    return np.ma.getdata(X), own if given is None else (own + given).astype(bool).tocsr()


def observed(
    X: Any, mask: Any = None, *, missing: str = "raise"
) -> tuple[Any, sp.csr_matrix | None]:
    """Return a recording as `as_recording` does, and all its hidden entries.

    Parameters
    ----------
    X
        Units x frames; of a masked array what is masked is hidden.
    mask
        Entries to hide, as in `SeqNMF.fit`.
    missing
        "hide" hides NaN, too.

    Returns
    -------
    recording
        Array, CSR matrix or frame source, its values unchecked.
    hidden
        True where entries are hidden, N x T; None if none is.
    """
    X, mask = unmasked(X, mask)
    x = as_recording(X)
    hidden = _hidden(mask, x.shape)
    if missing == "hide":
        if isinstance(x, FrameSource):
            found = sp.hstack([_nan(x.frames(a, b)) for a, b in chunks(x)], format="csr")
        else:
            found = _nan(x)
        if found.nnz:
            hidden = found if hidden is None else (hidden + found).astype(bool).tocsr()
    return x, hidden if hidden is not None and hidden.nnz else None


def _nan(x: Any) -> sp.csr_matrix:
    """Return where values are missing."""
    if sp.issparse(x):
        x = sp.csr_matrix(x)
        return _places(x, np.isnan(x.data))
    return _places(x, np.isnan(x))


def _read(source: FrameSource, dtype: np.dtype[Any], backend: str) -> Any:
    """Return a recording that lies on disk as a matrix: sparse if that is smaller.

    None if it is dense, and larger than what may be held with its transforms.
    """
    parts: list[Any] = []
    large = float(source.shape[0]) * source.shape[1] * dtype.itemsize > _LARGEST
    for start, stop in chunks(source):
        part = source.frames(start, stop)
        few = sp.issparse(part) or np.count_nonzero(part) < _SPARSE * part.size
        if large and backend != "sparse" and (backend != "auto" or not few):
            return None
        if few or large:
            parts.append(sp.csc_matrix(part, dtype=dtype))
        else:
            parts.append(np.asarray(part, dtype))
    if all(sp.issparse(part) for part in parts):
        together = sp.hstack(parts, format="csc")
        parts.clear()
        return together.tocsr()
    return np.concatenate([p.toarray() if sp.issparse(p) else p for p in parts], axis=1)


def _working(dtype: np.dtype[Any], asked: Any) -> np.dtype[Any]:
    """Return float32 or float64: as asked, as the data are, or float32."""
    if asked is not None:
        kind: np.dtype[Any] = np.dtype(asked)
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise UsageError(f"dtype must be float32 or float64, not {kind}")
        return kind
    working: np.dtype[Any] = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    return working


def _hidden(mask: Any, shape: tuple[int, int]) -> sp.csr_matrix | None:
    """Return a mask as CSR matrix of ones where entries are hidden."""
    if mask is None:
        return None
    found = sp.csr_matrix(mask, dtype=bool, copy=True)  # changed below
    if found.shape != shape:
        raise UsageError(f"the mask is {found.shape}, X is {shape}: units x frames, True hides")
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def check_values(
    x: Any, hidden: sp.csr_matrix | None, missing: str, first: int = 0
) -> sp.csr_matrix | None:
    """Refuse values that cannot be used and are not hidden; return all hidden entries.

    `first` is the number of the first frame of `x`.
    """
    values = x.data if sp.issparse(x) else x
    finite = np.isfinite(values)
    if not finite.all():
        where = _places(x, np.isnan(values))
        if missing == "hide" and where.nnz:
            hidden = where if hidden is None else (hidden + where).astype(bool).tocsr()
        bad = _outside(_places(x, ~finite), hidden)
        if bad is not None:
            raise DataError(
                f"unit {bad[0] + 1} is NaN or infinite at frame {first + bad[1] + 1}; missing "
                "values are left out with missing='hide' (of SeqNMF, in the settings of a sweep), "
                "or with a mask"
            )
    with np.errstate(invalid="ignore"):
        negative = values < 0
    if negative.any():
        bad = _outside(_places(x, negative), hidden)
        if bad is not None:
            raise DataError(
                f"unit {bad[0] + 1} is negative at frame {first + bad[1] + 1}: a sum of sequences "
                f"cannot be; {_REMEDY}"
            )
    return hidden


def _places(x: Any, flags: Array) -> sp.csr_matrix:
    """Return the flagged values of a matrix as its non-zeros."""
    if sp.issparse(x):
        # a copy, because dropping zeros moves the indices
        marked = sp.csr_matrix((flags, x.indices, x.indptr), shape=x.shape, copy=True)
        marked.eliminate_zeros()
        return marked
    return sp.csr_matrix(flags)


def _outside(places: sp.csr_matrix, hidden: sp.csr_matrix | None) -> tuple[int, int] | None:
    """Return the first of the places that is not hidden."""
    if hidden is not None:
        places = (places.astype(np.int8) - places.multiply(hidden).astype(np.int8)).tocsr()
        places.eliminate_zeros()
    if not places.nnz:
        return None
    table = places.tocoo()
    first = np.lexsort((table.col, table.row))[0]
    return int(table.row[first]), int(table.col[first])


def without(x: Any, hidden: sp.csr_matrix | None) -> Any:
    """Return data with zeros at the hidden entries."""
    if hidden is None or not hidden.nnz:
        return x
    if not sp.issparse(x):
        clean = x.copy()
        clean[hidden.nonzero()] = 0
        return clean
    kept = x.tocoo()
    inside = np.asarray(hidden[kept.row, kept.col]).reshape(-1)
    return sp.csr_matrix(
        (kept.data[~inside], (kept.row[~inside], kept.col[~inside])), shape=x.shape
    )


def prepare(
    X: Any,
    n_lags: int,
    *,
    mask: Any = None,
    epochs: Any = None,
    missing: str = "raise",
    backend: str = "auto",
    dtype: Any = None,
    exponent: int | None = None,
    n_threads: int = 1,
) -> Prepared:
    """Check a recording and make a problem of it.

    Parameters
    ----------
    X
        Units x frames; of a masked array what is masked is hidden.
    n_lags
        L.
    mask
        Entries to hide, True hides.
    epochs
        Pairs of frames; None is one epoch of all frames.
    missing
        "raise" or "hide": what NaN means.
    backend, dtype
        How the data lie; type of data and factors.
    exponent
        Multiply the data by two to this power; None brings the largest value to about one.
    n_threads
        Threads at most.

    Raises
    ------
    DataError, UsageError
        If something cannot be used; names unit and frame.
    """
    check_backend(backend)
    X, mask = unmasked(X, mask)
    x = as_recording(X, dtype=dtype)
    kind = _working(x.dtype, dtype)
    if isinstance(x, FrameSource):
        x = _read(x, kind, backend)
        x = as_recording(X) if x is None else x
    timeline = _timeline(x.shape, epochs, n_lags)
    hidden = _hidden(mask, x.shape)
    if isinstance(x, FrameSource):
        hidden, largest = scan(
            x, timeline, hidden, lambda part, here, first: check_values(part, here, missing, first)
        )
    else:
        hidden = check_values(x, hidden, missing)
        x = without(x, hidden)
        largest = _largest(x, timeline) if exponent is None else 0.0
    if exponent is None:
        exponent = 0 if largest == 0 else -math.frexp(largest)[1]
    if isinstance(x, FrameSource):
        x = Streamed(x, timeline, hidden, kind, exponent)
    elif exponent:
        x = _scaled(x, exponent)
    raster = make_raster(x, timeline, dtype=kind, backend=backend, n_threads=n_threads)
    return Prepared(_problem(raster, timeline, hidden, n_threads), exponent)


def _timeline(shape: tuple[int, int], epochs: Any, n_lags: int) -> Timeline:
    """Return the frames that are used; refuse recordings that are too short."""
    n_units, n_frames = shape
    if not n_units or not n_frames:
        raise DataError(f"X has {n_units} units and {n_frames} frames; there is nothing to fit")
    timeline = Timeline(check_epochs(epochs, n_frames), n_frames, n_lags)
    if n_lags >= max(timeline.lengths):
        raise UsageError(
            f"n_lags is {n_lags}, but the longest stretch has {max(timeline.lengths)} frames: "
            "motifs must be shorter than the recording"
        )
    if n_units > n_frames:
        warnings.warn(
            f"X has {n_units} units and only {n_frames} frames: units are rows here; transpose it "
            "if its rows are frames",
            PartwiseWarning,
            stacklevel=5,
        )
    return timeline


def _largest(x: Any, timeline: Timeline) -> float:
    """Return the largest value within the epochs."""
    if not sp.issparse(x):
        return max(float(x[:, a:b].max(initial=0.0)) for a, b in timeline.epochs)
    values = x.data if timeline.whole else x.data[timeline.inner(x.indices) >= 0]
    return float(values.max(initial=0.0))


def _problem(raster: Any, timeline: Timeline, hidden: Any, n_threads: int) -> Problem:
    inner = None if hidden is None else inner_entries(hidden, timeline)
    return Problem(raster, Missing(timeline, inner, n_threads), n_threads)


def _scaled(x: Any, exponent: int) -> Any:
    """Return a matrix times two to the power of `exponent`."""
    if sp.issparse(x):
        return sp.csr_matrix((np.ldexp(x.data, exponent), x.indices, x.indptr), shape=x.shape)
    return np.ldexp(x, exponent)
