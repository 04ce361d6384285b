"""Why one-sweep coordinate descent stuck: numbers of decision 029, no times.

On the songbird recording: the error after some iterations, with and without a multiplicative one
first, with exact Grams near the ends of the recording or with the frames behind them filled in;
what the first sweep leaves of a random start, and what happens if that is cleared. On a raster of
the size of the `speed` part: how far float32 goes another way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from measures import machine
from sequences_songbird import DEMO, FACTORS, LAGS, recording

SEEDS = 8
#: starts of fits with the published settings
STARTS = 200
SWEEPS = ((1, 1), (4, 4))
AFTER = (10, 30, 60)


@contextlib.contextmanager
def engine(*, warm: int, sweeps: tuple[int, int], exact: bool, clear: bool) -> Iterator[None]:
    """Change how coordinate descent is done; `clear` drops what the first sweep leaves."""
    from partwise.sequences import _fit, _hals

    kept = _fit._WARM, _fit._SWEEPS, _fit._NEAR_ENDS, _hals._LARGEST, _hals.update_activations
    update = _hals.update_activations
    seen: set[int] = set()

    def clearing(problem: Any, state: Any, *rest: Any) -> int:
        changed = update(problem, state, *rest)
        if id(problem) not in seen:
            seen.add(id(problem))
            state.activations[:] = 0
        return changed

    # starts as the original draws them: as large at the ends of the recording
    _fit._WARM, _fit._SWEEPS, _fit._NEAR_ENDS = warm, sweeps, 1.0
    if not exact:
        _hals._LARGEST = 0
    if clear:
        _hals.update_activations = clearing
    try:
        yield
    finally:
        _fit._WARM, _fit._SWEEPS, _fit._NEAR_ENDS, _hals._LARGEST, _hals.update_activations = kept


def errors(X: np.ndarray, **how: Any) -> list[float]:
    """Return the error after AFTER iterations, means over seeds; no recentring."""
    from partwise.sequences import SeqNMF

    costs = []
    for seed in range(SEEDS):
        model = SeqNMF(FACTORS, LAGS, lambda_=0.0, solver="hals", max_iter=AFTER[-1], tol=0.0)
        model.set_params(random_state=seed, shift=False, n_threads=1)
        with engine(**how):
            costs.append(model.fit(X).cost_[list(AFTER)])
    return [float(cost) for cost in np.mean(costs, axis=0)]


def first_sweep(X: Any, n_lags: int, start: str, dtype: str, seed: int = 0) -> dict[str, Any]:
    """Sweep once over the activations of a random start; return what is left of it.

    `start`: "drawn" as the original does; "scaled" to the best common scale; "mu": after one
    multiplicative iteration.
    """
    from partwise.sequences import _fit, _hals
    from partwise.sequences._inputs import prepare
    from partwise.sequences._problem import Penalty
    from partwise.sequences._view import inner, look

    problem = prepare(X, n_lags, dtype=dtype).problem
    with engine(warm=1, sweeps=(1, 1), exact=True, clear=False):
        state = _fit.random_state(problem, FACTORS, np.random.default_rng(seed))
    view = look(problem, state)
    excess = inner(state.activations, view.below) / inner(state.activations, view.above)
    if start == "scaled":
        state.activations /= state.activations.dtype.type(excess)
    elif start == "mu":
        settings = _fit.Settings(Penalty(), shift=False, max_iter=1, tol=0.0)
        _fit.fit_state(problem, state, settings)
    free = np.ones(FACTORS, bool)
    n_frames = problem.raster.timeline.n_used
    _hals.update_activations(problem, state, Penalty(), look(problem, state), free, 1)
    return {
        "excess": float(excess),
        "left": float(np.mean(state.activations > 0)),
        "left_in_the_last_tenth": float(np.mean(state.activations[-n_frames // 10 :] > 0)),
        "activations": state.activations,
    }


def ends(train: np.ndarray, test: np.ndarray, size: float) -> dict[str, Any]:
    """Fit with the published settings from starts that are `size` as large at the ends."""
    from partwise.sequences import SeqNMF, _fit

    powers, factors = [], []
    kept, _fit._NEAR_ENDS = _fit._NEAR_ENDS, size
    try:
        for seed in range(200, 200 + STARTS):
            model = SeqNMF(FACTORS, LAGS, tol=0.0, random_state=seed, **DEMO).fit(train)
            powers.append(model.score(test))
            factors.append(int(np.sum(model.loadings_ > 0.01)))
    finally:
        _fit._NEAR_ENDS = kept
    return {
        "held_out": float(np.mean(powers)),
        "standard_error": float(np.std(powers) / np.sqrt(STARTS)),
        "factors": np.bincount(factors).tolist(),
    }


def hals(repeats: int) -> dict[str, Any]:
    """Remake the numbers of decision 029."""
    from sequences import LAGS as LONG
    from sequences import recording as raster

    X, test = recording()
    table = {}
    for exact, warm, clear in (
        (False, 0, False),
        (False, 0, True),
        (False, 1, False),
        (True, 0, False),
        (True, 1, False),
    ):
        for sweeps in SWEEPS:
            name = f"{'exact' if exact else 'filled-in'} ends, sweeps {sweeps}, warm-up {warm}"
            name += ", what the first sweep left cleared" if clear else ""
            table[name] = errors(X, exact=exact, warm=warm, sweeps=sweeps, clear=clear)
            print(name, np.round(table[name], 5), flush=True)
    sweep: dict[str, Any] = {}
    for start in ("drawn", "scaled", "mu"):
        song = first_sweep(X, LAGS, start, "float64")
        wide, narrow = (first_sweep(raster(), LONG, start, t) for t in ("float64", "float32"))
        gap = np.abs(wide["activations"] - narrow["activations"]).max()
        sweep[start] = {
            "model_over_data": song["excess"],
            "left_songbird": song["left"],
            "left_songbird_in_the_last_tenth": song["left_in_the_last_tenth"],
            "left_raster": wide["left"],
            "float32_off": float(gap / wide["activations"].max()),
        }
        print(start, sweep[start], flush=True)
    starts = {str(size): ends(X, test, size) for size in (1.0, 0.01)}
    print(starts, flush=True)
    last = {name: line[-1] for name, line in table.items()}
    stuck = [last[f"filled-in ends, sweeps {s}, warm-up 0"] for s in SWEEPS]
    cured = [cost for name, cost in last.items() if cost not in stuck]
    return {
        "what": "error after iterations, and what the first sweep leaves of a random start",
        "iterations": AFTER,
        "seeds": SEEDS,
        "machine": machine(),
        "errors": table,
        "first_sweep": sweep,
        "size_of_starts_at_the_ends": starts,
        "holds": max(cured) < 0.95 * min(stuck),
    }
