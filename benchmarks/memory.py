"""Estimated memory of `partwise cluster` beside the measured peak: `python memory.py`.

Each run is a process of its own; its peak is the largest resident memory that the kernel has seen
(in run.json). The estimate is that of `--dry-run`, made before from the file alone. No times are
kept, so a busy machine does no harm; `--times` prints those of the stages beside their estimates,
on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from common import write_json
from measures import HERE, machine

DATA = HERE / ".data" / "memory"
RESULT = HERE / "results" / "memory.json"

#: (rows, features, arguments): a table of measurements unless rows are drawn from few counts
RUNS = [
    (50_000, 6, ["-n", "6"]),
    (200_000, 6, ["-n", "6"]),
    (1_200_000, 6, ["-n", "6"]),
    (200_000, 6, ["-n", "6", "-k", "60"]),
    (200_000, 50, ["-n", "10"]),
    (100_000, 500, ["-n", "10"]),
    (100_000, 500, ["-n", "10", "--memory", "780MB"]),
]
#: rows repeat: the estimate is a bound
DISCRETE = (1_200_000, 6, ["-n", "6"])
LIMIT = 1.3


def write_table(path: Path, rows: int, features: int, discrete: bool) -> None:
    """Write a table of `features` shares made of a few programs, or of counts of 15 neighbours."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    rng = np.random.default_rng(1)
    rank = min(8, max(3, features // 2))
    programs = rng.gamma(0.5, size=(rank, features)) + 1e-3
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["fov", "label", "cell_meta_cluster", *(f"F{j}" for j in range(features))]
    with pa_csv.CSVWriter(path, _schema(names, features)) as writer:
        for first in range(0, rows, 50_000):
            n = min(50_000, rows - first)
            usage = rng.gamma(0.3, size=(n, rank))
            usage[np.arange(n), rng.integers(0, rank, n)] += 5
            X = usage @ programs * rng.uniform(0.9, 1.1, (n, features))
            X /= X.sum(axis=1, keepdims=True)
            if discrete:
                X = rng.multinomial(15, X) / 15
            label = np.arange(first, first + n)
            columns = [[f"FOV{i * 100 // rows}" for i in label], label]
            columns += [[f"type{i}" for i in rng.integers(0, 6, n)], *X.astype(np.float32).T]
            arrays = [pa.array(column) for column in columns]
            writer.write_batch(pa.record_batch(arrays, names=names))


def _schema(names: list[str], features: int):
    import pyarrow as pa

    kinds = [pa.string(), pa.int64(), pa.string(), *[pa.float32()] * features]
    return pa.schema(list(zip(names, kinds, strict=True)))


def run(rows: int, features: int, arguments: list[str], discrete: bool = False) -> dict:
    """Estimate and run; return both, and what was run."""
    kind = "counts" if discrete else "shares"
    table = DATA / f"{kind}_{rows}_{features}.csv"
    if not table.exists():
        write_table(table, rows, features, discrete)
    out = DATA / "results"
    command = [sys.executable, "-m", "partwise", "cluster", str(table), "-o", str(out), *arguments]
    plan = json.loads(_output([*command, "--dry-run", "--json"]))
    _output([*command, "--quiet"])
    record = json.loads((out / "run.json").read_text())
    shutil.rmtree(out)
    peak, estimate = record["peak_memory_bytes"], plan["estimated_peak_memory_bytes"]
    stages = plan["estimated_memory_bytes"]
    return {
        "rows": rows,
        "features": features,
        "kind": kind,
        "arguments": " ".join(arguments),
        "distinct_rows": record["results"]["n_distinct_rows"],
        "estimated_mb": round(estimate / 1e6),
        "peak_mb": round(peak / 1e6),
        "ratio": round(estimate / peak, 3),
        "largest_stage": max(stages, key=stages.get),
        "_plan": plan,
        "_record": record,
    }


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", action="store_true", help="print seconds of the stages, too")
    arguments = parser.parse_args()
    found = []
    for discrete, settings in [(False, run) for run in RUNS] + [(True, DISCRETE)]:
        row = run(*settings, discrete=discrete)
        plan, record = row.pop("_plan"), row.pop("_record")
        found.append(row)
        print(row, flush=True)
        if arguments.times:
            estimate = plan["estimated_seconds"]
            for stage in record["stages"]:
                wall, cpu = stage["wall_seconds"], stage["cpu_seconds"]
                expected = [v for k, v in estimate.items() if stage["name"] in k.split()] or "-"
                print(
                    f"  {stage['name']:10s} {wall:8.2f} s, {cpu:8.2f} s CPU, estimated {expected}"
                )
    shares = [row for row in found if row["kind"] == "shares"]
    worst = max(max(row["ratio"], 1 / row["ratio"]) for row in shares)
    write_json(
        RESULT,
        {
            "what": "estimated peak memory of partwise cluster beside the measured one",
            "machine": machine(),
            "required_ratio": LIMIT,
            "worst_ratio": round(worst, 3),
            "within": bool(worst <= LIMIT),
            "runs": found,
        },
    )


if __name__ == "__main__":
    main()
