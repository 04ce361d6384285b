"""`partwise programs` against the cnmf package, from counts to programs: `python consensus.py`.

Both get the same file, the same numbers of programs and of replicates, and two cores: partwise two
threads, cnmf two processes of one thread each, which is the faster way for it. Wall time is that of
the whole program, imports, figures and files included. Memory is the sum over all its processes of
their proportional share (PSS), sampled while it runs; pages that processes share count once.
Programs are matched one to one by the cosine of their weights on the chosen genes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

import data
from common import RESULTS, machine, write_json
from make_env import env_python
from measures import HERE
from protocol import THREAD_VARIABLES

REQUIRED_SPEED, REQUIRED_MEMORY, REQUIRED_COSINE = 8.0, 2.0, 0.98
#: A number of programs counts as stable if both reach this share of their highest stability.
STABLE = 0.9
SEED = 14


def counts_file() -> Path:
    """Return the counts of pbmc3k as h5ad, made on first use."""
    path = data.DATA / "pbmc3k_counts.h5ad"
    if not path.exists():
        import anndata
        import pandas as pd

        data.DATA.mkdir(exist_ok=True)
        X = sp.load_npz(data.source("pbmc3k.npz")).astype(np.float32).tocsr()
        obs = pd.DataFrame(index=[f"cell{i}" for i in range(X.shape[0])])
        var = pd.DataFrame(index=[f"gene{j}" for j in range(X.shape[1])])
        temporary = path.with_suffix(".part.h5ad")
        anndata.AnnData(X, obs=obs, var=var).write_h5ad(temporary)
        temporary.replace(path)
    return path


def family(root: int) -> list[int]:
    """Return a process and all below it."""
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                queue += [int(word) for word in task.read_text().split()]
            except OSError:
                continue
    return found


def proportional_mb(root: int) -> float:
    """Return the proportional memory of a process and all below it, in MB."""
    total = 0
    for pid in family(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def measured(command: list[str], threads: int) -> dict:
    """Run a command; return its wall seconds and the peak memory of all its processes."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    peak, done = 0.0, threading.Event()
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.1):
                peak = max(peak, proportional_mb(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begin
        done.set()
        watcher.join()
        if code:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)}\nfailed:\n{log.read()[-3000:]}")
    return {"seconds": seconds, "peak_mb": peak}


def ours(path: Path, ranks: list[int], replicates: int) -> dict:
    """Return our programs on the chosen genes at each k, and the curve; not timed."""
    from partwise import ConsensusNMF
    from partwise.factorize import consensus_programs, consensus_ranks
    from partwise.io import open_table
    from partwise.workflows import ProgramsOptions
    from partwise.workflows.programs_stages import prepare

    text = ",".join(map(str, ranks))
    options = ProgramsOptions(ranks=text, replicates=replicates, min_cells=0, seed=SEED)
    with open_table(path) as table:
        counts = prepare(table, options)
    settings = {"n_replicates": replicates, "random_state": SEED, "n_threads": 2}
    found = consensus_ranks(counts.scaled.X, ranks, model=ConsensusNMF(**settings))
    models = {
        k: ConsensusNMF(k, **settings).fit(counts.scaled.X, replicates=found.replicates[k])
        for k in ranks
    }
    return {
        "genes": list(counts.names),
        "stability": dict(zip(ranks, found.stability.tolist(), strict=True)),
        "error": dict(zip(ranks, found.error.tolist(), strict=True)),
        "recommended": found.recommended,
        "programs": {k: model.components_ for k, model in models.items()},
        # k-means from the seed of cnmf
        "same_replicates": lambda k, merged: consensus_programs(merged, k).programs,
    }


def matched(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the cosines of programs that are matched one to one."""
    one, two = (np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two))
    cosines = one @ two.T
    return cosines[linear_sum_assignment(-cosines)]


def compare(mine: dict, folder: Path, ranks: list[int]) -> dict:
    """Return agreement of genes, curves and programs."""
    per_rank = {}
    for k in ranks:
        with np.load(folder / f"found_{k}.npz") as file:
            theirs = dict(file)
        i = theirs["ranks"].tolist().index(k)
        order = [theirs["genes"].tolist().index(name) for name in mine["genes"]]
        spectra = theirs["spectra"][:, order]
        cosines = matched(mine["programs"][k], spectra)
        same = matched(mine["same_replicates"](k, theirs["merged"][:, order]), spectra)
        per_rank[k] = {
            "stability": {"partwise": mine["stability"][k], "cnmf": float(theirs["stability"][i])},
            "error": {"partwise": mine["error"][k], "cnmf": float(theirs["error"][i])},
            "median_cosine": float(np.median(cosines)),
            "least_cosine": float(cosines.min()),
            "least_cosine_on_the_same_replicates": float(same.min()),
        }
    best = {w: max(row["stability"][w] for row in per_rank.values()) for w in ("partwise", "cnmf")}
    share = {k: min(row["stability"][w] / best[w] for w in best) for k, row in per_rank.items()}
    stable = [k for k in ranks if share[k] >= STABLE] or [max(share, key=share.__getitem__)]
    return {
        "same_genes": sorted(mine["genes"]) == sorted(theirs["genes"].tolist()),
        "per_rank": per_rank,
        "stable_for_both": stable,
        "largest_stable_for_both": max(stable),
        "median_cosine_there": per_rank[max(stable)]["median_cosine"],
        "required_cosine": REQUIRED_COSINE,
    }


def commands(path: Path, ranks: list[int], replicates: int, folder: Path) -> dict[str, list[str]]:
    span, chosen = ",".join(map(str, ranks)), str(ranks[len(ranks) // 2])
    return {
        "partwise": [
            sys.executable, "-m", "partwise", "programs", str(path), "-k", span,
            "-r", str(replicates), "--min-cells", "0", "--choose", chosen, "-s", str(SEED),
            "--threads", "2", "-o", str(folder / "partwise"),
        ],
        "cnmf": [
            str(env_python("cnmf")), str(HERE / "run_cnmf.py"), str(path), "-o",
            str(folder / "cnmf"), "--ranks", *map(str, ranks), "--replicates", str(replicates),
            "--choose", chosen, "--seed", str(SEED), "--workers", "2",
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=list(range(5, 14)))
    parser.add_argument("--replicates", type=int, default=50)
    parser.add_argument("--only", choices=["partwise", "cnmf"])
    parser.add_argument("--out", default="consensus", help="results/OUT.json")
    args = parser.parse_args()
    path = counts_file()
    result: dict = {
        "what": "from counts (h5ad) to consensus programs, tables and figures",
        "data": "pbmc3k, 2638 cells x 13714 genes, the 2000 most over-dispersed",
        "ranks": args.ranks,
        "replicates": args.replicates,
        "machine": machine(),
        "runs": {},
    }
    with tempfile.TemporaryDirectory(dir=data.DATA) as place:
        folder = Path(place)
        todo = commands(path, args.ranks, args.replicates, folder)
        for name in [args.only] if args.only else list(todo):
            result["runs"][name] = measured(todo[name], 2 if name == "partwise" else 1)
            print(name, result["runs"][name], flush=True)
            write_json(RESULTS / f"{args.out}.json", result)
        if not args.only:
            mine, theirs = result["runs"]["partwise"], result["runs"]["cnmf"]
            result["ratios"] = {
                "speed": theirs["seconds"] / mine["seconds"],
                "speed_required": REQUIRED_SPEED,
                "memory": theirs["peak_mb"] / mine["peak_mb"],
                "memory_required": REQUIRED_MEMORY,
            }
            further = [
                *todo["cnmf"], "--found", str(folder / "found.npz"), "--more", *map(str, args.ranks)
            ]  # fmt: skip
            measured(further, 1)
            found = ours(path, args.ranks, args.replicates)
            result["recommended"] = found["recommended"]
            result["agreement"] = compare(found, folder, args.ranks)
            print(result["ratios"], result["agreement"], flush=True)
            write_json(RESULTS / f"{args.out}.json", result)


if __name__ == "__main__":
    main()
