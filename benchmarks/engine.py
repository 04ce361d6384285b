"""Time to 1.001 times the best known error, from the same random starts: `python engine.py`.

For each engine and start the fewest iterations that reach the target are found by refitting; then
whole fits of that length are timed, all engines in turn in each repeat. The error is computed here
from the factors that a fit returned. `--reference` (hours, not timed) renews the best known errors
and the rivals' iteration counts in reference.json, which a timed run only reads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from common import RESULTS, Session, config, machine, python_of, read_json, write_json
from data import matrix_path
from measures import HERE, relative_error
from protocol import Worker

REFERENCE = HERE / "reference.json"
#: longest fit while looking for the target
LIMIT = 1000
SINGLE_REPEATS = 3


def workers_of(case: dict) -> list[str]:
    named = [*case["engines"], *case.get("single", [])]
    return list(dict.fromkeys(engine.split(":")[0] for engine in named))


def starts_of(case: dict, engine: str) -> list[int]:
    return case.get("only", {}).get(engine, case["starts"])


def version_of(session: Session, engine: str) -> str:
    name, number = next(iter(session.versions()[engine.split(":")[0]].items()))
    return f"{name} {number}"


# --- the reference: best known errors, iterations to the target -----------------------------------


def improve_best(case: dict, session: Session, engine: str, best: dict, iterations: int) -> dict:
    """Fit at length from every start; return the best record known afterwards."""
    for seed in starts_of(case, engine):
        answer, usage, programs = session.fit(
            engine, k=case["k"], max_iter=iterations, tol=0.0, start=session.start(case["k"], seed)
        )
        error = relative_error(session.X, usage, programs)
        print(f"  {engine} start {seed}: {error:.7f} after {answer['n_iter']}", flush=True)
        if not best or error < best["error"]:
            best = {
                "error": error,
                "engine": engine,
                "version": version_of(session, engine),
                "start": seed,
                "iterations": answer["n_iter"],
            }
    return best


def find(case: dict, session: Session, engine: str, target: float) -> dict[str, int | None]:
    """Return the fewest iterations to the target for each start; None if never."""
    found = {}
    for seed in starts_of(case, engine):
        start = session.start(case["k"], seed)
        answer = session.ask(
            engine, "find", k=case["k"], max_iter=LIMIT, target=target, start=start
        )
        found[str(seed)] = answer["iterations"]
    return found


def recorded(reference: dict, case: dict, session: Session, engine: str, target: float):
    """Return the iterations in the reference, or find them; partwise's are always found anew."""
    known = reference["iterations"].get(case["name"], {}).get(engine, {})
    same = known.get("version") == version_of(session, engine) and known.get("target") == target
    asked = [str(seed) for seed in starts_of(case, engine)]
    if same and not engine.startswith("partwise") and set(asked) <= set(known["starts"]):
        return {seed: known["starts"][seed] for seed in asked}
    return find(case, session, engine, target)


def renew_reference(cases: list[dict], settings: dict, engines: set[str], long: int) -> None:
    reference = read_json(REFERENCE, {"best": {}, "iterations": {}})
    for case in cases:
        print(case["name"], flush=True)
        wanted = [e for e in case["engines"] if not engines or e in engines]
        names = {e.split(":")[0] for e in wanted}
        with (
            tempfile.TemporaryDirectory() as folder,
            Session(case["data"], names, settings["threads"], Path(folder)) as session,
        ):
            best = reference["best"].get(case["name"], {})
            for engine in wanted if long else ():
                best = improve_best(case, session, engine, best, long)
            reference["best"][case["name"]] = best
            target = settings["target"] * best["error"]
            for engine in wanted:
                if engine.startswith("partwise"):
                    continue
                found = find(case, session, engine, target)
                print(f"  {engine}: iterations to the target {found}", flush=True)
                reference["iterations"].setdefault(case["name"], {})[engine] = {
                    "version": version_of(session, engine),
                    "target": target,
                    "starts": found,
                }
                write_json(REFERENCE, reference)
        write_json(REFERENCE, reference)


# --- the timed comparison -------------------------------------------------------------------------


def warm_up(case: dict, session: Session, engines: list[str]) -> dict[str, float]:
    """Fit twice, shortly; return the seconds that the first call took above the second."""
    start = session.start(case["k"], case["starts"][0])
    extra = {}
    for engine in engines:
        seconds = [
            session.ask(engine, "fit", k=case["k"], max_iter=2, start=start)["seconds"]
            for _ in range(2)
        ]
        extra[engine] = round(max(seconds[0] - seconds[1], 0.0), 3)
    return extra


def timed_fit(case, session, engine, seed, max_iter, pause) -> dict:
    start = session.start(case["k"], seed)
    time.sleep(pause)
    answer, usage, programs = session.fit(engine, k=case["k"], max_iter=max_iter, start=start)
    error = relative_error(session.X, usage, programs)
    return {"start": seed, **answer, "error": error}


def rounds(case: dict, session: Session, lengths: dict, pause: float, deadline: float):
    """Time all engines in turn, repeat by repeat; return the fits and the repeats left out."""
    fits: dict[str, list[dict]] = {engine: [] for engine in lengths}
    left_out = 0
    for repeat in range(case["repeats"]):
        for seed in case["starts"]:
            if time.monotonic() > deadline and repeat:
                left_out += 1
                continue
            able = [
                engine
                for engine, found in lengths.items()
                if found.get(str(seed)) is not None
                and repeat < case.get("fewer_repeats", {}).get(engine, case["repeats"])
            ]
            turn = (repeat + seed) % max(len(able), 1)
            for engine in able[turn:] + able[:turn]:
                fit = timed_fit(case, session, engine, seed, lengths[engine][str(seed)], pause)
                fits[engine].append({"repeat": repeat, **fit})
    return fits, left_out


def paired_ratios(fits: dict, ours: str, engine: str) -> list[float]:
    """Return rival seconds / our seconds of the same repeat and start."""
    base = {(fit["repeat"], fit["start"]): fit["seconds"] for fit in fits[ours]}
    return [
        fit["seconds"] / base[fit["repeat"], fit["start"]]
        for fit in fits[engine]
        if (fit["repeat"], fit["start"]) in base
    ]


def summarise(case: dict, fits: dict, lengths: dict, target: float) -> dict:
    ours = case["engines"][0]
    summary = {}
    for engine, done in fits.items():
        line: dict = {"iterations": lengths[engine]}
        line["starts_not_reached"] = [s for s, n in lengths[engine].items() if n is None]
        if done:
            line["median_seconds"] = statistics.median(fit["seconds"] for fit in done)
            line["median_cpu_seconds"] = statistics.median(fit["cpu_seconds"] for fit in done)
            line["largest_error"] = max(fit["error"] for fit in done)
            line["all_reached"] = line["largest_error"] <= target
        ratios = paired_ratios(fits, ours, engine)
        if engine != ours and ratios:
            line["ratio"] = {
                "median": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "pairs": len(ratios),
                "required": case.get("required", {}).get(engine),
            }
        summary[engine] = line
    return summary


def run_singles(case: dict, session: Session, pause: float, deadline: float) -> dict:
    """Time programs that stop by a rule of their own; say at which error they stopped."""
    lines = {}
    for engine in case.get("single", []):
        fits: list[dict] = []
        if engine.startswith("partwise"):  # compiles before the clock starts, as above
            timed_fit(case, session, engine, case["starts"][0], LIMIT, pause)
        while len(fits) < SINGLE_REPEATS and (not fits or time.monotonic() < deadline):
            fits.append(timed_fit(case, session, engine, case["starts"][0], LIMIT, pause))
        lines[engine] = {
            "median_seconds": statistics.median(fit["seconds"] for fit in fits),
            "error": fits[0]["error"],
            "iterations": fits[0]["n_iter"],
            "fits": fits,
        }
    return lines


def run_case(case: dict, settings: dict, reference: dict, seconds: float) -> dict:
    begin = time.monotonic()
    best = reference["best"].get(case["name"])
    if not best:
        raise SystemExit(f"no best known error of {case['name']!r}: run engine.py --reference")
    target = settings["target"] * best["error"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(case["data"], workers_of(case), settings["threads"], Path(folder)) as session,
    ):
        extra = warm_up(case, session, case["engines"])
        lengths = {
            engine: recorded(reference, case, session, engine, target) for engine in case["engines"]
        }
        singles = run_singles(case, session, settings["pause_seconds"], begin + 0.15 * seconds)
        fits, left_out = rounds(
            case, session, lengths, settings["pause_seconds"], begin + 0.85 * seconds
        )
        return {
            "name": case["name"],
            "shape": list(session.X.shape),
            "nonzeros": int(getattr(session.X, "nnz", session.X.size)),
            "k": case["k"],
            "best_known": best,
            "target_error": target,
            "repeats": case["repeats"],
            "rounds_left_out": left_out,
            "first_call_extra_seconds": extra,
            "summary": summarise(case, fits, lengths, target),
            "singles": singles,
            "fits": fits,
            "versions": session.versions(),
            "seconds_in_all": round(time.monotonic() - begin, 1),
        }


def cold_compile(case: dict, threads: int) -> float:
    """Return the seconds of a first tiny fit of partwise with an empty cache of machine code."""
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker("partwise", python_of("partwise"), threads, NUMBA_CACHE_DIR=folder)
        worker.ask("load", path=str(matrix_path("tiny_sparse")))
        solver = case["engines"][0].split(":")[1]
        seconds = worker.ask("fit", solver=solver, k=case["k"], max_iter=2)["seconds"]
        worker.close()
    return round(seconds, 2)


def run(cases: list[dict], settings: dict, out: str) -> None:
    result = {
        "what": "wall time to the target error, same random starts, float32",
        "threads": settings["threads"],
        "target": settings["target"],
        "machine": machine(),
        "cases": [],
    }
    end = time.monotonic() + 60 * settings["deadline_minutes"]
    reference = read_json(REFERENCE, {"best": {}, "iterations": {}})
    result["cold_compile_seconds"] = cold_compile(cases[0], settings["threads"])
    for i, case in enumerate(cases):
        share = (end - time.monotonic()) / (len(cases) - i)
        result["cases"].append(run_case(case, settings, reference, share))
        write_json(RESULTS / f"{out}.json", result)
        print_case(result["cases"][-1])


def print_case(case: dict) -> None:
    print(f"{case['name']}: target {case['target_error']:.6f}, {case['seconds_in_all']} s in all")
    for engine, line in {**case["summary"], **case["singles"]}.items():
        ratio = line.get("ratio")
        note = f"  ratio {ratio['median']:.1f} ({ratio['pairs']} pairs)" if ratio else ""
        seconds = line.get("median_seconds")
        shown = f"{seconds:9.3f} s" if seconds else "not reached"
        print(f"  {engine:22} {shown}  {line['iterations']}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", help="name of a case in config.toml")
    parser.add_argument("--out", default="engine", help="results/OUT.json")
    parser.add_argument("--repeats", type=int, help="instead of the configured repeats")
    parser.add_argument("--reference", action="store_true", help="renew reference.json")
    parser.add_argument("--engines", nargs="*", default=[], help="with --reference: only these")
    parser.add_argument(
        "--long",
        type=int,
        default=1000,
        help="with --reference: iterations of the long fits; 0: only count those to the target",
    )
    args = parser.parse_args()
    settings = config()
    cases = [c for c in settings["engine"] if not args.case or c["name"] in args.case]
    if args.reference:
        renew_reference(cases, settings, set(args.engines), args.long)
        return
    if args.repeats:
        cases = [{**case, "repeats": args.repeats} for case in cases]
    run(cases, settings, args.out)


if __name__ == "__main__":
    main()
