"""Figures of tuning: what is drawn, from one setting to hundreds, and that it can be read."""

import itertools

import numpy as np
import pandas as pd
import pytest

from partwise.figures import cluster_confidence, render, resolution_ranges, tuning_grid
from partwise.workflows.tuning.types import TuneGrid
from tuning import fabricated_clusters, fabricated_grid

LARGE = TuneGrid(
    (3, 4, 5, 6, 8, 10, 12, 15),
    (10, 15, 20, 30, 40, 60, 80, 120),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0),
)
GRIDS = {
    "one": TuneGrid((5,), (15,), (0.1,)),
    "default": TuneGrid(),
    "large": LARGE,
    "one n": TuneGrid((8,), (10, 20, 30), (0.05, 0.1, 0.2, 0.3)),
    "one k": TuneGrid((5, 8), (15,), (0.1, 0.3)),
    "one r": TuneGrid((5, 8, 10), (10, 20), (0.1,)),
    "many r": TuneGrid((5, 8), (10, 15), tuple(np.round(np.linspace(0.05, 1, 20), 2))),
    "many rows": TuneGrid(tuple(range(3, 15)), tuple(range(10, 100, 5)), (0.1, 0.2)),
}


def middle(grid):
    ns, ks, rs = grid.n_components, grid.n_neighbors, grid.resolutions
    return ns[len(ns) // 2], ks[len(ks) // 2], rs[len(rs) // 3]


def check(figure):
    """Assert that nothing is cut off and no tick label touches another."""
    render(figure, "png", dpi=int(figure.dpi))
    width, height = figure.get_size_inches()
    assert width <= 7.3
    assert height <= 14
    texts = [t for axes in figure.axes for t in (*axes.texts, axes.xaxis.label, axes.yaxis.label)]
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert min(box.width, box.height) > 4
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            labels = [
                tick.label1
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_text()
            ]
            texts += labels
            for a, b in itertools.pairwise(label.get_window_extent() for label in labels):
                across = min(a.x1, b.x1) - max(a.x0, b.x0)
                assert min(across, min(a.y1, b.y1) - max(a.y0, b.y0)) < 1.5
    for text in texts:
        if text.get_text():
            assert text.get_fontsize() >= 7
            box = text.get_window_extent()
            assert box.x0 >= -1, text.get_text()
            assert box.y0 >= -1, text.get_text()
            assert box.x1 <= figure.bbox.x1 + 1, text.get_text()
            assert box.y1 <= figure.bbox.y1 + 1, text.get_text()


def shown(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


@pytest.mark.parametrize("name", ["one", "default", "large", "many r", "many rows"])
def test_grid(name):
    grid = GRIDS[name]
    table = fabricated_grid(grid)
    figure = tuning_grid(table, recommended=middle(grid))
    check(figure)
    panels = shown(figure)
    assert [a.get_title(loc="left") for a in panels] == ["Score", "Stability", "Null", "Clusters"]
    n_rows = len(grid.n_components) * len(grid.n_neighbors)
    for axes, column in zip(panels, ["score", "mean_ari", "null_ari", "n_clusters"], strict=True):
        cells = np.asarray(axes.collections[0].get_array()).reshape(n_rows, -1)
        np.testing.assert_array_equal(cells.ravel(), table[column])
    names = " ".join(t.get_text() for t in panels[0].get_yticklabels())
    assert all(f"n={n}" in names for n in grid.n_components)
    if n_rows <= 64:
        assert all(f"k={k}" in names for k in grid.n_neighbors)


def test_the_frame_is_at_the_recommended_setting():
    table = fabricated_grid(GRIDS["one r"])
    for axes in shown(tuning_grid(table, recommended=(8, 20, 0.1))):
        (frame,) = axes.patches
        assert frame.get_xy() == (0, 2 + 1)
    for axes in shown(tuning_grid(table, recommended=(7, 20, 0.1))):
        assert not axes.patches


def test_values_are_written_where_there_is_room():
    grid = fabricated_grid(GRIDS["default"])
    grid.loc[3, ["score", "mean_ari", "null_ari"]] = np.nan
    score, *_, clusters = shown(tuning_grid(grid))
    assert len(score.texts) == 99
    assert score.texts[0].get_text() == f"{grid['score'][0]:.2f}".removeprefix("0")
    assert [t.get_text() for t in clusters.texts] == [str(c) for c in grid["n_clusters"]]
    assert not shown(tuning_grid(fabricated_grid(LARGE)))[0].texts


def test_what_was_not_measured_is_left_out():
    grid = fabricated_grid(GRIDS["one k"]).assign(score=np.nan)
    titles = [a.get_title(loc="left") for a in shown(tuning_grid(grid))]
    assert titles == ["Stability", "Null", "Clusters"]
    assert "no settings" in tuning_grid(grid.iloc[:0]).texts[0].get_text()


@pytest.mark.parametrize("name", ["one", "default", "many r"])
def test_resolutions(name):
    grid = GRIDS[name]
    n, k, r = middle(grid)
    figure = resolution_ranges(fabricated_grid(grid), n_components=n, n_neighbors=k, resolution=r)
    check(figure)
    for axes in figure.axes:
        bold = [t.get_text() for t in axes.get_xticklabels() if t.get_fontweight() == "bold"]
        assert bold == [f"{r:g}"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert len(lines["Replicates"].get_xdata()) == len(grid.resolutions)
    assert len(figure.axes[1].lines) == 2 + len(grid.resolutions) + 1, "a range for each"


def test_ranges_join_resolutions():
    grid = fabricated_grid(GRIDS["one n"])
    low = [0.05, 0.05, 0.2, 0.2] * 3
    high = [0.1, 0.1, 0.3, 0.3] * 3
    figure = resolution_ranges(
        grid.assign(range_low=low, range_high=high), n_components=8, n_neighbors=20
    )
    thick = [line for line in figure.axes[1].lines if line.get_linewidth() > 5]
    assert [line.get_xdata().tolist() for line in thick] == [[0.05, 0.1], [0.2, 0.3]]


def test_ranges_that_are_unknown_or_without_end():
    grid = fabricated_grid(GRIDS["one n"]).assign(range_low=np.nan, range_high=np.inf)
    figure = resolution_ranges(grid, n_components=8, n_neighbors=20)
    check(figure)
    assert figure.axes[1].get_xlim()[1] < 1
    nothing = resolution_ranges(grid, n_components=9, n_neighbors=20)
    assert "no settings" in nothing.texts[0].get_text()


@pytest.mark.parametrize("count", [1, 3, 12, 40, 100])
def test_confidence(count):
    table = fabricated_clusters(count)
    figure = cluster_confidence(table)
    check(figure)
    (axes,) = figure.axes
    if count <= 12:
        assert len(axes.texts) == count
        assert f"{table['size'][0]:,} cells" in axes.texts[0].get_text()
        assert [bar.get_width() for bar in axes.patches] == table["confidence"].tolist()
    elif count <= 40:
        assert [bar.get_height() for bar in axes.patches] == table["confidence"].tolist()
    else:
        assert len(axes.lines[0].get_xdata()) == count


def test_confidence_of_nothing_and_of_what_is_unknown():
    table = fabricated_clusters(3)
    assert "no clusters" in cluster_confidence(table.iloc[:0]).texts[0].get_text()
    check(cluster_confidence(table.assign(confidence=[0.5, np.nan, 1.0])))
    few = pd.DataFrame({"cluster": [0], "size": [9], "confidence": [1.0]})
    assert cluster_confidence(few).axes[0].texts[0].get_text() == "1.00   9 cells"


def test_same_bytes():
    grid = fabricated_grid(GRIDS["one n"])
    one, two = (render(tuning_grid(grid, recommended=(8, 20, 0.1)), "svg") for _ in range(2))
    assert one == two
