"""Which factors of two fits are the same, and how alike two fits are.

The factors of a fit are compared by their reconstructions R_k[n, t] = sum over l of
W[n, k, l] H[k, t - l], which are never formed: with the lag Grams of motifs and activations,

    <R_a, R_b> = sum over d of G_d[a, b] * (sum over t of H_b[t] H_a[t - d]),
    G_d[a, b] = sum over l - l' = d and over n of W_a[n, l] W_b[n, l'],

less what lies behind the end of the recording, or of an epoch. So N x T numbers are never held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.sequences._factor_checks import check_factors, check_motifs, fit_parts
from partwise.sequences._grams import MotifGram, correlate_activations
from partwise.sequences._timeline import Timeline, check_epochs
from partwise.sequences.ordering import NeuronOrder, sort_neurons

__all__ = [
    "Matching",
    "NeuronOrder",
    "consistency",
    "dissimilarity",
    "match_factors",
    "match_motifs",
    "sort_neurons",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Scores that differ by less are ties, decided by number: rounding must not choose a pair.
_TIE = 1e-9


@dataclass(frozen=True)
class Matching:
    """Pairs of factors that belong together.

    Attributes
    ----------
    pairs
        Numbers in the first and in the second set, best pair first; M x 2.
    scores
        Cosine of each pair, M.
    cosines
        Cosines of all factors with all, K_a x K_b; 0 for empty ones.
    shifts
        Frames by which the second motif of each pair has to be moved to later lags to lie on the
        first, M; None where the activations fix the lags.
    """

    pairs: IntArray
    scores: FloatArray
    cosines: FloatArray
    shifts: IntArray | None = None

    @property
    def unmatched_a(self) -> IntArray:
        """Factors of the first set without a partner: too few partners, or nothing in common."""
        return np.setdiff1d(np.arange(self.cosines.shape[0]), self.pairs[:, 0])

    @property
    def unmatched_b(self) -> IntArray:
        """Factors of the second set without a partner."""
        return np.setdiff1d(np.arange(self.cosines.shape[1]), self.pairs[:, 1])

    @property
    def similarity(self) -> float:
        """Sum of the scores per factor of the first set: 1 if each has its equal."""
        return float(self.scores.sum() / self.cosines.shape[0])


def match_factors(
    motifs_a: Array,
    activations_a: Array,
    motifs_b: Array,
    activations_b: Array,
    *,
    epochs: Any = None,
) -> Matching:
    """Match the factors of two fits of the same recording.

    Greedy: the pair of factors whose reconstructions have the largest cosine,
    <R_a, R_b> / (|R_a| |R_b|), then the best of those left, and so on. Ties go to the lower
    numbers; pairs without anything in common are not made.

    Parameters
    ----------
    motifs_a, motifs_b
        N x K x L each; K and L may differ.
    activations_a, activations_b
        K x T each.
    epochs
        (start, stop) in frames; no lag reaches from one into another. One epoch if None.

    Returns
    -------
    Matching
        Pairs and cosines.

    Raises
    ------
    UsageError, DataError
        If shapes do not fit together, or values are not finite.

    Notes
    -----
    `similarity` of the result is the score of the same name in the toolbox of Mackevicius et al.
    (2019, eLife 8:e38471).

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> sim = simulate_sequences(500, n_sequences=3)
    >>> turned = match_factors(
    ...     sim.motifs, sim.activations, sim.motifs[:, [1, 2, 0]], sim.activations[[1, 2, 0]]
    ... )
    >>> turned.pairs.tolist()
    [[0, 2], [1, 0], [2, 1]]
    """
    products, a, b = _products((motifs_a, activations_a), (motifs_b, activations_b), epochs)
    cosines = _cosines(products, a, b)
    pairs = _greedy(cosines)
    return Matching(pairs, cosines[pairs[:, 0], pairs[:, 1]], cosines)


def match_motifs(motifs_a: Array, motifs_b: Array) -> Matching:
    """Match motifs, wherever in their lags they lie.

    The score of two motifs is their largest cosine over all shifts along the lags (what is moved
    out of L is not lost); pairs are made as in `match_factors`. Fits of different recordings, and
    fits with what was planted, can be compared like this.

    Parameters
    ----------
    motifs_a, motifs_b
        N x K x L each; K and L may differ.

    Returns
    -------
    Matching
        Pairs, cosines and shifts; of equal shifts the smallest.

    Raises
    ------
    UsageError, DataError
        If shapes do not fit together, or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> motif = np.zeros((4, 1, 9))
    >>> motif[[0, 1, 2, 3], 0, [0, 2, 4, 6]] = 1.0
    >>> late = np.roll(motif, 2, axis=2)
    >>> found = match_motifs(motif, late)
    >>> found.shifts.tolist(), round(float(found.scores[0]), 6)
    ([-2], 1.0)
    """
    a, b = check_motifs("motifs_a", motifs_a), check_motifs("motifs_b", motifs_b)
    lags = _stacked(a, b)
    k_a, n_lags = a.shape[1], lags.shape[1]
    gram = MotifGram(lags).lags
    middle = n_lags - 1
    norms = np.sqrt(np.maximum(np.diagonal(gram[middle]), 0.0))
    cross = gram[:, :k_a, k_a:]
    best = cross.max(axis=0)
    # of the shifts that are best but for rounding, the one nearest to none
    near = np.argsort(np.abs(np.arange(-middle, n_lags)), kind="stable")
    among = cross[near] >= best - _TIE * np.outer(norms[:k_a], norms[k_a:])
    shifts = near[among.argmax(axis=0)] - middle
    cosines = _cosines(best, norms[:k_a], norms[k_a:])
    pairs = _greedy(cosines)
    rows, columns = pairs.T
    return Matching(pairs, cosines[rows, columns], cosines, shifts[rows, columns])


def dissimilarity(fit_a: Any, fit_b: Any, *, epochs: Any = None) -> float:
    """Return how unlike two fits of the same recording are, from 0 (equal) to 1.

    With C the cosines of the reconstructions of all factors with all,
    1 - (mean over rows of the largest in the row + the same for columns) / 2; with K factors in
    both this is (2 K - sum of the largest in rows - sum of the largest in columns) / (2 K). Empty
    factors are like nothing.

    Parameters
    ----------
    fit_a, fit_b
        Fitted models with `motifs_` and `activations_`, or pairs (motifs, activations).
    epochs
        (start, stop) in frames, as in the fits; one epoch if None.

    Returns
    -------
    float
        The dissimilarity.

    Raises
    ------
    UsageError, DataError
        If shapes do not fit together, or values are not finite.

    Notes
    -----
    The measure of Wu et al. (2016, PNAS 113:4290) as the toolbox of Mackevicius et al. (2019)
    uses it to choose K.

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> sim = simulate_sequences(500, n_sequences=3)
    >>> truth = (sim.motifs, sim.activations)
    >>> round(dissimilarity(truth, truth), 6)
    0.0
    """
    products, a, b = _products(fit_parts(fit_a), fit_parts(fit_b), epochs)
    cosines = _cosines(products, a, b)
    return float(1.0 - (cosines.max(axis=1).mean() + cosines.max(axis=0).mean()) / 2.0)


def consistency(fit_a: Any, fit_b: Any, *, epochs: Any = None) -> float:
    """Return the share of the overlap of two fits that lies in matched factors.

    The sum of <R_a, R_b> over pairs matched greedily by it, over its sum over all pairs: large
    factors count more than in `dissimilarity`, and nothing is normalised.

    Parameters
    ----------
    fit_a, fit_b
        Fitted models with `motifs_` and `activations_`, or pairs (motifs, activations).
    epochs
        (start, stop) in frames, as in the fits; one epoch if None.

    Returns
    -------
    float
        Between 1 / max(K_a, K_b) and 1; 0 if the fits have nothing in common.

    Raises
    ------
    UsageError, DataError
        If shapes do not fit together, or values are not finite.

    Notes
    -----
    The score `our_consistency` of the toolbox of Mackevicius et al. (2019).

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> sim = simulate_sequences(500, n_sequences=3)
    >>> truth = (sim.motifs, sim.activations)
    >>> round(consistency(truth, truth), 6)
    1.0
    """
    products, a, b = _products(fit_parts(fit_a), fit_parts(fit_b), epochs)
    # what is nothing but rounding must not be matched
    products = np.where(products > _TIE * np.outer(a, b), products, 0.0)
    total = products.sum()
    if total == 0:
        return 0.0
    scale = products.max()
    pairs = _greedy(products / scale)
    return float(products[pairs[:, 0], pairs[:, 1]].sum() / total)


def _stacked(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return both sets of motifs as N x L x (K_a + K_b), longest lag first."""
    if a.shape[0] != b.shape[0]:
        raise UsageError(f"the motifs are of {a.shape[0]} and of {b.shape[0]} units")
    n_lags = max(a.shape[2], b.shape[2])
    stack = np.zeros((a.shape[0], n_lags, a.shape[1] + b.shape[1]))
    stack[:, n_lags - a.shape[2] :, : a.shape[1]] = a[:, :, ::-1].transpose(0, 2, 1)
    stack[:, n_lags - b.shape[2] :, a.shape[1] :] = b[:, :, ::-1].transpose(0, 2, 1)
    return stack


def _products(
    first: tuple[Any, Any], second: tuple[Any, Any], epochs: Any
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return <R_a, R_b> of all factors with all, and the norms of either set."""
    motifs_a, rows_a = check_factors("a", *first)
    motifs_b, rows_b = check_factors("b", *second)
    if rows_a.shape[1] != rows_b.shape[1]:
        raise UsageError(f"the fits are of {rows_a.shape[1]} and of {rows_b.shape[1]} frames")
    motifs = _stacked(motifs_a, motifs_b)
    n_lags, k_a = motifs.shape[1], rows_a.shape[0]
    timeline = Timeline(check_epochs(epochs, rows_a.shape[1]), rows_a.shape[1], n_lags)
    inner = timeline.take(np.concatenate((rows_a, rows_b)).T.astype(np.float64))
    lagged = correlate_activations(inner, n_lags)  # [d, b, a]: sum over t of H_b[t] H_a[t - d]
    gram = MotifGram(motifs).lags
    total = np.einsum("dab,dba->ab", gram[n_lags - 1 :], lagged)
    total += np.einsum("dab,dab->ab", gram[n_lags - 2 :: -1][: n_lags - 1], lagged[1:])
    total -= _behind(motifs, inner, timeline)
    norms = np.sqrt(np.maximum(np.diagonal(total), 0.0))
    # an empty factor has an exact zero, not one with rounding
    alive = (motifs.any(axis=(0, 1))) & inner.any(axis=0)
    norms = np.where(alive, norms, 0.0)
    return total[:k_a, k_a:], norms[:k_a], norms[k_a:]


def _behind(motifs: FloatArray, inner: FloatArray, timeline: Timeline) -> FloatArray:
    """Return the part of the products that lies behind the ends of epochs."""
    n_lags, k = motifs.shape[1:]
    reach = n_lags - 1
    total = np.zeros((k, k))
    for end in (timeline.starts + timeline.lengths).tolist() if reach else ():
        last = inner[max(end - reach, 0) : end]
        framed = np.zeros((2 * reach, k))
        framed[reach - len(last) : reach] = last
        for_each = np.lib.stride_tricks.sliding_window_view(framed, n_lags, axis=0)
        live = np.flatnonzero(last.any(axis=0))
        tails = [motifs[:, :, j] @ for_each[:, j].T for j in live]
        if tails:
            flat = np.stack(tails).reshape(live.size, -1)
            total[np.ix_(live, live)] += flat @ flat.T
    return total


def _cosines(products: FloatArray, norms_a: FloatArray, norms_b: FloatArray) -> FloatArray:
    sizes = np.outer(norms_a, norms_b)
    found = np.divide(products, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return np.clip(found, 0.0, 1.0)


def _greedy(scores: FloatArray) -> IntArray:
    """Return the best pair, the best of those left, ...; scores are of the order of 1."""
    left = np.where(scores > _TIE, scores, 0.0)
    pairs: list[tuple[int, int]] = []
    while (best := left.max()) > 0:
        row, column = divmod(int((left >= best - _TIE).argmax()), left.shape[1])
        pairs.append((row, column))
        left[row], left[:, column] = 0.0, 0.0
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)
