"""Who fires when in which simulated sequence; the motifs and the table of units that follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.exceptions import UsageError

if TYPE_CHECKING:
    from partwise.datasets.sequences import SequenceOptions

__all__: list[str] = []

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

#: Time constants of the calcium kernel that a motif holds; less than 1 % of the kernel lies behind.
_KERNEL_SPAN = 5


@dataclass(frozen=True)
class Plan:
    """Who fires when in which sequence; one entry per sequence."""

    gaps: tuple[int, ...]
    members: tuple[IntArray, ...]  # units
    orders: tuple[IntArray, ...]  # their places in the sequence
    n_units: int
    options: SequenceOptions = field(repr=False)

    @property
    def longest(self) -> int:
        """Frames that the longest event can take, jitter apart."""
        more, burst = self.options.warp, 2 * self.options.burst - 2
        return 1 + burst + self._reach(more)

    @property
    def n_lags(self) -> int:
        """Frames of a motif."""
        tail = (
            0 if self.options.calcium is None else int(np.ceil(_KERNEL_SPAN * self.options.calcium))
        )
        return 1 + 2 * self.options.burst - 2 + self._reach(0) + tail

    def _reach(self, more: int) -> int:
        pairs = zip(self.gaps, self.orders, strict=True)
        return max(int(order.max()) * (gap + more) for gap, order in pairs)


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number out of range."""
    if not low <= value <= high:  # false for NaN too
        raise UsageError(f"{name} must be between {low:g} and {high:g}, not {value!r}")


def whole(name: str, value: int, least: int) -> None:
    """Refuse what is not a whole number, or too small a one."""
    if int(value) != value or value < least:
        raise UsageError(f"{name} must be a whole number, {least} or more, not {value!r}")


def each(name: str, given: Any, n: int) -> list[Any]:
    """Return one value per sequence."""
    values = [given] * n if np.ndim(given) == 0 else list(given)
    if len(values) != n:
        raise UsageError(f"{name} has {len(values)} values for {n} sequences")
    return values


def make_plan(
    rng: np.random.Generator, n: int, n_neurons: Any, gap: Any, options: SequenceOptions
) -> Plan:
    """Deal units to sequences; draws the orders of shared neurons."""
    sizes, gaps = each("n_neurons", n_neurons, n), each("gap", gap, n)
    for size, frames in zip(sizes, gaps, strict=True):
        whole("n_neurons", size, 1)
        whole("gap", frames, 1)
    for value in each("jitter", options.jitter, n):
        within("jitter", value, 0.0, 1e6)
    for value in each("participation", options.participation, n):
        within("participation", value, 0.0, 1.0)
    first = np.cumsum([0, *sizes])
    shared, place = first[-1] + np.arange(options.n_shared), np.arange(options.n_shared)
    members, orders = [], []
    for k, size in enumerate(sizes):
        if k and options.shared_order == "different":
            place = rng.permutation(options.n_shared)
        members.append(np.concatenate([first[k] + np.arange(size), shared]).astype(np.int64))
        orders.append(np.concatenate([np.arange(size), place]).astype(np.int64))
    n_units = int(first[-1]) + options.n_shared + options.n_background
    return Plan(tuple(map(int, gaps)), tuple(members), tuple(orders), n_units, options)


def fluorescence(counts: Float32Array, decay: float) -> Float32Array:
    """Replace each spike by exp(-lag / decay), along the last axis."""
    from scipy.signal import lfilter

    kept = np.float32(np.exp(-1.0 / decay))
    filtered = lfilter(np.ones(1, np.float32), np.array([1.0, -kept], np.float32), counts, axis=-1)
    return np.ascontiguousarray(filtered, dtype=np.float32)


def planned_motifs(plan: Plan) -> Float32Array:
    """Return the expected signal after the start of each sequence."""
    burst = plan.options.burst
    motifs = np.zeros((plan.n_units, len(plan.gaps), plan.n_lags), dtype=np.float32)
    # the chance that a burst of 1 to 2 * burst - 1 spikes has one more
    fires = 1.0 - np.arange(2 * burst - 1) / (2 * burst - 1)
    for k, (unit, order) in enumerate(zip(plan.members, plan.orders, strict=True)):
        for j, share in enumerate(fires):
            motifs[unit, k, order * plan.gaps[k] + j] = share
    if plan.options.calcium is not None:
        motifs = fluorescence(motifs, plan.options.calcium)
    return motifs


def planned_units(plan: Plan) -> pd.DataFrame:
    """Tabulate which unit belongs to which sequence at which lag."""
    options = plan.options
    first_shared = plan.n_units - options.n_shared - options.n_background
    rest = plan.n_units - options.n_background + np.arange(options.n_background)
    parts = [
        pd.DataFrame({"unit": unit, "factor": k, "lag": order * plan.gaps[k]})
        for k, (unit, order) in enumerate(zip(plan.members, plan.orders, strict=True))
    ]
    parts.append(pd.DataFrame({"unit": rest, "factor": -1, "lag": -1}))
    table = pd.concat(parts, ignore_index=True).astype(np.int64)
    table["group"] = np.select(
        [table["factor"] < 0, table["unit"] >= first_shared],
        ["background", "shared"],
        default="sequence",
    )
    return table.sort_values(["unit", "factor"], ignore_index=True)
