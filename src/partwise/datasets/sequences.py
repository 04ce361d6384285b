"""Simulated recordings in which neurons fire in sequences, with the truth.

Letters: X is units x frames (N x T); motifs are N x K x L, activations K x T. A motif starts, at
its lag 0, in the frame where its activation stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.datasets import _sequence_draws as draws
from partwise.datasets._sequence_plan import (
    Plan,
    each,
    fluorescence,
    make_plan,
    planned_motifs,
    planned_units,
    whole,
    within,
)
from partwise.exceptions import UsageError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["SequenceOptions", "SimulatedSequences", "simulate_sequences"]

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_ORDERS = ("same", "different")


@dataclass(frozen=True)
class SequenceOptions:
    """What disturbs simulated sequences, and what else is in the recording.

    Attributes
    ----------
    noise
        Chance of one more spike, per unit and frame.
    jitter
        Standard deviation of a spike's displacement, frames (rounded normal); one number or one
        for each sequence.
    participation
        Chance that a neuron takes part in an event of its sequence; one number or one for each
        sequence.
    warp
        Each event adds 0 to `warp` frames, all equally likely, to the gap between its neurons.
    burst
        Mean number of spikes where a neuron fires in an event: 1 to 2 * burst - 1, all equally
        likely, in frames that follow each other.
    n_shared
        Neurons that take part in all sequences, one per gap from the start of the event on.
    shared_order
        "same": shared neurons fire in one order in all sequences; "different": in an order of its
        own in each but the first.
    n_background
        Units in no sequence; they fire by `noise` alone.
    overlap
        Chance that an event begins while the one before it, of another sequence, may still play.
    drift
        Share of its rate that a unit gains or loses from the first to the last frame, at random
        and evenly; of participation and of noise.
    missing
        Share of frames that are lost, in runs of `missing_run` frames. X is zero there.
    missing_run
        Length of a run of lost frames.
    calcium
        Time constant of a calcium kernel exp(-lag / calcium), frames: X is then a dense array of
        fluorescence. None: X holds spike counts.
    """

    noise: float = 0.001
    jitter: float | Sequence[float] = 0.0
    participation: float | Sequence[float] = 1.0
    warp: int = 0
    burst: int = 1
    n_shared: int = 0
    shared_order: str = "same"
    n_background: int = 0
    overlap: float = 0.0
    drift: float = 0.0
    missing: float = 0.0
    missing_run: int = 20
    calcium: float | None = None

    def __post_init__(self) -> None:
        for name in ("overlap", "drift"):
            within(name, getattr(self, name), 0.0, 1.0)
        within("noise", self.noise, 0.0, 0.5)
        within("missing", self.missing, 0.0, 0.9)
        for name in ("warp", "n_shared", "n_background"):
            whole(name, getattr(self, name), 0)
        for name in ("burst", "missing_run"):
            whole(name, getattr(self, name), 1)
        if self.shared_order not in _ORDERS:
            raise UsageError(
                f"shared_order must be one of {', '.join(_ORDERS)}, not {self.shared_order!r}"
            )
        if self.calcium is not None and not 0 < self.calcium < np.inf:
            raise UsageError(f"calcium must be a number of frames above 0, not {self.calcium!r}")


@dataclass(frozen=True)
class SimulatedSequences:
    """A simulated recording and what was planted in it.

    Attributes
    ----------
    X
        Spike counts as CSR float32, or fluorescence as an array of float32; N x T.
    motifs
        Expected signal after the start of an event in which all take part, without jitter, warp
        and noise; N x K x L. A calcium kernel is cut after five time constants.
    activations
        1 where an event starts, else 0; K x T.
    events
        One row per event in the order of time: `factor`, `frame`, `time` (seconds), `gap` (frames
        between its neurons), `n_units` (how many took part).
    units
        One row per unit and sequence that it belongs to: `unit`, `factor`, `lag` (frames),
        `group` ("sequence", "shared" or "background"; these have factor and lag -1).
    missing
        True for lost frames, T; None if there are none.
    rate
        Frames per second.
    options, seed
        How it was made.
    """

    X: csr_matrix | Float32Array
    motifs: Float32Array
    activations: Float32Array
    events: pd.DataFrame
    units: pd.DataFrame
    missing: npt.NDArray[np.bool_] | None
    rate: float
    options: SequenceOptions
    seed: int

    @property
    def n_units(self) -> int:
        """Number of units N."""
        return int(self.motifs.shape[0])

    @property
    def n_sequences(self) -> int:
        """Number of planted sequences K."""
        return int(self.motifs.shape[1])

    @property
    def n_lags(self) -> int:
        """Length of the planted motifs L, frames."""
        return int(self.motifs.shape[2])

    @property
    def n_frames(self) -> int:
        """Number of frames T."""
        return int(self.activations.shape[1])

    @property
    def mask(self) -> csr_matrix | None:
        """Lost frames as a sparse N x T mask, True is hidden; None if there are none."""
        from scipy.sparse import csr_matrix

        if self.missing is None:
            return None
        lost = np.flatnonzero(self.missing)
        starts = np.arange(self.n_units + 1) * lost.size
        data = np.ones(self.n_units * lost.size, dtype=bool)
        shape = (self.n_units, self.n_frames)
        return csr_matrix((data, np.tile(lost, self.n_units), starts), shape=shape)


def simulate_sequences(
    n_frames: int = 10_000,
    *,
    n_sequences: int = 3,
    n_neurons: int | Sequence[int] = 10,
    gap: int | Sequence[int] = 3,
    interval: int = 50,
    rate: float = 30.0,
    seed: int = 0,
    **options: Any,
) -> SimulatedSequences:
    """Simulate neurons that fire in sequences.

    Neuron i of a sequence fires i * gap frames after the start of an event; events follow each
    other with 1 to 2 * interval - 1 idle frames between them, and are of a sequence drawn at
    random. Then come what the options say: jitter, absent neurons, warped events, bursts, noise,
    drift, lost frames, a calcium kernel. Time and memory grow with the number of spikes (a calcium
    kernel makes a dense array).

    Parameters
    ----------
    n_frames
        Length of the recording T.
    n_sequences
        Number of sequences K.
    n_neurons
        Neurons of a sequence; one number or one for each sequence.
    gap
        Frames between neurons of a sequence; one number or one for each sequence.
    interval
        Mean number of idle frames between events.
    rate
        Frames per second, for the times of the events.
    seed
        Seed; global random state is neither read nor set.
    **options
        What disturbs the sequences: the attributes of `SequenceOptions`, to which they are handed.

    Returns
    -------
    SimulatedSequences
        The recording and the truth.

    Raises
    ------
    UsageError
        If a number is out of range, or the recording is shorter than an event.

    Notes
    -----
    The options cover those of the generator that Mackevicius et al. (2019, eLife 8:e38471) tested
    seqNMF with; bursts, overlaps, drift and lost frames are further ones.

    Examples
    --------
    >>> from partwise.datasets import simulate_sequences
    >>> sim = simulate_sequences(2000, n_sequences=2, n_neurons=[8, 6], jitter=0.5, seed=1)
    >>> sim.X.shape, sim.motifs.shape, sim.activations.shape
    ((14, 2000), (14, 2, 22), (2, 2000))
    >>> list(sim.events.columns)
    ['factor', 'frame', 'time', 'gap', 'n_units']
    """
    for name, value in (
        ("n_frames", n_frames),
        ("n_sequences", n_sequences),
        ("interval", interval),
    ):
        whole(name, value, 1)
    if not 0 < rate < np.inf:
        raise UsageError(f"rate must be a number of frames per second above 0, not {rate!r}")
    chosen = SequenceOptions(**options)
    if chosen.overlap and n_sequences < 2:
        raise UsageError("overlap needs two sequences at least; n_sequences is 1")
    rng = np.random.default_rng(seed)
    plan = make_plan(rng, n_sequences, n_neurons, gap, chosen)
    if plan.longest > n_frames:
        raise UsageError(
            f"an event can take {plan.longest} frames, but n_frames is {n_frames}: make the "
            "recording longer, or n_neurons, gap, warp or burst smaller"
        )
    frame, factor = draws.starts_and_factors(
        rng,
        n_frames,
        longest=plan.longest,
        interval=interval,
        n_sequences=n_sequences,
        overlap=chosen.overlap,
    )
    gaps = np.asarray(plan.gaps)[factor] + rng.integers(chosen.warp + 1, size=frame.size)
    events = pd.DataFrame({"factor": factor, "frame": frame, "time": frame / rate, "gap": gaps})
    X, events["n_units"] = _counts(rng, plan, events, n_frames)
    missing = None
    if chosen.calcium is not None:
        X = fluorescence(X.toarray(), chosen.calcium)
    if chosen.missing:
        missing = draws.lost_frames(rng, n_frames, missing=chosen.missing, run=chosen.missing_run)
        X = _without(X, missing)
    activations = np.zeros((n_sequences, n_frames), dtype=np.float32)
    activations[factor, frame] = 1.0
    motifs = planned_motifs(plan)
    return SimulatedSequences(
        X, motifs, activations, events, planned_units(plan), missing, rate, chosen, seed
    )


def _counts(
    rng: np.random.Generator, plan: Plan, events: pd.DataFrame, n_frames: int
) -> tuple[Any, IntArray]:
    """Draw all spikes: CSR of counts, and how many units took part in each event."""
    falling = rng.random(plan.n_units) < 0.5
    planted, taking_part = _planted(rng, plan, events, n_frames, falling)
    total = planted + _background(rng, plan, n_frames, falling)
    total.sort_indices()
    return total, taking_part


def _planted(
    rng: np.random.Generator, plan: Plan, events: pd.DataFrame, n_frames: int, falling: Any
) -> tuple[Any, IntArray]:
    from scipy.sparse import coo_matrix

    options, n = plan.options, len(plan.gaps)
    jitters, parts = each("jitter", options.jitter, n), each("", options.participation, n)
    factor, frame, gap = (events[name].to_numpy() for name in ("factor", "frame", "gap"))
    taking_part = np.zeros(len(events), dtype=np.int64)
    rows, columns = [], []
    for k, members in enumerate(plan.members):
        mine = np.flatnonzero(factor == k)
        chance = parts[k] * draws.drifting_rate(
            falling, members[None, :], frame[mine, None], n_frames, options.drift
        )
        member, when, taking_part[mine] = draws.event_spikes(
            rng,
            frame[mine],
            gap[mine],
            order=plan.orders[k],
            chance=chance,
            jitter=jitters[k],
            burst=options.burst,
        )
        inside = (when >= 0) & (when < n_frames)
        rows.append(members[member[inside]].astype(np.int32))
        columns.append(when[inside].astype(np.int32))
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(row.size, dtype=np.float32)
    return coo_matrix((ones, (row, column)), shape=(plan.n_units, n_frames)).tocsr(), taking_part


def _background(rng: np.random.Generator, plan: Plan, n_frames: int, falling: Any) -> Any:
    from scipy.sparse import csr_matrix

    per_unit = np.zeros(plan.n_units + 1, dtype=np.int64)
    found: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)]
    drift = plan.options.drift
    for unit, when in draws.background(rng, plan.n_units, n_frames, plan.options.noise):
        stays = np.ones(unit.size, dtype=bool)
        if drift:
            rates = draws.drifting_rate(falling, unit, when, n_frames, drift)
            stays = rng.random(unit.size) < rates
        per_unit[1:] += np.bincount(unit[stays], minlength=plan.n_units)
        found.append(when[stays].astype(np.int32))
    column = np.concatenate(found)
    ones, starts = np.ones(column.size, dtype=np.float32), np.cumsum(per_unit)
    return csr_matrix((ones, column, starts), shape=(plan.n_units, n_frames))


def _without(X: Any, missing: npt.NDArray[np.bool_]) -> Any:
    """Set lost frames to zero."""
    if isinstance(X, np.ndarray):
        X[:, missing] = 0.0
        return X
    X.data[missing[X.indices]] = 0.0
    X.eliminate_zeros()
    return X
