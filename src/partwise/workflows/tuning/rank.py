"""Measurements for the number of programs, and how they are kept between runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partwise.factorize.rank import METHODS, RankSelection, select_rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Admissible", "admissible", "pack_rank", "rank_of_rows", "unpack_rank"]

#: Rows from which the number of programs is judged.
_MOST_ROWS = 20_000
_ROWS = 21
#: With fewer entries none are hidden: a tenth of them would be too few to predict.
_FEWEST_ENTRIES = 100
#: Held-out errors below this share of the error of zeros say which n predicts best.
_PREDICTS = 0.9
_TABLES = ("table", "summary", "spectrum")


def rank_of_rows(
    X: Any, n_components: tuple[int, ...], *, n_replicates: int, seed: int, n_threads: int
) -> RankSelection:
    """Measure each n that the data can have by `select_rank`, on at most 20,000 rows.

    Parameters
    ----------
    X
        Cells, n x p.
    n_components
        Every n of the grid. More than there are features (or cells) reproduce any table and have
        nothing to measure; they are left out.
    n_replicates
        Masks and starts per n, at least 2.
    seed
        Seed of the run.
    n_threads
        Threads.

    Returns
    -------
    RankSelection
        The measurements, and the n that they speak for.
    """
    rows = np.arange(X.shape[0])
    if X.shape[0] > _MOST_ROWS:
        rng = np.random.default_rng([seed, _ROWS])
        rows = np.sort(rng.choice(X.shape[0], _MOST_ROWS, replace=False))
    sample = X[rows]
    most = min(sample.shape)
    ranks = [n for n in n_components if n <= most] or [most]
    few = sample.shape[0] * sample.shape[1] < _FEWEST_ENTRIES
    return select_rank(
        sample,
        ranks,
        methods=METHODS[1:] if few else METHODS,
        n_replicates=max(2, n_replicates),
        random_state=seed,
        n_threads=n_threads,
    )


def pack_rank(found: RankSelection) -> dict[str, npt.NDArray[Any]]:
    """Return the measurements as arrays, from which `unpack_rank` makes them again, bit by bit."""
    plain = {
        "recommended": found.recommended,
        "rule": found.rule,
        "confidence": found.confidence,
        "alternatives": list(found.alternatives),
        "by_method": found.by_method,
        "advice": list(found.advice),
        "fraction": found.fraction,
    }
    for name in _TABLES:
        frame = getattr(found, name)
        plain[name] = None if frame is None else _plain(frame)
    return {"json": np.frombuffer(json.dumps(plain).encode(), np.uint8)}


def unpack_rank(arrays: dict[str, npt.NDArray[Any]]) -> RankSelection:
    """Return what `pack_rank` was given."""
    plain = json.loads(arrays["json"].tobytes().decode())
    for name in _TABLES:
        plain[name] = None if plain[name] is None else _frame(plain[name])
    plain["alternatives"] = tuple(plain["alternatives"])
    plain["advice"] = tuple(plain["advice"])
    return RankSelection(**plain)


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns as lists; None where a value is missing."""
    return {
        str(name): {
            "dtype": str(column.dtype),
            "values": [None if value is _missing() else value for value in column.tolist()],
        }
        for name, column in frame.items()
    }


def _missing() -> Any:
    import pandas as pd

    return pd.NA


def _frame(plain: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series(column["values"], dtype=column["dtype"]) for name, column in plain.items()}
    )


@dataclass(frozen=True)
class Admissible:
    """Which n the factorizations do not speak against.

    Attributes
    ----------
    n_components
        These n, ascending.
    needed
        Components whose singular value exceeds those of the permuted data.
    lost
        Whether the largest n that can be used is less than that.
    held_out
        Whether held-out errors were good enough to exclude any n.
    """

    n_components: tuple[int, ...]
    needed: int
    lost: bool
    held_out: bool


def admissible(rank: RankSelection, n_components: tuple[int, ...], n_most: int) -> Admissible:
    """Exclude n that lose structure, and those that no table of this shape can tell apart.

    Distances between reconstructions need all components that stand out of the noise; more do them
    little harm, and where they do, stability suffers. So the spectrum gives a least n, and of the
    larger ones those are excluded that predict hidden entries clearly worse than a still larger n.
    Held-out errors are asked only where the best is below 0.9 of that of zeros: in narrow tables
    of shares hidden entries can hardly be predicted, and the order of the errors says little.

    Parameters
    ----------
    rank
        The measurements.
    n_components
        Every n of the grid, ascending.
    n_most
        Number of features, or of cells where there are fewer: more programs are not determined.

    Returns
    -------
    Admissible
        One n at least.
    """
    needed = 0 if rank.spectrum is None else int(rank.spectrum["above_noise"].sum())
    useful = [n for n in n_components if n <= n_most] or [n_components[0]]
    kept = [n for n in useful if n >= needed] or [useful[-1]]
    held = rank.summary[rank.summary["curve"] == "held_out_error"].set_index("rank")
    used = bool(len(held)) and float(held["mean"].min()) < _PREDICTS
    if used:
        best = int(held["mean"].idxmin())
        worse = held["low"] > held["mean"].min()
        lost = {int(n) for n in held.index[worse] if n < best}
        kept = [n for n in kept if n not in lost] or [kept[-1]]
    return Admissible(tuple(kept), needed, needed > useful[-1], used)
