"""How curves over ranks become one rank. Arrays of errors are replicates x ranks, ranks ascending.

All replicates hide the same entries at every rank, so ranks are compared within a replicate: the
standard error is that of the differences, which is far smaller than that of the errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "STABLE",
    "between",
    "coarse_grid",
    "knee",
    "paired_excess",
    "resampled",
    "rises",
    "smallest_within_error",
    "stable_rank",
]

FloatArray = npt.NDArray[np.float64]

#: Mean matched cosine from which the programs of different starts count as the same.
STABLE = 0.98
#: Ratio of neighbouring ranks of the coarse grid.
_RATIO = 2**0.5
#: Replicates that must agree that the error rises; with fewer, it must rise by this share.
_ENOUGH, _CLEAR_SHARE = 4, 0.02
_RESAMPLES = 1000


def paired_excess(errors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return by how much each rank exceeds the best one, and the standard error of that.

    With one replicate the standard error is 0.
    """
    mean = errors.mean(axis=0)
    gaps = errors - errors[:, [int(np.argmin(mean))]]
    count = errors.shape[0]
    if count == 1:
        return gaps[0], np.zeros(errors.shape[1])
    return gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / np.sqrt(count)


def smallest_within_error(errors: FloatArray) -> int:
    """Return the place of the smallest rank within one standard error of the lowest error."""
    excess, error = paired_excess(errors)
    return int(np.argmax(excess <= error))


def rises(errors: FloatArray) -> bool:
    """Tell whether the error clearly rises at the end: a larger rank will not have the lowest.

    At the last two ranks all replicates exceed what they had at the best rank. That many signs
    agree by chance with probability 4^-replicates; a bound in standard errors would not do, because
    the error of too large a rank has a long tail.
    """
    if errors.shape[1] < 3:
        return False
    lowest = errors[:, int(np.argmin(errors.mean(axis=0)))]
    margin = 0.0 if errors.shape[0] >= _ENOUGH else _CLEAR_SHARE
    return bool((errors[:, -2:] > (1.0 + margin) * lowest[:, None]).all())


def resampled(errors: FloatArray, seed: int) -> FloatArray:
    """Return how often the rule picks each rank when the replicates are drawn with replacement."""
    count, ranks = errors.shape
    rng = np.random.default_rng(seed)
    chosen = np.zeros(ranks)
    for draw in rng.integers(count, size=(_RESAMPLES, count)):
        chosen[smallest_within_error(errors[draw])] += 1
    return chosen / _RESAMPLES


def stable_rank(ranks: Sequence[int], cosines: FloatArray) -> int:
    """Return the largest rank that is stable; if none is, the most stable one."""
    stable = np.flatnonzero(cosines >= STABLE)
    return ranks[int(stable[-1]) if stable.size else int(np.nanargmax(cosines))]


def knee(ranks: Sequence[int], errors: FloatArray) -> int:
    """Return where a falling curve is farthest below the line between its ends.

    Satopaa et al. (2011), ICDCS Workshops, 166 ("kneedle"). The place depends on where the curve
    ends, so it is shown and never decides.
    """
    if len(ranks) < 3 or errors[0] <= errors[-1]:
        return ranks[0]
    x = (np.asarray(ranks, np.float64) - ranks[0]) / (ranks[-1] - ranks[0])
    y = (errors - errors[-1]) / (errors[0] - errors[-1])
    return ranks[int(np.argmax(1.0 - x - y))]


def coarse_grid(most: int) -> list[int]:
    """Return ranks from 2 up to `most`, each about 1.4 times the one before.

    Examples
    --------
    >>> coarse_grid(20)
    [2, 3, 4, 6, 8, 11, 16, 20]
    """
    if most < 2:
        return [1]
    grid = [2]
    while grid[-1] < most:
        grid.append(min(most, max(grid[-1] + 1, round(2 * _RATIO ** len(grid)))))
    return grid


def between(ranks: Sequence[int], best: int) -> list[int]:
    """Return ranks to look at next: the middles of the gaps beside the best one.

    Examples
    --------
    >>> between([2, 4, 8, 11], 8), between([2, 3, 4], 2)
    ([6, 9], [1])
    """
    ordered = sorted({0, *ranks})
    place = ordered.index(best)
    gaps = [(ordered[place - 1], best)]
    if place + 1 < len(ordered):
        gaps.append((best, ordered[place + 1]))
    return [(low + high) // 2 for low, high in gaps if high - low > 1]
