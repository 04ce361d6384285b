"""The engine in plain NumPy, float64 and row by row: what the fast one is compared with.

X is n x p, usage W is n x k, programs H is k x p. The quadratic problem of a row is: minimise
1/2 w G w^T - b w^T + shift w^T over w >= 0.
"""

import numpy as np
import scipy.sparse as sp
from scipy.optimize import nnls as scipy_nnls


def dense(X):
    """Return any matrix as a dense float64 array."""
    return np.asarray(X.toarray() if sp.issparse(X) else X, np.float64)


def objective(X, W, H, *, l1_usage=0.0, l2_usage=0.0, l1_programs=0.0, l2_programs=0.0):
    """Return 1/2 ||X - W H||^2 and the elastic net, from the residual itself."""
    W, H = np.asarray(W, np.float64), np.asarray(H, np.float64)
    value = 0.5 * np.sum((dense(X) - W @ H) ** 2)
    value += np.sum(l1_usage * W.sum(axis=0)) + 0.5 * np.sum(l2_usage * (W**2).sum(axis=0))
    value += np.sum(l1_programs * H.sum(axis=1)) + 0.5 * np.sum(l2_programs * (H**2).sum(axis=1))
    return float(value)


def relative_error(X, W, H):
    """Return ||X - W H|| / ||X||."""
    X = dense(X)
    return float(np.linalg.norm(X - np.float64(W) @ np.float64(H)) / np.linalg.norm(X))


def hals_sweeps(G, B, W, sweeps, shift=0.0):
    """Return W after sweeps of cyclic coordinate descent, one row and one coordinate at a time."""
    G, B = np.float64(G), np.float64(B)
    W = np.array(W, np.float64)
    shift = np.broadcast_to(shift, G.shape[:1])
    for w, b in zip(W, B, strict=True):
        for _ in range(sweeps):
            for t in range(len(w)):
                if G[t, t] > 0:
                    w[t] = max(0.0, w[t] + (b[t] - shift[t] - G[t] @ w) / G[t, t])
                else:
                    w[t] = 0.0
    return W


def projected_gradient(G, B, W, shift=0.0):
    """Return the gradient W G - B + shift without the parts that push out of W >= 0."""
    W = np.float64(W)
    slope = W @ np.float64(G) - np.float64(B) + shift
    return np.where(W > 0, slope, np.minimum(slope, 0.0))


def relative_gradient(X, W, H, *, l1_programs=0.0, l2_programs=0.0):
    """Return the projected gradient in H relative to X^T W, as the fits report it."""
    X, W, H = dense(X), np.float64(W), np.float64(H)
    cross = W.T @ X
    gram = W.T @ W + l2_programs * np.eye(W.shape[1])
    slope = projected_gradient(gram, cross.T, H.T, l1_programs)
    return float(np.linalg.norm(slope) / np.linalg.norm(cross))


def kkt_violation(X, W, H, *, l1=0.0, l2=0.0):
    """Return how far W is from the exact usage of H, relative to X H^T; 0 where optimal."""
    X, H = dense(X), np.float64(H)
    B = X @ H.T
    slope = projected_gradient(H @ H.T + np.diag(np.broadcast_to(l2, len(H))), B, W, l1)
    return float(np.abs(slope).max() / max(np.abs(B).max(), 1e-300))


def nnls(X, H, *, l2=0.0):
    """Return the exact usage, row by row by SciPy's active set."""
    X, H = dense(X), np.float64(H)
    k = len(H)
    tall = np.vstack([H.T, np.sqrt(l2) * np.eye(k)]) if l2 else H.T
    pad = np.zeros(k if l2 else 0)
    return np.array([scipy_nnls(tall, np.r_[x, pad], maxiter=50 * k + 100)[0] for x in X])


def nndsvd(X, k, *, fill=False):
    """Return W, H of Boutsidis & Gallopoulos (2008); zeros filled with the mean of X or not."""
    X = dense(X)
    left, values, right = np.linalg.svd(X, full_matrices=False)
    W, H = np.zeros((X.shape[0], k)), np.zeros((k, X.shape[1]))
    for t in range(min(k, len(values))):
        halves = [(np.maximum(s * left[:, t], 0), np.maximum(s * right[t], 0)) for s in (1.0, -1.0)]
        u, v = max(halves, key=lambda half: np.linalg.norm(half[0]) * np.linalg.norm(half[1]))
        a, b = np.linalg.norm(u), np.linalg.norm(v)
        if a * b > 0:
            W[:, t] = np.sqrt(values[t] * a * b) * u / a
            H[t] = np.sqrt(values[t] * a * b) * v / b
    if fill:
        W[W == 0] = X.mean()
        H[H == 0] = X.mean()
    return W, H


def fit(X, W, H, *, iterations=300, sweeps=5, l1=0.0, l2=0.0):
    """Return W, H after alternating sweeps; l1 and l2 penalise both factors alike."""
    X = dense(X)
    ridge = l2 * np.eye(len(H))
    W, H = np.array(W, np.float64), np.array(H, np.float64)
    for _ in range(iterations):
        W = _columns_sweep(H @ H.T + ridge, X @ H.T, W, sweeps, l1)
        H = _columns_sweep(W.T @ W + ridge, X.T @ W, H.T, sweeps, l1).T
    return W, H


def _columns_sweep(G, B, W, sweeps, shift):
    """Do the same as hals_sweeps, all rows at once."""
    for _ in range(sweeps):
        for t in range(len(G)):
            if G[t, t] > 0:
                W[:, t] = np.maximum(0, W[:, t] + (B[:, t] - shift - W @ G[t]) / G[t, t])
    return W


class Chunks:
    """A block source over an array or CSR matrix, in chunks of a fixed number of rows.

    `offset` moves the cuts, so that blocks rarely begin where a panel does.
    """

    def __init__(self, X, size, offset=0):
        self._X = X.tocsr() if sp.issparse(X) else np.ascontiguousarray(X)
        self._size = size
        self._offset = offset % size
        self.shape = X.shape
        self.dtype = X.dtype

    def blocks(self, start, stop):
        while start < stop:
            size = self._size
            end = min(stop, (start + self._offset) // size * size + size - self._offset)
            yield start, self._X[start:end]
            start = end


def planted(n, p, k, *, noise=0.0, density=1.0, seed=0, dtype=np.float64):
    """Return X, W, H: k programs on overlapping features; each row uses a few of them."""
    rng = np.random.default_rng(seed)
    W = rng.exponential(size=(n, k)) * (rng.random((n, k)) < 0.4)
    H = rng.exponential(size=(k, p)) * (rng.random((k, p)) < 0.4)
    H[np.arange(p) % k, np.arange(p)] += 0.5  # each feature belongs to a program
    X = W @ H
    X += noise * X.mean() * np.abs(rng.standard_normal(X.shape))
    if density < 1:
        X *= rng.random(X.shape) < density
    return X.astype(dtype), W, H
