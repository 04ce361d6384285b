"""The simulator of programs: what it promises of rank, noise and truth."""

import numpy as np
import pytest

from partwise.datasets import simulate_programs
from partwise.exceptions import UsageError


@pytest.mark.parametrize("level", [0.2, 1.0])
@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
def test_truth_and_size_of_the_noise(noise, level):
    sim = simulate_programs(400, p=200, rank=6, noise=noise, level=level, seed=1)
    mean = sim.usage @ sim.programs
    assert sim.X.shape == mean.shape == (400, 200)
    assert sim.rank == np.linalg.matrix_rank(mean) == 6
    assert (sim.X >= 0).all()
    found = np.linalg.norm(sim.X - mean) / np.linalg.norm(mean)
    # Gaussian noise below zero is cut, so less of it is left
    assert found == pytest.approx(level, rel=0.03) or (noise == "gaussian" and found < level)
    if noise == "poisson":
        assert (np.round(sim.X) == sim.X).all()
        assert sim.X.mean() == pytest.approx(mean.mean(), rel=0.03)


def test_usage_falls_from_the_first_program_to_the_last():
    sim = simulate_programs(5000, p=20, rank=5, evenness=0.1, seed=0)
    share = sim.usage.mean(axis=0)
    assert (np.diff(share) < 0).all()
    assert share[-1] / share[0] == pytest.approx(0.1, rel=0.25)


def test_seeds():
    one, again, other = (simulate_programs(50, p=20, rank=2, seed=s).X for s in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(
    "bad", [{"rank": 0}, {"noise": "cauchy"}, {"level": 0.0}, {"level": np.nan}, {"evenness": 2.0}]
)
def test_bad_values(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        simulate_programs(10, **bad)
