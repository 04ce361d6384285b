"""The Kullback-Leibler loss in plain NumPy, float64: what the fast engine is compared with.

X is n x p, usage W n x k, programs H k x p; `omega` is n x p, from 0 (hidden) to 1. A row w with
counts x has f(w) = sum_j omega_j (w h)_j - x_j omega_j log (w h)_j + l1 w + l2/2 w w.
"""

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize

import reference


def counts(n, p, k, *, mean=1.0, seed=0, dtype=np.float32, sparse=False):
    """Return Poisson counts of k overlapping programs, without empty rows and columns."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.0, 1.0, (n, k)) @ rng.gamma(0.3, 1.0, (k, p))
    X = rng.poisson(rates * mean / rates.mean()).astype(dtype)
    X[np.arange(n), rng.integers(0, p, n)] += 1
    X[rng.integers(0, n, p), np.arange(p)] += 1
    return sp.csr_matrix(X) if sparse else X


def deviance(X, W, H, omega=1.0):
    """Return sum omega (x log(x / (w h)) - x + w h), entry by entry."""
    X, M = reference.dense(X), np.float64(W) @ np.float64(H)
    omega = np.broadcast_to(omega, X.shape)
    X = np.where(omega > 0, X, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(X > 0, X * (np.log(X) - np.log(M)), 0.0)
    return float(np.sum(np.where(omega > 0, omega * (logs - X + M), 0.0)))


def objective(X, W, H, omega=1.0, *, l1=0.0, l2=0.0, sizes=1.0):
    """Return the deviance and an elastic net on both factors alike; W comes without the sizes."""
    W, H = np.float64(W), np.float64(H)
    value = deviance(X, W * np.reshape(sizes, (-1, 1)), H, omega)
    return value + l1 * (W.sum() + H.sum()) + 0.5 * l2 * (np.sum(W**2) + np.sum(H**2))


def rank_one(X, omega=1.0, rounds=300):
    """Return the least deviance of row effects times column effects."""
    X = reference.dense(X)
    omega = np.broadcast_to(omega, X.shape)
    X = np.where(omega > 0, X, 0.0) * omega
    columns = X.sum(axis=0)
    for _ in range(rounds):
        rows = _ratio(X.sum(axis=1), omega @ columns)
        columns = _ratio(X.sum(axis=0), rows @ omega)
    whole = np.divide(X, omega, out=np.zeros_like(X), where=omega > 0)
    return deviance(whole, rows[:, None], columns[None], omega)


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(b, dtype=float), where=b > 0)


def multiply(X, W, H, steps, omega=1.0):
    """Return W, H after multiplicative updates (Lee & Seung 2001)."""
    X, W, H = reference.dense(X), np.float64(W), np.float64(H)
    omega = np.broadcast_to(omega, X.shape)
    X = np.where(omega > 0, X, 0.0) * omega
    for _ in range(steps):
        W = W * _ratio(_ratio(X, W @ H) @ H.T, omega @ H.T)
        H = H * _ratio(W.T @ _ratio(X, W @ H), W.T @ omega)
    return W, H


def row_value(x, H, w, s, *, l1=0.0, l2=0.0):
    """Return f of one row: s w - sum x log(w h) + l1 w + l2/2 w w."""
    means = w @ H
    seen = x > 0
    with np.errstate(divide="ignore"):
        logs = float(np.sum(x[seen] * np.log(means[seen])))
    return float(np.sum((s + l1) * w) - logs + 0.5 * np.sum(l2 * w**2))


def newton_sweep(x, H, w, s, *, l1=0.0, l2=0.0, safe=False, floor=1e-10):
    """Return w after one sweep over the coordinates, each by Newton's method on 1 / share."""
    w = np.array(w, np.float64)
    l1, l2 = np.broadcast_to(l1, w.shape), np.broadcast_to(l2, w.shape)
    for c in range(len(w)):
        means = w @ H + floor
        share, curvature = np.sum(x * H[c] / means), np.sum(x * (H[c] / means) ** 2)
        pull = s[c] + l1[c] + l2[c] * w[c]
        if pull <= 0:
            continue
        if share <= 0:
            w[c] = 0
            continue
        # (pull + l2 d) (1 + d curvature / share) = share
        roots = np.roots(
            [l2[c] * curvature / share, pull * curvature / share + l2[c], pull - share]
        )
        new = w[c] + np.max(roots.real)
        if safe and pull > share:
            new = max(new, w[c] * share / pull)
        w[c] = max(new, 0.0)
    return w


def project(X, H, omega=1.0, *, l1=0.0, l2=0.0, sizes=None):
    """Return the usage times the sizes that minimises each row, by SciPy from several starts."""
    X, H = reference.dense(X), np.float64(H)
    omega = np.broadcast_to(omega, X.shape)
    sizes = np.ones(len(X)) if sizes is None else sizes
    return np.array(
        [
            _project_row(x * o, H, H @ o, l1 / size, l2 / size**2)
            for x, o, size in zip(np.where(omega > 0, X, 0), omega, sizes, strict=True)
        ]
    )


def _project_row(x, H, s, l1, l2):
    seen = x > 0
    if not seen.any():
        return np.zeros(len(H))
    x, h = x[seen], H[:, seen]

    def value(w):
        means = np.maximum(w @ h, 1e-300)
        slope = s + l1 + l2 * w - h @ (x / means)
        return (s + l1) @ w - x @ np.log(means) + 0.5 * l2 * w @ w, slope

    start = np.full(len(H), x.sum() / max(s.sum(), 1e-300))
    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(
        value, start, jac=True, bounds=[(0, None)] * len(H), method="L-BFGS-B", options=options
    )
    return found.x


def slopes(X, W, H, omega=1.0, *, l1=0.0, l2=0.0, sizes=1.0):
    """Return df/dw of each row, n x k; W is times the sizes."""
    X, W, H = reference.dense(X), np.float64(W), np.float64(H)
    omega = np.broadcast_to(omega, X.shape)
    sizes = np.reshape(sizes, (-1, 1))
    shares = _ratio(np.where(omega > 0, X * omega, 0.0), W @ H) @ H.T
    return omega @ H.T + l1 / sizes + l2 * W / sizes**2 - shares


def start(X, k, seed=0):
    """Return a random start, n x k and k x p."""
    rng = np.random.default_rng(seed)
    n, p = X.shape
    scale = np.sqrt(reference.dense(X).mean() / k)
    return np.abs(rng.standard_normal((n, k))) * scale, np.abs(rng.standard_normal((k, p))) * scale
