"""Some consecutive rows of a matrix, without copying the rest of it."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp

__all__ = ["rows_between"]


def rows_between(x: Any, start: int, stop: int) -> Any:
    """Return rows start..stop of an array or CSR matrix; nothing outside them is touched.

    scipy brings the row pointers and the indices to one type before it cuts out rows; with pointers
    of 64 bits and indices of 32, as we hold them, it copies all the indices for each cut.
    """
    if not sp.issparse(x):
        return x[start:stop]
    stop = min(stop, x.shape[0])
    first, last = int(x.indptr[start]), int(x.indptr[stop])
    part = sp.csr_matrix(
        (x.data[first:last], x.indices[first:last], x.indptr[start : stop + 1] - first),
        shape=(stop - start, x.shape[1]),
    )
    part.has_sorted_indices = x.has_sorted_indices
    return part
