"""Activations near the end of an epoch, by what of their motif the recording holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._timeline import check_epochs

__all__ = ["weighed"]

Array = npt.NDArray[Any]


def weighed(motifs: Any, activations: Any, epochs: Any = None) -> Array:
    """Return activations times the share of their motif's norm that lies inside the epoch.

    An activation in the last frames of an epoch shows the first lags of its motif alone. Where
    these are next to nothing, next to nothing says how large it is, and it may come out as many
    times that of any event.

    Parameters
    ----------
    motifs
        N x K x L.
    activations
        K x T.
    epochs
        (start, stop) in frames; None for one of all.

    Returns
    -------
    ndarray, K x T
        A copy; frames from which on whole motifs lie inside have their values.

    Examples
    --------
    >>> motif = np.array([[[3.0, 4.0]]])
    >>> weighed(motif, np.ones((1, 4))).tolist()
    [[1.0, 1.0, 1.0, 0.6]]
    """
    rows = np.array(activations)
    squares = np.einsum("nkl,nkl->kl", motifs, motifs, dtype=np.float64)
    total = np.cumsum(squares, axis=1)
    # an empty motif says nothing of any frame, and changes none
    norms = np.where(total[:, -1:] > 0, total[:, -1:], 1.0)
    share = np.where(total[:, -1:] > 0, np.sqrt(total / norms), 1.0)
    n_lags = share.shape[1]
    for start, stop in check_epochs(epochs, rows.shape[1]):
        count = min(n_lags - 1, stop - start)
        if count:
            rows[:, stop - count : stop] *= share[:, count - 1 :: -1].astype(rows.dtype)
    return rows
