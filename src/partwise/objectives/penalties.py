"""Elastic net on each factor."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from partwise.exceptions import UsageError

__all__ = ["ElasticNet", "Penalties"]

#: Scaled weights are cut here: beyond it a component is zero in any case.
_MOST = 1e150


@dataclass(frozen=True)
class ElasticNet:
    """l1 * sum(f) + l2 / 2 * sum(f^2) on one non-negative factor f.

    Both are one number, or one for each component. In the quadratic problem of a factor,
    l2 goes to the diagonal of G and l1 is taken from B.
    """

    l1: npt.NDArray[np.float64]
    l2: npt.NDArray[np.float64]

    @classmethod
    def build(cls, l1: object, l2: object, k: int, *, factor: str) -> ElasticNet:
        """Check the weights and spread them over k components."""
        return cls(_weights(l1, k, f"l1_{factor}"), _weights(l2, k, f"l2_{factor}"))

    @property
    def active(self) -> bool:
        """Whether anything is penalised."""
        return bool(self.components.any())

    @property
    def components(self) -> npt.NDArray[np.bool_]:
        """Whether each component is penalised."""
        return (self.l1 > 0) | (self.l2 > 0)

    def scaled(self, l1: int, l2: int) -> ElasticNet:
        """Return the penalty with its weights times 2^l1 and 2^l2, as far as they stay finite."""
        with np.errstate(over="ignore", under="ignore"):
            one, two = np.ldexp(self.l1, l1), np.ldexp(self.l2, l2)
        return ElasticNet(np.minimum(one, _MOST), np.minimum(two, _MOST))

    def gram(self, gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return G with the penalty on its diagonal."""
        return gram + np.diag(self.l2) if self.l2.any() else gram

    def value(self, sums: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]) -> float:
        """Return the penalty, given the factor's sum and sum of squares per component."""
        return float(self.l1 @ sums + 0.5 * self.l2 @ squares)


def _weights(value: object, k: int, name: str) -> npt.NDArray[np.float64]:
    try:
        weights = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, not {value!r}") from None
    if weights.ndim == 0:
        weights = np.full(k, float(weights))
    if weights.shape != (k,):
        raise UsageError(f"{name} must be one number or one for each of the {k} components")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise UsageError(f"{name} must be finite and not negative")
    return weights


@dataclass(frozen=True)
class Penalties:
    """The penalties of usage and programs.

    Raises
    ------
    UsageError
        If only one factor of a component is penalised: scaling that factor down and the other one
        up would make the penalty vanish, so that no minimum exists. Components whose scale is
        `pinned`, by entries of their programs that are given, are free of that.
    """

    usage: ElasticNet
    programs: ElasticNet
    pinned: npt.NDArray[np.bool_] | None = None
    active: bool = field(init=False)

    def __post_init__(self) -> None:
        usage, programs = self.usage.components, self.programs.components
        lone = usage != programs
        if self.pinned is not None:
            lone &= ~self.pinned
        if lone.any():
            first = int(np.flatnonzero(lone)[0])
            one, other = ("usage", "programs") if usage[first] else ("programs", "usage")
            if usage.any() and programs.any():
                what, both = f"of component {first} (counted from 0) only {one} is", "both, or none"
            else:
                what, both = f"only {one} is", "both"
            raise UsageError(
                f"{what} penalised: shrinking it and growing {other} in step leaves the fit "
                f"as it is and makes the penalty vanish. Penalise {both} (l2_{other} is enough)"
            )
        object.__setattr__(self, "active", bool(usage.any() or programs.any()))

    @property
    def uneven(self) -> bool:
        """Whether components have weights of their own; they then keep their places."""
        nets = (self.usage, self.programs)
        return any(np.ptp(weights) > 0 for net in nets for weights in (net.l1, net.l2))

    def scaled(self, power: int) -> Penalties:
        """Return the penalties for data 2^-power times these, and usage that is so, too.

        The objective is then 2^(-2 power) times what it was.
        """
        if power == 0 or not self.active:
            return self
        usage = self.usage.scaled(-power, 0)
        programs = self.programs.scaled(-2 * power, -2 * power)
        # weights that vanish beside the data leave lone ones, which were checked before
        return Penalties(usage, programs, np.ones(usage.l1.shape, bool))
