"""Errors that say what is wrong, where, and what to do about it.

Every error that partwise raises on purpose derives from `PartwiseError`; its `exit_code` is what
the command line returns: 2 usage, 3 data, 4 resources.
"""

from __future__ import annotations

from os import PathLike

__all__ = [
    "DataError",
    "MissingDependencyError",
    "PartwiseError",
    "PartwiseWarning",
    "ResourceError",
    "UsageError",
]


class PartwiseError(Exception):
    """Base of all errors that partwise raises on purpose."""

    exit_code: int = 1


class UsageError(PartwiseError, ValueError):
    """A parameter or option has a value that cannot be used."""

    exit_code = 2


class MissingDependencyError(PartwiseError, ImportError):
    """An optional package is needed for what was asked; the text names the extra to install."""

    exit_code = 2


class DataError(PartwiseError, ValueError):
    """The input data cannot be used as they are.

    Parameters
    ----------
    problem
        What is wrong and, where it helps, what to do.
    path, row, column
        Where: the file, the 1-based line or row, the column's name. They open the message.
    """

    exit_code = 3

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.path = path
        self.row = row
        self.column = column
        places = [] if path is None else [str(path)]
        if row is not None:
            places.append(f"row {row}")
        if column is not None:
            places.append(f"column {column!r}")
        super().__init__(f"{', '.join(places)}: {problem}" if places else problem)


class ResourceError(PartwiseError, RuntimeError):
    """Memory, disk or permissions do not suffice for what was asked."""

    exit_code = 4


class PartwiseWarning(UserWarning):
    """Something the user should know but that does not stop the work."""
