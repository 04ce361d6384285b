"""Hidden and weighted entries in plain NumPy, float64: what the fast engine is compared with.

`omega` is n x p, from 0 (hidden) to 1; where it is 0, X may be anything.
"""

import numpy as np
import scipy.sparse as sp

import reference


def filled(X):
    """Return X dense, float64, zeros where it is not finite."""
    return np.nan_to_num(reference.dense(X), nan=0.0, posinf=0.0, neginf=0.0)


def objective(X, omega, W, H, *, l1=0.0, l2=0.0):
    """Return 1/2 sum omega (x - w h)^2 and an elastic net on both factors alike."""
    W, H = np.float64(W), np.float64(H)
    gap = np.where(omega > 0, filled(X) - W @ H, 0.0)
    value = 0.5 * np.sum(omega * gap**2)
    value += l1 * (W.sum() + H.sum()) + 0.5 * l2 * (np.sum(W**2) + np.sum(H**2))
    return float(value)


def relative_error(X, omega, W, H):
    """Return the root of sum omega (x - w h)^2 / sum omega x^2."""
    norm = np.sum(omega * np.where(omega > 0, filled(X), 0.0) ** 2)
    return float(np.sqrt(2 * objective(X, omega, W, H) / norm))


def usage(X, omega, H, *, l2=0.0):
    """Return the exact usage, each row by SciPy's active set on its weighted entries."""
    X, H = filled(X), np.float64(H)
    root = np.sqrt(omega)
    rows = []
    for x, r in zip(X, root, strict=True):
        tall = np.vstack([(H * r).T, np.sqrt(l2) * np.eye(len(H))])
        right = np.r_[np.where(r > 0, x, 0.0) * r, np.zeros(len(H))]
        rows.append(reference.scipy_nnls(tall, right, maxiter=100 * len(H) + 100)[0])
    return np.array(rows)


def sides(X, omega, W, H):
    """Return B and C of the filled data omega x + (1 - omega) w h, and the sum of the fills."""
    W, H = np.float64(W), np.float64(H)
    y = W @ H
    full = omega * np.where(omega > 0, filled(X), 0.0) + (1 - omega) * y
    return full @ H.T, full.T @ W, float(np.sum((1 - omega) * y**2))


def hals(X, omega, W, H, *, iterations=300, sweeps=5, l1=0.0, l2=0.0):
    """Return W, H after alternating steps on the filled data."""
    ridge = l2 * np.eye(len(H))
    for _ in range(iterations):
        B, _, _ = sides(X, omega, W, H)
        W = reference._columns_sweep(H @ H.T + ridge, B, W.copy(), sweeps, l1)
        _, C, _ = sides(X, omega, W, H)
        H = reference._columns_sweep(W.T @ W + ridge, C, H.T.copy(), sweeps, l1).T
    return W, H


def projected_gradient(X, omega, W, H):
    """Return the projected gradient in H, relative to (omega X)^T W."""
    W, H = np.float64(W), np.float64(H)
    seen = np.where(omega > 0, filled(X), 0.0)
    slope = W.T @ (omega * (W @ H - seen))
    slope = np.where(H > 0, slope, np.minimum(slope, 0.0))
    return float(np.linalg.norm(slope) / np.linalg.norm((omega * seen).T @ W))


def example(kind, *, n=300, k=4, hidden=0.1, weights=False, noise=0.2, seed=0, dtype=np.float64):
    """Return X (one kind), omega, and the hidden entries as a bool array."""
    p = 25 if kind == "narrow" else 90
    density = 0.5 if kind == "sparse" else 1.0
    X, _, _ = reference.planted(n, p, k, noise=noise, density=density, seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed + 1)
    mask = rng.random((n, p)) < hidden
    omega = np.where(mask, 0.0, 1.0)
    if weights:
        omega *= rng.choice([1.0, 0.5, 0.125], (n, p))
        omega[omega == omega.max()] = 1.0
    return (sp.csr_matrix(X) if kind == "sparse" else X), omega, mask


def with_values(X, mask, values):
    """Return X with other values at the entries of the mask; explicit ones if it is sparse."""
    D = reference.dense(X).astype(X.dtype)
    if not sp.issparse(X):
        D[mask] = values
        return D
    rows, columns = np.nonzero(mask)
    keep = sp.csr_matrix(np.where(mask, 0, D))
    other = sp.csr_matrix((np.broadcast_to(values, rows.shape), (rows, columns)), shape=X.shape)
    total = keep.tocoo()
    return sp.csr_matrix(
        (
            np.r_[total.data, other.tocoo().data].astype(X.dtype),
            (np.r_[total.row, other.tocoo().row], np.r_[total.col, other.tocoo().col]),
        ),
        shape=X.shape,
    )
