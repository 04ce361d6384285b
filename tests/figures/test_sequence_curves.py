"""Curves and the test of sequence models: what is drawn, for few and many factors."""

import itertools

import numpy as np
import pandas as pd
import pytest

from partwise import figures
from partwise.exceptions import UsageError
from sequence_figures import apart, drawn, inside, texts


def sweep(lambdas=20, repeats=3):
    values, rows = np.logspace(-5, -1, lambdas), []
    for repeat, value in itertools.product(range(repeats), values):
        share = 1 / (1 + value / 3e-3) + 0.01 * repeat
        rows.append(
            {"lambda_": value, "repeat": repeat, "power": share, "power_held_out": share / 2,
             "n_factors": 1 + int(9 * share), "reconstruction": 1 - share, "penalty": share}
        )  # fmt: skip
    return pd.DataFrame(rows)


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lambda_sweep():
    table = sweep()
    figure = figures.lambda_sweep(
        table, table, crossover=3e-3, interval=(2e-3, 5e-3), recommended=5.1e-3
    )
    costs, power, factors = figure.axes
    assert all(axes.get_xscale() == "log" for axes in figure.axes)
    shown = lines(power)
    assert set(shown) == {"Data fitted", "Held out"}
    np.testing.assert_allclose(
        shown["Held out"].get_ydata(), table.groupby("lambda_")["power_held_out"].mean()
    )
    assert [text.get_text() for text in costs.texts] == ["crossover 0.003", "recommended 0.0051"]
    marked = [line.get_xdata()[0] for line in factors.lines if len(set(line.get_xdata())) == 1]
    assert marked == [3e-3, 5.1e-3]
    assert all(len(axes.patches) == 1 for axes in figure.axes), "the interval"
    drawn(figure)
    apart([costs])
    for axes in figure.axes:
        inside(figure, axes.yaxis.label)


def test_lambda_sweep_without_a_crossover():
    table = sweep(repeats=1)
    figure = figures.lambda_sweep(
        table, table, crossover=np.nan, interval=(np.nan, np.nan), recommended=np.nan
    )
    assert not any(axes.texts or axes.patches for axes in figure.axes)
    assert "no values" in figures.lambda_sweep(table[:0], table[:0]).texts[0].get_text()


def k_table(ks=range(1, 9), repeats=4):
    rows = []
    for k in ks:
        for i in range(repeats):
            rows.append({"measure": "fit", "k": k, "power": 0.1 * k, "power_held_out": 0.05 * k})
            rows.append({"measure": "cv", "k": k, "train_error": 1 / k, "test_error": 2 / k + i})
            rows.append({"measure": "pair", "k": k, "dissimilarity": 0.1 * i**3})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("ks", [[7], range(1, 41), [2, 3, 5, 8, 13, 21, 34]])
def test_k_curves(ks):
    ks = list(ks)
    recommended = ks[len(ks) // 2]
    figure = figures.k_curves(k_table(ks), recommended=recommended)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Different starts", "Hidden entries", "Power"
    ]  # fmt: skip
    pairs, hidden, _ = figure.axes
    np.testing.assert_allclose(lines(pairs)["Median"].get_ydata(), 0.45)  # the mean is 0.9
    np.testing.assert_allclose(lines(hidden)["Hidden"].get_ydata(), 2 / np.array(ks) + 1.5)
    drawn(figure)
    for axes in figure.axes:
        labels = axes.get_xticklabels()
        bold = [text.get_text() for text in labels if text.get_fontweight() == "bold"]
        assert bold == [str(recommended)]
        boxes = [text.get_window_extent() for text in labels]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        title = axes.title if axes.get_title() else axes._left_title
        assert not title.get_window_extent().overlaps(axes.get_legend().get_window_extent())


def test_measures_that_were_not_made_are_left_out():
    table = k_table()
    only = figures.k_curves(table[table["measure"] == "pair"])
    assert [axes.get_title(loc="left") for axes in only.axes] == ["Different starts"]
    assert "no numbers of factors" in figures.k_curves(table[:0]).texts[0].get_text()


def test_cost_curve():
    axes = figures.cost_curve([3.3, 0.09, 0.08, 0.07]).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [3.3, 0.09, 0.08, 0.07]
    assert axes.get_ylim()[1] < 0.1
    assert texts(axes) == ["start: 3.3\nend: 0.07"]
    assert not texts(figures.cost_curve([1.0, 0.9, 0.8]).axes[0])
    assert len(figures.cost_curve([1.0]).axes) == 1
    assert "No error" in figures.cost_curve([]).texts[0].get_text()


@pytest.mark.parametrize("k", [1, 3, 25, 40])
def test_significance(k):
    rng = np.random.default_rng(0)
    statistic = np.linspace(4.0, 0.5, k)
    nulls = tuple(rng.gamma(4, 0.3, 50 + i) for i in range(k))
    p = np.array(
        [
            (1 + (null >= s).sum()) / (1 + len(null))
            for null, s in zip(nulls, statistic, strict=True)
        ]
    )
    stars, excluded = p < 0.03, [""] * k
    if k > 1:
        excluded[1] = "empty"
    figure = figures.significance_plot(statistic, nulls, p, stars, excluded)
    (axes,) = figure.axes
    tested = [i for i in range(k) if not excluded[i]]
    assert [line.get_segments()[0][0][0] for line in axes.collections] == statistic[tested].tolist()
    assert len(axes.patches) == len(tested)
    written = texts(axes)
    assert len(written) == k
    assert written[0] == f"p = {p[0]:.2g}  ★"
    assert k == 1 or written[1] == "empty"
    low, high = axes.get_xlim()
    assert all(low <= value <= high for null in nulls for value in null)
    drawn(figure)
    apart([axes])


def test_a_statistic_far_out_does_not_hide_the_nulls():
    nulls = [np.linspace(-0.5, 2, 200)] * 2
    axes = figures.significance_plot(
        [60.0, 1.0], nulls, [0.005, 0.4], [True, False], [False, False]
    ).axes[0]
    assert axes.get_xscale() == "symlog"
    left, right = axes.transData.transform([(0, 0), (2, 0)])[:, 0]
    assert right - left > 0.3 * axes.bbox.width


def test_nothing_was_tested():
    figure = figures.significance_plot([0.0, 0.0], [[], []], [1, 1], [False, False], [True, True])
    assert texts(figure.axes[0]) == ["not tested", "not tested"]
    assert "no factors" in figures.significance_plot([], [], [], [], []).texts[0].get_text()
    with pytest.raises(UsageError, match="differ in size"):
        figures.significance_plot([1.0], [[1.0]], [1, 1], [False], [""])
