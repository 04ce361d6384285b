"""The log: one logger named "partwise", silent until someone listens."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

from partwise.utils.atomic import explain_os_error

__all__ = ["log_to_file", "logger"]

#: Where every room logs to.
logger = logging.getLogger("partwise")
logger.addHandler(logging.NullHandler())


@contextlib.contextmanager
def log_to_file(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Append what partwise logs to a file while the context is open.

    Parameters
    ----------
    path
        The file; None logs nowhere.

    Raises
    ------
    ResourceError
        If the file cannot be opened for writing.

    Examples
    --------
    >>> with log_to_file(None):
    ...     pass
    """
    if path is None:
        yield
        return
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise explain_os_error(error, path) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
