"""How many sequences: agreement of starts, and entries that are hidden and predicted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError
from partwise.factorize._checks import check_count
from partwise.factorize._rank_rules import resampled, smallest_within_error
from partwise.sequences._hidden import beside, hidden_entries, hidden_error, ridged
from partwise.sequences._sweep import Fits, Row, RowLog, Unit, run_units
from partwise.sequences.matching import dissimilarity
from partwise.sequences.splits import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["K_METHODS", "KSelection", "k_selection", "select_k"]

FloatArray = npt.NDArray[np.float64]

K_METHODS = ("dissimilarity", "cv")

#: What a seed is for: starts, masks, starts of the masked fits.
_STARTS, _MASKS, _MASKED = range(3)
_RESAMPLES = 1000
#: Dissimilarities that differ by no more are equal.
_ALIKE = 0.01
#: Held-out power, as a share of the best: below it the number chosen is put in doubt; as good.
_WORSE, _AS_GOOD = 0.8, 0.95


@dataclass(frozen=True)
class KSelection:
    """What was measured at each number of factors, and the number that it speaks for.

    Attributes
    ----------
    recommended
        The number of factors.
    rule
        How it follows from the measurements, in words.
    confidence
        How often the rule picks it when repeats are drawn with replacement, from 0 to 1.
    by_method
        What each criterion alone says.
    table
        One row per measurement. `measure` is "fit" (a start on all entries: `train_error`, `power`,
        `power_held_out`), "pair" (two starts: `dissimilarity`) or "cv" (a mask: `train_error`,
        `test_error`); errors are ||X - Xhat|| / ||X||.
    summary
        One row per number of factors: median `dissimilarity`, means of `train_error` and
        `test_error` of the masked fits, of `power` and `power_held_out`.
    advice
        What to know before the number is believed.
    """

    recommended: int
    rule: str
    confidence: float
    by_method: dict[str, int]
    table: pd.DataFrame
    summary: pd.DataFrame
    advice: tuple[str, ...]


def select_k(
    X: Any,
    ks: Sequence[int],
    n_lags: int,
    *,
    methods: Sequence[str] = K_METHODS,
    n_repeats: int = 5,
    fraction: float = 0.05,
    X_test: Any = None,
    epochs: Any = None,
    mask: Any = None,
    settings: Mapping[str, Any] | None = None,
    random_state: Any = 0,
    rows: RowLog | None = None,
) -> KSelection:
    """Choose the number of factors.

    - "dissimilarity": fits from several starts are compared in pairs (`dissimilarity`). With the
      right number of factors all starts find the same ones; with fewer they may find different
      ones of those there are, with more they split or invent. The rule: the largest number whose
      median over pairs is within 0.01 of the lowest.
    - "cv": a share of the entries is hidden, the fits see the others, and the error is measured on
      the hidden ones (with a small ridge, without which single values that no seen entry tells
      would decide it). It falls while factors describe what entries have in common. The rule: the
      smallest number whose error exceeds the lowest by no more than the standard error of that
      difference within repeats.

    Parameters
    ----------
    X : ndarray, masked array, sparse matrix or frame source, N x T
        The recording. Its last quarter is left out to measure the power on, unless there is X_test.
    ks : sequence of int
        Numbers of factors to look at.
    n_lags : int
        Lags of the fits.
    methods : sequence of str
        Of "dissimilarity" and "cv". The first decides where both are measured.
    n_repeats : int
        Starts, and masks, per number of factors.
    fraction : float
        Share of the entries that each mask hides.
    X_test : ndarray, masked array, sparse matrix or frame source, N x T', optional
        Held-out data; then all of X is fitted.
    epochs : sequence of (start, stop), optional
        Frames of X to use.
    mask : bool array or sparse matrix, N x T, optional
        Entries of X to hide: True, or non-zero. Errors and powers are those of the others;
        what "cv" hides comes on top. What a masked array masks is hidden, too, and NaN with
        settings={"missing": "hide"}.
    settings : mapping, optional
        Other parameters of the fits; lambda_ is 0 unless it is given. `n_threads` is the number of
        fits side by side, or the threads of each if the recording is large; the numbers do not
        depend on it.
    random_state : int, Generator, RandomState or None
        Seed.
    rows : list of dict, optional
        Rows of an earlier run with the same data and settings, which are not measured again. Each
        new row is appended as soon as it is known.

    Returns
    -------
    KSelection
        The number, the rule, and all that was measured.

    Raises
    ------
    UsageError
        If a parameter cannot be used.
    DataError
        If X cannot, or is too short to leave a quarter out.

    References
    ----------
    Wu et al. (2016), PNAS 113, 4290 (agreement of starts); Wold (1978), Technometrics 20, 397
    (hidden entries); Mackevicius et al. (2019), eLife 8, e38471 (both, for sequences).

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> from partwise.sequences import select_k
    >>> sim = simulate_sequences(1500, n_sequences=2, n_neurons=6, gap=1)
    >>> select_k(sim.X, [1, 2, 3], 10, n_repeats=3).recommended
    2
    """
    numbers = sorted({check_count(k, "each of ks") for k in ks})
    methods = _checked_methods(methods)
    check_count(n_repeats, "n_repeats", least=2 if "dissimilarity" in methods else 1)
    if not numbers:
        raise UsageError("ks must name at least one number of factors")
    if not 0 < fraction <= 0.5:
        raise UsageError(f"fraction must be above 0 and at most 0.5, not {fraction!r}")
    given = {"lambda_": 0.0, **(settings or {})}
    fits = Fits(given, ("n_components", "n_lags"), random_state)
    parts = fits.halves(X, X_test, n_lags, epochs, mask=mask)
    units: list[Unit] = []
    if "cv" in methods:
        units += [
            (
                {"measure": "cv", "k": k, "repeat": repeat},
                1,
                partial(_masked, fits, parts, k, n_lags, fraction, repeat),
            )
            for k in numbers
            for repeat in range(n_repeats)
        ]
    if "dissimilarity" in methods:
        count = n_repeats + n_repeats * (n_repeats - 1) // 2
        units += [
            (
                {"starts": n_repeats, "k": k},
                count,
                partial(_starts, fits, parts, k, n_lags, n_repeats),
            )
            for k in numbers
        ]
    at_once = fits.at_once(parts.train)
    return k_selection(run_units(units, rows=rows, n_threads=at_once))


def k_selection(rows: Iterable[Row]) -> KSelection:
    """Return what rows of fits say, those of `select_k` or of a checkpoint.

    Parameters
    ----------
    rows
        Rows of the table, as many of each measure for every number of factors.
    """
    import pandas as pd

    table = pd.DataFrame(list(rows))
    found: dict[str, tuple[int, float]] = {}
    masked = table[table["measure"] == "cv"]
    if len(masked):
        errors = masked.pivot_table("test_error", index="repeat", columns="k")
        values = errors.to_numpy(np.float64)
        best = smallest_within_error(values)
        found["cv"] = int(errors.columns[best]), float(resampled(values, 0)[best])
    if (table["measure"] == "pair").any():
        found["dissimilarity"] = _most_alike(table)
    decides = next(name for name in K_METHODS if name in found)
    by_method = {name: found[name][0] for name in K_METHODS if name in found}
    summary = _summary(table)
    return KSelection(
        recommended=by_method[decides],
        rule=_rule(decides, by_method[decides]),
        confidence=found[decides][1],
        by_method=by_method,
        table=table,
        summary=summary,
        advice=_advice(by_method, decides, summary),
    )


def _checked_methods(methods: Sequence[str]) -> tuple[str, ...]:
    asked = (methods,) if isinstance(methods, str) else tuple(methods)
    if not asked or any(name not in K_METHODS for name in asked):
        raise UsageError(f"methods must be some of {', '.join(K_METHODS)}; not {methods!r}")
    return asked


def _masked(
    fits: Fits, parts: Split, k: int, n_lags: int, fraction: float, repeat: int
) -> list[Row]:
    """Hide entries, the same for all numbers of factors, and predict them."""
    chosen = hidden_entries(parts.train.shape, fraction, fits.rng(_MASKS, repeat))
    # what the user hides is no answer, and no question either
    asked, mask = beside(chosen, parts.train_mask)
    model = fits.fit(
        parts.train,
        seed=(_MASKED, k, repeat),
        epochs=parts.train_epochs,
        mask=mask,
        n_components=k,
        n_lags=n_lags,
    )
    pair = model.motifs_, model.activations_
    pair = ridged(parts.train, mask, *pair, epochs=parts.train_epochs)
    test = hidden_error(parts.train, asked, *pair, epochs=parts.train_epochs)
    row = {"measure": "cv", "k": k, "repeat": repeat, "test_error": test}
    return [{**row, "train_error": _error(model.power_), "n_iter": int(model.n_iter_)}]


def _starts(fits: Fits, parts: Split, k: int, n_lags: int, n_repeats: int) -> list[Row]:
    """Fit all entries from several starts, and compare them in pairs."""
    common = {"starts": n_repeats, "k": k}
    models, rows = [], []
    for repeat in range(n_repeats):
        model = fits.fit(
            parts.train,
            seed=(_STARTS, k, repeat),
            **parts.fitted,
            n_components=k,
            n_lags=n_lags,
        )
        row = {"measure": "fit", **common, "repeat": repeat, "n_iter": int(model.n_iter_)}
        row["train_error"] = _error(model.power_)
        row["power"] = float(model.power_)
        row["power_held_out"] = float(model.score(parts.test, **parts.tested))
        rows.append(row)
        models.append((model.motifs_, model.activations_))
    for pair, (a, b) in enumerate(itertools.combinations(range(n_repeats), 2)):
        value = dissimilarity(models[a], models[b], epochs=parts.train_epochs)
        row = {"measure": "pair", **common, "repeat": pair, "first": a, "second": b}
        rows.append({**row, "dissimilarity": float(value)})
    return rows


def _error(power: float) -> float:
    return float(np.sqrt(max(0.0, 1.0 - power)))


def _most_alike(table: pd.DataFrame) -> tuple[int, float]:
    """Return the number of factors whose starts agree best, and how often it wins."""
    pairs = table[table["measure"] == "pair"]
    ks = np.sort(pairs["k"].unique())
    n_runs = int(pairs["second"].max()) + 1
    values = np.full((len(ks), n_runs, n_runs), np.nan)
    for i, k in enumerate(ks):
        own = pairs[pairs["k"] == k]
        values[i, own["first"].astype(int), own["second"].astype(int)] = own["dissimilarity"]
    best = _finest(values)
    draws = np.random.default_rng(0).integers(n_runs, size=(_RESAMPLES, n_runs))
    sets = [runs for draw in draws if len(runs := np.unique(draw)) > 1]
    wins = sum(_finest(values[:, runs][:, :, runs]) == best for runs in sets)
    return int(ks[best]), wins / len(sets)


def _finest(values: FloatArray) -> int:
    """Return the last number of factors about as alike as the most alike; k x runs x runs."""
    medians = np.nanmedian(values.reshape(len(values), -1), axis=1)
    return int(np.flatnonzero(medians <= medians.min() + _ALIKE)[-1])


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per number of factors."""
    import pandas as pd

    columns = {}
    for name, measure, how in (
        ("dissimilarity", "pair", "median"),
        ("train_error", "cv", "mean"),
        ("test_error", "cv", "mean"),
        ("power", "fit", "mean"),
        ("power_held_out", "fit", "mean"),
    ):
        own = table[table["measure"] == measure]
        if len(own):
            columns[name] = own.groupby("k")[name].agg(how)
    return pd.DataFrame(columns).rename_axis("k").reset_index()


def _rule(decides: str, k: int) -> str:
    if decides == "cv":
        return (
            f"{k}: the smallest number of factors whose error on hidden entries exceeds the lowest "
            "by no more than the standard error of that difference within repeats"
        )
    return (
        f"{k}: the largest number of factors for which starts agree as well as for any (median "
        f"dissimilarity within {_ALIKE:g} of the lowest)"
    )


def _advice(by_method: dict[str, int], decides: str, summary: pd.DataFrame) -> tuple[str, ...]:
    advice = []
    chosen, ks = by_method[decides], summary["k"].tolist()
    if chosen == ks[-1] and len(ks) > 1:
        advice.append(
            f"{chosen} is the largest number that was looked at: look at larger ones, too"
        )
    others = [f"{name} says {k}" for name, k in by_method.items() if k != chosen]
    if others:
        advice.append(f"the criteria differ: {decides} says {chosen}, {', '.join(others)}")
    if "power_held_out" in summary:
        held = summary.set_index("k")["power_held_out"]
        if held[chosen] < _WORSE * held.max():
            k = int((held >= _AS_GOOD * held.max()).idxmax())
            advice.append(
                f"{k} factors explain {held[k]:.1%} of what was held out, {chosen} only "
                f"{held[chosen]:.1%}: fit {k} or more with a lambda above 0, which leaves those "
                "empty that are not needed, and see which are significant"
            )
    return tuple(advice)
