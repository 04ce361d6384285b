"""Sequences in one program, timed for several numbers of iterations: a process of its own.

`python run_seqnmf.py PROGRAM DATA START --lags L --iterations N1 N2 ...` reads a CSR matrix and a
start (motifs, activations), fits with each number of iterations in turn and prints seconds as JSON.
The difference of two numbers is what iterations cost without what a call costs once (in the port
several seconds for its loadings). Compilation and imports are outside of the clock.

PROGRAM is partwise, or seqnmf (the Python port, in the environment `seqnmf`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time

import numpy as np
import scipy.sparse as sp


class Partwise:
    """Ours: CSR in, as it is."""

    def __init__(self, settings) -> None:
        self.settings = settings

    def data(self, X):
        return X.astype(self.settings.dtype)

    def fit(self, X, W, H, iterations: int):
        from partwise.sequences import SeqNMF

        model = SeqNMF(
            W.shape[1],
            W.shape[2],
            lambda_=self.settings.lambda_,
            shift=not self.settings.no_shift,
            solver="mu",
            motifs_init=W,
            activations_init=H,
            max_iter=iterations,
            tol=0.0,
            n_threads=self.settings.threads,
        ).fit(X)
        # as the port counts: over frames of zeros on both sides, too
        frames = X.shape[1]
        return model.cost_[-1] * np.sqrt(frames / (frames + 2 * W.shape[2]))


class Seqnmf:
    """The port: dense, float64; its start of the activations must be padded, and is overwritten."""

    def __init__(self, settings) -> None:
        self.settings = settings

    def data(self, X):
        return X.toarray().astype(np.float64)

    def fit(self, X, W, H, iterations: int):
        from seqnmf import seqnmf

        lags = W.shape[2]
        _, _, cost, _, _ = seqnmf(
            X,
            K=W.shape[1],
            L=lags,
            Lambda=self.settings.lambda_,
            W_init=W.copy(),
            H_init=np.pad(H, ((0, 0), (lags, lags))),
            max_iter=iterations,
            shift=not self.settings.no_shift,
        )
        return cost[-1, 0]


PROGRAMS = {"partwise": Partwise, "seqnmf": Seqnmf}


def timed(program, X, start, iterations: int) -> dict:
    begin, cpu = time.perf_counter(), time.process_time()
    cost = program.fit(X, *start, iterations)
    return {
        "iterations": iterations,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
        "cost": float(cost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=list(PROGRAMS))
    parser.add_argument("data", help="CSR matrix, units x frames (.npz)")
    parser.add_argument("start", help="motifs and activations (.npz)")
    parser.add_argument("--lambda", dest="lambda_", type=float, default=0.001)
    parser.add_argument("--no-shift", action="store_true")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iterations", type=int, nargs="+", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    program = PROGRAMS[args.program](args)
    X = program.data(sp.load_npz(args.data).tocsr())
    with np.load(args.start) as file:
        start = file["motifs"], file["activations"]
    few = 4 * start[0].shape[2]
    program.fit(X[:, :few], start[0], start[1][:, :few], 2)  # imports, compilation
    runs = [timed(program, X, start, n) for _ in range(args.repeats) for n in args.iterations]
    version = importlib.metadata.version(args.program)
    print(json.dumps({"runs": runs, "version": version, "numpy": np.__version__}))


if __name__ == "__main__":
    main()
