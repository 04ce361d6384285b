"""Simulated tables of non-negative values whose programs, and so whose rank, are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = ["SimulatedPrograms", "simulate_programs"]

FloatArray = npt.NDArray[np.float64]

_NOISES = ("poisson", "gaussian")
#: Shape of the gammas that programs are drawn from, and concentration of the usage: below 1, so
#: that few features make a program and few programs an observation.
_PROGRAM_SHAPE, _USAGE_CONCENTRATION = 0.3, 0.3
#: Spread, on a log scale, of how abundant features and how large observations are.
_ABUNDANCE, _SIZE = 0.7, 0.3


@dataclass(frozen=True)
class SimulatedPrograms:
    """A simulated table and what it was made from.

    Attributes
    ----------
    X
        What is observed, n x p.
    usage, programs
        What was planted, n x k and k x p; their product is the expected value of X (before values
        below zero are cut, with Gaussian noise).
    noise, level, seed
        How it was made.
    """

    X: FloatArray
    usage: FloatArray
    programs: FloatArray
    noise: str
    level: float
    seed: int

    @property
    def rank(self) -> int:
        """Number of planted programs."""
        return int(self.programs.shape[0])


def simulate_programs(
    n: int = 1000,
    *,
    p: int = 500,
    rank: int = 10,
    noise: str = "poisson",
    level: float = 0.5,
    evenness: float = 0.2,
    seed: int = 0,
) -> SimulatedPrograms:
    """Simulate observations that mix programs, with noise of a given size.

    Programs are gamma(0.3) per feature times a log-normal abundance of the feature; usage is a
    Dirichlet with 0.3 per program on average, times a log-normal size of the observation. From the
    first program to the last the usage falls, by equal ratios. With M = usage @ programs:

    - "poisson": X ~ Poisson(M), M scaled so that the noise has the asked level;
    - "gaussian": X = max(0, M + E), E normal with one standard deviation for all entries.

    The level is sqrt(E||X - M||^2) / ||M||: at 1 the noise is as large as what is planted.

    Parameters
    ----------
    n, p
        Observations and features.
    rank
        Number of programs k.
    noise
        "poisson" or "gaussian".
    level
        Size of the noise relative to what is planted, before values below zero are cut.
    evenness
        Mean usage of the last program relative to the first: 1 makes all alike.
    seed
        Seed; global random state is neither read nor set.

    Returns
    -------
    SimulatedPrograms
        The table and the truth.

    Raises
    ------
    UsageError
        If a number is out of range or the noise is unknown.

    Examples
    --------
    >>> sim = simulate_programs(200, p=50, rank=4, level=0.3)
    >>> sim.X.shape, sim.rank, bool((sim.X >= 0).all())
    ((200, 50), 4, True)
    """
    for name, value in (("n", n), ("p", p), ("rank", rank)):
        if value < 1:
            raise UsageError(f"{name} must be 1 or more, not {value}")
    if noise not in _NOISES:
        raise UsageError(f"noise must be one of {', '.join(_NOISES)}, not {noise!r}")
    if not (np.isfinite(level) and level > 0):
        raise UsageError(f"level must be a number above 0, not {level!r}")
    if not 0 < evenness <= 1:
        raise UsageError(f"evenness must be above 0 and at most 1, not {evenness!r}")
    rng = np.random.default_rng(seed)
    programs = rng.gamma(_PROGRAM_SHAPE, size=(rank, p)) * rng.lognormal(0.0, _ABUNDANCE, size=p)
    programs /= programs.sum(axis=1, keepdims=True)
    share = evenness ** np.linspace(0.0, 1.0, rank)
    usage = rng.dirichlet(_USAGE_CONCENTRATION * share / share.mean(), size=n)
    usage *= rng.lognormal(0.0, _SIZE, size=(n, 1))
    mean = usage @ programs
    if noise == "poisson":
        # its variance is its mean: scaled by s, the level is sqrt(sum(M) / (s sum(M^2)))
        scale = mean.sum() / (level**2 * np.sum(mean**2))
        usage *= scale
        X = rng.poisson(mean * scale).astype(np.float64)
    else:
        usage /= mean.mean()
        mean /= mean.mean()
        spread = level * np.sqrt(np.mean(mean**2))
        X = np.maximum(mean + spread * rng.standard_normal(mean.shape), 0.0)
    return SimulatedPrograms(X, usage, programs, noise, level, seed)
