"""Choosing the rank: planted ranks found, and the time of a scan.

`python benchmarks/rank.py recovery` simulates tables of known rank and asks for it; it takes 10
minutes and does not depend on load. `scan` times the fits of ten ranks from five starts on pbmc3k
against scikit-learn's; it takes 10 minutes of a quiet machine. `table` writes docs/rank.md.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, Session, config, read_json, write_json
from data import matrix_path
from measures import load_matrix, machine, relative_error
from partwise import select_rank, simulate_programs
from partwise.utils.atomic import write_text

OUT = RESULTS / "rank.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "rank.md"

RANKS, LEVELS, NOISES, SEEDS = (5, 10, 20), (0.2, 0.35, 0.5), ("poisson", "gaussian"), (0, 1, 2)
SHAPE = (1000, 500)
#: the ranks over which a knee is looked for: where it lies depends on where they end
KNEE_RANKS = range(2, 41, 2)
#: a rank counts as found within this distance
CLOSE = 1

SCAN_RANKS, SCAN_SEEDS = range(4, 41, 4), range(5)
#: least times faster than scikit-learn's fits of the same ranks and seeds
REQUIRED = 4.0


def largest_drop(summary: Any) -> int:
    """Return the rank before the largest fall of the cophenetic correlation (Brunet et al.)."""
    part = (
        summary[summary["curve"] == "cophenetic_correlation"]
        .sort_values("rank")
        .dropna(subset="mean")
    )
    means, ranks = part["mean"].to_numpy(), part["rank"].to_numpy()
    return int(ranks[int(np.argmax(means[:-1] - means[1:]))])


def recover(noise: str, rank: int, level: float, seed: int) -> dict[str, Any]:
    n, p = SHAPE
    sim = simulate_programs(n, p=p, rank=rank, noise=noise, level=level, seed=seed)
    X = sim.X.astype(np.float32)
    begun = time.perf_counter()
    found = select_rank(X, random_state=seed)
    seconds = time.perf_counter() - begun
    knee = select_rank(X, KNEE_RANKS, methods="elbow", n_replicates=1, random_state=seed)
    line = {
        "noise": noise,
        "rank": rank,
        "level": level,
        "seed": seed,
        "recommended": found.recommended,
        "confidence": found.confidence,
        "alternatives": list(found.alternatives),
        "spectrum": found.by_method["spectrum"],
        "stability": found.by_method["stability"],
        "cophenetic_drop": largest_drop(found.summary),
        "knee": knee.by_method["knee of the training error"],
        "ranks": list(found.ranks),
        "seconds": seconds,
    }
    print(line, flush=True)
    return line


def recovery(levels: tuple[float, ...], seeds: tuple[int, ...], out: Path) -> None:
    """Run all simulations; what is done is written after each, so that a run may be cut."""
    lines: list[dict[str, Any]] = []
    for noise in NOISES:
        for rank in RANKS:
            for level in levels:
                for seed in seeds:
                    lines.append(recover(noise, rank, level, seed))
                    write_json(out, read_json(out, {}) | {"recovery": summarise(lines)})


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the simulations whose rank each criterion finds."""
    criteria = ("recommended", "spectrum", "stability", "cophenetic_drop", "knee")
    runs_of = {str(rank): sum(line["rank"] == rank for line in lines) for rank in RANKS}
    found = {
        name: sum(abs(line[name] - line["rank"]) <= CLOSE for line in lines) for name in criteria
    }
    by_rank = {
        name: {
            str(rank): sum(
                abs(line[name] - rank) <= CLOSE for line in lines if line["rank"] == rank
            )
            for rank in RANKS
        }
        for name in criteria
    }
    return {
        "shape": SHAPE,
        "of": len(lines),
        "of_by_rank": runs_of,
        "found": found,
        "found_by_rank": by_rank,
        "holds": found["recommended"] == len(lines) and found["knee"] < len(lines),
        "runs": lines,
    }


def ours(X: Any, ranks: list[int], seeds: int, methods: tuple[str, ...], threads: int):
    """Scan; return the seconds and the mean training error at each rank."""
    begun = time.perf_counter()
    found = select_rank(X, ranks, methods=methods, n_replicates=seeds, n_threads=threads)
    seconds = time.perf_counter() - begun
    errors = found.table.groupby("rank")["training_error"].mean()
    iterations = found.table.groupby("rank")["iterations"].mean()
    return {
        "seconds": seconds,
        "error": [float(errors[k]) for k in ranks],
        "iterations": [float(iterations[k]) for k in ranks],
        "fits": int(found.table[["training_error", "held_out_error"]].notna().sum().sum()),
        "recommended": found.recommended,
    }


def theirs(session: Session, ranks: list[int], seeds: int) -> dict[str, Any]:
    """Fit each rank from each seed, by scikit-learn with its defaults and random starts."""
    seconds, errors, iterations = [], [], []
    for k in ranks:
        answers = [
            session.fit("sklearn:cd/random", k=k, max_iter=200, tol=1e-4, seed=seed)
            for seed in range(seeds)
        ]
        seconds.append(sum(answer["seconds"] for answer, _, _ in answers))
        iterations.append(statistics.mean(answer["n_iter"] for answer, _, _ in answers))
        errors.append(statistics.mean(relative_error(session.X, W, H) for _, W, H in answers))
        print(f"scikit-learn k={k}: {seconds[-1]:.1f} s, error {errors[-1]:.5f}", flush=True)
    return {"seconds": sum(seconds), "error": errors, "iterations": iterations}


def scan(name: str, ranks: list[int], seeds: int, threads: int) -> dict[str, Any]:
    X = load_matrix(matrix_path(name))
    select_rank(X[:200], [2], n_replicates=2, n_threads=threads)  # compiles before the clock starts
    select_rank(X, ranks[-1:], n_replicates=2, n_threads=threads, max_iter=2)
    result: dict[str, Any] = {"data": name, "ranks": ranks, "seeds": seeds, "threads": threads}
    result["machine"] = machine()
    fits = ours(X, ranks, seeds, ("stability", "elbow"), threads)
    print("the same fits, with stability and spectrum:", fits, flush=True)
    everything = ours(X, ranks, seeds, ("cv", "stability", "elbow"), threads)
    print("and held-out error:", everything, flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(name, ["sklearn"], threads, Path(folder)) as session,
    ):
        other = theirs(session, ranks, seeds)
        result["versions"] = session.versions()
    result |= {"fits": fits, "everything": everything, "sklearn": other}
    result["times_faster"] = other["seconds"] / fits["seconds"]
    result["times_faster_with_held_out"] = other["seconds"] / everything["seconds"]
    # scikit-learn's products with sparse data run on one thread: several processes could share
    # the cores at best without loss
    result["times_faster_than_processes"] = result["times_faster"] / threads
    result["error_ratio"] = max(a / b for a, b in zip(fits["error"], other["error"], strict=True))
    result["holds"] = result["times_faster"] >= REQUIRED and result["error_ratio"] <= 1.001
    print({k: result[k] for k in ("times_faster", "times_faster_with_held_out", "error_ratio")})
    return result


def table(results: dict[str, Any]) -> str:
    """Return the tables of docs/rank.md."""
    parts = []
    if "recovery" in results:
        parts.append(recovery_table(results["recovery"]))
    if "scan" in results:
        parts.append(scan_table(results["scan"]))
    return "\n\n".join(parts)


def recovery_table(found: dict[str, Any]) -> str:
    n, p = found["shape"]
    names = {
        "recommended": "**`select_rank`** (held-out error)",
        "spectrum": "spectrum beside noise",
        "stability": "largest stable rank",
        "cophenetic_drop": "before the largest drop of the cophenetic correlation",
        "knee": f"knee of the training error over {KNEE_RANKS[0]} to {KNEE_RANKS[-1]}",
    }
    head = "| criterion | " + " | ".join(f"planted {k}" for k in RANKS) + " | all |"
    rows = [
        f"| {text} | "
        + " | ".join(
            f"{found['found_by_rank'][name][str(k)]} of {found['of_by_rank'][str(k)]}"
            for k in RANKS
        )
        + f" | {found['found'][name]} of {found['of']} |"
        for name, text in names.items()
    ]
    levels = sorted({line["level"] for line in found["runs"]})
    return (
        f"Planted ranks found to within {CLOSE}, in {n:,} x {p:,} simulated tables "
        f"(`simulate_programs`: Poisson and Gaussian noise of {', '.join(map(str, levels))} times "
        "what is planted, programs of uneven size):\n\n"
        + "\n".join([head, "|---" * (len(RANKS) + 2) + "|", *rows])
    )


def scan_table(found: dict[str, Any]) -> str:
    ranks, seeds = found["ranks"], found["seeds"]
    busy = found["machine"].get("processor_in_use_at_start", 0.0)
    rows = [
        f"| scikit-learn {found['versions']['sklearn']['scikit-learn']}, {len(ranks) * seeds} fits "
        f"| {found['sklearn']['seconds']:.0f} s | |",
        f"| the same number of fits, stability, spectrum | {found['fits']['seconds']:.1f} s "
        f"| {found['times_faster']:.0f}x |",
        f"| and as many fits for the held-out error | {found['everything']['seconds']:.1f} s "
        f"| {found['times_faster_with_held_out']:.0f}x |",
    ]
    return (
        f"{len(ranks)} ranks ({ranks[0]} to {ranks[-1]}) from {seeds} starts on {found['data']}, "
        f"{found['threads']} threads; {100 * busy:.0f} % of the processor was in use by others. "
        f"Our training errors are at most {found['error_ratio']:.5f} of scikit-learn's at any "
        "rank.\n\n"
        "| | time | faster |\n|---|---|---|\n" + "\n".join(rows)
    )


def write_page(results: dict[str, Any]) -> None:
    begin, end = "<!-- measured: begin -->\n", "<!-- measured: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    write_text(PAGE, f"{before}{begin}\n{table(results)}\n\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["recovery", "scan", "table"])
    parser.add_argument("--data", default="pbmc3k")
    parser.add_argument("--ranks", type=int, nargs="+", default=list(SCAN_RANKS))
    parser.add_argument("--seeds", type=int, default=len(SCAN_SEEDS))
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS))
    parser.add_argument("--simulations", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    results = read_json(asked.out, {})
    if "recovery" in asked.what:
        recovery(tuple(asked.levels), tuple(asked.simulations), asked.out)
        results = read_json(asked.out, {})
    if "scan" in asked.what:
        threads = config()["threads"]
        results["scan"] = scan(asked.data, asked.ranks, asked.seeds, threads)
        write_json(asked.out, results)
    if "table" in asked.what:
        write_page(results)


if __name__ == "__main__":
    main()
