"""Simulated tables with a known truth."""

from __future__ import annotations

from partwise.datasets.neighborhoods import (
    SimulatedTable,
    simulate_neighborhoods,
    write_simulated,
)
from partwise.datasets.programs import SimulatedPrograms, simulate_programs
from partwise.datasets.sequences import (
    SequenceOptions,
    SimulatedSequences,
    simulate_sequences,
)
from partwise.datasets.tissue import SimulatedTissue, simulate_tissue, write_tissue

__all__ = [
    "SequenceOptions",
    "SimulatedPrograms",
    "SimulatedSequences",
    "SimulatedTable",
    "SimulatedTissue",
    "simulate_neighborhoods",
    "simulate_programs",
    "simulate_sequences",
    "simulate_tissue",
    "write_simulated",
    "write_tissue",
]
