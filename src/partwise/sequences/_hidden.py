"""Entries of a recording hidden at random, and how well a model predicts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.sequences._timeline import check_epochs
from partwise.sequences.products import reconstruct

__all__ = ["hidden_entries", "hidden_error"]

Array = npt.NDArray[Any]

#: Frames that are predicted at once.
_FRAMES = 8192


def hidden_entries(
    shape: tuple[int, int], fraction: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return a mask, N x T, in which each entry is hidden with the same chance."""
    n_units, n_frames = shape
    counts = rng.binomial(n_frames, fraction, size=n_units)
    chosen = [np.sort(rng.choice(n_frames, size=c, replace=False, shuffle=False)) for c in counts]
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return sp.csr_matrix((np.ones(indptr[-1], bool), np.concatenate(chosen), indptr), shape=shape)


def hidden_error(
    X: Any, mask: sp.csr_matrix, motifs: Array, activations: Array, *, epochs: Any = None
) -> float:
    """Return ||X - Xhat|| / ||X|| over the hidden entries.

    Parameters
    ----------
    X
        N x T: array, CSR matrix or frame source.
    mask
        Which entries, N x T.
    motifs, activations
        The model.
    epochs
        Frames to look at.

    Raises
    ------
    DataError
        If all hidden entries are zero.
    """
    columns = mask.tocsc()
    reach = motifs.shape[2] - 1
    wrong = total = 0.0
    for start, stop in check_epochs(epochs, X.shape[1]):
        for first in range(start, stop, _FRAMES):
            last = min(first + _FRAMES, stop)
            begin = max(first - reach, start)
            model = reconstruct(motifs, activations[:, begin:last])[:, first - begin :]
            places = columns[:, first:last].nonzero()
            values = _frames(X, first, last)[places].astype(np.float64)
            wrong += float(np.sum((values - model[places]) ** 2))
            total += float(np.sum(values**2))
    if total == 0:
        raise DataError("all hidden entries are zero: hide a larger fraction")
    return float(np.sqrt(wrong / total))


def _frames(X: Any, first: int, last: int) -> Array:
    dense_or_not = X.frames(first, last) if hasattr(X, "frames") else X[:, first:last]
    return np.asarray(dense_or_not.toarray() if sp.issparse(dense_or_not) else dense_or_not)
