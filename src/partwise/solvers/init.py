"""Starting points: random, and NNDSVD from a randomized SVD made with the matrix's own verbs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix
from partwise.matrix.thin import thin_rows

__all__ = ["INITS", "initialize", "singular_vectors"]

Array = npt.NDArray[Any]

INITS = ("nndsvda", "nndsvd", "random")

#: Extra directions and power iterations of the randomized SVD (Halko, Martinsson & Tropp 2011).
_OVERSAMPLING, _POWER = 8, 3
#: Rows that are scaled together, and rows whose products are summed in one call of BLAS.
_ROWS, _GRAM_ROWS = 2**15, 5 * 2**18


def initialize(
    matrix: DataMatrix, k: int, init: str, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return flat thin usage (n rows) and programs (p rows).

    `random` draws |N(0, 1)| sqrt(mean(X) / k), as scikit-learn does; `nndsvd` splits the leading
    singular vectors into their positive and negative parts and keeps the larger
    (Boutsidis & Gallopoulos 2008); `nndsvda` then fills zeros with the mean of X. Components
    beyond the rank of the data start at random. Where entries are hidden, the usage is zero: with
    the programs it says what stands in for them in the first step, and that is then nothing.
    """
    usage, programs = _both(matrix, k, init, rng)
    if matrix.observed < matrix.shape[0] * matrix.shape[1]:
        usage[:] = 0
    return usage, programs


def _both(matrix: DataMatrix, k: int, init: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return flat thin usage and programs, whatever is hidden."""
    n, p = matrix.shape
    scale = np.sqrt(max(matrix.mean, 0.0) / k)
    if init == "random":
        usage = matrix.thin(n, k, np.abs(rng.standard_normal((n, k)) * scale))
        return usage, matrix.thin(p, k, np.abs(rng.standard_normal((p, k)) * scale))
    flat = matrix.thin(n, k), matrix.thin(p, k)
    usage, programs = (thin_rows(factor, matrix.stride(k), k) for factor in flat)
    rank = min(k, n, p)
    values, right = _vectors_into(usage[:, :rank], matrix, rng)
    _split(usage, values, right, programs)
    for t in range(k):
        if not (usage[:, t].any() and programs[:, t].any()):
            usage[:, t] = np.abs(rng.standard_normal(n) * scale)
            programs[:, t] = np.abs(rng.standard_normal(p) * scale)
    if init == "nndsvda":
        usage[usage == 0] = matrix.mean
        programs[programs == 0] = matrix.mean
    return flat


def singular_vectors(
    matrix: DataMatrix, rank: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return approximate leading singular vectors: left n x rank, values, right p x rank.

    Power iterations on X^T X from a random start; only p x (rank + 8) numbers are orthogonalised,
    so that the rows are touched by the matrix's own verbs alone.
    """
    left = np.empty((matrix.shape[0], rank), matrix.dtype)
    values, right = _vectors_into(left, matrix, rng)
    return left, values, right


def _vectors_into(left: Array, matrix: DataMatrix, rng: np.random.Generator) -> tuple[Array, Array]:
    """Write the left singular vectors to n x rank; return the values and the right ones.

    The product of all rows with the basis, which is wider than the usage, is never held: what is
    needed of it is made twice.
    """
    rank = left.shape[1]
    p = matrix.shape[1]
    width = min(rank + _OVERSAMPLING, p)
    basis = np.linalg.qr(rng.standard_normal((p, width)))[0]
    for _ in range(_POWER):
        back = matrix.multiply_normal(matrix.thin(p, width, basis), width)
        stride = matrix.stride(width)
        basis = np.linalg.qr(back.reshape(p, stride)[:, :width].astype(np.float64))[0]
    thin = matrix.thin(p, width, basis)
    gram = np.zeros((width, width))
    for _, image in matrix.products(thin, width):
        gram += _gram(thin_rows(image, matrix.stride(width), width))
    squares, rotation = np.linalg.eigh(gram)
    order = np.argsort(squares)[::-1][:rank]
    values = np.sqrt(np.maximum(squares[order], 0.0))
    inverse = np.divide(1.0, values, out=np.zeros(rank), where=values > 1e-6 * max(values[0], 0))
    rotation = rotation[:, order]
    turn = (rotation * inverse).astype(left.dtype)
    for start, image in matrix.products(thin, width):
        rows = thin_rows(image, matrix.stride(width), width)
        left[start : start + rows.shape[0]] = rows @ turn
    return values * (inverse > 0), basis @ rotation


def _gram(rows: Array) -> npt.NDArray[np.float64]:
    """Return rows^T rows in float64, without a copy of all rows in that type."""
    parts = [rows[start : start + _GRAM_ROWS] for start in range(0, rows.shape[0], _GRAM_ROWS)]
    total: npt.NDArray[np.float64] = np.sum([p.T.astype(np.float64) @ p for p in parts], axis=0)
    return total


def _split(usage: Array, values: Array, right: Array, programs: Array) -> None:
    """Make non-negative factors n x k and p x k of singular vectors; missing ones stay zero.

    The left vectors stand in the first columns of the usage, and are overwritten.
    """
    for t, value in enumerate(values):
        u, v = usage[:, t].copy(), right[:, t]
        lengths = {s: (_length(_positive(s * u)), _length(_positive(s * v))) for s in (1.0, -1.0)}
        sign = max(lengths, key=lambda s: lengths[s][0] * lengths[s][1])
        first, second = lengths[sign]
        usage[:, t] = 0
        if min(first, second) > 0:
            scale = np.sqrt(value * first * second)
            u = _positive(sign * u)
            for start in range(0, u.shape[0], _ROWS):
                usage[start : start + _ROWS, t] = scale * u[start : start + _ROWS] / first
            programs[:, t] = scale * _positive(sign * v) / second


def _positive(vector: Array) -> Array:
    """Return the positive part of a singular vector; what is rounding error becomes zero."""
    least = 8 * np.finfo(vector.dtype).eps * np.abs(vector).max()
    return np.where(vector > least, vector, 0)


def _length(vector: Array) -> np.floating[Any]:
    length: np.floating[Any] = np.linalg.norm(vector)
    return length
