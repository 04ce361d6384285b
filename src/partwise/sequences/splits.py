"""Recordings cut in time: one part to fit motifs to, one that they have not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.sequences._inputs import observed
from partwise.sequences._timeline import check_epochs

__all__ = ["Split", "split_time"]

Epochs = tuple[tuple[int, int], ...] | None


@dataclass(frozen=True)
class Split:
    """Two parts of a recording.

    Attributes
    ----------
    train, test
        N x frames: what lies before `frame` and what begins there.
    train_epochs, test_epochs
        Their epochs in frames of their own; None for all frames.
    frame
        Where the recording was cut.
    train_mask, test_mask
        Their hidden entries, sparse; None if there are none.
    """

    train: Any
    test: Any
    train_epochs: Epochs
    test_epochs: Epochs
    frame: int
    train_mask: Any = None
    test_mask: Any = None

    @property
    def fitted(self) -> dict[str, Any]:
        """Keywords of `SeqNMF.fit` that go with `train`."""
        return {"epochs": self.train_epochs, "mask": self.train_mask}

    @property
    def tested(self) -> dict[str, Any]:
        """Keywords of `SeqNMF.score` and `test_significance` that go with `test`."""
        return {"epochs": self.test_epochs, "mask": self.test_mask}


class _Part:
    """Some frames of a source."""

    def __init__(self, source: Any, start: int, stop: int) -> None:
        self._source, self._start = source, start
        self.shape = (int(source.shape[0]), stop - start)
        self.dtype = np.dtype(source.dtype)

    def frames(self, start: int, stop: int) -> Any:
        """Return the frames start..stop of the part."""
        return self._source.frames(self._start + start, self._start + stop)


def split_time(
    X: Any, *, n_lags: int, fraction: float = 0.75, epochs: Any = None, mask: Any = None
) -> Split:
    """Cut a recording into a first part to fit and a last part to test on.

    The cut lies behind the given share of the frames. Inside an epoch it must leave at least L
    frames on both sides; if it does not, it moves to the nearer end of that epoch.

    Parameters
    ----------
    X : ndarray, masked array, sparse matrix or frame source, N x T
        The recording.
    n_lags : int
        Lags of the motifs, L.
    fraction : float
        Share of the frames in the first part.
    epochs : sequence of (start, stop), optional
        Frames to use; the share is one of these.
    mask : bool array or sparse matrix, N x T, optional
        Entries to hide, as in `SeqNMF.fit`.

    Returns
    -------
    Split
        The parts, and epochs and hidden entries of each.

    Raises
    ------
    UsageError
        If the fraction is not between 0 and 1.
    DataError
        If one of the parts has no L frames on end.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.sequences import split_time
    >>> split_time(np.ones((3, 666)), n_lags=20).frame
    499
    """
    if not 0 < fraction < 1:
        raise UsageError(f"fraction must lie between 0 and 1, not {fraction!r}")
    recording, hidden = observed(X, mask)
    n_frames = recording.shape[1]
    spans = check_epochs(epochs, n_frames)
    cut = _cut(spans, fraction, n_lags)
    first = tuple((start, min(stop, cut)) for start, stop in spans if start < cut)
    second = tuple((max(start, cut) - cut, stop - cut) for start, stop in spans if stop > cut)
    for name, part in (("first", first), ("last", second)):
        if max((stop - start for start, stop in part), default=0) <= n_lags:
            raise DataError(
                f"cut at frame {cut} of {n_frames}, the {name} part is too short for motifs of "
                f"{n_lags} lags: give another fraction, shorter motifs, or test data of their own"
            )
    return Split(
        train=_part(recording, 0, cut),
        test=_part(recording, cut, n_frames),
        train_epochs=None if epochs is None else first,
        test_epochs=None if epochs is None else second,
        frame=cut,
        train_mask=_some(hidden, slice(None, cut)),
        test_mask=_some(hidden, slice(cut, None)),
    )


def _cut(spans: tuple[tuple[int, int], ...], fraction: float, n_lags: int) -> int:
    """Return the frame at which the last part begins."""
    left = int(fraction * sum(stop - start for start, stop in spans))
    for start, stop in spans:
        if left <= stop - start:
            break
        left -= stop - start
    short = min(left, stop - start - left) < n_lags
    if short and len(spans) > 1:
        return start if 2 * left < stop - start else stop
    return start + left


def _some(hidden: Any, frames: slice) -> Any:
    """Return the hidden entries of some frames, None if there are none."""
    part = None if hidden is None else hidden[:, frames]
    return part if part is not None and part.nnz else None


def _part(recording: Any, start: int, stop: int) -> Any:
    if isinstance(recording, np.ndarray):
        return recording[:, start:stop]
    if sp.issparse(recording):
        return recording[:, start:stop]
    return _Part(recording, start, stop)
