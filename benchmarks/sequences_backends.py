"""What the two products with the data cost in each way of holding them: CPU time, one thread.

The constants by which "auto" chooses come from here (decision 029).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from measures import machine

FACTORS = 10
#: units, frames, share of non-zeros, lags
SHAPES = [
    (75, 500, 0.067, 20),
    (75, 5000, 0.067, 100),
    (200, 20_000, 0.014, 50),
    (200, 20_000, 0.2, 50),
    (300, 10_000, 1.0, 5),
    (300, 10_000, 1.0, 30),
    (300, 10_000, 1.0, 100),
    (50, 10_000, 1.0, 3),
    (300, 3000, 0.3, 300),
]
NAMES = ("sparse", "fft", "direct")
#: products that would take longer are left out
MOST = 3e9


def _seconds(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times[1:])


def _line(shape: tuple[int, int, float, int], dtype: str, repeats: int) -> dict[str, Any]:
    from partwise.sequences._backends import choose
    from partwise.sequences._fit import random_state
    from partwise.sequences._inputs import prepare
    from partwise.utils.threads import single_thread_blas

    units, frames, share, lags = shape
    rng = np.random.default_rng(0)
    X = (rng.random((units, frames)) * (rng.random((units, frames)) < share)).astype(dtype)
    nnz = int(np.count_nonzero(X))
    found: dict[str, Any] = {"shape": shape, "dtype": dtype}
    with single_thread_blas():
        for name in NAMES:
            if name != "fft" and (nnz if name == "sparse" else X.size) * lags * FACTORS > MOST:
                continue
            problem = prepare(X, lags, backend=name, exponent=0).problem
            state = random_state(problem, FACTORS, rng)
            raster = problem.raster
            found[name] = _seconds(
                lambda r=raster, s=state: (
                    r.cross_activations(s.motifs),
                    r.cross_motifs(s.activations),
                ),
                repeats,
            )
    timed = {name: found[name] for name in NAMES if name in found}
    found["chosen"] = choose(units, frames, nnz, lags)
    found["lost"] = timed[found["chosen"]] / min(timed.values())
    return found


def backends(repeats: int) -> dict[str, Any]:
    """Time each backend on each shape; what "auto" chooses must lose little."""
    rows = [_line(shape, t, repeats) for t in ("float64", "float32") for shape in SHAPES]
    for row in rows:
        print(row, flush=True)
    return {
        "what": "CPU seconds of both products with the data, one thread",
        "factors": FACTORS,
        "machine": machine(),
        "rows": rows,
        "holds": all(row["lost"] < 1.6 for row in rows),
    }
