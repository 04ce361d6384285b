"""What the model says in the gaps between many epochs, without saying it for each unit and frame.

The same lag Grams that stand for the frames of a recording stand for its gaps: of the motifs, over
the lags that fall into a gap; and of the activations, over the frames of all gaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["activation_gram", "motif_gram", "pair_grams", "pays"]

Array = npt.NDArray[Any]

#: Numbers of a Gram at most.
_LARGEST = 20_000_000


def pays(n_units: int, n_gaps: int, n_lags: int, k: int) -> bool:
    """Return whether Grams cost less than the values in the gaps, by multiplications."""
    if n_lags < 2 or (2 * (n_lags - 1) * k) ** 2 > _LARGEST:
        return False
    window = n_lags * k
    values = 4.0 * n_gaps * (n_lags - 1) * window * n_units
    grams = 2.0 * n_units * window**2 + 6.0 * n_gaps * window**2 + 40.0 * (2 * window) ** 2
    return grams < values


def pair_grams(motifs: Array) -> Array:
    """Return Grams of pairs of lags, summed over earlier ones: [l, l'] has (l - m, l' - m), m >= 0.

    Motifs are N x L x K, longest lag first; the result is L x L x K x K, float64.
    """
    n, n_lags, k = motifs.shape
    flat = motifs[:, ::-1].astype(np.float64).reshape(n, -1)
    pairs = (flat.T @ flat).reshape(n_lags, k, n_lags, k).transpose(0, 2, 1, 3)
    found = np.ascontiguousarray(pairs)
    for lag in range(1, n_lags):
        found[lag, 1:] += found[lag - 1, :-1]
    return found


def motif_gram(motifs: Array) -> Array:
    """Return what starts around a gap have in common within it, (2 L - 2) K x (2 L - 2) K.

    Starts lie in the L - 1 frames before the gap's first and in the gap, L - 1 frames long.
    """
    _, n_lags, k = motifs.shape
    pairs = pair_grams(motifs)
    reach = n_lags - 1
    starts = np.arange(2 * reach)
    a, b = starts[:, None], starts[None, :]
    # frames of the gap, from its first, that both reach
    first = np.maximum(0, np.maximum(a, b) - reach)
    last = np.minimum(reach - 1, np.minimum(a, b))
    found = pairs[reach + last - a, reach + last - b] * (first <= last)[:, :, None, None]
    one, two = reach + first - 1 - a, reach + first - 1 - b
    early = (first <= last) & (one >= 0) & (two >= 0)
    found[early] -= pairs[one[early], two[early]]
    return np.ascontiguousarray(found.transpose(0, 2, 1, 3)).reshape(2 * reach * k, -1)


def activation_gram(around: Array, n_lags: int) -> Array:
    """Return the sum over the frames s of all gaps of window(s) window(s)^T, L K x L K.

    `around` has the activations of the L - 1 frames before each gap and of the gap, gaps x
    (2 L - 2) x K; windows run from the longest lag to lag 0. A window one lag later is that of the
    frame before, so blocks follow from those one lag earlier, but for the gap's two ends.
    """
    count, double, k = around.shape
    reach, size = double // 2, n_lags * k
    flat = around.reshape(count, -1)
    own = around[:, reach:].reshape(-1, k)  # lag 0 in all frames of gaps
    found = np.zeros((n_lags, n_lags, k, k))  # by lag
    for lag in range(n_lags):
        late = around[:, reach - lag : double - lag].reshape(-1, k)
        found[0, lag] = own.T @ late
        found[lag, 0] = found[0, lag].T
    # windows of the frame before a gap and of its last one, without the longest lag
    begin, end = flat[:, : reach * k], flat[:, reach * k :]
    change = begin.T @ begin - end.T @ end
    blocks = change.reshape(reach, k, reach, k).transpose(0, 2, 1, 3)[::-1, ::-1]
    for lag in range(1, n_lags):
        found[lag, 1:] = found[lag - 1, :-1] + blocks[lag - 1]
    by_place = found[::-1, ::-1].transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_place).reshape(size, size)
