"""Sequences: our SeqNMF against the original's Python port and against what was asked.

`python benchmarks/sequences.py speed` times iterations against the port, which has an environment
of its own (`python benchmarks/make_env.py seqnmf`); it takes about 8 minutes of a quiet machine.
`solvers` and `songbird` need $PARTWISE_DATA_DIR; `large` simulates an hour-long recording once.
Results are written to results/sequences.json, a part at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import sequences_backends
import sequences_hals
import sequences_large
import sequences_recovery
import sequences_songbird
from common import RESULTS, machine, python_of, read_json, write_json
from measures import HERE
from protocol import THREAD_VARIABLES

OUT = RESULTS / "sequences.json"

UNITS, FRAMES, LAGS, FACTORS, DENSITY = 200, 20_000, 50, 10, 0.014
#: what a fit is called with; the first leaves out what the port does in the slowest way, smoothing
SETTINGS = {
    "no penalty, no shift": ["--lambda", "0", "--no-shift"],
    "defaults": ["--lambda", "0.001"],
}
#: name -> program, type, threads
RUNS = {
    "port": ("seqnmf", "float64", 1),
    "float64": ("partwise", "float64", 1),
    "float32": ("partwise", "float32", 1),
    "float64, 2 threads": ("partwise", "float64", 2),
    "float32, 2 threads": ("partwise", "float32", 2),
}
#: time per iteration is that of the second less that of the first, per iteration between them; ours
#: are a hundred times as short, so that four would drown in what else a process does
ITERATIONS = {"seqnmf": (2, 6), "partwise": (2, 42)}
#: pairs of fits in one process; ours are short
PAIRS = {"seqnmf": 1, "partwise": 5}
#: least times faster than the port on one thread
REQUIRED = {"float64": 25.0, "float32": 40.0}
#: least gain of a second thread
REQUIRED_THREADS = 1.6


def recording(*, seed: int = 7) -> sp.csr_matrix:
    """Return 0/1 data, half of them planted sequences of one lag per unit, half noise."""
    rng = np.random.default_rng(seed)
    wanted = round(DENSITY * UNITS * FRAMES)
    lag = rng.integers(LAGS, size=UNITS)
    members = np.arange(UNITS) % FACTORS
    spikes = []
    for factor in range(FACTORS):
        units = np.flatnonzero(members == factor)
        n_events = wanted // 2 // UNITS
        events = rng.choice(FRAMES - LAGS, size=n_events, replace=False)
        spikes.append((units[:, None] * FRAMES + events + lag[units, None]).ravel())
    taken = np.unique(np.concatenate(spikes))
    free = np.setdiff1d(np.arange(UNITS * FRAMES), taken, assume_unique=True)
    noise = rng.choice(free, size=wanted - len(taken), replace=False)
    places = np.divmod(np.concatenate([taken, noise]), FRAMES)
    return sp.csr_matrix((np.ones(wanted), places), shape=(UNITS, FRAMES))


def start_of(X: sp.csr_matrix, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a start as the original draws it: motifs and activations."""
    rng = np.random.default_rng(seed)
    top = X.max()
    motifs = top * rng.random((UNITS, FACTORS, LAGS))
    return motifs, top * rng.random((FACTORS, FRAMES)) / np.sqrt(FRAMES / 3)


def run(name: str, settings: list[str], folder: Path) -> dict[str, Any]:
    """Time one program in a process of its own; return the time per iteration of each pair."""
    program, dtype, threads = RUNS[name]
    command = [python_of(program), str(HERE / "run_seqnmf.py"), program]
    command += [str(folder / "data.npz"), str(folder / "start.npz"), *settings]
    command += ["--dtype", dtype, "--threads", str(threads), "--repeats", str(PAIRS[program])]
    command += ["--iterations", *map(str, ITERATIONS[program])]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{name} failed ({done.returncode}):\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    few, many = (
        [line for line in answer["runs"] if line["iterations"] == n] for n in ITERATIONS[program]
    )
    first, last = ITERATIONS[program]
    between = last - first
    for key in ("seconds", "cpu_seconds"):
        steps = [(b[key] - a[key]) / between for a, b in zip(few, many, strict=True)]
        answer[key] = statistics.median(steps)
    call = statistics.median(line["seconds"] for line in few)
    answer["seconds_once"] = call - answer["seconds"] * first
    answer["cost"] = many[-1]["cost"]
    return answer


def faster(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return medians over rounds of times, and of ratios within a round."""

    def middle(value: Callable[[dict[str, dict[str, Any]]], float]) -> float:
        return statistics.median(value(line) for line in rounds)

    times = {
        name: {key: middle(lambda r, n=name, k=key: r[n][k]) for key in ("seconds", "cpu_seconds")}
        for name in rounds[0]
    }
    ratio = {t: middle(lambda r, t=t: r["port"]["seconds"] / r[t]["seconds"]) for t in REQUIRED}
    threads = {
        t: middle(lambda r, t=t: r[t]["seconds"] / r[f"{t}, 2 threads"]["seconds"])
        for t in REQUIRED
    }
    return {
        "per_iteration": times,
        "times_faster": ratio,
        "second_thread": threads,
        "holds": all(ratio[t] >= REQUIRED[t] for t in REQUIRED)
        and all(gain >= REQUIRED_THREADS for gain in threads.values()),
        "rounds": rounds,
    }


def speed(repeats: int) -> dict[str, Any]:
    """Time an iteration of the port and of ours, all in turn, in rotating order."""
    X = recording()
    result: dict[str, Any] = {
        "what": "seconds per iteration, multiplicative updates, same data and start",
        "shape": [UNITS, FRAMES],
        "lags": LAGS,
        "factors": FACTORS,
        "density": X.nnz / (UNITS * FRAMES),
        "iterations": ITERATIONS,
        "required": REQUIRED | {"second_thread": REQUIRED_THREADS},
        "machine": machine(),
        "settings": {},
    }
    names = list(RUNS)
    with tempfile.TemporaryDirectory() as folder:
        sp.save_npz(Path(folder) / "data.npz", X)
        motifs, activations = start_of(X)
        np.savez(Path(folder) / "start.npz", motifs=motifs, activations=activations)
        for label, settings in SETTINGS.items():
            rounds: list[dict[str, Any]] = []
            for turn in range(repeats):
                order = names[turn % len(names) :] + names[: turn % len(names)]
                line = {name: run(name, settings, Path(folder)) for name in order}
                rounds.append(line)
                print(label, {n: round(r["seconds"], 4) for n, r in line.items()}, flush=True)
            result["settings"][label] = faster(rounds)
    result["holds"] = all(found["holds"] for found in result["settings"].values())
    return result


#: name -> what measures it, given how often
PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "speed": speed,
    "solvers": sequences_songbird.solvers,
    "songbird": sequences_songbird.songbird,
    "large": sequences_large.large,
    "recovery": sequences_recovery.recovery,
    "hals": sequences_hals.hals,
    "backends": sequences_backends.backends,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    for part in asked.what:
        found = PARTS[part](asked.repeats)
        write_json(asked.out, read_json(asked.out, {}) | {part: found})
        print(part, "holds" if found["holds"] else "DOES NOT HOLD", flush=True)


if __name__ == "__main__":
    main()
