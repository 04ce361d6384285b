"""Simulated tables and recordings with a known truth, and public recordings.

`partwise.datasets.example_data` is the matrix of neurons of `songbird()`, under the name it has in
the original's port; it is read, or fetched, each time that it is asked for.
"""

from __future__ import annotations

from typing import Any

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
from partwise.datasets.songbird import Songbird, songbird
from partwise.datasets.tissue import SimulatedTissue, simulate_tissue, write_tissue

__all__ = [
    "SequenceOptions",
    "SimulatedPrograms",
    "SimulatedSequences",
    "SimulatedTable",
    "SimulatedTissue",
    "Songbird",
    "simulate_neighborhoods",
    "simulate_programs",
    "simulate_sequences",
    "simulate_tissue",
    "songbird",
    "write_simulated",
    "write_tissue",
]


def __getattr__(name: str) -> Any:
    # neither listed nor kept: whoever lists this module must not start a download
    if name == "example_data":
        return songbird().neural
    raise AttributeError(f"module 'partwise.datasets' has no attribute {name!r}")
