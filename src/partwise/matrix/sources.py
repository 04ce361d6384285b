"""Block sources: matrices that are read a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["Block", "BlockSource"]

#: A dense block (C order) or a sparse block (CSR).
Block: TypeAlias = npt.NDArray[Any] | sp.csr_matrix | sp.csr_array


@runtime_checkable
class BlockSource(Protocol):
    """Anything with a shape, a dtype and `blocks`.

    The blocks may have any size: who reads them cuts them anew, so that results do not depend on
    the chunks of a file.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        """Yield (first row, block) for consecutive blocks that cover rows start..stop."""
        ...
