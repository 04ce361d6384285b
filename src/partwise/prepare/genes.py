"""Choose the genes that vary more than their mean explains."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import DataError, UsageError
from partwise.matrix.moments import column_moments

__all__ = ["Overdispersed", "overdispersed_genes"]

Floats = npt.NDArray[np.float64]

#: The genes of highest mean that bound the part of the variance that is proportional to mean^2.
_HIGHEST = 20
#: Quantiles of mean and of Fano factor within which a gene counts as ordinary.
_ORDINARY = (0.1, 0.9)


@dataclass(frozen=True)
class Overdispersed:
    """Genes by how much their variance exceeds what is expected at their mean.

    Attributes
    ----------
    selected
        Whether each gene was chosen, p.
    score
        Fano factor / expected Fano factor, p; NaN for genes that are zero everywhere.
    mean, fano, expected
        Mean, variance / mean, and a^2 mean + b^2, p.
    a, b
        Coefficient of variation of the steadiest of the genes of highest mean; square root of the
        median Fano factor of the ordinary genes.
    threshold
        The score above which genes were chosen; None where their number was given.
    """

    selected: npt.NDArray[np.bool_]
    score: Floats
    mean: Floats
    fano: Floats
    expected: Floats
    a: float
    b: float
    threshold: float | None

    @property
    def indices(self) -> npt.NDArray[np.intp]:
        """Numbers of the chosen genes, in the order of the columns."""
        return np.flatnonzero(self.selected)

    @property
    def parameters(self) -> dict[str, Any]:
        """The record of the step, as plain values."""
        return {
            "step": "overdispersed_genes",
            "n_genes": int(self.selected.sum()),
            "a": self.a,
            "b": self.b,
            "threshold": self.threshold,
        }


def overdispersed_genes(
    X: Any, *, n_genes: int | None = 2000, min_mean: float = 0.5
) -> Overdispersed:
    r"""Score genes by their variance relative to what is expected at their mean, and choose.

    With mean m_j and Fano factor f_j = v_j / m_j of gene j, the score is

    .. math:: f_j / (a^2 m_j + b^2)

    where a is the smallest coefficient of variation among the 20 genes of highest mean, and b^2 the
    median Fano factor of the genes whose mean and Fano factor are both within the 10 % and 90 %
    quantiles.

    Parameters
    ----------
    X : array or sparse matrix, n x p
        Counts normalised by `normalize_total`, cells x genes; cNMF takes transcripts per million.
        Not logarithms.
    n_genes : int, optional
        Choose so many of the highest score (of equal ones the first), fewer if fewer genes are
        expressed. None: choose all with a score above 1 + the standard deviation of the ordinary
        genes' Fano factors and a mean above `min_mean`.
    min_mean : float
        Used only where `n_genes` is None.

    Returns
    -------
    Overdispersed
        The choice, and what led to it.

    Raises
    ------
    DataError
        If X has negative, missing or infinite values, or no gene is expressed.
    UsageError
        If a parameter cannot be used.

    References
    ----------
    Kotliar et al. (2019), eLife 8:e43803; Klein et al. (2015), Cell 161 (the noise model).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.prepare import overdispersed_genes
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(5.0, size=(300, 40)).astype(float)
    >>> X[:150, 7] *= 6.0
    >>> overdispersed_genes(X, n_genes=1).indices.tolist()
    [7]
    """
    if n_genes is not None and (
        isinstance(n_genes, bool) or not isinstance(n_genes, numbers.Integral) or n_genes < 1
    ):
        raise UsageError(f"n_genes must be a whole number from 1 up, or None, not {n_genes!r}")
    moments = column_moments(X)
    mean, p = moments.mean, len(moments.mean)
    there = mean > 0
    if not there.any():
        raise DataError("no gene is expressed: all values are zero")
    fano = np.divide(moments.variance, mean, out=np.full(p, np.nan), where=there)
    highest = np.argsort(-mean, kind="stable")[:_HIGHEST]
    highest = highest[there[highest]]
    a = float((np.sqrt(moments.variance[highest]) / mean[highest]).min())
    ordinary = _ordinary(mean, fano)
    # with a handful of genes none may lie inside both ranges
    b2 = float(np.median(fano[ordinary] if ordinary.any() else fano[there]))
    expected = a * a * mean + b2
    score = np.divide(fano, expected, out=np.full(p, np.nan), where=there & (expected > 0))
    threshold = None
    if n_genes is not None:
        selected = np.zeros(p, bool)
        best = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[: int(n_genes)]
        selected[best] = np.isfinite(score[best])
    else:
        spread = float(np.std(fano[ordinary], ddof=1)) if ordinary.sum() > 1 else 0.0
        threshold = 1.0 + spread
        selected = (np.nan_to_num(score, nan=-np.inf) > threshold) & (mean > min_mean)
    return Overdispersed(selected, score, mean, fano, expected, a, float(np.sqrt(b2)), threshold)


def _ordinary(mean: Floats, fano: Floats) -> npt.NDArray[np.bool_]:
    """Return which genes lie strictly inside the quantiles of both mean and Fano factor.

    Means are of all genes, Fano factors of those that are expressed.
    """
    low, high = np.quantile(mean, _ORDINARY)
    least, most = np.nanquantile(fano, _ORDINARY)
    inside: npt.NDArray[np.bool_] = (fano > least) & (fano < most) & (mean > low) & (mean < high)
    return inside
