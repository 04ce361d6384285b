"""Curves over ranks: what is drawn, for few and many ranks, with and without parts."""

import itertools

import numpy as np
import pandas as pd
import pytest

from partwise.figures import rank_curves, render


def curve(name, ranks, means, half=0.01):
    means = np.asarray(means, float)
    return pd.DataFrame(
        {"curve": name, "rank": ranks, "mean": means, "low": means - half, "high": means + half}
    )


def summary(ranks=(2, 3, 4, 6, 8, 11), *, names=None):
    names = names or (
        "held_out_error", "training_error", "matched_cosine", "cophenetic_correlation", "dispersion"
    )  # fmt: skip
    ranks = np.array(ranks)
    parts = [curve(name, ranks, 0.9 - 0.02 * np.arange(len(ranks))) for name in names]
    return pd.concat(parts, ignore_index=True)


def spectrum(count=20):
    values = 100.0 / np.arange(1, count + 1)
    return pd.DataFrame(
        {"component": np.arange(1, count + 1), "singular_value": values, "permuted_max": 12.0}
    )


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def labels(axes):
    axes.figure.canvas.draw()
    return [int(text.get_text()) for text in axes.get_xticklabels()]


def test_all_panels():
    figure = rank_curves(summary(), recommended=6, spectrum=spectrum())
    assert titles(figure) == [
        "Error, hidden entries", "Error, all entries", "Agreement of different starts", "Spectrum"
    ]  # fmt: skip
    for axes in figure.axes[:3]:
        assert axes.lines[0].get_xdata().tolist() == [2, 3, 4, 6, 8, 11]
        assert labels(axes) == [2, 3, 4, 6, 8, 11]
        bold = [t.get_text() for t in axes.get_xticklabels() if t.get_fontweight() == "bold"]
        assert bold == ["6"]
        assert any(list(line.get_xdata()) == [6, 6] for line in axes.lines)


@pytest.mark.parametrize(
    ("names", "with_spectrum", "count"),
    [
        (("held_out_error",), False, 1),
        (("matched_cosine", "dispersion"), False, 1),
        (("training_error",), True, 2),
        (("held_out_error", "training_error", "matched_cosine"), False, 3),
    ],
)
def test_panels_without_data_are_left_out(names, with_spectrum, count):
    figure = rank_curves(summary(names=names), spectrum=spectrum() if with_spectrum else None)
    assert len(figure.axes) == count
    assert all(axes.lines for axes in figure.axes)


def test_intervals_are_bands_and_missing_ones_are_not_drawn():
    table = summary(names=("held_out_error", "matched_cosine"))
    table.loc[table["curve"] == "matched_cosine", ["low", "high"]] = np.nan
    figure = rank_curves(table)
    assert [len(axes.collections) for axes in figure.axes] == [1, 0]


@pytest.mark.parametrize(
    "ranks", [range(1, 41), [2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 100], [7], [4, 40]]
)
def test_labels_of_ranks_do_not_touch(ranks):
    ranks = list(ranks)
    recommended = ranks[len(ranks) // 2]
    figure = rank_curves(summary(ranks), recommended=recommended)
    axes = figure.axes[0]
    shown = labels(axes)
    assert recommended in shown
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_an_error_that_explodes_does_not_hide_the_best_rank():
    table = curve("held_out_error", [2, 3, 4, 5, 6], [0.9, 0.7, 0.6, 40.0, 500.0])
    axes = rank_curves(table, recommended=4).axes[0]
    assert axes.get_ylim()[1] < 1.2
    assert any(text.get_text() == "up to 500" for text in axes.texts)


def test_nothing_to_show():
    figure = rank_curves(summary().iloc[:0])
    assert "no ranks" in figure.texts[0].get_text()


@pytest.mark.parametrize(
    ("fmt", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_same_bytes(fmt, start):
    one, two = (
        render(rank_curves(summary(), recommended=4, spectrum=spectrum()), fmt) for _ in range(2)
    )
    assert one == two
    assert one.startswith(start)
