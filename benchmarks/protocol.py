"""A worker process per environment, commanded by lines of JSON over its stdin and stdout.

The worker stays alive between fits, so that neither start-up nor imports nor compilation is timed.
A rival is a subclass of `Engine`; `serve` answers the driver, `Worker` is the driver's side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from measures import HERE, load_matrix, peak_memory_mb, relative_error

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "PARTWISE_NUM_THREADS",
)


class Engine:
    """One program's side. A fit takes prepared arrays and is timed from call to return."""

    def prepare(self, X):
        """Return X in the form that suits this program best; not timed."""
        return X

    def fit(self, solver: str, X, *, k: int, start, max_iter: int, tol: float, seed: int):
        """Return (usage, programs, iterations); everything in here is timed."""
        raise NotImplementedError

    def find(self, solver: str, X, *, k, start, max_iter, reached: Callable) -> int | None:
        """Return the fewest iterations after which reached(usage, programs) holds, else None.

        Here by fits of doubling length and then bisection, for programs whose iterations carry
        state; programs that can be watched step by step do that instead.
        """

        def enough(iterations: int) -> bool:
            W, H, done = self.fit(solver, X, k=k, start=start, max_iter=iterations, tol=0.0, seed=0)
            self.stopped = done < iterations
            return reached(W, H)

        low, high = 0, 1
        while not enough(high):
            if high >= max_iter or self.stopped:
                return None
            low, high = high, min(2 * high, max_iter)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high

    def chase(self, solver: str, X, *, k, start, target: float, budget: float) -> dict:
        """Return the seconds and iterations to a deviance, or to the end of the budget."""
        raise NotImplementedError

    def versions(self) -> dict[str, str]:
        raise NotImplementedError


class Server:
    """Answers the driver's commands with one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.raw = self.X = None

    def load(self, path: str) -> dict:
        self.raw = load_matrix(path)
        self.X = self.engine.prepare(self.raw)
        return {"shape": list(self.raw.shape)}

    def fit(self, solver, k, max_iter, tol=0.0, start=None, seed=0, out=None) -> dict:
        arrays = _start(start)
        begin, cpu = time.perf_counter(), time.process_time()
        usage, programs, n_iter = self.engine.fit(
            solver, self.X, k=k, start=arrays, max_iter=max_iter, tol=tol, seed=seed
        )
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        if out:
            np.savez(out, usage=usage, programs=programs)
        return {"seconds": seconds, "cpu_seconds": cpu, "n_iter": int(n_iter)}

    def find(self, solver, k, max_iter, target, start) -> dict:
        def reached(usage, programs) -> bool:
            return relative_error(self.raw, usage, programs) <= target

        iterations = self.engine.find(
            solver, self.X, k=k, start=_start(start), max_iter=max_iter, reached=reached
        )
        return {"iterations": iterations}

    def chase(self, solver, k, start, target, budget) -> dict:
        arrays = _start(start)
        return self.engine.chase(solver, self.X, k=k, start=arrays, target=target, budget=budget)

    def about(self) -> dict:
        return {"versions": self.engine.versions(), "peak_mb": peak_memory_mb()}


def _start(path: str | None):
    if path is None:
        return None
    with np.load(path) as file:
        return file["usage"], file["programs"]


def serve(engine: Engine) -> None:
    """Answer commands until stdin closes. What libraries print goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.filterwarnings("ignore", message=".*(converge|iterations).*")
    server = Server(engine)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(server, command.pop("do"))(**command)
        except Exception:
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Worker:
    """A running `run_NAME.py`."""

    def __init__(self, name: str, python: str | Path, threads: int, log=subprocess.DEVNULL, **env):
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **env}
        self.name = name
        self.process = subprocess.Popen(
            [str(python), str(HERE / f"run_{name}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )

    def ask(self, do: str, **arguments) -> dict:
        """Send a command and wait for its answer."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"run_{self.name}.py ended: {self.process.wait()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(f"run_{self.name}.py, {do}:\n{answer['failed']}")
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
