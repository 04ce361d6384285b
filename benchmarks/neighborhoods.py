"""Neighbourhood tables from coordinates: `python neighborhoods.py [--cells 1000000] [--fovs 100]`.

(`--radius 200` for hundreds of neighbours in place of about 24.)

Simulated tissue (`simulate_tissue`). Measured are

- the command `partwise neighborhoods`, from a CSV to the table, the report and run.json, in each
  mode: wall and CPU seconds and peak memory of the whole process, from the kernel (wait4);
- the counting alone (`neighborhood_table`), in a process of its own that has compiled the kernels;
- the same counts made with scipy's trees in the ways that are usual: all pairs of a field of view
  at once (`query_pairs`), or lists of neighbours (`query_ball_point`), both then summed by type.

The counts of all ways must be equal; a hash of them is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from measures import HERE, machine, peak_memory_mb

DATA = HERE / ".data"
RESULT = HERE / "results" / "neighborhoods.json"
#: about 24 neighbours
RADIUS = 57.0
WAYS = {
    "radius": {"mode": "radius"},
    "radius, gaussian": {"mode": "radius", "kernel": "gaussian"},
    "knn": {"mode": "knn", "n_neighbors": 20},
    "delaunay": {"mode": "delaunay"},
    "hops": {"mode": "hops", "n_hops": 2},
}
FLAGS = {
    "radius": [],
    "knn": ["--neighborhood", "knn", "--nearest", "20"],
    "delaunay": ["--neighborhood", "delaunay"],
    "hops": ["--neighborhood", "hops", "--hops", "2"],
}
SCIPY = ("scipy pairs", "scipy lists")


def table(cells: int, fovs: int) -> Path:
    """Return the file of simulated cells; made if missing."""
    from partwise.datasets import simulate_tissue, write_tissue

    folder = DATA / f"tissue-{cells}-{fovs}"
    path = folder / f"test_cells_{cells}.csv"
    if not path.exists():
        write_tissue(simulate_tissue(cells, n_fovs=fovs, n_types=15, seed=0), folder)
    return path


def arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates, codes of types and codes of fields of view."""
    import pandas as pd

    frame = pd.read_csv(path, usecols=["fov", "cell_meta_cluster", "centroid-0", "centroid-1"])
    xy = frame[["centroid-0", "centroid-1"]].to_numpy(dtype=np.float64)
    types = pd.factorize(frame["cell_meta_cluster"], sort=True)[0]
    return xy, types, pd.factorize(frame["fov"])[0]


def count(way: str, path: Path, threads: int | None, radius: float) -> dict:
    """Count in this process, once to compile and once to measure."""
    xy, types, fov = arrays(path)
    before = peak_memory_mb()
    if way in SCIPY:
        # two decimals: what lies at the radius counts, as in ours, despite rounding
        reach = radius * (1 + 1e-9)
        found, wall, cpu = timed(lambda: by_scipy(way, xy, types, fov, reach))
    else:
        from partwise.graph import neighborhood_table

        settings = dict(WAYS[way])
        if settings["mode"] == "radius":
            settings["radius"] = radius
        few = slice(0, 5_000)
        neighborhood_table(xy[few], types[few], fov=fov[few], **settings)  # compiles, or loads
        found, wall, cpu = timed(
            lambda: neighborhood_table(xy, types, fov=fov, n_threads=threads, **settings).counts
        )
    return {
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_mb": peak_memory_mb(),
        "peak_mb_before": before,
        "mean_neighbors": float(found.sum(dtype=np.float64) / len(found)),
        "sha256": hashlib.sha256(np.ascontiguousarray(found)).hexdigest(),
    }


def timed(work):
    begin, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - begin, time.process_time() - cpu


def by_scipy(way: str, xy, types, fov, radius: float) -> np.ndarray:
    """Return the counts within the radius, made with scipy's trees, field of view by field."""
    from scipy.spatial import cKDTree

    n_types = int(types.max()) + 1
    counts = np.zeros((len(xy), n_types), dtype=np.float32)
    for code in range(int(fov.max()) + 1):
        rows = np.flatnonzero(fov == code)
        tree, own = cKDTree(xy[rows]), types[rows]
        if way == "scipy pairs":
            a, b = tree.query_pairs(radius, output_type="ndarray").T
            place = np.concatenate([a * n_types + own[b], b * n_types + own[a]])
        else:
            lists = tree.query_ball_point(xy[rows], radius)
            who = np.repeat(np.arange(len(rows)), [len(found) for found in lists])
            near = np.concatenate([np.asarray(found, dtype=np.int64) for found in lists])
            place = (who * n_types + own[near])[who != near]
        found = np.bincount(place, minlength=len(rows) * n_types)
        counts[rows] = found.reshape(len(rows), n_types)
    return counts


def command(mode: str, path: Path, threads: int | None, radius: float) -> dict:
    """Run `partwise neighborhoods` and return what the kernel measured."""
    from pipeline import measured

    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "partwise", "neighborhoods", str(path), *FLAGS[mode]]
        words += ["--radius", str(radius)] if mode == "radius" else []
        words += ["-o", folder, "--quiet", *(["--threads", str(threads)] if threads else [])]
        return measured(words)


def alone(way: str, path: Path, threads: int | None, radius: float) -> dict:
    """Run `count` in a process of its own."""
    words = [sys.executable, __file__, "--count", way, "--path", str(path), "--radius", str(radius)]
    words += ["--threads", str(threads)] if threads else []
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def medians(runs: dict[str, list[dict]]) -> dict:
    return {
        name: {
            key: (max if key.startswith("peak") else statistics.median)(run[key] for run in records)
            for key in records[0]
            if key != "sha256"
        }
        for name, records in runs.items()
    }


def check(runs: dict[str, list[dict]]) -> None:
    """Stop unless repeats agree, and scipy's counts are ours."""
    for name, records in runs.items():
        if len({run["sha256"] for run in records}) > 1:
            raise SystemExit(f"{name}: repeats differ")
    for name in SCIPY:
        if name in runs and runs[name][0]["sha256"] != runs["radius"][0]["sha256"]:
            raise SystemExit(f"{name}: other counts than ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--fovs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--radius", type=float, default=RADIUS)
    parser.add_argument("--count", choices=[*WAYS, *SCIPY])
    parser.add_argument("--path", type=Path)
    arguments = parser.parse_args()
    if arguments.count:
        given = arguments.count, arguments.path, arguments.threads, arguments.radius
        print(json.dumps(count(*given)))
        return
    begun = machine()
    many, one = table(arguments.cells, arguments.fovs), table(arguments.cells, 1)
    commands: dict[str, list[dict]] = {mode: [] for mode in FLAGS}
    counts: dict[str, list[dict]] = {way: [] for way in (*WAYS, *SCIPY)}
    single: dict[str, list[dict]] = {way: [] for way in (*WAYS, *SCIPY)}
    for _ in range(arguments.repeats):
        for mode, records in commands.items():
            records.append(command(mode, many, arguments.threads, arguments.radius))
            print("command", mode, json.dumps(records[-1]), flush=True)
        for path, runs in ((many, counts), (one, single)):
            for way, records in runs.items():
                records.append(alone(way, path, arguments.threads, arguments.radius))
                print(path.parent.name, way, json.dumps(records[-1]), flush=True)
    check(counts)
    check(single)
    record = {
        "machine": begun,
        "cells": arguments.cells,
        "fovs": arguments.fovs,
        "types": 15,
        "radius": arguments.radius,
        "command": medians(commands),
        "counting": medians(counts),
        "counting_in_one_field_of_view": medians(single),
    }
    print(json.dumps(record, indent=1))
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
