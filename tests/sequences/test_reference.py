"""The plain reference against sums written out, entry by entry."""

import itertools

import numpy as np
import pytest

import sequence_reference as ref


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    return rng.random((3, 11)), rng.random((3, 2, 4)), rng.random((2, 11))


def test_products_are_their_sums(case):
    X, W, H = case
    (N, K, L), T = W.shape, X.shape[1]
    epochs = [(0, 4), (5, 11)]
    owner = np.array([0, 0, 0, 0, -1, 1, 1, 1, 1, 1, 1])
    Xhat, Z, A = np.zeros((N, T)), np.zeros((K, T)), np.zeros((N, K, L))
    for n, k, lag, t in itertools.product(range(N), range(K), range(L), range(T)):
        if t >= lag and owner[t] == owner[t - lag] >= 0:
            Xhat[n, t] += W[n, k, lag] * H[k, t - lag]
            Z[k, t - lag] += W[n, k, lag] * X[n, t]
            A[n, k, lag] += X[n, t] * H[k, t - lag]
    np.testing.assert_allclose(ref.reconstruct(W, H, epochs=epochs), Xhat, rtol=1e-12)
    np.testing.assert_allclose(ref.cross_activations(W, X, epochs=epochs), Z, rtol=1e-12)
    np.testing.assert_allclose(ref.cross_motifs(X, H, L, epochs=epochs), A, rtol=1e-12)
    S = np.array(
        [[abs(a - b) < L and owner[a] == owner[b] >= 0 for b in range(T)] for a in range(T)]
    )
    np.testing.assert_allclose(ref.smooth(H, L, epochs=epochs), H @ S, rtol=1e-12)


def test_the_term_of_lambda_is_the_gradient_of_its_penalty(case):
    X, W, H = case
    Z = ref.cross_activations(W, X)
    of_H = ref.others(2) @ ref.smooth(Z, 4)
    of_W = np.einsum("nkl,kj->njl", ref.cross_motifs(X, ref.smooth(H, 4), 4), ref.others(2))
    step = 1e-6
    for where in ((0, 0), (1, 5), (0, 10)):
        other = H.copy()
        other[where] += step
        slope = (ref.cross_penalty(X, W, other) - ref.cross_penalty(X, W, H)) / step
        assert slope == pytest.approx(of_H[where], rel=1e-6)
    for where in ((0, 0, 0), (2, 1, 3)):
        other = W.copy()
        other[where] += step
        slope = (ref.cross_penalty(X, other, H) - ref.cross_penalty(X, W, H)) / step
        assert slope == pytest.approx(of_W[where], rel=1e-6)


def test_steps_without_penalties_never_raise_the_cost(case):
    X, W, H = case
    mask = np.zeros_like(X, bool)
    mask[1, 3:6] = True
    costs = [ref.cost(X, W, H, mask=mask)]
    for _ in range(30):
        W, H = ref.mu_step(X, W, H, shift=False, mask=mask)
        costs.append(ref.cost(X, W, H, mask=mask))
    assert np.all(np.diff(costs) <= 1e-14)
    assert costs[-1] < 0.5 * costs[0]
