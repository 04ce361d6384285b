"""Sequences: convolutional factorization of recordings, its tests and its choices."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "FrameSource",
    "KSelection",
    "LambdaSelection",
    "SeqNMF",
    "Sequenciness",
    "Significance",
    "Split",
    "loadings",
    "motif_products",
    "power",
    "reconstruct",
    "select_k",
    "select_lambda",
    "seqnmf_costs",
    "sequenciness",
    "split_time",
    "test_significance",
]

#: public name -> module; loaded on first use
_PUBLIC = {
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
