"""Simulated tables with a known truth."""

from __future__ import annotations

from partwise.datasets.neighborhoods import (
    SimulatedTable,
    simulate_neighborhoods,
    write_simulated,
)

__all__ = ["SimulatedTable", "simulate_neighborhoods", "write_simulated"]
