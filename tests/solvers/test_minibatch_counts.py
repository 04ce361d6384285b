"""Online expectation maximisation of counts, one batch at a time."""

import numpy as np
import pytest

import kl_reference as kl_ref
from partwise.matrix.counts import CountMatrix
from partwise.matrix.masks import Hidden
from partwise.objectives import ElasticNet, Penalties
from partwise.solvers.kl import lifted
from partwise.solvers.minibatch_counts import OnlineCounts, step_counts

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def penalties(k, l1=0.0, l2=0.0):
    net = ElasticNet(np.full(k, l1), np.full(k, l2))
    return Penalties(net, net)


def batch_of(X, dtype=np.float64, mask=None):
    hidden = None if mask is None else Hidden([mask])
    return CountMatrix(X.astype(dtype), dtype=dtype, n_threads=1, hidden=hidden)


def programs_of(X, k, dtype=np.float64, seed=0):
    return np.ascontiguousarray(kl_ref.start(X, k, seed)[1].T.astype(dtype))


@DTYPES
@pytest.mark.parametrize("masked", [False, True])
def test_one_step(masked, dtype):
    X = kl_ref.counts(60, 40, 3, dtype=dtype)
    mask = np.random.default_rng(0).random(X.shape) < 0.3 * masked
    start = programs_of(X, 4, dtype)
    state = OnlineCounts.start(start)
    loss = step_counts(state, batch_of(X, dtype, mask), penalties(4), 0.7)
    H = lifted(start, np.where(mask, 0, X).sum(axis=0)).T.astype(float)
    W = kl_ref.project(X, H, ~mask)
    assert loss == pytest.approx(kl_ref.deviance(X, W, H, ~mask) / 60, rel=1e-4)
    made = H.T * ((np.where(mask, 0, X) / (W @ H)).T @ W)
    used = (~mask).T @ W
    tight = {np.float32: 5e-2, np.float64: 1e-3}[dtype]  # the usage has a tolerance
    np.testing.assert_allclose(state.made, made, rtol=tight, atol=tight * made.mean())
    np.testing.assert_allclose(state.used, used, rtol=tight)
    np.testing.assert_allclose(state.programs, state.made / state.used, rtol=1e-5)
    assert state.steps == 1
    assert state.programs.dtype == dtype
    np.testing.assert_array_equal(start, programs_of(X, 4, dtype))


def test_the_past_is_forgotten_by_its_weight():
    X = kl_ref.counts(60, 40, 3)
    for forget in (0.0, 0.6, 1.0):
        state = OnlineCounts.start(programs_of(X, 3))
        step_counts(state, batch_of(X[:30]), penalties(3), forget)
        before = OnlineCounts(state.programs.copy(), state.made.copy(), state.used.copy())
        again = OnlineCounts(state.programs.copy(), 0 * state.made, 0 * state.used)
        step_counts(state, batch_of(X[30:]), penalties(3), forget)
        step_counts(again, batch_of(X[30:]), penalties(3), forget)
        np.testing.assert_allclose(state.made, forget * before.made + again.made, rtol=1e-12)
        np.testing.assert_allclose(state.used, forget * before.used + again.used, rtol=1e-12)


def test_the_same_batch_again_and_again_is_expectation_maximisation():
    X = kl_ref.counts(80, 40, 3, mean=3)
    state = OnlineCounts.start(programs_of(X, 3))
    losses = [step_counts(state, batch_of(X), penalties(3), 0.0) for _ in range(300)]
    assert (np.diff(losses) <= 1e-4 * losses[0]).all()
    U, V = kl_ref.multiply(X, *kl_ref.start(X, 3), 1000)
    assert losses[-1] * 80 <= 1.03 * kl_ref.deviance(X, U, V)


@pytest.mark.parametrize(("l1", "l2"), [(2.0, 0.0), (0.0, 2.0)])
def test_penalties_are_part_of_what_falls(l1, l2):
    X = kl_ref.counts(40, 30, 3)
    state = OnlineCounts.start(programs_of(X, 3))
    values = []
    for _ in range(12):
        W = kl_ref.project(X, state.programs.T, l1=l1, l2=l2)
        values.append(kl_ref.objective(X, W, state.programs.T, l1=l1, l2=l2))
        step_counts(state, batch_of(X), penalties(3, l1, l2), 0.0)
    assert (np.diff(values) <= 1e-5 * values[0]).all()
    assert values[-1] < 0.95 * values[0]


@DTYPES
class TestNothing:
    def test_a_batch_without_counts_teaches_nothing(self, dtype):
        X = kl_ref.counts(60, 40, 3, dtype=dtype)
        state = OnlineCounts.start(programs_of(X, 3, dtype))
        step_counts(state, batch_of(X, dtype), penalties(3), 0.7)
        before = OnlineCounts(state.programs.copy(), state.made.copy(), state.used.copy())
        assert step_counts(state, batch_of(0 * X, dtype), penalties(3), 0.7) == 0
        hidden = np.ones(X.shape, bool)
        assert step_counts(state, batch_of(X, dtype, hidden), penalties(3), 0.7) == 0
        np.testing.assert_array_equal(state.programs, before.programs)
        np.testing.assert_array_equal(state.made, before.made)
        np.testing.assert_array_equal(state.used, before.used)
        assert state.steps == 3

    def test_a_program_that_no_row_uses_stays(self, dtype):
        X = kl_ref.counts(60, 40, 3, dtype=dtype)
        X[:, 20:] = 0
        H = programs_of(X, 2, dtype)
        H[:20, 1] = 1e-6
        H[20:, 1] = 1.0
        state = OnlineCounts.start(H)
        step_counts(state, batch_of(X, dtype), penalties(2), 0.7)
        np.testing.assert_allclose(state.programs[20:, 1], 1, rtol=1e-6)

    def test_features_that_come_later(self, dtype):
        X = kl_ref.counts(120, 40, 3, mean=3, dtype=dtype)
        X[:60, 30:] = 0
        late = kl_ref.counts(60, 10, 2, mean=3, seed=5, dtype=dtype)
        X[60:, 30:] = late
        state = OnlineCounts.start(programs_of(X, 4, dtype))
        for _ in range(10):
            step_counts(state, batch_of(X[:60], dtype), penalties(4), 0.7)
        assert not state.programs[30:].any()
        for _ in range(60):
            loss = step_counts(state, batch_of(X[60:], dtype), penalties(4), 0.7)
        U, V = kl_ref.multiply(X[60:], *kl_ref.start(X[60:], 4), 500)
        assert loss * 60 <= 1.2 * kl_ref.deviance(X[60:], U, V)


class TestScale:
    def test_powers_of_two_change_no_digit(self):
        X = kl_ref.counts(60, 40, 3)
        one, two = (OnlineCounts.start(programs_of(X, 3)) for _ in range(2))
        for _ in range(5):
            step_counts(one, batch_of(X), penalties(3), 0.7)
            scaled = two.scaled(10)
            step_counts(scaled, batch_of(1024 * X), penalties(3), 0.7)
            two = scaled.scaled(-10)
        np.testing.assert_allclose(two.programs, one.programs, rtol=1e-6)
        np.testing.assert_allclose(two.used, one.used, rtol=1e-6)
        assert two.scaled(0) is two

    def test_in_the_order_and_scale_of_the_user(self):
        X = kl_ref.counts(60, 40, 3)
        state = OnlineCounts.start(programs_of(X, 3))
        step_counts(state, batch_of(X), penalties(3), 0.7)
        order = np.array([2, 0, 1])
        given = state.programs[:, order] / state.programs[:, order].sum(axis=0)
        other = state.as_given(given, order)
        np.testing.assert_allclose(other.made / other.used, given, rtol=1e-9)
        for s in (state, other):
            step_counts(s, batch_of(X), penalties(3), 0.7)
        shape = state.programs[:, order] / state.programs[:, order].sum(axis=0)
        np.testing.assert_allclose(
            other.programs / other.programs.sum(axis=0), shape, rtol=1e-3, atol=1e-6
        )
