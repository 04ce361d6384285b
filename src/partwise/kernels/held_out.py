"""Values of single entries: of sparse data, and of the product of two factors."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partwise.kernels._jit import jit

Array: TypeAlias = npt.NDArray[Any]

__all__ = ["product_at", "values_at"]


@jit
def product_at(indptr: Array, columns: Array, w: Array, h: Array, out: Array) -> None:
    """Write w_i . h_j of the entries to `out`; `w` is n x k, `h` is p x k, both float64."""
    for i in range(indptr.shape[0] - 1):
        for q in range(indptr[i], indptr[i + 1]):
            j = columns[q]
            total = 0.0
            for t in range(w.shape[1]):
                total += w[i, t] * h[j, t]
            out[q] = total


@jit
def values_at(
    x_indptr: Array, x_columns: Array, x: Array, p: int, indptr: Array, columns: Array, out: Array
) -> None:
    """Write the values that a CSR matrix has at the entries to `out`, float64."""
    row = np.zeros(p)
    for i in range(indptr.shape[0] - 1):
        for q in range(x_indptr[i], x_indptr[i + 1]):
            row[x_columns[q]] += np.float64(x[q])
        for q in range(indptr[i], indptr[i + 1]):
            out[q] = row[columns[q]]
        for q in range(x_indptr[i], x_indptr[i + 1]):
            row[x_columns[q]] = 0.0
