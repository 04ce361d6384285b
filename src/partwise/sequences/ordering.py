"""Neurons in an order that shows sequences, and that depends on nothing but the motifs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._factor_checks import check_motifs

__all__ = ["NeuronOrder", "sort_neurons"]

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class NeuronOrder:
    """Neurons ordered by factor and peak lag.

    Attributes
    ----------
    order
        Neurons from first to last, N: `X[order]` is sorted.
    factor
        Factor of each neuron (by its number in X, not sorted), N; -1 for silent ones.
    lag
        Lag at which its weight on that factor is largest, N; -1 for silent ones.
    """

    order: IntArray
    factor: IntArray
    lag: IntArray


def sort_neurons(motifs: Array) -> NeuronOrder:
    """Order neurons by factor and, within a factor, by the lag of their peak.

    The factor of a neuron is the one with the largest loading, the Euclidean norm of its weights
    over the lags (the first of equal ones). Within a factor neurons come by the lag of their
    largest weight (the first of equal ones), then by the centre of mass of their weights, then by
    number; silent ones last. The order depends on nothing but the motifs.

    Parameters
    ----------
    motifs
        N x K x L.

    Returns
    -------
    NeuronOrder
        The order, and factor and lag of each neuron.

    Raises
    ------
    UsageError, DataError
        If the motifs do not have three axes, or are not finite and non-negative.

    Examples
    --------
    >>> import numpy as np
    >>> motifs = np.zeros((4, 2, 5))
    >>> motifs[0, 1, 3] = motifs[1, 0, 4] = motifs[3, 0, 2] = 1.0
    >>> found = sort_neurons(motifs)
    >>> found.order.tolist(), found.factor.tolist(), found.lag.tolist()
    ([3, 1, 0, 2], [1, 0, -1, 0], [3, 4, -1, 2])
    """
    motifs = check_motifs("motifs", motifs)
    loading = np.linalg.norm(motifs, axis=2)
    factor = loading.argmax(axis=1)
    own = motifs[np.arange(len(motifs)), factor]
    lag = own.argmax(axis=1)
    weight = own.sum(axis=1)
    silent = weight == 0
    centre = own @ np.arange(own.shape[1]) / np.where(silent, 1.0, weight)
    factor, lag = np.where(silent, -1, factor), np.where(silent, -1, lag)
    # the last key counts most; the sort is stable, so that what is equal stays in order
    order = np.lexsort((centre, lag, factor, silent))
    return NeuronOrder(order, factor, lag)
