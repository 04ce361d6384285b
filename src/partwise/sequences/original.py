"""The interface of the original's Python port: its names, our numbers.

Scripts written for `from seqnmf import seqnmf, plot, example_data` run with that line changed to
`from partwise.sequences import seqnmf, plot, example_data`. Parameters, their order and defaults,
and what comes back are those of the port (ContextLab/seqnmf 0.1.3); the numbers are those of
`SeqNMF`. What a script may notice is listed in `seqnmf`.
"""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.sequences.model import SeqNMF

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from partwise.utils.random import RandomLike

__all__ = ["plot", "seqnmf"]

Array = npt.NDArray[Any]


def seqnmf(
    X: npt.ArrayLike | sp.spmatrix | sp.sparray,
    K: int = 10,
    L: int = 100,
    Lambda: float = 0.001,
    W_init: npt.ArrayLike | None = None,
    H_init: npt.ArrayLike | None = None,
    plot_it: bool = False,
    max_iter: int = 100,
    tol: float = -math.inf,
    shift: bool = True,
    sort_factors: bool = True,
    lambda_L1W: float = 0,
    lambda_L1H: float = 0,
    lambda_OrthH: float = 0,
    lambda_OrthW: float = 0,
    M: npt.ArrayLike | None = None,
    use_W_update: bool = True,
    W_fixed: bool = False,
    *,
    compat: str | None = None,
    random_state: RandomLike = None,
    n_threads: int | None = None,
) -> tuple[Array, Array, Array, Array, float]:
    """Find repeated sequences, called as the Python port of seqNMF is called.

    Minimises ||X - Xhat||^2 with Xhat[n, t] = sum_k sum_l W[n, k, l] H[k, t - l], l = 0 ... L - 1,
    and the penalties of `SeqNMF`, by multiplicative updates. Different from the port: H[k, t] > 0
    says that motif k begins at frame t (there, at frame t - 1); factors that became empty are
    never left out; W_init and H_init are not overwritten; `tol`, `M`, `H_init` and L = 1 work;
    fixed motifs stay as they are; a seed may be given.

    Parameters
    ----------
    X
        Units x frames, not negative; dense, or scipy sparse (stays sparse). float32 is computed in
        float32, everything else in float64. What a masked array masks is hidden.
    K, L
        Factors at most, and frames of a motif; L must be smaller than the frames of X.
    Lambda
        Weight of the x-ortho penalty, which keeps factors from explaining the same events.
    W_init
        Start of the motifs, units x K x L; drawn if None.
    H_init
        Start of the activations, K x frames; drawn if None. K x (frames + 2 L), which the
        port needs, is taken, too: the first and last L frames are cut off.
    plot_it
        Draw the factors when done (the port draws each iteration), as `plot(W, H).show()` does.
    max_iter
        Iterations.
    tol
        Stop when the cost falls by less than this share per iteration, as `tol` of `SeqNMF`; 0 or
        less: never. (The rule that the original describes does not work there.)
    shift
        Recentre motifs in each iteration.
    sort_factors
        Sort factors by falling loading.
    lambda_L1W, lambda_L1H
        L1 penalties of motifs and activations.
    lambda_OrthH, lambda_OrthW
        Penalties that make activations, or motifs summed over lags, orthogonal.
    M
        Units x frames, 0 where an entry is hidden from the fit (padded as for `H_init` at will).
    use_W_update
        Whether the x-ortho penalty also enters the step of the motifs.
    W_fixed
        Keep the motifs W_init, which must then be given.
    compat
        None: the engine of `SeqNMF`. "matlab": the iteration of the MATLAB toolbox with its edges
        and its defects (there `tol` hardly ever stops, and fixed motifs are still moved and
        scaled), dense and in float64.
    random_state
        Seed, or a generator, of the random start.
    n_threads
        Threads; by default $PARTWISE_NUM_THREADS, else all CPUs of the process.

    Returns
    -------
    W : ndarray, units x K x L
        Motifs.
    H : ndarray, K x frames
        Activations. Sequences that were under way when the recording began are part of the model
        and of `cost`, `loadings` and `power`, but not of H, as in the original.
    cost : ndarray, (iterations + 1) x 1
        Root of the squared residual per entry of X with L frames of zeros on both sides, as the
        original counts it, at the start and after each iteration. Hidden entries have no residual;
        what the default engine leaves out is the part of Xhat that would lie behind the last frame.
    loadings : ndarray, K
        Share of the data's sum of squares that each factor explains by itself.
    power : float
        Share that all factors explain.

    Raises
    ------
    UsageError
        If a parameter cannot be used, or the shape of a start or a mask does not fit.
    DataError
        If X is no matrix, or has negative or missing values.

    References
    ----------
    Mackevicius, Bahle, Williams, Gu, Denisenko, Goldman & Fee (2019), eLife 8:e38471.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.sequences import seqnmf
    >>> H = np.zeros((1, 60))
    >>> H[0, [5, 25, 45]] = 1
    >>> X = np.array([np.convolve(H[0], np.eye(4)[n])[:60] for n in range(4)])
    >>> W, H, cost, loadings, power = seqnmf(X, K=1, L=6, Lambda=0, random_state=0)
    >>> W.shape, H.shape, cost.shape, bool(power > 0.9)
    ((4, 1, 6), (1, 60), (101, 1), True)
    """
    data = _data(X)
    n_frames = int(data.shape[1])
    hidden = None if M is None else _cut(M, n_frames, L, "M") == 0
    if isinstance(X, np.ma.MaskedArray):
        own = np.ma.getmaskarray(X)
        hidden = own if hidden is None else own | hidden
    activations = None if H_init is None else _cut(H_init, n_frames, L, "H_init")
    if W_fixed and W_init is None:
        raise UsageError("W_fixed=True keeps the motifs that are given: give them as W_init")
    model = SeqNMF(
        K,
        L,
        lambda_=Lambda,
        l1_W=lambda_L1W,
        l1_H=lambda_L1H,
        ortho_H=lambda_OrthH,
        ortho_W=lambda_OrthW,
        use_W_update=use_W_update,
        shift=shift,
        solver="mu",
        motifs_init=None if W_fixed else W_init,
        activations_init=activations,
        fixed_motifs=W_init if W_fixed else None,
        max_iter=max_iter,
        tol=tol if compat == "matlab" else max(tol, 0.0),
        sort=sort_factors,
        random_state=random_state,
        n_threads=n_threads,
        compat=compat,
    ).fit(data, mask=hidden)
    cost = np.asarray(model.cost_, np.float64)[:, None]
    if compat is None:
        cost = cost * _padding(data.shape, L, hidden)
    W, H = model.motifs_, model.activations_
    if plot_it:
        plot(W, H).show()
    return W, H, cost, model.loadings_, float(model.power_)


def plot(
    W: npt.ArrayLike,
    H: npt.ArrayLike,
    *,
    data: npt.ArrayLike | sp.spmatrix | sp.sparray | None = None,
) -> Figure:
    """Draw motifs left, activations above, and the reconstruction or the data in the centre.

    Parameters
    ----------
    W
        Motifs, units x K x L.
    H
        Activations, K x frames.
    data
        What to show in the centre, units x frames; None for the reconstruction.

    Returns
    -------
    matplotlib.figure.Figure
        What `partwise.figures.factor_plot` draws, in pyplot's care as the port's figure is:
        `.show()` and `pyplot.show()` open it; without a display they do nothing.

    Raises
    ------
    UsageError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.sequences import plot
    >>> figure = plot(np.ones((5, 2, 3)), np.eye(2, 40))
    >>> figure.axes[0].get_label()
    'motifs'
    """
    figures = importlib.import_module("partwise.figures")  # a room above this one
    return _managed(figures.factor_plot(W, H, data))


def _data(X: Any) -> Any:
    """Return float32 as it is, all else as float64, as the original has it."""
    if not sp.issparse(X):
        X = np.asarray(X)
        if X.ndim != 2:
            raise DataError(f"X must be a matrix, units x frames; it has {X.ndim} dimensions")
    if X.dtype.kind in "biu" or X.dtype == np.float16:
        return X.astype(np.float64)
    return X


def _cut(array: npt.ArrayLike, n_frames: int, n_lags: int, name: str) -> Array:
    """Return an array of frames without the port's padding."""
    whole = np.asarray(array)
    if whole.ndim == 2 and whole.shape[1] == n_frames + 2 * n_lags:
        return whole[:, n_lags : n_lags + n_frames]
    if whole.ndim != 2 or whole.shape[1] != n_frames:
        shape = " x ".join(map(str, whole.shape))
        raise UsageError(f"{name} must have a column per frame of X ({n_frames}); it is {shape}")
    return whole


def _padding(shape: tuple[int, int], n_lags: int, hidden: Array | None) -> float:
    """Return the root of the observed entries over all entries of the padded matrix."""
    n, frames = shape
    observed = n * frames - (0 if hidden is None else int(np.count_nonzero(hidden)))
    return math.sqrt(observed / (n * (frames + 2 * n_lags)))


def _managed(figure: Figure) -> Figure:
    """Hand a figure to pyplot, so that its window opens where there is a display.

    Our figures do without pyplot, and `show` of such a figure raises.
    """
    pyplot = importlib.import_module("matplotlib.pyplot")
    place = pyplot.figure(figsize=figure.get_size_inches(), dpi=figure.dpi)
    canvas = place.canvas
    canvas.figure = figure
    figure.set_canvas(canvas)
    return figure
