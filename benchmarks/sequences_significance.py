"""Does the test of significance keep its promise? False positives and power, on simulations.

python benchmarks/sequences_significance.py [--quick]; some minutes. What issue 5 asks for: false
positives in at most 16 of 200 shuffled data sets at 0.05, power of at least 80 % on planted ones.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

from common import RESULTS, write_json
from measures import machine
from partwise.datasets import simulate_sequences
from partwise.sequences import SeqNMF, match_motifs, split_time, test_significance
from partwise.utils.threads import run_tasks

SETS, PLANTED = 200, 40
P = 0.05
#: Factors, lags and penalty of all fits; three sequences are planted, so two factors are spare.
K, L, LAMBDA = 5, 40, 0.003
#: What each recording is like: spikes with noise, and with what else there is in recordings.
CASES: dict[str, dict[str, Any]] = {
    "spikes": {"noise": 0.01, "jitter": 0.5, "participation": 0.9},
    "bursts": {"noise": 0.01, "jitter": 1.0, "participation": 0.7, "burst": 3},
    "fluorescence": {"noise": 0.01, "jitter": 0.5, "participation": 0.9, "calcium": 5.0},
}
#: Spikes per frame that belong to no sequence; a neuron has about 0.004 that belong to its own.
NOISE = {"low": 0.001, "middle": 0.005, "high": 0.01, "highest": 0.02}
#: Cosine with a planted motif from which a factor is that sequence. Not higher: planted motifs have
#: one frame per neuron, and jitter of half a frame alone takes a perfect fit below 0.9.
MATCHED = 0.5


def recording(seed: int, n_frames: int = 4000, **options: Any) -> Any:
    return simulate_sequences(n_frames, n_sequences=3, n_neurons=10, gap=3, seed=seed, **options)


def dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, np.float32)


def rotated(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each unit moved around in time by itself: rates and bursts stay, sequences do not.

    Any two units are moved apart by twice the lags of a motif or more: those of one sequence would
    still follow each other otherwise, as a few pairs do if lags are only drawn at random.
    """
    n, n_frames = X.shape
    slot = n_frames // n
    lags = rng.permutation(n) * slot + rng.integers(slot - 2 * L, size=n)
    return np.stack([np.roll(row, lag) for row, lag in zip(X, lags, strict=True)])


def permuted(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frames of each unit in any order."""
    return rng.permuted(X, axis=1)


SHUFFLES = {"rotated": rotated, "permuted": permuted}


def tested(X: np.ndarray, seed: int) -> tuple[Any, Any]:
    """Fit the first three quarters, test on the last one."""
    parts = split_time(X, n_lags=L)
    model = SeqNMF(K, L, lambda_=LAMBDA, random_state=seed, n_threads=1).fit(parts.train)
    return model, test_significance(parts.test, model.motifs_, p=P, random_state=seed, n_threads=1)


def false_positive(case: str, shuffle: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 1])
    X = SHUFFLES[shuffle](dense(recording(seed, **CASES[case]).X), rng)
    _, found = tested(X, seed)
    return {
        "significant": int(found.significant.sum()),
        "tested": sum(not reason for reason in found.excluded),
    }


def planted(noise: float, seed: int) -> dict[str, Any]:
    sim = recording(1000 + seed, noise=noise, jitter=0.5, participation=0.9)
    model, found = tested(dense(sim.X), seed)
    match = match_motifs(sim.motifs, model.motifs_)
    good = [
        factor for (_, factor), s in zip(match.pairs, match.scores, strict=True) if s >= MATCHED
    ]
    held_out = split_time(dense(sim.X), n_lags=L).test
    truth = test_significance(held_out, sim.motifs, p=P, random_state=seed, n_threads=1)
    return {
        "planted": sim.n_sequences,
        "planted_significant": int(truth.significant.sum()),
        "recovered": len(good),
        "recovered_significant": int(found.significant[good].sum()),
    }


def false_positives(case: str, shuffle: str, n_sets: int, n_threads: int) -> dict[str, Any]:
    rows = run_tasks(n_threads, [partial(false_positive, case, shuffle, s) for s in range(n_sets)])
    return {
        "case": case,
        "shuffle": shuffle,
        "sets": n_sets,
        "sets_with_false_positives": sum(row["significant"] > 0 for row in rows),
        "factors_tested": sum(row["tested"] for row in rows),
        "factors_significant": sum(row["significant"] for row in rows),
    }


def power(level: str, n_sets: int, n_threads: int) -> dict[str, Any]:
    rows = run_tasks(n_threads, [partial(planted, NOISE[level], s) for s in range(n_sets)])
    count = sum(row["planted"] for row in rows)
    return {
        "noise": NOISE[level],
        "sets": n_sets,
        "planted": count,
        "recovered": sum(row["recovered"] for row in rows) / count,
        "power": sum(row["recovered_significant"] for row in rows) / count,
        "power_of_planted_motifs": sum(row["planted_significant"] for row in rows) / count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data sets, no file")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    n_sets, n_planted = (SETS // 10, PLANTED // 10) if arguments.quick else (SETS, PLANTED)
    shuffled = []
    for case in CASES:
        for shuffle in SHUFFLES:
            found = false_positives(case, shuffle, n_sets, arguments.threads)
            shuffled.append(found)
            print(
                f"{case:13s} {shuffle:9s} sets with false positives: "
                f"{found['sets_with_false_positives']} of {n_sets}",
                flush=True,
            )
    powers = {}
    for level in NOISE:
        powers[level] = power(level, n_planted, arguments.threads)
        print(
            f"noise {NOISE[level]:<6g} recovered {powers[level]['recovered']:.3f}, "
            f"recovered and significant {powers[level]['power']:.3f}, planted motifs themselves "
            f"{powers[level]['power_of_planted_motifs']:.3f}",
            flush=True,
        )
    if not arguments.quick:
        settings = {"k": K, "n_lags": L, "lambda_": LAMBDA, "p": P, "matched": MATCHED}
        write_json(
            RESULTS / "sequences_significance.json",
            {"settings": settings, "shuffled": shuffled, "power": powers, "machine": machine()},
        )


if __name__ == "__main__":
    main()
