"""What simulated sequences are drawn from: starts, spikes of events, background, lost frames.

Every draw is vectorised over events or spikes, in an order that depends on the options alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__: list[str] = []

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Spikes of the background drawn at a time: bounds the memory of wide numbers.
_AT_A_TIME = 1 << 20


def starts_and_factors(
    rng: np.random.Generator,
    n_frames: int,
    *,
    longest: int,
    interval: int,
    n_sequences: int,
    overlap: float,
) -> tuple[IntArray, IntArray]:
    """Draw the first frames of the events and which sequence each of them is.

    An event begins 1 to 2 * interval - 1 frames after the longest event could have ended, or, with
    chance `overlap`, while the event before it may still play; that one is another sequence then.
    The first `n_sequences` events are one of each. All that begins ends within the recording.
    """
    # no gap is shorter than 1 frame, and the mean gap bounds how many draws are enough
    parts: list[IntArray] = []
    flags: list[npt.NDArray[np.bool_]] = []
    last, typical = int(rng.integers(2 * interval)), max(16, n_frames // (longest + interval) + 1)
    parts.append(np.array([last], dtype=np.int64))
    flags.append(np.zeros(1, dtype=bool))
    while last <= n_frames - longest:
        within = rng.random(typical) < overlap
        idle = rng.integers(1, 2 * interval, size=typical)
        inside = rng.integers(1, max(longest, 2), size=typical)
        found = last + np.cumsum(np.where(within, inside, longest + idle))
        parts.append(found)
        flags.append(within)
        last = int(found[-1])
    frame, within = np.concatenate(parts), np.concatenate(flags)
    kept = frame <= n_frames - longest
    frame, within = frame[kept], within[kept]
    # steps from one sequence to the next: uniform labels, but never the same in an overlap
    step = rng.integers(n_sequences, size=frame.size)
    if n_sequences > 1:
        step = np.where(within, rng.integers(1, n_sequences, size=frame.size), step)
        step[1:n_sequences] = 1
    return frame, np.cumsum(step) % n_sequences


def event_spikes(
    rng: np.random.Generator,
    start: IntArray,
    gap: IntArray,
    *,
    order: IntArray,
    chance: FloatArray,
    jitter: float,
    burst: int,
) -> tuple[IntArray, IntArray, IntArray]:
    """Draw the spikes of all events of one sequence.

    Parameters
    ----------
    rng
        The generator.
    start, gap
        First frame of each event and the frames from neuron to neuron in it, one per event.
    order
        Place of each member in the sequence, one per member.
    chance
        Chance that a member takes part, events x members.
    jitter
        Standard deviation of the displacement, frames.
    burst
        Mean number of spikes where a member fires.

    Returns
    -------
    member, frame, taking_part
        Member and frame of each spike (frames may lie outside the recording), and the number of
        members that took part in each event.
    """
    frame = start[:, None] + gap[:, None] * order[None, :]
    if jitter:
        moved = np.rint(jitter * rng.standard_normal(frame.shape))
        frame = frame + moved.astype(np.int64)
    taken = rng.random(frame.shape) < chance
    member = np.broadcast_to(np.arange(order.size), frame.shape)[taken]
    frame = frame[taken]
    if burst > 1:
        count = rng.integers(1, 2 * burst, size=frame.size)
        first = np.repeat(np.cumsum(count) - count, count)
        frame = np.repeat(frame, count) + (np.arange(first.size) - first)
        member = np.repeat(member, count)
    return member, frame, taken.sum(axis=1)


def background(
    rng: np.random.Generator, n_units: int, n_frames: int, noise: float
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield units and frames of spikes that fall into each bin with chance `noise`.

    The distances between them, unit after unit, are geometric: as many draws as there are spikes,
    not as many as there are bins.
    """
    last, n_bins = -1, n_units * n_frames
    while noise > 0:
        place = last + np.cumsum(rng.geometric(noise, size=_AT_A_TIME))
        inside = place[: np.searchsorted(place, n_bins)]
        if inside.size:
            unit = inside // n_frames
            yield unit, inside - unit * n_frames
        if inside.size < place.size:
            return
        last = int(place[-1])


def drifting_rate(
    falling: npt.NDArray[np.bool_], unit: IntArray, frame: Any, n_frames: int, drift: float
) -> FloatArray:
    """Return how much is left of the rate of each unit at each frame, 1 - drift to 1."""
    passed = np.clip(np.asarray(frame, dtype=np.float64) / max(n_frames - 1, 1), 0.0, 1.0)
    lost: FloatArray = np.where(falling[unit], passed, 1.0 - passed)
    left: FloatArray = 1.0 - drift * lost
    return left


def lost_frames(
    rng: np.random.Generator, n_frames: int, *, missing: float, run: int
) -> npt.NDArray[np.bool_]:
    """Draw runs of lost frames, one at random in each of as many equal stretches."""
    total = max(1, round(missing * n_frames))
    n_runs = max(1, round(total / run))
    edges = np.linspace(0, n_frames, n_runs + 1).astype(np.int64)
    length = np.full(n_runs, total // n_runs)
    length[: total % n_runs] += 1
    length = np.minimum(length, np.diff(edges))
    first = edges[:-1] + rng.integers(np.diff(edges) - length + 1)
    change = np.zeros(n_frames + 1, dtype=np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, first + length, -1)
    lost: npt.NDArray[np.bool_] = np.cumsum(change[:-1]) > 0
    return lost
