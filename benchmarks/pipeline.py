"""`partwise cluster` against the original pipeline, in turn: `python pipeline.py`.

Wall time and peak memory are those of the whole child process, from the kernel (wait4), so imports,
files and the report are included. The adjusted Rand index is against the planted types.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import data
from common import RESULTS, config, machine, write_json
from make_env import env_python
from measures import HERE, adjusted_rand, relative_error
from protocol import THREAD_VARIABLES


def measured(command: list[str]) -> dict:
    """Run a command; return wall and CPU seconds and the peak resident memory of its processes."""
    environment = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{errors[-3000:]}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def commands(settings: dict, table: Path, names: list[str]) -> dict[str, list[str]]:
    """Return the command of each named program, without its output folder."""
    flags = [str(table)]
    for flag, name in (("-n", "n_components"), ("-k", "n_neighbors"), ("-r", "resolution")):
        flags += [flag, str(settings[name])]
    flags += ["-s", str(settings["seed"])]
    found = {"partwise": [sys.executable, "-m", "partwise", "cluster", *flags]}
    if "original" in names:
        found["original"] = [
            str(env_python("original")), str(HERE / "run_original.py"), *flags
        ]  # fmt: skip
    return {name: found[name] for name in names}


def judge(folder: Path, table: Path) -> dict:
    """Return agreement with the planted types, number of clusters and error, from the outputs."""
    clusters = pd.read_csv(next(folder.rglob("*_nmf_leiden_clusters.csv")))
    basis = pd.read_csv(next(folder.rglob("*_nmf_basis_H.csv")), index_col=0)
    factors = [name for name in clusters.columns if name.startswith("NMF_factor_")]
    X = data.load_features(table)
    return {
        "adjusted_rand": adjusted_rand(clusters["leiden_cluster"], clusters["cell_meta_cluster"]),
        "clusters": int(clusters["leiden_cluster"].nunique()),
        "relative_error": relative_error(X, clusters[factors].to_numpy(), basis[factors].T),
    }


def run_once(name: str, command: list[str], table: Path) -> dict:
    with tempfile.TemporaryDirectory(dir=data.DATA) as folder:
        extra = ["-o", folder]
        if name == "original":
            extra += ["--stages", str(Path(folder) / "stages.json")]
        run = measured(command + extra)
        run.update(judge(Path(folder), table))
        run["stages"] = stages(Path(folder))
        return run


def stages(folder: Path) -> dict[str, float]:
    """Return the wall seconds of each stage: of run.json (ours) or stages.json (the original)."""
    ours = folder / "run.json"
    if ours.exists():
        return {s["name"]: s["wall_seconds"] for s in json.loads(ours.read_text())["stages"]}
    return json.loads((folder / "stages.json").read_text())


def ratios(runs: dict[str, list[dict]], settings: dict) -> dict:
    if not all(runs.values()):
        return {}

    def ratio(measure: str) -> float:
        ours, theirs = (statistics.median(r[measure] for r in runs[n]) for n in runs)
        return theirs / ours

    return {
        "speed": ratio("seconds"),
        "speed_required": settings["required_speed"],
        "memory": ratio("peak_mb"),
        "memory_required": settings["required_memory"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a table of data.py instead of the configured one")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--only", choices=["partwise", "original"])
    parser.add_argument("--out", default="pipeline", help="results/OUT.json")
    args = parser.parse_args()
    settings = config()["pipeline"]
    table = data.ensure(args.data or settings["data"])
    names = [args.only] if args.only else ["partwise", "original"]
    asked = commands(settings, table, names)
    first = {}
    for name in names:  # both have their machine code cached before the clock starts
        warm = commands(settings, data.ensure("tiny_table"), [name])[name]
        with tempfile.TemporaryDirectory() as folder:
            first[name] = measured([*warm, "-o", folder])
    result: dict = {
        "what": "whole program, from a CSV to its outputs",
        "data": table.stem,
        "settings": settings,
        "machine": machine(),
        "first_run_on_tiny_table": first,
        "runs": {name: [] for name in names},
    }
    for _ in range(args.pairs):
        for name in names:
            run = run_once(name, asked[name], table)
            print(name, run, flush=True)
            result["runs"][name].append(run)
            result["ratios"] = ratios(result["runs"], settings) if len(names) == 2 else {}
            write_json(RESULTS / f"{args.out}.json", result)
    print(result["ratios"])


if __name__ == "__main__":
    main()
