"""Elastic net: its edits of G, its value, and what it refuses."""

import numpy as np
import pytest

import reference
from partwise import NMF, MiniBatchNMF
from partwise.exceptions import UsageError
from partwise.objectives import ElasticNet, Penalties


def net(l1=0.0, l2=0.0, k=3, factor="usage"):
    return ElasticNet.build(l1, l2, k, factor=factor)


def test_one_number_counts_for_all_components():
    penalty = net(1, 2.0)
    np.testing.assert_array_equal(penalty.l1, [1, 1, 1])
    np.testing.assert_array_equal(penalty.l2, [2, 2, 2])
    assert penalty.active
    assert not net().active
    assert net([0, 0, 1]).active


def test_l2_goes_to_the_diagonal_of_a_copy():
    G = np.arange(9.0).reshape(3, 3)
    before = G.copy()
    np.testing.assert_array_equal(net(l2=[1, 2, 3]).gram(G), before + np.diag([1.0, 2, 3]))
    np.testing.assert_array_equal(net(l1=5).gram(G), before)
    np.testing.assert_array_equal(G, before)


def test_value_is_that_of_the_definition():
    F = np.random.default_rng(0).random((20, 3))
    l1, l2 = np.array([1.0, 0, 2]), np.array([0.5, 3, 0])
    expected = (F @ l1).sum() + 0.5 * (F**2 @ l2).sum()
    assert net(l1, l2).value(F.sum(axis=0), (F**2).sum(axis=0)) == pytest.approx(expected)
    zero = np.zeros((1, 3))
    X = np.zeros((20, 1))
    assert reference.objective(X, F, zero.T, l1_usage=l1, l2_usage=l2) == pytest.approx(expected)


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, [1, -1, 1]])
def test_weights_must_be_finite_and_not_negative(weight):
    with pytest.raises(UsageError, match=r"^l1_usage must be finite and not negative$"):
        net(l1=weight)
    with pytest.raises(UsageError, match=r"^l2_programs must be finite and not negative$"):
        net(l2=weight, factor="programs")


@pytest.mark.parametrize("weight", [[1, 2], np.ones((3, 1)), np.ones(4)])
def test_weights_must_fit_the_components(weight):
    message = "^l2_usage must be one number or one for each of the 3 components$"
    with pytest.raises(UsageError, match=message):
        net(l2=weight)


@pytest.mark.parametrize("name", ["l1_usage", "l2_usage", "l1_programs", "l2_programs"])
@pytest.mark.parametrize("estimator", [NMF, MiniBatchNMF])
def test_one_penalised_factor_is_refused_with_the_reason(name, estimator):
    one = name.split("_")[1]
    other = {"usage": "programs", "programs": "usage"}[one]
    message = (
        f"^only {one} is penalised: shrinking it and growing {other} in step leaves the fit as it "
        rf"is and makes the penalty vanish. Penalise both \(l2_{other} is enough\)$"
    )
    with pytest.raises(UsageError, match=message):
        estimator(2, **{name: 1.0}).fit(np.ones((5, 4)))


def test_both_penalised_or_none():
    assert Penalties(net(l1=1), net(l2=1, factor="programs")).active
    assert not Penalties(net(), net(factor="programs")).active
