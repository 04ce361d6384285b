"""Converged error over seeds, ours beside scikit-learn's: `python quality.py`.

Each program starts by its own init (nndsvda, then random) and stops by its own rule, made tight.
The errors do not depend on the machine's load, so scikit-learn's are kept in results/quality.json
and reused while its version and settings stay the same; `--refresh` computes them again (about an
hour). Ours are computed in every run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from common import RESULTS, Session, config, machine, read_json, write_json
from measures import relative_error

OUT = RESULTS / "quality.json"
#: below this relative error the fit is exact to float32 precision and ratios say nothing
EXACT = 1e-4


def kept_errors(old: dict, key: str, setting: dict) -> dict[str, dict]:
    """Return the fits of an earlier run by the same version with the same settings."""
    record = old.get("fits", {}).get(key, {})
    return record.get("seeds", {}) if record.get("setting") == setting else {}


def fit_seeds(session: Session, engine: str, case, limits, seeds, done: dict, deadline) -> None:
    """Add {seed: {error, iterations}} to `done`; seeds without time left stay missing."""
    for seed in range(seeds):
        if str(seed) not in done and time.monotonic() < deadline:
            answer, usage, programs = session.fit(engine, k=case["k"], seed=seed, **limits)
            error = relative_error(session.X, usage, programs)
            done[str(seed)] = {"error": error, "iterations": answer["n_iter"]}


def verdict(ours, rival, allowed_percent: float) -> dict:
    """Compare best and median; `worse_percent` below zero means that ours is better.

    Each side is (fits, most iterations allowed).
    """
    lines: dict = {
        "seeds": [len(fits) for fits, _ in (ours, rival)],
        "stopped_by_max_iter": [
            sum(fit["iterations"] >= limit for fit in fits) for fits, limit in (ours, rival)
        ],
    }
    for name, measure in (("best", min), ("median", statistics.median)):
        a, b = (measure([fit["error"] for fit in fits]) for fits, _ in (ours, rival))
        lines[name] = {"ours": a, "rival": b, "worse_percent": 100 * (a / b - 1)}
    lines["exact_fit"] = lines["median"]["ours"] < EXACT
    lines["holds"] = lines["exact_fit"] or all(
        lines[name]["worse_percent"] <= allowed_percent for name in ("best", "median")
    )
    return lines


def run_case(case, settings, threads, old: dict, result: dict, deadline: float, ours: bool):
    engines = [settings["rival"], *([settings["ours"]] if ours else [])]
    workers = [engine.split(":")[0] for engine in engines]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(case["data"], workers, threads, Path(folder)) as session,
    ):
        for init, seeds in settings["seeds"].items():
            done: list[tuple[list[dict], int]] = []
            for engine, worker in zip(engines, workers, strict=True):
                limits = dict(settings["limits"][worker])
                limits["max_iter"] = case.get("max_iter", {}).get(worker, limits["max_iter"])
                setting = {**limits, "versions": session.versions()[worker]}
                key = f"{case['name']} {init} {engine}"
                kept = {} if worker == "partwise" else kept_errors(old, key, setting)
                fits = {str(i): kept[str(i)] for i in range(seeds) if str(i) in kept}
                result["fits"][key] = {"setting": setting, "seeds": fits}
                try:
                    fit_seeds(session, f"{engine}/{init}", case, limits, seeds, fits, deadline)
                finally:  # what was computed is kept if the run is interrupted
                    write_json(OUT, result)
                done.append((list(fits.values()), limits["max_iter"]))
            if ours and all(fits for fits, _ in done):
                line = verdict(done[1], done[0], settings["worse_percent"])
                result["verdicts"][f"{case['name']} {init}"] = line
                print(f"{case['name']} {init}: {line}", flush=True)
                write_json(OUT, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append")
    parser.add_argument("--refresh", action="store_true", help="scikit-learn's errors too")
    parser.add_argument("--rival-only", action="store_true")
    parser.add_argument("--minutes", type=float, help="instead of the configured deadline")
    args = parser.parse_args()
    settings = config()["quality"]
    old = {} if args.refresh else read_json(OUT, {})
    result = {
        "what": "relative error ||X - WH|| / ||X|| at convergence, by seed",
        "worse_percent_allowed": settings["worse_percent"],
        "machine": machine(),
        "fits": dict(old.get("fits", {})),
        "verdicts": dict(old.get("verdicts", {})) if args.case else {},
    }
    deadline = time.monotonic() + 60 * (args.minutes or settings["deadline_minutes"])
    for case in settings["case"]:
        if not args.case or case["name"] in args.case:
            run_case(
                case, settings, config()["threads"], old, result, deadline, not args.rival_only
            )


if __name__ == "__main__":
    main()
