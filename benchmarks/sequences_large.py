"""Hours of a thousand units, from disk: CPU seconds per iteration and peak memory.

`python benchmarks/sequences.py large` simulates 1000 units over 1,000,000 frames once (uint8,
compressed, in benchmarks/.data) and fits them in a process of its own for each solver. The peak is
the largest resident memory that the kernel has seen in that process, reading included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from data import DATA
from measures import machine
from protocol import THREAD_VARIABLES

UNITS, FRAMES, LAGS, FACTORS = 1000, 1_000_000, 100, 10
#: most CPU seconds per iteration; most bytes
SECONDS, BYTES = 15.0, 1_500_000_000
SOLVERS = {"mu": 0.001, "mu without penalty": 0.0, "hals": 0.0}
ITERATIONS = 4
#: bytes of values that may be read at once: far less than the recording, so it stays on disk
IN_MEMORY = 200_000_000


def make(path: Path, *, frames: int = FRAMES, units: int = UNITS, factors: int = FACTORS) -> Path:
    """Write a recording of planted sequences and noise, 1.2 % of it spikes, if it is not there."""
    if path.exists():
        return path
    import h5py

    from partwise.datasets import simulate_sequences

    sim = simulate_sequences(
        frames, n_sequences=factors, n_neurons=units // factors, gap=1, noise=0.0113, seed=1
    )
    by_frame = sim.X.tocsc()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    step = min(4096, frames)
    with h5py.File(part, "w") as file:
        data = file.create_dataset(
            "X", (units, frames), "u1", chunks=(units, step), compression="gzip", compression_opts=1
        )
        for start in range(0, frames, step):
            data[:, start : start + step] = by_frame[:, start : start + step].toarray()
    part.replace(path)
    return path


def fit(path: Path, solver: str, threads: int, n_lags: int = LAGS) -> dict[str, Any]:
    """Fit a file; return CPU seconds of each iteration and the peak, for the process so far."""
    from partwise.io import open_recording
    from partwise.sequences import SeqNMF

    ends: list[float] = []
    costs: list[float] = []

    def note(iteration: int, cost: float) -> None:
        ends.append(time.process_time())
        costs.append(cost)

    with open_recording(path, memory_limit=IN_MEMORY) as recording:
        model = SeqNMF(
            FACTORS,
            n_lags,
            lambda_=SOLVERS[solver],
            solver=solver.split()[0],
            max_iter=ITERATIONS,
            tol=0.0,
            dtype="float32",
            random_state=0,
            n_threads=threads,
        )
        begin = time.perf_counter(), time.process_time()
        model.fit(recording.data, callback=note)
        total = time.perf_counter() - begin[0], time.process_time() - begin[1]
        streamed = not recording.in_memory
    # the last iteration is timed with what ends a fit
    steps = [b - a for a, b in itertools.pairwise(ends[:-1])]
    return {
        "cpu_seconds_per_iteration": statistics.median(steps),
        "steps": steps,
        "seconds_in_all": total[0],
        "cpu_seconds_in_all": total[1],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "costs": costs,
        "from_disk": streamed,
    }


def large(repeats: int) -> dict[str, Any]:
    """Fit with each solver, in a process each; the least of `repeats` CPU times counts."""
    path = make(DATA / f"sequences_{UNITS}x{FRAMES}.h5")
    found: dict[str, Any] = {}
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    for solver in SOLVERS:
        runs = []
        for _ in range(repeats):
            command = [sys.executable, __file__, str(path), "--solver", solver]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise SystemExit(f"{solver} failed:\n{done.stderr[-3000:]}")
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(solver, {k: v for k, v in runs[-1].items() if k != "costs"}, flush=True)
        best = min(runs, key=lambda run: run["cpu_seconds_per_iteration"])
        found[solver] = best | {"peak_bytes": max(run["peak_bytes"] for run in runs)}
    return {
        "what": "CPU seconds per iteration and peak memory, from disk",
        "shape": [UNITS, FRAMES],
        "lags": LAGS,
        "factors": FACTORS,
        "file_bytes": path.stat().st_size,
        "required": {"cpu_seconds_per_iteration": SECONDS, "peak_bytes": BYTES},
        "machine": machine(),
        "solvers": found,
        "holds": all(
            line["cpu_seconds_per_iteration"] <= SECONDS
            and line["peak_bytes"] < BYTES
            and line["from_disk"]
            for line in found.values()
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--solver", choices=list(SOLVERS), required=True)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    print(json.dumps(fit(asked.path, asked.solver, asked.threads)))
