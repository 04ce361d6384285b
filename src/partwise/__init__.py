"""partwise: non-negative matrix factorization for the life sciences.

Public names are loaded on first use, so that importing the package costs little.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: public name -> (module, attribute)
_PUBLIC: dict[str, tuple[str, str]] = {
    "ConsensusNMF": ("partwise.factorize", "ConsensusNMF"),
    "KNeighborsTransformer": ("partwise.graph.transformer", "KNeighborsTransformer"),
    "MiniBatchNMF": ("partwise.factorize", "MiniBatchNMF"),
    "NMF": ("partwise.factorize", "NMF"),
    "SeqNMF": ("partwise.sequences", "SeqNMF"),
    "Speckle": ("partwise.matrix.masks", "Speckle"),
    "held_out_error": ("partwise.factorize", "held_out_error"),
    "leiden": ("partwise.graph", "leiden"),
    "load": ("partwise.io", "load_model"),
    "neighborhood_table": ("partwise.graph", "neighborhood_table"),
    "neighbors": ("partwise.graph", "neighbors"),
    "open": ("partwise.io", "open_table"),
    "save": ("partwise.io", "save_model"),
    "select_rank": ("partwise.factorize", "select_rank"),
    "simulate_neighborhoods": ("partwise.datasets", "simulate_neighborhoods"),
    "simulate_programs": ("partwise.datasets", "simulate_programs"),
    "simulate_sequences": ("partwise.datasets", "simulate_sequences"),
    "simulate_tissue": ("partwise.datasets", "simulate_tissue"),
}

#: what scverse users type: AnnData in, AnnData out
_ROOMS = ("pp", "tl", "pl", "get")

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value
    rooms = (
        "prepare",
        "workflows",
        "datasets",
        "figures",
        "graph",
        "io",
        "metrics",
        "sequences",
        "exceptions",
    )
    if name in (*rooms, *_ROOMS):
        return importlib.import_module(f"partwise.{name}")
    raise AttributeError(f"module 'partwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
