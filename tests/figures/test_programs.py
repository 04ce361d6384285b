"""Figures of programs: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from partwise import figures
from partwise.factorize.top import top_features

H = np.array([[3.0, 1.0, 0.0, 2.0], [0.0, 5.0, 1.0, 0.0]])
NAMES = ["A", "B", "C", "D"]


def test_leading_features():
    figure = figures.leading_features(top_features(H, NAMES, n=3))
    first, second = figure.axes[:2]
    assert [t.get_text() for t in first.get_yticklabels()] == ["A", "D", "B"]
    np.testing.assert_allclose([p.get_width() for p in first.patches], [1, 2 / 3, 1 / 3])
    assert [t.get_text() for t in second.get_yticklabels()] == ["B", "C"]


def test_leading_heatmap():
    programs = pd.DataFrame(H.T, index=NAMES, columns=["program_1", "program_2"])
    axes = figures.leading_heatmap(programs, explained=[0.5, 0.25], max_features=4).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["A", "D", "B", "C"]
    assert axes.get_xticklabels()[0].get_text().startswith("Program 1")
    drawn = axes.collections[0].get_array().reshape(4, 2)
    np.testing.assert_allclose(drawn[:, 0], [1, 2 / 3, 1 / 3, 0])


def test_bars():
    axes = figures.explained_bars([0.5, 0.25]).axes[0]
    np.testing.assert_allclose([p.get_height() for p in axes.patches], [50, 25])
    axes = figures.coverage_bars([1.0, 0.4], least=0.5).axes[0]
    colors = [to_hex(p.get_facecolor()) for p in axes.patches]
    assert colors[0] != colors[1]
    assert len(axes.lines) == 1


def test_usage_maps():
    points = pd.DataFrame({"UMAP 1": [0.0, 1.0, 2.0], "UMAP 2": [1.0, 0.0, 1.0]})
    usage = pd.DataFrame({"program_1": [0.2, 0.1, np.nan], "program_2": [0.0, 0.0, 0.0]})
    figure = figures.usage_maps(points, usage)
    first, second = figure.axes
    lost, used = first.collections
    assert lost.get_offsets().tolist() == [[2.0, 1.0]]
    assert used.get_offsets().tolist() == [[1.0, 0.0], [0.0, 1.0]]  # more usage on top
    assert second.collections[1].get_clim() == (0.0, 1.0)


def test_histogram_of_fits():
    axes = figures.fit_histogram([0.2, 0.4, 0.9, np.nan]).axes[0]
    assert sum(p.get_height() for p in axes.patches) == 3
    assert axes.texts[0].get_text() == "median 0.40"


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.leading_features(top_features(H, NAMES).iloc[:0]),
        lambda: figures.leading_heatmap(pd.DataFrame()),
        lambda: figures.explained_bars([]),
        lambda: figures.coverage_bars([]),
        lambda: figures.usage_maps(pd.DataFrame(), pd.DataFrame()),
        lambda: figures.fit_histogram([np.nan]),
    ],
)
def test_nothing_to_draw(figure):
    assert "no" in figure().texts[0].get_text()


def test_top_features():
    top = top_features(H, NAMES, n=2, by="share", name="gene")
    assert list(top.columns) == ["program", "rank", "gene", "weight", "share"]
    assert top[top["program"] == "program_1"]["gene"].tolist() == ["A", "D"]
    assert top["share"].between(0, 1).all()
    for wrong in ({"n": 0}, {"by": "fold"}):
        with pytest.raises(ValueError, match=r"number of features|by must be"):
            top_features(H, NAMES, **wrong)
