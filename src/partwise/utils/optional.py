"""Optional packages: asked for where they are used, named when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from partwise.exceptions import MissingDependencyError

__all__ = ["require"]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Parameters
    ----------
    module
        Name of the module, e.g. "umap".
    extra
        Name of the extra of partwise that brings it.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingDependencyError
        If it is not installed.

    Examples
    --------
    >>> require("json", "umap").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # a module that is there but lacks one of its own dependencies deserves its own text
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependencyError(
            f"this needs the optional package {module.split('.')[0]!r}; "
            f"install it with: pip install 'partwise[{extra}]'"
        ) from None
