"""Advice on tables of counts that are fitted by squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["counts_advice"]

#: Rows that are looked at.
_ROWS = 2000
#: Counts suit the squared error badly where few entries are positive and some are large.
_DENSE, _LARGE = 0.5, 30.0


def counts_advice(matrix: Any, loss: str, *, prepared: bool = False) -> list[str]:
    """Return what to say of whole numbers, mostly zeros, some large, under the squared error.

    Parameters
    ----------
    matrix
        Array, CSR matrix or block source; its first rows are looked at.
    loss
        What is minimised.
    prepared
        Whether the values are normalised or transformed before the fit.
    """
    if loss != "frobenius" or prepared:
        return []
    rows = min(_ROWS, matrix.shape[0])
    block = next(iter(matrix.blocks(0, rows)))[1] if hasattr(matrix, "blocks") else matrix[:rows]
    values = block.data if sp.issparse(block) else np.asarray(block).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    cells = block.shape[0] * block.shape[1]
    if values.size == 0 or values.size > _DENSE * cells or values.max() < _LARGE:
        return []
    if not (values == np.rint(values)).all():
        return []
    return [
        f"the values look like counts (whole numbers up to {values.max():,.0f}, mostly zeros): "
        "under the squared error the few largest decide the fit; --loss kullback-leibler is made "
        "for counts, or normalise and take logarithms first"
    ]
