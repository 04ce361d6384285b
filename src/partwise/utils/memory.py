"""How much memory this process took, how much it may still take, and what it gives back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

__all__ = ["available_memory_bytes", "peak_memory_bytes", "release"]

_CGROUPS = (  # (limit, use): version 2, then version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    Where the system tells it, this is the process's own figure: the one of `getrusage` starts, on
    Linux, with that of the process that launched it.

    Examples
    --------
    >>> peak_memory_bytes() > 1_000_000
    True
    """
    value = _proc_field("/proc/self/status", "VmHWM")
    if value is not None:
        return value
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory_bytes() -> int:
    """Return how many bytes this process can still take without swapping, as far as is known.

    The least of what the machine has free, what the container leaves, and what a limit on the
    address space leaves.

    Examples
    --------
    >>> available_memory_bytes() > 0
    True
    """
    bounds = []
    free = _proc_field("/proc/meminfo", "MemAvailable")
    if free is None:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if free is not None:
        bounds.append(free)
    for limit_file, use_file in _CGROUPS:
        limit, used = _number(limit_file), _number(use_file)
        if limit is not None and used is not None:
            bounds.append(max(0, limit - used))
    bounds.extend(_address_space_left())
    return min(bounds, default=sys.maxsize)


def release() -> None:
    """Give memory that is free back to the system.

    What some work took for a while would otherwise stay with the process, in pieces too small for
    the arrays of what follows. Only the C library of GNU can be told to; elsewhere nothing is done.

    Examples
    --------
    >>> release()
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none
        trim(0)


def _address_space_left() -> list[int]:
    try:
        import resource
    except ImportError:
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _proc_field("/proc/self/status", "VmSize")
    if limit == resource.RLIM_INFINITY or used is None:
        return []
    return [max(0, limit - used)]


def _proc_field(path: str, name: str) -> int | None:
    """Return a field of a /proc file in bytes; they are given in kB."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _number(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(path).read_text(encoding="ascii"))
    return None
