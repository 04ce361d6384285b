"""Leiden of one program on one graph with one seed, in a process of its own: see leiden.py.

Runs in the environment of the program. The graph is in an npz file: `indptr` and `indices` of
symmetric compressed rows without weights. Prints a line of JSON; labels go to `--out`.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np


def peak_mb() -> float:
    """Return this process's peak resident memory, of its own image (not of who started it)."""
    try:
        with open("/proc/self/status") as status:
            return next(int(x.split()[1]) for x in status if x.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pairs(indptr, indices):
    """Return each edge once, as two arrays."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    once = rows < indices
    return rows[once], indices[once]


def ring(n: int = 300):
    """Return a small graph, to load with it what a program loads late."""
    ends = np.stack([(np.arange(n) - 1) % n, (np.arange(n) + 1) % n], axis=1)
    return np.arange(0, 2 * n + 1, 2), np.sort(ends, axis=1).ravel().astype(np.int32)


class Partwise:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def build(self, indptr, indices):
        from partwise.graph import Graph

        return Graph(np.asarray(indptr, np.int64), indices)

    def run(self, graph, resolution: float, seed: int):
        from partwise.graph import leiden

        return leiden(graph, resolution, random_state=seed, n_threads=self.threads).labels


class Igraph:
    """igraph on one thread, the only way it runs; two iterations, as scanpy asks for."""

    def __init__(self, threads: int) -> None:
        pass

    def build(self, indptr, indices):
        import igraph

        # Buffers item by item: whole arrays would be made into lists of lists, five times slower.
        u, v = pairs(indptr, indices)
        return igraph.Graph(len(indptr) - 1, zip(memoryview(u), memoryview(v), strict=True))

    def run(self, graph, resolution: float, seed: int):
        import random

        import igraph

        igraph.set_random_number_generator(random.Random(seed))
        found = graph.community_leiden(
            objective_function="modularity", resolution=resolution, n_iterations=2
        )
        return np.asarray(found.membership)


class Networkit:
    """networkit's ParallelLeiden with its own number of iterations."""

    def __init__(self, threads: int) -> None:
        import networkit

        networkit.setNumberOfThreads(threads)

    def build(self, indptr, indices):
        import networkit

        u, v = pairs(indptr, indices)
        graph = networkit.Graph(len(indptr) - 1)
        graph.addEdges((u.astype(np.uint64), v.astype(np.uint64)))
        return graph

    def run(self, graph, resolution: float, seed: int):
        import networkit

        networkit.setSeed(seed, False)
        found = networkit.community.ParallelLeiden(graph, gamma=resolution)
        found.run()
        return np.asarray(found.getPartition().getVector())


PROGRAMS = {"partwise": Partwise, "igraph": Igraph, "networkit": Networkit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=list(PROGRAMS))
    parser.add_argument("graph")
    parser.add_argument("--resolution", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    program = PROGRAMS[args.program](args.threads)
    program.run(program.build(*ring()), 1.0, 0)
    with np.load(args.graph) as file:
        indptr, indices = file["indptr"], file["indices"]
    before = peak_mb()
    begin = time.perf_counter()
    graph = program.build(indptr, indices)
    built, cpu = time.perf_counter(), time.process_time()
    labels = program.run(graph, args.resolution, args.seed)
    answer = {
        "build_seconds": built - begin,
        "seconds": time.perf_counter() - built,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "peak_mb_with_graph_read": before,
    }
    np.save(args.out, np.unique(labels, return_inverse=True)[1].astype(np.int32))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
