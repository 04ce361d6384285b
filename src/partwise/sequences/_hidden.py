"""Entries of a recording hidden at random, and how well a model predicts them.

What a model says of a hidden entry may have no bounds: where the one event that tells a value of a
motif is the hidden one, other frames, in which the motif is all but silent, decide it. So a ridge
is put on motifs and activations before they predict; it is next to nothing for values that are
known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError
from partwise.sequences._fit import natural, windowed
from partwise.sequences._inputs import prepare
from partwise.sequences._mu import EPS
from partwise.sequences._problem import Problem, State
from partwise.sequences._timeline import check_epochs
from partwise.sequences._view import look
from partwise.sequences.products import reconstruct

__all__ = ["beside", "hidden_entries", "hidden_error", "ridged"]

Array = npt.NDArray[Any]

#: Frames that are predicted at once.
_FRAMES = 8192
#: The ridge: a share of the mean squared length of the motifs, or of the activations; and for how
#: many iterations it acts.
_RIDGE, _ITERATIONS = 0.1, 20


def hidden_entries(
    shape: tuple[int, int], fraction: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return a mask, N x T, in which each entry is hidden with the same chance."""
    n_units, n_frames = shape
    counts = rng.binomial(n_frames, fraction, size=n_units)
    chosen = [np.sort(rng.choice(n_frames, size=c, replace=False, shuffle=False)) for c in counts]
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return sp.csr_matrix((np.ones(indptr[-1], bool), np.concatenate(chosen), indptr), shape=shape)


def beside(
    chosen: sp.csr_matrix, mask: sp.csr_matrix | None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return the chosen entries that a mask does not hide, and all that either hides.

    Examples
    --------
    >>> chosen, mask = sp.csr_matrix([[True, True, False]]), sp.csr_matrix([[False, True, True]])
    >>> [found.toarray().tolist() for found in beside(chosen, mask)]
    [[[True, False, False]], [[True, True, True]]]
    """
    if mask is None:
        return chosen, chosen
    both = chosen.multiply(mask).astype(np.int8)
    asked = (chosen.astype(np.int8) - both).tocsr()
    asked.eliminate_zeros()
    return asked.astype(bool), (chosen + mask).astype(bool).tocsr()


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


def ridged(
    X: Any, mask: sp.csr_matrix, motifs: Array, activations: Array, *, epochs: Any = None
) -> tuple[Array, Array]:
    """Return motifs and activations after some iterations with a ridge on both.

    Multiplicative updates with r ||W||^2 / K added to the second derivative of each activation,
    and r ||H||^2 / K to that of each value of a motif, r = 0.1. Takes what `hidden_error` takes.
    """
    problem = prepare(X, motifs.shape[2], mask=mask, epochs=epochs, exponent=0).problem
    timeline, kind = problem.raster.timeline, problem.raster.dtype
    rows = np.ascontiguousarray(timeline.take(activations.T), kind)
    state = State(windowed(motifs, kind), rows)
    for _ in range(_ITERATIONS):
        view = look(problem, state)
        _shrink(state.activations, view.above, view.below, _weight(state.motifs))
        _shrink(state.motifs, *_motif_terms(problem, state), _weight(state.activations))
    return natural(state.motifs), np.ascontiguousarray(timeline.give(state.activations).T)


def _motif_terms(problem: Problem, state: State) -> tuple[Array, Array]:
    above = problem.raster.cross_motifs(state.activations)
    return above, problem.model_cross_motifs(state, problem.correlations(state))


def _weight(other: Array) -> float:
    """Return the ridge, from the factor that stays."""
    return _RIDGE * float(np.vdot(other, other)) / int(other.shape[-1])


def _shrink(values: Array, above: Array, below: Array, weight: float) -> None:
    """Multiply once, in place."""
    values *= above / (np.maximum(below, 0.0) + weight * values + EPS)


def _frames(X: Any, first: int, last: int) -> Array:
    dense_or_not = X.frames(first, last) if hasattr(X, "frames") else X[:, first:last]
    return np.asarray(dense_or_not.toarray() if sp.issparse(dense_or_not) else dense_or_not)
