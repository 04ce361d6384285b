"""How much of what motifs explain is order in time, and how much is synchrony."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.factorize._checks import check_count
from partwise.sequences._inputs import check_values, without
from partwise.sequences._sweep import Fits, Row, RowLog, run_units
from partwise.sequences._timeline import check_epochs
from partwise.sequences.sources import FrameSource

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sequenciness", "sequenciness", "sequenciness_of"]

Array = npt.NDArray[Any]
Spans = tuple[tuple[int, int], ...]

#: Kinds of data: as recorded, each unit's frames shuffled, all units' frames shuffled together.
_KINDS = ("data", "noise", "synchrony")


@dataclass(frozen=True)
class Sequenciness:
    """The score, and the powers that it follows from.

    Attributes
    ----------
    score
        (power - synchrony floor) / (power - noise floor): 1 if all that is explained beyond noise
        is order in time, 0 if it is synchrony; 0 if nothing is explained beyond noise.
    score_held_out
        The same of the powers on data that were not fitted.
    power, noise_floor, synchrony_floor
        The best power of several starts on the data, and the median of that over shuffles.
    table
        One row per fit: `kind` ("data", "noise", "synchrony"), `shuffle`, `run`, `power`,
        `power_held_out`, `n_iter`.
    advice
        What to know before the score is believed.
    """

    score: float
    score_held_out: float
    power: float
    noise_floor: float
    synchrony_floor: float
    table: pd.DataFrame
    advice: tuple[str, ...]


def sequenciness(
    X: Any,
    n_components: int,
    n_lags: int,
    *,
    n_runs: int = 5,
    n_shuffles: int = 15,
    X_test: Any = None,
    epochs: Any = None,
    mask: Any = None,
    settings: Mapping[str, Any] | None = None,
    random_state: Any = 0,
    rows: RowLog | None = None,
) -> Sequenciness:
    """Measure how sequential a recording is, beyond units that are active together.

    The power of motifs (without penalties) on the data is compared with two floors: on data in
    which the frames of each unit are shuffled for themselves, so that only rates are left, and on
    data in which all units are shuffled together, so that units active in the same frame stay
    together, and the order of frames is lost. The first L frames of each epoch stay where they are
    in the second shuffle, because motifs that begin before an epoch cannot explain them.

    Parameters
    ----------
    X : ndarray, masked array or sparse matrix, N x T
        The recording. Its last quarter is left out, for the held-out powers, unless there is
        X_test.
    n_components, n_lags : int
        Factors and lags of the fits.
    n_runs : int
        Starts of which the best counts.
    n_shuffles : int
        Shuffles of each kind.
    X_test : ndarray, masked array or sparse matrix, N x T', optional
        Held-out data; then all of X is fitted.
    epochs : sequence of (start, stop), optional
        Frames of X to use.
    mask : bool array or sparse matrix, N x T, optional
        Entries of X to hide, as in `SeqNMF.fit`. What a masked array masks is hidden, too, and NaN
        with settings={"missing": "hide"}. Powers are those of the others; shuffles move hidden
        entries with their frames.
    settings : mapping, optional
        Other parameters of the fits; lambda_ is 0 unless it is given. `n_threads` is the number of
        fits side by side, or the threads of each if the recording is large; the numbers do not
        depend on it.
    random_state : int, Generator, RandomState or None
        Seed.
    rows : list of dict, optional
        Rows of an earlier run with the same data and settings, which are not fitted again. Each
        new row is appended as soon as it is known.

    Returns
    -------
    Sequenciness
        The score and all that was measured.

    Raises
    ------
    UsageError
        If a parameter cannot be used; also for a recording on disk, which cannot be shuffled.
    DataError
        If X cannot, or is too short to leave a quarter out.

    References
    ----------
    Mackevicius et al. (2019), eLife 8, e38471, and the demo of their toolbox.

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> from partwise.sequences import sequenciness
    >>> sim = simulate_sequences(800, n_sequences=1, n_neurons=5, gap=1)
    >>> found = sequenciness(sim.X, 1, 10, n_runs=1, n_shuffles=1, settings={"max_iter": 20})
    >>> found.table["kind"].tolist()
    ['data', 'noise', 'synchrony']
    """
    check_count(n_runs, "n_runs")
    check_count(n_shuffles, "n_shuffles")
    if isinstance(X, FrameSource) or isinstance(X_test, FrameSource):
        raise UsageError("shuffling needs the recording in memory: load it, or a part of it")
    fits = Fits({"lambda_": 0.0, **(settings or {})}, ("n_components", "n_lags"), random_state)
    parts = fits.halves(X, X_test, n_lags, epochs, mask=mask)
    train, test = _with_gaps(parts.train, parts.train_mask), _with_gaps(parts.test, parts.test_mask)
    if parts.train_mask is not None or parts.test_mask is not None:
        fits.settings["missing"] = "hide"

    def fit(kind: str, shuffle: int, run: int) -> list[Row]:
        pair = []
        for place, (data, spans) in enumerate(
            ((train, parts.train_epochs), (test, parts.test_epochs))
        ):
            rng = fits.rng(1, _KINDS.index(kind), shuffle, place)
            pair.append(_shuffled(data, kind, check_epochs(spans, data.shape[1]), n_lags, rng))
        model = fits.fit(
            pair[0],
            seed=(0, _KINDS.index(kind), shuffle, run),
            epochs=parts.train_epochs,
            n_components=n_components,
            n_lags=n_lags,
        )
        return [
            {
                "kind": kind,
                "shuffle": shuffle,
                "run": run,
                "power": float(model.power_),
                "power_held_out": float(model.score(pair[1], epochs=parts.test_epochs)),
                "n_iter": int(model.n_iter_),
            }
        ]

    units = [
        ({"kind": kind, "shuffle": shuffle, "run": run}, 1, partial(fit, kind, shuffle, run))
        for kind in _KINDS
        for shuffle in range(1 if kind == "data" else n_shuffles)
        for run in range(n_runs)
    ]
    table = run_units(units, rows=rows, n_threads=fits.at_once(parts.train))
    return sequenciness_of(table)


def sequenciness_of(rows: Iterable[Row]) -> Sequenciness:
    """Return what rows of fits say, those of `sequenciness` or of a checkpoint.

    Parameters
    ----------
    rows
        Rows of the table, of all three kinds.
    """
    import pandas as pd

    table = pd.DataFrame(list(rows))
    # the start that counts is the best on what was fitted, on held-out data too
    best = table.loc[table.groupby(["kind", "shuffle"])["power"].idxmax()]
    found = best.groupby("kind")[["power", "power_held_out"]].median()
    scores = {name: _score(*found.loc[list(_KINDS), name]) for name in found.columns}
    power, noise, synchrony = (float(found.loc[kind, "power"]) for kind in _KINDS)
    advice = []
    if power <= noise:
        advice.append(
            "motifs explain no more of the recording than of its shuffles: there is nothing that "
            "could be sequential"
        )
    elif power - noise < 0.05 * power:
        advice.append(
            f"only {power - noise:.3f} of the power {power:.3f} is beyond shuffled data: the score "
            "divides by that, and is unsteady"
        )
    return Sequenciness(
        score=scores["power"],
        score_held_out=scores["power_held_out"],
        power=power,
        noise_floor=noise,
        synchrony_floor=synchrony,
        table=table,
        advice=tuple(advice),
    )


def _score(power: float, noise: float, synchrony: float) -> float:
    return float((power - synchrony) / (power - noise)) if power > noise else 0.0


def _with_gaps(X: Any, hidden: Any) -> Any:
    """Return data, checked, with NaN at hidden entries, so that shuffles take these along."""
    check_values(X, hidden, "raise")
    if hidden is None:
        return X
    clean = without(X, hidden)
    if not sp.issparse(clean):
        clean[hidden.nonzero()] = np.nan
        return clean
    gaps = hidden.astype(clean.dtype)
    gaps.data[:] = np.nan
    return (clean + gaps).tocsr()


def _shuffled(X: Any, kind: str, spans: Spans, n_lags: int, rng: np.random.Generator) -> Any:
    """Return data with their frames shuffled; frames outside of the epochs stay."""
    if kind == "data":
        return X
    inside = np.concatenate([np.arange(start, stop) for start, stop in spans])
    if kind == "synchrony":
        free = np.concatenate([np.arange(min(start + n_lags, stop), stop) for start, stop in spans])
        order = np.arange(X.shape[1])
        order[free] = rng.permutation(free)
        return X[:, order]
    if not sp.issparse(X):
        shuffled = np.array(X)
        shuffled[:, inside] = rng.permuted(X[:, inside], axis=1)
        return shuffled
    table = sp.csr_matrix(X, copy=True)
    moved = np.isin(table.indices, inside) if len(inside) < X.shape[1] else None
    for first, last in zip(table.indptr[:-1], table.indptr[1:], strict=True):
        here = (
            np.arange(first, last) if moved is None else first + np.flatnonzero(moved[first:last])
        )
        # the frames to which the non-zeros of a unit go, all sets and orders equally likely
        table.indices[here] = inside[rng.choice(len(inside), size=len(here), replace=False)]
    table.has_sorted_indices = False
    table.sort_indices()
    return table
