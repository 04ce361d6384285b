"""Fits under the Kullback-Leibler loss: from checked counts to what the user gets."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise import __version__
from partwise.exceptions import DataError, UsageError
from partwise.factorize._checks import check_start
from partwise.factorize._masking import warn_unseen
from partwise.factorize._scale import times_power
from partwise.matrix.counts import CountMatrix, CountStream
from partwise.matrix.masks import Hidden
from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows
from partwise.objectives import Penalties
from partwise.results import Factorization
from partwise.solvers.init import initialize
from partwise.solvers.kl import CountOutcome, CountSettings, fit_counts, project
from partwise.solvers.kl_stream import fit_stream

__all__ = [
    "CountFit",
    "Start",
    "check_sizes",
    "check_some",
    "count_matrix",
    "exponent_of_counts",
    "fit",
    "in_scale",
    "project_counts",
    "record_counts",
    "warn_hidden",
]

Array = npt.NDArray[Any]
Callback = Callable[[int, float], None]

#: Least values of starts from singular vectors, relative to those of random ones.
_LEAST_START = {"nndsvd": 0.01, "nndsvda": 0.1}
#: Counts are scaled if their mean non-zero lies outside 2^-r to 2^r.
_RANGE = 20


@dataclass(frozen=True)
class CountFit:
    """A fit as the user gets it: usage (n x k), programs (k x p), record, deviance."""

    usage: Array
    programs: Array
    result: Factorization
    deviance: float


@dataclass(frozen=True)
class Start:
    """How fits start: `init` for the first of `n_init`, random after; W and H where given."""

    init: str
    n_init: int
    usage: Array | None = None
    programs: Array | None = None


def check_sizes(size_factors: object, n: int) -> npt.NDArray[np.float64]:
    """Return one size factor per row; ones where none are given.

    Raises
    ------
    UsageError
        If they are not n numbers above zero.
    """
    if size_factors is None:
        return np.ones(n)
    try:
        sizes = np.asarray(size_factors, np.float64)
    except (TypeError, ValueError):
        raise UsageError("size_factors must be numbers, one per row") from None
    if sizes.shape != (n,):
        raise UsageError(f"size_factors must be one number for each of the {n} rows")
    bad = ~(np.isfinite(sizes) & (sizes > 0))
    if bad.any():
        raise UsageError(
            f"size_factors must be finite and above zero; that of row {int(np.argmax(bad))} is "
            f"{sizes[np.argmax(bad)]:g} ({int(bad.sum())} such rows): leave empty rows out"
        )
    return sizes


def count_matrix(X: Any, hidden: Hidden | None, n_threads: int) -> CountMatrix | CountStream:
    """Return counts in memory, or read panel by panel if X is a block source."""
    settings: dict[str, Any] = {"dtype": X.dtype, "n_threads": n_threads, "hidden": hidden}
    return CountStream(X, **settings) if hasattr(X, "blocks") else CountMatrix(X, **settings)


def fit(
    X: Any,
    hidden: Hidden,
    settings: CountSettings,
    start: Start,
    rng: np.random.Generator,
    *,
    seed: object,
    n_threads: int,
    callback: Callback | None,
) -> CountFit:
    """Fit counts from one or several starts and keep the best.

    Raises
    ------
    DataError
        If everything is zero or hidden.
    """
    begun = time.perf_counter()
    k = settings.penalties.usage.l1.shape[0]
    matrix = count_matrix(X, hidden, n_threads)
    check_some(matrix)
    warn_hidden(matrix)
    power = exponent_of_counts(matrix)
    if power != 0:
        X = times_power(X, -power)
        matrix = count_matrix(X, hidden, n_threads)
        settings = replace(settings, penalties=in_scale(settings.penalties, power))
        if start.usage is not None:
            given = check_start(start.usage, (matrix.shape[0], k), "W")
            start = replace(start, usage=times_power(given, -power))
    unit = float(np.ldexp(1.0, power))
    heard = None if callback is None else lambda i, loss: callback(i, loss * unit)
    best: CountOutcome | None = None
    for number in range(start.n_init):
        usage, programs = _start(X, matrix, hidden, k, start, number, settings, rng)
        solve: Any = fit_counts if isinstance(matrix, CountMatrix) else fit_stream
        outcome = solve(matrix, usage, programs, settings, rng, heard)
        if best is None or outcome.loss[-1] < best.loss[-1]:
            best = outcome
    assert best is not None  # n_init >= 1
    stride = matrix.stride(k)
    usage = _unsized(thin_rows(best.usage, stride, k).copy(), settings)
    programs = np.ascontiguousarray(thin_rows(best.programs, stride, k).T)
    result = record_counts(
        matrix, best, programs, power, seed=seed, solver="newton", seconds=_since(begun)
    )
    return CountFit(times_power(usage, power), programs, result, best.deviance * unit)


def _since(begun: float) -> float:
    return time.perf_counter() - begun


def record_counts(
    matrix: CountMatrix | CountStream,
    outcome: CountOutcome,
    programs: Array,
    power: int,
    *,
    seed: object,
    solver: str,
    seconds: float,
) -> Factorization:
    """Return the record of a fit to data that were divided by 2^power."""
    null, unit = matrix.independent(), float(np.ldexp(1.0, power))
    return Factorization(
        usage=None,
        programs=programs,
        status=outcome.status,
        loss=np.asarray(outcome.loss, np.float64) * unit,
        relative_error=outcome.deviance / null if null > 0 else 0.0,
        explained=outcome.made / max(float(outcome.made.sum()), np.finfo(float).tiny),
        n_iter=outcome.n_iter,
        seed=int(seed) if isinstance(seed, numbers.Integral) else None,
        solver=solver,
        wall_time=seconds,
        version=__version__,
        details={**outcome.details, "deviance": outcome.deviance * unit},
    )


def exponent_of_counts(matrix: CountMatrix | CountStream) -> int:
    """Return the power of two by which counts are divided: 0 unless they are far from 1."""
    power = int(np.frexp(matrix.total / max(matrix.nonzeros, 1))[1])
    return power if abs(power) > _RANGE else 0


def in_scale(penalties: Penalties, power: int) -> Penalties:
    """Return the penalties for data divided by 2^power, the usage with them."""
    usage = penalties.usage.scaled(0, power)
    programs = penalties.programs.scaled(-power, -power)
    # weights that vanish beside the data leave lone ones, which were checked before
    return Penalties(usage, programs, np.ones(usage.l1.shape, bool))


def _start(
    X: Any,
    matrix: CountMatrix | CountStream,
    hidden: Hidden,
    k: int,
    start: Start,
    number: int,
    settings: CountSettings,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Return the flat thin factors of one start; the usage is times the size factors."""
    n, p = matrix.shape
    if start.programs is not None:
        programs = matrix.thin(p, k, check_start(start.programs, (k, p), "H").T)
        if start.usage is not None:
            usage = check_start(start.usage, (n, k), "W") * settings.sizes[:, None]
            return matrix.thin(n, k, usage), programs
        return _even(matrix, programs, k), programs
    if number > 0 or start.init == "random":
        scale = np.sqrt(matrix.total / (n * p) / k)
        usage = np.abs(rng.standard_normal((n, k)) * scale)
        return matrix.thin(n, k, usage), matrix.thin(
            p, k, np.abs(rng.standard_normal((p, k)) * scale)
        )
    usage, programs = singular_start(X, hidden, k, start.init, rng, matrix.n_threads)
    return matrix.thin(n, k, usage), matrix.thin(p, k, programs)


def singular_start(
    X: Any, hidden: Hidden, k: int, init: str, rng: np.random.Generator, n_threads: int
) -> tuple[Array, Array]:
    """Return usage (n x k) and programs (p x k) from the singular vectors of the counts.

    Nothing starts at zero, as an entry of both factors that does would stay there: values are
    raised to a share of sqrt(mean(X) / k), what random starts have.
    """
    data = DataMatrix(X, k, dtype=np.dtype(X.dtype), n_threads=n_threads, hidden=hidden)
    flat = initialize(data, k, "nndsvd" if init == "nndsvda" else init, rng)
    least = _LEAST_START.get(init, 0.0) * np.sqrt(max(data.mean, 0.0) / k)
    stride = data.stride(k)
    usage, programs = (np.maximum(thin_rows(f, stride, k), f.dtype.type(least)) for f in flat)
    return usage, programs


def _even(matrix: CountMatrix | CountStream, programs: Array, k: int) -> Array:
    """Return a usage that gives each row its total, evenly over the programs."""
    sums = thin_rows(programs, matrix.stride(k), k).sum(axis=0, dtype=np.float64)
    even = np.divide(1.0, k * sums, out=np.zeros(k), where=sums > 0)
    return matrix.thin(matrix.shape[0], k, np.outer(matrix.row_totals, even))


def _unsized(usage: Array, settings: CountSettings) -> Array:
    """Return the usage without the size factors."""
    if (settings.sizes == 1).all():
        return usage
    divided: Array = (usage / settings.sizes[:, None]).astype(usage.dtype)
    return divided


def project_counts(
    X: Any,
    hidden: Hidden,
    programs: Array,
    penalties: Penalties,
    sizes: npt.NDArray[np.float64],
    n_threads: int,
) -> tuple[Array, float, float]:
    """Return the usage of given programs (k x p) by new counts, its deviance, that of rank one."""
    k = programs.shape[0]
    matrix = count_matrix(X, hidden, n_threads)
    warn_unseen(int(matrix.rows_hidden.sum()))
    power = exponent_of_counts(matrix)
    if power != 0:
        matrix = count_matrix(times_power(X, -power), hidden, n_threads)
        penalties = in_scale(penalties, power)
    settings = CountSettings(0.0, 1, penalties, sizes)
    flat = matrix.thin(matrix.shape[1], k, programs.T)
    usage = np.zeros((matrix.shape[0], k), matrix.dtype)
    deviance = 0.0
    for start, panel in matrix.panels():
        w, part = project(panel, flat, settings, k, start)
        usage[start : start + panel.shape[0]] = thin_rows(w, matrix.stride(k), k)
        deviance += part
    unit = float(np.ldexp(1.0, power))
    usage = times_power(_unsized(usage, settings), power)
    return usage, deviance * unit, matrix.independent() * unit


def check_some(matrix: CountMatrix | CountStream) -> None:
    """Refuse counts that are all zero or hidden."""
    if matrix.total <= 0:
        raise DataError(
            f"all {matrix.shape[0]} x {matrix.shape[1]} counts are zero or hidden: the "
            "Kullback-Leibler loss has nothing to fit"
        )


def warn_hidden(matrix: CountMatrix | CountStream) -> None:
    """Warn of rows and columns that are hidden as a whole."""
    rows, columns = matrix.unseen
    warn_unseen(int(rows.sum()), int(columns.sum()))
