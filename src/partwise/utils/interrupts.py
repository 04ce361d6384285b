"""Ctrl-C and SIGTERM, which callbacks of C libraries may swallow, are not forgotten.

An exception that a signal raises while a library calls back into Python (the compiler does, while
it loads kernels) is printed and dropped there. So the handler also keeps what came, and `check`,
which long work calls between its parts, raises it again.
"""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["Terminated", "check", "listen"]

_came: list[BaseException] = []


class Terminated(BaseException):
    """The process was asked to end; not an `Exception`, so that nothing swallows it."""


def listen() -> None:
    """Turn Ctrl-C, and SIGTERM, which batch systems send, into exceptions; forget earlier ones."""
    _came.clear()
    kinds = {"SIGINT": KeyboardInterrupt, "SIGTERM": Terminated}
    for name, kind in kinds.items():
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _handler(kind))


def _handler(kind: type[BaseException]) -> Any:
    def handle(number: int, frame: Any) -> None:
        _came.append(kind())
        raise _came[-1]

    return handle


def check() -> None:
    """Raise what a signal raised before and somebody swallowed."""
    if _came:
        raise type(_came[-1])
