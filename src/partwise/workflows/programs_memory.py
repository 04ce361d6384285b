"""Memory between the stages of the programs job."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["release"]


def release() -> None:
    """Give memory that is free back to the system.

    What a stage took for a while would otherwise stay with the process, in pieces too small for the
    arrays of the next stage. Only the C library of GNU can be told to; elsewhere nothing is done.

    Examples
    --------
    >>> release()
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none
        trim(0)
