"""How alike the factorizations are that different starts of the same data come to.

Letters: R starts, n observations, k programs over p features. A rank at which all starts find the
same programs is one that the data ask for; that is necessary, not sufficient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = [
    "co_assignment",
    "cophenetic_correlation",
    "dispersion",
    "matched_cosine",
    "mean_matched_cosine",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

#: By how much distances are moved to break ties; far above rounding, far below 1 / R.
_UNTIE = 1e-9


def matched_cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Return the cosine of each program of `a` with its partner in `b`.

    Partners are chosen one to one so that the sum of cos(a_i, b_j) = <a_i, b_j> / (|a_i| |b_j|) is
    largest (the assignment problem; Kuhn 1955). A program of zeros has cosine 0 with all others.

    Parameters
    ----------
    a, b : k x p
        Programs of two factorizations, in any order and scale.

    Returns
    -------
    ndarray, k
        From 0 to 1 for non-negative programs, in the order of `a`.

    Raises
    ------
    UsageError
        If the shapes differ.

    References
    ----------
    Kuhn (1955), Naval Research Logistics Quarterly 2, 83; used for the stability of NMF by Wu et
    al. (2016), PNAS 113, 4290.

    Examples
    --------
    >>> matched_cosine([[1, 0], [0, 2]], [[0, 1], [3, 0]]).tolist()
    [1.0, 1.0]
    """
    from scipy.optimize import linear_sum_assignment

    one, two = _unit_rows(a), _unit_rows(b)
    if one.shape != two.shape or one.ndim != 2:
        raise UsageError(
            f"programs to be matched must have the same shape, not {one.shape} and {two.shape}"
        )
    cosines = one @ two.T
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    matched: FloatArray = cosines[rows, columns]
    return np.clip(matched, -1.0, 1.0)


def mean_matched_cosine(programs: Sequence[npt.ArrayLike]) -> FloatArray:
    """Return how well each start's programs are found again by the other starts.

    For start r the mean over all other starts s and all programs i of `matched_cosine`.

    Parameters
    ----------
    programs
        R arrays, k x p.

    Returns
    -------
    ndarray, R
        1 if all starts agree; NaN if there is one start only.

    Examples
    --------
    >>> starts = [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 1], [0, 1]]]
    >>> mean_matched_cosine(starts).round(3).tolist()
    [0.927, 0.927, 0.854]
    """
    count = len(programs)
    pairs = np.full((count, count), np.nan)
    for r in range(count):
        for s in range(r):
            pairs[r, s] = pairs[s, r] = matched_cosine(programs[r], programs[s]).mean()
    if count < 2:
        return np.full(count, np.nan)
    means: FloatArray = np.nanmean(pairs, axis=1)
    return means


def co_assignment(labels: npt.ArrayLike) -> FloatArray:
    """Return how often each two observations have the same main program.

    C[i, j] is the share of the starts in which i and j use the same program most. It needs n x n
    numbers: give it a sample of the observations when there are many.

    Parameters
    ----------
    labels : R x n
        The program that each observation uses most, per start.

    Returns
    -------
    ndarray, n x n
        Symmetric, 1 on the diagonal.

    References
    ----------
    Monti et al. (2003), Machine Learning 52, 91; Brunet et al. (2004), PNAS 101, 4164.

    Examples
    --------
    >>> co_assignment([[0, 0, 1], [1, 0, 0]]).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
    """
    runs = np.asarray(labels)
    if runs.ndim != 2 or runs.size == 0:
        raise UsageError(f"labels must be starts x observations, not of shape {runs.shape}")
    together = np.zeros((runs.shape[1], runs.shape[1]))
    for run in runs:
        together += run[:, None] == run[None, :]
    together /= runs.shape[0]
    return together


def dispersion(consensus: npt.ArrayLike) -> float:
    """Return how far a consensus matrix is from undecided.

    rho = 1/n^2 sum_ij 4 (C_ij - 1/2)^2: 1 if every pair of observations is always or never
    together, 0 if each is so in half of the starts.

    Parameters
    ----------
    consensus : n x n
        See `co_assignment`.

    Returns
    -------
    float
        From 0 to 1.

    References
    ----------
    Kim & Park (2007), Bioinformatics 23, 1495.

    Examples
    --------
    >>> dispersion([[1.0, 0.0], [0.0, 1.0]]), dispersion([[1.0, 0.5], [0.5, 1.0]])
    (1.0, 0.5)
    """
    matrix = np.asarray(consensus, np.float64)
    return float(np.mean(4.0 * (matrix - 0.5) ** 2))


def cophenetic_correlation(consensus: npt.ArrayLike) -> float:
    """Return how tree-like a consensus matrix is.

    The correlation, over all pairs of observations, of the distance 1 - C_ij with the height at
    which an average-linkage tree of these distances joins i and j.

    Parameters
    ----------
    consensus : n x n
        See `co_assignment`.

    Returns
    -------
    float
        At most 1; NaN if all pairs are alike, as with one program or fewer than three observations.

    References
    ----------
    Brunet et al. (2004), PNAS 101, 4164.

    Examples
    --------
    >>> C = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> round(cophenetic_correlation(C), 12)
    1.0
    """
    from scipy.cluster.hierarchy import cophenet, is_valid_linkage, linkage

    matrix = np.asarray(consensus, np.float64)
    distances = 1.0 - matrix[np.triu_indices(matrix.shape[0], 1)]
    if distances.size < 2 or np.ptp(distances) == 0:
        return float("nan")
    tree = linkage(distances, "average")
    if not is_valid_linkage(tree):
        # among ties, rounding put a branch above the joint that holds it: break the ties
        noise = np.random.default_rng(0).uniform(0.0, _UNTIE, distances.size)
        tree = linkage(distances + noise, "average")
    heights = cophenet(tree)
    distances = distances - distances.mean()
    heights = heights - heights.mean()
    scale = np.sqrt(np.sum(distances**2) * np.sum(heights**2))
    return float(np.sum(distances * heights) / scale) if scale > 0 else float("nan")


def _unit_rows(programs: npt.ArrayLike) -> FloatArray:
    """Return the programs as rows of length 1; rows of zeros stay."""
    rows = np.asarray(programs, np.float64)
    lengths = np.sqrt(np.sum(rows * rows, axis=-1, keepdims=True))
    unit: FloatArray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
