"""The error of a model at entries that its fit did not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import is_source
from partwise.factorize._masking import check_mask
from partwise.kernels.held_out import product_at, values_at
from partwise.matrix.masks import Deficits, Hidden
from partwise.matrix.thin import readable
from partwise.utils.threads import resolve_threads, run_tasks

__all__ = ["HeldOut", "held_out_error"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

#: Cells of the data that one task goes through.
_CELLS = 2**22
#: Predictions below this share of the mean held-out value count as that much: with the
#: Kullback-Leibler loss a prediction of 0 for a positive value would be infinitely wrong.
_FLOOR = 1e-6
LOSSES = ("frobenius", "kullback-leibler")


@dataclass(frozen=True)
class HeldOut:
    """The error of a model at hidden entries whose values are known.

    Attributes
    ----------
    error
        Squared error, or Poisson deviance, summed over the entries.
    baseline
        The same of the model without programs: zeros for the squared error; for the deviance,
        the mean of the held-out values everywhere.
    n
        Number of entries.
    """

    error: float
    baseline: float
    n: int

    @property
    def relative(self) -> float:
        """Return sqrt(error / baseline): 0 is exact, 1 is no better than the baseline."""
        return float(np.sqrt(self.error / self.baseline)) if self.baseline > 0 else float("nan")


def held_out_error(
    X: Any,
    mask: Any,
    usage: npt.ArrayLike,
    programs: npt.ArrayLike,
    *,
    loss: str = "frobenius",
    n_threads: int | None = None,
) -> HeldOut:
    r"""Return how well a model predicts the entries that were hidden from its fit.

    .. math:: \sum_{(i, j) \in \text{mask}} (x_{ij} - w_i h_j)^2 \quad\text{or}\quad
       2 \sum_{(i, j) \in \text{mask}} x_{ij} \log \frac{x_{ij}}{w_i h_j} - x_{ij} + w_i h_j

    Only the entries of the mask are looked at, so that sparse data stay sparse.

    Parameters
    ----------
    X : array, sparse matrix or block source, n x p
        The data with the values of the hidden entries; entries that are NaN are left out.
    mask : bool array, sparse matrix or Speckle
        The hidden entries, as they were given to the fit.
    usage : array, n x k
        Usage, fitted with the mask.
    programs : array, k x p
        Programs, fitted with the mask.
    loss : {"frobenius", "kullback-leibler"}
        Squared error or Poisson deviance.
    n_threads : int, optional
        Threads; by default $PARTWISE_NUM_THREADS, else all CPUs of the process.

    Returns
    -------
    HeldOut
        Error, baseline and number of entries.

    Raises
    ------
    DataError
        If no entry of the mask has a value, or a value is infinite, or negative with the
        Kullback-Leibler loss.
    UsageError
        If shapes differ or `loss` is unknown.

    References
    ----------
    Wold (1978), Technometrics 20; Owen & Perry (2009), Annals of Applied Statistics 3.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import NMF, Speckle
    >>> from partwise.factorize import held_out_error
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((200, 3)) @ rng.random((3, 30))
    >>> mask = Speckle(0.1, seed=0)
    >>> model = NMF(3, random_state=0)
    >>> usage = model.fit_transform(X, mask=mask)
    >>> held = held_out_error(X, mask, usage, model.components_)
    >>> held.error < 0.01 * held.baseline
    True
    """
    if loss not in LOSSES:
        raise UsageError(f"loss must be one of {LOSSES}, not {loss!r}")
    if not is_source(X):
        X = X.tocsr() if sp.issparse(X) else np.asarray(X)
    n, p = X.shape
    w = np.ascontiguousarray(usage, np.float64)
    h = np.ascontiguousarray(np.asarray(programs, np.float64).T)
    if w.ndim != 2 or h.ndim != 2 or w.shape[0] != n or h.shape != (p, w.shape[1]):
        raise UsageError(
            f"the data are {n} x {p}: usage must be {n} x k and programs k x {p}, not "
            f"{np.shape(usage)} and {np.shape(programs)}"
        )
    hidden = Hidden([check_mask(mask, (n, p))])
    known = _each(X, hidden, (w, h), _seen_values, resolve_threads(n_threads))
    count = sum(len(x) for x, _ in known)
    if count == 0:
        raise DataError("the mask hides no entry whose value is known: there is nothing to predict")
    mean = sum(float(x.sum()) for x, _ in known) / count
    if loss == "frobenius":
        return HeldOut(
            error=sum(float(np.sum(np.square(x - y))) for x, y in known),
            baseline=sum(float(np.sum(np.square(x))) for x, _ in known),
            n=count,
        )
    if any((x < 0).any() for x, _ in known):
        raise DataError("held-out values are negative: the Kullback-Leibler loss is for counts")
    least = _FLOOR * mean if mean > 0 else _FLOOR
    return HeldOut(
        error=sum(_deviance(x, np.maximum(y, least)) for x, y in known),
        baseline=sum(_deviance(x, np.full_like(x, max(mean, least))) for x, _ in known),
        n=count,
    )


def _each(
    X: Any,
    hidden: Hidden,
    factors: tuple[Floats, Floats],
    of: Callable[..., tuple[Floats, Floats]],
    n_threads: int,
) -> list[tuple[Floats, Floats]]:
    """Return what `of` gives for the rows of the data, a few at a time, in order."""
    n, p = X.shape
    w, h = factors
    step = max(1, _CELLS // max(1, p))

    def task(start: int) -> tuple[Floats, Floats]:
        stop = min(n, start + step)
        listed = hidden.listed(start, stop, p)
        if not is_source(X):
            return of(X[start:stop], listed, w[start:stop], h)
        parts = [
            of(
                block,
                listed.part(a - start, a - start + block.shape[0]),
                w[a : a + block.shape[0]],
                h,
            )
            for a, block in X.blocks(start, stop)
        ]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    tasks = [partial(task, start) for start in range(0, n, step)]
    return run_tasks(1 if is_source(X) else n_threads, tasks)


def _seen_values(block: Any, entries: Deficits, w: Floats, h: Floats) -> tuple[Floats, Floats]:
    """Return the known values of the entries of a block, and what the model predicts."""
    size = entries.columns.size
    y = np.empty(size)
    indptr, columns = readable(entries.indptr), readable(entries.columns)
    product_at(indptr, columns, readable(w), readable(h), y)
    if sp.issparse(block):
        x = np.empty(size)
        values_at(
            np.asarray(block.indptr, np.int64), np.asarray(block.indices, np.int32),
            readable(_floating(block.data)), block.shape[1], indptr, columns, x,
        )  # fmt: skip
    else:
        rows = np.repeat(np.arange(block.shape[0]), np.diff(indptr))
        x = block[rows, columns].astype(np.float64)
    known = ~np.isnan(x)
    if np.isinf(x).any():
        raise DataError(
            "held-out values are infinite: leave them out of the mask, or make them NaN"
        )
    return x[known], y[known]


def _floating(values: Array) -> Array:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _deviance(x: Floats, y: Floats) -> float:
    positive = x > 0
    return 2.0 * float(
        np.sum(y) - np.sum(x) + np.sum(x[positive] * np.log(x[positive] / y[positive]))
    )
