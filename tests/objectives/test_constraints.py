"""Given programs and signed factors: what the record knows of them, and what it refuses."""

import numpy as np
import pytest

from partwise.exceptions import UsageError
from partwise.objectives import Constraints

NAN = np.nan
SHAPE = (3, 4)


def build(fixed=None, signed=None):
    return Constraints.build(fixed, signed, SHAPE)


def refused(message, fixed=None, signed=None):
    with pytest.raises(UsageError) as caught:
        build(fixed, signed)
    assert message in str(caught.value)


def test_nothing_is_constrained_by_default():
    assert build() == Constraints()
    assert Constraints().count == 0
    assert Constraints().all_fixed
    assert not Constraints().pinned(3).any()
    assert not Constraints().given(3, 4).any()


def test_given_entries():
    given = [[1.0, 2, 0, 0], [NAN, 0, NAN, NAN]]
    constraints = build(given)
    assert constraints.count == 2
    assert not constraints.all_fixed
    assert build([[1.0, 2, 0, 0]]).all_fixed
    # zeros alone leave the scale of a program open
    np.testing.assert_array_equal(constraints.pinned(3), [True, False, False])
    expected = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(constraints.given(3, 4), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impose_writes_the_given_entries_alone(dtype):
    programs = np.full((4, 3), 7, dtype)
    build([[0.1, 2, 0, 0], [NAN, 0, NAN, 3]]).impose(programs)
    expected = [[0.1, 7, 7], [2, 0, 7], [0, 7, 7], [0, 3, 7]]
    np.testing.assert_array_equal(programs, np.array(expected, dtype))


def test_the_array_of_the_user_is_copied():
    mine = np.ones((1, 4))
    constraints = build(mine)
    mine[:] = 5
    np.testing.assert_array_equal(constraints.fixed, np.ones((1, 4)))


class TestRefused:
    @pytest.mark.parametrize("bad", [np.ones(4), np.ones((1, 3)), np.ones((0, 4)), [[[1.0]]]])
    def test_shapes(self, bad):
        refused("one row for each given program and one column for each of the 4 features", bad)

    def test_too_many(self):
        message = "fixed_programs has 4 programs, but the model has n_components=3"
        refused(message, np.ones((4, 4)))

    def test_values(self):
        refused("must be finite, or NaN where an entry is free", [[1, np.inf, 0, 0]])
        refused("array of numbers", [["a", "b", "c", "d"]])
        refused("row 1 of fixed_programs gives no entry", [[1, 1, 1, 1], [NAN] * 4])
        refused("row 0 of fixed_programs is zero everywhere", [[0.0, 0, 0, 0]])

    def test_negative_entries(self):
        bad = [[1, 1, 1, 1], [NAN, 0, -2, 1]]
        refused("negative entry at row 1, column 2 (counted from 0)", bad)
        refused("unless signed='programs'", bad, "usage")
        assert build(bad, "programs").fixed[1, 2] == -2

    @pytest.mark.parametrize("bad", ["both", "Usage", True, 1, ""])
    def test_signed(self, bad):
        refused("signed must be one of (None, 'usage', 'programs')", None, bad)

    def test_values_that_overflow_when_squared(self):
        constraints = build([[1e30, 0, 0, NAN]])
        constraints.check_type(np.dtype(np.float64))
        with pytest.raises(UsageError, match=r"values up to 1e\+30, whose squares overflow float"):
            constraints.check_type(np.dtype(np.float32))


def cosines(H):
    """Return the mean cosine between two rows of H; rows of zeros have cosine 0 with all."""
    lengths = np.linalg.norm(H, axis=1)
    total = 0.0
    for s in range(len(H)):
        for t in range(s + 1, len(H)):
            if lengths[s] * lengths[t] > 0:
                total += H[s] @ H[t] / (lengths[s] * lengths[t])
    return total / (len(H) * (len(H) - 1) / 2)


class TestOrthogonality:
    def build(self, weight=0.3, fixed=None, signed=None, shape=SHAPE):
        return Constraints.build(fixed, signed, shape, weight)

    def test_overlap_is_that_of_the_definition(self):
        H = np.random.default_rng(0).random((3, 4))
        expected = 0.3 / 2 * 17.0 * cosines(H)
        assert self.build().overlap(H @ H.T, 17.0) == pytest.approx(expected)
        scaled = H * np.array([[1e-5], [1.0], [300.0]])
        assert self.build().overlap(scaled @ scaled.T, 17.0) == pytest.approx(expected)
        H[1] = 0
        assert self.build().overlap(H @ H.T, 17.0) == pytest.approx(0.15 * 17 * cosines(H))
        assert build().overlap(H @ H.T, 17.0) == 0

    def test_slope_is_the_gradient(self):
        H = np.random.default_rng(1).random((3, 4)) + 0.1
        constraints = self.build()
        found = constraints.slope(H @ H.T, 17.0) @ H
        for s, j in np.ndindex(H.shape):
            step = np.zeros_like(H)
            step[s, j] = 1e-6
            up, down = H + step, H - step
            slope = (
                constraints.overlap(up @ up.T, 17) - constraints.overlap(down @ down.T, 17)
            ) / 2e-6
            assert found[s, j] == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_refused(self):
        for message, parameters in (
            ("does not go with signed='programs'", {"signed": "programs"}),
            ("given in part", {"fixed": [[1, NAN, 0, 0]]}),
            ("changes nothing where every program is given", {"fixed": np.eye(3, 4)}),
        ):
            with pytest.raises(UsageError, match=r"^orthogonality ") as caught:
                self.build(**parameters)
            assert message in str(caught.value)
        assert self.build(shape=(1, 4)).overlap(np.ones((1, 1)), 17.0) == 0
        assert self.build(signed="usage").orthogonality == 0.3
        assert self.build(fixed=np.eye(2, 4)).orthogonality == 0.3
