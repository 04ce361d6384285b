"""Print how long the kernels take to compile, and to load in a second process; fail if too long."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

COLD_LIMIT, WARM_LIMIT = 90.0, 2.0


def seconds(cache: str) -> float:
    """Return the wall time of `partwise warmup` in a new process with this kernel cache."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "partwise", "warmup", "--quiet"],
        check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    )
    return time.perf_counter() - start


with tempfile.TemporaryDirectory() as cache:
    cold = seconds(cache)
    warm = min(seconds(cache) for _ in range(5))
print(f"cold {cold:.1f} s (limit {COLD_LIMIT:.0f}), warm {warm:.2f} s (limit {WARM_LIMIT:.0f})")
sys.exit(cold > COLD_LIMIT or warm > WARM_LIMIT)
