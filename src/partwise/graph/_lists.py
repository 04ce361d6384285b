"""Sorted lists of the nearest neighbours so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.graph._jit import inline

__all__ = ["offer"]


@inline
def offer(
    distances: npt.NDArray[Any], indices: npt.NDArray[np.int32], distance: Any, index: int
) -> None:
    """Insert a neighbour if it comes before the last; near before far, ties by index."""
    t = distances.shape[0] - 1
    if distance > distances[t] or (distance == distances[t] and index > indices[t]):
        return
    while t > 0 and (
        distances[t - 1] > distance or (distances[t - 1] == distance and indices[t - 1] > index)
    ):
        distances[t] = distances[t - 1]
        indices[t] = indices[t - 1]
        t -= 1
    distances[t] = distance
    indices[t] = index
