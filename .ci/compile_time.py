"""Print how long the kernels take to compile, and to load in a second process; fail if too long."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time

COLD_LIMIT, WARM_LIMIT = 90.0, 2.0


def cpu_seconds() -> float:
    """Return the processor time of all processes that ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(cache: str) -> float:
    """Return how long `partwise warmup` takes in a new process with this kernel cache.

    On a busy machine the process waits for others, so its processor time counts if that is less.
    """
    wall, cpu = time.perf_counter(), cpu_seconds()
    subprocess.run(
        [sys.executable, "-m", "partwise", "warmup", "--quiet"],
        check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    )
    return min(time.perf_counter() - wall, cpu_seconds() - cpu)


with tempfile.TemporaryDirectory() as cache:
    cold = seconds(cache)
    warm = min(seconds(cache) for _ in range(7))
print(f"cold {cold:.1f} s (limit {COLD_LIMIT:.0f}), warm {warm:.2f} s (limit {WARM_LIMIT:.0f})")
sys.exit(cold > COLD_LIMIT or warm > WARM_LIMIT)
