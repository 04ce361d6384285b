"""Maps of tissue, groups of patients, new cells in known clusters: what is drawn, at all sizes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from partwise.figures import (
    GREY,
    TissuePanel,
    assignment_confidence,
    cluster_colors,
    cluster_places,
    cluster_shares,
    group_fractions,
    render,
    tissue_maps,
)


def panel(n=200, n_clusters=3, title="F", seed=0):
    rng = np.random.default_rng(seed)
    xy = rng.random((n, 2)) * [200, 100]
    return TissuePanel(title, "", xy, rng.integers(0, n_clusters, n).astype(np.int32))


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_cells_have_the_colours_of_their_clusters_and_rows_go_down():
    one = panel()
    axes = tissue_maps([one]).axes[0]
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), one.xy)
    shades = cluster_colors([0, 1, 2])
    drawn = [to_hex(color).upper() for color in points.get_facecolors()]
    assert drawn == [shades[label] for label in one.labels]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_aspect() == 1
    assert points.get_rasterized()


def test_dense_cells_become_dots_of_the_commonest_cluster():
    rng = np.random.default_rng(0)
    xy = rng.random((300_000, 2))
    labels = (xy[:, 0] > 0.5).astype(np.int32)
    labels[rng.random(len(labels)) < 0.1] = 2  # sprinkled everywhere, the commonest nowhere
    axes = tissue_maps([TissuePanel("F", "", xy, labels)]).axes[0]
    assert not axes.collections
    image = np.asarray(axes.images[0].get_array())
    half = image.shape[1] // 2
    shades = cluster_colors([0, 1, 2])
    for part, cluster in ((image[:, : half - 1], 0), (image[:, half + 1 :], 1)):
        same = np.isclose(part, to_rgb(shades[cluster])).all(axis=2)
        assert same.mean() > 0.85
    extent = axes.images[0].get_extent()
    assert extent[2] > extent[3]  # down


def test_forty_clusters_have_no_colour_twice():
    rng = np.random.default_rng(0)
    one = TissuePanel("F", "", rng.random((800, 2)), np.arange(800, dtype=np.int32) % 40)
    figure = tissue_maps([one])
    names = entries(figure)
    assert names == [*map(str, range(22)), "18 others"]
    colors = [handle.get_color() for handle in figure.legends[0].legend_handles]
    assert len(set(colors)) == len(colors)
    assert colors[-1] == GREY
    places = cluster_places([(c, one) for c in range(40)])
    assert [axes.get_title(loc="left") for axes in places.axes if axes.axison][39] == "Cluster 39"
    top = places.axes[30].collections[0]  # its cells lie on top of the others
    assert (one.labels[np.argsort(one.labels == 30, kind="stable")][-20:] == 30).all()
    assert to_hex(top.get_facecolors()[-1]) != to_hex(top.get_facecolors()[0])


def test_cells_without_a_cluster_are_grey_and_named():
    one = panel()
    one.labels[:20] = -1
    one.labels[20:30] = -2
    figure = tissue_maps([one])
    assert entries(figure) == ["0", "1", "2", "none"]
    colors = figure.axes[0].collections[0].get_facecolors()
    assert {to_hex(color).upper() for color in colors[:30]} == {GREY}


@pytest.mark.parametrize("count", [1, 6, 25])
def test_panels(count):
    figure = tissue_maps([panel(title=f"F{i}", seed=i) for i in range(count)])
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.axison] == [
        f"F{i}" for i in range(count)
    ]
    assert len(render(figure, "png", dpi=40)) > 1000
    tissue_maps([TissuePanel("one", "", np.ones((1, 2)), np.zeros(1, np.int32))])
    line = np.stack([np.arange(30.0), np.zeros(30)], axis=1)
    render(tissue_maps([TissuePanel("line", "", line, np.zeros(30, np.int32))]), "png", dpi=30)
    assert not tissue_maps([]).axes


def test_a_dot_for_each_patient():
    shares = pd.DataFrame(np.random.default_rng(0).dirichlet(np.ones(5), 7))
    groups = ["b", "a", "b", "a", "a", "b", "a"]
    forest = pd.DataFrame({"difference": [0.1] * 5, "low": [-0.1] * 5, "high": [0.3] * 5})
    figure = group_fractions(shares, groups, fdr=[0.01, 0.2, 0.5, 1.0, 0.0001], difference=forest)
    left, right = figure.axes
    assert [len(c.get_offsets()) for c in left.collections] == [4] * 5 + [3] * 5
    np.testing.assert_allclose(
        left.collections[0].get_offsets()[:, 0], np.sqrt(shares[0].to_numpy()[[1, 3, 4, 6]])
    )
    means = [line.get_xdata()[0] for line in left.lines]
    assert means[0] == pytest.approx(np.sqrt(shares[0][[1, 3, 4, 6]].mean()))
    bold = [t.get_text() for t in right.texts if t.get_fontweight() == "bold"]
    assert bold == ["0.010", "<0.001"]
    assert entries(figure) == ["a (4 patients)", "b (3 patients)"]


def test_shares_and_confidence():
    counts = pd.DataFrame({"known": [60, 30, 10], "new": [5, 0, 15]})
    axes = cluster_shares(counts).axes[0]
    assert [round(bar.get_width(), 2) for bar in axes.patches] == [0.6, 0.3, 0.1, 0.25, 0, 0.75]
    summary = pd.DataFrame(
        {"q05": 0.2, "q25": 0.4, "median": 0.6, "q75": 0.8, "q95": 1.0, "unseen": [0.02, np.nan]}
    )
    axes = assignment_confidence(summary).axes[0]
    assert [text.get_text() for text in axes.texts][1:] == ["2.0 %", "no cells"]
