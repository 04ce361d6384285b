"""Many fits of the same data: one layout of the data, several fits at a time.

A fit alone cannot keep many threads busy, because its passes have serial parts; so each fit gets
one thread and as many fits run at once as there are threads. Which thread runs a fit changes none
of its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix
from partwise.solvers.hals import fit_hals
from partwise.solvers.init import initialize
from partwise.solvers.state import Outcome, Settings
from partwise.utils.threads import run_tasks, single_thread_blas

__all__ = ["Fit", "Start", "fit_restarts"]

T = TypeVar("T")
Array = npt.NDArray[Any]
#: A seed, from which a random start is drawn, or flat thin factors to start from.
Start = int | np.random.SeedSequence | tuple[Array, Array]


class Fit(Protocol):
    """A solver: from a start to an outcome."""

    def __call__(
        self,
        matrix: DataMatrix,
        usage: Array,
        programs: Array,
        settings: Settings,
        rng: np.random.Generator,
    ) -> Outcome:
        """Factorize from a start; the start is overwritten."""
        ...


def fit_restarts(
    matrix: DataMatrix,
    k: int,
    starts: Sequence[Start],
    settings: Settings,
    *,
    keep: Callable[[Outcome], T],
    init: str = "random",
    fit: Fit = fit_hals,
    at_once: int | None = None,
) -> list[T]:
    """Fit the same data from several starts.

    Parameters
    ----------
    matrix
        The data, n x p; laid out once for all fits.
    k
        Number of programs.
    starts
        One per fit: a seed, or flat thin factors (n and p rows, overwritten). The fit of a seed
        depends on that seed alone, whatever the others are.
    settings
        Tolerance, passes, penalties.
    keep
        What to keep of an outcome; called in the thread of the fit, so that what is not kept is
        freed before all fits are done. `lambda outcome: outcome` keeps all.
    init
        How a start is made from a seed: "random", "nndsvd" or "nndsvda".
    fit
        The solver.
    at_once
        Fits at a time, each on one thread; as many as the matrix has threads by default. With 1
        the threads work inside each fit: right for data that are read from disk in each pass.

    Returns
    -------
    list
        What was kept, in the order of the starts; the same bits for any number of threads.
    """
    matrix.squared_norm  # noqa: B018  (computed once, here, rather than in several threads)

    def one(start: Start) -> T:
        if isinstance(start, tuple):
            rng = np.random.default_rng(0)  # seeds dead components only
            usage, programs = start
        else:
            rng = np.random.default_rng(start)
            usage, programs = initialize(matrix, k, init, rng)
        return keep(fit(matrix, usage, programs, settings, rng))

    tasks = [partial(one, start) for start in starts]
    with single_thread_blas():
        return run_tasks(matrix.n_threads if at_once is None else at_once, tasks)
