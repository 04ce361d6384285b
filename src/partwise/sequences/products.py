"""Products of recordings and motifs that tests, sweeps and figures need."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.sequences._fit import windowed
from partwise.sequences._inputs import prepare
from partwise.sequences._problem import Problem, State, apart
from partwise.sequences._timeline import check_epochs
from partwise.utils.threads import resolve_threads, single_thread_blas

__all__ = ["loadings", "motif_products", "power", "reconstruct", "seqnmf_costs"]

Array = npt.NDArray[Any]


def motif_products(
    X: Any,
    motifs: Any,
    *,
    backend: str = "auto",
    epochs: Any = None,
    n_threads: int | None = None,
) -> Array:
    r"""Return the recording seen through motifs.

    .. math:: Z_{kt} = \sum_{l=0}^{L-1} \sum_n W_{nkl} X_{n,t+l}

    Parameters
    ----------
    X : array-like, sparse matrix or FrameSource, N x T
        Units x frames, non-negative.
    motifs : array, N x K x L
        Motifs.
    backend : {"auto", "sparse", "fft", "direct"}
        How the data lie.
    epochs : sequence of (start, stop), optional
        Stretches of frames to use; Z is zero outside of them.
    n_threads : int, optional
        Threads.

    Returns
    -------
    ndarray, K x T
        Z.

    Raises
    ------
    DataError, UsageError
        If data and motifs cannot be used together.

    Examples
    --------
    >>> import numpy as np
    >>> motif_products(np.array([[0.0, 0.0, 1.0, 0.0]]), np.array([[[0.0, 2.0]]]))
    array([[0., 2., 0., 0.]])
    """
    motifs = _motifs(motifs)
    with single_thread_blas():
        ready = prepare(
            X, motifs.shape[2], epochs=epochs, backend=backend, exponent=0,
            n_threads=resolve_threads(n_threads),
        )  # fmt: skip
        raster = ready.problem.raster
        _same_units(raster.n_units, motifs)
        z = raster.cross_activations(windowed(motifs, raster.dtype))
    return np.ascontiguousarray(raster.timeline.give(z).T)


def reconstruct(motifs: Any, activations: Any, *, epochs: Any = None) -> Array:
    r"""Return the model of a recording.

    .. math:: \hat X_{nt} = \sum_k \sum_{l=0}^{L-1} W_{nkl} H_{k,t-l}

    Parameters
    ----------
    motifs : array, N x K x L
        Motifs.
    activations : array, K x T
        Activations.
    epochs : sequence of (start, stop), optional
        Stretches that no motif leaves; zero outside of them.

    Returns
    -------
    ndarray, N x T
        The model, dense.

    Raises
    ------
    UsageError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> reconstruct(np.array([[[1.0, 2.0]]]), np.array([[0.0, 1.0, 0.0]]))
    array([[0., 1., 2.]])
    """
    motifs, rows = _motifs(motifs), np.asarray(activations)
    if rows.ndim != 2 or rows.shape[0] != motifs.shape[1]:
        raise UsageError(
            f"activations must be {motifs.shape[1]} factors x frames, not "
            f"{' x '.join(map(str, rows.shape))}"
        )
    n_frames = rows.shape[1]
    model = np.zeros((motifs.shape[0], n_frames), np.result_type(motifs, rows))
    for start, stop in check_epochs(epochs, n_frames):
        for lag in range(min(motifs.shape[2], stop - start)):
            model[:, start + lag : stop] += motifs[:, :, lag] @ rows[:, start : stop - lag]
    return model


def power(X: Any, motifs: Any, activations: Any, *, mask: Any = None, epochs: Any = None) -> float:
    r"""Return the share of the sum of squares that a model explains, over the observed entries.

    .. math:: 1 - \lVert X - \hat X \rVert^2 / \lVert X \rVert^2

    Parameters
    ----------
    X : array-like, sparse matrix or FrameSource, N x T
        Units x frames.
    motifs, activations : arrays, N x K x L and K x T
        The model.
    mask, epochs
        As in `SeqNMF.fit`.

    Returns
    -------
    float
        1 is exact, 0 is what all zeros reach.

    Examples
    --------
    >>> import numpy as np
    >>> power(np.array([[0.0, 1.0, 2.0]]), np.array([[[1.0, 2.0]]]), np.array([[0.0, 1.0, 0.0]]))
    1.0
    """
    problem, state = _pair(X, motifs, activations, mask, epochs)
    products = problem.raster.cross_motifs(state.activations)
    return problem.power(problem.error(state, products, problem.correlations(state)))


def loadings(
    X: Any, motifs: Any, activations: Any, *, mask: Any = None, epochs: Any = None
) -> npt.NDArray[np.float64]:
    r"""Return the share of the sum of squares that each factor explains by itself.

    .. math:: \max(0, \sum_{nt} (2 X R_k - R_k^2)) / \lVert X \rVert^2

    where R_k is the model of factor k alone. Loadings do not add up to the power.

    Parameters
    ----------
    X : array-like, sparse matrix or FrameSource, N x T
        Units x frames.
    motifs, activations : arrays, N x K x L and K x T
        The model.
    mask, epochs
        As in `SeqNMF.fit`.

    Returns
    -------
    ndarray, K
        Loadings.

    Examples
    --------
    >>> import numpy as np
    >>> loadings(np.array([[0.0, 1.0, 2.0]]), np.array([[[1.0, 2.0]]]), np.array([[0.0, 1.0, 0.0]]))
    array([1.])
    """
    problem, state = _pair(X, motifs, activations, mask, epochs)
    return problem.loadings(state, problem.raster.cross_motifs(state.activations))


def seqnmf_costs(
    X: Any, motifs: Any, activations: Any, *, mask: Any = None, epochs: Any = None
) -> tuple[float, float]:
    r"""Return the two costs that seqNMF balances.

    .. math:: \lVert X - \hat X \rVert_F, \qquad
       \sum_{i \ne j} |(W^\top \circledast X) S H^\top|_{ij}

    Parameters
    ----------
    X : array-like, sparse matrix or FrameSource, N x T
        Units x frames.
    motifs, activations : arrays, N x K x L and K x T
        The model.
    mask, epochs
        As in `SeqNMF.fit`.

    Returns
    -------
    reconstruction, penalty : float
        Both are 0 or more.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0, 2.0]])
    >>> seqnmf_costs(X, np.array([[[1.0, 2.0]]]), np.array([[0.0, 1.0, 0.0]]))
    (0.0, 0.0)
    """
    problem, state = _pair(X, motifs, activations, mask, epochs)
    products = problem.raster.cross_motifs(state.activations)
    error = problem.error(state, products, problem.correlations(state))
    timeline = problem.raster.timeline
    seen = problem.raster.cross_activations(state.motifs)
    seen[~timeline.inside] = 0
    seen = timeline.smooth(seen)
    penalty = float(np.vdot(apart(seen), state.activations.astype(np.float64)))
    return float(np.sqrt(error)), penalty


def _pair(X: Any, motifs: Any, activations: Any, mask: Any, epochs: Any) -> tuple[Problem, State]:
    """Return a problem and a state of given motifs and activations."""
    motifs, rows = _motifs(motifs), np.asarray(activations)
    ready = prepare(X, motifs.shape[2], mask=mask, epochs=epochs, exponent=0)
    raster = ready.problem.raster
    _same_units(raster.n_units, motifs)
    if rows.shape != (motifs.shape[1], raster.timeline.n_recorded):
        raise UsageError(
            f"activations must be {motifs.shape[1]} factors x {raster.timeline.n_recorded} "
            f"frames, not {' x '.join(map(str, rows.shape))}"
        )
    inner = np.ascontiguousarray(raster.timeline.take(rows.T), raster.dtype)
    return ready.problem, State(windowed(motifs, raster.dtype), inner)


def _motifs(motifs: Any) -> Array:
    found = np.asarray(motifs)
    if found.ndim != 3 or found.dtype.kind not in "biuf" or not found.size:
        raise UsageError(
            f"motifs must be units x factors x lags, not {' x '.join(map(str, found.shape))}"
        )
    return found


def _same_units(n_units: int, motifs: Array) -> None:
    if motifs.shape[0] != n_units:
        raise UsageError(f"the motifs are of {motifs.shape[0]} units, X has {n_units}")
