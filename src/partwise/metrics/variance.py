"""How many directions the data vary in: the spectrum of the centred values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.matrix.matrix import DataMatrix
from partwise.utils.random import generator
from partwise.utils.threads import single_thread_blas

__all__ = ["VarianceSpectrum", "variance_spectrum"]

Floats = npt.NDArray[np.float64]

#: Up to so many features the spectrum is exact and complete, from the covariance.
_FEW = 512
#: Rows that are summed together, wherever the blocks of a file end.
_ROWS = 4096
#: Random directions beyond those asked for, and rounds that sharpen them.
_MORE, _ROUNDS = 10, 8
#: Shares below this are rounding.
_NEGLIGIBLE = 1e-13


@dataclass(frozen=True)
class VarianceSpectrum:
    """Singular values of X with the mean of each column taken away.

    Attributes
    ----------
    values
        Singular values, the largest first.
    total
        Sum of the squares of all of them: n times the variance of the columns.
    n_features
        Columns of X.
    """

    values: Floats
    total: float
    n_features: int

    @property
    def shares(self) -> Floats:
        """Share of the variance that each component explains; zeros if nothing varies."""
        total = self.total if self.total > 0 else 1.0
        explained: Floats = np.square(self.values) / total
        return explained

    @property
    def complete(self) -> bool:
        """Whether these are all components, not the leading ones only."""
        return self.total == 0 or float(self.shares.sum()) > 1 - 1e-9

    def components_for(self, share: float) -> int | None:
        """Return how many components explain a share of the variance; None if more than known.

        Examples
        --------
        >>> VarianceSpectrum(np.array([3.0, 1.0]), 10.0, 2).components_for(0.95)
        2
        """
        reached = np.cumsum(self.shares) >= share * (1 - 1e-12)
        if self.total == 0:
            return 0
        if reached.any():
            return int(reached.argmax()) + 1
        return len(self.values) if self.complete else None


def variance_spectrum(
    X: Any, *, n_components: int = 50, random_state: int = 0, n_threads: int = 1
) -> VarianceSpectrum:
    """Compute the singular values of X with the mean of each column taken away.

    With column means m, these are the square roots of the eigenvalues of

        C = (X - 1 m^T)^T (X - 1 m^T).

    Up to 512 features C itself is formed in float64, block by block, so that all values are exact;
    with more the leading ones are found by power iterations from random directions, which touch X
    by products only. Either way the rows may be on disk, and sparse ones stay sparse.

    Parameters
    ----------
    X : array, CSR matrix or block source, n x p
        Finite values.
    n_components
        Values to compute where there are more than 512 features; with fewer, all.
    random_state
        Seed of the random directions.
    n_threads
        Threads; the bits do not depend on it.

    Returns
    -------
    VarianceSpectrum
        The values, and the total variance.

    Raises
    ------
    UsageError
        If no component is asked for.
    DataError
        If there are no rows.

    References
    ----------
    Halko, Martinsson & Tropp (2011), SIAM Review 53, 217.

    Examples
    --------
    >>> X = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> variance_spectrum(X).values.round(6).tolist()
    [2.828427, 0.0]
    """
    n, p = X.shape
    if n_components < 1:
        raise UsageError(f"n_components must be at least 1, not {n_components}")
    if n == 0:
        raise DataError("a spectrum needs at least one row")
    mean = np.zeros(p)
    for block in _panels(X):
        mean += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    mean /= n
    with single_thread_blas():
        if p <= _FEW:
            squares = _all_squares(X, mean)
            total = float(squares.sum())
        else:
            k = min(n_components, n, p)
            total = _total_variance(X, mean)
            squares = _leading_squares(X, mean, k, random_state, n_threads)
    squares = np.where(squares > _NEGLIGIBLE * max(total, 0.0), squares, 0.0)
    return VarianceSpectrum(np.sqrt(squares[: min(n, p)]), total, p)


def _all_squares(X: Any, mean: Floats) -> Floats:
    gram = np.zeros((mean.shape[0], mean.shape[0]))
    for block in _panels(X):
        centred = (block.toarray() if sp.issparse(block) else block) - mean
        gram += centred.T @ centred
    squares: Floats = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    return squares


def _total_variance(X: Any, mean: Floats) -> float:
    total = 0.0
    for block in _panels(X):
        if sp.issparse(block):
            gaps = block.data - mean[block.indices]
            total += float(np.square(gaps).sum())
            stored = np.bincount(block.indices, minlength=mean.shape[0])
            total += float(((block.shape[0] - stored) * np.square(mean)).sum())
        else:
            total += float(np.square(block - mean).sum())
    return total


def _leading_squares(X: Any, mean: Floats, k: int, random_state: int, n_threads: int) -> Floats:
    n, p = X.shape
    width = min(k + _MORE, n, p)
    matrix = DataMatrix(X, width, dtype=np.dtype(X.dtype), n_threads=n_threads)
    scale = 2.0**matrix.exponent
    centre = mean / scale
    basis = np.linalg.qr(generator(random_state).standard_normal((p, width)))[0]
    for _ in range(_ROUNDS):
        flat = matrix.multiply_normal(matrix.thin(p, width, basis), width)
        back = flat.reshape(p, matrix.stride(width))[:, :width].astype(np.float64)
        back -= n * np.outer(centre, centre @ basis)
        found = np.linalg.eigvalsh(basis.T @ back)
        basis = np.linalg.qr(back)[0]
    squares: Floats = np.maximum(found[::-1][:k], 0.0) * scale * scale
    return squares


def _panels(X: Any) -> Iterator[Any]:
    """Yield rows of X, the same number each time but the last, wherever its blocks end."""
    n = X.shape[0]
    if not hasattr(X, "blocks"):
        for first in range(0, n, _ROWS):
            yield X[first : first + _ROWS]
        return
    waiting: list[Any] = []
    count = 0
    for _, block in X.blocks(0, n):
        waiting.append(block)
        count += block.shape[0]
        if count >= _ROWS:
            joined = _join(waiting)
            whole = count // _ROWS * _ROWS
            for first in range(0, whole, _ROWS):
                yield joined[first : first + _ROWS]
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield _join(waiting)


def _join(blocks: list[Any]) -> Any:
    if len(blocks) == 1:
        return blocks[0]
    return sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)
