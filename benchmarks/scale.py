"""Large tables on one machine: `python scale.py [CASE ...] [--cells 10000000]`.

Each case is a process of its own, sampled every 50 ms: wall seconds, and the peak of the resident
memory of the process and all its children together. The seconds and the peak by stage come from
run.json. Cases:

- continuous, discrete: `partwise cluster` on ten million cells, files and report included;
- k120: `partwise cluster -k 120` on 1.2 million cells;
- standard: the same with k = 15;
- factorize_continuous, factorize_discrete: `partwise factorize` on ten million cells;
- fit_continuous, fit_discrete: the fit alone, reading the rows from the spool on disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import data
from common import RESULTS, machine, read_json, write_json

N_COMPONENTS = 6
#: case -> (mode of the simulated table, or None for 1.2 million cells; what is run)
CASES = {
    "continuous": ("original", "cluster"),
    "discrete": ("discrete", "cluster"),
    "k120": (None, "cluster"),
    "standard": (None, "cluster"),
    "factorize_continuous": ("original", "factorize"),
    "factorize_discrete": ("discrete", "factorize"),
    "fit_continuous": ("original", "fit"),
    "fit_discrete": ("discrete", "fit"),
}
#: GB that a case may take, where the project promises something
ALLOWED = {
    "continuous": 6.0,
    "discrete": 4.0,
    "k120": 8.0,
    "fit_continuous": 1.0,
    "fit_discrete": 1.0,
}


def table_of(mode: str | None, cells: int) -> Path:
    """Return the table of a mode, simulated on first use."""
    if mode is None:
        return data.ensure("table1200k" if cells >= 1_200_000 else "tiny_table")
    folder = data.DATA / "scale" / mode
    path = folder / f"test_neighborhood_freqs_{cells}.csv"
    if not path.exists():
        command = [sys.executable, "-m", "partwise", "simulate", "neighborhoods", "-n", str(cells)]
        run = watched([*command, "--mode", mode, "-o", str(folder)])
        print(f"simulated {path.name} ({mode})", run, flush=True)
    return path


def resident_kb(root: int) -> int:
    """Return the resident memory of a process and all that it started, in kB."""
    parents, sizes = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = dict(
                    line.split(":", 1) for line in (entry / "status").read_text().splitlines()
                )
            except (OSError, ValueError):
                continue
            if "VmRSS" in fields:
                pid = int(entry.name)
                parents[pid] = int(fields["PPid"])
                sizes[pid] = int(fields["VmRSS"].split()[0])
    total, front = 0, [root]
    while front:
        pid = front.pop()
        total += sizes.get(pid, 0)
        front += [child for child, parent in parents.items() if parent == pid]
    return total


def watched(command: list[str]) -> dict:
    """Run a command; return wall and CPU seconds and the peak memory of its process tree."""
    peak, over = 0, threading.Event()
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, resident_kb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    told, errors = process.communicate()
    seconds = time.perf_counter() - begin
    over.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{errors[-3000:]}")
    return {"seconds": seconds, "peak_gb": peak * 1024 / 1e9, "told": told}


def run_case(name: str, cells: int) -> dict:
    """Run one case."""
    mode, what = CASES[name]
    table = table_of(mode, cells)
    with tempfile.TemporaryDirectory(dir=data.DATA) as folder:
        if what == "fit":
            run = watched([sys.executable, __file__, "--fit", str(table)])
            told = json.loads(run.pop("told").splitlines()[-1])
            return {**run, "fit": told}
        command = [sys.executable, "-m", "partwise", what, str(table), "--quiet"]
        command += ["-n", str(N_COMPONENTS), "-o", folder]
        if name == "k120":
            command += ["-k", "120"]
        run = watched(command)
        del run["told"]
        record = json.loads((Path(folder) / "run.json").read_text())
    run["stages"] = {
        stage["name"]: {
            "seconds": stage["wall_seconds"],
            "peak_gb_until_its_end": stage["peak_memory_bytes"] / 1e9,
        }
        for stage in record["stages"]
    }
    keys = ("n_cells", "n_distinct_rows", "n_clusters", "relative_error", "n_iter", "modularity")
    run["results"] = {key: record["results"][key] for key in keys if key in record["results"]}
    return run


def fit(table: Path) -> dict:
    """Fit in this process with all rows on disk; the peak of the fit has the libraries in it."""
    import partwise
    from partwise.io import open_table
    from partwise.utils.memory import peak_memory_bytes

    with open_table(table, memory_limit=0, spool_dir=data.DATA) as opened:
        read = peak_memory_bytes()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        begin = time.perf_counter()
        model = partwise.NMF(N_COMPONENTS, random_state=42)
        usage = model.fit_transform(opened.matrix)
        return {
            "seconds": time.perf_counter() - begin,
            "peak_gb": peak_memory_bytes() / 1e9,
            "peak_gb_of_reading": read / 1e9,
            "usage_gb": usage.nbytes / 1e9,
            "relative_error": model.result_.relative_error,
            "iterations": model.n_iter_,
            "cells": usage.shape[0],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--cells", type=int, default=10_000_000)
    parser.add_argument("--out", default="scale", help="results/OUT.json")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fit:
        print(json.dumps(fit(args.fit)))
        return
    unknown = set(args.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {sorted(unknown)[0]!r}")
    path = RESULTS / f"{args.out}.json"
    result = read_json(path, {"what": "large tables, whole programs", "cases": {}})
    for name in args.cases or CASES:
        told = {"cells": args.cells, "allowed_gb": ALLOWED.get(name), "machine": machine()}
        told |= run_case(name, args.cells)
        print(name, json.dumps(told), flush=True)
        result["cases"][name] = told
        write_json(path, result)


if __name__ == "__main__":
    main()
