import numpy as np
import pytest
from sklearn import metrics as reference

from partwise.exceptions import UsageError
from partwise.metrics import adjusted_rand, contingency, normalized_mutual_information


def random_labels(seed, n, n_a, n_b):
    rng = np.random.default_rng(seed)
    a = rng.integers(n_a, size=n)
    b = np.where(rng.random(n) < 0.5, a % n_b, rng.integers(n_b, size=n))
    return a, b


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "n_a", "n_b"), [(10, 3, 2), (1000, 7, 20), (3000, 1500, 4)])
def test_same_values_as_scikit_learn(seed, n, n_a, n_b):
    a, b = random_labels(seed, n, n_a, n_b)
    assert adjusted_rand(a, b) == pytest.approx(reference.adjusted_rand_score(a, b), abs=1e-12)
    assert normalized_mutual_information(a, b) == pytest.approx(
        reference.normalized_mutual_info_score(a, b), abs=1e-12
    )


def test_labels_may_be_text_negative_or_sparse_numbers():
    a = np.array(["T", "B", "T", "NK", "B", "B"])
    b = np.array([-1, 10**12, -1, 5, 10**12, 5])
    assert adjusted_rand(a, b) == pytest.approx(reference.adjusted_rand_score(a, b))
    assert contingency(a, b).toarray().tolist() == [[0, 1, 2], [0, 1, 0], [2, 0, 0]]


def test_names_of_the_clusters_do_not_matter():
    a, b = random_labels(0, 500, 5, 5)
    assert adjusted_rand(a, b) == adjusted_rand(4 - a, b + 100)


def test_trivial_partitions():
    one, each = np.zeros(5, int), np.arange(5)
    assert adjusted_rand(one, one) == adjusted_rand(each, each) == 1.0
    assert adjusted_rand(one, each) == 0.0
    assert normalized_mutual_information(one, one) == 1.0
    assert normalized_mutual_information(one, each) == 0.0
    assert adjusted_rand([3], [4]) == 1.0


def test_large_counts_do_not_overflow():
    a = np.repeat([0, 1], 3_000_000)
    assert adjusted_rand(a, a) == 1.0
    assert adjusted_rand(a, 1 - a) == 1.0


@pytest.mark.parametrize(("a", "b"), [([], []), ([1, 2], [1])])
def test_lengths_are_checked(a, b):
    with pytest.raises(UsageError, match="two labels are needed"):
        adjusted_rand(a, b)
