"""The command line: one thin file per verb, no logic of its own.

Nothing heavy is imported before a command runs, so that help and errors come at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `partwise`; the exit code tells what happened.

    0 done; 1 a defect of partwise; 2 usage; 3 data; 4 memory, disk or permissions; 130 interrupted.

    Parameters
    ----------
    arguments
        What stands after `partwise`; None takes it from the process.
    """
    try:
        from partwise.cli.app import run

        code = run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
