"""Fits of many settings: side by side where they are small, each reported as soon as it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp

from partwise.exceptions import DataError, UsageError
from partwise.sequences._inputs import observed
from partwise.sequences._timeline import check_epochs
from partwise.sequences.model import SeqNMF
from partwise.sequences.splits import Split, split_time
from partwise.utils.random import generator
from partwise.utils.threads import resolve_threads, run_tasks

if TYPE_CHECKING:
    from partwise.utils.random import RandomLike

__all__ = ["Fits", "Row", "RowLog", "Unit", "halves", "run_units"]

#: What one fit gave, as it goes into tables and checkpoints.
Row: TypeAlias = dict[str, Any]
#: What tells a unit of work, how many rows it gives, and the work itself.
Unit: TypeAlias = tuple[Mapping[str, Any], int, Callable[[], Sequence[Row]]]


class RowLog(Protocol):
    """Rows that are kept, such as a list."""

    def __iter__(self) -> Iterator[Row]:
        """Iterate over what is there."""
        ...

    def append(self, row: Row, /) -> None:
        """Keep one more."""
        ...


#: Numbers of a recording from which its fits run one after another, each on all threads.
_LARGE = 2**24


class Fits:
    """Fits of one kind of model to recordings of one size.

    Parameters
    ----------
    settings
        Parameters of `SeqNMF` that all fits share; `n_threads` counts for all fits together.
    ours
        Parameters that are not for the settings to change.
    random_state
        Seed, from which each fit derives its own by what it is, not by when it runs.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None, ours: Iterable[str], random_state: RandomLike
    ) -> None:
        self.settings = dict(settings or {})
        wrong = sorted(set(self.settings) - set(SeqNMF().get_params()))
        if wrong:
            raise UsageError(f"settings: SeqNMF has no parameter {wrong[0]!r}")
        taken = sorted({*ours, "random_state"} & set(self.settings))
        if taken:
            raise UsageError(f"settings must not give {taken[0]!r}: it is set here for each fit")
        self.n_threads = resolve_threads(self.settings.pop("n_threads", None))
        self.entropy = int(generator(random_state).integers(2**62))

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return a generator that depends on the seed and these numbers only."""
        return np.random.default_rng([self.entropy, *purpose])

    def fit(
        self, X: Any, *, seed: tuple[int, ...], epochs: Any, mask: Any = None, **own: Any
    ) -> Any:
        """Return a fitted model; **own go to `SeqNMF`."""
        model = SeqNMF(
            **self.settings, **own, random_state=self.rng(*seed), n_threads=self.n_threads
        )
        return model.fit(X, mask=mask, epochs=epochs)

    def halves(self, X: Any, X_test: Any, n_lags: int, epochs: Any, *, mask: Any) -> Split:
        """Return what to fit and what to test on; NaN is hidden if the settings say so."""
        missing = self.settings.get("missing", "raise")
        return halves(X, X_test, n_lags, epochs, mask=mask, missing=missing)

    def at_once(self, X: Any) -> int:
        """Return how many fits of X run side by side."""
        if sp.issparse(X):
            return self.n_threads if X.nnz < _LARGE else 1
        return self.n_threads if isinstance(X, np.ndarray) and X.size < _LARGE else 1


def halves(
    X: Any,
    X_test: Any,
    n_lags: int,
    epochs: Any,
    *,
    mask: Any = None,
    missing: str = "raise",
) -> Split:
    """Return what to fit and what to test on: the last quarter, unless there are test data.

    Parameters
    ----------
    X, X_test
        The recording, and test data of their own if there are any; these are one epoch.
    n_lags
        L.
    epochs
        Those of X.
    mask
        Hidden entries of X.
    missing
        "hide" hides NaN, too.
    """
    recording, hidden = observed(X, mask, missing=missing)
    if X_test is None:
        try:
            parts = split_time(recording, n_lags=n_lags, epochs=epochs, mask=hidden)
        except DataError:
            raise DataError(
                f"the last quarter of the recording is held out, and it or the rest is too short "
                f"for motifs of {n_lags} lags: give shorter motifs (--n-lags, --length), or test "
                "data of their own (X_test)"
            ) from None
        _check_observed(parts)
        return parts
    other, hidden_too = observed(X_test, missing=missing)
    if recording.shape[0] != other.shape[0]:
        raise UsageError(
            f"X_test has {other.shape[0]} units, X has {recording.shape[0]}: they must be the same"
        )
    n_frames = recording.shape[1]
    spans = None if epochs is None else check_epochs(epochs, n_frames)
    parts = Split(recording, other, spans, None, n_frames, hidden, hidden_too)
    _check_observed(parts)
    return parts


def _check_observed(parts: Split) -> None:
    """Refuse parts of which nothing is left."""
    for name, X, mask, epochs in (
        ("fitted", parts.train, parts.train_mask, parts.train_epochs),
        ("left out to test on", parts.test, parts.test_mask, parts.test_epochs),
    ):
        spans = check_epochs(epochs, X.shape[1])
        size = X.shape[0] * sum(stop - start for start, stop in spans)
        if mask is not None and sum(mask[:, a:b].nnz for a, b in spans) == size:
            raise DataError(
                f"all entries of the part that is {name} are hidden: hide fewer, or give test data "
                "of their own (X_test)"
            )


def run_units(units: Sequence[Unit], *, rows: RowLog | None, n_threads: int) -> list[Row]:
    """Run what is not done yet, and return all rows in the order of the units.

    Parameters
    ----------
    units
        What to do. Rows of a unit hold all that tells it.
    rows
        Rows of an earlier run: units of which all are there are not run again. Each new row is
        appended as soon as its unit is done, by one thread at a time.
    n_threads
        Units that run at a time.
    """
    earlier = [dict(row) for row in rows or ()]
    lock = threading.Lock()

    def one(key: Mapping[str, Any], count: int, work: Callable[[], Sequence[Row]]) -> list[Row]:
        found = [row for row in earlier if _is_of(row, key)]
        if len(found) == count:
            return found
        made = list(work())
        if rows is not None:
            with lock:
                for row in made:
                    rows.append(dict(row))
        return made

    results = run_tasks(n_threads, [partial(one, *unit) for unit in units])
    return [row for result in results for row in result]


def _is_of(row: Row, key: Mapping[str, Any]) -> bool:
    """Tell whether a row is of a unit; numbers may have been through text."""
    for name, value in key.items():
        other = row.get(name)
        if isinstance(value, float):
            if not isinstance(other, (int, float)) or not np.isclose(other, value, 1e-9, 0.0):
                return False
        elif other != value:
            return False
    return True
