"""The recording around events."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise.exceptions import UsageError
from partwise.figures import triggered_rasters
from sequence_figures import Recorded, axes_of, image, is_white, texts


def occurrences(frames, factor=0):
    return pd.DataFrame({"factor": factor, "frame": frames, "amplitude": 1.0})


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, Recorded])
def test_triggered_means(kind):
    X = np.zeros((4, 60))
    for start in (10, 30, 57):
        for unit in range(4):
            if start + unit < 60:
                X[unit, start + unit] = 1.0
    events = occurrences([10, 30, 57])
    figure = triggered_rasters(kind(X), events, before=2, after=5, order=[3, 2, 1, 0], rate=10.0)
    top, low = figure.axes
    assert top.get_title(loc="left") == "1: 3 events"
    assert top.get_xlim() == low.get_xlim() == (-0.2, 0.5)
    expected = np.zeros((4, 7), bool)
    for row, unit in enumerate([3, 2, 1, 0]):
        expected[row, 2 + unit] = True
    np.testing.assert_array_equal(~is_white(image(top)), expected)
    # units in the order of their peaks, three events each; the last event ends outside
    single = image(low)
    assert single.shape[:2] == (12, 7)
    assert [label.get_text() for label in low.get_yticklabels()] == ["4", "3", "2", "1"]
    assert (single[2, 5:] == single[2, 6]).all()
    assert not is_white(single[2, 6])


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, Recorded])
def test_nothing_is_taken_from_another_epoch(kind):
    X = np.ones((1, 60))
    X[0, 30:] = 9.0
    events = occurrences([28, 45])
    figure = triggered_rasters(kind(X), events, before=2, after=5, epochs=[(0, 30), (30, 48)])
    single = image(figure.axes[1])
    grey = (single == single[0, 6]).all(axis=-1)
    np.testing.assert_array_equal(grey, [[False] * 4 + [True] * 3, [False] * 5 + [True] * 2])
    with pytest.raises(UsageError, match="outside of the recording"):
        triggered_rasters(X, events, before=2, after=5, epochs=[(0, 70)])


def test_the_strongest_events_are_drawn():
    X = np.zeros((1, 3000))
    frames = np.arange(10, 2900, 10)
    amplitude = np.where(np.isin(frames, frames[5:17]), 2.0, 1.0)
    X[0, frames[5:17]] = 1.0
    events = pd.DataFrame({"factor": 0, "frame": frames, "amplitude": amplitude})
    low = triggered_rasters(X, events, before=1, after=2).axes[1]
    np.testing.assert_array_equal(is_white(image(low)), [[True, False, True]] * 12)


def test_the_mean_is_that_of_the_strongest_events():
    frames = np.arange(2, 2402, 4)
    X = np.zeros((1, 2500))
    X[0, frames[:500] + 1] = 1.0
    amplitude = np.linspace(2, 1, 600)
    events = pd.DataFrame({"factor": 0, "frame": frames, "amplitude": amplitude})
    top = triggered_rasters(X, events, before=1, after=2).axes[0]
    assert top.get_title(loc="left") == "1: 500 of 600 events"
    np.testing.assert_array_equal(is_white(image(top)), [[True, True, False]])


@pytest.mark.parametrize(("k", "panels"), [(1, 2), (10, 20), (40, 40)])
def test_factors_with_and_without_events(k, panels):
    X = np.random.default_rng(0).random((30, 100))
    events = pd.concat([occurrences([20, 50], i) for i in range(0, k, 3)])
    figure = triggered_rasters(X, events, before=5, after=10, names=range(1, k + 1))
    assert len(figure.axes) == panels
    means = axes_of(figure, "mean")
    assert [axes.get_title(loc="left").partition(": ")[2] for axes in means] == [
        "2 events" if i % 3 == 0 else "0 events" for i in range(k)
    ]
    assert ["no events" in texts(axes) for axes in means] == [i % 3 != 0 for i in range(k)]


def test_no_events():
    none = triggered_rasters(np.ones((2, 9)), occurrences([]), before=1, after=2)
    assert "no events" in none.texts[0].get_text()
    with pytest.raises(UsageError, match="outside of 0 to 0"):
        triggered_rasters(np.ones((2, 9)), occurrences([3], 1), before=1, after=2, names=[1])
    with pytest.raises(UsageError, match="after 1 or more"):
        triggered_rasters(np.ones((2, 9)), occurrences([3]), before=1, after=0)
