"""The MATLAB toolbox's own iteration, with its edges and its defects: `SeqNMF(compat="matlab")`.

It repeats the seqNMF toolbox of Mackevicius, Bahle et al. (2019), eLife 8:e38471, as released in
August 2019, so that published fits can be made again. X is N x T (units x frames), W is N x K x L,
H is K x T. What differs from the default engine:

- X gets L frames of zeros on both sides, and the fit goes on in them: lags of the products wrap
  around the ends of the padded matrix, activations may lie in the padding, and the cost is the root
  of the mean over all padded entries. The padding is cut off at the end.
- Hidden entries are filled with the reconstruction twice per iteration, so that they count in
  the means of cost and power, with a residual of zero.
- The last iteration has lambda = 0 (the other penalties stay).
- The tolerance is compared with a cost that has not been computed yet, still zero: the iteration
  stops early only if the tolerance exceeds the mean of the last six costs.
- Fixed motifs are only not stepped: they are still recentred and scaled.
- Loadings come in falling order even where motifs are asked to keep theirs (sort=False).

One thing is not repeated: with a single unit the original moves activations without their motif.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.utils.interrupts import check
from partwise.utils.random import generator
from partwise.utils.threads import single_thread_blas

__all__ = ["MatlabFit", "fit_matlab"]

Array = npt.NDArray[Any]

EPS = float(np.finfo(np.float64).eps)
#: share of the largest value that is added to motifs after they were moved
_LIFT = 1e-6
#: costs whose mean the tolerance is compared with, and the first iteration at which it is
_WINDOW = 6


@dataclass(frozen=True)
class MatlabFit:
    """What the original returns.

    Attributes
    ----------
    motifs, activations
        N x K x L and K x T.
    cost
        Root mean square residual over the padded matrix at the start and after each iteration.
    loadings
        Share of the sum of squares that each motif explains by itself, K.
    power
        Share of the sum of squares that all explain.
    """

    motifs: Array
    activations: Array
    cost: Array
    loadings: Array
    power: float


@dataclass(frozen=True)
class _Weights:
    """Weights of the penalties, and which of them enter the step of the motifs."""

    cross: float
    cross_of_motifs: bool
    l1_motifs: float
    l1_activations: float
    ortho_motifs: float
    ortho_activations: float


def fit_matlab(
    X: Array,
    *,
    n_components: int,
    n_lags: int,
    lambda_: float = 0.001,
    l1_W: float = 0.0,
    l1_H: float = 0.0,
    ortho_H: float = 0.0,
    ortho_W: float = 0.0,
    use_W_update: bool = True,
    shift: bool = True,
    sort: bool = True,
    mask_observed: Array | None = None,
    motifs_init: Array | None = None,
    activations_init: Array | None = None,
    fixed_motifs: bool = False,
    max_iter: int = 100,
    tolerance: float = -np.inf,
    rng: np.random.Generator | None = None,
) -> MatlabFit:
    """Fit as the MATLAB toolbox does, in float64.

    Parameters
    ----------
    X
        N x T, dense and not negative; hidden entries may be anything, NaN included.
    n_components, n_lags
        K and L.
    lambda_, l1_W, l1_H, ortho_H, ortho_W, use_W_update
        Penalties, in the original lambda, lambdaL1W, lambdaL1H, lambdaOrthoH, lambdaOrthoW and
        useWupdate.
    shift, sort, fixed_motifs
        In the original shift, SortFactors and W_fixed.
    mask_observed
        N x T, false where an entry is hidden; None if none is.
    motifs_init, activations_init
        Start; activations without the padding. Where None, it is drawn: motifs first, max(X) times
        uniform numbers, then activations over the padded frames, divided by sqrt(frames / 3).
    max_iter, tolerance
        Iterations at most, and the rule to stop, which hardly ever does.
    rng
        Generator of the random start.

    Returns
    -------
    MatlabFit
        Motifs, activations, cost, loadings and power.

    Raises
    ------
    DataError
        If X is no matrix, or an observed value is negative, infinite or NaN.
    UsageError
        If the shape of the mask or of a start does not fit, or a start is negative.
    """
    weights = _Weights(lambda_, use_W_update, l1_W, l1_H, ortho_W, ortho_H)
    with single_thread_blas():
        state = _State(X, mask_observed, n_components, n_lags)
        state.start(motifs_init, activations_init, generator(rng))
        cost = state.run(weights, max_iter, tolerance, shift=shift, fixed=fixed_motifs)
        return state.result(cost, sort=sort)


class _State:
    """The padded arrays. Motifs are L x N x K inside, so that a lag is one matrix."""

    def __init__(self, X: Array, observed: Array | None, k: int, n_lags: int) -> None:
        X = np.asarray(X, np.float64)
        if X.ndim != 2:
            raise DataError(f"X must be a matrix, units x frames; it has {X.ndim} dimensions")
        edges = ((0, 0), (n_lags, n_lags))
        self.k, self.n_lags = k, n_lags
        self.hidden = None
        if observed is not None:
            observed = np.asarray(observed, bool)
            if observed.shape != X.shape:
                raise UsageError(f"the mask is {observed.shape}, X is {X.shape}: units x frames")
            X = np.where(observed, X, 0.0)
            self.hidden = ~np.pad(observed, edges, constant_values=True)
        if not np.isfinite(X).all() or (X < 0).any():
            raise DataError(
                "compat='matlab' needs finite values from 0 up: clip negative ones, or add an "
                "offset; hide what is missing"
            )
        self.X: Array = np.pad(X, edges)

    def start(self, W: Array | None, H: Array | None, rng: np.random.Generator) -> None:
        """Set the start and fill hidden entries for the first time."""
        (n, frames), top = self.X.shape, self.X.max()
        shape = n, self.k, self.n_lags
        W = top * rng.random(shape) if W is None else _given(W, shape, "motifs_init")
        if H is None:
            H = top * rng.random((self.k, frames)) / np.sqrt(frames / 3)
        else:
            H = _given(H, (self.k, frames - 2 * self.n_lags), "activations_init")
            H = np.pad(H, ((0, 0), (self.n_lags, self.n_lags)))
        self.W: Array = np.array(W.transpose(2, 0, 1), order="C")
        self.H: Array = H
        self.rebuild()
        self.lift = _LIFT * self.X.max()

    def rebuild(self) -> None:
        """Reconstruct, and fill the hidden entries."""
        self.Xhat: Array = _reconstruct(self.W, self.H)
        if self.hidden is not None:
            self.X[self.hidden] = self.Xhat[self.hidden]

    def error(self) -> float:
        """Return the root mean square residual over the padded matrix."""
        gap = self.X - self.Xhat
        return float(np.sqrt(np.mean(gap * gap)))

    def run(
        self, weights: _Weights, max_iter: int, tolerance: float, *, shift: bool, fixed: bool
    ) -> Array:
        """Iterate; return the costs."""
        cost = [self.error()]
        last = max_iter == 0
        while not last:
            check()
            done = len(cost)  # the number of this iteration, from 1
            recent = float(np.mean(cost[-_WINDOW:]))
            last = done == max_iter or (done >= _WINDOW and tolerance > recent)
            cross = 0.0 if last and done > 1 else weights.cross
            self.step_activations(weights, cross)
            if shift:
                self.recentre()
            norms = np.sqrt(np.sum(self.H**2, axis=1))
            self.H = self.H * (1.0 / (norms + EPS))[:, None]
            self.W *= norms
            if not fixed:
                self.rebuild()
                self.step_motifs(weights, cross)
            self.rebuild()
            cost.append(self.error())
        return np.array(cost)

    def step_activations(self, weights: _Weights, cross: float) -> None:
        """H <- H Z / (What + lambda (1-I) Z S + l1 + ortho (1-I) H S + eps)."""
        Z = _correlate(self.W, self.X)
        below = _correlate(self.W, self.Xhat)
        other = _off_diagonal(self.k)
        penalty: Array | float = weights.l1_activations
        if cross > 0:
            penalty = cross * other @ _box(Z, self.n_lags) + penalty
        if weights.ortho_activations > 0:
            penalty = penalty + weights.ortho_activations * other @ _box(self.H, self.n_lags)
        self.H = self.H * Z / (below + penalty + EPS)

    def step_motifs(self, weights: _Weights, cross: float) -> None:
        """Step each lag l, with F = sum_l W_l.

        W_l <- W_l X H_l^T / (Xhat H_l^T + lambda X S H_l^T (1-I) + l1 + ortho F (1-I) + eps)
        """
        other = _off_diagonal(self.k)
        cross = cross if weights.cross_of_motifs else 0.0
        spread = cross * _box(self.X, self.n_lags) if cross > 0 else None
        penalty: Array | float = weights.l1_motifs
        if weights.ortho_motifs > 0:
            penalty = weights.ortho_motifs * self.W.sum(axis=0) @ other + penalty
        frames = self.H.shape[1]
        around = np.hstack([self.H[:, frames - self.n_lags + 1 :], self.H])
        for lag in range(self.n_lags):
            first = self.n_lags - 1 - lag
            late = around[:, first : first + frames].T
            below = self.Xhat @ late + penalty
            if spread is not None:
                below += spread @ late @ other
            self.W[lag] *= self.X @ late / (below + EPS)

    def recentre(self) -> None:
        """Move each motif's centre of mass to the middle lag, and its activations the other way."""
        n_lags = self.n_lags
        if n_lags > 1:
            lags = np.arange(1, n_lags + 1)
            for k in range(self.k):
                weight = self.W[:, :, k].sum(axis=1)
                total = weight.sum()
                mass = max(int(np.sum(weight * lags) / total), 1) if total > 0 else 1
                by = n_lags // 2 - mass
                self.W[:, :, k] = _moved(self.W[:, :, k], by)
                self.H[k] = np.roll(self.H[k], -by)
        self.W += self.lift

    def result(self, cost: Array, *, sort: bool) -> MatlabFit:
        """Cut off the padding; return power and loadings with what was fitted."""
        inner = slice(self.n_lags, self.X.shape[1] - self.n_lags)
        X, Xhat, H = self.X[:, inner], self.Xhat[:, inner], self.H[:, inner]
        total = float(np.sum(X**2)) or np.inf  # of zeros nothing is explained
        power = 1.0 - np.sum((X - Xhat) ** 2) / total if total < np.inf else 0.0
        loadings = np.empty(self.k)
        for k in range(self.k):
            own = _reconstruct(self.W[:, :, [k]], H[[k]])
            loadings[k] = np.sum(2 * X * own - own**2) / total
        loadings = np.maximum(loadings, 0.0)
        order = np.argsort(-loadings, kind="stable")
        kept = order if sort else np.arange(self.k)
        W = np.ascontiguousarray(self.W[:, :, kept].transpose(1, 2, 0))
        return MatlabFit(W, H[kept].copy(), cost, loadings[order], float(power))


def _given(start: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return a start, checked."""
    found = np.asarray(start, np.float64)
    if found.shape != shape:
        raise UsageError(f"{name} must have shape {shape}, not {found.shape}")
    if not np.isfinite(found).all() or (found < 0).any():
        raise UsageError(f"{name} must be finite and not negative")
    return found


def _reconstruct(W: Array, H: Array) -> Array:
    """Return sum_l W_l H[., t - l], activations before the first frame being zero."""
    frames = H.shape[1]
    out: Array = W[0] @ H
    for lag in range(1, min(len(W), frames)):
        out[:, lag:] += W[lag] @ H[:, : frames - lag]
    return out


def _correlate(W: Array, X: Array) -> Array:
    """Return sum_l W_l^T X[., t + l], frames after the last being the first ones again."""
    frames = X.shape[1]
    around = np.hstack([X, X[:, : len(W) - 1]])
    out: Array = W[0].T @ X
    for lag in range(1, len(W)):
        out += W[lag].T @ around[:, lag : lag + frames]
    return out


def _box(A: Array, n_lags: int) -> Array:
    """Return sums over the 2 L - 1 frames around each frame, zeros beyond the ends.

    Each window is the end of one block of its own length and the beginning of the next: sums from
    the borders of blocks need no differences, so that no digits are lost and zeros stay zeros.
    """
    width, frames = 2 * n_lags - 1, A.shape[1]
    n_blocks = -(-(frames + width - 1) // width)
    padded = np.zeros((A.shape[0], n_blocks * width))
    padded[:, n_lags - 1 : n_lags - 1 + frames] = A
    blocks = padded.reshape(A.shape[0], n_blocks, width)
    ahead = np.cumsum(blocks, axis=2).reshape(padded.shape)
    back = np.cumsum(blocks[:, :, ::-1], axis=2)[:, :, ::-1].reshape(padded.shape)
    out: Array = ahead[:, width - 1 : width - 1 + frames].copy()
    inside = np.arange(frames) % width != 0  # else the window is one block
    out[:, inside] += back[:, :frames][:, inside]
    return out


def _moved(motif: Array, by: int) -> Array:
    """Return L x N moved to later lags by `by`, zeros let in."""
    out = np.zeros_like(motif)
    if by >= 0:
        out[by:] = motif[: len(motif) - by]
    else:
        out[:by] = motif[-by:]
    return out


def _off_diagonal(k: int) -> Array:
    return 1.0 - np.eye(k)
