"""The rule by which tuning recommends a point, on made-up measurements."""

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import UsageError
from partwise.workflows.tuning.rank import Admissible
from partwise.workflows.tuning.rules import Evidence, adjusted_score, choose, support
from partwise.workflows.tuning.types import TuneGrid
from partwise.workflows.tuning.words import rule_in_words


def evidence(rows, n_replicates=4, spread=0.0, **columns):
    """Make points of (clusters, mean agreement, null).

    Each second point agrees less with replicate 0 than with others, by `spread`, and more with
    them, so that the mean over all pairs is the same.
    """
    count = len(rows)
    pairs = np.empty((count, n_replicates, n_replicates))
    for p, (_, mean, _) in enumerate(rows):
        pairs[p] = mean + spread * (p % 2)
        pairs[p, 0, 1:] = pairs[p, 1:, 0] = mean - spread * (p % 2)
    fields = {
        "n_components": np.full(count, 5),
        "n_neighbors": np.full(count, 15),
        "resolution": np.linspace(0.1, 1, count),
        "n_clusters": np.array([row[0] for row in rows]),
        "share_small": np.zeros(count),
        "pairs": pairs,
        "null": np.array([row[2] for row in rows], float),
        "admissible": np.ones(count, bool),
    }
    return Evidence(**(fields | columns))


def test_score():
    found = adjusted_score(np.array([1.0, 0.7, 0.2, 0.9]), np.array([0.4, 0.4, 0.4, np.nan]))
    np.testing.assert_allclose(found[:3], [1.0, 0.5, -1 / 3])
    assert np.isnan(found[3])


def test_of_equally_stable_partitions_the_finest():
    rows = [(3, 0.990, 0.4), (6, 0.980, 0.4), (9, 0.8, 0.4)]
    choice = choose(evidence(rows, spread=0.02))
    assert choice.point == 1
    assert choice.structured
    assert choice.near.tolist() == [0, 1]
    # the same difference is one where replicates agree about it
    assert choose(evidence(rows, spread=0.0)).near.tolist() == [0]


def test_standard_error_is_that_of_the_jackknife():
    # point 1: pairs with replicate 0 are 0.01 below the mean, all others 0.01 above it
    gaps = np.array([0.01 - 0.01, *[0.01 + 0.01 / 3] * 3]) / 0.6
    error = np.sqrt(3 / 4 * np.square(gaps - gaps.mean()).sum())
    found = evidence([(3, 0.99, 0.4), (6, 0.98, 0.4)], spread=0.01)
    factor = (0.01 / 0.6) / error
    assert choose(found, standard_errors=factor * 1.01).point == 1
    assert choose(found, standard_errors=factor * 0.99).point == 0


def test_of_points_with_as_many_clusters_the_best():
    assert choose(evidence([(6, 0.981, 0.4), (6, 0.99, 0.4), (6, 0.985, 0.4)])).point == 1


def test_of_those_the_least_n_that_is_as_good():
    rows = [(6, 0.95, 0.4), (6, 0.98, 0.4), (6, 0.985, 0.4), (6, 0.99, 0.4)]
    n = np.array([5, 8, 8, 12])
    assert choose(evidence(rows, n_components=n)).point == 2
    clearly = [(6, 0.95, 0.4), (6, 0.95, 0.4), (6, 0.96, 0.4), (6, 0.99, 0.4)]
    assert choose(evidence(clearly, n_components=n)).point == 3


def test_stability_that_cuts_without_clusters_have_too_counts_nothing():
    # a cloud that is long in one direction is cut in two at the same place again and again
    assert choose(evidence([(2, 0.95, 0.94), (5, 0.9, 0.3)])).point == 1


def test_one_cluster_and_small_clusters_are_not_taken():
    small = np.array([0.0, 0.3, 0.0])
    found = evidence([(1, 1.0, np.nan), (40, 0.99, 0.4), (4, 0.9, 0.4)], share_small=small)
    assert choose(found).point == 2


def test_the_rule_says_when_small_clusters_could_not_be_avoided():
    rows, allowed = [(3, 0.9, 0.2), (5, 0.9, 0.2)], Admissible((5,), 1, lost=False, held_out=False)
    for small, words in ((0.5, "No setting has at most 1%"), (0.0, "Of the settings with at most")):
        found = evidence(rows, share_small=np.full(2, small))
        table = pd.DataFrame({"score": [0.9, 0.9]})
        text = rule_in_words(table, found, choose(found), allowed)
        assert text.startswith(f"n of 5: 1 component stands out of the permuted data. {words}")


def test_n_that_lose_structure_are_not_taken():
    rows = [(4, 0.99, 0.4), (6, 0.9, 0.4)]
    assert choose(evidence(rows, admissible=np.array([False, True]))).point == 1
    # but where nothing else has two clusters, they are better than nothing
    only = [(4, 0.99, 0.4), (1, 0.0, np.nan)]
    assert choose(evidence(only, admissible=np.array([False, True]))).point == 0


def test_without_structure_the_fewest_clusters():
    choice = choose(evidence([(7, 0.6, 0.5), (3, 0.5, 0.5), (12, 0.65, 0.5)]))
    assert not choice.structured
    assert choice.point == 1


def test_where_nothing_has_two_clusters():
    choice = choose(evidence([(1, 0.0, np.nan), (1, 0.0, np.nan)]))
    assert not choice.structured
    assert choice.near.size == 0


def test_support_counts_how_often_replicates_say_the_same():
    sure = evidence([(3, 0.8, 0.4), (6, 0.99, 0.4)])
    assert support(sure, 0) == {6: 1.0}
    # with replicate 0 the second partition is worse, without it better
    found = evidence([(6, 0.95, 0.4), (3, 0.95, 0.4)], spread=0.05)
    torn = support(found, 0)
    assert set(torn) == {3, 6}
    assert sum(torn.values()) == pytest.approx(1.0)
    without = (0.75**4 - 3 * 0.25**4) / (1 - 4 * 0.25**4)  # draws of one replicate do not count
    assert torn[3] == pytest.approx(without, abs=0.08)
    assert torn == support(found, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_components": ()},
        {"n_neighbors": (0,)},
        {"resolutions": (0.0,)},
        {"n_components": (2.5,)},
    ],
)
def test_grids_that_cannot_be(wrong):
    with pytest.raises(UsageError):
        TuneGrid(**wrong)
