"""Recordings that are read a few frames at a time."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["FrameSource", "Frames"]

#: Some frames of all units, dense or sparse, units x frames.
Frames: TypeAlias = npt.NDArray[Any] | sp.csr_matrix | sp.csc_matrix | sp.csr_array | sp.csc_array


@runtime_checkable
class FrameSource(Protocol):
    """A recording with a shape (units, frames), a dtype and `frames`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Units and frames."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def frames(self, start: int, stop: int) -> Frames:
        """Return the frames start..stop of all units."""
        ...
