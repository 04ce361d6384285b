"""How strongly to keep factors apart: reconstruction against redundancy over values of lambda."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.factorize._checks import check_count
from partwise.sequences._crossover import crossing, rescaled, smoothed
from partwise.sequences._sweep import Fits, Row, RowLog, run_units
from partwise.sequences.products import seqnmf_costs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LambdaSelection", "lambda_selection", "select_lambda"]

FloatArray = npt.NDArray[np.float64]

#: Loading from which a factor counts.
_LOADING = 0.01
#: The grid: so many values, from the lowest to the highest exponent of ten.
_GRID, _LOWEST, _HIGHEST = 20, -5.0, -1.0
#: The lambda to begin with, in crossovers. The authors' demo takes 0.005 for a recording on which
#: we find the crossover near 0.003.
_RATIO = 1.7


@dataclass(frozen=True)
class LambdaSelection:
    """What was measured at each lambda, and where the two costs cross.

    Attributes
    ----------
    table
        One row per fit: `lambda_`, `repeat`, `reconstruction` (||X - Xhat||), `penalty` (sum over
        i != j of |Z S H^T|_ij), `power` on the data fitted and `power_held_out` on those left out
        (motifs fixed), `n_factors` with a loading above 0.01, `n_iter`.
    curves
        Per lambda and repeat both costs rescaled, and smoothed if asked: `reconstruction`,
        `penalty`.
    crossovers
        Lambda where the curves of each repeat cross, NaN where they do not.
    crossover
        Their median, NaN if there is none.
    interval
        The lowest and the highest of the repeats.
    recommended
        The lambda to begin with; NaN without a crossover.
    rule
        How it follows, in words.
    advice
        What to know before it is believed.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    crossovers: FloatArray
    crossover: float
    interval: tuple[float, float]
    recommended: float
    rule: str
    advice: tuple[str, ...]


def select_lambda(
    X: Any,
    n_components: int,
    n_lags: int,
    *,
    lambdas: Sequence[float] | None = None,
    n_repeats: int = 3,
    X_test: Any = None,
    epochs: Any = None,
    mask: Any = None,
    smooth: bool = True,
    settings: Mapping[str, Any] | None = None,
    random_state: Any = 0,
    rows: RowLog | None = None,
) -> LambdaSelection:
    """Fit a recording with many values of lambda, and find where the two costs cross.

    With a small lambda several factors share one sequence, with a large one the reconstruction
    suffers. Both costs are rescaled such that their 10th and 90th percentiles over all lambdas are
    0 and 1; they cross at lambda0. Each repeat has a start of its own, the same for all lambdas,
    and a crossover of its own: their spread says how well it is known.

    Parameters
    ----------
    X : ndarray, masked array, sparse matrix or frame source, N x T
        The recording. Its last quarter is left out to measure the power on, unless there is X_test.
    n_components, n_lags : int
        Factors, 2 or more, and lags of the fits.
    lambdas : sequence of float, optional
        Values above 0; by default 20 from 1e-5 to 1e-1, evenly spaced in their logarithm.
    n_repeats : int
        Starts.
    X_test : ndarray, masked array, sparse matrix or frame source, N x T', optional
        Held-out data; then all of X is fitted.
    epochs : sequence of (start, stop), optional
        Frames of X to use.
    mask : bool array or sparse matrix, N x T, optional
        Entries of X to hide: True, or non-zero. Costs and powers are those of the others.
        What a masked array masks is hidden, too, and NaN with settings={"missing": "hide"}.
    smooth : bool
        Take the running mean of three lambdas before looking for the crossover.
    settings : mapping, optional
        Other parameters of the fits, e.g. {"l1_W": 0.1}; see `SeqNMF`. Fits run all iterations
        unless `tol` is given. `n_threads` is the number of fits side by side, or the threads of
        each if the recording is large; the numbers do not depend on it.
    random_state : int, Generator, RandomState or None
        Seed.
    rows : list of dict, optional
        Rows of an earlier run with the same data and settings, which are not fitted again. Each
        new row is appended as soon as it is known.

    Returns
    -------
    LambdaSelection
        All that was measured, the crossover and a lambda to begin with.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If X cannot, or is too short to leave a quarter out.

    References
    ----------
    Mackevicius et al. (2019), eLife 8, e38471, and the demo of their toolbox (both costs, their
    scale, the crossover).

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> from partwise.sequences import select_lambda
    >>> sim = simulate_sequences(800, n_sequences=2, n_neurons=5, gap=1)
    >>> found = select_lambda(sim.X, 3, 10, lambdas=[1e-4, 1e-3, 1e-2, 1e-1], n_repeats=1)
    >>> bool(found.table["n_factors"].max() <= 3)
    True
    """
    values = _checked_lambdas(lambdas)
    check_count(n_repeats, "n_repeats")
    check_count(n_components, "n_components", least=2)  # lambda keeps factors apart
    # with a large lambda the error rests for some iterations before the factors part
    given = {"tol": 0.0, **(settings or {})}
    fits = Fits(given, ("n_components", "n_lags", "lambda_"), random_state)
    parts = fits.halves(X, X_test, n_lags, epochs, mask=mask)

    def fit(lambda_: float, repeat: int) -> list[Row]:
        model = fits.fit(
            parts.train,
            seed=(repeat,),
            **parts.fitted,
            n_components=n_components,
            n_lags=n_lags,
            lambda_=lambda_,
        )
        reconstruction, penalty = seqnmf_costs(
            parts.train, model.motifs_, model.activations_, **parts.fitted
        )
        return [
            {
                "lambda_": lambda_,
                "repeat": repeat,
                "reconstruction": float(reconstruction),
                "penalty": float(penalty),
                "power": float(model.power_),
                "power_held_out": float(model.score(parts.test, **parts.tested)),
                "n_factors": int(np.count_nonzero(model.loadings_ > _LOADING)),
                "n_iter": int(model.n_iter_),
            }
        ]

    units = [
        ({"lambda_": lambda_, "repeat": repeat}, 1, partial(fit, lambda_, repeat))
        for repeat in range(n_repeats)
        for lambda_ in values
    ]
    table = run_units(units, rows=rows, n_threads=fits.at_once(parts.train))
    return lambda_selection(table, smooth=smooth)


def lambda_selection(rows: Iterable[Row], *, smooth: bool = True) -> LambdaSelection:
    """Return what rows of fits say, those of `select_lambda` or of a checkpoint.

    Parameters
    ----------
    rows
        Rows of the table, every lambda for every repeat.
    smooth
        Take the running mean of three lambdas first.
    """
    import pandas as pd

    table = pd.DataFrame(list(rows)).sort_values(["repeat", "lambda_"], ignore_index=True)
    parts, crossovers = [], []
    for repeat, fits in table.groupby("repeat"):
        lambdas = fits["lambda_"].to_numpy(np.float64)
        curves = {}
        for name in ("reconstruction", "penalty"):
            raw = fits[name].to_numpy(np.float64)
            curves[name] = rescaled(smoothed(raw) if smooth else raw, raw)
        parts.append(pd.DataFrame({"lambda_": lambdas, "repeat": repeat, **curves}))
        crossovers.append(crossing(lambdas, curves["penalty"], curves["reconstruction"]))
    found = np.array(crossovers)
    known = found[np.isfinite(found)]
    middle = float(np.exp(np.median(np.log(known)))) if len(known) else float("nan")
    ends = (float(known.min()), float(known.max())) if len(known) else (middle, middle)
    return LambdaSelection(
        table=table,
        curves=pd.concat(parts, ignore_index=True),
        crossovers=found,
        crossover=middle,
        interval=ends,
        recommended=_RATIO * middle,
        rule=_rule(middle),
        advice=_advice(found, ends),
    )


def _rule(crossover: float) -> str:
    if not np.isfinite(crossover):
        return "the costs do not cross within the lambdas that were tried"
    return (
        f"{_RATIO:g} times the crossover of the two costs, {crossover:.2g}, which is what the "
        "authors' demo uses on their songbird recording; a starting point, not an optimum"
    )


def _advice(crossovers: FloatArray, interval: tuple[float, float]) -> tuple[str, ...]:
    advice = []
    missing = int(np.count_nonzero(~np.isfinite(crossovers)))
    if missing:
        advice.append(
            f"in {missing} of {len(crossovers)} repeats the costs do not cross: try lambdas over a "
            "wider range, or more of them"
        )
    if interval[1] > 3 * interval[0]:
        advice.append(
            f"the crossover differs between repeats, {interval[0]:.2g} to {interval[1]:.2g}: more "
            "iterations per fit and more repeats make it steadier"
        )
    if len(crossovers) == 1 and not missing:
        advice.append("one repeat says nothing about how well the crossover is known")
    return tuple(advice)


def _checked_lambdas(lambdas: Sequence[float] | None) -> list[float]:
    """Return the values in ascending order, each once."""
    if lambdas is None:
        return [float(value) for value in np.logspace(_LOWEST, _HIGHEST, _GRID)]
    values = sorted({float(value) for value in lambdas})
    if len(values) < 2 or not all(0 < value < np.inf for value in values):
        raise UsageError("lambdas must be at least two different numbers above 0")
    return values
