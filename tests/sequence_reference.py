"""Sequences in plain NumPy, float64, one lag at a time: what the fast engines are compared with.

X is N x T (units x frames), W is N x K x L, H is K x T; activations are zero outside the frames
of their epoch, so that

    Xhat[n, t] = sum_k sum_{l=0}^{L-1} W[n, k, l] H[k, t - l]

`epochs` lists (start, stop) in frames; None is one epoch. `mask` is N x T, true where an entry is
hidden; what X holds there, NaN included, must not matter. Every function works epoch by epoch with
the dense definition, and none of them calls the package.
"""

import numpy as np

EPS = np.finfo(np.float64).eps
#: share of the largest value that is added to motifs after they were moved
LIFT = 1e-6


def spans(T, epochs=None):
    """Return the epochs as a list of slices."""
    return [slice(0, T)] if epochs is None else [slice(int(a), int(b)) for a, b in epochs]


def observed(X, mask=None):
    """Return X in float64 with zeros where it is hidden."""
    X = np.array(X.toarray() if hasattr(X, "toarray") else X, np.float64)
    if mask is not None:
        X[np.asarray(mask, bool)] = 0.0
    return X


def visible(A, mask=None):
    """Return A with zeros where an entry is hidden."""
    return A if mask is None else np.where(np.asarray(mask, bool), 0.0, A)


def reconstruct(W, H, *, epochs=None):
    """Return Xhat, N x T."""
    W, H = np.float64(W), np.float64(H)
    Xhat = np.zeros((W.shape[0], H.shape[1]))
    for span in spans(H.shape[1], epochs):
        out, h = Xhat[:, span], H[:, span]
        frames = h.shape[1]
        for lag in range(min(W.shape[2], frames)):
            out[:, lag:] += W[:, :, lag] @ h[:, : frames - lag]
    return Xhat


def cross_activations(W, X, *, epochs=None):
    """Return Z[k, t] = sum_l sum_n W[n, k, l] X[n, t + l], K x T."""
    W, X = np.float64(W), observed(X)
    Z = np.zeros((W.shape[1], X.shape[1]))
    for span in spans(X.shape[1], epochs):
        out, x = Z[:, span], X[:, span]
        frames = x.shape[1]
        for lag in range(min(W.shape[2], frames)):
            out[:, : frames - lag] += W[:, :, lag].T @ x[:, lag:]
    return Z


def cross_motifs(X, H, L, *, epochs=None):
    """Return A[n, k, l] = sum_t X[n, t] H[k, t - l], N x K x L."""
    X, H = observed(X), np.float64(H)
    A = np.zeros((X.shape[0], H.shape[0], L))
    for span in spans(X.shape[1], epochs):
        x, h = X[:, span], H[:, span]
        frames = x.shape[1]
        for lag in range(min(L, frames)):
            A[:, :, lag] += x[:, lag:] @ h[:, : frames - lag].T
    return A


def smooth(A, L, *, epochs=None):
    """Return A S: sums over the 2 L - 1 frames around each frame, zero outside the epoch."""
    A = np.float64(A)
    out = np.zeros_like(A)
    for span in spans(A.shape[1], epochs):
        part, frames = A[:, span], A[:, span].shape[1]
        for t in range(frames):
            near = part[:, max(0, t - L + 1) : min(frames, t + L)]
            out[:, span.start + t] = near.sum(axis=1)
    return out


def others(K):
    """Return the K x K matrix of ones off the diagonal."""
    return 1.0 - np.eye(K)


def residual(X, W, H, *, mask=None, epochs=None):
    """Return X - Xhat, zero where an entry is hidden."""
    return visible(observed(X, mask) - reconstruct(W, H, epochs=epochs), mask)


def cost(X, W, H, *, mask=None, epochs=None):
    """Return the root of the mean squared residual over the observed entries."""
    gap = residual(X, W, H, mask=mask, epochs=epochs)
    count = gap.size if mask is None else gap.size - np.count_nonzero(mask)
    return float(np.sqrt(np.sum(gap**2) / count))


def power(X, W, H, *, mask=None, epochs=None):
    """Return 1 - SSE / SS over the observed entries."""
    gap = residual(X, W, H, mask=mask, epochs=epochs)
    return float(1.0 - np.sum(gap**2) / np.sum(observed(X, mask) ** 2))


def loadings(X, W, H, *, mask=None, epochs=None):
    """Return max(0, sum(2 X R_k - R_k^2) / SS) of each motif's own reconstruction R_k, K."""
    X = observed(X, mask)
    out = []
    for k in range(W.shape[1]):
        R = visible(reconstruct(W[:, [k]], H[[k]], epochs=epochs), mask)
        out.append(max(0.0, np.sum(2.0 * X * R - R**2) / np.sum(X**2)))
    return np.array(out)


def cross_penalty(X, W, H, *, epochs=None):
    """Return sum_{i != j} |Z S H^T|_ij, the x-ortho term before its weight."""
    Z = cross_activations(W, X, epochs=epochs)
    overlap = smooth(Z, W.shape[2], epochs=epochs) @ np.float64(H).T
    return float(np.sum(np.abs(overlap) * others(len(H))))


def step_activations(X, W, H, *, lambda_=0.0, l1_H=0.0, ortho_H=0.0, mask=None, epochs=None):
    """Return H after its multiplicative step.

    H <- H Z / (What + lambda (1-I) Z S + l1_H + ortho_H (1-I) H S + eps), with the hidden entries
    left out of Z (of X) and of What (of Xhat).
    """
    K, L = W.shape[1:]
    Z = cross_activations(W, observed(X, mask), epochs=epochs)
    Xhat = visible(reconstruct(W, H, epochs=epochs), mask)
    below = cross_activations(W, Xhat, epochs=epochs) + l1_H
    below += lambda_ * others(K) @ smooth(Z, L, epochs=epochs)
    below += ortho_H * others(K) @ smooth(H, L, epochs=epochs)
    return H * Z / (below + EPS)


def step_motifs(X, W, H, *, lambda_=0.0, l1_W=0.0, ortho_W=0.0, mask=None, epochs=None):
    """Return W after its multiplicative step, all lags from the same Xhat.

    W_l <- W_l (X H_l^T) / (Xhat H_l^T + lambda X (H S)_l^T (1-I) + l1_W
                              + ortho_W Wflat (1-I) + eps),
    with the hidden entries left out of X and of Xhat; Wflat = sum_l W_l. The term of lambda is the
    gradient of sum_{i != j} (Z S H^T)_ij; far from the ends X (H S)_l^T equals (X S) H_l^T.
    """
    K, L = W.shape[1:]
    X = observed(X, mask)
    above = cross_motifs(X, H, L, epochs=epochs)
    Xhat = visible(reconstruct(W, H, epochs=epochs), mask)
    below = cross_motifs(Xhat, H, L, epochs=epochs) + l1_W
    spread = cross_motifs(X, smooth(H, L, epochs=epochs), L, epochs=epochs)
    flat = W.sum(axis=2) @ others(K)
    for lag in range(L):
        below[:, :, lag] += lambda_ * spread[:, :, lag] @ others(K) + ortho_W * flat
    return W * above / (below + EPS)


def moved(row, by):
    """Return a row moved to the right by `by` places (to the left if negative), zeros let in."""
    out = np.zeros_like(row)
    n = row.shape[-1]
    if by >= 0:
        out[..., by:] = row[..., : max(n - by, 0)]
    else:
        out[..., : max(n + by, 0)] = row[..., -by:]
    return out


def centre_of_mass(motif):
    """Return the 1-based, floored centre of mass over lags of N x L; None for an empty motif."""
    weight = motif.sum(axis=0)
    if weight.sum() <= 0:
        return None
    lags = np.arange(1, len(weight) + 1)
    return max(int(np.floor(np.sum(weight * lags) / np.sum(weight))), 1)


def recentre(W, H, *, epochs=None):
    """Return W and H with each motif's centre of mass at max(L // 2, 1), zeros let in at the ends.

    The activations move the other way, inside their epochs. Motifs without weight stay.
    """
    W, H = np.array(W, np.float64), np.array(H, np.float64)
    for k in range(W.shape[1]):
        mass = centre_of_mass(W[:, k])
        if mass is None:
            continue
        by = max(W.shape[2] // 2, 1) - mass
        W[:, k] = moved(W[:, k], by)
        for span in spans(H.shape[1], epochs):
            H[k, span] = moved(H[k, span], -by)
    return W, H


def normalise(W, H):
    """Return W and H with the rows of H at unit norm and W scaled up."""
    norms = np.sqrt(np.sum(H**2, axis=1))
    return W * norms[None, :, None], H / (norms + EPS)[:, None]


def mu_step(
    X,
    W,
    H,
    *,
    lambda_=0.0,
    l1_W=0.0,
    l1_H=0.0,
    ortho_H=0.0,
    ortho_W=0.0,
    use_W_update=True,
    shift=True,
    n_fixed=0,
    mask=None,
    epochs=None,
):
    """Return (W, H) after one iteration: step of H, recentring, unit rows of H, step of W.

    The first `n_fixed` motifs are neither moved, scaled nor stepped. After recentring,
    LIFT times the largest observed value is added to the motifs that are free.
    """
    where = {"mask": mask, "epochs": epochs}
    W, H = np.array(W, np.float64), np.array(H, np.float64)
    H = step_activations(X, W, H, lambda_=lambda_, l1_H=l1_H, ortho_H=ortho_H, **where)
    free = slice(n_fixed, None)
    if shift:
        W[:, free], H[free] = recentre(W[:, free], H[free], epochs=epochs)
        W[:, free] += LIFT * observed(X, mask).max()
    W[:, free], H[free] = normalise(W[:, free], H[free])
    weight = lambda_ if use_W_update else 0.0
    stepped = step_motifs(X, W, H, lambda_=weight, l1_W=l1_W, ortho_W=ortho_W, **where)
    W[:, free] = stepped[:, free]
    return W, H
