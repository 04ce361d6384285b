"""Our Leiden against igraph's and networkit's on the same graphs: `python leiden.py`.

The graphs are those that `partwise cluster` makes of the simulated tables: exact neighbours of the
distinct rows, k = 15, weight one, nodes in Morton order. Each run is a process of its own with one
seed; all programs take their turn with each seed, in rotating order. Measured are the seconds of
the program's own graph from our arrays, those of its Leiden, and the peak memory of the process.
Quality is modularity of the labels by one function, ours. Results are written after each seed.
Programs that `--programs` leaves out keep what the results have of them, with its date.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import data
from common import RESULTS, machine, python_of, read_json, write_json
from measures import HERE

N_NEIGHBORS, N_COMPONENTS, SEED = 15, 6, 42
RESOLUTIONS = (0.1, 1.0)
#: name -> program, threads
PROGRAMS = {
    "partwise 1 thread": ("partwise", 1),
    "partwise 2 threads": ("partwise", 2),
    "igraph": ("igraph", 1),
    "networkit 1 thread": ("networkit", 1),
    "networkit 2 threads": ("networkit", 2),
}


def make_graph(table: str, path: Path) -> None:
    """Write the graph of a table as `cluster_rows` makes it."""
    import partwise
    from partwise.graph import clustering_space, connectivities, morton_order, neighbors

    X = np.load(data.matrix_path(table))
    model = partwise.NMF(N_COMPONENTS, random_state=SEED)
    usage = model.fit_transform(X)
    space = clustering_space(usage, model.components_)
    space = space[morton_order(space)]
    graph = connectivities(neighbors(space, N_NEIGHBORS, distances=False))
    assert graph.weights is None
    np.savez(path, indptr=graph.indptr, indices=graph.indices)


def graph_of(table: str) -> Path:
    """Return the file of a table's graph, made on first use in a process of its own."""
    path = data.DATA / f"graph_{table}.npz"
    if not path.exists():
        data.ensure(table)
        print(f"making {path.name}", flush=True)
        subprocess.run([sys.executable, __file__, "--make", table, str(path)], check=True)
    return path


def run(name: str, graph: Path, resolution: float, seed: int, folder: Path) -> tuple[dict, object]:
    """Run one program with one seed; return what it measured, and its labels."""
    program, threads = PROGRAMS[name]
    out = folder / "labels.npy"
    command = [python_of(program), str(HERE / "run_leiden.py"), program, str(graph)]
    command += ["--resolution", str(resolution), "--seed", str(seed), "--threads", str(threads)]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed ({done.returncode}):\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1]), np.load(out)


def summary(runs: dict[str, list[dict]]) -> dict:
    """Return medians of times and memory, and mean and spread of the quality."""
    told = {}
    for name, records in runs.items():
        if not records:
            continue
        quality = [r["quality"] for r in records]
        told[name] = {
            "runs": len(records),
            **{
                key: statistics.median(r[key] for r in records)
                for key in ("seconds", "build_seconds", "cpu_seconds", "clusters")
            },
            "peak_mb": max(r["peak_mb"] for r in records),
            # beyond libraries and our arrays, which it holds before
            "more_mb": max(r["peak_mb"] - r["peak_mb_with_graph_read"] for r in records),
            "quality_mean": statistics.fmean(quality),
            "quality_sd": statistics.stdev(quality) if len(quality) > 1 else 0.0,
            "quality_lowest": min(quality),
            "quality_highest": max(quality),
        }
    return told


def kept(before: dict, table: str, resolution: float, names: list[str]) -> dict[str, list[dict]]:
    """Return what earlier results have of programs on a table."""
    for case in before.get("cases", []):
        if (case["data"], case["resolution"]) == (table, resolution):
            return {name: case["runs"][name] for name in names if case["runs"].get(name)}
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["table200k", "table1200k"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--out", default="leiden", help="results/OUT.json")
    parser.add_argument("--make", nargs=2, metavar=("TABLE", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_graph(args.make[0], Path(args.make[1]))
        return
    import partwise
    from partwise.graph import Graph, partition_quality

    graphs = {table: graph_of(table) for table in args.tables}
    out = RESULTS / f"{args.out}.json"
    before = read_json(out, {})
    others = [name for name in PROGRAMS if name not in args.programs]
    dates = before.get("kept", {})
    earlier = before.get("machine", {}).get("date")
    result: dict = {
        "what": "Leiden alone, on the graph that partwise cluster makes; modularity",
        "settings": {
            "n_neighbors": N_NEIGHBORS,
            "seeds": args.seeds,
            "partwise": partwise.__version__,
        },
        "machine": machine(),
        "kept": {name: dates.get(name, earlier) for name in others if earlier},
        "cases": [],
    }
    for table, path in graphs.items():
        with np.load(path) as file:
            graph = Graph(file["indptr"], file["indices"])
        for resolution in RESOLUTIONS:
            case = {"data": table, "nodes": graph.n_nodes, "edges": graph.n_edges}
            runs: dict[str, list[dict]] = {name: [] for name in args.programs}
            runs |= kept(before, table, resolution, others)
            case |= {"resolution": resolution, "summary": {}, "runs": runs}
            result["cases"].append(case)
            for seed in range(args.seeds):
                turn = seed % len(args.programs)
                for name in [*args.programs[turn:], *args.programs[:turn]]:
                    with tempfile.TemporaryDirectory(dir=data.DATA) as folder:
                        measured, labels = run(name, path, resolution, seed, Path(folder))
                    measured["quality"] = partition_quality(graph, labels, resolution)
                    measured["clusters"] = int(labels.max()) + 1
                    print(table, resolution, seed, name, json.dumps(measured), flush=True)
                    runs[name].append({"seed": seed, **measured})
                case["summary"] = summary(runs)
                write_json(out, result)


if __name__ == "__main__":
    main()
