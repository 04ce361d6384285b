"""Spike times into bins: edges, units, epochs, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from partwise.exceptions import DataError, UsageError
from partwise.sequences.spikes import epoch_frames, spike_raster, spike_units


def _times(rng, n_units=5, longest=40, end=20.0):
    return [end * rng.random(rng.integers(longest)) for _ in range(n_units)]


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_a_histogram(seed):
    rng = np.random.default_rng(seed)
    times = _times(rng)
    found = spike_raster(times, bin_width=0.25, stop=20.0)
    assert sparse.isspmatrix_csr(found)
    assert found.dtype == np.float32
    assert found.shape == (5, 80)
    expected = [np.histogram(row, bins=80, range=(0.0, 20.0))[0] for row in times]
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.sum() == sum(map(len, times))
    assert found.has_canonical_format


def test_a_sequence_a_mapping_and_a_table_say_the_same():
    times = _times(np.random.default_rng(9))
    expected = spike_raster(times, bin_width=0.5, stop=20.0)
    mapping = dict(zip("edcba", times, strict=True))
    table = pd.DataFrame(
        {
            "unit": np.repeat(list("edcba"), [len(row) for row in times]),
            "time": np.concatenate(times),
        }
    ).sample(frac=1, random_state=0)
    assert spike_units(mapping) == list("edcba")
    assert spike_units(table) == list("abcde")
    assert (spike_raster(mapping, bin_width=0.5, stop=20.0) != expected).nnz == 0
    assert (spike_raster(table, bin_width=0.5, stop=20.0) != expected[::-1]).nnz == 0
    some = spike_raster(table, bin_width=0.5, stop=20.0, units=["c", "nobody", "e"])
    np.testing.assert_array_equal(some.toarray()[[0, 2]], expected.toarray()[[2, 0]])
    assert some[1].nnz == 0


def test_times_on_edges_fall_into_the_bin_that_begins_there():
    # none of these quotients is exact in binary
    on_edges = np.arange(1000) * 0.1
    assert (on_edges / 0.1 != np.arange(1000)).any()
    found = spike_raster([on_edges], bin_width=0.1)
    np.testing.assert_array_equal(found.toarray(), np.ones((1, 1000)))
    late = spike_raster([on_edges + 3600.3], bin_width=0.1, start=3600.3)
    np.testing.assert_array_equal(late.toarray(), np.ones((1, 1000)))
    assert spike_raster([[0.0999]], bin_width=0.1).shape == (1, 1)


def test_the_last_bin():
    # without a stop: the bin of the last spike
    assert spike_raster([[0.31]], bin_width=0.1).shape == (1, 4)
    assert spike_raster([[0.3]], bin_width=0.1).shape == (1, 4)
    # with one: it is in the last bin, as in numpy.histogram
    closed = spike_raster([[0.1, 0.3]], bin_width=0.1, stop=0.3)
    assert closed.toarray().tolist() == [[0, 1, 1]]
    # a stop within a bin
    partial = spike_raster([[0.0, 0.34]], bin_width=0.1, stop=0.35)
    assert partial.toarray().tolist() == [[1, 0, 0, 1]]
    with pytest.raises(DataError, match=r"1 spike is outside .* at 0\.36 s of unit 0"):
        spike_raster([[0.0, 0.36]], bin_width=0.1, stop=0.35)
    assert spike_raster([[], []], bin_width=0.1, stop=1.0).shape == (2, 10)


def test_spikes_outside_are_refused_or_dropped():
    times = {"a": [-0.2, 0.1, 0.5], "b": [1.0, 7.0]}
    with pytest.raises(DataError, match=r"2 spikes are outside .* at -0\.2 s of unit 'a'"):
        spike_raster(times, bin_width=0.5, stop=2.0)
    kept = spike_raster(times, bin_width=0.5, stop=2.0, outside="drop")
    assert kept.toarray().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    whole = spike_raster(times, bin_width=0.5, start=-0.5)
    assert whole.sum() == 5
    assert whole.shape == (2, 16)


def test_epochs_keep_whole_bins_only():
    assert epoch_frames([(0.25, 1.5), (1.5, 1.9), (2.0, 3.0)], bin_width=0.5) == [(1, 3), (4, 6)]
    assert epoch_frames([(0.0, 0.3)], bin_width=0.1) == [(0, 3)]
    times = np.arange(0.05, 3.0, 0.1)
    found = spike_raster([times], bin_width=0.5, epochs=[(0.25, 1.5), (2.0, 3.0)], outside="drop")
    assert found.toarray().tolist() == [[0, 5, 5, 0, 5, 5]]
    with pytest.raises(DataError, match=r"10 spikes are outside .*epochs"):
        spike_raster([times], bin_width=0.5, epochs=[(0.25, 1.5), (2.0, 3.0)])


def test_order_and_memory():
    rng = np.random.default_rng(0)
    times = _times(rng, longest=200)
    shuffled = [rng.permutation(row) for row in times]
    before = [row.copy() for row in shuffled]
    one, other = (spike_raster(given, bin_width=0.01, stop=20.0) for given in (times, shuffled))
    assert (one != other).nnz == 0
    for row, copy in zip(shuffled, before, strict=True):
        np.testing.assert_array_equal(row, copy)
    # 1000 units x 100 million bins
    wide = spike_raster([[1.0, 99_999.0]] * 1000, bin_width=0.001)
    assert wide.shape == (1000, 99_999_001)
    assert wide.nnz == 2000


@pytest.mark.parametrize(
    ("times", "given", "error", "text"),
    [
        ([[0.1, np.nan]], {}, DataError, r"spike 1 of unit 0 \(from 0\) is nan"),
        ({"x": [np.inf]}, {}, DataError, "of unit 'x'.*inf"),
        ({"x": ["soon"]}, {}, DataError, "of unit 'x' are not numbers"),
        ([0.1, 0.2], {}, DataError, "one array per unit"),
        ([[]], {}, DataError, "no spike; give stop"),
        ([[-1.0]], {}, DataError, "all spikes are before start"),
        ([[1.0]], {"bin_width": 0.0}, UsageError, "bin_width"),
        ([[1.0]], {"bin_width": 1e-12}, UsageError, "are the times in seconds"),
        ([[1.0]], {"stop": 0.0}, UsageError, "stop must be later than start"),
        ([[1.0]], {"outside": "clip"}, UsageError, "outside must be"),
        ([[1.0]], {"units": [0, 0]}, UsageError, "once each"),
        ([[1.0]], {"epochs": [(2.0, 1.0)]}, UsageError, "from 2 to 1 s is empty"),
        ([[1.0]], {"epochs": [(2.0,)]}, UsageError, "pairs of seconds"),
        (3.0, {}, UsageError, "not float"),
        (pd.DataFrame({"cell": [1], "time": [0.1]}), {}, DataError, "'cell', 'time'"),
        (pd.DataFrame({"unit": ["a", None], "time": [0.1, 0.2]}), {}, DataError, "unit"),
        (pd.DataFrame({"unit": ["a"], "time": [None]}), {}, DataError, "spike 0"),
    ],
)
def test_bad_input(times, given, error, text):
    with pytest.raises(error, match=text):
        spike_raster(times, **{"bin_width": 0.1, **given})
