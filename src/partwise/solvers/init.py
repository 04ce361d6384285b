"""Starting points: random, and NNDSVD from a randomized SVD made with the matrix's own verbs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from partwise.matrix.matrix import DataMatrix

__all__ = ["INITS", "initialize", "singular_vectors"]

Array = npt.NDArray[Any]

INITS = ("nndsvda", "nndsvd", "random")

#: Extra directions and power iterations of the randomized SVD (Halko, Martinsson & Tropp 2011).
_OVERSAMPLING, _POWER = 8, 3


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
    left, values, right = singular_vectors(matrix, min(k, n, p), rng)
    usage, programs = _split(left, values, right, k)
    for t in range(k):
        if not (usage[:, t].any() and programs[:, t].any()):
            usage[:, t] = np.abs(rng.standard_normal(n) * scale)
            programs[:, t] = np.abs(rng.standard_normal(p) * scale)
    if init == "nndsvda":
        usage[usage == 0] = matrix.mean
        programs[programs == 0] = matrix.mean
    return matrix.thin(n, k, usage), matrix.thin(p, k, programs)


def singular_vectors(
    matrix: DataMatrix, rank: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return approximate leading singular vectors: left n x rank, values, right p x rank.

    Power iterations on X^T X from a random start; only p x (rank + 8) numbers are orthogonalised,
    so that the rows are touched by the matrix's own verbs alone.
    """
    n, p = matrix.shape
    width = min(rank + _OVERSAMPLING, p)
    basis = np.linalg.qr(rng.standard_normal((p, width)))[0]
    for _ in range(_POWER):
        back = matrix.multiply_normal(matrix.thin(p, width, basis), width)
        stride = matrix.stride(width)
        basis = np.linalg.qr(back.reshape(p, stride)[:, :width].astype(np.float64))[0]
    image = matrix.multiply(matrix.thin(p, width, basis), width)
    left = image.reshape(n, matrix.stride(width))[:, :width]
    squares, rotation = np.linalg.eigh(left.T.astype(np.float64) @ left)
    order = np.argsort(squares)[::-1][:rank]
    values = np.sqrt(np.maximum(squares[order], 0.0))
    inverse = np.divide(1.0, values, out=np.zeros(rank), where=values > 1e-6 * max(values[0], 0))
    rotation = rotation[:, order]
    return left @ (rotation * inverse).astype(left.dtype), values * (inverse > 0), basis @ rotation


def _split(left: Array, values: Array, right: Array, k: int) -> tuple[Array, Array]:
    """Return non-negative factors n x k and p x k from singular vectors; missing ones stay zero."""
    usage = np.zeros((left.shape[0], k), left.dtype)
    programs = np.zeros((right.shape[0], k), left.dtype)
    for t, value in enumerate(values):
        u, v = left[:, t], right[:, t]
        best = max(((_positive(s * u), _positive(s * v)) for s in (1.0, -1.0)), key=_weight)
        lengths = np.linalg.norm(best[0]), np.linalg.norm(best[1])
        if min(lengths) > 0:
            scale = np.sqrt(value * lengths[0] * lengths[1])
            usage[:, t] = scale * best[0] / lengths[0]
            programs[:, t] = scale * best[1] / lengths[1]
    return usage, programs


def _positive(vector: Array) -> Array:
    """Return the positive part of a singular vector; what is rounding error becomes zero."""
    least = 8 * np.finfo(vector.dtype).eps * np.abs(vector).max()
    return np.where(vector > least, vector, 0)


def _weight(pair: tuple[Array, Array]) -> float:
    return float(np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
