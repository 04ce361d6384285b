"""Programs of all genes from the usage of a fit: least squares, z-scores, top genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import check_count
from partwise.kernels import nnls
from partwise.matrix.moments import as_matrix, column_moments, row_blocks
from partwise.matrix.problem import RIDGE
from partwise.utils.threads import single_thread_blas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gene_scores", "refit_programs", "top_genes"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

#: Least variance that a gene's values are divided by, as in cNMF.
_LEAST_VARIANCE = 1e-12


def refit_programs(X: Any, usage: npt.ArrayLike) -> Floats:
    r"""Return the non-negative programs of any genes that fit a given usage best.

    .. math:: \min_{P \ge 0} \|X - W P\|^2

    solved exactly, gene by gene. With counts in transcripts per million and the usage of a fit to
    chosen, scaled genes, it says what the programs are in all genes and in their own units.

    Parameters
    ----------
    X : array, sparse matrix or block source, n x q
        Non-negative expression of the same cells, of any genes in any unit.
    usage : array-like, n x k
        Usage of the programs; rows that sum to 1 give programs in the unit of X.

    Returns
    -------
    ndarray, k x q
        Programs.

    Raises
    ------
    UsageError
        If the shapes do not fit.
    DataError
        If X has negative, missing or infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.factorize import refit_programs
    >>> usage = np.array([[1.0, 0], [0, 1], [0.5, 0.5]])
    >>> refit_programs(usage @ np.array([[3.0, 0, 1], [0, 2, 1]]), usage).round(6).tolist()
    [[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]]
    """
    matrix = as_matrix(X)
    W = _check_usage(usage, matrix.shape[0])
    k, q = W.shape[1], matrix.shape[1]
    with single_thread_blas():
        gram = W.T @ W
        cross = np.ascontiguousarray(_times(matrix, W))  # q x k
    diagonal = np.diag(gram)
    # as for the usage of a fit: the solution is unique even if usages are linearly dependent
    gram = gram + np.diag(np.where(diagonal > 0, RIDGE["float64"] * diagonal, 1.0))
    programs = np.zeros(q * k)
    # the support to begin with: where the unconstrained solution is positive
    programs.reshape(q, k)[:] = np.maximum(np.linalg.solve(gram, cross.T).T, 0.0)
    nnls.pivot(gram, np.zeros(k), cross.ravel(), programs, 0, 0, q, k, k)
    return np.ascontiguousarray(programs.reshape(q, k).T)


def gene_scores(X: Any, usage: npt.ArrayLike) -> Floats:
    r"""Return how strongly each gene goes with each program, in units of its standard deviation.

    The coefficients of an ordinary least squares regression, without intercept, of each gene's
    z-scored expression on the usage of all programs:

    .. math:: \arg\min_B \|Z - W B\|^2, \qquad z_{ij} = (x_{ij} - m_j) / s_j

    A gene scores high for a program if cells express it more than the other programs account for.
    Z is never formed, so a sparse X stays sparse.

    Parameters
    ----------
    X : array, sparse matrix or block source, n x q
        Non-negative expression of the cells, of any genes; cNMF takes transcripts per million.
    usage : array-like, n x k
        Usage of the programs.

    Returns
    -------
    ndarray, k x q
        Scores; 0 for genes with one value in all cells.

    Raises
    ------
    UsageError
        If the shapes do not fit.
    DataError
        If X has negative, missing or infinite values.

    References
    ----------
    Kotliar et al. (2019), eLife 8:e43803.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.factorize import gene_scores
    >>> usage = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> scores = gene_scores(np.array([[9.0], [8], [0], [1]]), usage)
    >>> bool(scores[0, 0] > 0 > scores[1, 0])
    True
    """
    matrix = as_matrix(X)
    W = _check_usage(usage, matrix.shape[0])
    moments = column_moments(matrix)
    with single_thread_blas():
        # W^T (X - 1 m^T) without the dense difference
        cross = _times(matrix, W).T - np.outer(W.sum(axis=0), moments.mean)
        cross /= np.sqrt(np.maximum(moments.variance, _LEAST_VARIANCE))
        cross[:, moments.variance <= _LEAST_VARIANCE] = 0.0
        scores = np.linalg.lstsq(W.T @ W, cross, rcond=None)[0]
    return np.asarray(scores, np.float64)


def _check_usage(usage: npt.ArrayLike, n: int) -> Floats:
    W = np.asarray(usage, np.float64)
    if W.ndim != 2 or W.shape[0] != n:
        raise UsageError(
            f"the usage must have a row for each of the {n} rows of X, not shape {W.shape}"
        )
    if not (np.isfinite(W).all() and (W >= 0).all()):
        raise DataError("the usage has negative, missing or infinite values")
    return W


def _times(matrix: Any, W: Floats) -> Floats:
    """Return X^T W, q x k, summed in float64; a bounded number of rows is copied at a time."""
    product = np.zeros((matrix.shape[1], W.shape[1]))
    for first, block in row_blocks(matrix):
        rows = W[first : first + block.shape[0]]
        product += np.asarray(block.T.astype(np.float64) @ rows)
    return product


def top_genes(scores: npt.ArrayLike, genes: Sequence[str], *, n: int = 50) -> pd.DataFrame:
    """Return the genes of highest score for each program.

    Parameters
    ----------
    scores : array-like, k x q
        Scores of `gene_scores`.
    genes : sequence of str
        Names of the q genes.
    n : int
        Genes per program, fewer if there are fewer.

    Returns
    -------
    pandas.DataFrame
        A column per program (`program_1`, ...), the genes from high to low; the index counts
        from 1. Of equal scores the first gene comes first.

    Raises
    ------
    UsageError
        If the numbers of genes and names differ.

    Examples
    --------
    >>> from partwise.factorize import top_genes
    >>> top_genes([[0.1, 2.0, 1.0]], ["A", "B", "C"], n=2)["program_1"].tolist()
    ['B', 'C']
    """
    import pandas as pd

    values = np.asarray(scores, np.float64)
    count = check_count(n, "n")
    if values.ndim != 2 or values.shape[1] != len(genes):
        raise UsageError(f"there are {len(genes)} names of genes for scores {values.shape}")
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    table = {f"program_{t + 1}": [genes[j] for j in row] for t, row in enumerate(order)}
    return pd.DataFrame(table, index=pd.RangeIndex(1, order.shape[1] + 1, name="rank"))
