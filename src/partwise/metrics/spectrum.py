"""How many components stand out of the noise: the spectrum of the data beside a permuted one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.matrix.matrix import DataMatrix
from partwise.solvers.init import singular_vectors
from partwise.utils.threads import run_tasks, single_thread_blas

__all__ = ["Spectrum", "permutation_spectrum", "permuted"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

#: Values of a dense block that are ordered at a time.
_CELLS = 2**22


@dataclass(frozen=True)
class Spectrum:
    """Singular values of the data and of the data with each column permuted.

    Attributes
    ----------
    values
        Leading singular values of X, from the largest.
    null
        The same of each permutation, permutations x components.
    """

    values: FloatArray
    null: FloatArray

    @property
    def threshold(self) -> FloatArray:
        """What a component must exceed: the largest value of its place in the permutations."""
        highest: FloatArray = self.null.max(axis=0)
        return highest

    @property
    def n_above(self) -> int:
        """Number of components above noise.

        The first component is the mean profile, which permuting the columns keeps; it always
        counts. Of the others those count that exceed the threshold, up to the first that does not.
        """
        below = np.flatnonzero(self.values[1:] <= self.threshold[1:])
        return int(below[0]) + 1 if below.size else len(self.values)

    @property
    def truncated(self) -> bool:
        """Whether the last value that was computed is still above noise."""
        return self.n_above == len(self.values)


def permutation_spectrum(
    X: Any, n_components: int, *, n_permutations: int, seed: int, n_threads: int
) -> Spectrum:
    """Compare the singular values of X with those of noise of the same columns (parallel analysis).

    The values of each column are permuted on their own, which keeps what every feature looks like
    and destroys what they have in common. Data are neither centred nor scaled, as the factorization
    sees them.

    Parameters
    ----------
    X : ndarray or CSR matrix, n x p
        The data.
    n_components
        Leading singular values to compute, at most min(n, p).
    n_permutations
        Permutations; with m of them a component of noise exceeds the largest of its place with
        probability 1 / (m + 1).
    seed
        Seed of the permutations and of the randomized SVD.
    n_threads
        Threads; the bits do not depend on it.

    Returns
    -------
    Spectrum
        The values and those of the permutations.

    References
    ----------
    Horn (1965), Psychometrika 30, 179; Buja & Eyuboglu (1992), Multivariate Behavioral Research 27,
    509 (permutations); Halko, Martinsson & Tropp (2011), SIAM Review 53, 217 (randomized SVD).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((200, 3)) @ rng.random((3, 40)) + 0.1 * rng.random((200, 40))
    >>> permutation_spectrum(X, 8, n_permutations=4, seed=0, n_threads=1).n_above
    3
    """
    dtype = np.dtype(X.dtype)
    seeds = np.random.SeedSequence(seed).spawn(n_permutations + 1)

    def values(which: int) -> FloatArray:
        rng = np.random.default_rng(seeds[which])
        data = permuted(X, rng) if which else X
        # one thread: several of them run at a time
        matrix = DataMatrix(data, n_components, dtype=dtype, n_threads=1)
        found: FloatArray = singular_vectors(matrix, n_components, rng)[1]
        return found

    with single_thread_blas():
        found = run_tasks(n_threads, [partial(values, i) for i in range(n_permutations + 1)])
    return Spectrum(found[0], np.stack(found[1:]))


def permuted(X: Any, rng: np.random.Generator) -> Any:
    """Return X with the entries of each column, zeros included, in an order of its own.

    Examples
    --------
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> sorted(permuted(X, np.random.default_rng(0))[:, 0].tolist())
    [0.0, 2.0, 4.0]
    """
    if sp.issparse(X):
        return _permuted_sparse(X, rng)
    n, p = X.shape
    out = np.empty((n, p), X.dtype)
    width = max(1, _CELLS // n)
    for first in range(0, p, width):
        block = np.array(X[:, first : first + width], order="F")
        out[:, first : first + width] = rng.permuted(block, axis=0)
    return out


def _permuted_sparse(X: Any, rng: np.random.Generator) -> Any:
    """Give the non-zeros of each column new rows, drawn without replacement."""
    n = X.shape[0]
    columns = sp.csc_matrix(X)
    starts = columns.indptr
    rows = np.empty(columns.nnz, np.int32)
    for j in np.flatnonzero(np.diff(starts)):
        first, last = int(starts[j]), int(starts[j + 1])
        rows[first:last] = rng.choice(n, last - first, replace=False, shuffle=True)
    moved = sp.csc_matrix((columns.data, rows, starts), shape=X.shape)
    moved.has_sorted_indices = False
    return moved.tocsr()
