"""The space in which observations are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = ["clustering_space", "usage_shares"]

#: Axes that carry less than this share of the reconstruction's size are rounding errors.
_NEGLIGIBLE = 1e-12


def clustering_space(
    usage: npt.NDArray[Any], programs: npt.NDArray[Any]
) -> npt.NDArray[np.floating[Any]]:
    """Coordinates whose distances are those between the reconstructed observations.

    With X approximated by W H (usage n x k, programs k x p) and any R with R R^T = H H^T:

        || (w - w') R || = || (w - w') H ||.

    The usage itself is a poor space: its distances change when a program is scaled up and its
    usage down by the same factor, and with more programs than features two observations that are
    equal can have different usages. Distances of reconstructions change in neither case. They
    are those of the data with what the programs do not explain taken away.

    Parameters
    ----------
    usage
        W, n x k, not negative.
    programs
        H, k x p, not negative.

    Returns
    -------
    numpy.ndarray
        n x r with r at most min(k, p), in the type of the usage. The axes are the principal axes
        of the programs, largest first. Rows without any usage stay zero.

    Raises
    ------
    UsageError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> W, H = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> Y = clustering_space(W, H)
    >>> bool(np.isclose(np.linalg.norm(Y[0] - Y[1]), np.linalg.norm(W[0] @ H - W[1] @ H)))
    True
    """
    if usage.ndim != 2 or programs.ndim != 2 or usage.shape[1] != programs.shape[0]:
        raise UsageError(
            f"usage {usage.shape} and programs {programs.shape} do not fit: n x k and k x p"
        )
    H = programs.astype(np.float64)
    # Programs of length one: a small program is as exact as a large one.
    length = np.sqrt(np.square(H).sum(axis=1))
    H = H / np.where(length > 0, length, 1.0)[:, None]
    spectrum, axes = np.linalg.eigh(H @ H.T)
    spectrum, axes = spectrum[::-1][: H.shape[1]], axes[:, ::-1][:, : H.shape[1]]
    top = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[top, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    kept = spectrum > _NEGLIGIBLE * max(1.0, float(spectrum.sum()))
    root = length[:, None] * axes[:, kept] * np.sqrt(spectrum[kept])
    dtype = usage.dtype if usage.dtype in (np.float32, np.float64) else np.float64
    return _multiply(np.asarray(usage, dtype), root.astype(dtype))


def usage_shares(
    usage: npt.NDArray[Any], programs: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """Say of each observation what share of its reconstruction each program makes.

    With t_k the sum of program k (over the features):

        s_ik = w_ik t_k / sum_l w_il t_l,   g_kj = h_kj / t_k,

    so that S G is W H with each row scaled to a sum of one. Dividing W by its row sums alone would
    depend on the arbitrary scale of each program; these shares do not.

    Parameters
    ----------
    usage
        W, n x k, not negative.
    programs
        H, k x p, not negative.

    Returns
    -------
    shares, programs
        S, n x k, in the type of the usage, and G, k x p. Rows without any usage stay zero.

    Examples
    --------
    >>> import numpy as np
    >>> shares, programs = usage_shares(np.array([[1.0, 1.0]]), np.array([[3.0, 0.0], [0.0, 1.0]]))
    >>> shares.tolist(), programs.tolist()
    ([[0.75, 0.25]], [[1.0, 0.0], [0.0, 1.0]])
    """
    H = programs.astype(np.float64)
    totals = H.sum(axis=1)
    dtype = usage.dtype if usage.dtype in (np.float32, np.float64) else np.float64
    shares = np.empty(usage.shape, dtype)
    for start in range(0, usage.shape[0], 4096):
        weights = usage[start : start + 4096] * totals
        sums = np.zeros((weights.shape[0], 1))
        for j in range(weights.shape[1]):  # term by term: equal rows stay equal
            sums[:, 0] += weights[:, j]
        shares[start : start + 4096] = weights / np.where(sums > 0, sums, 1.0)
    return shares, H / np.where(totals > 0, totals, 1.0)[:, None]


def _multiply(usage: npt.NDArray[Any], root: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    """W R term by term: equal rows of usage give equal rows, which BLAS does not promise."""
    result = np.zeros((usage.shape[0], root.shape[1]), dtype=usage.dtype)
    for start in range(0, usage.shape[0], 4096):
        block = np.zeros((min(4096, usage.shape[0] - start), root.shape[1]), dtype=np.float64)
        for j in range(root.shape[0]):
            block += usage[start : start + 4096, j : j + 1].astype(np.float64) * root[j]
        result[start : start + 4096] = block
    return result
