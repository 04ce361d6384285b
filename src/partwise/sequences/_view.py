"""What an update of the activations starts from: the data and the model, seen through the motifs.

The error of a state falls out of its view: <H, Z> and <H, What> are <X, Xhat> and ||Xhat||^2. So an
iteration computes the error of the one before, and nothing is computed for the error alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.sequences._grams import MotifGram
from partwise.sequences._problem import Problem, State

__all__ = ["View", "look"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class View:
    """Data and model through the motifs, at a state.

    Attributes
    ----------
    gram
        The lag Gram of the motifs.
    above
        Z, F x K: the data.
    below
        What over the observed entries, F x K float64; what lies in the gap at the end is noise.
    error
        Sum of squared errors.
    """

    gram: MotifGram
    above: Array
    below: Array
    error: float


def look(problem: Problem, state: State, gram: MotifGram | None = None, above: Any = None) -> View:
    """Return the view of a state; Gram and Z, if known, are taken as they are."""
    gram = gram or MotifGram(state.motifs, problem.n_threads)
    if above is None:
        above = problem.raster.cross_activations(state.motifs)
    below = gram.apply(state.activations, problem.n_threads)
    error = problem.raster.total - 2.0 * inner(state.activations, above)
    error += inner(state.activations, below)
    if not problem.missing.empty:
        unseen = problem.missing.model(state.motifs, state.activations)
        unseen.leave_activations(below)
        error -= unseen.square
    return View(gram, above, below, max(error, 0.0))


def inner(a: Array, b: Array) -> float:
    """Return the inner product in float64."""
    a, b = a.reshape(-1), b.reshape(-1)
    step = 1 << 20
    return float(
        sum(
            np.dot(a[i : i + step].astype(np.float64), b[i : i + step].astype(np.float64))
            for i in range(0, len(a), step)
        )
    )
