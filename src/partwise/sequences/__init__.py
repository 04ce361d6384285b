"""Sequences: convolutional factorization of recordings, its tests and its choices."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "FrameSource",
    "KSelection",
    "LambdaSelection",
    "Matching",
    "NeuronOrder",
    "SeqNMF",
    "Sequenciness",
    "Significance",
    "Split",
    "consistency",
    "dissimilarity",
    "epoch_frames",
    "event_times",
    "loadings",
    "match_factors",
    "match_motifs",
    "motif_products",
    "plot",
    "power",
    "reconstruct",
    "select_k",
    "select_lambda",
    "seqnmf",
    "seqnmf_costs",
    "sequenciness",
    "sort_neurons",
    "spike_raster",
    "spike_units",
    "split_time",
    "test_significance",
    "triggered_average",
    "triggered_windows",
]

#: public name -> module; loaded on first use, so that a script of the original finds the recording
#: and the picture, which lie in rooms that know this one
_PUBLIC = {
    "FrameSource": "partwise.sequences.sources",
    "KSelection": "partwise.sequences.k_sweep",
    "LambdaSelection": "partwise.sequences.lambda_sweep",
    "Matching": "partwise.sequences.matching",
    "NeuronOrder": "partwise.sequences.ordering",
    "SeqNMF": "partwise.sequences.model",
    "Sequenciness": "partwise.sequences.sequence_score",
    "Significance": "partwise.sequences.significance",
    "Split": "partwise.sequences.splits",
    "consistency": "partwise.sequences.matching",
    "dissimilarity": "partwise.sequences.matching",
    "epoch_frames": "partwise.sequences.spikes",
    "event_times": "partwise.sequences.events",
    "example_data": "partwise.datasets",
    "loadings": "partwise.sequences.products",
    "match_factors": "partwise.sequences.matching",
    "match_motifs": "partwise.sequences.matching",
    "motif_products": "partwise.sequences.products",
    "plot": "partwise.sequences.original",
    "power": "partwise.sequences.products",
    "reconstruct": "partwise.sequences.products",
    "select_k": "partwise.sequences.k_sweep",
    "select_lambda": "partwise.sequences.lambda_sweep",
    "seqnmf": "partwise.sequences.original",
    "seqnmf_costs": "partwise.sequences.products",
    "sequenciness": "partwise.sequences.sequence_score",
    "sort_neurons": "partwise.sequences.ordering",
    "spike_raster": "partwise.sequences.spikes",
    "spike_units": "partwise.sequences.spikes",
    "split_time": "partwise.sequences.splits",
    "test_significance": "partwise.sequences.significance",
    "triggered_average": "partwise.sequences.events",
    "triggered_windows": "partwise.sequences.events",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'partwise.sequences' has no attribute {name!r}")


def __dir__() -> list[str]:
    # whoever looks at all names must not start a download
    return sorted((set(globals()) | set(_PUBLIC)) - {"example_data"})
