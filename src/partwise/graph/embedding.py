"""Two-dimensional views of a sample of rows, for pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError
from partwise.utils.optional import require

__all__ = ["pca", "umap"]


def pca(X: npt.ArrayLike, n_components: int = 2) -> npt.NDArray[np.float64]:
    """Project rows on their leading principal components.

    The components are the eigenvectors v of the covariance of the columns with the largest
    eigenvalues; scores are (x - mean) v. The sign of each is fixed: its largest entry is positive.

    Parameters
    ----------
    X
        Finite values, n x p.
    n_components
        How many components; those beyond the p that exist are zero.

    Returns
    -------
    numpy.ndarray
        Scores, n x n_components.

    Raises
    ------
    DataError
        If there are no rows or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> pca(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]), n_components=1).ravel().tolist()
    [-2.0, 0.0, 2.0]
    """
    values = _checked(X)
    values = values - values.mean(axis=0)
    n, p = values.shape
    if p <= n:
        spectrum, axes = np.linalg.eigh(values.T @ values)
    else:
        # With fewer rows than columns the small side is that of the rows.
        spectrum, left = np.linalg.eigh(values @ values.T)
        axes = values.T @ left / np.sqrt(np.maximum(spectrum, 1e-300))
    count = min(n_components, axes.shape[1])
    axes = axes[:, ::-1][:, :count]
    top = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[top, np.arange(count)] < 0, -1.0, 1.0)
    scores = np.zeros((n, n_components))
    scores[:, :count] = values @ axes
    return scores


def umap(
    X: npt.ArrayLike,
    n_components: int = 2,
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    random_state: int = 0,
) -> npt.NDArray[np.float64]:
    """Embed rows by UMAP, on one thread so that a seed gives one picture.

    Parameters
    ----------
    X
        Finite values, n x p.
    n_components
        Dimensions of the embedding.
    n_neighbors, min_dist
        UMAP's own parameters; at most n - 1 neighbours are used.
    random_state
        Seed.

    Returns
    -------
    numpy.ndarray
        Coordinates, n x n_components.

    Raises
    ------
    MissingDependencyError
        If umap-learn is not installed: ``pip install partwise[umap]``.
    DataError
        If there are no rows or values are not finite.

    Notes
    -----
    McInnes, Healy and Melville, "UMAP: Uniform Manifold Approximation and Projection for Dimension
    Reduction", arXiv:1802.03426 (2018). Distances in such a picture are not distances in the data.
    """
    values = _checked(X)
    library: Any = require("umap", "umap")
    if values.shape[0] < n_components + 3:
        # Too few rows for a spectral start; their principal components say all there is to say.
        return pca(values, n_components)
    reducer = library.UMAP(
        n_components=n_components,
        n_neighbors=max(2, min(n_neighbors, values.shape[0] - 1)),
        min_dist=min_dist,
        random_state=random_state,
        n_jobs=1,
    )
    return np.asarray(reducer.fit_transform(values.astype(np.float32)), dtype=np.float64)


def _checked(X: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] == 0:
        raise DataError(f"an embedding needs a table with rows; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("an embedding needs finite values")
    return values
