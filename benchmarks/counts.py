"""Time to a given deviance of counts: partwise against scikit-learn's multiplicative updates.

    python benchmarks/make_env.py sklearn
    python benchmarks/counts.py

pbmc3k, raw counts, k = 20, the same random starts, both programs in turn on the same cores. The
target is a multiple of the best deviance that any of our long fits reaches. scikit-learn runs in
pieces of ten iterations, each from the factors of the last, which is the path of one long run;
only the pieces are timed, not the measuring between them. Results: results/counts.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from common import RESULTS, Session, config, write_json
from measures import deviance, machine

K = 20
TARGETS = (1.01, 1.001)


def best_deviance(session: Session, seeds: list[int]) -> float:
    """Return the least deviance of long fits."""
    found = []
    for seed in seeds:
        settings = {"k": K, "max_iter": 1500, "tol": 1e-7, "start": session.start(K, seed)}
        _, usage, programs = session.fit("partwise:newton", **settings)
        found.append(deviance(session.X, usage, programs))
        print(f"long fit {seed}: {found[-1]:.1f}", flush=True)
    return min(found)


def ours(session: Session, seed: int, target: float, repeats: int) -> dict:
    """Return seconds of the shortest fit that reaches the target, from call to return."""
    start = session.start(K, seed)
    iterations = 1
    while True:
        settings = {"k": K, "max_iter": iterations, "start": start}
        _, usage, programs = session.fit("partwise:newton", **settings)
        reached = deviance(session.X, usage, programs)
        if reached <= target:
            break
        if iterations >= 400:
            return {"iterations": None, "deviance": reached}
        iterations += 1 if iterations < 20 else 5
    times = [session.fit("partwise:newton", **settings)[0] for _ in range(repeats)]
    return {
        "iterations": iterations,
        "seconds": median(t["seconds"] for t in times),
        "cpu_seconds": median(t["cpu_seconds"] for t in times),
        "deviance": reached,
    }


def theirs(session: Session, seed: int, target: float, budget: float) -> dict:
    """Return seconds until the target; or, where the budget ends first, what was reached."""
    return session.ask(
        "sklearn:mu", "chase", k=K, start=session.start(K, seed), target=target, budget=budget
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=120, help="seconds for the rival, a start")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    threads = config()["threads"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session("pbmc3k counts", {"partwise", "sklearn"}, threads, Path(folder)) as session,
    ):
        best = best_deviance(session, options.seeds)
        rows = []
        for seed in options.seeds:
            row = {"seed": seed, "partwise": {}}
            for ratio in TARGETS:
                row["partwise"][str(ratio)] = ours(session, seed, ratio * best, options.repeats)
            row["sklearn"] = theirs(session, seed, TARGETS[0] * best, options.budget)
            row["sklearn"]["ratio"] = row["sklearn"]["deviance"] / best
            if row["partwise"]["1.01"]["iterations"]:
                row["faster"] = row["sklearn"]["seconds"] / row["partwise"]["1.01"]["seconds"]
            print(row, flush=True)
            rows.append(row)
        result = {
            "machine": machine(),
            "versions": session.versions(),
            "threads": threads,
            "k": K,
            "best_deviance": best,
            "starts": rows,
        }
    write_json(RESULTS / "counts.json", result)


if __name__ == "__main__":
    main()
