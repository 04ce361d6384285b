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
    "power",
    "reconstruct",
    "select_k",
    "select_lambda",
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

#: public name -> module; loaded on first use
_PUBLIC = {
    "Matching": "partwise.sequences.matching",
    "NeuronOrder": "partwise.sequences.ordering",
    "consistency": "partwise.sequences.matching",
    "dissimilarity": "partwise.sequences.matching",
    "match_factors": "partwise.sequences.matching",
    "match_motifs": "partwise.sequences.matching",
    "sort_neurons": "partwise.sequences.ordering",
    "event_times": "partwise.sequences.events",
    "triggered_average": "partwise.sequences.events",
    "triggered_windows": "partwise.sequences.events",
    "epoch_frames": "partwise.sequences.spikes",
    "spike_raster": "partwise.sequences.spikes",
    "spike_units": "partwise.sequences.spikes",
    "test_significance": "partwise.sequences.significance",
    "split_time": "partwise.sequences.splits",
    "sequenciness": "partwise.sequences.sequence_score",
    "select_lambda": "partwise.sequences.lambda_sweep",
    "select_k": "partwise.sequences.k_sweep",
    "Split": "partwise.sequences.splits",
    "Significance": "partwise.sequences.significance",
    "Sequenciness": "partwise.sequences.sequence_score",
    "LambdaSelection": "partwise.sequences.lambda_sweep",
    "KSelection": "partwise.sequences.k_sweep",
    "FrameSource": "partwise.sequences.sources",
    "SeqNMF": "partwise.sequences.model",
    "loadings": "partwise.sequences.products",
    "motif_products": "partwise.sequences.products",
    "power": "partwise.sequences.products",
    "reconstruct": "partwise.sequences.products",
    "seqnmf_costs": "partwise.sequences.products",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'partwise.sequences' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
