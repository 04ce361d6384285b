"""Simulated tables with a known truth."""

from __future__ import annotations

from partwise.datasets.neighborhoods import (
    SimulatedTable,
    simulate_neighborhoods,
    write_simulated,
)
from partwise.datasets.programs import SimulatedPrograms, simulate_programs

__all__ = [
    "SimulatedPrograms",
    "SimulatedTable",
    "simulate_neighborhoods",
    "simulate_programs",
    "write_simulated",
]
